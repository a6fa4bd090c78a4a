"""CNN14 of PANNs (Kong et al. 2020; HARES Table 2, "PANNs-CNN14").

Shapes: B batch, C channels, T frames, F mel bands, D feature.
"""

from collections import OrderedDict

from torch import Tensor, nn
from torch.nn import functional as f

from slowfast_cli.models.architecture import Baseline

BLOCKS = 6
HALVINGS = BLOCKS - 1  # the last block has no pooling


class Cnn14(nn.Module):
    """A norm per mel band, six blocks of two 3 x 3 convolutions, mean over frequency, mean plus max over time.

    The feature is the output of the penultimate layer, of length 2048. With the classifier of the 527 AudioSet classes
    the network has 80.8 million parameters, as PANNs report. HARES reports 71, which no part left out explains (79.7
    without the classifier, 75.5 without the layer before it too). `net.length` is also the width of the last block,
    each block before it half as wide as the next. PANNs' dropout behind the last layer is the classifier's here.
    """

    def __init__(self, net: Baseline, *, dropout: float = 0.2, dropout_last: float = 0.5) -> None:
        super().__init__()
        if net.bands is None or net.bands < 2**HALVINGS:
            raise ValueError(f"{net.kind}: bands is {net.bands}, expected 32 or more (64), for its first norm")
        self.bands = net.bands
        widths = [max(1, net.length >> (BLOCKS - 1 - number)) for number in range(BLOCKS)]
        self.norm = nn.BatchNorm2d(net.bands)
        self.blocks = nn.ModuleList(
            _block(inputs, outputs) for inputs, outputs in zip([1, *widths[:-1]], widths, strict=True)
        )
        self.layer = nn.Linear(net.length, net.length)
        self.dropout, self.dropout_last = nn.Dropout(dropout), nn.Dropout(dropout_last)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(self.layer.bias)

    def forward(self, x_B1TF: Tensor) -> Tensor:
        """Shape: (B, 1, T, F) -> (B, D, 1), T at least 32."""
        if x_B1TF.shape[3] != self.bands:
            raise ValueError(f"log-mel: {x_B1TF.shape[3]} bands, this network was built for {self.bands}")
        x_BCTF: Tensor = self.norm(x_B1TF.transpose(1, 3)).transpose(1, 3)
        for number, block in enumerate(self.blocks):
            x_BCTF = block(x_BCTF)
            x_BCTF = self.dropout(f.avg_pool2d(x_BCTF, 2) if number < HALVINGS else x_BCTF)
        x_BDT = x_BCTF.mean(3)
        feature_BD: Tensor = f.relu(self.layer(self.dropout_last(x_BDT.mean(2) + x_BDT.amax(2))))
        return feature_BD[:, :, None]


def _block(inputs: int, outputs: int) -> nn.Sequential:
    layers = {
        "a": nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        "a_norm": nn.BatchNorm2d(outputs),
        "a_relu": nn.ReLU(inplace=True),
        "b": nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
        "b_norm": nn.BatchNorm2d(outputs),
        "b_relu": nn.ReLU(inplace=True),
    }
    return nn.Sequential(OrderedDict(layers))
