"""Whether a corpus can be used: every recording is decoded to its end, nothing is stored."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np

from slowfast_cli.media import audio
from slowfast_cli.media.source import NoSoundError, shown
from slowfast_cli.types import Corpus, DataError, Failure, Recording, Seconds

State = Literal["ok", "unreadable", "too short", "no audio stream", "silent"]


@dataclass(frozen=True, kw_only=True)
class Checked:
    """One recording.

    Attributes:
        id: Its id.
        path: Its file.
        state: What is wrong with it, or ``ok``.
        seconds: Its length, as far as it decodes.
        reason: What is wrong in words; empty when nothing is.
    """

    id: str
    path: Path
    state: State
    seconds: Seconds
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Report:
    """A corpus.

    Attributes:
        listed: Segments in the list.
        found: Segments whose media are on disk.
        recordings: That they are in.
        states: How many recordings are in each state.
        seconds: Of sound that decodes.
        failures: The recordings that are not ``ok``, and the segments without media.
    """

    listed: int
    found: int
    recordings: int
    states: dict[State, int]
    seconds: Seconds
    failures: tuple[Failure, ...]


def check(corpus: Corpus, *, rate: int, min_seconds: Seconds = 0.0, jobs: int = 1) -> Iterator[Checked | Report]:
    """Decode every recording of a corpus.

    Args:
        corpus: What to check.
        rate: That training will ask for, Hz.
        min_seconds: Recordings below are too short; so are those that end before one of their segments starts.
        jobs: Decoders at a time.

    Yields:
        `Checked` for each recording, in order, and a `Report` at the end.
    """
    last_start: dict[str, Seconds] = {}
    for segment in corpus.segments:
        last_start[segment.recording.id] = max(last_start.get(segment.recording.id, 0.0), segment.start)
    states: Counter[State] = Counter()
    failures: list[Failure] = []
    total = 0.0
    # Threads do: libsndfile and FFmpeg let go of the interpreter while they decode.
    with ThreadPoolExecutor(jobs) as pool:
        waiting = iter(corpus.recordings)
        running: deque[Future[Checked]] = deque()
        while True:
            for recording in islice(waiting, 2 * jobs - len(running)):
                running.append(pool.submit(_checked, recording, rate, min_seconds, last_start[recording.id]))
            if not running:
                break
            checked = running.popleft().result()
            states[checked.state] += 1
            total += checked.seconds
            if checked.state != "ok":
                failures.append(Failure(id=checked.id, path=checked.path, reason=checked.reason))
            yield checked
    yield Report(
        listed=corpus.listed,
        found=len(corpus.segments),
        recordings=len(corpus.recordings),
        states=dict(states),
        seconds=total,
        failures=(*failures, *corpus.missing),
    )


def _checked(recording: Recording, rate: int, min_seconds: Seconds, last_start: Seconds) -> Checked:
    samples, peak = 0, 0.0
    state: State = "ok"
    reason = ""
    try:
        for block in audio.blocks(recording, rate=rate, whole=True):
            samples += len(block)
            peak = max(peak, float(np.abs(block).max()))
    except NoSoundError as error:
        state, reason = "no audio stream", str(error)
    except (DataError, ValueError, RuntimeError, ArithmeticError, LookupError, OSError) as error:
        state, reason = "unreadable", str(error)
    seconds = samples / rate
    if state == "ok" and peak == 0:
        state, reason = "silent", f"{shown(recording.path)}: each of its samples is 0"
    elif state == "ok" and (seconds < min_seconds or seconds <= last_start):
        wanted = (
            f"a segment starts at {last_start:.2f} s" if seconds <= last_start else f"{min_seconds:.2f} s are wanted"
        )
        state, reason = "too short", f"{shown(recording.path)}: {seconds:.2f} s of sound: {wanted}"
    return Checked(id=recording.id, path=recording.path, state=state, seconds=seconds, reason=reason)
