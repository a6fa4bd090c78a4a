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
from slowfast_cli.stages.predict.video import eval_frames
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
    front_end = FrontEnd(**card.front_end)  # type: ignore[arg-type]
    length = clip_samples(card.clip_seconds, front_end.rate) - 1
    for path in paths:
        samples = audio.read(Recording(id=str(path), path=path), rate=front_end.rate, first=0, count=length)
        yield FileClips(path=path, inputs=_samples(samples, length, front_end, names))


def noise(card: Card, names: Sequence[str] = ()) -> FileClips:
    """Two clips of noise, where no files are named.

    Args:
        card: Describes what the network reads.
        names: Inputs of a network with the front end inside; empty: those of the network alone.
    """
    draw = np.random.default_rng(0)
    signals, inputs = card.net.signals, dict[str, Tensor]()
    frames = eval_frames(card) if card.video else None
    if card.front_end:
        front_end = FrontEnd(**card.front_end)  # type: ignore[arg-type]
        length = clip_samples(card.clip_seconds, front_end.rate) - 1
        samples = [draw.normal(0, 0.1, count).astype(np.float32) for count in (length, length // 2)]
        if names:
            parts = [_samples(part, length, front_end, names) for part in samples]
            return FileClips(path=NOISE, inputs={name: torch.cat([part[name] for part in parts]) for name in names})
        steps = front_end.frames(length) if frames is None else frames.rows
        inputs["logmel"] = torch.from_numpy(draw.normal(0, 1, (2, 1, steps, front_end.mels)).astype(np.float32))
        inputs[SAMPLES] = torch.from_numpy(np.stack([np.pad(part, (0, length - len(part))) for part in samples]))
    if frames is not None:
        shape = (2, 3, frames.frames, frames.side, frames.side)
        inputs["frames"] = torch.from_numpy(draw.normal(0, 1, shape).astype(np.float32))
        inputs["has_audio"] = torch.ones(2)
    wanted = signals | ({"has_audio"} if {"logmel", "frames"} <= signals else set())
    return FileClips(path=NOISE, inputs={name: value for name, value in inputs.items() if name in wanted})


def _samples(samples: np.ndarray, length: int, front_end: FrontEnd, names: Sequence[str]) -> Signals:
    padded = torch.from_numpy(np.pad(samples, (0, length - len(samples))))[None]
    inputs = {SAMPLES: padded, FRAMES: torch.tensor([front_end.frames(len(samples))])}
    return {name: inputs[name] for name in names}
