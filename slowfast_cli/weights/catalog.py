"""Catalog of the official weights, by name.

None is bundled: some licenses forbid commercial use, and together they take several gigabytes.
"""

from collections.abc import Mapping
from difflib import get_close_matches
from types import MappingProxyType

from slowfast_cli.types import WeightsError
from slowfast_cli.weights import official_panns, official_sound, official_video
from slowfast_cli.weights.catalog_entry import CatalogEntry

CATALOG: Mapping[str, CatalogEntry] = MappingProxyType(
    {entry.name: entry for entry in (*official_sound.ENTRIES, *official_panns.ENTRIES, *official_video.ENTRIES)}
)


def find(name: str, others: str = "") -> CatalogEntry:
    """Look up official weights; raise `WeightsError` if the name is unknown; the message suggests similar ones.

    Args:
        name: Of the weights.
        others: End of the message: what else may be meant.
    """
    entry = CATALOG.get(name)
    if entry is None:
        matches = [other for other in CATALOG if other.startswith(name.lower())]
        near = matches[:3] or get_close_matches(name.lower(), CATALOG, n=1)
        hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"expected one of {', '.join(CATALOG)}."
        raise WeightsError(
            f"weights: no official weights are called {name!r}; {hint} `slowfast weights ls` lists them{others}"
        )
    return entry
