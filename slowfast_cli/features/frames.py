"""Frames of video on the device: resized, cropped, flipped and normalised in one bilinear sampling (SF Sec. 4, AV 4).

Shapes: B clips, T frames, H and W of the widest and highest picture of a batch, h and w of the pictures that come out.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as f

from slowfast_cli.settings import WHOLE, Frames
from slowfast_cli.types import Signals


@dataclass(frozen=True, kw_only=True)
class Cut:
    """What is cut out of each clip of a batch; the sizes are integers, as the reference has them.

    Attributes:
        resized: (B, 2), height and width the pictures are resized to.
        corner: (B, 2), top and left of the crop in the resized picture.
        flipped: (B,), whether it is mirrored.
        size: Height and width of the crop.
    """

    resized: Tensor
    corner: Tensor
    flipped: Tensor
    size: tuple[int, int]


def short_side(sizes_B2: Tensor, side_B: Tensor) -> Tensor:
    """Height and width once the short side is ``side``, the other rounded down.

    >>> short_side(torch.tensor([[240, 320]]), torch.tensor([256])).tolist()
    [[256, 341]]
    """
    return sizes_B2 * side_B[:, None] // sizes_B2.amin(dim=1, keepdim=True)


def random_cut(sizes_B2: Tensor, settings: Frames) -> Cut:
    """A cut for training: scale jitter, random place, mirrored or not, drawn for each clip on the CPU's generator."""
    B, (low, high) = len(sizes_B2), settings.jitter
    resized_B2 = short_side(sizes_B2, torch.randint(low, high + 1, (B,)))
    corner_B2 = (torch.rand(B, 2) * (resized_B2 - settings.crop + 1)).long()
    flipped_B = (torch.rand(B) < 0.5) & settings.flip
    return Cut(resized=resized_B2, corner=corner_B2, flipped=flipped_B, size=(settings.crop, settings.crop))


def eval_crop(sizes_B2: Tensor, settings: Frames, number: int) -> Cut:
    """One of the crops for testing: they go from one end of the long side to the other; a single one is in the middle.

    Raises:
        ValueError: Whole frames of different sizes.
    """
    resized_B2 = short_side(sizes_B2, torch.full((len(sizes_B2),), settings.side))
    flipped_B = torch.zeros(len(sizes_B2), dtype=torch.bool)
    if settings.crops == WHOLE:
        if len(resized_B2.unique(dim=0)) > 1:
            raise ValueError("whole frames of different sizes do not go into one batch")
        height, width = resized_B2[0].tolist()
        return Cut(resized=resized_B2, corner=torch.zeros_like(resized_B2), flipped=flipped_B, size=(height, width))
    room_B2 = resized_B2 - settings.side
    share = number / (settings.crops - 1) if settings.crops > 1 else 0.5
    return Cut(
        resized=resized_B2,
        corner=(room_B2 * share).ceil().long(),
        flipped=flipped_B,
        size=(settings.side, settings.side),
    )


def sampled(frames_B3THW: Tensor, sizes_B2: Tensor, cut: Cut, settings: Frames) -> Tensor:
    """Cut clips out: the same pixels as resizing the whole picture bilinearly and cropping then.

    Args:
        frames_B3THW: uint8; beyond a clip's own size anything.
        sizes_B2: Height and width of each clip.
        cut: What to cut out.
        settings: Mean and standard deviation.

    Shape:
        (B, 3, T, H, W) -> (B, 3, T, h, w) float32
    """
    device, (B, _, T, H, W) = frames_B3THW.device, frames_B3THW.shape
    axes = []
    for axis, (size, whole) in enumerate(zip(cut.size, (H, W), strict=True)):
        steps_Bs = torch.arange(size).expand(B, size)
        if axis == 1:
            steps_Bs = torch.where(cut.flipped[:, None], size - 1 - steps_Bs, steps_Bs)
        ratio_B1 = (sizes_B2[:, axis] / cut.resized[:, axis])[:, None]
        at_Bs = (cut.corner[:, axis, None] + steps_Bs + 0.5) * ratio_B1 - 0.5
        at_Bs = torch.minimum(at_Bs.clamp(min=0), sizes_B2[:, axis, None] - 1.0)
        axes.append((2 * at_Bs / max(whole - 1, 1) - 1).to(device))
    y_Bhw, x_Bhw = torch.broadcast_tensors(axes[0][:, :, None], axes[1][:, None, :])
    flat_BNHW = frames_B3THW.flatten(1, 2).float()
    cut_BNhw = f.grid_sample(
        flat_BNHW, torch.stack([x_Bhw, y_Bhw], dim=-1), mode="bilinear", padding_mode="border", align_corners=True
    )
    normal_BNhw = (cut_BNhw / 255 - settings.mean).div_(settings.std)
    return normal_BNhw.reshape(B, 3, T, *cut.size)


def placed(boxes_N5: Tensor, cut: Cut) -> Tensor:
    """Boxes given as shares of the frame, in pixels of the crop, and no further than its border.

    Args:
        boxes_N5: Row of the batch, then x1, y1, x2, y2 from 0 to 1.
        cut: What was cut out of each row.
    """
    row_N = boxes_N5[:, 0].long().cpu()
    size_N2 = cut.resized[row_N].flip(1).to(boxes_N5)
    corner_N2 = cut.corner[row_N].flip(1).to(boxes_N5)
    height, width = cut.size
    most_2 = torch.tensor([width - 1.0, height - 1.0], device=boxes_N5.device)
    low_N2 = boxes_N5[:, 1:3] * size_N2 - corner_N2
    high_N2 = boxes_N5[:, 3:5] * size_N2 - corner_N2
    flipped_N = cut.flipped[row_N].to(boxes_N5.device)
    left_N = torch.where(flipped_N, width - 1 - high_N2[:, 0], low_N2[:, 0])
    right_N = torch.where(flipped_N, width - 1 - low_N2[:, 0], high_N2[:, 0])
    low_N2, high_N2 = torch.stack([left_N, low_N2[:, 1]], 1), torch.stack([right_N, high_N2[:, 1]], 1)
    zero = torch.zeros_like(most_2)
    return torch.cat([boxes_N5[:, :1], low_N2.clamp(zero, most_2), high_N2.clamp(zero, most_2)], dim=1)


def rotated(signals: Signals, quarters_B: Tensor) -> Signals:
    """Signals whose square frames are turned by so many quarters, counter-clockwise (AV Sec. 6)."""
    frames = signals["frames"]
    turned = torch.stack([clip.rot90(int(quarter), (-2, -1)) for clip, quarter in zip(frames, quarters_B, strict=True)])
    return {**signals, "frames": turned}
