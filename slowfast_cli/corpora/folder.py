"""Your own sounds: one folder a class, or without classes."""

from __future__ import annotations

from pathlib import Path

from slowfast_cli.corpora.dataset_info import DatasetInfo
from slowfast_cli.corpora.lists import SPLIT_NAMES, held_out
from slowfast_cli.corpora.media_files import media_below, media_in, subfolders
from slowfast_cli.types import Corpus, DataError, Failure, Recording, Segment

INFO = DatasetInfo(
    name="folder",
    task="your own sounds or videos, one label a file",
    classes="one a folder",
    splits=("train", "val", "test"),
    files=(
        "<class>/<any sound or video>",
        "or {train,val,test}/<class>/<any sound or video>",
        "or either without class folders, to learn without labels",
    ),
    homepage="your own recordings",
    license="yours",
)


def read(root: Path, split: str) -> Corpus:
    """Read a folder of class folders.

    On disk::

        root/<class>/**/<any media file>
        root/{train,val,test}/<class>/**/<any media file>    also training, valid, validation, dev, testing, eval
        root/[{train,val,test}/]<any media file>             without class folders: no labels

    Classes are the folder names, sorted. Without folders of splits, a fifth of each class is kept for ``val``: the same
    files on every machine, chosen by a hash of their paths below ``root``. A ``val`` or ``test`` that is not there is
    the other one of the two. Folders without media are no classes.

    Files that lie in no class folder, where no file does, have no targets, and the corpus no label set: what is learned
    without labels can be learned from them. Beside class folders such files are left out, and counted as missing.

    Args:
        root: The folder.
        split: ``train``, ``val`` or ``test``.

    Raises:
        DataError: There is no such folder, or there are no media in it.
    """
    INFO.check_split(split)
    places = _places(root)
    by_part = {name: _labelled(part) for name, part in places.items()}
    classes = tuple(sorted({label for files in by_part.values() for label in files.values()}))
    if not classes:
        by_part = {name: dict.fromkeys(media_in(part), "") for name, part in places.items()}
    if not any(by_part.values()):
        raise DataError(f"{root}: no sounds or videos in it: lay them out as {' '.join(INFO.files)}")
    segments = []
    for path, label in _chosen(by_part, split, root).items():
        id = path.relative_to(root).as_posix()
        targets = {"label": classes.index(label)} if classes else {}
        segments.append(Segment(id=id, recording=Recording(id=id, path=path), targets=targets))
    loose = [path for part in places.values() for path in media_in(part)] if classes and split == "train" else []
    return Corpus(
        name="folder",
        split=split,
        segments=tuple(segments),
        classes={"label": classes} if classes else {},
        missing=tuple(Failure(id=each.name, path=each, reason="lies beside the class folders") for each in loose),
    )


def read_unlabeled(root: Path, split: str) -> Corpus:
    """Read every sound and video below a folder, whatever the folders in it are called: for learning without labels.

    Folders of splits are such here too; without them a fifth of the files is kept for ``val``.

    Args:
        root: The folder.
        split: ``train``, ``val`` or ``test``.

    Raises:
        DataError: There is no such folder, or there are no media in it.
    """
    INFO.check_split(split)
    places = _places(root)
    by_part = {name: dict.fromkeys(media_below(part), "") for name, part in places.items()}
    if not any(by_part.values()):
        raise DataError(f"{root}: no sounds or videos in it: lay them out as {' '.join(INFO.files)}")
    ids = {path.relative_to(root).as_posix(): path for path in _chosen(by_part, split, root)}
    segments = tuple(Segment(id=id, recording=Recording(id=id, path=path)) for id, path in ids.items())
    return Corpus(name="folder", split=split, segments=segments, classes={})


def _places(root: Path) -> dict[str, Path]:
    """The folders of the splits, or the root for all of them."""
    if not root.is_dir():
        raise INFO.not_found(root)
    parts = {SPLIT_NAMES[part.name.lower()]: part for part in subfolders(root) if part.name.lower() in SPLIT_NAMES}
    return parts if "train" in parts else {"": root}


def _labelled(folder: Path) -> dict[Path, str]:
    """The class of every media file below its class folders."""
    return {path: part.name for part in subfolders(folder) for path in media_below(part)}


def _chosen(by_part: dict[str, dict[Path, str]], split: str, root: Path) -> dict[Path, str]:
    other = {"val": "test", "test": "val"}.get(split, split)
    for name in (split, other):
        if name in by_part and (split != "train" or len(by_part) > 1):
            return by_part[name]
    files = by_part.get("train", by_part.get("", {}))
    names = {path: path.relative_to(root).as_posix() for path in files}
    kept = held_out({names[path]: label for path, label in files.items()})
    return {path: label for path, label in files.items() if (names[path] in kept) == (split != "train")}
