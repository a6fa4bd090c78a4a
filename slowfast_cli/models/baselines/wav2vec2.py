"""wav2vec 2.0 Base (Baevski et al. 2020; HARES Table 2), of the parts that torchaudio has.

Shapes: B batch, N samples, C channels of the convolutions, T steps, D feature.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from slowfast_cli.models.architecture import Baseline
from slowfast_cli.torchaudio_import import models

KERNELS, STRIDES = (10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)  # a step is 320 samples, 20 ms


class Wav2Vec2(nn.Module):
    """Seven strided convolutions, a projection, and a transformer over their steps.

    No layer is dropped whole, as Baevski et al. do while training (in 5 % of the cases): several processes could not
    agree on the gradients.

    Args:
        net: The description: `length` is the width of the transformer, its heads are 64 wide, the convolutions have
            two thirds of it.
        layers: Of the transformer.
        dropout: Anywhere in the transformer, and before it.
    """

    def __init__(self, net: Baseline, *, layers: int = 12, dropout: float = 0.1) -> None:
        super().__init__()
        width, heads = net.length * 2 // 3, max(1, net.length // 64)
        self.network: Any = models.wav2vec2_model(
            extractor_mode="group_norm",
            extractor_conv_layer_config=[(width, *each) for each in zip(KERNELS, STRIDES, strict=True)],
            extractor_conv_bias=False,
            encoder_embed_dim=net.length,
            encoder_projection_dropout=dropout,
            encoder_pos_conv_kernel=128,
            encoder_pos_conv_groups=16,
            encoder_num_layers=layers,
            encoder_num_heads=heads,
            encoder_attention_dropout=dropout,
            encoder_ff_interm_features=4 * net.length,
            encoder_ff_interm_dropout=dropout,
            encoder_dropout=dropout,
            encoder_layer_norm_first=False,
            encoder_layer_drop=0.0,
            aux_num_out=None,
        )
        self.width, self.length = width, net.length
        self._initialise()

    def forward(self, samples_BN: Tensor) -> Tensor:
        """Shape: (B, N) -> (B, D, T), N at least 400."""
        return self.contextual(self.projected(self.normed(self.encoded(samples_BN)))).transpose(1, 2)

    @torch.no_grad()
    def _initialise(self) -> None:
        """As Baevski et al. start; as torchaudio leaves it, the convolutions damp what they are given to nothing."""
        for module in self.network.feature_extractor.modules():
            if isinstance(module, nn.Conv1d):
                nn.init.kaiming_normal_(module.weight)
        transformer = self.network.encoder.transformer
        for module in transformer.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
        places = transformer.pos_conv_embed.conv
        places.weight = torch.randn_like(places.weight) * (4 / (places.kernel_size[0] * self.length)) ** 0.5
        nn.init.zeros_(places.bias)

    def encoded(self, samples_BN: Tensor) -> Tensor:
        """What the convolutions make of the samples.

        Shape:
            (B, N) -> (B, T, C)
        """
        found_BTC: Tensor = self.network.feature_extractor(samples_BN, None)[0]
        return found_BTC

    def normed(self, encoded_BTC: Tensor) -> Tensor:
        """The same after the layer norm, as masked prediction takes its targets from it.

        Shape:
            (B, T, C) -> (B, T, C)
        """
        normed_BTC: Tensor = self.network.encoder.feature_projection.layer_norm(encoded_BTC)
        return normed_BTC

    def projected(self, normed_BTC: Tensor) -> Tensor:
        """What the transformer reads.

        Shape:
            (B, T, C) -> (B, T, D)
        """
        into = self.network.encoder.feature_projection
        read_BTD: Tensor = into.dropout(into.projection(normed_BTC))
        return read_BTD

    def contextual(self, read_BTD: Tensor) -> Tensor:
        """What the transformer makes of it.

        Shape:
            (B, T, D) -> (B, T, D)
        """
        context_BTD: Tensor = self.network.encoder.transformer(read_BTD)
        return context_BTD
