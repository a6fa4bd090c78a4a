"""The player's clock of a container: time 0 is where its first audio or video stream starts.

Offsets up to `PAUSE` are those of encoders (priming samples, reordered frames, rounded timestamps) and are ignored.
"""

from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
from av.stream import Disposition

from slowfast_cli.media.container import open_container
from slowfast_cli.types import Seconds

PAUSE = 0.1  # seconds; longer pauses and later starts count
# Containers in which streams may start late and pause; others are continuous, or their timestamps are guesses.
TIMED = frozenset({"mov", "mp4", "matroska", "webm", "flv", "mpegts", "mpeg", "asf"})
LONGEST_STREAM = frozenset({"matroska", "webm", "flv"})  # their headers give the length of the longest stream only
HEADER_TOLERANCE = 0.5  # seconds by which headers may overstate the length
LONGEST = 6 * 3600.0  # seconds of a pause in a container of unknown length


def formats(container: Any) -> set[str]:
    """Return the names of a container's format."""
    return set(container.format.name.split(","))


def late_start(container: Any, time: Seconds | None) -> Seconds:
    """Return how long after the start of a container a stream starts, given its first timestamp; 0 up to `PAUSE`."""
    if time is None or not formats(container) & TIMED:
        return 0.0
    starts = [
        float(stream.start_time * stream.time_base)
        for stream in (*container.streams.audio, *container.streams.video)
        if stream.start_time is not None and not stream.disposition & Disposition.attached_pic
    ]
    late = time - min(starts, default=time)
    return late if PAUSE < late <= longest(container) else 0.0


def stated_end(container: Any, path: Path) -> Seconds | None:
    """Return the length of a container in its header if no stream reaches it, so that the file is truncated; else None.

    Only for containers that state the length of their longest stream.
    """
    if not formats(container) & LONGEST_STREAM or not container.duration:
        return None
    stat = path.stat()
    stated = (container.duration - (container.start_time or 0)) / av.time_base
    return None if _reaches(path, stated, stat.st_size, stat.st_mtime_ns) else stated


@lru_cache(maxsize=1 << 16)
def _reaches(path: Path, stated: Seconds, _size: int, _time: int) -> bool:
    """Whether a packet of any stream ends where the header states the end; the caller's streams discard packets."""
    with suppress(av.FFmpegError), open_container(path) as container:
        end = stated + (container.start_time or 0) / av.time_base - max(HEADER_TOLERANCE, 0.01 * stated)
        with suppress(av.FFmpegError):  # without an index, all packets are read
            container.seek(round(max(end - 1, 0) * av.time_base))
        for packet in container.demux():
            if packet.pts is not None and float((packet.pts + (packet.duration or 0)) * packet.time_base) >= end:
                return True
    return False


def longest(container: Any) -> Seconds:
    """Return the longest pause that timestamps may state."""
    return float(container.duration) / av.time_base if container.duration else LONGEST


@dataclass(kw_only=True)
class Clock:
    """Positions of audio frames in samples, from their timestamps.

    The positions of regular frames are multiples of the frame size from `pts`: `exact` finds them after a seek. Frames
    with jittered timestamps follow each other without gaps until they are off by more than `PAUSE`.
    """

    rate: int  # Hz
    tick: Seconds  # time base of the timestamps
    pts: int  # timestamp of a frame
    position: int  # its position
    lead: int  # position of the frames before it
    grid: int  # samples per frame; 0 if frames differ, or have no exact timestamps
    limit: Seconds  # longest pause

    def exact(self, pts: int) -> int | None:
        """Return the position of a frame; None unless its timestamp is regular."""
        offset = (pts - self.pts) * self.tick * self.rate
        if not self.grid:
            return None
        regular = round(offset / self.grid) * self.grid
        return self.position + regular if abs(offset - regular) <= max(1.0, self.tick * self.rate) else None

    def place(self, pts: int, position: int) -> int:
        """Return the position of a frame that is preceded by ``position`` samples: more than that after a pause."""
        if pts < self.pts:
            return max(position, self.lead)
        offset = (pts - self.pts) * self.tick * self.rate
        pause = self.position + offset - position
        if not -PAUSE * self.rate <= pause <= self.limit * self.rate:  # the timestamps start anew
            self.pts, self.position = pts, position
            return position
        exact = self.exact(pts)
        if exact is not None and exact - position > max(1.0, self.tick * self.rate):
            return exact
        return round(self.position + offset) if pause > PAUSE * self.rate else position
