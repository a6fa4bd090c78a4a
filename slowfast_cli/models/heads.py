"""From the last maps to logits: what is pooled, and the linear classifiers, one for each label set.

Shapes: B batch, C channels, P positions that are classified apart, N boxes.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as f

from slowfast_cli.models.architecture import Architecture, Baseline
from slowfast_cli.nn.roi_align import roi_align

BINS = 7  # along each side of a box (SF Sec. 4: 7 x 7)


def pooled(map_BCTx: Tensor, window: int | None) -> Tensor:
    """Means over time and a square of positions, at every place where the square fits.

    Args:
        map_BCTx: Of spectrograms (B, C, T, F): one mean over all; or of frames (B, C, T, H, W).
        window: The square's side; None, or one that is too large, takes all positions.

    Shape:
        (B, C, T, ...) -> (B, P, C)
    """
    if map_BCTx.ndim <= 4 or window is None:
        return map_BCTx.flatten(2).mean(2)[:, None]
    H, W = map_BCTx.shape[3:]
    means_BCHW = f.avg_pool2d(map_BCTx.mean(2), (min(window, H), min(window, W)), 1)
    return means_BCHW.flatten(2).transpose(1, 2)


class Heads(nn.Module):
    """Last maps of the pathways to logits.

    Args:
        net: Which pathways there are, and how they end.
        classes: Number of classes by label set.
        dropout: On the features, while training.
        hidden: Units of a hidden layer with ReLU before all classifiers; 0: none.
    """

    def __init__(self, net: Architecture, classes: Mapping[str, int], *, dropout: float, hidden: int = 0) -> None:
        super().__init__()
        features = net.features()
        self.net = net
        self.read = [list(features)] if net.merge == "concat" else [[name] for name in features]
        sizes = [sum(features[name] for name in names) for names in self.read]
        self.dropout = nn.Dropout(dropout)
        self.hidden = nn.ModuleList([nn.Sequential(nn.Linear(size, hidden), nn.ReLU()) for size in sizes if hidden])
        self.linears = nn.ModuleDict(
            {
                labels: nn.ModuleList([nn.Linear(hidden or size, count) for size in sizes])
                for labels, count in classes.items()
            }
        )
        for linear in self.linears.modules():
            if isinstance(linear, nn.Linear):
                nn.init.normal_(linear.weight, std=0.01)
                nn.init.zeros_(linear.bias)

    def forward(self, maps: Mapping[str, Tensor], boxes_N5: Tensor | None = None) -> dict[str, Tensor]:
        """Classify.

        Args:
            maps: Of the last stage, by pathway.
            boxes_N5: Row of the batch and x1, y1, x2, y2 in pixels, for a network that classifies boxes.

        Returns:
            By label set (B, classes); (B, P, classes) where frames are larger than those trained on, so that several
            positions are classified, whose probabilities are averaged; (N, classes) of boxes.

        Raises:
            ValueError: Boxes are missing, or not asked for.
        """
        features = self._features(maps, boxes_N5)
        joined = [self.dropout(torch.cat([features[name] for name in names], dim=2)) for names in self.read]
        joined = [layer(x) for layer, x in zip(self.hidden, joined, strict=True)] if len(self.hidden) else joined
        logits = {
            labels: torch.stack([linear(x) for linear, x in zip(linears, joined, strict=True)]).mean(0)  # type: ignore[call-overload]
            for labels, linears in self.linears.items()
        }
        return {labels: rows.squeeze(1) if rows.shape[1] == 1 else rows for labels, rows in logits.items()}

    def _features(self, maps: Mapping[str, Tensor], boxes_N5: Tensor | None) -> dict[str, Tensor]:
        """(B, P, C) by pathway, or (N, 1, C) of boxes."""
        if (boxes_N5 is None) != (self.net.regions == "none"):
            raise ValueError(f"boxes: {'missing' if boxes_N5 is None else 'given'}, regions is {self.net.regions}")
        if boxes_N5 is not None:
            return {name: self._region(name, map_BCTx, boxes_N5) for name, map_BCTx in maps.items()}
        features = {name: pooled(map_BCTx, self.net.window) for name, map_BCTx in maps.items()}
        positions = max(feature_BPC.shape[1] for feature_BPC in features.values())
        return {name: feature_BPC.expand(-1, positions, -1) for name, feature_BPC in features.items()}

    def _region(self, name: str, map_BCTx: Tensor, boxes_N5: Tensor) -> Tensor:
        """A box's maximum over its bins (SF Sec. 4, AV App. A.7); of sound, the mean of the whole clip."""
        if isinstance(self.net, Baseline):
            raise ValueError(f"{self.net.kind} sees no boxes")
        path = self.net.pathways[name]
        if path.axes == 2:
            return pooled(map_BCTx, None)[boxes_N5[:, 0].long()]
        aligned = self.net.regions == "aligned"
        bins_NCRR = roi_align(map_BCTx.mean(2), boxes_N5, scale=1 / path.scale("res5"), size=BINS, aligned=aligned)
        return bins_NCRR.flatten(2).amax(2)[:, None]
