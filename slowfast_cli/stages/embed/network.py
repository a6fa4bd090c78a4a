"""From windows to feature vectors: transforms on the device, the trunk, pooling of a stage.

Shapes: B windows, D features.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from slowfast_cli.build.transforms import eval_crops, log_mels
from slowfast_cli.data.loader import collate, to
from slowfast_cli.features.frames import Crop, crop_frames, short_side
from slowfast_cli.models.heads import pool
from slowfast_cli.models.recognizer import Recognizer
from slowfast_cli.models.spec import STAGES
from slowfast_cli.settings import Frames, FrontEnd
from slowfast_cli.stages.embed.window import Window
from slowfast_cli.stages.embed.windows import Preset
from slowfast_cli.types import Batch, Clip, Signals, UsageError, did_you_mean

POOLED = "pooled"
PRESET_POOL = 7  # side of the window of the reference's pooling, on the last map
MARGINS: dict[str, Callable[[Tensor], Tensor]] = {"floor": torch.floor, "round": torch.round, "ceil": torch.ceil}


Wrap = Callable[[nn.Module, "dict[str, object]"], nn.Module]  # a module, and what its features depend on


class PooledTrunk(nn.Module):
    """A trunk up to some of its maps, pooled; without names of maps, up to its last ones."""

    def __init__(self, trunk: nn.Module, keep: Sequence[str], window: int | None) -> None:
        super().__init__()
        self.trunk, self._keep, self._window = trunk, tuple(keep), window

    def forward(self, signals: Signals) -> dict[str, Tensor]:
        """Return ``features`` (B, D), float32."""
        last, kept = self.trunk.run(signals, self._keep)  # type: ignore[operator]
        maps = [kept[name] for name in self._keep] or list(last.values())
        return {"features": torch.cat([pool(map_BCTx.float(), self._window).mean(1) for map_BCTx in maps], dim=1)}


class TrunkFeatures:
    """Computes the features of windows at one stage of a network.

    The pooled features are the input of the head, pathways joined in the order of the network (Slow, Fast, audio): the
    average over time and a window of positions, at several positions averaged. Other stages are averaged over all
    positions.

    Args:
        model: The network, on its device, in eval mode.
        layer: ``pooled``, a stage such as ``res4`` of all pathways, or an intermediate such as ``slow_res4``.
        wrap: Returns what runs the pooled trunk, such as a `slowfast_cli.inference.network.Network`.
        frames: Frame settings; None for a network that reads none.
        front_end: Log-mel settings; None for a network that reads none.
        preset: Crops frames as a preset does.

    Raises:
        UsageError: The network has no such layer.
    """

    def __init__(
        self,
        model: Recognizer,
        *,
        layer: str = POOLED,
        wrap: Wrap = lambda module, depends_on: module,
        frames: Frames | None = None,
        front_end: FrontEnd | None = None,
        preset: Preset | None = None,
    ) -> None:
        self._device = next(model.parameters()).device
        keep = _layer_maps(model, layer)
        self._frames, self._preset = frames, preset
        reads_logmel = "logmel" in model.trunk.net.signals
        self._log_mels = log_mels(front_end, self._device) if front_end is not None and reads_logmel else None
        window = PRESET_POOL if preset is not None and preset.reads_frames else model.trunk.net.window
        window = None if keep else window
        self.run = wrap(PooledTrunk(model.trunk, keep, window), {"maps": keep, "window": window})

    @torch.inference_mode()
    def __call__(self, windows: Sequence[Window]) -> Tensor:
        """Return the features (B, D) of windows, float32 on the CPU."""
        clips = [Clip(inputs=window.inputs, targets={}, id=str(window.item), view=0) for window in windows]
        return self.of(self.signals(to(collate(clips), self._device)))

    def signals(self, batch: Batch) -> Signals:
        """Transform a batch as it was read to what the network reads."""
        if self._log_mels is not None:
            batch = replace(batch, inputs=self._log_mels(batch.inputs))
        if batch.inputs.frames is not None and self._frames is not None:
            if self._preset is not None:
                batch = _preset_crop(batch, self._preset, self._frames)
            else:
                (batch,) = eval_crops(batch, self._frames)
        return batch.inputs.signals

    @torch.inference_mode()
    def of(self, signals: Signals) -> Tensor:
        """Return the features (B, D) of signals on the device, float32 on the CPU."""
        features: Tensor = self.run(signals)["features"]
        return features.cpu()


def _layer_maps(model: Recognizer, layer: str) -> tuple[str, ...]:
    """Names of the maps of a layer; none for the pooled features."""
    if layer == POOLED:
        return ()
    known = model.trunk.intermediates
    pathways = getattr(model.trunk.net, "pathways", {})
    if layer in STAGES and pathways:
        return tuple(f"{pathway}_{layer}" for pathway in pathways)
    if layer not in known:
        names = [POOLED, *(STAGES if pathways else ()), *known]
        raise UsageError(f"--layer {layer}: no such layer{did_you_mean(layer, names) or f'; there are {names}'}")
    return (layer,)


def _preset_crop(batch: Batch, preset: Preset, settings: Frames) -> Batch:
    """Crop the frames of a preset, which may say that its network reads BGR."""
    frames, sizes = batch.inputs.frames, batch.inputs.frame_sizes
    if frames is None or sizes is None:
        raise ValueError("frames that are cropped already")
    sizes_B2 = sizes.cpu()
    side_B = torch.full((len(sizes_B2),), preset.side)
    resized_B2 = side_B[:, None].expand(-1, 2) if preset.squeezed else short_side(sizes_B2, side_B)
    crop = Crop(
        resized=resized_B2,
        corner=MARGINS[preset.margin]((resized_B2 - preset.side) / 2).long(),
        flipped=torch.zeros(len(sizes_B2), dtype=torch.bool),
        size=(preset.side, preset.side),
    )
    cropped = crop_frames(frames, sizes_B2, crop, replace(settings, channels="bgr") if preset.bgr else settings)
    return replace(batch, inputs=replace(batch.inputs, frames=cropped, frame_sizes=None))
