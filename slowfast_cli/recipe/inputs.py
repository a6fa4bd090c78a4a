"""What goes into a network: data, log-mels, frames, and their augmentation."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from slowfast_cli.recipe.fields import Amount, Count, Positive, Rate, Section, Where


class Data(Section):
    """Which clips: the corpus, its splits, and how a clip is cut from a segment."""

    corpus: str
    """A data set, as `slowfast data ls` names them."""
    root: Where | None = None
    """Where it lies, a folder or a URL of fsspec; by default $SLOWFAST_DATA/<corpus>, or data/<corpus>."""
    shards: Where | None = None
    """Where `slowfast extract` put its log-mels, or a probe its features; by default in `shards` beside the root."""
    source: Literal["shards", "media", "features"] = "shards"
    """Read stored log-mels; or decode the media and compute the log-mel of the exact clip on the device; or read the
    features that a frozen trunk gave before, which a probe keeps."""
    train: str = "train"
    """The split that is learned from; {fold} stands for the field of that name."""
    val: str = "test"
    """The split scored while training."""
    test: str = "test"
    """The split that `slowfast evaluate` scores."""
    fold: Annotated[int, Field(ge=1, le=5)] | None = None
    """The fold held out, for corpora that come in folds."""
    labels: tuple[str, ...] = ()
    """Label sets to learn; all of the corpus by default."""
    clip_seconds: Rate | None = None
    """Length of a clip of sound; a segment that is shorter is filled up, see `pad`. Of video: see `video`."""
    views: Count = 1
    """Clips spread evenly over a segment, whose predictions are merged when testing; 0 takes as many as cover it, one
    after the other."""
    pad: Literal["last", "silence"] = "last"
    """What fills up a clip of sound that is shorter than `clip_seconds`: its last frame, repeated, or silence."""
    merge: Literal["mean", "max"] = "mean"
    """How the predictions of a segment's views become one."""
    workers: Count | None = None
    """Processes that read clips; by default one a core, up to 8."""


class FrontEnd(Section):
    """The log-mel spectrogram; shards made with others are refused."""

    rate: Positive = 16000
    """Samples a second, Hz."""
    window_ms: Rate = 20
    """Length of the Hann window."""
    hop_ms: Rate = 10
    """From one frame to the next."""
    mels: Positive = 128
    """Mel bands."""
    fft: Positive = 2048
    """Points of the Fourier transform."""
    floor: Rate = 1e-6
    """Added to the mel bands before the logarithm: what lies below counts as silence; of decibels, their least."""
    power: Literal[1, 2] = 1
    """Magnitude or power spectrum."""
    area_norm: bool = False
    """Mel filters of the same area (Slaney) rather than of the same height."""
    centred: bool = True
    """Frames centred on their time, or starting at it."""
    mean: float = 0.0
    """Subtracted from the logarithm."""
    std: Rate = 1.0
    """What it is divided by then."""
    fmin: Amount = 0.0
    """Where the lowest mel band begins, Hz."""
    fmax: Amount = 0.0
    """Where the highest ends, Hz; 0: at half the rate."""
    mel_scale: Literal["htk", "slaney"] = "htk"
    """HTK's, or Slaney's, which is linear below 1 kHz."""
    edges: Literal["silent", "mirrored"] = "silent"
    """What is beyond both ends of the sound: silence, or the sound mirrored."""
    decibels: bool = False
    """Ten times the decimal logarithm in place of the natural one."""


class Video(Section):
    """The frames of a clip, and what is cut out of them on the device."""

    frames: Positive = 32
    """Frames in a clip, as the fastest pathway gets them."""
    step: Positive = 2
    """From one to the next, in frames of a video of `fps`."""
    fps: Rate = 30
    """What `step` counts in; a clip spans frames x step / fps seconds of any video."""
    crop: Positive = 224
    """Side of the square that is trained on, pixels."""
    jitter: tuple[Positive, Positive] = (256, 320)
    """For training, the short side is resized to a size between these two, pixels."""
    flip: bool = True
    """Mirror every other training clip."""
    side: Positive = 256
    """For testing, the short side, pixels."""
    crops: Count = 3
    """Squares of that side that are tested, spread over the long side; 0 takes the whole frame."""
    rows: Positive = 128
    """Log-mel frames that go with a clip, of networks that listen as well."""
    mean: float = 0.45
    """Subtracted from pixels from 0 to 1."""
    std: Rate = 0.225
    """What they are divided by then."""

    @model_validator(mode="after")
    def _fits(self) -> Video:
        if not self.crop <= self.jitter[0] <= self.jitter[1]:
            raise ValueError(f"video.jitter: {list(self.jitter)}: two sizes, rising, from video.crop ({self.crop}) on")
        return self


class Augment(Section):
    """SpecAugment and example mixing, drawn for each clip, on the device, while training."""

    freq_masks: Count = 0
    """Bands blanked out in each clip."""
    freq_width: Count = 27
    """The widest such band, in mel bands: F of SpecAugment."""
    time_masks: Count = 0
    """Stretches blanked out in each clip."""
    time_width: Count = 25
    """The longest such stretch, in frames: T of SpecAugment."""
    warp: Count = 0
    """How far a point in time may be moved, in frames: W of SpecAugment."""
    roll: bool = False
    """Start each clip at a random frame, its end joined to its start."""
    stretch: Annotated[float, Field(ge=0, lt=1)] = 0
    """Play each clip up to this share faster or slower."""
    shift: Count = 0
    """Move each clip up or down by up to so many mel bands."""
    gain_db: Amount = 0
    """Loudness moved by up to this much either way."""
    mix: Amount = 0
    """Examples mixed in pairs, with the share of the first drawn from Beta(mix, mix) and folded to at least a half; 0
    does not mix."""
    mix_other: Rate | None = None
    """The other parameter, where the share is drawn from Beta(mix, mix_other), and is as it comes."""
