"""Heads: pool the last feature maps and classify them, one linear layer per label set.

Shapes: B batch, C channels, P positions that are classified separately, N boxes.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as f

from slowfast_cli.models.architecture import Architecture, Baseline
from slowfast_cli.nn import init
from slowfast_cli.nn.roi_align import roi_align

BINS = 7  # along each side of a box (SF Sec. 4: 7 x 7)


def pool(map_BCTx: Tensor, window: int | None) -> Tensor:
    """Average over time and over a square window of positions, sliding with stride 1.

    Args:
        map_BCTx: Maps of spectrograms (B, C, T, F), averaged over all positions, or of frames (B, C, T, H, W).
        window: Side of the square; all positions if None or larger than the map.

    Shape: (B, C, T, ...) -> (B, P, C)
    """
    if map_BCTx.ndim <= 4 or window is None:
        return map_BCTx.flatten(2).mean(2)[:, None]
    H, W = map_BCTx.shape[3:]
    means_BCHW = f.avg_pool2d(map_BCTx.mean(2), (min(window, H), min(window, W)), 1)
    return means_BCHW.flatten(2).transpose(1, 2)


def module_key(labels: str) -> str:
    """Name of a label set's classifier: its own, with percent-escapes where torch accepts no module of that name.

    >>> module_key("verb"), module_key("a.b"), module_key("type"), module_key("a%2Eb")
    ('verb', 'a%2Eb', '%74ype', 'a%252Eb')
    """
    key = re.sub(r"\.|%(?=[0-9A-F]{2})", lambda match: f"%{ord(match[0]):02X}", labels)
    return f"%{ord(key[0]):02X}{key[1:]}" if hasattr(nn.ModuleDict(), key) else key


class Heads(nn.Module):
    """Classifiers from the last maps of the pathways to logits; ``hidden`` units of a shared ReLU layer, 0: none."""

    def __init__(self, net: Architecture, classes: Mapping[str, int], *, dropout: float, hidden: int = 0) -> None:
        super().__init__()
        features = net.features()
        self.net = net
        self.inputs = [list(features)] if net.merge == "concat" else [[name] for name in features]
        sizes = [sum(features[name] for name in names) for names in self.inputs]
        self.dropout = nn.Dropout(dropout)
        self.hidden = nn.ModuleList([nn.Sequential(nn.Linear(size, hidden), nn.ReLU()) for size in sizes if hidden])
        self.label_sets = tuple(classes)
        self.linears = nn.ModuleDict(
            {
                module_key(labels): nn.ModuleList([nn.Linear(hidden or size, count) for size in sizes])
                for labels, count in classes.items()
            }
        )
        for linear in self.linears.modules():
            if isinstance(linear, nn.Linear):
                init.normal_(linear.weight, std=0.01)
                nn.init.zeros_(linear.bias)

    def forward(self, maps: Mapping[str, Tensor], boxes_N5: Tensor | None = None) -> dict[str, Tensor]:
        """Return the logits by label set.

        Args:
            maps: Maps of the last stage, by pathway.
            boxes_N5: Batch index and x1, y1, x2, y2 in pixels, for detectors.

        Returns:
            (B, classes); (B, P, classes) if the frames are larger than in training, the probabilities to be averaged
            over positions; (N, classes) for boxes.

        Raises:
            ValueError: A detector got no boxes, or another network got some.
        """
        features = self._features(maps, boxes_N5)
        merged = [self.dropout(torch.cat([features[name] for name in names], dim=2)) for names in self.inputs]
        merged = [layer(x) for layer, x in zip(self.hidden, merged, strict=True)] if len(self.hidden) else merged
        logits = {
            labels: torch.stack([linear(x) for linear, x in zip(linears, merged, strict=True)]).mean(0)  # type: ignore[call-overload]
            for labels, linears in zip(self.label_sets, self.linears.values(), strict=True)
        }
        return {labels: rows.squeeze(1) if rows.shape[1] == 1 else rows for labels, rows in logits.items()}

    def _features(self, maps: Mapping[str, Tensor], boxes_N5: Tensor | None) -> dict[str, Tensor]:
        """Pool each pathway to (B, P, C), or to (N, 1, C) for boxes."""
        if (boxes_N5 is None) != (self.net.regions == "none"):
            raise ValueError(f"boxes: {'missing' if boxes_N5 is None else 'given'}, but regions is {self.net.regions}")
        if boxes_N5 is not None:
            return {name: self._roi_features(name, map_BCTx, boxes_N5) for name, map_BCTx in maps.items()}
        features = {name: pool(map_BCTx, self.net.window) for name, map_BCTx in maps.items()}
        positions = max(feature_BPC.shape[1] for feature_BPC in features.values())
        return {name: feature_BPC.expand(-1, positions, -1) for name, feature_BPC in features.items()}

    def _roi_features(self, name: str, map_BCTx: Tensor, boxes_N5: Tensor) -> Tensor:
        """Max-pool RoIAlign bins of each box (SF Sec. 4, AV App. A.7); audio: repeat the clip's mean."""
        if isinstance(self.net, Baseline):
            raise ValueError(f"{self.net.kind} cannot classify boxes: it has no video input")
        path = self.net.pathways[name]
        if path.axes == 2:
            return pool(map_BCTx, None)[boxes_N5[:, 0].long()]
        aligned = self.net.regions == "aligned"
        scale = 1 / path.spatial_stride("res5")
        bins_NCRR = roi_align(map_BCTx.mean(2), boxes_N5, scale=scale, size=BINS, aligned=aligned)
        return bins_NCRR.flatten(2).amax(2)[:, None]
