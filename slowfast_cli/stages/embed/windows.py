"""Windows of recordings that features are computed from, and presets: those of the tools that made public features.

A video is a stream of frames; a `Row` names the frames of one feature vector, either by position in the stream
resampled to a fixed frame rate, or by time. The sources of each rule are in `PRESETS`.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor
from typing import Literal, TypeAlias

import torch

from slowfast_cli.types import DataError, Seconds, UsageError, did_you_mean

FRAMES = 32  # of a clip of every preset
FPS = 30
SPAN = 64  # frames at `FPS` that a clip of 32 frames with step 2 covers
SNAP = 1e-3  # frames, or frames per second, within which a number counts as whole
EVENTS, EVENT_FRAMES = 5, 60  # of a VidSitu segment of 10 s, at `FPS`
AUDIO_WINDOW, AUDIO_HOP = 1.0, 0.2  # seconds, EPIC-SOUNDS detection


@dataclass(frozen=True, kw_only=True)
class VideoLength:
    """What decides the rows of a video."""

    frames: int  # of the stream resampled to `FPS`
    fps: float  # of the file
    seconds: Seconds


@dataclass(frozen=True, kw_only=True)
class Row:
    """The frames of one feature vector."""

    start: Seconds
    end: Seconds
    positions: tuple[int, ...] | None
    """In the stream resampled to `FPS`; None: all frames of the file from ``start`` to ``end``, resampled to a clip."""


RowRule: TypeAlias = Callable[[VideoLength, "Seconds | None"], Iterator[Row]]


def resample(frames: int, count: int = FRAMES) -> list[int]:
    """Indices of ``count`` of some frames, spread evenly and rounded down, as the reference tools do in float32.

    >>> resample(32) == list(range(32)), resample(64, 4)
    (True, [0, 21, 42, 63])
    """
    indices: list[int] = torch.linspace(0, frames - 1, count).long().tolist()
    return indices


def hero(length: VideoLength, window: Seconds | None) -> Iterator[Row]:
    """Consecutive clips of the HERO extractor (``window`` None: 3/2 s).

    The stream is padded with its last frame to whole seconds; the last second is repeated to fill the last clip. The 32
    positions span 64 frames of the *file's* frame rate, so that a clip of a 60 fps file ends in repeated frames.

    Raises:
        UsageError: A window is not a whole number of frames.
    """
    clip = Fraction(window or 1.5).limit_denominator(FPS)
    if (clip * FPS).denominator != 1 or abs(float(clip) - (window or 1.5)) > 1e-9:
        raise UsageError(f"--window {window:g}: expected a whole number of frames at {FPS} fps, as 1.5 or 2")
    size = int(clip * FPS)
    seconds = ceil(length.frames / FPS)
    padded = ceil(seconds / clip.numerator) * clip.numerator
    count = min(padded * FPS // size, ceil(Fraction(length.seconds).limit_denominator(10**6) / clip))
    rate = floor(length.fps + SNAP)
    steps = torch.linspace(0, SPAN * rate / FPS - 1, FRAMES).clamp(0, size - 1).long().tolist()
    for row in range(count):
        positions = []
        for step in steps:
            second, frame = divmod(row * size + step, FPS)
            positions.append(min(min(second, seconds - 1) * FPS + frame, length.frames - 1))
        start = float(row * clip)
        yield Row(start=start, end=min(start + float(clip), length.seconds), positions=tuple(positions))


def moment_detr(length: VideoLength, window: Seconds | None) -> Iterator[Row]:
    """`hero` with clips of 2 s, as QVHighlights is annotated."""
    yield from hero(length, window or 2.0)


def strided(frames: float, window: int = FRAMES, stride: int = 16) -> list[float]:
    """Starts of windows, in frames; an extra one ends with the video if the others do not.

    >>> strided(100), strided(20)
    ([0.0, 16.0, 32.0, 48.0, 64.0, 68.0], [0.0])
    """
    last = max(frames - window, 0.0)
    starts = [float(start) for start in range(0, floor(last + SNAP) + 1, stride)]
    return starts if last - starts[-1] <= SNAP else [*starts, float(last)]


def ego4d(length: VideoLength, _: Seconds | None) -> Iterator[Row]:
    """Windows of 32/30 s every 16/30 s, whose frames are picked by time, as the Ego4D extractor does."""
    frames = length.seconds * FPS
    frames = round(frames) if abs(frames - round(frames)) < SNAP else frames
    for start in strided(frames):
        yield Row(start=start / FPS, end=(start + FRAMES) / FPS, positions=None)


def vidsitu(length: VideoLength, _: Seconds | None) -> Iterator[Row]:
    """Five windows of 64 frames, one around each event of a segment of 10 s.

    Raises:
        DataError: The segment is longer.
    """
    whole = EVENTS * EVENT_FRAMES
    if length.frames > whole + FPS:
        raise DataError(f"{length.seconds:.1f} s of video: the preset vidsitu is for segments of 10 s: cut them first")
    for event in range(EVENTS):
        first = event * EVENT_FRAMES + EVENT_FRAMES // 2 - SPAN // 2
        last = min(length.frames, whole) - 1
        positions = tuple(min(max(first + step, 0), last) for step in range(0, SPAN, 2))
        yield Row(start=max(first, 0) / FPS, end=min(first + SPAN, whole) / FPS, positions=positions)


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Windows, input and file of features that others have published."""

    network: str  # that the published features come from
    key: str  # of the array
    format: str
    dtype: Literal["float16", "float32"]
    rows: RowRule | None = None  # of a video; None: windows of sound
    any_window: bool = False  # --window changes the length of the clips
    side: int = 224  # pixels
    squeezed: bool = False  # both sides are resized to `side`, instead of the short side and a center crop
    margin: Literal["floor", "round", "ceil"] = "ceil"  # rounding of the left and top margin of the crop
    bgr: bool = False  # the network reads blue, green, red
    ending: str = ""  # of the name of a file, before its suffix
    by_stem: bool = False  # files lie in one folder, named by the recording alone; data sets give whole recordings
    note: str = ""  # what the published features leave open

    @property
    def reads_frames(self) -> bool:
        """Whether the preset is for video."""
        return self.rows is not None


PRESETS: Mapping[str, Preset] = {
    "hero": Preset(  # linjieli222/HERO_Video_Feature_Extractor, slowfast/extract_feature
        network="SlowFast 8x8 R50, Kinetics-400", key="features", format="npz", dtype="float16", rows=hero,
        any_window=True, margin="floor",
    ),
    "moment-detr": Preset(  # the same extractor with --clip_len 2 (jayleicn/moment_detr)
        network="SlowFast 8x8 R50, Kinetics-400", key="features", format="npz", dtype="float16", rows=moment_detr,
        any_window=True, margin="floor",
    ),
    "ego4d": Preset(  # facebookresearch/Ego4d, ego4d/features/configs/slowfast_r101_8x8.yaml
        network="SlowFast 8x8 R101, Kinetics-400", key="features", format="pt", dtype="float32", rows=ego4d, side=256,
        margin="round",
    ),
    "actionformer-epic": Preset(  # happyharrycn/actionformer_release, configs/epic_slowfast_verb.yaml
        network="SlowFast 8x8 R50, EPIC-KITCHENS-100", key="feats", format="npz", dtype="float32", rows=ego4d, side=256,
        bgr=True,
        note="the extraction code is not public: the rule is that of ego4d, with the crop and the channels of the "
        "EPIC-KITCHENS network",
    ),
    "vidsitu": Preset(  # TheShadow29/VidSitu, feat_extractor.py
        network="SlowFast 8x8 R50, VidSitu verbs", key="features", format="npy", dtype="float32", rows=vidsitu,
        squeezed=True, ending="_feats",
    ),
    "epic-sounds-c10": Preset(  # epic-kitchens/C10-epic-sounds-detection
        network="Auditory SlowFast R50, EPIC-SOUNDS, clips of 0.999 s at 24 kHz", key="feats", format="npz",
        dtype="float32", by_stem=True,
        note="the extraction code is not public: row i is the window from 0.2 i to 0.2 i + 1 s, as long as it starts "
        "inside the recording; at the end it is shorter, and its last log-mel frame is repeated; the challenge's code "
        "takes (6 i + 16) / 30 s as the time of row i",
    ),
}  # fmt: skip


def preset_named(name: str) -> Preset:
    """Look up a preset; raise `UsageError` if there is none of that name."""
    if name not in PRESETS:
        raise UsageError(
            f"--preset {name}: no such preset{did_you_mean(name, PRESETS) or '; there are ' + ', '.join(PRESETS)}"
        )
    return PRESETS[name]
