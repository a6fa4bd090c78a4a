"""Bundled class lists, `labels/*.csv`; `labels/SOURCES.md` gives their sources and licenses."""

import csv
from functools import cache
from importlib.resources import files


@cache
def table(name: str) -> tuple[dict[str, str], ...]:
    """Rows of a list, by its file name without ``.csv``."""
    text = (files("slowfast_cli.corpora") / "labels" / f"{name}.csv").read_text(encoding="utf-8")
    return tuple(csv.DictReader(text.splitlines()))


@cache
def names(name: str) -> tuple[str, ...]:
    """Class names of a list, in index order."""
    return tuple(row["name"] for row in table(name))


@cache
def indices(name: str) -> dict[str, int]:
    """Class indices of a list, by class name."""
    return {class_name: index for index, class_name in enumerate(names(name))}


@cache
def tail(name: str) -> frozenset[int]:
    """Class indices in a list of rare classes."""
    return frozenset(int(row["index"]) for row in table(name))


@cache
def unseen(split: str) -> frozenset[str]:
    """EPIC-KITCHENS-100 participants of a split who have no recording in train."""
    rows = table("epic100_unseen_participants")
    return frozenset(row["participant_id"] for row in rows if row["split"] == split)
