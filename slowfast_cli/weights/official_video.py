"""Official weights of SlowFast: model zoos of PySlowFast (Caffe2's included) and PyTorchVideo, and EPIC-KITCHENS-100.

Unsupported networks are left out: I3D (temporal pooling), C2D and ImageNet's ResNet-50 (no temporal kernels), and
MMAction2's (laterals without norm and activation, other frame sampling). Audiovisual SlowFast has no official weights.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from slowfast_cli.weights.catalog_entry import CatalogEntry
from slowfast_cli.weights.foreign.pyslowfast_cfg import EPIC_VIDEO

PAPER = "arXiv:1812.03982"
LICENSE = "Apache-2.0"
PROJECT_LICENSE = "Apache-2.0 is the license of the project, which states none for the weights."
PYSLOWFAST = "https://github.com/facebookresearch/SlowFast/blob/main/MODEL_ZOO.md"
PYTORCHVIDEO = "https://github.com/facebookresearch/pytorchvideo/blob/main/docs/source/model_zoo.md"
NOTES = {
    "kinetics600": "The class order of this head is not alphabetical and was never published, so classes are "
    "numbered. Use its trunk for initialization, as the AVA detectors did.",
    "ava21": "Trained on annotations v2.1 of AVA; its classes are those of v2.2.",
}

TITLES = {
    "kinetics400": "Kinetics-400",
    "kinetics600": "Kinetics-600",
    "charades": "Charades",
    "ssv2": "Something-Something v2",
    "ava": "AVA v2.2",
    "ava21": "AVA v2.1",
}
CLASSES = {"kinetics400": 400, "kinetics600": 600, "charades": 157, "ssv2": 174, "ava": 80, "ava21": 80}
VIDEO: Mapping[str, Mapping[str, Any]] = {
    "charades": {"fps": 24.0, "jitter": [256, 340]},  # frame rate of the official frame images
    "ssv2": {"sampling": "uniform", "flip": False},
}
AVA_ATTEND_POOL = (2, 2, 2)  # pooling of the keys in non-local blocks of AVA models; (1, 2, 2) elsewhere


def _entry(
    name: str,
    url: str,
    variant: str,
    clip: tuple[int, int],
    published: Mapping[str, float],
    size: tuple[float, float | None],
) -> CatalogEntry:
    """Describe a video model; AVA detectors use RoIAlign without the half-pixel shift.

    The name contains network, data set and, if there are two files, the publisher. ``clip`` is the number of frames and
    their distance, ``size`` parameters in millions and multiply-adds in 10^9.
    """
    kind, sampling, depth, *rest = name.split("-")
    dataset = next(word for word in rest if word in CLASSES)
    detects, uniform, from_hub = dataset.startswith("ava"), dataset == "ssv2", url.startswith(_HUB)
    crops = 0 if detects else 1 if uniform and not from_hub else 3
    video = {"frames": clip[0], "step": clip[1], "crops": crops, **VIDEO.get(dataset, {})}
    return CatalogEntry(
        name=name,
        title=f"{'SlowFast' if kind == 'slowfast' else 'Slow'} {sampling} {depth.upper()}"
        f"{' with non-local blocks' if 'nl' in rest else ''}, {TITLES[dataset]}",
        url=url,
        file=f"{name}.{url.rpartition('.')[2]}",  # file names on the servers are not unique
        dataset="ava" if detects else dataset,
        variant=variant,
        regions="unaligned" if detects else "",
        attend_pool=AVA_ATTEND_POOL if detects and "nl" in rest else None,
        video=MappingProxyType(video),
        clip_seconds=clip[0] * clip[1] / video.get("fps", 30.0),
        frames=clip[0],
        views=1 if detects or uniform else 10,
        heads=MappingProxyType({"label": CLASSES[dataset]}),
        sigmoid=detects or dataset == "charades",
        published=MappingProxyType(published),
        table=f"{'PyTorchVideo' if from_hub else 'PySlowFast'} model zoo",
        params_m=size[0],
        gflops=size[1],
        note=" ".join(filter(None, (NOTES.get(dataset), PROJECT_LICENSE))),
        paper=PAPER,
        licence=LICENSE,
        source=PYTORCHVIDEO if from_hub else PYSLOWFAST,
    )


def _top(top1: float, top5: float) -> dict[str, float]:
    return {"top1": top1, "top5": top5}


_FILES = "https://dl.fbaipublicfiles.com/"
_HUB = f"{_FILES}pytorchvideo/model_zoo/"
_KINETICS, _AVA = f"{_FILES}pyslowfast/model_zoo/kinetics400/", f"{_FILES}pyslowfast/model_zoo/ava/"
_MULTIGRID = f"{_FILES}pyslowfast/pyslowfast/model_zoo/multigrid/model_zoo/"

# PySlowFast's zoo states no multiply-adds: they are from SF Tables 2 and 5, for the networks listed there.
_ROWS: tuple[tuple[str, str, str, tuple[int, int], Mapping[str, float], tuple[float, float | None]], ...] = (
    ("slow-4x16-r50-kinetics400-caffe2", f"{_KINETICS}SLOWONLY_4x16_R50.pkl",
     "slow-r50", (4, 16), _top(72.7, 90.3), (32.45, 27.3)),
    ("slow-4x16-r50-kinetics400-hub", f"{_HUB}kinetics/SLOW_4x16_R50.pyth",
     "slow-r50", (4, 16), _top(72.40, 90.18), (32.45, 27.55)),
    ("slow-8x8-r50-kinetics400-caffe2", f"{_KINETICS}SLOWONLY_8x8_R50.pkl",
     "slow-r50", (8, 8), _top(74.8, 91.6), (32.45, 54.5)),
    ("slow-8x8-r50-kinetics400-hub", f"{_HUB}kinetics/SLOW_8x8_R50.pyth",
     "slow-r50", (8, 8), _top(74.58, 91.63), (32.45, 54.52)),
    ("slowfast-4x16-r50-kinetics400-caffe2", f"{_KINETICS}SLOWFAST_4x16_R50.pkl",
     "slowfast-4x16-r50", (32, 2), _top(75.6, 92.0), (34.48, 36.1)),
    ("slowfast-4x16-r50-kinetics400-hub", f"{_HUB}kinetics/SLOWFAST_4x16_R50.pyth",
     "slowfast-4x16-r50", (32, 2), _top(75.34, 91.89), (34.48, 36.69)),
    ("slowfast-8x8-r50-kinetics400-caffe2", f"{_KINETICS}SLOWFAST_8x8_R50.pkl",
     "slowfast-8x8-r50", (32, 2), _top(77.0, 92.6), (34.57, 65.7)),
    ("slowfast-8x8-r50-kinetics400-hub", f"{_HUB}kinetics/SLOWFAST_8x8_R50.pyth",
     "slowfast-8x8-r50", (32, 2), _top(76.94, 92.69), (34.57, 65.71)),
    ("slowfast-8x8-r50-stepwise-kinetics400", f"{_MULTIGRID}Kinetics/SLOWFAST_8x8_R50_stepwise.pkl",
     "slowfast-8x8-r50", (32, 2), _top(76.8, 92.7), (34.57, 65.7)),
    ("slowfast-8x8-r50-multigrid-kinetics400", f"{_MULTIGRID}Kinetics/SLOWFAST_8x8_R50_stepwise_multigrid.pkl",
     "slowfast-8x8-r50", (32, 2), _top(76.6, 92.7), (34.57, 65.7)),
    ("slowfast-8x8-r101-kinetics400", f"{_HUB}kinetics/SLOWFAST_8x8_R101.pyth",
     "slowfast-8x8-r101-all", (32, 2), _top(77.90, 93.27), (62.83, 127.20)),
    ("slowfast-16x8-r101-kinetics400", f"{_HUB}kinetics/SLOWFAST_16x8_R101_50_50.pyth",
     "slowfast-16x8-r101", (64, 2), _top(78.70, 93.61), (53.77, 215.61)),
    ("slowfast-8x8-r101-nl-kinetics600", f"{_AVA}pretrain/SLOWFAST_32x2_R101_50_50.pkl",
     "slowfast-8x8-r101-nl", (32, 2), {}, (60.54, None)),
    ("slowfast-16x8-r101-nl-kinetics600", f"{_AVA}pretrain/SLOWFAST_64x2_R101_50_50.pkl",
     "slowfast-16x8-r101-nl", (64, 2), {}, (60.54, None)),
    ("slow-8x8-r50-charades", f"{_HUB}charades/SLOW_8x8_R50.pyth", "slow-r50", (8, 8), {"map": 0.3472}, (31.96, 55.10)),
    ("slowfast-8x8-r50-charades", f"{_HUB}charades/SLOWFAST_8x8_R50.pyth",
     "slowfast-8x8-r50", (32, 2), {"map": 0.3724}, (34.00, 66.60)),
    ("slowfast-16x8-r50-charades", f"{_MULTIGRID}Charades/SLOWFAST_16x8_R50.pkl",
     "slowfast-16x8-r50", (64, 2), {"map": 0.389}, (34.01, None)),
    ("slowfast-16x8-r50-multigrid-charades", f"{_MULTIGRID}Charades/SLOWFAST_16x8_R50_multigrid.pkl",
     "slowfast-16x8-r50", (64, 2), {"map": 0.386}, (34.01, None)),
    # Printed are 31.96 M parameters, those with the 157 classes of Charades.
    ("slow-8x8-r50-ssv2", f"{_HUB}ssv2/SLOW_8x8_R50.pyth", "slow-r50", (8, 8), _top(60.04, 85.19), (31.99, 55.10)),
    ("slowfast-8x8-r50-ssv2", f"{_HUB}ssv2/SLOWFAST_8x8_R50.pyth",
     "slowfast-8x8-r50", (32, 2), _top(61.68, 86.92), (34.04, 66.60)),
    ("slowfast-16x8-r50-ssv2", f"{_MULTIGRID}SSv2/SLOWFAST_16x8_R50.pkl",
     "slowfast-16x8-r50", (64, 2), _top(63.0, 88.5), (34.05, None)),
    ("slowfast-16x8-r50-multigrid-ssv2", f"{_MULTIGRID}SSv2/SLOWFAST_16x8_R50_multigrid.pkl",
     "slowfast-16x8-r50", (64, 2), _top(63.5, 88.7), (34.05, None)),
    ("slow-4x16-r50-ava-caffe2", f"{_AVA}C2D_8x8_R50.pkl", "slow-r50-ava", (4, 16), {"map": 0.195}, (31.80, None)),
    ("slow-4x16-r50-ava-hub", f"{_HUB}ava/SLOW_4x16_R50_DETECTION.pyth",
     "slow-r50-ava", (4, 16), {"map": 0.195}, (31.78, None)),
    ("slowfast-8x8-r50-ava", f"{_HUB}ava/SLOWFAST_8x8_R50_DETECTION.pyth",
     "slowfast-8x8-r50-ava", (32, 2), {"map": 0.2467}, (33.82, None)),
    ("slowfast-8x8-r101-nl-ava", f"{_AVA}SLOWFAST_32x2_R101_50_50.pkl",
     "slowfast-8x8-r101-nl-ava", (32, 2), {"map": 0.291}, (59.34, None)),
    ("slowfast-8x8-r101-nl-ava21", f"{_AVA}SLOWFAST_32x2_R101_50_50_v2.1.pkl",
     "slowfast-8x8-r101-nl-ava", (32, 2), {"map": 0.282}, (59.34, None)),
    ("slowfast-16x8-r101-nl-ava", f"{_AVA}SLOWFAST_64x2_R101_50_50.pkl",
     "slowfast-8x8-r101-nl-ava", (64, 2), {"map": 0.294}, (59.34, None)),
)  # fmt: skip

EPIC = CatalogEntry(
    name="slowfast-8x8-r50-epic", title="SlowFast 8x8 R50, EPIC-KITCHENS-100",
    url="https://www.dropbox.com/s/uxb6i2xkn91xqzi/SlowFast.pyth?dl=1", file="slowfast-8x8-r50-epic.pyth",
    dataset="epic", variant="slowfast-8x8-r50", video=MappingProxyType({"frames": 32, "step": 2, **EPIC_VIDEO}),
    clip_seconds=64 / 60, frames=32, views=10, heads=MappingProxyType({"verb": 97, "noun": 300}),
    published=MappingProxyType({"verb_top1": 65.56, "verb_top5": 90.00, "noun_top1": 50.02, "noun_top5": 75.62}),
    table="reports of users of epic-kitchens-slowfast, Val", params_m=34.56, gflops=None, paper="arXiv:2006.13256",
    licence="CC BY-NC-SA 4.0", source="https://github.com/epic-kitchens/epic-kitchens-slowfast",
    note="Trained on train. Reads BGR.",
)  # fmt: skip

ENTRIES = (EPIC, *(_entry(*row) for row in _ROWS))
