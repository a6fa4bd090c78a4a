"""EfficientNet-B0 (Tan and Le 2019; HARES Table 2) from transformers, with one input channel.

Shapes: B batch, T frames, F mel bands, D feature.
"""

from torch import Tensor, nn

from slowfast_cli.models.architecture import Baseline
from slowfast_cli.models.baselines.transformers_import import import_transformers

LENGTH = 1280  # feature length of B0


class EfficientNet(nn.Module):
    """The network without its classifier, initialized as by Tan and Le; all widths scale with `net.length`."""

    def __init__(self, net: Baseline) -> None:
        super().__init__()
        package = import_transformers(net.kind)
        settings = package.EfficientNetConfig(
            num_channels=1,
            width_coefficient=net.length / LENGTH,
            depth_coefficient=1.0,
            hidden_dim=net.length,
            dropout_rate=0.2,
        )
        network = package.EfficientNetModel(settings)
        self.embeddings, self.encoder = network.embeddings, network.encoder
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                # transformers sets 0.99, TensorFlow's share of the old value; PyTorch's is that of the new value.
                module.momentum = 0.01
                nn.init.ones_(module.weight)  # transformers initializes them near 0, too small to train from scratch
            if isinstance(module, nn.Conv2d):
                # He fan-out, per group.
                fan_out = module.weight[0, 0].numel() * module.out_channels / module.groups
                nn.init.normal_(module.weight, std=(2 / fan_out) ** 0.5)

    def forward(self, x_B1TF: Tensor) -> Tensor:
        """Shape: (B, 1, T, F) -> (B, D, T / 32, F / 32)."""
        last_BDTF: Tensor = self.encoder(self.embeddings(x_B1TF)).last_hidden_state
        return last_BDTF
