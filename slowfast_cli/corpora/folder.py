"""User recordings in one folder per class, or without classes."""

from pathlib import Path

from slowfast_cli.corpora.dataset_info import DATASETS
from slowfast_cli.corpora.lists import SPLIT_NAMES, held_out
from slowfast_cli.corpora.media_files import media_below, media_in, subfolders
from slowfast_cli.types import Corpus, DataError, Failure, Recording, Segment

INFO = DATASETS["folder"]


def read(root: Path, split: str) -> Corpus:
    """Read a folder of class folders.

    On disk::

        root/<class>/**/<any media file>
        root/{train,val,test}/<class>/**/<any media file>    also training, valid, validation, dev, testing, eval
        root/[{train,val,test}/]<any media file>             without class folders: no labels

    Classes are the sorted folder names; folders without media are ignored. Without split folders, a fifth of each class
    is held out for ``val``, chosen by a hash of the path below ``root``: identical on every machine. If ``val`` or
    ``test`` is missing, the other one is used for both.

    If no file lies in a class folder, the corpus has no label set, and serves for learning without labels. Files that
    lie beside class folders are not used, and are counted as missing.

    Raises:
        DataError: There is no such folder, or it contains no media.
    """
    INFO.check_split(split)
    split_folders = _split_folders(root)
    files_by_split = {name: _labels_by_path(folder) for name, folder in split_folders.items()}
    classes = tuple(sorted({label for files in files_by_split.values() for label in files.values()}))
    if not classes:
        files_by_split = {name: dict.fromkeys(media_in(folder), "") for name, folder in split_folders.items()}
    if not any(files_by_split.values()):
        raise _no_media(root)
    segments = []
    for path, label in _files_of_split(files_by_split, split, root).items():
        id = path.relative_to(root).as_posix()
        targets = {"label": classes.index(label)} if classes else {}
        segments.append(Segment(id=id, recording=Recording(id=id, path=path), targets=targets))
    unused = (
        [path for folder in split_folders.values() for path in media_in(folder)] if classes and split == "train" else []
    )
    return Corpus(
        name="folder",
        split=split,
        segments=tuple(segments),
        classes={"label": classes} if classes else {},
        missing=tuple(Failure(id=path.name, path=path, reason="not in a class folder") for path in unused),
    )


def read_unlabeled(root: Path, split: str) -> Corpus:
    """Read all media below a folder, ignoring class folders: for learning without labels.

    Split folders are respected; without them, a fifth of the files is held out for ``val``.

    Raises:
        DataError: There is no such folder, or it contains no media.
    """
    INFO.check_split(split)
    files_by_split = {name: dict.fromkeys(media_below(folder), "") for name, folder in _split_folders(root).items()}
    if not any(files_by_split.values()):
        raise _no_media(root)
    ids = {path.relative_to(root).as_posix(): path for path in _files_of_split(files_by_split, split, root)}
    segments = tuple(Segment(id=id, recording=Recording(id=id, path=path)) for id, path in ids.items())
    return Corpus(name="folder", split=split, segments=segments, classes={})


def _no_media(root: Path) -> DataError:
    return DataError(f"{root}: contains no audio or video files; expected {' '.join(INFO.files)}")


def _split_folders(root: Path) -> dict[str, Path]:
    """Folders by split name, or ``{"": root}`` without a train folder."""
    if not root.is_dir():
        raise INFO.not_found(root)
    folders = {
        SPLIT_NAMES[folder.name.lower()]: folder for folder in subfolders(root) if folder.name.lower() in SPLIT_NAMES
    }
    return folders if "train" in folders else {"": root}


def _labels_by_path(folder: Path) -> dict[Path, str]:
    return {path: class_folder.name for class_folder in subfolders(folder) for path in media_below(class_folder)}


def _files_of_split(files_by_split: dict[str, dict[Path, str]], split: str, root: Path) -> dict[Path, str]:
    for name in (split, {"val": "test", "test": "val"}.get(split, split)):
        if name in files_by_split and (split != "train" or len(files_by_split) > 1):
            return files_by_split[name]
    files = files_by_split.get("train", files_by_split.get("", {}))
    names = {path: path.relative_to(root).as_posix() for path in files}
    validation = held_out({names[path]: label for path, label in files.items()})
    return {path: label for path, label in files.items() if (names[path] in validation) == (split != "train")}
