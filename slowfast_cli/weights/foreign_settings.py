"""The settings that PySlowFast and its relatives keep in a checkpoint, and what was published where there are none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import yaml
from torch import Tensor

from slowfast_cli.models.spec import Net
from slowfast_cli.types import Seconds, Settings, WeightsError

T = TypeVar("T", int, float)
SOUND_ALPHA = 4  # of Auditory SlowFast
SEEN_ALPHA = {(5, 50): 8, (7, 50): 4, (5, 101): 4, (7, 101): 4}  # of released video models, by kernel and depth
FIXED: Settings = {"fft": 2048, "floor": 1e-6}  # of Auditory SlowFast's front end


@dataclass(frozen=True)
class Told:
    """What a checkpoint says of itself.

    Attributes:
        settings: As its author wrote them; empty where there are none.
    """

    settings: Mapping[str, Any]

    @staticmethod
    def read(text: str | None) -> Told:
        """Parse the text of ``cfg``.

        Raises:
            WeightsError: It is not YAML.
        """
        try:
            settings = yaml.safe_load(text) if text else {}
        except yaml.YAMLError as error:
            raise WeightsError(f"the checkpoint's cfg is not YAML: {' '.join(str(error).split())}") from error
        return Told(settings if isinstance(settings, dict) else {})

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
        return self.number(int, "SLOWFAST", "AU_ALPHA", 32)

    @property
    def regions(self) -> Literal["none", "aligned", "unaligned"]:
        """How boxes are read, if they are."""
        if not self.asked("DETECTION", "ENABLE", False):
            return "none"
        return "aligned" if self.asked("DETECTION", "ALIGNED", True) else "unaligned"

    @property
    def window(self) -> int | None:
        """Positions of the last map under one classification: those that the training crop had."""
        return None if self.regions != "none" else self._crop // 32

    @property
    def _crop(self) -> int:
        # AVSlowFast's `CROP_SIZE` shapes the network, where it is given.
        return self.number(int, "DATA", "CROP_SIZE", self.asked("DATA", "TRAIN_CROP_SIZE", 224))

    @property
    def attend_pool(self) -> tuple[int, int, int]:
        """Positions under one key of a Non-Local block."""
        pool = self.asked("NONLOCAL", "POOL", [[[1, 2, 2]]])
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
        return bool(self.asked("MODEL", "HEAD_ACT", "softmax") == "sigmoid")

    def video(self, net: Net, notes: list[str]) -> dict[str, Any]:
        """Settings of the frames, in the terms of `slowfast_cli.features.frames.FrameSettings`."""
        single = len(net.pathways) == 1
        if self.asked("DATA", "NUM_FRAMES") is None:
            notes.append(
                f"frames of a clip are not in the file: {'8, every 8th' if single else '32, every 2nd'}, as published"
            )
        detects = net.regions != "none"
        crop = self._crop
        return {
            "frames": self.number(int, "DATA", "NUM_FRAMES", 8 if single else 32),
            "step": self.number(int, "DATA", "SAMPLING_RATE", 8 if single else 2),
            "fps": 30.0,
            "crop": crop,
            "jitter": [max(256, crop), max(320, crop)],
            "flip": True,
            "side": 256 if detects else self.number(int, "DATA", "TEST_CROP_SIZE", 256),
            "crops": 0 if detects else 3,
            "rows": self.number(int, "DATA", "AUDIO_FRAME_NUM", 128),
            "mean": float(self.asked("DATA", "MEAN", [0.45])[0]),
            "std": float(self.asked("DATA", "STD", [0.225])[0]),
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
