"""Official weights of PANNs (Kong et al. 2020), with the settings of its README."""

from types import MappingProxyType

from slowfast_cli.weights.catalog_entry import CatalogEntry
from slowfast_cli.weights.foreign.panns import CLIP_SECONDS, front_end

RECORD = "https://zenodo.org/record/3987831"
MELS = 64
UNOFFICIAL_HASH = "The SHA-256 comes from third parties; the publishers give none."


def _cnn14(name: str, fft: int, file: str, map_: float, *, md5: str = "", sha256: str = "") -> CatalogEntry:
    settings = front_end(fft, MELS)
    return CatalogEntry(
        name=name, title=f"PANNs CNN14, {int(settings['rate']) // 1000} kHz, AudioSet",
        url=f"{RECORD}/files/{file.replace('=', '%3D')}?download=1", file=file, md5=md5, sha256=sha256,
        dataset="audioset", variant="panns-cnn14", frontend=settings, clip_seconds=CLIP_SECONDS, frames=1001, views=1,
        heads=MappingProxyType({"label": 527}), sigmoid=True, published=MappingProxyType({"map": map_}),
        table="file name", params_m=80.75, note="" if md5 else UNOFFICIAL_HASH, paper="arXiv:1912.10211",
        licence="CC BY 4.0", source=RECORD,
    )  # fmt: skip


ENTRIES = (
    _cnn14("panns-cnn14", 1024, "Cnn14_mAP=0.431.pth", 0.431, md5="541141fa2ee191a88f24a3219fff024e"),
    _cnn14(
        "panns-cnn14-16k",
        512,
        "Cnn14_16k_mAP=0.438.pth",
        0.438,
        sha256="e2ee543a27919542c2ea03eabaa70b24dcd4e6c8e05621de6b67a94e4c5058e6",
    ),
)
