"""The official weights that can be downloaded by name, and what is known of them.

Nothing here is bundled: some licences forbid commercial use, and together they are some gigabytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from types import MappingProxyType

from slowfast_cli.types import WeightsError
from slowfast_cli.weights import official_panns, official_sound, official_video
from slowfast_cli.weights.catalogue_entry import Entry

CATALOGUE: Mapping[str, Entry] = MappingProxyType(
    {entry.name: entry for entry in (*official_sound.ENTRIES, *official_panns.ENTRIES, *official_video.ENTRIES)}
)


def find(name: str) -> Entry:
    """The entry of that name.

    Raises:
        WeightsError: No such name; it suggests the nearest.
    """
    entry = CATALOGUE.get(name)
    if entry is None:
        matches = [other for other in CATALOGUE if other.startswith(name.lower())]
        near = matches[:3] or get_close_matches(name.lower(), CATALOGUE, n=1)
        hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"there are {', '.join(CATALOGUE)}."
        raise WeightsError(f"weights: no official weights are called {name!r}; {hint} `slowfast weights ls` shows them")
    return entry
