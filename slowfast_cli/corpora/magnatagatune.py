"""MagnaTagATune: 29 s clips of music, labeled with 50 tags given by listeners."""

import json
from collections.abc import Iterator
from pathlib import Path

from slowfast_cli.corpora import labels
from slowfast_cli.corpora.dataset_info import DATASETS
from slowfast_cli.corpora.items import Item, build_corpus, file_problem
from slowfast_cli.corpora.lists import rows
from slowfast_cli.corpora.media_files import first_file
from slowfast_cli.types import Corpus, DataError

INFO = DATASETS["magnatagatune"]
LISTS = ("", "index/mtt", "data/index/mtt", "annotations")
TOPS = ("", "mp3", "audio")
FOLDERS = {**dict.fromkeys("0123456789ab", "train"), "c": "val", **dict.fromkeys("def", "test")}
BROKEN = {"35644": "6", "55753": "8", "57881": "9"}  # folder by clip id
BROKEN_REASON = "broken file, left out of the lists of musicnn-training too"


def read(root: Path, split: str) -> Corpus:
    """Read a split of MagnaTagATune, with the 50 most frequent tags.

    On disk, the unpacked mp3.zip (its three parts joined with ``cat``), and either of two kinds of lists::

        root/[data/index/mtt/]index_mtt.tsv                    musicnn-training: <clip id> <file>
        root/[data/index/mtt/]{train,val,test}_gt_mtt.tsv      <clip id> [0.0, 1.0, ... 50 values]
        root/annotations_final.csv                             official: clip_id, 188 tags, mp3_path; tab-separated
        root/[mp3/|audio/]<0-9,a-f>/<clip>.mp3

    Splits by folder: ``0`` to ``b`` is ``train`` (18,706), ``c`` is ``val`` (1,825), ``d`` to ``f`` is ``test``
    (5,329). Three files of train are broken (35644, 55753, 57881): they are counted in ``missing``. Clips without any
    of the 50 tags are kept, as in the papers (997 of test): they are negatives for every tag. Tags are in the order of
    `labels/mtt_top50.csv`, which is not alphabetical. ``group`` is the folder.
    """
    INFO.check_split(split)
    index = first_file(root / place / "index_mtt.tsv" for place in LISTS)
    annotations = first_file(root / place / "annotations_final.csv" for place in LISTS)
    if index is not None and (index.parent / f"{split}_gt_mtt.tsv").is_file():
        items = _musicnn_items(root, index, split)
    elif annotations is not None:
        items = _official_items(root, annotations, split)
    else:
        raise INFO.not_found(root)
    return build_corpus(INFO, split, items, {"label": labels.names("mtt_top50")}, where=index or annotations or root)


def _musicnn_items(root: Path, index: Path, split: str) -> Iterator[Item]:
    files = {row["id"]: row["file"] for _, row in rows(index, ("id", "file"), delimiter="\t")}
    truth = index.parent / f"{split}_gt_mtt.tsv"
    for number, row in rows(truth, ("id", "tags"), delimiter="\t"):
        where = f"{truth}: row {number}"
        if row["id"] not in files:
            raise DataError(f"{where}: clip {row['id']} is not in {index}: take both from {INFO.homepage}")
        yield _item(root, row["id"], files[row["id"]], _tags(row["tags"], where))
    for id in sorted(BROKEN.keys() & files.keys()) if split == "train" else ():
        yield _item(root, id, files[id], ())


def _tags(text: str, where: str) -> tuple[int, ...]:
    size = len(labels.names("mtt_top50"))
    try:
        values = json.loads(text)
    except ValueError:
        values = None
    if not isinstance(values, list) or len(values) != size or any(value not in (0, 1) for value in values):
        raise DataError(f"{where}: '{text[:30]}...' is not a list of {size} zeros and ones: see {INFO.homepage}")
    return tuple(index for index, value in enumerate(values) if value)


def _official_items(root: Path, annotations: Path, split: str) -> Iterator[Item]:
    names = labels.names("mtt_top50")
    for number, row in rows(annotations, delimiter="\t"):
        where = f"{annotations}: row {number}"
        if absent := [name for name in ("clip_id", "mp3_path", *names) if name not in row]:
            raise DataError(
                f"{where}: {len(absent)} columns are missing, such as '{absent[0]}'; expected tab-separated clip_id, "
                f"188 tags and mp3_path: take annotations_final.csv from {INFO.homepage}"
            )
        folder = row["mp3_path"].partition("/")[0]
        invalid = [name for name in names if row[name] not in ("0", "1")]
        if folder not in FOLDERS or invalid:
            problem = f"{invalid[0]} '{row[invalid[0]]}' is not 0 or 1" if invalid else f"unknown folder '{folder}'"
            raise DataError(f"{where}: {problem}: take annotations_final.csv from {INFO.homepage}")
        if FOLDERS[folder] == split:
            tags = tuple(index for index, name in enumerate(names) if row[name] == "1")
            yield _item(root, row["clip_id"], row["mp3_path"], tags)


def _item(root: Path, id: str, file: str, tags: tuple[int, ...]) -> Item:
    path = first_file(root / top / file for top in TOPS) or root / file
    folder = file.partition("/")[0]
    problem = BROKEN_REASON if BROKEN.get(id) == folder else file_problem(path)
    return Item(id=id, path=path, targets={"label": tags}, group=folder, problem=problem)
