"""Official weights of Auditory Slow-Fast, with the settings of its README and of the ``cfg`` in the checkpoints."""

from collections.abc import Mapping
from types import MappingProxyType

from slowfast_cli.types import Settings
from slowfast_cli.weights.catalogue_entry import CatalogueEntry

PAPER = "arXiv:2103.03516"
LICENSE = "CC BY-NC-SA 4.0"
SOURCE = "https://github.com/ekazakos/auditory-slow-fast"
FIXED: Settings = {"mels": 128, "fft": 2048, "floor": 1e-6}
# Parameters in millions, with the head of VGG-Sound and with those of EPIC-KITCHENS.
PARAMS_M = {"asf": (26.68, 26.88), "asf-slow": (24.71, 24.89), "asf-fast": (0.47, 0.49)}
TITLES = {"asf": "Auditory Slow-Fast", "asf-slow": "its Slow stream alone", "asf-fast": "its Fast stream alone"}

UNVERIFIED_ORDER = (
    "The class order of this head is unverified: the authors did not publish their list of class indices. Names are "
    "those of VGG-Sound in sorted order; check them on a few known clips."
)


def _vggsound(kind: str, path: str, published: Mapping[str, float]) -> CatalogueEntry:
    """Describe a VGG-Sound model (ASF Table 3); the Slow stream alone has a hop four times as long."""
    slow = kind == "asf-slow"
    return CatalogueEntry(
        name=f"{kind}-vggsound", title=f"{TITLES[kind]}, VGG-Sound", url=f"https://www.dropbox.com/s/{path}?dl=1",
        file=path.split("/")[1], dataset="vggsound", variant=f"{kind}-r50",
        frontend={**FIXED, "rate": 16000, "window_ms": 20, "hop_ms": 40 if slow else 10}, clip_seconds=5.119,
        frames=128 if slow else 512, views=2, heads=MappingProxyType({"label": 309}),
        published=MappingProxyType(dict(published)), table="ASF Table 3", params_m=PARAMS_M[kind][0],
        note=UNVERIFIED_ORDER, paper=PAPER, licence=LICENSE, source=SOURCE,
    )  # fmt: skip


def _epic(kind: str, path: str, published: Mapping[str, float]) -> CatalogueEntry:
    """Describe an EPIC-KITCHENS-100 model (ASF Table 2, validation split)."""
    slow = kind == "asf-slow"
    return CatalogueEntry(
        name=f"{kind}-epic", title=f"{TITLES[kind]}, EPIC-KITCHENS-100", url=f"https://www.dropbox.com/s/{path}?dl=1",
        file=path.split("/")[1], dataset="epic", variant=f"{kind}-r50",
        frontend={**FIXED, "rate": 24000, "window_ms": 10, "hop_ms": 20 if slow else 5}, clip_seconds=1.999,
        frames=100 if slow else 400, views=10, heads=MappingProxyType({"verb": 97, "noun": 300}),
        published=MappingProxyType(dict(published)), table="ASF Table 2, Val", params_m=PARAMS_M[kind][1], paper=PAPER,
        licence=LICENSE, source=SOURCE,
    )  # fmt: skip


ENTRIES = (
    _vggsound(
        "asf",
        "oexan0vv01eqy0k/SLOWFAST_VGG.pyth",
        {"top1": 52.46, "top5": 78.12, "map": 0.544, "auc": 0.974, "dprime": 2.761},
    ),
    _vggsound(
        "asf-slow",
        "4jcgozjenjwfo9k/SLOW_VGG.pyth",
        {"top1": 45.20, "top5": 72.53, "map": 0.472, "auc": 0.967, "dprime": 2.607},
    ),
    _vggsound(
        "asf-fast",
        "vk123kwrphi7mer/FAST_VGG.pyth",
        {"top1": 41.44, "top5": 70.68, "map": 0.442, "auc": 0.966, "dprime": 2.576},
    ),
    _epic(
        "asf",
        "cr0c6xdaggc2wzz/SLOWFAST_EPIC.pyth",
        {
            "verb_top1": 46.05, "noun_top1": 22.95, "action_top1": 15.22, "verb_top5": 80.01, "noun_top5": 47.98,
            "action_top5": 30.24, "unseen_verb_top1": 37.56, "unseen_noun_top1": 16.34, "unseen_action_top1": 8.83,
        },
    ),
    _epic(
        "asf-slow",
        "b1qaq8huu7heofp/SLOW_EPIC.pyth",
        {
            "verb_top1": 41.17, "noun_top1": 18.64, "action_top1": 11.37, "verb_top5": 77.52, "noun_top5": 42.34,
            "action_top5": 24.20, "unseen_verb_top1": 34.93, "unseen_noun_top1": 14.65, "unseen_action_top1": 7.79,
        },
    ),
    _epic(
        "asf-fast",
        "3qgwqsupqmsybai/FAST_EPIC.pyth",
        {
            "verb_top1": 39.84, "noun_top1": 17.07, "action_top1": 8.76, "verb_top5": 76.94, "noun_top5": 41.31,
            "action_top5": 22.01, "unseen_verb_top1": 33.33, "unseen_noun_top1": 15.21, "unseen_action_top1": 6.57,
        },
    ),
)  # fmt: skip
