"""On-device augmentation of log-mel batches, drawn per clip.

SpecAugment (Park et al. 2019) with the sizes of ASF Sec. 4.2. The reference code draws the width of a mask twice and
takes the warped position from spectrogram values; this follows the SpecAugment paper instead.

Shapes: B batch, T frames, F mel bands.
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as f

from slowfast_cli.settings import Augment
from slowfast_cli.torchaudio_import import functional as audio


def augment_samples(samples_BN: Tensor, settings: Augment) -> Tensor:
    """Apply the augmentations that samples allow: rotation in time and gain; (B, N) -> (B, N)."""
    B, N = samples_BN.shape
    if settings.roll:
        first_B1 = torch.randint(N, (B, 1), device=samples_BN.device)
        samples_BN = samples_BN.gather(1, (torch.arange(N, device=samples_BN.device) + first_B1) % N)
    if settings.gain_db:
        db_B1 = torch.empty(B, 1, device=samples_BN.device).uniform_(-settings.gain_db, settings.gain_db)
        samples_BN = samples_BN * 10 ** (db_B1 / 20)
    return samples_BN


def augment_logmel(logmel_B1TF: Tensor, settings: Augment, *, slope: float = 1.0) -> Tensor:
    """Augment a batch of log-mels; masks are filled with the clip's mean.

    Args:
        logmel_B1TF: The clips.
        settings: What to apply.
        slope: Increase of a band when the amplitude grows by a factor of e, see `FrontEnd.slope`.

    Shape: (B, 1, T, F) -> (B, 1, T, F)
    """
    if settings.roll or settings.stretch:
        logmel_B1TF = roll_and_stretch(logmel_B1TF, roll=settings.roll, stretch=settings.stretch)
    if settings.shift:
        logmel_B1TF = shift_bands(logmel_B1TF, settings.shift)
    if settings.warp:
        logmel_B1TF = time_warp(logmel_B1TF, settings.warp)
    mean_B111 = logmel_B1TF.mean(dim=(1, 2, 3), keepdim=True)
    x_B1TF = logmel_B1TF - mean_B111
    for _ in range(settings.freq_masks):
        x_B1TF = audio.mask_along_axis_iid(x_B1TF, settings.freq_width + 1, 0.0, axis=3)
    for _ in range(settings.time_masks):
        x_B1TF = audio.mask_along_axis_iid(x_B1TF, settings.time_width + 1, 0.0, axis=2)
    if settings.gain_db:
        # 20 dB is a factor of 10 in magnitude: ln 10 in its logarithm.
        gain_B111 = torch.empty_like(mean_B111).uniform_(-settings.gain_db, settings.gain_db) * (
            slope * torch.log(torch.tensor(10.0)) / 20
        )
        mean_B111 = mean_B111 + gain_B111
    return x_B1TF + mean_B111


def roll_and_stretch(logmel_B1TF: Tensor, *, roll: bool, stretch: float) -> Tensor:
    """Change each clip's speed, drawn from 1 +- ``stretch``, and rotate it in time by a random offset, wrapping around.

    Shape: (B, 1, T, F) -> (B, 1, T, F)
    """
    B, _, T, _ = logmel_B1TF.shape
    speed_B1 = 1 + stretch * (2 * torch.rand(B, 1, device=logmel_B1TF.device) - 1)
    first_B1 = torch.randint(T if roll else 1, (B, 1), device=logmel_B1TF.device)
    index_BT = (torch.arange(T, device=logmel_B1TF.device) * speed_B1).round().long() % T
    return torch.take_along_dim(logmel_B1TF, ((index_BT + first_B1) % T)[:, None, :, None], dim=2)


def shift_bands(logmel_B1TF: Tensor, bands: int) -> Tensor:
    """Shift each clip by up to ``bands`` mel bands in either direction, repeating the edge band.

    Shape: (B, 1, T, F) -> (B, 1, T, F)
    """
    B, _, _, F = logmel_B1TF.shape
    by_B1 = torch.randint(-bands, bands + 1, (B, 1), device=logmel_B1TF.device)
    from_BF = (torch.arange(F, device=logmel_B1TF.device) + by_B1).clamp(0, F - 1)
    return torch.take_along_dim(logmel_B1TF, from_BF[:, None, None, :], dim=3)


def time_warp(logmel_B1TF: Tensor, width: int) -> Tensor:
    """Warp time: move a point of each clip by up to ``width`` frames, stretching both sides linearly.

    The point is drawn from [width, T - width), the distance from [-width, width] (SpecAugment Sec. 2).

    Shape: (B, 1, T, F) -> (B, 1, T, F)
    """
    B, _, T, F = logmel_B1TF.shape
    if 2 * width >= T:
        return logmel_B1TF
    draw_2B = torch.rand(2, B, 1, device=logmel_B1TF.device)
    point_B1 = width + draw_2B[0] * (T - 2 * width - 1)
    moved_B1 = (point_B1 + (2 * draw_2B[1] - 1) * width).clamp(1, T - 2)
    to_T = torch.arange(T, device=logmel_B1TF.device, dtype=torch.float32)
    before_BT = to_T * point_B1 / moved_B1
    after_BT = point_B1 + (to_T - moved_B1) * (T - 1 - point_B1) / (T - 1 - moved_B1)
    from_BT = torch.where(to_T < moved_B1, before_BT, after_BT)
    grid_BTF2 = torch.stack(
        [
            torch.linspace(-1, 1, F, device=logmel_B1TF.device).expand(B, T, F),
            (2 * from_BT / (T - 1) - 1)[:, :, None].expand(B, T, F),
        ],
        dim=-1,
    )
    return f.grid_sample(
        logmel_B1TF, grid_BTF2.to(logmel_B1TF), mode="bilinear", padding_mode="border", align_corners=True
    )


def mixup(
    clips: Tensor,
    targets: Mapping[str, Tensor],
    classes: Mapping[str, int],
    alpha: float,
    beta: float | None = None,
    slope: float = 1.0,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Mix each clip and its target with another of the batch (mixup, Zhang et al. 2018); magnitudes mix linearly.

    Args:
        clips: Log-mels (B, 1, T, F), or samples (B, N).
        targets: Class indices (B,), or probabilities (B, classes), by label set.
        classes: Number of classes by label set.
        alpha: The share of the first clip is drawn from Beta(alpha, beta).
        beta: If None, beta is alpha and the share is folded to at least one half.
        slope: Increase of a log-mel band when the amplitude grows by a factor of e, see `FrontEnd.slope`.

    Returns:
        The mixed clips, and probabilities (B, classes) by label set.
    """
    B = len(clips)
    # Drawn from the CPU generator, so that the shares do not depend on the device.
    second = alpha if beta is None else beta
    distribution = torch.distributions.Beta(torch.tensor(float(alpha)), torch.tensor(float(second)))
    share_B = _to_device(distribution.sample((B,)), clips.device).to(clips)
    if beta is None:
        share_B = torch.maximum(share_B, 1 - share_B)
    other = _to_device(torch.randperm(B), clips.device)
    share = share_B.reshape(-1, *(1,) * (clips.ndim - 1))
    if clips.ndim == 2:
        mixed = share * clips + (1 - share) * clips[other]
    else:
        shares = (share.clamp(min=1e-6).log(), (1 - share).clamp(min=1e-6).log())
        mixed = slope * torch.logaddexp(clips / slope + shares[0], clips[other] / slope + shares[1])
    soft = {}
    for labels, target in targets.items():
        target_BC = (target if target.ndim == 2 else f.one_hot(target, classes[labels])).to(clips)
        soft[labels] = share_B[:, None] * target_BC + (1 - share_B[:, None]) * target_BC[other]
    return mixed, soft


def _to_device(value: Tensor, device: torch.device) -> Tensor:
    """Copy a CPU tensor to a device without synchronization."""
    return (value.pin_memory() if device.type == "cuda" else value).to(device, non_blocking=True)
