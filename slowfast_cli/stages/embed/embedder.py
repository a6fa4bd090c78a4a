"""Feature vectors of sound and video files: the public `Embedder`.

`slowfast_cli.stages.embed.audio` and `slowfast_cli.stages.embed.video` read windows,
`slowfast_cli.stages.embed.network` computes their features.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from slowfast_cli import __version__
from slowfast_cli.data.video_clips import DecodedSounds, VideoReader
from slowfast_cli.data.views import picked_rows
from slowfast_cli.engine import distributed
from slowfast_cli.inference.choose import AUTO
from slowfast_cli.inference.network import EngineChoice, Network, Source
from slowfast_cli.media.audio_source import printable
from slowfast_cli.models.folding import prepare_for_inference
from slowfast_cli.settings import Frames, FrontEnd
from slowfast_cli.stages.embed.audio import AudioWindows
from slowfast_cli.stages.embed.batching import Event, NotFiniteError, Rows, Unreadable, embed_items
from slowfast_cli.stages.embed.items import Item, file_items
from slowfast_cli.stages.embed.network import POOLED, TrunkFeatures
from slowfast_cli.stages.embed.video import ClipWindows, PresetWindows
from slowfast_cli.stages.embed.window import Reader, Sliding, Window
from slowfast_cli.stages.embed.windows import AUDIO_HOP, AUDIO_WINDOW, FPS, FRAMES, preset_named
from slowfast_cli.storage.atomic import file_hash
from slowfast_cli.types import MEDIA_SUFFIXES, VIDEO_SUFFIXES, DataError, Seconds, UsageError, WeightsError
from slowfast_cli.weights.file import Card, build
from slowfast_cli.weights.resolve import weight_file

BATCH_CPU, BATCH_CPU_VIDEO, BATCH_GPU = 16, 1, 32  # windows in one forward pass


@dataclass(frozen=True, kw_only=True)
class Embedding:
    """Features of a recording."""

    features: np.ndarray
    """(N, D) float32, a row for each window; (1, D) without windows."""
    start: np.ndarray
    """(N,) start of each row, seconds."""
    end: np.ndarray
    """(N,) end of each row, seconds."""


class Embedder:
    """A trained trunk that returns feature vectors of files.

    Examples:
        >>> embedder = Embedder()
        >>> embedder("tests/assets/dog.ogg").features.shape
        (1, 768)
        >>> Embedder(window=1.0, hop=0.5)("tests/assets/dog.ogg").start.tolist()[:3]
        [0.0, 0.5, 1.0]

    Args:
        weights: A weight file, a run folder or a catalog name; None for the bundled model.
        device: ``auto``, ``cpu``, ``cuda``.
        layer: ``pooled``, the input of the head; a stage such as ``res4``, or an intermediate such as ``slow_res4``.
        window: Length of the windows, seconds; None gives one row for each file.
        hop: Distance between windows; by default their length.
        preset: Windows, input and pooling of a tool, a name of `slowfast_cli.stages.embed.windows.PRESETS`.
        precision: ``fp32`` or ``bf16``.
        engine: ``auto``, ``torch``, ``onnx`` or ``openvino``, see `slowfast_cli.inference.network.Network`.

    Raises:
        WeightsError: The file is missing, not a weight file, or reads something else than sound or frames.
        UsageError: There is no such layer or preset, or the options do not go together.
    """

    card: Card
    """Metadata of the weights."""

    def __init__(
        self,
        weights: str | Path | None = None,
        device: str = "auto",
        *,
        layer: str = POOLED,
        window: Seconds | None = None,
        hop: Seconds | None = None,
        preset: str | None = None,
        precision: str = "fp32",
        engine: str = AUTO,
    ) -> None:
        self.preset = None if preset is None else preset_named(preset)
        self._sliding = _sliding(window, hop, preset)
        path = weights if isinstance(weights, Path) and weights.is_file() else weight_file(str(weights or "default"))
        self._path, self._layer, self._preset_name, self._precision = path, layer, preset, precision
        self._choice = EngineChoice(engine=engine, precision=precision)
        self._device = distributed.device(device)
        self.card, model = build(path)
        self._parameters = sum(parameter.numel() for parameter in model.parameters())
        signals = self.card.net.signals
        if "features" in signals:
            raise WeightsError(f"{path}: is a probe on the features of a trunk: use the trunk instead")
        self.reads_frames = "frames" in signals
        self._frames, self._front_end = _settings(path, self.card)
        self._check_preset()
        self.reader = self._reader()
        self._network = TrunkFeatures(
            prepare_for_inference(model, self._device),
            layer=layer,
            wrap=self._by_engine,
            frames=self._frames,
            front_end=self._front_end,
            preset=self.preset,
        )

    def expect(self, items: int) -> None:
        """Announce items, which decide whether a conversion for an engine pays."""
        if isinstance(self._network.run, Network):
            self._network.run.expect(items * self.card.views)

    def _by_engine(self, module: nn.Module, depends_on: dict[str, object]) -> Network:
        source = Source(weights=self._path, net=self.card.net, gives="features", depends_on=depends_on)
        return Network(module, source, self._choice)

    @property
    def suffixes(self) -> frozenset[str]:
        """Suffixes of the files in a folder that are embedded."""
        return VIDEO_SUFFIXES if self.reads_frames else MEDIA_SUFFIXES

    @property
    def batch(self) -> int:
        """Windows in one forward pass."""
        if self._device.type != "cpu":
            return BATCH_GPU
        return BATCH_CPU_VIDEO if self.reads_frames else BATCH_CPU

    def __call__(self, path: str | Path) -> Embedding:
        """Embed one file.

        Raises:
            DataError: The file cannot be used.
            UsageError: ``path`` is not one path.
        """
        if not isinstance(path, str | Path):
            raise UsageError(f"expected the path of one file, got a {type(path).__name__}: call it once per file")
        return self.item(file_items([Path(path)])[0])

    def item(self, item: Item) -> Embedding:
        """Embed one item; raise `DataError` if it cannot be used."""
        rows = list[Rows]()
        for event in self.group([item]):
            if isinstance(event, Unreadable):
                raise DataError(event.reason)
            if isinstance(event, Rows):
                rows.append(event)
        return Embedding(
            features=np.concatenate([part.features for part in rows]),
            start=np.array([time for part in rows for time in part.start]),
            end=np.array([time for part in rows for time in part.end]),
        )

    def group(self, items: Sequence[Item]) -> Iterator[Event]:
        """Embed some items whose windows share forward passes; see `slowfast_cli.stages.embed.batching.embed_items`."""
        try:
            yield from embed_items(items, self.reader, self._network, self.batch)
        except NotFiniteError as error:
            raise WeightsError(f"{printable(self._path)}: {error}: these weights have diverged; use others") from error

    @property
    def parameters(self) -> int:
        """Number of parameters of the network, the head included."""
        return self._parameters

    def average(self, windows: Sequence[Window]) -> np.ndarray:
        """Average the features of the windows of each item: (items, D) float32, in the order of the windows."""
        features = list[np.ndarray]()
        for first in range(0, len(windows), self.batch):
            features += list(self._network(windows[first : first + self.batch]).numpy())
        items = np.array([window.item for window in windows])
        return np.stack([np.mean(np.stack(features)[items == item], axis=0) for item in dict.fromkeys(items.tolist())])

    def settings(self) -> dict[str, Any]:
        """What the features depend on, as plain values; they are stored beside the features."""
        sliding = self._sliding
        plain: dict[str, Any] = {
            "slowfast": __version__,
            "weights_sha256": file_hash(self._path),
            "network": str(self.card.net),
            "layer": self._layer,
            "pathways": list(self.card.net.features()),
            "precision": self._precision,
            **({} if self._choice.engine == AUTO else {"engine": self._choice.engine}),
            "preset": self._preset_name,
            "window_s": sliding.window if sliding else None,
            "hop_s": sliding.hop if sliding else None,
            "rate": self._front_end.rate if self._front_end else None,
            "clip_s": self.card.clip_seconds if self._frames is None else self._frames.seconds,
        }
        if self._frames is not None:
            preset = self.preset
            plain["fps"] = self._frames.fps if preset is None else float(FPS)
            plain["frames"] = self._frames.frames
            plain["side"] = self._frames.side if preset is None else preset.side
            plain["crop"] = "squeezed" if preset is not None and preset.squeezed else "center"
            channels = "bgr" if preset is not None and preset.bgr else self._frames.channels
            plain["channels"] = channels.upper()
        if self.preset is not None:
            plain["note"] = self.preset.note
        return plain

    def remark(self) -> str:
        """How the weights differ from those that a preset's published features come from; empty without a preset."""
        if self.preset is None:
            return ""
        return f"the published features of {self._preset_name} come from {self.preset.network}"

    def _check_preset(self) -> None:
        preset, name = self.preset, self._preset_name
        if preset is None:
            return
        if preset.reads_frames != self.reads_frames or (preset.reads_frames and self._front_end is not None):
            reads = "frames only" if preset.reads_frames else "sound only"
            raise UsageError(
                f"--preset {name}: is for networks that read {reads}, and {printable(self._path)} reads "
                f"{' and '.join(sorted(self.card.net.signals))}: use weights for {preset.network}"
            )
        if self._frames is not None and self._frames.frames != FRAMES:
            raise UsageError(
                f"--preset {name}: has clips of {FRAMES} frames, and {printable(self._path)} reads "
                f"{self._frames.frames}: use weights for {preset.network}"
            )

    def _reader(self) -> Reader:
        if self._frames is None:
            if self._front_end is None:
                raise WeightsError(f"{self._path}: reads neither sound nor frames")
            return AudioWindows(
                card=self.card,
                front_end=self._front_end,
                sliding=self._sliding,
                rows=picked_rows(self.card.video, self._front_end),
                repeat_last=self.preset is not None,
                to_end=self.preset is not None,
            )
        if self.preset is not None:
            return PresetWindows(preset=self.preset, window=self._sliding.window if self._sliding else None)
        front_end = self._front_end or FrontEnd()
        sounds = DecodedSounds(front_end, partial=True) if self._front_end is not None else None
        reader = VideoReader(settings=self._frames, views=1, sounds=sounds, front_end=front_end, partial=True)
        return ClipWindows(reader=reader, settings=self._frames, views=self.card.views, sliding=self._sliding)


def _sliding(window: Seconds | None, hop: Seconds | None, preset: str | None) -> Sliding | None:
    """The windows that the options ask for.

    Raises:
        UsageError: A hop without a window; or a preset whose windows are fixed.
    """
    if hop is not None and window is None:
        raise UsageError(f"--hop {hop:g}: needs --window SECONDS")
    if preset is not None:
        if hop is not None or (window is not None and not preset_named(preset).any_window):
            raise UsageError(f"--preset {preset}: has its own windows: leave out --window and --hop")
        if not preset_named(preset).reads_frames:
            return Sliding(window=AUDIO_WINDOW, hop=AUDIO_HOP)
    return None if window is None else Sliding(window=window, hop=hop or window)


def _settings(path: Path, card: Card) -> tuple[Frames | None, FrontEnd | None]:
    """Frame settings (one center crop) and log-mel settings of a network; None for what it does not read."""
    signals = card.net.signals
    try:
        frames = Frames.from_settings(dict(card.video)) if "frames" in signals else None
        front_end = card.log_mel() if {"logmel", "samples"} & signals else None
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{path}: its header does not describe the input of its network ({error})") from error
    return None if frames is None else replace(frames, crops=1), front_end
