"""The published networks outside the SlowFast family."""

from slowfast_cli.models.architecture import Baseline

# HARES Sec. 3: log-mels of 80 bands, 100 frames per second, crops of 3 s. BYOL-A and PANNs use 64 bands.
BYOLA = Baseline(kind="byola-cnn", least=8, length=2048, bands=64)
CNN14 = Baseline(kind="cnn14", least=32, length=2048, bands=80)

BASELINES: dict[str, Baseline] = {
    "byola-cnn": BYOLA,
    "cnn14": CNN14,
    "efficientnet-b0": Baseline(kind="efficientnet", least=32, length=1280),
    "vit-base": Baseline(kind="vit", least=16, length=768, bands=80, frames=300),
    "wav2vec2-base": Baseline(kind="wav2vec2", least=400, reads="samples", length=768, rate=16000),
    "bidir-cpc": Baseline(kind="bidir-cpc", least=465, reads="samples", length=1024, rate=16000),
    # As in the original papers: no per-clip standardization of the log-mel.
    "byola": Baseline(kind="byola-cnn", least=8, length=2048, bands=64, standardise=False),
    "panns-cnn14": Baseline(kind="cnn14", least=32, length=2048, bands=64, standardise=False),
    "mcdonnell-gao": Baseline(kind="mcdonnell-gao", least=9, length=768, standardise=False),
}
