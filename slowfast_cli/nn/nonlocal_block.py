"""Non-local blocks (Wang et al. 2018) in dot-product form, as SlowFast uses them (SF, AV Sec. 3.4).

Shapes: B batch, C channels, D inner channels, T time, H height, W width, N query positions, P key positions.
"""

import torch
from torch import Tensor, nn


class NonLocal(nn.Module):
    """Non-local block: dot-product affinity divided by the number of keys (no softmax), with a residual connection.

    The last norm's weight is initialized to zero, so a new block is the identity. Half the channels inside; keys and
    values are max-pooled over (time, height, width).
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
        attended_BDN = torch.einsum("bnp,bdp->bdn", affinity_BNP, value_BDP)
        y_BCTHW = self.norm(self.out(attended_BDN.reshape(*attended_BDN.shape[:2], *x_BCTHW.shape[2:])))
        sum_BCTHW: Tensor = x_BCTHW + y_BCTHW
        return sum_BCTHW


class AudioQuery(nn.Module):
    """Cross-attention from audio to video: at each video step, audio queries attend to spatio-temporal positions.

    AV Sec. 3.4 (iii) gives no widths, pooling or normalization, and no code was released. Here queries come from the
    mean over frequency, keys and values from positions max-pooled 2x2, with a softmax; widths match its published cost.
    ``step`` audio steps are averaged per video step.
    """

    def __init__(self, audio: int, video: int, inner: int, step: int) -> None:
        super().__init__()
        self.step = step
        self.query = nn.Conv1d(audio, inner, 1)
        self.key, self.value = nn.Conv3d(video, inner, 1), nn.Conv3d(video, inner, 1)
        self.out = nn.Conv1d(inner, video, 1)
        self.norm = nn.BatchNorm1d(video)

    def forward(self, audio_BCTF: Tensor, video_BCTHW: Tensor) -> Tensor:
        """Attend; if the audio batch is a multiple of the video batch (AV-sync negatives), the video is repeated.

        Shape: (B, audio, step * T, F), (B, video, T, H, W) -> (B, video, T)
        """
        video_BCTHW = torch.cat([video_BCTHW] * (audio_BCTF.shape[0] // video_BCTHW.shape[0]))
        audio_BCT = nn.functional.avg_pool1d(audio_BCTF.mean(3), self.step, ceil_mode=True)
        H, W = video_BCTHW.shape[3:]
        pooled_BCTHW = nn.functional.max_pool3d(video_BCTHW, (1, min(2, H), min(2, W)))
        query_BDN = self.query(audio_BCT)
        key_BDP, value_BDP = self.key(pooled_BCTHW).flatten(2), self.value(pooled_BCTHW).flatten(2)
        affinity_BNP = torch.einsum("bdn,bdp->bnp", query_BDN, key_BDP) / key_BDP.shape[1] ** 0.5
        attended_BDN = torch.einsum("bnp,bdp->bdn", affinity_BNP.softmax(2), value_BDP)
        output_BCT: Tensor = self.norm(self.out(attended_BDN))
        return output_BCT
