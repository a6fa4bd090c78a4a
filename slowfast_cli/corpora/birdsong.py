"""Birdsong: is there a bird in it? The three development sets of DCASE 2018 task 3, about 10 s a clip."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from slowfast_cli.corpora import labels
from slowfast_cli.corpora.dataset_info import DatasetInfo
from slowfast_cli.corpora.items import GONE, Item, corpus
from slowfast_cli.corpora.lists import held_out, rows
from slowfast_cli.corpora.media_files import first_file, media_index
from slowfast_cli.types import Corpus, DataError

INFO = DatasetInfo(
    name="birdsong",
    task="is there a bird? one label a clip",
    classes="2",
    splits=("train", "test"),
    files=(
        "ff1010bird/ff1010bird_metadata_2018.csv, ff1010bird/wav/<itemid>.wav",
        "warblrb10k/warblrb10k_public_metadata_2018.csv, warblrb10k/wav/<itemid>.wav",
        "BirdVox-DCASE-20k/BirdVoxDCASE20k_csvpublic.csv, BirdVox-DCASE-20k/wav/<itemid>.wav",
    ),
    homepage="https://dcase.community/challenge2018/task-bird-audio-detection",
    license="CC BY 4.0",
    note="the split of the papers cannot be had: a fifth of each set and label is test, chosen by a hash of the ids",
)


@dataclass(frozen=True, kw_only=True)
class BirdSet:
    """One of the three.

    Attributes:
        name: Its name.
        folders: That it is found in.
        lists: Of its labels, the newer generation first.
    """

    name: str
    folders: tuple[str, ...]
    lists: tuple[str, ...]


SETS = (
    BirdSet(
        name="ff1010bird",
        folders=("ff1010bird", "ff1010bird_wav", "freefield1010"),
        lists=("ff1010bird_metadata_2018.csv", "ff1010bird_metadata.csv"),
    ),
    BirdSet(
        name="warblrb10k",
        folders=("warblrb10k", "warblrb10k_public_wav", "warblrb10k_public", "warblr"),
        lists=("warblrb10k_public_metadata_2018.csv", "warblrb10k_public_metadata.csv"),
    ),
    BirdSet(
        name="BirdVox-DCASE-20k",
        folders=("BirdVox-DCASE-20k", "BirdVoxDCASE20k", "BirdVox"),
        lists=("BirdVoxDCASE20k_csvpublic.csv",),
    ),
)


def read(root: Path, split: str) -> Corpus:
    """Read a split of Birdsong.

    On disk, each archive in a folder of its own, because all three unpack into ``wav/``::

        root/ff1010bird/wav/<number>.wav                    ff1010bird_wav.zip; also freefield1010/
        root/warblrb10k/wav/<id of 23 characters>.wav       warblrb10k_public_wav.zip
        root/BirdVox-DCASE-20k/wav/<uuid>.wav               BirdVox-DCASE-20k.zip
        root/[<set>/]<list>.csv                             itemid,datasetid,hasbird; of the challenge's page

    The older lists, without ``datasetid``, are read too. Ids are text: ``55`` is no number.

    The split that the papers use (HARES App. A, of Tagliasacchi et al.) is not to be had. Here a fifth of each set and
    label is ``test`` (7,138 clips) and the rest ``train`` (28,552): those whose SHA-256 of the item id comes first, the
    same on every machine. Scores are therefore not comparable with published ones. ``group`` is the set.

    Args:
        root: The folder.
        split: ``train`` or ``test``.

    Raises:
        DataError: A list is not there or does not hold together.
    """
    INFO.check_split(split)
    lists = {
        each.name: first_file(root / place / name for place in (*each.folders, "") for name in each.lists)
        for each in SETS
    }
    if not any(lists.values()):
        raise INFO.not_found(root)
    return corpus(
        INFO,
        split,
        (item for each in SETS for item in _items(root, each, lists[each.name], split)),
        {"label": labels.names("birdsong")},
        where=root,
        note=INFO.note,
    )


def _items(root: Path, each: BirdSet, path: Path | None, split: str) -> Iterator[Item]:
    if path is None:
        raise DataError(
            f"{root}: holds no {each.lists[0]}; Birdsong is all of {', '.join(one.name for one in SETS)}: get it from "
            f"{INFO.homepage}"
        )
    wavs = [root / place / "wav" for place in each.folders]
    found = media_index([*wavs, path.parent / "wav", *(root / place for place in each.folders)])
    truth = _truth(path)
    test = held_out({id: str(target) for id, target in truth.items()})
    for id, target in truth.items():
        if (id in test) == (split == "test"):
            yield Item(
                id=f"{each.name}/{id}",
                path=found.get(id, wavs[0] / f"{id}.wav"),
                targets={"label": target},
                group=each.name,
                wrong="" if id in found else GONE,
            )


def _truth(path: Path) -> dict[str, int]:
    """0 or 1 by item id."""
    truth: dict[str, int] = {}
    for number, row in rows(path):
        where = f"{path}: row {number}"
        if not row.get("itemid") or row.get("hasbird") not in ("0", "1"):
            raise DataError(
                f"{where}: hasbird '{row.get('hasbird')}' of itemid '{row.get('itemid')}'; right are 0 or 1 and an id: "
                f"take the list of {INFO.homepage}"
            )
        if row["itemid"] in truth:
            raise DataError(f"{where}: {row['itemid']} is listed twice: remove one of the rows")
        truth[row["itemid"]] = int(row["hasbird"])
    return truth
