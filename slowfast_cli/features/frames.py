"""On-device resize, crop, flip and normalization of video frames in one bilinear sampling (SF Sec. 4, AV Sec. 4).

Shapes: B clips, T frames, N boxes, H and W of the padded batch, h and w of the crop.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as f

from slowfast_cli.settings import WHOLE, Frames


@dataclass(frozen=True, kw_only=True)
class Crop:
    """Crops of a batch of clips; sizes are integers, as in the reference."""

    resized: Tensor  # height and width that the frames are resized to, (B, 2)
    corner: Tensor  # top and left of the crop in the resized frame, (B, 2)
    flipped: Tensor  # whether the crop is mirrored, (B,)
    size: tuple[int, int]  # height and width of the crop


def short_side(sizes_B2: Tensor, side_B: Tensor) -> Tensor:
    """Scale height and width so that the short side is ``side``; the long side is rounded down.

    >>> short_side(torch.tensor([[240, 320]]), torch.tensor([256])).tolist()
    [[256, 341]]
    """
    return sizes_B2 * side_B[:, None] // sizes_B2.amin(dim=1, keepdim=True)


def random_crop(sizes_B2: Tensor, settings: Frames) -> Crop:
    """Draw a training crop per clip from the CPU generator: scale jitter, random position and mirroring."""
    B, (low, high) = len(sizes_B2), settings.jitter
    resized_B2 = short_side(sizes_B2, torch.randint(low, high + 1, (B,)))
    corner_B2 = (torch.rand(B, 2) * (resized_B2 - settings.crop + 1)).long()
    flipped_B = (torch.rand(B) < 0.5) & settings.flip
    return Crop(resized=resized_B2, corner=corner_B2, flipped=flipped_B, size=(settings.crop, settings.crop))


def eval_crop(sizes_B2: Tensor, settings: Frames, number: int) -> Crop:
    """Return a test crop by number: crops are spread over the long side from end to end, a single one is centered.

    Raises:
        ValueError: Testing on whole frames (``crops=0``), and the clips of the batch have different sizes.
    """
    resized_B2 = short_side(sizes_B2, torch.full((len(sizes_B2),), settings.side))
    flipped_B = torch.zeros(len(sizes_B2), dtype=torch.bool)
    if settings.crops == WHOLE:
        if len(resized_B2.unique(dim=0)) > 1:
            raise ValueError("whole frames of different sizes cannot be batched: set video.crops to 1 or more")
        height, width = resized_B2[0].tolist()
        return Crop(resized=resized_B2, corner=torch.zeros_like(resized_B2), flipped=flipped_B, size=(height, width))
    margin_B2 = resized_B2 - settings.side
    share = number / (settings.crops - 1) if settings.crops > 1 else 0.5
    return Crop(
        resized=resized_B2,
        corner=(margin_B2 * share).ceil().long(),
        flipped=flipped_B,
        size=(settings.side, settings.side),
    )


def crop_frames(frames_B3THW: Tensor, sizes_B2: Tensor, crop: Crop, settings: Frames) -> Tensor:
    """Crop and normalize clips, and order their colors.

    Pixels equal those of a bilinear resize of the whole frame followed by the crop.

    Args:
        frames_B3THW: uint8 RGB frames; values beyond a clip's own size are ignored.
        sizes_B2: Height and width of each clip.
        crop: Crops of the clips.
        settings: Mean, standard deviation and order of the colors.

    Shape: (B, 3, T, H, W) -> (B, 3, T, h, w) float32
    """
    device, (B, _, T, H, W) = frames_B3THW.device, frames_B3THW.shape
    axes = []
    for axis, (size, length) in enumerate(zip(crop.size, (H, W), strict=True)):
        steps_Bs = torch.arange(size).expand(B, size)
        if axis == 1:
            steps_Bs = torch.where(crop.flipped[:, None], size - 1 - steps_Bs, steps_Bs)
        ratio_B1 = (sizes_B2[:, axis] / crop.resized[:, axis])[:, None]
        at_Bs = (crop.corner[:, axis, None] + steps_Bs + 0.5) * ratio_B1 - 0.5
        at_Bs = torch.minimum(at_Bs.clamp(min=0), sizes_B2[:, axis, None] - 1.0)
        axes.append((2 * at_Bs / max(length - 1, 1) - 1).to(device))
    y_Bhw, x_Bhw = torch.broadcast_tensors(axes[0][:, :, None], axes[1][:, None, :])
    ordered_B3THW = frames_B3THW.flip(1) if settings.channels == "bgr" else frames_B3THW
    flat_BNHW = ordered_B3THW.flatten(1, 2).float()
    crop_BNhw = f.grid_sample(
        flat_BNHW, torch.stack([x_Bhw, y_Bhw], dim=-1), mode="bilinear", padding_mode="border", align_corners=True
    )
    normal_BNhw = (crop_BNhw / 255 - settings.mean).div_(settings.std)
    return normal_BNhw.reshape(B, 3, T, *crop.size)


def boxes_to_crop(boxes_N5: Tensor, crop: Crop) -> Tensor:
    """Convert boxes (batch index, x1, y1, x2, y2 from 0 to 1) to pixels of the crop, clipped to its border."""
    row_N = boxes_N5[:, 0].long().cpu()
    size_N2 = crop.resized[row_N].flip(1).to(boxes_N5)
    corner_N2 = crop.corner[row_N].flip(1).to(boxes_N5)
    height, width = crop.size
    max_2 = torch.tensor([width - 1.0, height - 1.0], device=boxes_N5.device)
    low_N2 = boxes_N5[:, 1:3] * size_N2 - corner_N2
    high_N2 = boxes_N5[:, 3:5] * size_N2 - corner_N2
    flipped_N = crop.flipped[row_N].to(boxes_N5.device)
    left_N = torch.where(flipped_N, width - 1 - high_N2[:, 0], low_N2[:, 0])
    right_N = torch.where(flipped_N, width - 1 - low_N2[:, 0], high_N2[:, 0])
    low_N2, high_N2 = torch.stack([left_N, low_N2[:, 1]], 1), torch.stack([right_N, high_N2[:, 1]], 1)
    zero = torch.zeros_like(max_2)
    return torch.cat([boxes_N5[:, :1], low_N2.clamp(zero, max_2), high_N2.clamp(zero, max_2)], dim=1)
