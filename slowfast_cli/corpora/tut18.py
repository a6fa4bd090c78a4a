"""TUT Urban Acoustic Scenes 2018, development set: 10 s clips of ten kinds of scenes in six cities."""

import re
from collections.abc import Iterator
from pathlib import Path

from slowfast_cli.corpora import labels
from slowfast_cli.corpora.dataset_info import DATASETS
from slowfast_cli.corpora.items import NOT_ON_DISK, Item, build_corpus, class_index
from slowfast_cli.corpora.lists import rows
from slowfast_cli.corpora.media_files import media_index
from slowfast_cli.types import Corpus, DataError

INFO = DATASETS["tut18"]
PLACES = ("", "TUT-urban-acoustic-scenes-2018-development")
FILE = re.compile(r"(\w+)-([a-z]+-\d+)-\d+-([a-z])")


def read(root: Path, split: str) -> Corpus:
    """Read the official fold of the development set of DCASE 2018 task 1A.

    On disk, the archives unpacked into one folder::

        root/[TUT-urban-acoustic-scenes-2018-development/]evaluation_setup/fold1_{train,evaluate}.txt
        root/[TUT-urban-acoustic-scenes-2018-development/]audio/<scene>-<city>-<location>-<segment>-a.wav

    The lists contain a file and its scene, separated by a tab, without a header: 6,122 clips for training and 2,518 for
    testing, from other locations (`fold1_test.txt` is the test list without scenes). The split of HARES (App. A, by
    Tagliasacchi et al.) is not published: scores are not comparable. ``group`` is the location.

    Raises:
        DataError: The list is missing, invalid, or that of the mobile set (task 1B).
    """
    INFO.check_split(split)
    path = INFO.find_list(root, PLACES, f"evaluation_setup/fold1_{'train' if split == 'train' else 'evaluate'}.txt")
    classes = {"label": labels.names("tut18")}
    return build_corpus(INFO, split, _items(path), classes, where=path, note=INFO.note)


def _items(path: Path) -> Iterator[Item]:
    top = path.parent.parent
    media = media_index([top / "audio"])
    for number, row in rows(path, ("file", "scene"), delimiter="\t"):
        where = f"{path}: row {number}"
        index = class_index(row["scene"], labels.indices("tut18"), where, INFO)
        stem = Path(row["file"]).stem
        name = FILE.fullmatch(stem)
        if name is None or name[1] != row["scene"] or name[3] != "a":
            raise DataError(
                f"{where}: '{row['file']}' is not a clip of {row['scene']} by device a; other devices are in the "
                f"mobile set (task 1B): take the lists from {INFO.homepage}"
            )
        yield Item(
            id=stem,
            path=media.get(stem, top / row["file"]),
            targets={"label": index},
            group=name[2],
            problem="" if stem in media else NOT_ON_DISK,
        )
