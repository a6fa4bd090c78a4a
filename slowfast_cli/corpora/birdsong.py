"""Birdsong: is there a bird in a clip of about 10 s? The three development sets of DCASE 2018 task 3."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from slowfast_cli.corpora import labels
from slowfast_cli.corpora.dataset_info import DATASETS
from slowfast_cli.corpora.items import NOT_ON_DISK, Item, build_corpus
from slowfast_cli.corpora.lists import held_out, rows
from slowfast_cli.corpora.media_files import first_file, media_index
from slowfast_cli.types import Corpus, DataError

INFO = DATASETS["birdsong"]


@dataclass(frozen=True, kw_only=True)
class BirdSet:
    """One of the three development sets."""

    name: str
    folders: tuple[str, ...]  # possible folder names
    lists: tuple[str, ...]  # label files, newer generation first


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
        root/[<set>/]<list>.csv                             itemid,datasetid,hasbird; from the challenge's page

    The older lists, without ``datasetid``, are accepted too. Ids are text, not numbers.

    The split of the papers (HARES App. A, by Tagliasacchi et al.) is not published. Here ``test`` is a fifth of each
    set and label (7,138 clips), the ids with the smallest SHA-256, and ``train`` is the rest (28,552): identical on
    every machine, but not comparable with published scores. ``group`` is the set.
    """
    INFO.check_split(split)
    lists = {
        birds.name: first_file(root / place / name for place in (*birds.folders, "") for name in birds.lists)
        for birds in SETS
    }
    if not any(lists.values()):
        raise INFO.not_found(root)
    items = (item for birds in SETS for item in _items(root, birds, lists[birds.name], split))
    return build_corpus(INFO, split, items, {"label": labels.names("birdsong")}, where=root, note=INFO.note)


def _items(root: Path, birds: BirdSet, path: Path | None, split: str) -> Iterator[Item]:
    if path is None:
        raise DataError(
            f"{root}: {birds.lists[0]} not found; Birdsong needs all of {', '.join(birds.name for birds in SETS)}: get "
            f"it from {INFO.homepage}"
        )
    wavs = [root / place / "wav" for place in birds.folders]
    media = media_index([*wavs, path.parent / "wav", *(root / place for place in birds.folders)])
    targets = _targets(path)
    test = held_out({id: str(target) for id, target in targets.items()})
    for id, target in targets.items():
        if (id in test) == (split == "test"):
            yield Item(
                id=f"{birds.name}/{id}",
                path=media.get(id, wavs[0] / f"{id}.wav"),
                targets={"label": target},
                group=birds.name,
                problem="" if id in media else NOT_ON_DISK,
            )


def _targets(path: Path) -> dict[str, int]:
    """Read the label, 0 or 1, of each item id."""
    targets: dict[str, int] = {}
    for number, row in rows(path):
        where = f"{path}: row {number}"
        if not row.get("itemid") or row.get("hasbird") not in ("0", "1"):
            raise DataError(
                f"{where}: hasbird '{row.get('hasbird')}' of itemid '{row.get('itemid')}'; expected 0 or 1 and an id"
            )
        if row["itemid"] in targets:
            raise DataError(f"{where}: {row['itemid']} is listed twice: remove one of the rows")
        targets[row["itemid"]] = int(row["hasbird"])
    return targets
