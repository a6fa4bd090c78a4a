"""What an exported file computes: probabilities of sounds, or the outputs of a network in half precision."""

import torch
from torch import Tensor, nn

from slowfast_cli.features.logmel import repeat_last
from slowfast_cli.features.logmel_conv import LogMelConv
from slowfast_cli.inference.sound_program import FRAMES, SAMPLES
from slowfast_cli.types import Signals
from slowfast_cli.weights.file import Card


class SoundProbabilities(nn.Module):
    """Samples of clips to probabilities: front end, network and activation.

    Args:
        network: Returns logits.
        card: Metadata of its weights.
        samples: Length of a clip.
        rows: Indices of the log-mel frames that the network reads; empty for all.
    """

    def __init__(self, network: nn.Module, card: Card, samples: int, rows: list[int]) -> None:
        super().__init__()
        self.network = network
        reads_samples = "samples" in card.net.signals
        self.front_end = None if reads_samples else LogMelConv(card.log_mel(), samples)
        self.register_buffer("rows", torch.tensor(rows, dtype=torch.int64))
        self._picks, self._sigmoid, self._silence = bool(rows), card.sigmoid, card.silence

    rows: Tensor

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs: short clips of most networks repeat their last log-mel frame."""
        return (SAMPLES,) if self.front_end is None or self._silence else (SAMPLES, FRAMES)

    def forward(self, signals: Signals) -> dict[str, Tensor]:
        """Return the probabilities (B, classes) by label set."""
        inputs = {SAMPLES: signals[SAMPLES]}
        if self.front_end is not None:
            logmel = self.front_end(signals[SAMPLES])
            if not self._silence:
                logmel = repeat_last(logmel, signals[FRAMES])
            inputs = {"logmel": logmel[:, :, self.rows] if self._picks else logmel}
        logits = self.network(inputs)
        return {labels: rows.sigmoid() if self._sigmoid else rows.softmax(-1) for labels, rows in logits.items()}


class Half(nn.Module):
    """A network computed in float16, with inputs and outputs in float32."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.half()

    def forward(self, signals: Signals) -> dict[str, Tensor]:
        """Return what the network returns."""
        outputs = self.network({name: value.half() for name, value in signals.items()})
        return {name: value.float() for name, value in outputs.items()}
