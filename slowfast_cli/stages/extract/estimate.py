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
START_UP: Seconds = 3.0  # of worker processes, which import PyTorch at the same time


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Needs of an extraction."""

    seconds: Seconds  # of sound
    bytes: int  # of shards
    elapsed: Seconds  # of one process
    free: int  # bytes of the disk
    recordings: int

    def processes(self, jobs: int) -> int:
        """Number of processes that have work."""
        return min(jobs, self.recordings)

    def duration(self, jobs: int) -> Seconds:
        """Time from the start of the processes to the end of their work."""
        processes = self.processes(jobs)
        return self.elapsed / processes + START_UP * (processes > 1)


def estimate(recordings: Sequence[Recording], front_end: FrontEnd, *, dtype: str, out: Path) -> Estimate:
    """Decode and transform the beginnings of `SAMPLE` recordings, spread evenly, and scale the result.

    Args:
        recordings: Recordings to store.
        front_end: Log-mel settings.
        dtype: Of the stored rows: ``float16`` or ``float32``.
        out: Folder of the shards.

    Raises:
        DataError: The disk has less space than the looked-at recordings alone need.
    """
    transform = make_front_end(front_end)
    transform(torch.zeros(1, front_end.rate))  # loads libraries
    total = heard = elapsed = 0.0
    looked_at = 0
    count, looked = len(recordings), min(SAMPLE, len(recordings))
    for recording in (recordings[number * count // looked] for number in range(looked)):
        with suppress(DataError):  # reported when it is stored
            length = audio.probe(recording).seconds
            start = time.perf_counter()
            samples = audio.read(recording, rate=front_end.rate, count=round(LISTEN * front_end.rate))
            transform(torch.from_numpy(samples)[None])
            heard, elapsed = heard + len(samples) / front_end.rate, elapsed + time.perf_counter() - start
            total, looked_at = total + length, looked_at + 1
    seconds = total / max(looked_at, 1) * count
    rate = 1000 / front_end.hop_ms * front_end.mels * torch.finfo(getattr(torch, dtype)).bits / 8  # bytes per second
    free = free_bytes(out)
    if (size := total * rate) > free:
        raise DataError(
            f"{printable(out)}: {looked_at} of {count:,} recordings need {size / 1e9:,.1f} GB, the disk has "
            f"{free / 1e9:,.1f} GB free"
        )
    return Estimate(
        seconds=seconds, bytes=round(seconds * rate), elapsed=elapsed * seconds / heard if heard else 0.0, free=free,
        recordings=count,
    )  # fmt: skip
