"""Encoder for X-ARES (https://github.com/jimbozhang/xares): frame-level features of a trunk.

X-ARES imports the file and calls its only class without arguments; an environment variable then names the weights:

    SLOWFAST_XARES_WEIGHTS=runs/sounds python -m xares.run slowfast_cli/adapters/xares.py src/tasks/*.py

Shapes: B clips, N samples, T frames, F mel bands, C channels, D features.
"""

import os

import torch
from torch import Tensor, nn
from torch.nn import functional as f

from slowfast_cli.features.front_ends import make_front_end
from slowfast_cli.models.spec import Net
from slowfast_cli.types import WeightsError
from slowfast_cli.weights.file import build
from slowfast_cli.weights.resolve import weight_file

WEIGHTS = "SLOWFAST_XARES_WEIGHTS"


class SlowFastEncoder(nn.Module):
    """Last maps of the pathways, averaged over frequency, at the frame rate of the slowest pathway.

    Args:
        weights: A weight file, a run folder or a catalog name; by default ``$SLOWFAST_XARES_WEIGHTS``, or else the
            bundled model.

    Raises:
        WeightsError: The weights are not there, or read something else than log-mels.
    """

    sampling_rate: int
    """Hz"""
    output_dim: int
    """D: Slow, then Fast."""
    hop_size_in_ms: float
    """Distance between frames of the output."""

    def __init__(self, weights: str | None = None) -> None:
        super().__init__()
        path = weight_file(weights or os.environ.get(WEIGHTS))
        card, model = build(path)
        net = card.net
        if not isinstance(net, Net) or net.signals != {"logmel"}:
            raise WeightsError(
                f"{path}: X-ARES needs features at every time of a sound, and this network reads "
                f"{', '.join(sorted(net.signals))} or has no maps over time: use an Auditory Slow-Fast network"
            )
        front_end = card.log_mel()
        self.front_end = make_front_end(front_end)
        self.trunk = model.trunk
        self.sampling_rate = front_end.rate
        self.output_dim = sum(net.features().values())
        stride = max(path.stride * path.time_stride("res5") for path in net.pathways.values())
        self.hop_size_in_ms = 1000 * front_end.hop / front_end.rate * stride
        self.eval()

    @torch.inference_mode()
    def forward(self, audio: Tensor) -> Tensor:
        """Return the features of clips of equal length.

        Shape: (B, N) -> (B, T, D)
        """
        logmel_B1TF = self.front_end(torch.atleast_2d(audio).float())
        last, _ = self.trunk.run({"logmel": logmel_B1TF})
        frames = min(map_BCTF.shape[2] for map_BCTF in last.values())
        rows = [f.adaptive_avg_pool1d(map_BCTF.mean(3), frames) for map_BCTF in last.values()]
        return torch.cat(rows, dim=1).transpose(1, 2)
