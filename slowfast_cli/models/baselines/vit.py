"""ViT-Base, patches of 16 x 16 (Dosovitskiy et al. 2021; HARES Table 2), from transformers, for one channel.

Shapes: B batch, T frames, F mel bands, t and u patches along them, P all patches, D feature.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as f

from slowfast_cli.models.architecture import Baseline
from slowfast_cli.models.baselines.transformers_import import import_transformers

PATCH = 16


class ViT(nn.Module):
    """The network without its classifier, randomly initialized; the feature is the mean over the patches.

    Position embeddings match the configured clip size and are interpolated for other lengths. Frames and bands beyond
    the last whole patch are ignored. `net.length` is the width, with attention heads of 64.
    """

    def __init__(self, net: Baseline, *, layers: int = 12) -> None:
        super().__init__()
        if not (net.frames and net.bands and min(net.frames, net.bands) >= PATCH):
            raise ValueError(f"{net.kind}: frames is {net.frames} and bands is {net.bands}, expected {PATCH} or more")
        package = import_transformers(net.kind)
        settings = package.ViTConfig(
            num_channels=1, image_size=(net.frames, net.bands), patch_size=PATCH, hidden_size=net.length,
            num_hidden_layers=layers, num_attention_heads=max(1, net.length // 64), intermediate_size=4 * net.length,
        )  # fmt: skip
        self.network: Any = package.ViTModel(settings, add_pooling_layer=False)
        self.network.embeddings = _Embeddings(self.network.embeddings, (net.frames // PATCH, net.bands // PATCH))

    def forward(self, x_B1TF: Tensor) -> Tensor:
        """Shape: (B, 1, T, F) -> (B, D, t, u), T and F at least 16."""
        tokens_BPD: Tensor = self.network(pixel_values=x_B1TF).last_hidden_state
        grid = [size // PATCH for size in x_B1TF.shape[2:]]
        patches_BDP = tokens_BPD[:, 1:].transpose(1, 2)
        return torch.unflatten(patches_BDP, 2, grid)


class _Embeddings(nn.Module):
    """Patch and class-token embeddings with positions; transformers' own can only interpolate square images."""

    def __init__(self, original: Any, grid: tuple[int, int]) -> None:
        super().__init__()
        self.grid = grid
        self.patch_embeddings, self.dropout = original.patch_embeddings, original.dropout
        self.first: Tensor = original.cls_token
        self.positions: Tensor = original.position_embeddings

    def forward(self, pixel_values: Tensor, **_: object) -> Tensor:
        """Shape: (B, 1, T, F) -> (B, 1 + P, D)."""
        grid = (pixel_values.shape[2] // PATCH, pixel_values.shape[3] // PATCH)
        patches_BPD: Tensor = self.patch_embeddings.projection(pixel_values).flatten(2).transpose(1, 2)
        tokens_BPD = torch.cat([self.first.expand(patches_BPD.shape[0], -1, -1), patches_BPD], dim=1)
        embedded_BPD: Tensor = self.dropout(tokens_BPD + self._positions(grid))
        return embedded_BPD

    def _positions(self, grid: tuple[int, int]) -> Tensor:
        if grid == self.grid:
            return self.positions
        first_11D, rest_1PD = self.positions.split([1, self.grid[0] * self.grid[1]], dim=1)
        rest_1Dtu = rest_1PD.transpose(1, 2).unflatten(2, self.grid)
        resized_1Dtu = f.interpolate(rest_1Dtu, grid, mode="bicubic", align_corners=False)
        return torch.cat([first_11D, resized_1Dtu.flatten(2).transpose(1, 2)], dim=1)
