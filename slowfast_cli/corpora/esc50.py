"""ESC-50: 2,000 environmental sounds of 5 s, 50 classes, 5 folds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from slowfast_cli.corpora import labels
from slowfast_cli.corpora.dataset_info import DatasetInfo
from slowfast_cli.corpora.esc_layout import SPLITS, corpus

if TYPE_CHECKING:
    from slowfast_cli.types import Corpus

INFO = DatasetInfo(
    name="esc50",
    task="environmental sounds, one label a clip",
    classes="50",
    splits=SPLITS,
    files=("meta/esc50.csv", "audio/<fold>-<source>-<take>-<target>.wav"),
    page="https://github.com/karolpiczak/ESC-50",
    licence="CC BY-NC 3.0",
)


def read(root: Path, split: str) -> Corpus:
    """Read folds of ESC-50.

    On disk, the repository as it is, or its older layout::

        root/[ESC-50-master/]meta/esc50.csv   filename,fold,target,category,esc10,src_file,take
        root/[ESC-50-master/]audio/<fold>-<source>-<take>-<target>.wav
        root/NNN - Name/<fold>-<source>-<take>.ogg

    Class order: `labels/esc50.csv`, the targets of the official list. ``group`` is the source recording.

    Args:
        root: The folder.
        split: ``test3`` is fold 3, ``train3`` the other four, ``all`` all five.

    Raises:
        DataError: It is not there, or has a class that ESC-50 does not have.
    """
    return corpus(INFO, root, split, labels.names("esc50"), others=False)
