"""Non-Local blocks (Wang et al. 2018) in their dot-product form, as SlowFast uses them (SF, AV Sec. 3.4).

Shapes: B batch, C channels, D inner channels, T time, H height, W width, P positions that are looked up.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class NonLocal(nn.Module):
    """Every position looks at all the others: dot product over their number, without softmax; the result is added.

    The norm at its end starts at zero, so that a fresh block changes nothing.

    Args:
        channels: In and out; half as many inside.
        pool: Positions over (time, height, width) whose maximum is one key.
    """

    def __init__(self, channels: int, pool: tuple[int, int, int]) -> None:
        super().__init__()
        inner = channels // 2
        self.theta, self.phi, self.g = (nn.Conv3d(channels, inner, 1) for _ in range(3))
        self.out = nn.Conv3d(inner, channels, 1)
        self.norm = nn.BatchNorm3d(channels)
        self.pool = nn.MaxPool3d(pool, pool) if max(pool) > 1 else nn.Identity()

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """Shape: (B, C, T, H, W) -> (B, C, T, H, W)."""
        pooled_BCTHW = self.pool(x_BCTHW)
        query_BDN = self.theta(x_BCTHW).flatten(2)
        key_BDP, value_BDP = self.phi(pooled_BCTHW).flatten(2), self.g(pooled_BCTHW).flatten(2)
        affinity_BNP = torch.einsum("bdn,bdp->bnp", query_BDN, key_BDP) / key_BDP.shape[2]
        looked_up_BDN = torch.einsum("bnp,bdp->bdn", affinity_BNP, value_BDP)
        y_BCTHW = self.norm(self.out(looked_up_BDN.reshape(*looked_up_BDN.shape[:2], *x_BCTHW.shape[2:])))
        joined_BCTHW: Tensor = x_BCTHW + y_BCTHW
        return joined_BCTHW


class AudioQuery(nn.Module):
    """Sound asks the pictures: at each step of the pictures, its features look up where and when it is seen.

    AV Sec. 3.4 (iii) describes it without widths, pooling or normalisation, and no code has it: queries come from the
    mean over frequency, keys and values from positions max-pooled 2x2, softmax over them. Ours, fitted to its cost.

    Args:
        heard: Channels of the sound.
        seen: Channels of the pictures, which it brings.
        inner: Channels of queries, keys and values.
        step: Steps of the sound for one of the pictures, averaged.
    """

    def __init__(self, heard: int, seen: int, inner: int, step: int) -> None:
        super().__init__()
        self.step = step
        self.query = nn.Conv1d(heard, inner, 1)
        self.key, self.value = nn.Conv3d(seen, inner, 1), nn.Conv3d(seen, inner, 1)
        self.out = nn.Conv1d(inner, seen, 1)
        self.norm = nn.BatchNorm1d(seen)

    def forward(self, heard_BCTF: Tensor, seen_BCTHW: Tensor) -> Tensor:
        """Look up; with more sounds than pictures (a multiple), the pictures are asked again.

        Shape:
            (B, heard, step * T, F), (B, seen, T, H, W) -> (B, seen, T)
        """
        seen_BCTHW = torch.cat([seen_BCTHW] * (len(heard_BCTF) // len(seen_BCTHW)))
        heard_BCT = nn.functional.avg_pool1d(heard_BCTF.mean(3), self.step, ceil_mode=True)
        H, W = seen_BCTHW.shape[3:]
        pooled_BCTHW = nn.functional.max_pool3d(seen_BCTHW, (1, min(2, H), min(2, W)))
        query_BDN = self.query(heard_BCT)
        key_BDP, value_BDP = self.key(pooled_BCTHW).flatten(2), self.value(pooled_BCTHW).flatten(2)
        affinity_BNP = torch.einsum("bdn,bdp->bnp", query_BDN, key_BDP) / key_BDP.shape[1] ** 0.5
        looked_up_BDN = torch.einsum("bnp,bdp->bdn", affinity_BNP.softmax(2), value_BDP)
        brought_BCT: Tensor = self.norm(self.out(looked_up_BDN))
        return brought_BCT
