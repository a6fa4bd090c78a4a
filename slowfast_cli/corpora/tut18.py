"""TUT Urban Acoustic Scenes 2018, development: 10 s of ten kinds of places in six cities."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from slowfast_cli.corpora import labels
from slowfast_cli.corpora.dataset_info import DatasetInfo
from slowfast_cli.corpora.items import GONE, Item, class_index, corpus
from slowfast_cli.corpora.lists import rows
from slowfast_cli.corpora.media_files import first_file, media_index
from slowfast_cli.types import Corpus, DataError

INFO = DatasetInfo(
    name="tut18",
    task="acoustic scenes, one label a clip",
    classes="10",
    splits=("train", "test"),
    files=(
        "evaluation_setup/fold1_{train,evaluate}.txt (there or in TUT-urban-acoustic-scenes-2018-development/)",
        "audio/<scene>-<city>-<location>-<segment>-a.wav",
    ),
    homepage="https://zenodo.org/records/1228142",
    license="free for non-commercial use",
    note="the official fold; the papers' own split cannot be had, so their scores are not comparable",
)
PLACES = ("", "TUT-urban-acoustic-scenes-2018-development")
FILE = re.compile(r"(\w+)-([a-z]+-\d+)-\d+-([a-z])")


def read(root: Path, split: str) -> Corpus:
    """Read the official fold of the development set of DCASE 2018 task 1A.

    On disk, the archives unpacked over each other::

        root/[TUT-urban-acoustic-scenes-2018-development/]evaluation_setup/fold1_{train,evaluate}.txt
        root/[TUT-urban-acoustic-scenes-2018-development/]audio/<scene>-<city>-<location>-<segment>-a.wav

    The lists hold a file and its scene with a tab between them, without a header: 6,122 clips to train and 2,518 to
    test, of other locations (`fold1_test.txt` is the same without scenes). The split that HARES uses (App. A, of
    Tagliasacchi et al.) is not to be had: do not compare with it. ``group`` is the location.

    Args:
        root: The folder.
        split: ``train`` or ``test``.

    Raises:
        DataError: A list is not there or does not hold together, or is that of the mobile set (task 1B).
    """
    INFO.check_split(split)
    name = f"fold1_{'train' if split == 'train' else 'evaluate'}.txt"
    path = first_file(root / place / "evaluation_setup" / name for place in PLACES)
    if path is None:
        raise INFO.not_found(root)
    classes = {"label": labels.names("tut18")}
    return corpus(INFO, split, _items(path), classes, where=path, note=INFO.note)


def _items(path: Path) -> Iterator[Item]:
    top = path.parent.parent
    found = media_index([top / "audio"])
    for number, row in rows(path, ("file", "scene"), delimiter="\t"):
        where = f"{path}: row {number}"
        index = class_index(row["scene"], labels.indices("tut18"), where, INFO)
        stem = Path(row["file"]).stem
        name = FILE.fullmatch(stem)
        if name is None or name[1] != row["scene"] or name[3] != "a":
            raise DataError(
                f"{where}: '{row['file']}' is no clip of {row['scene']} by device a; other devices are those of the "
                f"mobile set (task 1B): take the lists of {INFO.homepage}"
            )
        yield Item(
            id=stem,
            path=found.get(stem, top / row["file"]),
            targets={"label": index},
            group=name[2],
            wrong="" if stem in found else GONE,
        )
