"""The CNN of BYOL-A (Niizumi et al. 2021; HARES Table 2, "BYOL-A CNN").

Shapes: B batch, C channels, T frames, F mel bands, D feature.
"""

from torch import Tensor, nn

from slowfast_cli.models.architecture import Baseline

CHANNELS = 64
HALVINGS = 3


class ByolaCnn(nn.Module):
    """Three convolutions with stride-2 pooling, two linear layers per remaining frame, then mean plus max over time.

    The first linear layer reads all channels and bands of a frame, so its size depends on the bands: 64 bands and a
    feature of 2048 give 5.3 million parameters, as Niizumi et al. and HARES report; 80 bands, which HARES uses
    elsewhere, give 5.6. `net.length` is the width of both layers; dropout is between them.
    """

    def __init__(self, net: Baseline, *, dropout: float = 0.3) -> None:
        super().__init__()
        if net.bands is None or net.bands < 2**HALVINGS:
            raise ValueError(f"{net.kind}: bands is {net.bands}, expected 8 or more (64): they set its size")
        self.bands = net.bands
        self.convolutions = nn.Sequential(*(_block(1 if number == 0 else CHANNELS) for number in range(HALVINGS)))
        self.layers = nn.Sequential(
            nn.Linear(CHANNELS * (net.bands // 2**HALVINGS), net.length),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(net.length, net.length),
            nn.ReLU(inplace=True),
        )

    def forward(self, x_B1TF: Tensor) -> Tensor:
        """Shape: (B, 1, T, F) -> (B, D, 1), T at least 8."""
        if x_B1TF.shape[3] != self.bands:
            raise ValueError(f"log-mel: {x_B1TF.shape[3]} bands, this network was built for {self.bands}")
        frames_BTD: Tensor = self.layers(self.convolutions(x_B1TF).permute(0, 2, 3, 1).flatten(2))
        return (frames_BTD.mean(1) + frames_BTD.amax(1))[:, :, None]


def _block(inputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, CHANNELS, 3, padding=1), nn.BatchNorm2d(CHANNELS), nn.ReLU(inplace=True), nn.MaxPool2d(2)
    )
