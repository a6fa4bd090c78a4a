"""Official weights of Auditory Slow-Fast, with the settings of the READMEs and of the ``cfg`` in the checkpoints."""

from collections.abc import Mapping
from types import MappingProxyType

from slowfast_cli.types import Settings
from slowfast_cli.weights.catalog_entry import CatalogEntry

PAPER = "arXiv:2103.03516"
LICENSE = "CC BY-NC-SA 4.0"
SOURCE = "https://github.com/ekazakos/auditory-slow-fast"
FIXED: Settings = {"mels": 128, "fft": 2048, "floor": 1e-6}
# Parameters in millions, with the head of VGG-Sound and with those of EPIC-KITCHENS.
PARAMS_M = {"asf": (26.68, 26.88), "asf-slow": (24.71, 24.89), "asf-fast": (0.47, 0.49)}
TITLES = {"asf": "Auditory Slow-Fast", "asf-slow": "its Slow stream alone", "asf-fast": "its Fast stream alone"}


def _entry(kind: str, dataset: str, path: str, published: Mapping[str, float]) -> CatalogEntry:
    """Describe a model of ASF Table 3 (VGG-Sound) or Table 2 (EPIC-KITCHENS-100, validation split).

    The Slow stream alone has a hop four times as long.
    """
    epic, longer = dataset == "epic", 4 if kind == "asf-slow" else 1
    rate, window_ms, hop_ms, seconds, frames = (24000, 10, 5, 1.999, 400) if epic else (16000, 20, 10, 5.119, 512)
    return CatalogEntry(
        name=f"{kind}-{dataset}", title=f"{TITLES[kind]}, {'EPIC-KITCHENS-100' if epic else 'VGG-Sound'}",
        url=f"https://www.dropbox.com/s/{path}?dl=1", file=path.split("/")[1], dataset=dataset, variant=f"{kind}-r50",
        frontend={**FIXED, "rate": rate, "window_ms": window_ms, "hop_ms": hop_ms * longer}, clip_seconds=seconds,
        frames=frames // longer, views=10 if epic else 2,
        heads=MappingProxyType({"verb": 97, "noun": 300} if epic else {"label": 309}),
        published=MappingProxyType(dict(published)), table="ASF Table 2, Val" if epic else "ASF Table 3",
        params_m=PARAMS_M[kind][epic], paper=PAPER, licence=LICENSE,
        source=SOURCE,
    )  # fmt: skip


ENTRIES = (
    _entry("asf", "vggsound", "oexan0vv01eqy0k/SLOWFAST_VGG.pyth",
           {"top1": 52.46, "top5": 78.12, "map": 0.544, "auc": 0.974, "dprime": 2.761}),
    _entry("asf-slow", "vggsound", "4jcgozjenjwfo9k/SLOW_VGG.pyth",
           {"top1": 45.20, "top5": 72.53, "map": 0.472, "auc": 0.967, "dprime": 2.607}),
    _entry("asf-fast", "vggsound", "vk123kwrphi7mer/FAST_VGG.pyth",
           {"top1": 41.44, "top5": 70.68, "map": 0.442, "auc": 0.966, "dprime": 2.576}),
    _entry("asf", "epic", "cr0c6xdaggc2wzz/SLOWFAST_EPIC.pyth",
           {"verb_top1": 46.05, "noun_top1": 22.95, "action_top1": 15.22, "verb_top5": 80.01, "noun_top5": 47.98,
            "action_top5": 30.24, "unseen_verb_top1": 37.56, "unseen_noun_top1": 16.34, "unseen_action_top1": 8.83}),
    _entry("asf-slow", "epic", "b1qaq8huu7heofp/SLOW_EPIC.pyth",
           {"verb_top1": 41.17, "noun_top1": 18.64, "action_top1": 11.37, "verb_top5": 77.52, "noun_top5": 42.34,
            "action_top5": 24.20, "unseen_verb_top1": 34.93, "unseen_noun_top1": 14.65, "unseen_action_top1": 7.79}),
    _entry("asf-fast", "epic", "3qgwqsupqmsybai/FAST_EPIC.pyth",
           {"verb_top1": 39.84, "noun_top1": 17.07, "action_top1": 8.76, "verb_top5": 76.94, "noun_top5": 41.31,
            "action_top5": 22.01, "unseen_verb_top1": 33.33, "unseen_noun_top1": 15.21, "unseen_action_top1": 6.57}),
    CatalogEntry(
        name="asf-epic-sounds", title="Auditory Slow-Fast, EPIC-SOUNDS",
        url="https://www.dropbox.com/s/339zsc6kz6c3wz9/SLOWFAST_EPIC_SOUNDS.pyth?dl=1",
        file="SLOWFAST_EPIC_SOUNDS.pyth", dataset="epic-sounds", variant="asf-r50",
        frontend={**FIXED, "rate": 24000, "window_ms": 10, "hop_ms": 5}, clip_seconds=1.999, frames=400, views=5,
        heads=MappingProxyType({"label": 44}), published=MappingProxyType({"top1": 53.73}), table="EPIC-SOUNDS, Val",
        params_m=26.07, paper="arXiv:2302.00646", licence="CC BY-NC 4.0",
        source="https://github.com/epic-kitchens/epic-sounds-annotations",
        note="Code derived from Auditory Slow-Fast, CC BY-NC-SA 4.0.",
    ),
    CatalogEntry(
        name="asf-epic-sounds-1s", title="Auditory Slow-Fast, EPIC-SOUNDS, clips of 1 s",
        url="https://www.dropbox.com/scl/fi/dfggu2p5mk4wa653rmgx1/asf_epicsounds.pyth"
        "?rlkey=s14j28kz3ovp0fnmcdmjxdqvd&dl=1",
        file="asf_epicsounds.pyth", dataset="epic-sounds", variant="asf-r50",
        frontend={**FIXED, "rate": 24000, "window_ms": 10, "hop_ms": 5}, clip_seconds=0.999, frames=200, views=5,
        heads=MappingProxyType({"label": 44}), published=MappingProxyType({}), table="",
        params_m=26.07, paper="arXiv:2404.05559", licence=LICENSE,
        source="https://github.com/JacobChalk/TIM",
        note="Trained by the authors of TIM for its features; no score of it is published.",
    ),
)  # fmt: skip
