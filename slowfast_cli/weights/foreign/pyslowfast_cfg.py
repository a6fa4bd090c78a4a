"""The settings that PySlowFast and its relatives keep in a checkpoint, and what was published where there are none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import yaml
from torch import Tensor

from slowfast_cli.models.spec import Net
from slowfast_cli.types import Seconds, Settings, WeightsError

T = TypeVar("T", int, float)
Regions = Literal["none", "aligned", "unaligned"]
SOUND_ALPHA = 4  # of Auditory SlowFast
SEEN_ALPHA = {(5, 50): 8, (7, 50): 4, (5, 101): 4, (7, 101): 4}  # of released video models, by kernel and depth
FIXED: Settings = {"fft": 2048, "floor": 1e-6}  # of Auditory SlowFast's front end
AVA, CHARADES = 80, 157  # classes, which no other released model has as many of
CHARADES_FPS = 24.0  # of its official pictures, which PySlowFast counts in
KEYS: dict[str, tuple[int, int, int]] = {"none": (1, 2, 2), "aligned": (1, 2, 2), "unaligned": (2, 2, 2)}


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a checkpoint says of itself.

    Attributes:
        settings: As its author wrote them; empty where there are none.
        classes: Of its only head, or 0.
        boxes: Whether its names are those of a detector.
        like: A network that it is said to be: asked where the settings are silent.
        video: Settings of the frames, likewise.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    classes: int = 0
    boxes: bool = False
    like: Net | None = None
    video: Mapping[str, Any] = field(default_factory=dict)

    def asked(self, section: str, name: str, default: Any = None) -> Any:
        """One setting, or the default."""
        inside = self.settings.get(section)
        return inside.get(name, default) if isinstance(inside, dict) else default

    def number(self, kind: type[T], section: str, name: str, default: Any = None) -> T:
        """One setting that is a number.

        Raises:
            WeightsError: It is none.
        """
        value = self.asked(section, name, default)
        try:
            return kind(value)
        except (TypeError, ValueError) as error:
            raise WeightsError(f"the checkpoint's cfg has {section}.{name}: {value!r}: a number is right") from error

    def alpha(self, state: Mapping[str, Tensor], seen: bool, notes: list[str]) -> int:
        """Fast steps for a slow one."""
        if self.asked("SLOWFAST", "ALPHA") is not None:
            return self.number(int, "SLOWFAST", "ALPHA")
        if self.like is not None and "slow" in self.like.pathways:
            return self.like.pathways["slow"].stride
        if not seen:
            alpha = SOUND_ALPHA
        else:
            fuse = next((value for name, value in state.items() if name.endswith("_fuse.conv_f2s.weight")), None)
            deep = "s4.pathway0_res22.branch2.a.weight" in state
            alpha = SEEN_ALPHA.get((fuse.shape[2] if fuse is not None else 5, 101 if deep else 50), 4)
        notes.append(f"alpha is not in the file: {alpha}, as published")
        return alpha

    @property
    def audio_alpha(self) -> int:
        """Rows of AVSlowFast's log-mel for a slow frame."""
        said = self.like.laterals["a2s"].alpha if self.like is not None and "a2s" in self.like.laterals else None
        return self.number(int, "SLOWFAST", "AU_ALPHA", said or 32)

    @property
    def regions(self) -> Regions:
        """How boxes are read, if they are."""
        asked = self.asked("DETECTION", "ENABLE")
        if asked is not None:
            return "none" if not asked else "aligned" if self.asked("DETECTION", "ALIGNED", True) else "unaligned"
        if self.like is not None and self.like.regions != "none":
            return self.like.regions
        # Released detectors without settings are unaligned: Caffe2's, and the hub's by the default of torchvision.
        guessed = self.classes == AVA and self.like is None and not self.settings
        return "unaligned" if self.boxes or guessed else "none"

    @property
    def window(self) -> int | None:
        """Positions of the last map under one classification: those that the training crop had."""
        return None if self.regions != "none" else self._crop // 32

    @property
    def _crop(self) -> int:
        # AVSlowFast's `CROP_SIZE` shapes the network, where it is given.
        usual = self.asked("DATA", "TRAIN_CROP_SIZE", self.video.get("crop", 224))
        return self.number(int, "DATA", "CROP_SIZE", usual)

    @property
    def attend_pool(self) -> tuple[int, int, int]:
        """Positions under one key of a Non-Local block."""
        pool = self.asked("NONLOCAL", "POOL")
        if pool is None:
            slow = self.like.pathways.get("slow") if self.like is not None else None
            return slow.attend_pool if slow is not None else KEYS[self.regions]
        try:
            time, height, width = (int(value) for value in pool[0][0])
        except (TypeError, ValueError, IndexError) as error:
            raise WeightsError(
                f"the checkpoint's cfg has NONLOCAL.POOL: {pool!r}: [[[T, H, W], ...], ...] is right"
            ) from error
        return time, height, width

    @property
    def sigmoid(self) -> bool:
        """Whether each class stands for itself."""
        usual = "sigmoid" if self.regions != "none" or self.classes == CHARADES else "softmax"
        return self.regions != "none" or bool(self.asked("MODEL", "HEAD_ACT", usual) == "sigmoid")

    def frames(self, net: Net, notes: list[str]) -> dict[str, Any]:
        """Settings of the frames, in the terms of `slowfast_cli.settings.Frames`.

        Args:
            net: The network found.
            notes: Where to say what was taken for granted.
        """
        detects, crop = net.regions != "none", self._crop
        frames, step = _published(net)
        if "frames" not in self.video and self.asked("DATA", "NUM_FRAMES") is None:
            notes.append(f"frames of a clip are not in the file: {frames}, {step} apart, as published")
        usual = {
            "frames": frames,
            "step": step,
            "fps": CHARADES_FPS if self.classes == CHARADES else 30.0,
            "jitter": [max(256, crop), max(320, crop)],
            "flip": True,
            "side": 256,
            "crops": 0 if detects else 3,
            "rows": 128,
            "mean": 0.45,
            "std": 0.225,
            **self.video,
        }
        low, high = self._pair("TRAIN_JITTER_SCALES", usual["jitter"])
        return {
            **usual,
            "frames": self.number(int, "DATA", "NUM_FRAMES", usual["frames"]),
            "step": self.number(int, "DATA", "SAMPLING_RATE", usual["step"]),
            "crop": crop,
            "jitter": [max(int(low), crop), max(int(high), crop)],
            "flip": bool(self.asked("DATA", "RANDOM_FLIP", usual["flip"])),
            "side": self.number(int, "DATA", "TEST_CROP_SIZE", usual["side"]),
            "rows": self.number(int, "DATA", "AUDIO_FRAME_NUM", usual["rows"]),
            "mean": self._pair("MEAN", [usual["mean"]] * 2)[0],
            "std": self._pair("STD", [usual["std"]] * 2)[0],
        }

    def _pair(self, name: str, usual: Any) -> tuple[float, float]:
        """The first two numbers of a list in the DATA section."""
        values = self.asked("DATA", name, usual)
        try:
            return float(values[0]), float(values[1])
        except (TypeError, ValueError, IndexError, KeyError) as error:
            raise WeightsError(
                f"the checkpoint's cfg has DATA.{name}: {values!r}: a list of numbers is right"
            ) from error

    @property
    def audiovisual_front_end(self) -> Settings:
        """AVSlowFast's front end (AV Sec. 4)."""
        return {
            "rate": self.number(int, "DATA", "AUDIO_SAMPLE_RATE", 16000),
            "window_ms": self.number(float, "DATA", "AUDIO_WIN_SZ", 32),
            "hop_ms": self.number(float, "DATA", "AUDIO_STEP_SZ", 16),
            "mels": self.number(int, "DATA", "AUDIO_MEL_NUM", 80),
            "fft": 512,
            "floor": 1e-8,
            "power": 2,
            "area_norm": True,
            "centred": False,
            "mean": self.number(float, "DATA", "LOGMEL_MEAN", -7.03),
            "std": self.number(float, "DATA", "LOGMEL_STD", 4.66),
        }

    @property
    def front_end(self) -> tuple[Settings, Seconds] | None:
        """Auditory SlowFast's front end and the seconds of a clip."""
        told = self.settings.get("AUDIO_DATA")
        if not isinstance(told, dict) or not {"SAMPLING_RATE", "WINDOW_LENGTH", "HOP_LENGTH", "CLIP_SECS"} <= set(told):
            return None
        front_end: Settings = {
            "rate": self.number(int, "AUDIO_DATA", "SAMPLING_RATE"),
            "window_ms": self.number(float, "AUDIO_DATA", "WINDOW_LENGTH"),
            "hop_ms": self.number(float, "AUDIO_DATA", "HOP_LENGTH"),
            "mels": self.number(int, "AUDIO_DATA", "NUM_FREQUENCIES", 128),
            **FIXED,
        }
        return front_end, self.number(float, "AUDIO_DATA", "CLIP_SECS")


def _published(net: Net) -> tuple[int, int]:
    """Frames of a clip and how far they are apart in the released model of that shape."""
    if len(net.pathways) == 1:
        return (4, 16) if net.regions != "none" else (8, 8)
    slow = net.pathways["slow"]
    long = slow.time_blocks is not None and not any(slow.attend)  # of R101s that are partly temporal 16x8 only
    return (64, 2) if long else (32, 2)


def parsed(text: str | None) -> Mapping[str, Any]:
    """The text of ``cfg``; empty where there is none, or no sections.

    Raises:
        WeightsError: It is not YAML.
    """
    try:
        settings = yaml.safe_load(text) if text else {}
    except yaml.YAMLError as error:
        raise WeightsError(f"the checkpoint's cfg is not YAML: {' '.join(str(error).split())}") from error
    return settings if isinstance(settings, dict) else {}
