"""Clips of files as the inputs of an exported network: for its check, and for the calibration of int8."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from slowfast_cli.data.views import clip_samples
from slowfast_cli.inference.sound_program import FRAMES, SAMPLES
from slowfast_cli.media import audio
from slowfast_cli.settings import FrontEnd
from slowfast_cli.stages.predict.file_predictor import file_predictor
from slowfast_cli.stages.predict.noise import noise
from slowfast_cli.types import Recording, Signals
from slowfast_cli.weights.file import Card

NOISE = Path("noise")
MOST = 8  # clips of one file


@dataclass(frozen=True, kw_only=True)
class FileClips:
    """The clips of a file."""

    path: Path
    inputs: Signals


class _Recorder(nn.Module):
    """Keeps what a network reads."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.read = list[Signals]()

    def forward(self, signals: Signals, boxes: Tensor | None = None) -> dict[str, Tensor]:
        self.read.append({name: value.clone() for name, value in signals.items()})
        outputs: dict[str, Tensor] = self.network(signals)
        return outputs


def file_clips(weights: Path, card: Card, network: nn.Module, paths: Sequence[Path]) -> Iterator[FileClips]:
    """The clips that a network reads of files, as prediction makes them.

    Raises:
        DataError: A file cannot be read.
    """
    for path in paths:
        recorder = _Recorder(network)
        list(file_predictor(weights, card, recorder, None).predict(path, None))
        joined = {name: torch.cat([read[name] for read in recorder.read])[:MOST] for name in recorder.read[0]}
        yield FileClips(path=path, inputs=joined)


def sample_clips(card: Card, paths: Sequence[Path], names: Sequence[str]) -> Iterator[FileClips]:
    """The first clip of sounds, for a network with the front end inside.

    Raises:
        DataError: A file cannot be read.
    """
    front_end = card.log_mel()
    length = clip_samples(card.clip_seconds, front_end.rate) - 1
    for path in paths:
        samples = audio.read(Recording(id=str(path), path=path), rate=front_end.rate, first=0, count=length)
        yield FileClips(path=path, inputs=_samples(samples, length, front_end, names))


def noise_clips(card: Card, names: Sequence[str] = ()) -> FileClips:
    """Two clips of noise, where no files are named.

    Args:
        card: Describes what the network reads.
        names: Inputs of a network with the front end inside; empty: those of the network alone.
    """
    if not names:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return FileClips(path=NOISE, inputs=noise(card, 2))
    front_end = card.log_mel()
    length, draw = clip_samples(card.clip_seconds, front_end.rate) - 1, np.random.default_rng(0)
    parts = [
        _samples(draw.normal(0, 0.1, count).astype(np.float32), length, front_end, names)
        for count in (length, length // 2)
    ]
    return FileClips(path=NOISE, inputs={name: torch.cat([part[name] for part in parts]) for name in names})


def _samples(samples: np.ndarray, length: int, front_end: FrontEnd, names: Sequence[str]) -> Signals:
    padded = torch.from_numpy(np.pad(samples, (0, length - len(samples))))[None]
    inputs = {SAMPLES: padded, FRAMES: torch.tensor([front_end.frames(len(samples))])}
    return {name: inputs[name] for name in names}
