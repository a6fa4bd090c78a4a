"""Networks from the literature, by kind: those that HARES compares with (Table 2), and that of ASF Table 3."""

from collections.abc import Callable, Mapping

from torch import nn

from slowfast_cli.models.architecture import Baseline
from slowfast_cli.models.baselines.bidir_cpc import BidirCpc
from slowfast_cli.models.baselines.byola_cnn import ByolaCnn
from slowfast_cli.models.baselines.cnn14 import Cnn14
from slowfast_cli.models.baselines.efficientnet import EfficientNet
from slowfast_cli.models.baselines.mcdonnell_gao import McDonnellGao
from slowfast_cli.models.baselines.vit import ViT
from slowfast_cli.models.baselines.wav2vec2 import Wav2Vec2


def _identity(net: Baseline) -> nn.Module:
    """Pass precomputed features through: (B, D) -> (B, D, 1)."""
    return nn.Unflatten(1, (net.length, 1))


BODIES: Mapping[str, Callable[[Baseline], nn.Module]] = {
    "features": _identity, "bidir-cpc": BidirCpc, "byola-cnn": ByolaCnn, "cnn14": Cnn14, "efficientnet": EfficientNet,
    "mcdonnell-gao": McDonnellGao, "vit": ViT, "wav2vec2": Wav2Vec2,
}  # fmt: skip
