"""The two layouts in which ESC-50 and ESC-10 are found, and what their clips share."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from slowfast_cli.corpora import labels
from slowfast_cli.corpora.dataset_info import DatasetInfo
from slowfast_cli.corpora.lists import refuse_twice, rows
from slowfast_cli.corpora.media_files import first_file, subfolders
from slowfast_cli.types import AUDIO_SUFFIXES, Corpus, DataError, Failure, Recording, Segment

FOLDS = ("1", "2", "3", "4", "5")
SPLITS = ("all", *(f"{part}{fold}" for part in ("train", "test") for fold in FOLDS))
# Folders of the older ESC-10, which has names and an order of its own.
ESC10_FOLDERS = {
    "001": "dog", "002": "rain", "003": "sea_waves", "004": "crying_baby", "005": "clock_tick",
    "006": "sneezing", "007": "helicopter", "008": "chainsaw", "009": "rooster", "010": "crackling_fire",
}  # fmt: skip
FOLDER = re.compile(r"(\d{3}) - .+")
CLIP = re.compile(r"([1-5])-(\d+)-([A-Z])(-\d+)?")


@dataclass(frozen=True, kw_only=True)
class EscClip:
    """One listed clip.

    Attributes:
        path: Where it should be.
        fold: ``1`` to ``5``.
        category: Its ESC-50 class name.
        source: The Freesound recording it was cut from; clips of one source are in one fold.
    """

    path: Path
    fold: str
    category: str
    source: str


def corpus(info: DatasetInfo, root: Path, split: str, classes: tuple[str, ...], *, others: bool) -> Corpus:
    """Make a corpus of the clips of some classes.

    Args:
        info: The data set.
        root: Its folder, in either layout.
        split: One of `SPLITS`.
        classes: Names in the order of their indices.
        others: Leave clips of other ESC-50 classes out rather than refuse them.

    Raises:
        DataError: Nothing of it is there, or a class is unknown.
    """
    info.split(split)
    indices = {name: index for index, name in enumerate(classes)}
    segments: list[Segment] = []
    missing: list[Failure] = []
    for clip in _clips(info, root):
        if clip.category not in indices:
            if others and clip.category in labels.indices("esc50"):
                continue
            raise DataError(f"{clip.path}: '{clip.category}' is no class of {info.name}: take it from {info.page}")
        if split != "all" and (clip.fold == split[-1]) != split.startswith("test"):
            continue
        id = clip.path.stem
        if not clip.path.is_file():
            missing.append(Failure(id=id, path=clip.path, reason="not on disk"))
            continue
        targets = {"label": indices[clip.category]}
        segments.append(Segment(id=id, recording=Recording(id=id, path=clip.path), targets=targets, group=clip.source))
    refuse_twice(root, [each.id for each in segments] + [each.id for each in missing])
    return Corpus(
        name=info.name, split=split, segments=tuple(segments), classes={"label": classes}, missing=tuple(missing)
    )


def _clips(info: DatasetInfo, root: Path) -> list[EscClip]:
    places = [root, *(root / name for name in ("ESC-50-master", "ESC-50", "ESC-10-master", "ESC-10"))]
    listing = first_file(place / "meta" / "esc50.csv" for place in places)
    if listing is not None:
        return [_listed(listing, number, row) for number, row in rows(listing)]
    clips: list[EscClip] = []
    for place in places:
        for folder in subfolders(place) if place.is_dir() and not clips else ():
            if FOLDER.fullmatch(folder.name):
                clips += _in_folder(folder)
    if not clips:
        raise info.absent(root)
    return clips


def _listed(listing: Path, number: int, row: dict[str, str]) -> EscClip:
    try:
        path = listing.parent.parent / "audio" / row["filename"]
        clip = EscClip(path=path, fold=row["fold"], category=row["category"], source=row["src_file"])
    except KeyError as error:
        raise DataError(f"{listing}: row {number}: no column {error}: take the official esc50.csv") from error
    if clip.fold not in FOLDS:
        raise DataError(f"{listing}: row {number}: fold '{clip.fold}' is not from 1 to 5: take the official esc50.csv")
    return clip


def _in_folder(folder: Path) -> list[EscClip]:
    number = folder.name[:3]
    # Folders of the older ESC-50 count 101 to 110, 201 to 210, ... in the order of its classes.
    index = (int(number) // 100 - 1) * 10 + int(number) % 100 - 1
    known = number[0] in "12345" and 1 <= int(number) % 100 <= 10
    category = labels.names("esc50")[index] if known else ESC10_FOLDERS.get(number, folder.name)
    clips = []
    for path in sorted(folder.iterdir()):
        match = CLIP.fullmatch(path.stem)
        if match and path.suffix.lower() in AUDIO_SUFFIXES:
            clips.append(EscClip(path=path, fold=match[1], category=category, source=match[2]))
    return clips
