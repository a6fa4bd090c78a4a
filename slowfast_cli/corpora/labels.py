"""The class lists that come with the toolkit: `labels/*.csv`, whose sources and licences `labels/SOURCES.md` gives."""

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files


@cache
def table(name: str) -> tuple[dict[str, str], ...]:
    """The rows of one list, by its file name without ``.csv``."""
    text = (files("slowfast_cli.corpora") / "labels" / f"{name}.csv").read_text(encoding="utf-8")
    return tuple(csv.DictReader(text.splitlines()))


@cache
def names(name: str) -> tuple[str, ...]:
    """The class names of one list, in the order of their indices."""
    return tuple(row["name"] for row in table(name))


@cache
def indices(name: str) -> dict[str, int]:
    """The class index of every name of one list."""
    return {class_name: index for index, class_name in enumerate(names(name))}


@cache
def tail(name: str) -> frozenset[int]:
    """The class indices that a list of rare classes names."""
    return frozenset(int(row["index"]) for row in table(name))


@cache
def unseen(split: str) -> frozenset[str]:
    """EPIC-KITCHENS-100: participants of a split that train has no recording of."""
    rows = table("epic100_unseen_participants")
    return frozenset(row["participant_id"] for row in rows if row["split"] == split)
