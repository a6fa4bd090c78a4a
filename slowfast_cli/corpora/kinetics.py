"""Kinetics-400 and -600, and Kinetics-Sounds, the 32 classes of Kinetics-400 that can be told by ear."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

from slowfast_cli.corpora import labels
from slowfast_cli.corpora.dataset_info import DatasetInfo
from slowfast_cli.corpora.kinetics_files import Clips, Listed, find_list, read_list
from slowfast_cli.types import Corpus, DataError, Failure, Recording, Segment

FILES = (
    "{train,val,test}.csv (there or in annotations/)",
    "or PySlowFast's or OpenMMLab's lists of 'path label'",
    "{train,val,test}*/[<class>/]<youtube id>_<start, 6 digits>_<end, 6 digits>.mp4",
)
PAGE = "https://github.com/cvdfoundation/kinetics-dataset"
LICENCE = "annotations CC BY 4.0; clips belong to their uploaders"
INFO = DatasetInfo(
    name="kinetics400",
    task="human actions, one label a clip",
    classes="400",
    splits=("train", "val", "test", "val-sounds"),
    files=FILES,
    homepage=PAGE,
    license=LICENCE,
)
INFO600 = DatasetInfo(
    name="kinetics600",
    task="human actions, one label a clip",
    classes="600",
    splits=("train", "val", "test"),
    files=FILES,
    homepage=PAGE,
    license=LICENCE,
)
INFO_SOUNDS = DatasetInfo(
    name="kinetics-sounds",
    task="human actions that can be heard, one label a clip",
    classes="32 of the 400 of Kinetics-400",
    splits=("train", "val"),
    files=FILES,
    homepage=PAGE,
    license=LICENCE,
)


def read(root: Path, split: str) -> Corpus:
    """Read a split of Kinetics-400.

    On disk, all below ``root`` (or, the clips, below ``root/k400`` or ``root/videos``)::

        [annotations/]{train,val,test}.csv               official, with or without a header line and is_cc; or
        [annotations/]kinetics[-|_][400_]{train,val,test}.csv
        {train,val,test}.csv                             PySlowFast: lines of 'path label'; or
        [annotations/]kinetics400_{train,val,test}_list_videos.txt                       OpenMMLab, the same

        <split>/<class>/<id>_<start>_<end>.mp4           ActivityNet's crawler: seconds in 6 digits, blanks in classes
        <split>/<id>_<start>_<end>.mp4                   CVDF
        replacement/**/<id>_<start>_<end>.mp4            CVDF: in the place of broken clips
        videos_<split>/<class_with_underscores>/...mp4   OpenMMLab
        <split>_256/...                                  or any other ending: resized copies

    A class is a name in the list, never a folder's. Clips are found by their names alone. Those that are gone from
    YouTube are counted in ``missing``, never replaced. The lists of test have no labels. A clip that a list has twice
    counts once; under two classes it counts for each.

    The subset ``ks`` of val has the clips of the classes of Kinetics-Sounds, told apart by 400 outputs. The split
    ``val-sounds`` has those clips alone, and lets only the outputs of those 32 classes compete. AVSlowFast (Table 3)
    does not say which of the two it means.

    Args:
        root: The folder.
        split: ``train``, ``val``, ``test`` or ``val-sounds``.

    Raises:
        DataError: The list is not there or does not hold together.
    """
    INFO.check_split(split)
    heard = {int(row["kinetics400_index"]) for row in labels.table("kinetics_sounds32")}
    names = labels.names("kinetics400")
    if split == "val-sounds":
        corpus = _read(INFO, root, "val", {index: index for index in heard}, names)
        return replace(corpus, split=split, scored={"label": frozenset(heard)})
    corpus = _read(INFO, root, split, {index: index for index in range(len(names))}, names)
    if split != "val":
        return corpus
    sounds = frozenset(segment.id for segment in corpus.segments if segment.targets["label"] in heard)
    return replace(corpus, subsets={"ks": sounds})


def read600(root: Path, split: str) -> Corpus:
    """Read a split of Kinetics-600: laid out as `read` says, below ``root`` or ``root/k600``.

    CVDF's ``train.txt`` and ``val.txt`` are preferred: its csv are not complete.

    Args:
        root: The folder.
        split: ``train``, ``val`` or ``test``.

    Raises:
        DataError: The list is not there or does not hold together.
    """
    INFO600.check_split(split)
    names = labels.names("kinetics600")
    return _read(INFO600, root, split, {index: index for index in range(len(names))}, names)


def read_sounds(root: Path, split: str) -> Corpus:
    """Read the part of Kinetics-400 that is Kinetics-Sounds, as a data set of 32 classes (AVSlowFast App. B).

    On disk it is Kinetics-400, see `read`; it has no files of its own. For a model of 400 classes take the subset
    ``ks`` or the split ``val-sounds`` of Kinetics-400.

    Args:
        root: The folder of Kinetics-400.
        split: ``train`` or ``val``; test has no labels to choose by.

    Raises:
        DataError: The list is not there or does not hold together.
    """
    INFO_SOUNDS.check_split(split)
    new = {int(row["kinetics400_index"]): int(row["index"]) for row in labels.table("kinetics_sounds32")}
    return _read(INFO_SOUNDS, root, split, new, labels.names("kinetics_sounds32"))


def _read(info: DatasetInfo, root: Path, split: str, kept: Mapping[int, int], names: tuple[str, ...]) -> Corpus:
    """Read a split, or the clips of it that are of some classes.

    Args:
        info: The data set.
        root: Its folder.
        split: ``train``, ``val`` or ``test``.
        kept: Index of a class among ``names``, by its index in the list of all.
        names: Of the classes.
    """
    table = "kinetics600" if info is INFO600 else "kinetics400"
    path = find_list(root, table, split)
    if path is None:
        raise info.not_found(root)
    clips = Clips(root, split)
    segments: dict[str, Segment] = {}
    missing: dict[str, Failure] = {}
    known: dict[str, int | None] = {}  # the class that a clip was listed under first
    for item in read_list(path):
        index = _index(item, table, split)
        if index is not None and index not in kept:
            continue
        name = item.names[0]
        id = name if known.setdefault(name, index) == index else f"{name} ({names[kept[index or 0]]})"
        found = clips.find(item)
        if found is None:
            missing[id] = Failure(id=id, path=Path(item.path or root / split / f"{name}.mp4"), reason="not on disk")
            continue
        targets = {} if index is None else {"label": kept[index]}
        segments[id] = Segment(id=id, recording=Recording(id=name, path=found), targets=targets)
    return Corpus(
        has_video=True,
        name=info.name,
        split=split,
        segments=tuple(segments.values()),
        classes={"label": names},
        missing=tuple(missing.values()),
    )


def _index(item: Listed, table: str, split: str) -> int | None:
    """The class of a row; None for one without."""
    names = labels.names(table)
    if not item.label:
        if split == "test":
            return None
        raise DataError(f"{item.where}: no label: take the official list of {split}")
    index = int(item.label) if item.path else _spellings(table).get(item.label)
    if index is None or index >= len(names):
        raise DataError(
            f"{item.where}: '{item.label}' is none of the {len(names)} classes: take the list of {PAGE}, class indices "
            "in the order of sorted names"
        )
    return index


@cache
def _spellings(table: str) -> dict[str, int]:
    """Class indices by name, with blanks as they are or as underscores."""
    return {name.replace(" ", "_"): i for name, i in labels.indices(table).items()} | labels.indices(table)
