"""ESC-10: 400 environmental sounds of 5 s, the ten freely licensed classes of ESC-50, 5 folds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from slowfast_cli.corpora import labels
from slowfast_cli.corpora.dataset_info import DatasetInfo
from slowfast_cli.corpora.esc_layout import SPLITS, corpus

if TYPE_CHECKING:
    from slowfast_cli.types import Corpus

INFO = DatasetInfo(
    name="esc10",
    task="environmental sounds, one label a clip",
    classes="10",
    splits=SPLITS,
    files=("NNN - Name/<fold>-<source>-<take>.ogg", "or ESC-50 (meta/esc50.csv, audio/), of which it takes its part"),
    page="https://github.com/karolpiczak/ESC-50 (older layout: https://github.com/karolpiczak/ESC-10)",
    licence="CC BY 3.0, some clips CC0",
)


def read(root: Path, split: str) -> Corpus:
    """Read folds of ESC-10.

    On disk, its own older layout or the part of ESC-50 that is flagged ``esc10``::

        root/[ESC-10-master/]NNN - Name/<fold>-<source>-<take>.ogg
        root/[ESC-50-master/]meta/esc50.csv, audio/<fold>-<source>-<take>-<target>.wav

    The classes have their ESC-50 names, in the order of their ESC-50 indices. ``group`` is the source recording.

    Args:
        root: The folder.
        split: ``test3`` is fold 3, ``train3`` the other four, ``all`` all five.

    Raises:
        DataError: It is not there, or has a class that ESC-50 does not have.
    """
    classes = tuple(row["name"] for row in labels.table("esc50") if row["esc10"] == "1")
    return corpus(INFO, root, split, classes, others=True)
