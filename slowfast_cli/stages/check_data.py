"""Whether a corpus can be used: every recording is decoded to its end, pictures and sound, and nothing is stored."""

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
from slowfast_cli.media.audio_source import NoAudioError, printable
from slowfast_cli.media.video_check import decode_all, has_frames
from slowfast_cli.types import Corpus, DataError, Failure, Recording, Seconds

Heard = Literal["ok", "unreadable", "no audio stream", "silent"]
State = Literal[Heard, "too short", "unreadable video", "video without sound", "video with silence"]
Watch = Literal["always", "where there are some", "never"]  # its pictures
PICTURES_ONLY: dict[Heard, State] = {"no audio stream": "video without sound", "silent": "video with silence"}
WRONG = (DataError, ValueError, RuntimeError, ArithmeticError, LookupError, OSError)  # what broken media lead to


@dataclass(frozen=True, kw_only=True)
class Checked:
    """One recording.

    Attributes:
        id: Its id.
        path: Its file.
        state: What is wrong with it, or ``ok``; or that it is a video with nothing to hear, which can be used.
        seconds: Of its sound, as far as it decodes.
        reason: What is wrong or not there in words; empty when nothing is.
        seen: Seconds of pictures that decode.
    """

    id: str
    path: Path
    state: State
    seconds: Seconds
    reason: str = ""
    seen: Seconds = 0.0


@dataclass(frozen=True, kw_only=True)
class Report:
    """A corpus.

    Attributes:
        listed: Segments in the list.
        found: Segments whose media are on disk.
        recordings: That they are in.
        states: How many recordings are in each state.
        seconds: Of sound that decodes.
        failures: The recordings that are not ``ok``, and the segments without media. Videos with nothing to hear are
            ``soundless``: they can be used, by their pictures alone.
        seen: Seconds of pictures that decode.
    """

    listed: int
    found: int
    recordings: int
    states: dict[State, int]
    seconds: Seconds
    failures: tuple[Failure, ...]
    seen: Seconds = 0.0


def check(
    corpus: Corpus, *, rate: int, min_seconds: Seconds = 0.0, jobs: int = 1, mixed: bool = False
) -> Iterator[Checked | Report]:
    """Decode every recording of a corpus: its sound, and every picture where it is about video.

    Sound and pictures are decoded piece by piece and let go: memory does not grow with the length of a recording.

    Args:
        corpus: What to check.
        rate: That training will ask for, Hz.
        min_seconds: Recordings below are too short; so are those that end before one of their segments starts.
        jobs: Decoders at a time.
        mixed: Whether its files with a video stream are videos, though the corpus is not about pictures.

    Yields:
        `Checked` for each recording, in order, and a `Report` at the end.
    """
    watch: Watch = "always" if corpus.has_video else "where there are some" if mixed else "never"
    last_start: dict[str, Seconds] = {}
    for segment in corpus.segments:
        latest = max(segment.start, segment.center or 0.0)
        last_start[segment.recording.id] = max(last_start.get(segment.recording.id, 0.0), latest)
    states: Counter[State] = Counter()
    failures: list[Failure] = []
    heard = seen = 0.0
    # Threads do: libsndfile and FFmpeg let go of the interpreter while they decode.
    with ThreadPoolExecutor(jobs) as pool:
        waiting = iter(corpus.recordings)
        running: deque[Future[Checked]] = deque()
        while True:
            for recording in islice(waiting, 2 * jobs - len(running)):
                least = _Least(seconds=min_seconds, last_start=last_start[recording.id])
                running.append(pool.submit(_checked, recording, rate, least, watch))
            if not running:
                break
            checked = running.popleft().result()
            states[checked.state] += 1
            heard, seen = heard + checked.seconds, seen + checked.seen
            if checked.state != "ok":
                mute = checked.state in PICTURES_ONLY.values()
                failures.append(Failure(id=checked.id, path=checked.path, reason=checked.reason, soundless=mute))
            yield checked
    yield Report(
        listed=corpus.listed,
        found=len(corpus.segments),
        recordings=len(corpus.recordings),
        states=dict(states),
        seconds=heard,
        failures=(*failures, *corpus.missing),
        seen=seen,
    )


@dataclass(frozen=True, kw_only=True)
class _Least:
    """How long a recording has to be.

    Attributes:
        seconds: That it lasts.
        last_start: When the last of its segments starts, which it has to go beyond.
    """

    seconds: Seconds
    last_start: Seconds

    def missed(self, length: Seconds) -> str:
        """What is wanted of a recording that is too short; empty where it is not."""
        if length <= self.last_start:
            return f"a segment starts at {self.last_start:.2f} s"
        return f"{self.seconds:.2f} s are wanted" if length < self.seconds else ""


def _checked(recording: Recording, rate: int, least: _Least, watch: Watch) -> Checked:
    moving = watch == "always" or (watch != "never" and has_frames(recording))
    seen = 0.0
    state: State
    if moving:
        try:
            seen = decode_all(recording)
        except WRONG as error:
            return Checked(
                id=recording.id, path=recording.path, state="unreadable video", seconds=0.0, reason=str(error)
            )
    told, seconds, reason = _heard(recording, rate)
    state = PICTURES_ONLY.get(told, told) if moving else told
    missed = least.missed(seen if moving else seconds)
    if missed and (state == "ok" or state in PICTURES_ONLY.values()):
        length = f"{seen:.2f} s of pictures" if moving else f"{seconds:.2f} s of sound"
        state, reason = "too short", f"{printable(recording.path)}: {length}: {missed}"
    return Checked(id=recording.id, path=recording.path, state=state, seconds=seconds, reason=reason, seen=seen)


def _heard(recording: Recording, rate: int) -> tuple[Heard, Seconds, str]:
    """What its sound is like, how much of it decodes, and what is wrong with it in words."""
    if recording.path.is_dir() and recording.sound is None:
        return "no audio stream", 0.0, f"{printable(recording.path)}: pictures, and no sound with them"
    samples, peak = 0, 0.0
    try:
        for block in audio.blocks(recording, rate=rate, whole=True):
            samples += len(block)
            peak = max(peak, float(np.abs(block).max()))
    except NoAudioError as error:
        return "no audio stream", 0.0, str(error)
    except WRONG as error:
        return "unreadable", samples / rate, str(error)
    if peak == 0:
        return "silent", samples / rate, f"{printable(recording.sound or recording.path)}: each of its samples is 0"
    return "ok", samples / rate, ""
