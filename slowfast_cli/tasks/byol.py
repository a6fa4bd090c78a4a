"""BYOL: one view of a clip predicts what a slower copy of the network makes of the other (Niizumi et al. 2021).

Shapes: B clips, R = 2B rows, two views of each; D features, E embedding, T frames, F mel bands, U frames of the canvas.
"""

from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as f

from slowfast_cli.tasks.simclr import mark_positives, positives_of
from slowfast_cli.tasks.task import PRETEXT_TOP1, Outputs, TaskSpec
from slowfast_cli.types import Batch, Signals

CUBIC = -0.75  # coefficient of bicubic interpolation, as in torch


class ByolObjective(nn.Module):
    """Projector and predictor on the trunk, and slow copies (moving averages) of trunk and projector.

    The copies have no gradients: `momentum_update` moves their parameters after each optimizer step. Their norms keep
    statistics of their own.
    """

    def __init__(self, trunk: nn.Module, *, hidden: int = 4096, size: int = 256, decay: float = 0.99) -> None:
        super().__init__()
        self.decay = decay
        length = sum(trunk.net.features().values())  # type: ignore[operator, union-attr]
        self.projector = _mlp(length, hidden, size)
        self.predictor = _mlp(size, hidden, size)
        self.slow_trunk = deepcopy(trunk).requires_grad_(False)
        self.slow_projector = deepcopy(self.projector).requires_grad_(False)

    def forward(self, trunk: nn.Module, signals: Signals) -> dict[str, Tensor]:
        """Prediction of each row, and its target from the slow copies, from both views of every clip.

        Returns:
            ``byol_predicted`` and ``byol_slow`` (R, E), the second without a gradient.
        """
        predicted_RE = self.predictor(self.projector(_concatenated(trunk(signals))))
        with torch.no_grad():
            slow_RE = self.slow_projector(_concatenated(self.slow_trunk(signals)))
        return {"byol_predicted": predicted_RE, "byol_slow": slow_RE}

    @torch.no_grad()
    def momentum_update(self, trunk: nn.Module) -> None:
        """Move the slow copies towards the trunk and the projector; call it after each optimizer step."""
        for slow, fast in ((self.slow_trunk, trunk), (self.slow_projector, self.projector)):
            for old, new in zip(slow.parameters(), fast.parameters(), strict=True):
                old.lerp_(new, 1 - self.decay)


def _mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.BatchNorm1d(hidden), nn.ReLU(inplace=True), nn.Linear(hidden, outputs)
    )


def _concatenated(features: dict[str, Tensor]) -> Tensor:
    return torch.cat(list(features.values()), dim=1)


@dataclass(frozen=True)
class Byol:
    """Distance between prediction and target. Rows that share an id are views of one clip; others do not count."""

    def losses(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Squared distance on the unit sphere, both directions summed, mean over the clips."""
        predicted_RE, slow_RE = _unit(outputs)
        positive_R, valid_R = positives_of(batch, slow_RE.device)
        distance_R = 2 - 2 * (predicted_RE * slow_RE[positive_R]).sum(1)
        return {"byol": 2 * (distance_R * valid_R).sum() / valid_R.sum().clamp(min=1)}

    def scores(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        """``pretext_top1`` (R, 1): 1 where the clip's other view is nearer to the prediction than any other clip's."""
        predicted_RE, slow_RE = _unit(outputs)
        positive_R, valid_R = positives_of(batch, slow_RE.device)
        cosine_RR = (predicted_RE @ slow_RE.T).fill_diagonal_(-2)  # below every cosine
        return {PRETEXT_TOP1: ((cosine_RR.argmax(1) == positive_R) & (valid_R > 0)).float()[:, None]}


def _unit(outputs: Outputs) -> tuple[Tensor, Tensor]:
    return f.normalize(outputs["byol_predicted"].float(), dim=1), f.normalize(outputs["byol_slow"].float(), dim=1)


class TwoViews(nn.Module):
    """BYOL-A's augmentation (Sec. III): log-mixup-exp with an earlier clip, then a random resized crop.

    Its buffers are earlier clips and the running mean and deviation of the corpus.

    Args:
        ratio: Largest share of an earlier clip in a view.
        memory: Number of earlier clips that are kept.
        settled: Clips after which mean and deviation stay fixed; ten epochs' worth in the paper's code.
        canvas: Frames of the area that crops are taken from, in clips; beyond the clip it holds the mean.
        scale: Least and largest size of a crop, in clips, along either axis.
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
        """Make two views of each clip, all first views before all second ones: (B, 1, T, F) -> (2 B, 1, T, F)."""
        normal_B1TF = self._standardized(logmel_B1TF)
        mixed = [self._mixed(normal_B1TF) for _ in range(2)]
        self._remember(normal_B1TF)
        views_B1TF = [random_resize_crop(view, canvas=self.canvas, scale=self.scale) for view in mixed]
        return standardized(torch.cat(views_B1TF))

    def _standardized(self, logmel_B1TF: Tensor) -> Tensor:
        """Subtract the mean of all clips so far and divide by their deviation."""
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
    """Mix a share in [0, 1) of other clips into clips, by energies and not logarithms: (B, 1, T, F) -> (B, 1, T, F)."""
    share_B111 = share_B.to(logmel_B1TF)[:, None, None, None]
    return torch.logaddexp(logmel_B1TF + torch.log1p(-share_B111), other_B1TF + share_B111.log())


def random_resize_crop(logmel_B1TF: Tensor, *, canvas: float, scale: tuple[float, float]) -> Tensor:
    """Crop a random range of frames and bands of each clip and resize it to the size of the clip.

    Args:
        logmel_B1TF: Standardized clips.
        canvas: Frames of the area that is cropped, in clips; the clip is in its middle, padded with zeros.
        scale: Least and largest size of the crop along either axis, in clips, at most the area.

    Shape: (B, 1, T, F) -> (B, 1, T, F)
    """
    B, _, T, F = logmel_B1TF.shape
    U = int(T * canvas)
    before = (U - T) // 2
    area_BUF = nn.functional.pad(logmel_B1TF[:, 0], (0, 0, before, U - T - before))
    time_BTU = _resampling(*_ranges(B, T, U, scale, area_BUF.device), size=T, among=U)
    bands_BFF = _resampling(*_ranges(B, F, F, scale, area_BUF.device), size=F, among=F)
    return (time_BTU.to(area_BUF) @ area_BUF @ bands_BFF.to(area_BUF).mT)[:, None]


def standardized(views_B1TF: Tensor) -> Tensor:
    """Scale the whole batch to mean 0 and deviation 1: (B, 1, T, F) -> (B, 1, T, F)."""
    return (views_B1TF - views_B1TF.mean()) / views_B1TF.std().clamp(min=1e-6)


def _ranges(
    clips: int, size: int, among: int, scale: tuple[float, float], device: torch.device
) -> tuple[Tensor, Tensor]:
    """First index and length (B,) of a random crop of each clip along one axis."""
    draw_2B = torch.rand(2, clips, device=device, dtype=torch.float64)
    length_B = ((scale[0] + (scale[1] - scale[0]) * draw_2B[0]) * size).long().clamp(1, among)
    return (draw_2B[1] * (among - length_B + 1)).long(), length_B


def _resampling(first_B: Tensor, length_B: Tensor, *, size: int, among: int) -> Tensor:
    """Weights (B, size, among) of bicubic interpolation of a range to `size` points, end points aligned."""
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


SPEC = TaskSpec(
    part=lambda *_: Byol(), metric=PRETEXT_TOP1, label_sets={}, views_per_segment=2,
    objective=lambda trunk, settings: ByolObjective(trunk, hidden=settings.hidden, size=settings.out), views=TwoViews,
    transform=mark_positives, needs="logmel",
)  # fmt: skip
