"""User recordings in one folder per class, or without classes."""

import os
import re
from collections.abc import Collection
from pathlib import Path

from slowfast_cli.corpora.dataset_info import DATASETS
from slowfast_cli.corpora.lists import HELD_OUT, SPLIT_NAMES, class_name, held_out_parts
from slowfast_cli.corpora.media_files import files_in, is_media, media_below, media_in, subfolders, walk_once
from slowfast_cli.media.audio_source import printable
from slowfast_cli.types import Corpus, DataError, Failure, Recording, Segment

INFO = DATASETS["folder"]
DOCUMENTS = frozenset(
    {".csv", ".html", ".jpeg", ".jpg", ".json", ".jsonl", ".log", ".md", ".npy", ".pdf", ".png", ".py", ".tsv", ".txt"}
    | {".xml", ".yaml", ".yml", ".zip"}
)
OTHER_SUFFIX = "its suffix is not one of audio or video"
_FILLER = r"(?:data|dataset|sets?|split|part|folder|files?|audio|sounds?|wavs?|videos?|clips?|images?|my|\d+)"
WEAK_WORDS = r"h[oe]ld[-_ ]?out|unseen|fold"  # may also be classes, without a number or another split beside them
SPLIT_WORDS = "|".join((*SPLIT_NAMES, WEAK_WORDS))
SPLIT_LIKE = re.compile(rf"(?:{_FILLER}[\W_]*)*({SPLIT_WORDS})(?:[\W_]*{_FILLER})*[\W_]*")


def read(root: Path, split: str) -> Corpus:
    """Read a folder of class folders.

    On disk::

        root/<class>/**/<any media file>
        root/{train,val,test}/<class>/**/<any media file>    also training, valid, validation, dev, testing, eval
        root/[{train,val,test}/]<any media file>             without class folders: no labels

    Classes are the sorted folder names in Unicode normal form C. Folders are splits if all that contain media are
    named so, else classes. Without split folders, a fifth of each class is held out for ``val`` and another for
    ``test``, chosen by a hash of the path below ``root``: identical on every machine. With fewer than 10 files of a
    class, both are the same fifth. If the folder of ``val`` or ``test`` is missing, the other one is used for both.

    If no file lies in a class folder, the corpus has no label set, and serves for learning without labels. What is not
    used is counted as missing in ``train``: folders without media, files beside class folders, and files that may be
    media by their type but have another suffix.

    Raises:
        DataError: There is no such folder, it contains no media, a class name is not printable text in UTF-8, or the
            folders are named almost like splits or lie one level deeper.
    """
    INFO.check_split(split)
    split_folders = _split_folders(root)
    files_by_split, unused = _labels_by_path(root, split_folders)
    classes = tuple(sorted({label for files in files_by_split.values() for label in files.values()}))
    if not classes:
        files_by_split = {name: dict.fromkeys(media_in(folder), "") for name, folder in split_folders.items()}
    used = {path for files in files_by_split.values() for path in files}
    if not any(files_by_split.values()):
        raise _no_media(root)
    indices = {label: index for index, label in enumerate(classes)}
    segments = []
    for path, label in _files_of_split(files_by_split, split, root).items():
        id = path.relative_to(root).as_posix()
        targets = {"label": indices[label]} if classes else {}
        segments.append(Segment(id=id, recording=Recording(id=id, path=path), targets=targets))
    return Corpus(
        name="folder",
        split=split,
        segments=tuple(segments),
        classes={"label": classes} if classes else {},
        missing=tuple(
            Failure(id=path.relative_to(root).as_posix(), path=path, reason=reason)
            for path, reason in (unused.items() if split == "train" else ())
            if path not in used
        ),
        note=_note(split_folders, classes),
    )


def _note(split_folders: dict[str, Path], classes: tuple[str, ...]) -> str:
    folders = ", ".join(folder.name for name, folder in split_folders.items() if name)
    like_splits = ", ".join(name for name in classes if name.lower() in SPLIT_NAMES)
    return f"split: {folders or HELD_OUT}" + (f"; read as classes, beside others: {like_splits}" if like_splits else "")


def read_unlabeled(root: Path, split: str) -> Corpus:
    """Read all media below a folder, ignoring class folders: for learning without labels.

    Split folders are respected; without them, a fifth of the files is held out for each of ``val`` and ``test``.

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
    """Folders by split name if all with media are named so, else ``{"": root}``.

    Raises:
        DataError: There is no such folder, two folders are the same split, or their names are almost those of splits.
    """
    if not root.is_dir():
        raise INFO.not_found(root)
    folders = [folder for folder in subfolders(root) if any(media_below(folder))]
    exact = {folder: SPLIT_NAMES[folder.name.lower()] for folder in folders if folder.name.lower() in SPLIT_NAMES}
    similar = {
        folder: SPLIT_NAMES.get(match[1], folder.name)
        for folder in folders
        if (match := SPLIT_LIKE.fullmatch(folder.name.lower()))
        and (exact or not re.fullmatch(WEAK_WORDS, folder.name.lower()))
    }
    names = ", ".join(printable(folder.name) for folder in folders)
    if folders and len(exact) == len(folders):
        if len(set(exact.values())) < len(exact):
            raise DataError(f"{printable(root)}: {names}: two folders are the same split: merge them")
        if "train" in exact.values():
            return {name: folder for folder, name in exact.items()}
    if len(similar) == len(folders) and (len(folders) == 1 or len(set(similar.values())) > 1):
        advice = "call them train, val and test (train is needed), or set data.root to one of them"
        if any("fold" in folder.name.lower() for folder in similar):
            advice = "list their files in a csv file with a column split, and set data.corpus=csv"
        raise DataError(f"{printable(root)}: {names}: look like splits, not classes: {advice}")
    if {"train"} < set(exact.values()) and not any(media_in(folder) for folder in exact):
        others = ", ".join(printable(folder.name) for folder in folders if folder not in exact)
        raise DataError(
            f"{printable(root)}: {', '.join(folder.name for folder in exact)} look like splits, but beside them is "
            f"{others}: move it out of {printable(root)}, or rename the classes that are called like splits"
        )
    return {"": root}


def _labels_by_path(root: Path, split_folders: dict[str, Path]) -> tuple[dict[str, dict[Path, str]], dict[Path, str]]:
    """Return the class of each file in a class folder, by split, and why other files and folders are not used."""
    beside_splits = (
        [] if "" in split_folders else [folder for folder in subfolders(root) if folder not in split_folders.values()]
    )
    class_folders = dict.fromkeys(beside_splits, "train")  # without media
    class_folders |= {folder: name for name, parent in split_folders.items() for folder in subfolders(parent)}
    files_by_split: dict[str, dict[Path, str]] = {name: {} for name in split_folders}
    unused = {
        path: "not in a class folder" if is_media(path.name) else OTHER_SUFFIX
        for folder in {root, *split_folders.values()}
        for path in files_in(folder)
        if is_media(path.name) or _may_be_media(path.name)
    }
    used: dict[Path, int] = {}  # class folders, with the number of media directly in them
    for class_folder, where, names in walk_once(class_folders):
        media = [name for name in names if is_media(name)]
        stems = {name.rpartition(".")[0] for name in media}
        unused |= {where / name: OTHER_SUFFIX for name in names if _may_be_media(name, stems)}
        if media:
            label = class_name(class_folder.name, f"{printable(class_folder.parent)}: class folder")
            files_by_split[class_folders[class_folder]] |= {where / name: label for name in media}
            used[class_folder] = used.get(class_folder, 0) + (len(media) if where == class_folder else 0)
    unused |= dict.fromkeys(class_folders.keys() - used, "a folder without media, or read under another name")
    if list(used.values()) == [0] and "" in split_folders and len(below := subfolders(only := next(iter(used)))) > 1:
        raise DataError(
            f"{printable(root)}: {printable(only.name)} would be the only class; its media lie in its folders "
            f"{printable(below[0].name)}, {printable(below[1].name)}: set data.root={printable(only)}"
        )
    return files_by_split, dict(sorted(unused.items()))


def _may_be_media(name: str, stems: Collection[str] = ()) -> bool:
    """Whether a file without a media suffix may be media: no document, and not beside media with the same stem."""
    stem, suffix = os.path.splitext(name)  # noqa: PTH122  (millions of names)
    return not is_media(name) and suffix.lower() not in DOCUMENTS and stem not in stems


def _files_of_split(files_by_split: dict[str, dict[Path, str]], split: str, root: Path) -> dict[Path, str]:
    for name in (split, {"val": "test", "test": "val"}.get(split, split)):
        if name in files_by_split and (split != "train" or len(files_by_split) > 1):
            return files_by_split[name]
    files = files_by_split.get("train", files_by_split.get("", {}))
    names = {path: path.relative_to(root).as_posix() for path in files}
    parts = held_out_parts({names[path]: label for path, label in files.items()})
    if split != "train":
        return {path: label for path, label in files.items() if names[path] in parts[split]}
    held_out = parts["val"] | parts["test"]
    return {path: label for path, label in files.items() if names[path] not in held_out}
