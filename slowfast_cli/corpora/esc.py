"""ESC-50 and ESC-10: 5 s environmental sounds in 5 folds; ESC-10 is the freely licensed part of ESC-50."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from slowfast_cli.corpora import labels
from slowfast_cli.corpora.dataset_info import DATASETS, DatasetInfo
from slowfast_cli.corpora.items import Item, build_corpus, file_problem
from slowfast_cli.corpora.lists import rows
from slowfast_cli.corpora.media_files import first_file, subfolders
from slowfast_cli.types import AUDIO_SUFFIXES, Corpus, DataError

FOLDS = ("1", "2", "3", "4", "5")
SPLITS = ("all", *(f"{part}{fold}" for part in ("train", "test") for fold in FOLDS))
INFO50 = DATASETS["esc50"]
INFO10 = DATASETS["esc10"]
# Folders of the older ESC-10, which has its own names and order.
ESC10_FOLDERS = {
    "001": "dog", "002": "rain", "003": "sea_waves", "004": "crying_baby", "005": "clock_tick",
    "006": "sneezing", "007": "helicopter", "008": "chainsaw", "009": "rooster", "010": "crackling_fire",
}  # fmt: skip
FOLDER = re.compile(r"(\d{3}) - .+")
CLIP = re.compile(r"([1-5])-(\d+)-([A-Z])(-\d+)?")


@dataclass(frozen=True, kw_only=True)
class EscClip:
    """A listed clip."""

    path: Path  # where it should be
    fold: str  # "1" to "5"
    category: str  # ESC-50 class name
    source: str  # Freesound recording it was cut from; clips of one source are in one fold


def read_esc50(root: Path, split: str) -> Corpus:
    """Read folds of ESC-50.

    On disk, the official repository or its older layout::

        root/[ESC-50-master/]meta/esc50.csv   filename,fold,target,category,esc10,src_file,take
        root/[ESC-50-master/]audio/<fold>-<source>-<take>-<target>.wav
        root/NNN - Name/<fold>-<source>-<take>.ogg

    Class order: `labels/esc50.csv`, the targets of the official list. ``group`` is the source recording.
    Split ``test3`` is fold 3, ``train3`` the other four folds, ``all`` all five.

    Raises:
        DataError: No clip is found, or a class is not one of ESC-50.
    """
    return _corpus(INFO50, root, split, labels.names("esc50"))


def read_esc10(root: Path, split: str) -> Corpus:
    """Read folds of ESC-10.

    On disk, its own older layout or the part of ESC-50 that is flagged ``esc10``::

        root/[ESC-10-master/]NNN - Name/<fold>-<source>-<take>.ogg
        root/[ESC-50-master/]meta/esc50.csv, audio/<fold>-<source>-<take>-<target>.wav

    Classes have their ESC-50 names, in the order of their ESC-50 indices. ``group`` is the source recording.
    Split ``test3`` is fold 3, ``train3`` the other four folds, ``all`` all five.

    Raises:
        DataError: No clip is found, or a class is not one of ESC-50.
    """
    return _corpus(INFO10, root, split, tuple(row["name"] for row in labels.table("esc50") if row["esc10"] == "1"))


def _corpus(info: DatasetInfo, root: Path, split: str, classes: tuple[str, ...]) -> Corpus:
    info.check_split(split)
    return build_corpus(info, split, _items(info, root, split, classes), {"label": classes}, where=root)


def _items(info: DatasetInfo, root: Path, split: str, classes: tuple[str, ...]) -> Iterator[Item]:
    for clip in _clips(info, root):
        if clip.category not in labels.indices("esc50"):
            raise DataError(f"{clip.path}: '{clip.category}' is not a class of {info.name}: see {info.homepage}")
        in_split = split == "all" or (clip.fold == split[-1]) == split.startswith("test")
        if in_split and clip.category in classes:
            yield Item(
                id=clip.path.stem,
                path=clip.path,
                targets={"label": classes.index(clip.category)},
                group=clip.source,
                problem=file_problem(clip.path),
            )


def _clips(info: DatasetInfo, root: Path) -> list[EscClip]:
    places = [root, *(root / name for name in ("ESC-50-master", "ESC-50", "ESC-10-master", "ESC-10"))]
    csv_path = first_file(place / "meta" / "esc50.csv" for place in places)
    if csv_path is not None:
        return [_clip_of_row(csv_path, number, row) for number, row in rows(csv_path)]
    clips: list[EscClip] = []
    for place in places:
        for folder in subfolders(place) if place.is_dir() and not clips else ():
            if FOLDER.fullmatch(folder.name):
                clips += _clips_of_folder(folder)
    if not clips:
        raise info.not_found(root)
    return clips


def _clip_of_row(csv_path: Path, number: int, row: dict[str, str]) -> EscClip:
    try:
        path = csv_path.parent.parent / "audio" / row["filename"]
        clip = EscClip(path=path, fold=row["fold"], category=row["category"], source=row["src_file"])
    except KeyError as error:
        raise DataError(f"{csv_path}: row {number}: no column {error}: take the official esc50.csv") from error
    if clip.fold not in FOLDS:
        raise DataError(f"{csv_path}: row {number}: fold '{clip.fold}' is not from 1 to 5: take the official esc50.csv")
    return clip


def _clips_of_folder(folder: Path) -> list[EscClip]:
    number = folder.name[:3]
    # Folders of the older ESC-50 are numbered 101 to 110, 201 to 210, ... in class order.
    index = (int(number) // 100 - 1) * 10 + int(number) % 100 - 1
    is_esc50 = number[0] in "12345" and 1 <= int(number) % 100 <= 10
    category = labels.names("esc50")[index] if is_esc50 else ESC10_FOLDERS.get(number, folder.name)
    clips = []
    for path in sorted(folder.iterdir()):
        match = CLIP.fullmatch(path.stem)
        if match and path.suffix.lower() in AUDIO_SUFFIXES:
            clips.append(EscClip(path=path, fold=match[1], category=category, source=match[2]))
    return clips
