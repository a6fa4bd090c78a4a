"""What an extraction needs, judged by a few recordings before it begins."""

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from slowfast_cli.features.front_ends import make_front_end
from slowfast_cli.media import audio
from slowfast_cli.media.audio_source import printable
from slowfast_cli.settings import FrontEnd
from slowfast_cli.storage.atomic import free_bytes
from slowfast_cli.types import DataError, Recording, Seconds

SAMPLE = 8  # recordings that are looked at
LISTEN: Seconds = 10.0  # of each, decoded and transformed


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Needs of an extraction."""

    seconds: Seconds  # of sound
    bytes: int  # of shards
    elapsed: Seconds  # of one process
    free: int  # bytes of the disk


def estimate(recordings: Sequence[Recording], front_end: FrontEnd, *, dtype: str, out: Path) -> Estimate:
    """Decode and transform the beginnings of `SAMPLE` recordings, spread evenly, and scale the result.

    Args:
        recordings: Recordings to store.
        front_end: Log-mel settings.
        dtype: Of the stored rows: ``float16`` or ``float32``.
        out: Folder of the shards.

    Raises:
        DataError: The disk has less space.
    """
    transform = make_front_end(front_end)
    total = heard = elapsed = 0.0
    looked_at = 0
    for recording in recordings[:: max(1, len(recordings) // SAMPLE)][:SAMPLE]:
        with suppress(DataError):  # reported when it is stored
            length = audio.probe(recording).seconds
            start = time.perf_counter()
            samples = audio.read(recording, rate=front_end.rate, count=round(LISTEN * front_end.rate))
            transform(torch.from_numpy(samples)[None])
            if looked_at:  # the first one loads libraries
                heard, elapsed = heard + len(samples) / front_end.rate, elapsed + time.perf_counter() - start
            total, looked_at = total + length, looked_at + 1
    seconds = total / max(looked_at, 1) * len(recordings)
    rows = seconds * 1000 / front_end.hop_ms
    size = round(rows * front_end.mels * torch.finfo(getattr(torch, dtype)).bits / 8)
    free = free_bytes(out)
    if size > free:
        raise DataError(f"{printable(out)}: {size / 1e9:,.1f} GB are needed, the disk has {free / 1e9:,.1f} GB free")
    return Estimate(seconds=seconds, bytes=size, elapsed=elapsed * seconds / heard if heard else 0.0, free=free)
