"""Check a corpus: decode every recording to its end, audio and frames, without storing anything."""

from collections import Counter, deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Literal

from slowfast_cli.media import audio
from slowfast_cli.media.audio_source import NoAudioError, SilentError, printable
from slowfast_cli.media.quality import Change, Channels
from slowfast_cli.media.video_check import decode_all, has_frames
from slowfast_cli.types import AUDIO_SUFFIXES, BrokenMediaError, Corpus, Failure, Recording, Seconds

AudioState = Literal["ok", "unreadable", "no audio stream", "silent"]
State = Literal[AudioState, "too short", "unreadable video", "video without sound", "video with silence"]
DecodeFrames = Literal["always", "of videos", "never"]
PICTURES_ONLY: dict[AudioState, State] = {"no audio stream": "video without sound", "silent": "video with silence"}


@dataclass(frozen=True, kw_only=True)
class Checked:
    """Result of one recording."""

    id: str
    path: Path
    state: State  # ``ok``, its defect, or that it is a video without audible sound, which is usable
    seconds: Seconds  # of sound, as far as it decodes
    reason: str = ""  # description of the defect
    video_seconds: Seconds = 0.0  # of decodable frames
    flags: tuple[str, ...] = ()  # why it may be a poor example, though it decodes
    end: Seconds | None = None  # where it ends, if all that is wrong is that segments begin later


@dataclass(frozen=True, kw_only=True)
class Report:
    """Result of a corpus."""

    listed: int  # segments in the list
    found: int  # segments with media
    recordings: int  # of these segments
    states: dict[State, int]  # number of recordings by state
    seconds: Seconds  # of decodable sound
    failures: tuple[Failure, ...]
    """Recordings that are not ``ok``, and segments without media; usable videos without sound are ``soundless``."""
    video_seconds: Seconds = 0.0  # of decodable frames
    flagged: tuple[Failure, ...] = ()  # recordings that decode, but may be poor examples, one entry for each reason
    ends: Mapping[str, Seconds] = field(default_factory=dict)
    """Length by id of recording, where all that is wrong is that segments begin later."""


def check(
    corpus: Corpus, *, min_seconds: Seconds = 0.0, jobs: int = 1, audio_or_video: bool = False
) -> Iterator[Checked | Report]:
    """Decode every recording of a corpus: its audio, and all frames of a video.

    Memory does not grow with the length of a recording.

    Args:
        corpus: The corpus.
        min_seconds: Shorter recordings are too short; so are those that end before one of their segments starts.
        jobs: Number of threads; decoders release the GIL.
        audio_or_video: Also check the frames of files with a video stream if the corpus is not a video corpus.

    Yields:
        `Checked` for each recording, in order; `Report` last.
    """
    frames: DecodeFrames = "always" if corpus.has_video else "of videos" if audio_or_video else "never"
    last_start: dict[str, Seconds] = {}
    for segment in corpus.segments:
        latest = max(segment.start, segment.center or 0.0)
        last_start[segment.recording.id] = max(last_start.get(segment.recording.id, 0.0), latest)
    states: Counter[State] = Counter()
    failures, flagged, ends = list[Failure](), list[Failure](), dict[str, Seconds]()
    seconds = video_seconds = 0.0
    with ThreadPoolExecutor(jobs) as pool:
        waiting = iter(corpus.recordings)
        running: deque[Future[Checked]] = deque()
        while True:
            for recording in islice(waiting, 2 * jobs - len(running)):
                required = _Required(seconds=min_seconds, last_start=last_start[recording.id])
                running.append(pool.submit(_check, recording, required, frames))
            if not running:
                break
            checked = running.popleft().result()
            states[checked.state] += 1
            seconds, video_seconds = seconds + checked.seconds, video_seconds + checked.video_seconds
            if checked.state != "ok":
                mute = checked.state in PICTURES_ONLY.values()
                failures.append(Failure(id=checked.id, path=checked.path, reason=checked.reason, soundless=mute))
            if checked.end is not None:
                ends[checked.id] = checked.end
            for flag in checked.flags:
                reason = f"{printable(checked.path)}: {flag}"
                flagged.append(Failure(id=checked.id, path=checked.path, reason=reason))
            yield checked
    yield Report(
        listed=corpus.listed,
        found=len(corpus.segments),
        recordings=len(corpus.recordings),
        states=dict(states),
        seconds=seconds,
        failures=(*failures, *corpus.missing),
        video_seconds=video_seconds,
        flagged=tuple(flagged),
        ends=ends,
    )


@dataclass(frozen=True, kw_only=True)
class _Required:
    """Required length of a recording."""

    seconds: Seconds
    last_start: Seconds  # start of its last segment

    def violation(self, length: Seconds) -> str:
        """Why a recording of this length is too short; empty if it is long enough."""
        if length <= self.last_start:
            return f"a segment starts at {self.last_start:.2f} s"
        return f"expected at least {self.seconds:.2f} s" if length < self.seconds else ""


def _check(recording: Recording, required: _Required, frames: DecodeFrames) -> Checked:
    is_video = (frames == "always" and not _is_sound(recording)) or (frames == "of videos" and has_frames(recording))
    video_seconds, change = 0.0, Change()
    if is_video:
        try:
            video_seconds = decode_all(recording, change.add)
        except BrokenMediaError as error:
            return Checked(
                id=recording.id, path=recording.path, state="unreadable video", seconds=0.0, reason=str(error)
            )
    audio_state, seconds, reason, flags = _check_audio(recording)
    state: State = PICTURES_ONLY.get(audio_state, audio_state) if is_video else audio_state
    length, end = video_seconds if is_video else seconds, None
    if (violation := required.violation(length)) and (state == "ok" or state in PICTURES_ONLY.values()):
        what = "frames" if is_video else "sound"
        state, reason = "too short", f"{printable(recording.path)}: {length:.2f} s of {what}: {violation}"
        end = length if length >= required.seconds else None
    return Checked(
        id=recording.id, path=recording.path, state=state, seconds=seconds, reason=reason, video_seconds=video_seconds,
        flags=(*flags, *change.flags()), end=end,
    )  # fmt: skip


def _is_sound(recording: Recording) -> bool:
    """Whether a recording of a data set with videos has sound alone: an audio file, or samples in an HDF5 file."""
    return recording.path.suffix.lower() in AUDIO_SUFFIXES or (
        recording.dataset is not None and recording.sound is None
    )


def _check_audio(recording: Recording) -> tuple[AudioState, Seconds, str, list[str]]:
    """State of the audio, its decodable length, a description of its defect, and its flags."""
    if recording.path.is_dir() and recording.sound is None:
        return "no audio stream", 0.0, f"{printable(recording.path)}: a folder of images without audio", []
    channels = Channels()
    try:
        decoded = audio.decode_all(recording, channels.add)
    except NoAudioError as error:
        return "no audio stream", 0.0, str(error), []
    except BrokenMediaError as error:
        return "unreadable", 0.0, str(error), []
    if decoded.defect is None:
        return "ok", decoded.seconds, "", channels.flags()
    state: AudioState = "silent" if isinstance(decoded.defect, SilentError) else "unreadable"
    return state, decoded.seconds, str(decoded.defect), []
