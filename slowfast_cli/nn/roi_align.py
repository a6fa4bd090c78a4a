"""RoIAlign (He et al. 2017) as two small matrix products: bilinear sampling weights are separable.

Shapes: N boxes, B images, C channels, H height, W width, R bins along a side, S samples in a bin.
"""

import torch
from torch import Tensor


def roi_align(map_BCHW: Tensor, boxes_N5: Tensor, *, scale: float, size: int = 7, aligned: bool = True) -> Tensor:
    """Average bilinear samples within each bin of each box; their number grows with the box, about one per pixel.

    Args:
        map_BCHW: Feature map.
        boxes_N5: Batch index, then x1, y1, x2, y2 in pixels of the image.
        scale: Feature-map positions per image pixel.
        size: Bins along each side.
        aligned: Whether pixel centers are at half positions. If not, boxes are at least one position wide and high.

    Returns:
        (N, C, size, size). Samples more than one position outside the map are zero; a box without area gives zeros
        if ``aligned``.
    """
    shift = 0.5 if aligned else 0.0
    low_N2, high_N2 = boxes_N5[:, 1:3] * scale - shift, boxes_N5[:, 3:5] * scale - shift
    length_N2 = high_N2 - low_N2 if aligned else (high_N2 - low_N2).clamp(min=1.0)
    x_NRW = _weights(low_N2[:, 0], length_N2[:, 0], map_BCHW.shape[3], size)
    y_NRH = _weights(low_N2[:, 1], length_N2[:, 1], map_BCHW.shape[2], size)
    rows_NCRW = torch.einsum("nrh,nchw->ncrw", y_NRH.to(map_BCHW), map_BCHW[boxes_N5[:, 0].long()])
    return torch.einsum("ncrw,nsw->ncrs", rows_NCRW, x_NRW.to(map_BCHW))


def _weights(low_N: Tensor, length_N: Tensor, positions: int, size: int) -> Tensor:
    """Weight of each position of one axis in each bin: (N, size, positions)."""
    samples_N = (length_N / size).ceil().clamp(min=0)
    max_samples = max(int(samples_N.max()), 1) if len(samples_N) else 1
    step_S = torch.arange(max_samples, device=low_N.device) + 0.5
    bin_R = torch.arange(size, device=low_N.device)
    offset_NS = step_S / samples_N.clamp(min=1)[:, None]
    at_NRS = low_N[:, None, None] + (bin_R[:, None] + offset_NS[:, None, :]) * (length_N / size)[:, None, None]
    valid_NRS = (step_S < samples_N[:, None])[:, None, :] & (at_NRS >= -1) & (at_NRS <= positions)
    share_NRS = valid_NRS / samples_N.clamp(min=1)[:, None, None]
    at_NRS = at_NRS.clamp(0, positions - 1)
    weights_NRSP = (1 - (at_NRS[..., None] - torch.arange(positions, device=low_N.device)).abs()).clamp(min=0)
    return (weights_NRSP * share_NRS[..., None]).sum(2)
