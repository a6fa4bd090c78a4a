"""Settings (``cfg``) of checkpoints of PySlowFast and its derivatives; published values are the defaults."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from reprlib import repr as brief
from types import MappingProxyType
from typing import Any, Literal, TypeVar

import yaml
from torch import Tensor

from slowfast_cli.models.spec import Net
from slowfast_cli.types import Seconds, Settings, WeightsError, text_of

T = TypeVar("T", int, float)
Regions = Literal["none", "aligned", "unaligned"]
AUDIO_ALPHA = 4  # of Auditory SlowFast
VIDEO_ALPHA = {(5, 50): 8, (7, 50): 4, (5, 101): 4, (7, 101): 4}  # of released models, by lateral kernel and depth
FIXED: Settings = {"fft": 2048, "floor": 1e-6}  # of Auditory SlowFast's front end
AVA, CHARADES, SSV2 = 80, 157, 174  # numbers of classes, each unique among the released models
# Settings of the frames that no ``cfg`` has, by the heads of the released models: the frame rate of Charades' official
# images; the clips of Something-Something, and of EPIC-KITCHENS-100, whose images were read by OpenCV.
EPIC_VIDEO: Mapping[str, Any] = MappingProxyType({"fps": 60.0, "crops": 1, "channels": "bgr", "bounds": "segment"})
VIDEO_OF_HEADS: Mapping[tuple[tuple[str, int], ...], Mapping[str, Any]] = MappingProxyType(
    {
        (("label", CHARADES),): MappingProxyType({"fps": 24.0}),
        (("label", SSV2),): MappingProxyType({"sampling": "uniform", "flip": False}),
        (("noun", 300), ("verb", 97)): EPIC_VIDEO,
    }
)
ATTEND_POOL: dict[str, tuple[int, int, int]] = {"none": (1, 2, 2), "aligned": (1, 2, 2), "unaligned": (2, 2, 2)}


@dataclass(frozen=True, kw_only=True)
class ParsedConfig:
    """Settings of a checkpoint: from its ``cfg``, else from a similar model, else as published."""

    settings: Mapping[str, Any] = field(default_factory=dict)  # the ``cfg``; empty if there is none
    heads: Mapping[str, int] = field(default_factory=dict)  # number of classes by label set
    boxes: bool = False  # the tensor names are those of a detector
    like: Net | None = None  # expected network, for what ``settings`` lacks
    video: Mapping[str, Any] = field(default_factory=dict)  # expected settings of the frames, likewise

    @property
    def classes(self) -> int:
        """Number of classes of a single head ``label``; 0 for other heads."""
        return self.heads.get("label", 0)

    def get(self, section: str, name: str, default: Any = None) -> Any:
        """Return one setting, or the default."""
        values = self.settings.get(section)
        return values.get(name, default) if isinstance(values, dict) else default

    def number(self, kind: type[T], section: str, name: str, default: Any = None) -> T:
        """Return one numeric setting; raise `WeightsError` if the value is not a number."""
        value = self.get(section, name, default)
        try:
            return kind(value)
        except (TypeError, ValueError) as error:
            raise WeightsError(
                f"the checkpoint's cfg has {section}.{name}: {brief(value)}, expected a number"
            ) from error

    def alpha(self, state: Mapping[str, Tensor], has_video: bool, notes: list[str]) -> int:
        """Return the number of Fast steps per Slow step; add a note if it is assumed."""
        if self.get("SLOWFAST", "ALPHA") is not None:
            return self.number(int, "SLOWFAST", "ALPHA")
        if self.like is not None and "slow" in self.like.pathways:
            return self.like.pathways["slow"].stride
        if not has_video:
            alpha = AUDIO_ALPHA
        else:
            lateral = next((value for name, value in state.items() if name.endswith("_fuse.conv_f2s.weight")), None)
            depth = 101 if "s4.pathway0_res22.branch2.a.weight" in state else 50
            alpha = VIDEO_ALPHA.get((lateral.shape[2] if lateral is not None else 5, depth), 4)
        notes.append(f"alpha is not in the file: {alpha}, as published")
        return alpha

    @property
    def audio_alpha(self) -> int:
        """Log-mel frames per Slow frame of AVSlowFast."""
        known = self.like.laterals["a2s"].alpha if self.like is not None and "a2s" in self.like.laterals else None
        return self.number(int, "SLOWFAST", "AU_ALPHA", known or 32)

    @property
    def regions(self) -> Regions:
        """Kind of RoIAlign; "none" for a classifier of whole clips."""
        enabled = self.get("DETECTION", "ENABLE")
        if enabled is not None:
            return "none" if not enabled else "aligned" if self.get("DETECTION", "ALIGNED", True) else "unaligned"
        if self.like is not None and self.like.regions != "none":
            return self.like.regions
        # Released detectors without settings are unaligned: Caffe2's, and the hub's by the default of torchvision.
        caffe2_detector = self.classes == AVA and self.like is None and not self.settings
        return "unaligned" if self.boxes or caffe2_detector else "none"

    @property
    def window(self) -> int | None:
        """Side of the final feature map of a training crop, over which the classifier pools; None for a detector."""
        return None if self.regions != "none" else self._crop // 32

    @property
    def _crop(self) -> int:
        # AVSlowFast's `CROP_SIZE` shapes the network, if given.
        default = self.get("DATA", "TRAIN_CROP_SIZE", self.video.get("crop", 224))
        return self.number(int, "DATA", "CROP_SIZE", default)

    @property
    def attend_pool(self) -> tuple[int, int, int]:
        """Pooling (T, H, W) of the keys of non-local blocks."""
        pool = self.get("NONLOCAL", "POOL")
        if pool is None:
            slow = self.like.pathways.get("slow") if self.like is not None else None
            return slow.attend_pool if slow is not None else ATTEND_POOL[self.regions]
        try:
            time, height, width = (int(value) for value in pool[0][0])
        except (TypeError, ValueError, IndexError) as error:
            raise WeightsError(
                f"the checkpoint's cfg has NONLOCAL.POOL: {brief(pool)}, expected [[[T, H, W]]]"
            ) from error
        return time, height, width

    @property
    def sigmoid(self) -> bool:
        """Whether the classes are independent (sigmoid) instead of exclusive (softmax)."""
        default = "sigmoid" if self.regions != "none" or self.classes == CHARADES else "softmax"
        return self.regions != "none" or bool(self.get("MODEL", "HEAD_ACT", default) == "sigmoid")

    def frames(self, net: Net, notes: list[str]) -> dict[str, Any]:
        """Return settings with the keys of `slowfast_cli.settings.Frames`, and add a note for each assumed value."""
        crop = self._crop
        frames, step = _published_sampling(net)
        if "frames" not in self.video and self.get("DATA", "NUM_FRAMES") is None:
            notes.append(f"frames of a clip are not in the file: {frames}, {step} apart, as published")
        default = {
            "frames": frames, "step": step, "fps": 30.0,
            "jitter": [max(256, crop), max(320, crop)], "flip": True, "side": 256,
            "crops": 0 if net.regions != "none" else 3, "rows": 128, "mean": 0.45, "std": 0.225,
            **VIDEO_OF_HEADS.get(tuple(sorted(self.heads.items())), {}), **self.video,
        }  # fmt: skip
        low, high = self._pair("TRAIN_JITTER_SCALES", default["jitter"])
        return {
            **default,
            "frames": self.number(int, "DATA", "NUM_FRAMES", default["frames"]),
            "step": self.number(int, "DATA", "SAMPLING_RATE", default["step"]),
            "crop": crop,
            "jitter": [max(int(low), crop), max(int(high), crop)],
            "flip": bool(self.get("DATA", "RANDOM_FLIP", default["flip"])),
            "side": self.number(int, "DATA", "TEST_CROP_SIZE", default["side"]),
            "rows": self.number(int, "DATA", "AUDIO_FRAME_NUM", default["rows"]),
            "mean": self._pair("MEAN", [default["mean"]] * 2)[0],
            "std": self._pair("STD", [default["std"]] * 2)[0],
        }

    def _pair(self, name: str, default: Any) -> tuple[float, float]:
        """Return the first two numbers of a list in the DATA section."""
        values = self.get("DATA", name, default)
        try:
            return float(values[0]), float(values[1])
        except (TypeError, ValueError, IndexError, KeyError) as error:
            raise WeightsError(
                f"the checkpoint's cfg has DATA.{name}: {brief(values)}, expected two numbers"
            ) from error

    @property
    def audiovisual_front_end(self) -> Settings:
        """AVSlowFast's front end (AV Sec. 4)."""
        return {
            "rate": self.number(int, "DATA", "AUDIO_SAMPLE_RATE", 16000),
            "window_ms": self.number(float, "DATA", "AUDIO_WIN_SZ", 32),
            "hop_ms": self.number(float, "DATA", "AUDIO_STEP_SZ", 16),
            "mels": self.number(int, "DATA", "AUDIO_MEL_NUM", 80), "fft": 512, "floor": 1e-8, "power": 2,
            "area_norm": True, "centred": False, "mean": self.number(float, "DATA", "LOGMEL_MEAN", -7.03),
            "std": self.number(float, "DATA", "LOGMEL_STD", 4.66),
        }  # fmt: skip

    @property
    def front_end(self) -> tuple[Settings, Seconds] | None:
        """Auditory SlowFast's front end and clip length; None if ``settings`` lacks them."""
        section = self.settings.get("AUDIO_DATA")
        required = {"SAMPLING_RATE", "WINDOW_LENGTH", "HOP_LENGTH", "CLIP_SECS"}
        if not isinstance(section, dict) or not required <= set(section):
            return None
        front_end: Settings = {
            "rate": self.number(int, "AUDIO_DATA", "SAMPLING_RATE"),
            "window_ms": self.number(float, "AUDIO_DATA", "WINDOW_LENGTH"),
            "hop_ms": self.number(float, "AUDIO_DATA", "HOP_LENGTH"),
            "mels": self.number(int, "AUDIO_DATA", "NUM_FREQUENCIES", 128),
            **FIXED,
        }
        return front_end, self.number(float, "AUDIO_DATA", "CLIP_SECS")


def _published_sampling(net: Net) -> tuple[int, int]:
    """Return the number of frames and their distance of the released model with this network."""
    if len(net.pathways) == 1:
        return (4, 16) if net.regions != "none" else (8, 8)
    slow = net.pathways["slow"]
    is_16x8 = slow.time_blocks is not None and not any(slow.attend)  # the only R101 with partly temporal stages
    return (64, 2) if is_16x8 else (32, 2)


def parse_yaml(text: str | None) -> Mapping[str, Any]:
    """Parse a ``cfg``; empty without text or if it is not a mapping; raise `WeightsError` if it is not YAML."""
    try:
        settings = yaml.safe_load(text) if text else {}
    except yaml.YAMLError as error:
        raise WeightsError(f"the checkpoint's cfg is not YAML: {' '.join(str(error).split())}") from error
    except Exception as error:  # PyYAML passes on what int, float and datetime raise
        raise WeightsError(f"the checkpoint's cfg has an impossible value: {text_of(error)}") from error
    return settings if isinstance(settings, dict) else {}
