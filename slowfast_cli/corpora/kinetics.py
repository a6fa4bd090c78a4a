"""Kinetics-400, 600 and 700, and Kinetics-Sounds: the 32 classes of Kinetics-400 that are recognizable by sound."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

from slowfast_cli.corpora import labels
from slowfast_cli.corpora.dataset_info import DATASETS, DatasetInfo
from slowfast_cli.corpora.items import NOT_ON_DISK
from slowfast_cli.corpora.kinetics_files import ClipFinder, ListedClip, find_list, read_list
from slowfast_cli.types import Corpus, DataError, Failure, Recording, Segment

INFO = DATASETS["kinetics400"]
INFO600 = DATASETS["kinetics600"]
INFO700 = DATASETS["kinetics700"]
INFO_SOUNDS = DATASETS["kinetics-sounds"]


def read(root: Path, split: str) -> Corpus:
    """Read a split of Kinetics-400.

    On disk, all below ``root`` (clips also below ``root/k400`` or ``root/videos``)::

        [annotations/]{train,val,test}.csv               official, with or without a header line and is_cc; or
        [annotations/]kinetics[-|_][400_]{train,val,test}.csv
        {train,val,test}.csv                             PySlowFast: lines of 'path label'; or
        [annotations/]kinetics400_{train,val,test}_list_videos.txt                       OpenMMLab, in that form

        <split>/<class>/<id>_<start>_<end>.mp4           ActivityNet's crawler: seconds in 6 digits, blanks in classes
        <split>/<id>_<start>_<end>.mp4                   CVDF
        replacement/**/<id>_<start>_<end>.mp4            CVDF: replacements of broken clips
        videos_<split>/<class_with_underscores>/...mp4   OpenMMLab
        <split>_256/...                                  or any other ending: resized copies

    Classes come from the list, never from folder names; clips are found by file name. Clips that are no longer on
    YouTube are counted in ``missing``, never replaced. The lists of test have no labels. A clip that is listed twice
    counts once; under two classes it counts for each.

    The subset ``ks`` of val has the clips of the classes of Kinetics-Sounds, classified among 400 outputs. The split
    ``val-sounds`` has only those clips, classified among the outputs of those 32 classes. AVSlowFast (Table 3) does not
    say which of the two it reports.
    """
    INFO.check_split(split)
    sounds = {int(row["kinetics400_index"]) for row in labels.table("kinetics_sounds32")}
    names = labels.names("kinetics400")
    if split == "val-sounds":
        corpus = _read(INFO, root, "val", {index: index for index in sounds}, names)
        return replace(corpus, split=split, scored={"label": frozenset(sounds)})
    corpus = _read(INFO, root, split, {index: index for index in range(len(names))}, names)
    if split != "val":
        return corpus
    ids = frozenset(segment.id for segment in corpus.segments if segment.targets["label"] in sounds)
    return replace(corpus, subsets={"ks": ids})


def read600(root: Path, split: str) -> Corpus:
    """Read a split of Kinetics-600: laid out as for `read`, below ``root`` or ``root/k600``.

    CVDF's ``train.txt`` and ``val.txt`` are preferred: its csv files are incomplete.
    """
    INFO600.check_split(split)
    names = labels.names("kinetics600")
    return _read(INFO600, root, split, {index: index for index in range(len(names))}, names)


def read700(root: Path, split: str) -> Corpus:
    """Read a split of Kinetics-700, of 2019 or 2020: laid out as for `read`, clips also below ``root/k700``.

    Both editions have the same 700 classes, in alphabetical order; that of 2020 has other clips.
    """
    INFO700.check_split(split)
    names = labels.names("kinetics700")
    return _read(INFO700, root, split, {index: index for index in range(len(names))}, names)


def read_sounds(root: Path, split: str) -> Corpus:
    """Read Kinetics-Sounds, a subset of Kinetics-400, as a data set of 32 classes (AVSlowFast App. B).

    On disk it is Kinetics-400, see `read`. For a model of 400 classes use the subset ``ks`` or the split ``val-sounds``
    of Kinetics-400.
    """
    INFO_SOUNDS.check_split(split)
    new = {int(row["kinetics400_index"]): int(row["index"]) for row in labels.table("kinetics_sounds32")}
    return _read(INFO_SOUNDS, root, split, new, labels.names("kinetics_sounds32"))


def _read(info: DatasetInfo, root: Path, split: str, new_index: Mapping[int, int], names: tuple[str, ...]) -> Corpus:
    """Read the clips of some classes of a split; ``new_index`` maps class indices of the list to those of ``names``."""
    table = "kinetics400" if info is INFO_SOUNDS else info.name
    path = find_list(root, table, split)
    if path is None:
        raise info.not_found(root, f"{split}.csv")
    finder = ClipFinder(root, split)
    segments: dict[str, Segment] = {}
    missing: dict[str, Failure] = {}
    first_index: dict[str, int | None] = {}  # class under which a clip is listed first
    for item in read_list(path):
        index = _index(item, table, split)
        if index is not None and index not in new_index:
            continue
        name = item.names[0]
        id = name if first_index.setdefault(name, index) == index else f"{name} ({names[new_index[index or 0]]})"
        clip = finder.find(item)
        if clip is None:
            missing[id] = Failure(id=id, path=Path(item.path or root / split / f"{name}.mp4"), reason=NOT_ON_DISK)
            continue
        targets = {} if index is None else {"label": new_index[index]}
        segments[id] = Segment(id=id, recording=Recording(id=name, path=clip), targets=targets)
    return Corpus(
        has_video=True, name=info.name, split=split, segments=tuple(segments.values()), classes={"label": names},
        missing=tuple(missing.values()),
    )  # fmt: skip


def _index(item: ListedClip, table: str, split: str) -> int | None:
    """Return the class index of a row; None without a label."""
    names = labels.names(table)
    if not item.label:
        if split == "test":
            return None
        raise DataError(f"{item.where}: no label: take the official list of {split}")
    index = int(item.label) if item.path else _spellings(table).get(item.label)
    if index is None or index >= len(names):
        raise DataError(
            f"{item.where}: '{item.label}' is not one of the {len(names)} classes, sorted by name: see {INFO.homepage}"
        )
    return index


@cache
def _spellings(table: str) -> dict[str, int]:
    """Class indices by name, with blanks or with underscores."""
    return {name.replace(" ", "_"): i for name, i in labels.indices(table).items()} | labels.indices(table)
