"""The official weights that can be downloaded by name, and what is known of them.

Nothing here is bundled: the licence of the files forbids commercial use.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType

from slowfast_cli.types import Settings, WeightsError

LICENCE = "CC BY-NC-SA 4.0"
SOURCE = "https://github.com/ekazakos/auditory-slow-fast"
PAPER = "arXiv:2103.03516"

UNVERIFIED_ORDER = (
    "The class order of this head is unverified: it was trained with the authors' own list of class numbers, which is "
    "not published as text. Names are those of VGG-Sound in sorted order; check them on a few clips you know."
)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One official weight file.

    Attributes:
        name: As in ``--weights``.
        title: What it is, for people.
        url: Direct download.
        file: Name of the file in the cache.
        dataset: What it was trained on.
        variant: Its network in the zoo.
        frontend: Log-mel settings it was trained with.
        clip_seconds: Sound in one clip.
        frames: Spectrogram frames in one clip.
        views: Test views per clip whose scores are averaged.
        heads: Number of classes by label set.
        published: Scores the paper prints, by metric name; accuracies in percent.
        table: Where the paper prints them.
        note: What to know before use.
        licence: Of the file.
        source: Where it is announced.
    """

    name: str
    title: str
    url: str
    file: str
    dataset: str
    variant: str
    frontend: Settings
    clip_seconds: float
    frames: int
    views: int
    heads: Mapping[str, int]
    published: Mapping[str, float]
    table: str
    note: str = ""
    licence: str = LICENCE
    source: str = SOURCE


def _vggsound(kind: str, path: str, published: Mapping[str, float]) -> Entry:
    """A VGG-Sound model (ASF Table 3); ``kind`` is what its name starts with.

    The Slow stream alone was trained with a hop four times as long, so that its clip has 128 frames.
    """
    slow = kind == "asf-slow"
    return Entry(
        name=f"{kind}-vggsound",
        title=f"{TITLES[kind]}, VGG-Sound",
        url=f"https://www.dropbox.com/s/{path}?dl=1",
        file=path.split("/")[1],
        dataset="vggsound",
        variant=f"{kind}-r50",
        frontend={
            "rate": 16000,
            "window_ms": 20,
            "hop_ms": 40 if slow else 10,
            "mels": 128,
            "fft": 2048,
            "floor": 1e-6,
        },
        clip_seconds=5.119,
        frames=128 if slow else 512,
        views=2,
        heads=MappingProxyType({"label": 309}),
        published=MappingProxyType(dict(published)),
        table="ASF Table 3",
        note=UNVERIFIED_ORDER,
    )


def _epic(kind: str, path: str, published: Mapping[str, float]) -> Entry:
    """An EPIC-KITCHENS-100 model (ASF Table 2, validation split); ``kind`` is what its name starts with."""
    slow = kind == "asf-slow"
    return Entry(
        name=f"{kind}-epic",
        title=f"{TITLES[kind]}, EPIC-KITCHENS-100",
        url=f"https://www.dropbox.com/s/{path}?dl=1",
        file=path.split("/")[1],
        dataset="epic",
        variant=f"{kind}-r50",
        frontend={"rate": 24000, "window_ms": 10, "hop_ms": 20 if slow else 5, "mels": 128, "fft": 2048, "floor": 1e-6},
        clip_seconds=1.999,
        frames=100 if slow else 400,
        views=10,
        heads=MappingProxyType({"verb": 97, "noun": 300}),
        published=MappingProxyType(dict(published)),
        table="ASF Table 2, Val",
    )


TITLES = {"asf": "Auditory Slow-Fast", "asf-slow": "its Slow stream alone", "asf-fast": "its Fast stream alone"}

_ENTRIES = (
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
            "verb_top1": 46.05,
            "noun_top1": 22.95,
            "action_top1": 15.22,
            "verb_top5": 80.01,
            "noun_top5": 47.98,
            "action_top5": 30.24,
            "unseen_verb_top1": 37.56,
            "unseen_noun_top1": 16.34,
            "unseen_action_top1": 8.83,
        },
    ),
    _epic(
        "asf-slow",
        "b1qaq8huu7heofp/SLOW_EPIC.pyth",
        {
            "verb_top1": 41.17,
            "noun_top1": 18.64,
            "action_top1": 11.37,
            "verb_top5": 77.52,
            "noun_top5": 42.34,
            "action_top5": 24.20,
            "unseen_verb_top1": 34.93,
            "unseen_noun_top1": 14.65,
            "unseen_action_top1": 7.79,
        },
    ),
    _epic(
        "asf-fast",
        "3qgwqsupqmsybai/FAST_EPIC.pyth",
        {
            "verb_top1": 39.84,
            "noun_top1": 17.07,
            "action_top1": 8.76,
            "verb_top5": 76.94,
            "noun_top5": 41.31,
            "action_top5": 22.01,
            "unseen_verb_top1": 33.33,
            "unseen_noun_top1": 15.21,
            "unseen_action_top1": 6.57,
        },
    ),
)

CATALOGUE: Mapping[str, Entry] = MappingProxyType({entry.name: entry for entry in _ENTRIES})


def describe(entry: Entry) -> dict[str, object]:
    """An entry as plain values, for JSON."""
    return {name: dict(value) if isinstance(value, Mapping) else value for name, value in vars(entry).items()}


def find(name: str) -> Entry:
    """The entry of that name.

    Raises:
        WeightsError: No such name; it suggests the nearest.
    """
    entry = CATALOGUE.get(name)
    if entry is None:
        near = get_close_matches(name.lower(), CATALOGUE, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(CATALOGUE)}."
        raise WeightsError(f"weights: no official weights are called {name!r}; {hint} `slowfast weights ls` shows them")
    return entry
