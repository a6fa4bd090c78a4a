"""Settings of the front end, the frames of a clip and the augmentation: one declaration each, without torch.

Recipes validate these classes, shards and weight files store them, `slowfast_cli.features` computes with them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal, TypeAlias

from annotated_types import Ge, Gt, Le, Lt

from slowfast_cli.types import Seconds, Settings

Count: TypeAlias = Annotated[int, Ge(0), Le(10**9)]
Positive: TypeAlias = Annotated[int, Ge(1), Le(10**9)]
Amount: TypeAlias = Annotated[float, Ge(0), Le(1e9)]
Rate: TypeAlias = Annotated[float, Gt(0), Le(1e9)]
Finite: TypeAlias = Annotated[float, Gt(-math.inf), Lt(math.inf)]
# The names in `slowfast_cli.tasks.registry`, which imports torch.
Task: TypeAlias = Literal["classify", "multilabel", "detect", "rotation", "sync", "simclr", "byol", "cpc", "masked"]

CLOSED = {"extra": "forbid", "use_attribute_docstrings": True}  # how pydantic validates a section of a recipe
ALWAYS_STORED = ("rate", "window_ms", "hop_ms", "mels", "fft", "floor")
ADDED = ("channels", "bounds", "sampling")  # fields of `Frames` that were added after the first release
WHOLE = 0  # `Frames.crops`: test on the whole frame


@dataclass(frozen=True, kw_only=True)
class FrontEnd:
    """The log-mel spectrogram; shards made with other settings are refused."""

    __pydantic_config__ = CLOSED

    kind: str = "logmel"
    """Transform, a name of `slowfast_cli.features.front_ends`."""
    rate: Positive = 16000
    """Sampling rate, Hz."""
    window_ms: Rate = 20
    """Length of the periodic Hann window."""
    hop_ms: Rate = 10
    """Distance between frames."""
    mels: Positive = 128
    """Number of mel bands."""
    fft: Positive = 2048
    """FFT size; the window is zero-padded to it on both sides."""
    floor: Rate = 1e-6
    """Added to the mel bands before the logarithm (full scale is 1); with `decibels`, their lower bound."""
    power: Literal[1, 2] = 1
    """Magnitude (1) or power (2) spectrum."""
    area_norm: bool = False
    """Normalize mel filters to equal area (Slaney) instead of equal height."""
    centred: bool = True
    """Center frames on their time stamp; otherwise they start at it."""
    mean: Finite = 0.0
    """Subtracted from the logarithm."""
    std: Rate = 1.0
    """Divides the logarithm after `mean` is subtracted."""
    fmin: Amount = 0.0
    """Lower edge of the lowest mel band, Hz."""
    fmax: Amount = 0.0
    """Upper edge of the highest mel band, Hz; 0 means half the sampling rate."""
    mel_scale: Literal["htk", "slaney"] = "htk"
    """HTK's mel scale, or Slaney's, which is linear below 1 kHz."""
    edges: Literal["silent", "mirrored"] = "silent"
    """Padding beyond both ends of the recording: zeros or reflection."""
    decibels: bool = False
    """Use 10 log10 instead of the natural logarithm."""

    def __post_init__(self) -> None:
        if self.hop < 1 or not 0 < self.window <= self.fft:
            raise ValueError(
                f"frontend: at {self.rate} Hz hop_ms {self.hop_ms} is {self.hop} samples and window_ms "
                f"{self.window_ms} is {self.window}: a hop needs at least 1, a window 1 to fft ({self.fft})"
            )
        if not 0 <= self.fmin < self.top <= self.rate / 2:
            raise ValueError(
                f"frontend: mel bands from fmin {self.fmin:g} to fmax {self.fmax:g} Hz: expected rising bounds "
                f"from 0 to at most half the rate, {self.rate / 2:g}"
            )
        if self.edges == "mirrored" and not self.centred:
            raise ValueError("frontend: edges=mirrored needs centred=true: frames that start at their time have none")

    @property
    def window(self) -> int:
        """Window length in samples."""
        return round(self.window_ms * self.rate / 1000)

    @property
    def hop(self) -> int:
        """Hop in samples."""
        return round(self.hop_ms * self.rate / 1000)

    @property
    def top(self) -> float:
        """Upper edge of the highest mel band, Hz."""
        return self.fmax or self.rate / 2

    def frames(self, samples: int) -> int:
        """Number of frames of a signal of this length, at least one."""
        return 1 + max(0, samples if self.centred else samples - self.window) // self.hop

    @property
    def silence(self) -> float:
        """Value of every band of a silent frame."""
        return ((10 * math.log10(self.floor) if self.decibels else math.log(self.floor)) - self.mean) / self.std

    @property
    def slope(self) -> float:
        """Increase of every band when the amplitude grows by a factor of e."""
        return self.power * (10 / math.log(10) if self.decibels else 1) / self.std

    def settings(self) -> Settings:
        """Plain values for JSON; fields added after the first release are left out where they have their default."""
        plain: Settings = asdict(self)
        return {
            name: value for name, value in plain.items() if name in ALWAYS_STORED or value != getattr(FrontEnd, name)
        }


@dataclass(frozen=True, kw_only=True)
class Frames:
    """The frames of a video clip, and how they are cropped on the device."""

    __pydantic_config__ = CLOSED

    frames: Positive = 32
    """Frames of a clip, as the fastest pathway reads them."""
    step: Positive = 2
    """Distance between frames, in frames of a video of `fps`."""
    fps: Rate = 30
    """Frame rate that `step` refers to; a clip spans frames x step / fps seconds of any video."""
    crop: Positive = 224
    """Side of the square training crop, pixels."""
    jitter: tuple[Positive, Positive] = (256, 320)
    """Training resizes the short side to a size drawn from this range, pixels."""
    flip: bool = True
    """Mirror every other training clip."""
    side: Positive = 256
    """Short side when testing, pixels."""
    crops: Count = 3
    """Square test crops of that side, spread over the long side; 0 tests the whole frame."""
    rows: Positive = 128
    """Log-mel frames that accompany a clip, for networks that read both."""
    mean: Finite = 0.45
    """Subtracted from pixel values in [0, 1]."""
    std: Rate = 0.225
    """Divides pixel values after `mean` is subtracted."""
    channels: Literal["rgb", "bgr"] = "rgb"
    """Order of the colors that the network reads."""
    sampling: Literal["dense", "uniform"] = "dense"
    """Frames `step` apart; or the whole segment in one clip, with a frame of each of `frames` equal parts, counted in
    frames of `fps`: drawn in training, the middle one in testing, as for Something-Something."""
    bounds: Literal["recording", "segment"] = "recording"
    """Where a clip longer than its segment ends: it shows what follows, or repeats the last frame of the segment, as
    EPIC-KITCHENS' SlowFast does."""

    def __post_init__(self) -> None:
        if not self.crop <= self.jitter[0] <= self.jitter[1]:
            raise ValueError(
                f"video.jitter: {list(self.jitter)}: expected two sizes, rising, from video.crop ({self.crop}) on"
            )

    @property
    def seconds(self) -> Seconds:
        """Length of a clip."""
        return self.frames * self.step / self.fps

    def settings(self) -> dict[str, Any]:
        """Plain values for JSON; fields added after the first release are left out where they have their default."""
        plain = {**asdict(self), "jitter": list(self.jitter)}
        return {name: value for name, value in plain.items() if name not in ADDED or value != getattr(Frames, name)}

    @classmethod
    def from_settings(cls, plain: Mapping[str, Any]) -> Frames:
        """Read what `settings` wrote.

        Raises:
            TypeError: There is a field that this version does not know.
        """
        return cls(**{**plain, "jitter": tuple(plain["jitter"])})


@dataclass(frozen=True, kw_only=True)
class Augment:
    """SpecAugment and mixup, drawn for each clip on the device, in training only."""

    __pydantic_config__ = CLOSED

    freq_masks: Count = 0
    """Frequency masks a clip."""
    freq_width: Count = 27
    """Largest frequency mask, in mel bands: F of SpecAugment."""
    time_masks: Count = 0
    """Time masks a clip."""
    time_width: Count = 25
    """Longest time mask, in frames: T of SpecAugment."""
    warp: Count = 0
    """Largest displacement of the time warp, in frames: W of SpecAugment."""
    roll: bool = False
    """Rotate each clip in time by a random number of frames."""
    stretch: Annotated[float, Ge(0), Lt(1)] = 0
    """Change the speed of each clip by up to this share."""
    shift: Count = 0
    """Shift each clip by up to this number of mel bands."""
    gain_db: Amount = 0
    """Change the gain by up to this much in either direction."""
    mix: Amount = 0
    """Mixup: the share of the first clip is drawn from Beta(mix, mix) and folded to at least one half; 0 is off."""
    mix_other: Rate | None = None
    """Second parameter of the Beta distribution; the share is then not folded."""


@dataclass(frozen=True, kw_only=True)
class Pretext:
    """Heads and temperature of pretraining without labels."""

    __pydantic_config__ = CLOSED

    temperature: Rate = 0.1
    """Divides similarities."""
    hidden: Positive = 4096
    """Units of the projector's hidden layers."""
    layers: Count = 3
    """Hidden layers of the projector of ``simclr``."""
    out: Positive = 128
    """Size of the embedding."""
