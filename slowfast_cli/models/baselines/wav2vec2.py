"""wav2vec 2.0 Base (Baevski et al. 2020; HARES Table 2), from torchaudio's components.

Shapes: B batch, N samples, C channels of the convolutions, T steps, D feature.
"""

from typing import Any

import torch
from torch import Tensor, nn

from slowfast_cli.models.architecture import Baseline
from slowfast_cli.torchaudio_import import models

KERNELS, STRIDES = (10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)  # a step is 320 samples: 20 ms


class Wav2Vec2(nn.Module):
    """Seven strided convolutions, a projection, and a transformer of width `net.length`, with attention heads of 64.

    The convolutions have two thirds of that width. LayerDrop (5 % in Baevski et al.) is off: with several processes,
    the sets of parameters with gradients would differ.
    """

    def __init__(self, net: Baseline, *, layers: int = 12, dropout: float = 0.1) -> None:
        super().__init__()
        width, heads = net.length * 2 // 3, max(1, net.length // 64)
        self.network: Any = models.wav2vec2_model(
            extractor_mode="group_norm",
            extractor_conv_layer_config=[(width, *pair) for pair in zip(KERNELS, STRIDES, strict=True)],
            extractor_conv_bias=False, encoder_embed_dim=net.length, encoder_projection_dropout=dropout,
            encoder_pos_conv_kernel=128, encoder_pos_conv_groups=16, encoder_num_layers=layers, encoder_num_heads=heads,
            encoder_attention_dropout=dropout, encoder_ff_interm_features=4 * net.length,
            encoder_ff_interm_dropout=dropout, encoder_dropout=dropout, encoder_layer_norm_first=False,
            encoder_layer_drop=0.0, aux_num_out=None,
        )  # fmt: skip
        self.width, self.length = width, net.length
        self._init_weights()

    def forward(self, samples_BN: Tensor) -> Tensor:
        """Shape: (B, N) -> (B, D, T), N at least 400."""
        return self.contextualize(self.project(self.normalize(self.encode(samples_BN)))).transpose(1, 2)

    @torch.no_grad()
    def _init_weights(self) -> None:
        """Initialize as Baevski et al.; with torchaudio's defaults the signal vanishes in the convolutions."""
        for module in self.network.feature_extractor.modules():
            if isinstance(module, nn.Conv1d):
                nn.init.kaiming_normal_(module.weight)
        transformer = self.network.encoder.transformer
        for module in transformer.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
        positions = transformer.pos_conv_embed.conv
        positions.weight = torch.randn_like(positions.weight) * (4 / (positions.kernel_size[0] * self.length)) ** 0.5
        nn.init.zeros_(positions.bias)

    def encode(self, samples_BN: Tensor) -> Tensor:
        """Apply the convolutional encoder: (B, N) -> (B, T, C)."""
        encoded_BTC: Tensor = self.network.feature_extractor(samples_BN, None)[0]
        return encoded_BTC

    def normalize(self, encoded_BTC: Tensor) -> Tensor:
        """Apply the layer norm, whose output gives the targets of masked prediction: (B, T, C) -> (B, T, C)."""
        normed_BTC: Tensor = self.network.encoder.feature_projection.layer_norm(encoded_BTC)
        return normed_BTC

    def project(self, normed_BTC: Tensor) -> Tensor:
        """Project to the transformer's input: (B, T, C) -> (B, T, D)."""
        layer = self.network.encoder.feature_projection
        projected_BTD: Tensor = layer.dropout(layer.projection(normed_BTC))
        return projected_BTD

    def contextualize(self, projected_BTD: Tensor) -> Tensor:
        """Apply the transformer: (B, T, D) -> (B, T, D)."""
        context_BTD: Tensor = self.network.encoder.transformer(projected_BTD)
        return context_BTD
