"""Two views of each log-mel as BYOL-A draws them (Niizumi et al. 2021, Sec. III), on the device.

Log-mixup-exp with a clip of before, then a stretch of time and frequency brought to the size of the whole; norms before
and after.

Shapes: B clips, T frames, F mel bands, U frames of the canvas.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

CUBIC = -0.75  # what bicubic interpolation is shaped by, as in torch


class Views(nn.Module):
    """The augmentation, and what it keeps from one batch to the next: past clips, and the corpus's mean and deviation.

    Args:
        ratio: The largest share of a past clip in a view.
        memory: How many past clips are kept.
        settled: Clips after which mean and deviation stay as they are; as in the paper's code, ten epochs' worth.
        canvas: Frames of the area that stretches are cut from, in clips; what is beyond the clip is the mean.
        scale: The least and largest size of a stretch, in clips, of either axis.
    """

    mean: Tensor
    square: Tensor
    seen: Tensor
    past: Tensor

    def __init__(
        self,
        *,
        ratio: float = 0.4,
        memory: int = 2048,
        settled: int = 100_000,
        canvas: float = 1.5,
        scale: tuple[float, float] = (0.6, 1.5),
    ) -> None:
        super().__init__()
        self.ratio, self.memory, self.settled, self.canvas, self.scale = ratio, memory, settled, canvas, scale
        self.register_buffer("mean", torch.zeros((), dtype=torch.float64))
        self.register_buffer("square", torch.zeros((), dtype=torch.float64))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))
        self.register_buffer("past", torch.empty(0), persistent=False)

    @torch.no_grad()
    def forward(self, logmel_B1TF: Tensor) -> Tensor:
        """Both views of each clip, all first ones first.

        Shape:
            (B, 1, T, F) -> (2 B, 1, T, F)
        """
        normal_B1TF = self._normalised(logmel_B1TF)
        mixed = [self._mixed(normal_B1TF) for _ in range(2)]
        self._remember(normal_B1TF)
        views_B1TF = [random_resize_crop(each, canvas=self.canvas, scale=self.scale) for each in mixed]
        return normalised(torch.cat(views_B1TF))

    def _normalised(self, logmel_B1TF: Tensor) -> Tensor:
        """By mean and deviation of all clips so far."""
        if self.seen < self.settled:
            share = len(logmel_B1TF) / (int(self.seen) + len(logmel_B1TF))
            self.mean.lerp_(logmel_B1TF.double().mean(), share)
            self.square.lerp_(logmel_B1TF.double().square().mean(), share)
            self.seen += len(logmel_B1TF)
        deviation = (self.square - self.mean.square()).clamp(min=1e-12).sqrt()
        return (logmel_B1TF - self.mean.to(logmel_B1TF)) / deviation.to(logmel_B1TF)

    def _mixed(self, normal_B1TF: Tensor) -> Tensor:
        if not len(self.past) or self.past.shape[1:] != normal_B1TF.shape[1:]:
            return normal_B1TF
        B, device = len(normal_B1TF), normal_B1TF.device
        other_B1TF = self.past[torch.randint(len(self.past), (B,), device=device)]
        return log_mixup_exp(normal_B1TF, other_B1TF, self.ratio * torch.rand(B, device=device))

    def _remember(self, normal_B1TF: Tensor) -> None:
        if self.past.shape[1:] != normal_B1TF.shape[1:]:
            self.past = normal_B1TF[:0].clone()
        self.past = torch.cat([self.past, normal_B1TF])[-self.memory :]


def log_mixup_exp(logmel_B1TF: Tensor, other_B1TF: Tensor, share_B: Tensor) -> Tensor:
    """Mix where energies add up, not their logarithms.

    Args:
        logmel_B1TF: The clips.
        other_B1TF: What is mixed in.
        share_B: How much of it, from 0 to below 1.

    Shape:
        (B, 1, T, F) -> (B, 1, T, F)
    """
    share_B111 = share_B.to(logmel_B1TF)[:, None, None, None]
    return torch.logaddexp(logmel_B1TF + torch.log1p(-share_B111), other_B1TF + share_B111.log())


def random_resize_crop(logmel_B1TF: Tensor, *, canvas: float, scale: tuple[float, float]) -> Tensor:
    """Cut a stretch of time and bands out of each clip and bring it to the clip's size.

    Args:
        logmel_B1TF: Normalised clips.
        canvas: Frames of the area that is cut from, in clips; the clip is in its middle, zeros are around.
        scale: The least and largest size of the stretch along either axis, in clips; never more than the area.

    Shape:
        (B, 1, T, F) -> (B, 1, T, F)
    """
    B, _, T, F = logmel_B1TF.shape
    U = int(T * canvas)
    before = (U - T) // 2
    area_BUF = nn.functional.pad(logmel_B1TF[:, 0], (0, 0, before, U - T - before))
    time_BTU = _resampling(*_stretches(B, T, U, scale, area_BUF.device), size=T, among=U)
    bands_BFF = _resampling(*_stretches(B, F, F, scale, area_BUF.device), size=F, among=F)
    return (time_BTU.to(area_BUF) @ area_BUF @ bands_BFF.to(area_BUF).mT)[:, None]


def normalised(views_B1TF: Tensor) -> Tensor:
    """The whole batch brought to mean 0 and deviation 1.

    Shape:
        (B, 1, T, F) -> (B, 1, T, F)
    """
    return (views_B1TF - views_B1TF.mean()) / views_B1TF.std().clamp(min=1e-6)


def _stretches(
    clips: int, size: int, among: int, scale: tuple[float, float], device: torch.device
) -> tuple[Tensor, Tensor]:
    """First positions and lengths (B,) of what is cut out."""
    draw_2B = torch.rand(2, clips, device=device, dtype=torch.float64)
    length_B = ((scale[0] + (scale[1] - scale[0]) * draw_2B[0]) * size).long().clamp(1, among)
    return (draw_2B[1] * (among - length_B + 1)).long(), length_B


def _resampling(first_B: Tensor, length_B: Tensor, *, size: int, among: int) -> Tensor:
    """Weights (B, size, among) of bicubic interpolation of a stretch, whose ends stay its ends."""
    at_BS = torch.arange(size, device=first_B.device, dtype=torch.float64)
    at_BS = at_BS * (length_B[:, None] - 1) / max(size - 1, 1)
    whole_BS = at_BS.floor()
    part_BS = at_BS - whole_BS
    weights_BSA = torch.zeros(len(first_B), size, among, device=first_B.device, dtype=torch.float64)
    for tap in (-1, 0, 1, 2):
        inside_BS = (whole_BS.long() + tap).clamp(min=0).minimum(length_B[:, None] - 1)
        place_BS1 = (first_B[:, None] + inside_BS)[:, :, None]
        weights_BSA.scatter_add_(2, place_BS1, _cubic((part_BS - tap).abs())[:, :, None])
    return weights_BSA


def _cubic(distance: Tensor) -> Tensor:
    near = (CUBIC + 2) * distance**3 - (CUBIC + 3) * distance**2 + 1
    far = CUBIC * (distance**3 - 5 * distance**2 + 8 * distance - 4)
    return torch.where(distance <= 1, near, far)
