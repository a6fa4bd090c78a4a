"""VGG-Sound: 10 s clips from YouTube, 309 classes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from slowfast_cli.data import labels
from slowfast_cli.data.sources import Origin, first_file, media_index, rows
from slowfast_cli.types import Corpus, DataError, Failure, Recording, Segment

ORIGIN = Origin(
    name="vggsound",
    task="sound events, one label a clip",
    classes="309",
    splits=("train", "test"),
    files=("vggsound.csv (or train.csv and test.csv)", "<youtube id>_<start, 6 digits>.{wav,flac,mp3,mp4,...}"),
    page="https://github.com/hche11/VGGSound",
    licence="annotations CC BY 4.0; clips belong to their uploaders",
)
MEDIA_FOLDERS = ("", "audio", "wav", "wavs", "clips", "video", "videos", "train", "test", "data")


def read(root: Path, split: str) -> Corpus:
    """Read a split of VGG-Sound.

    On disk::

        root/vggsound.csv                     id,start second,label,split; no header; from the official repository
        root/{train,test}.csv                 or these: file name,label
        root/[audio/|video/|clips/|train/...]<id>_<start, 6 digits>.<any media suffix>

    The lists may also stand in ``data/`` or ``annotations/``, as in the official repository. `vggsound.csv` is
    preferred: it holds 199,467 rows, `train.csv` and `test.csv` together 291 fewer. About a fifth of the clips are gone
    from YouTube: those are counted in ``missing``, never replaced.

    Args:
        root: The folder.
        split: ``train`` or ``test``.

    Raises:
        DataError: The lists are not there, or name a class that VGG-Sound does not have.
    """
    ORIGIN.split(split)
    places = [root, root / "data", root / "annotations"]
    whole = first_file(place / "vggsound.csv" for place in places)
    part = first_file(place / f"{split}.csv" for place in places)
    if whole is None and part is None:
        raise ORIGIN.absent(root)
    listed = _whole(whole, split) if whole else _part(part or root)
    media = media_index([*(root / name for name in MEDIA_FOLDERS), *(root / n / split for n in MEDIA_FOLDERS[1:])])
    segments: dict[str, Segment] = {}
    missing: list[Failure] = []
    for where, names, label in listed:
        index = labels.indices("vggsound").get(label)
        if index is None:
            raise DataError(f"{where}: '{label}' is none of the 309 classes: take the list of {ORIGIN.page}")
        path = next((media[name] for name in names if name in media), None)
        if path is None:
            missing.append(Failure(id=names[0], path=root / f"{names[0]}.mp4", reason="not on disk"))
        elif names[0] in segments:
            missing.append(Failure(id=names[0], path=path, reason=f"listed twice ({where})"))
        else:
            recording = Recording(id=names[0], path=path)
            segments[names[0]] = Segment(id=names[0], recording=recording, targets={"label": index})
    return Corpus(
        name="vggsound",
        split=split,
        segments=tuple(segments.values()),
        classes={"label": labels.names("vggsound")},
        missing=tuple(missing),
    )


def _whole(path: Path, split: str) -> Iterator[tuple[str, tuple[str, ...], str]]:
    """Where a row stands, the names its clip may have, its label."""
    for number, row in rows(path, ("id", "start", "label", "split")):
        where = f"{path}: row {number}"
        if row["split"] not in ("train", "test"):
            raise DataError(f"{where}: split '{row['split']}' is neither train nor test: take the official list")
        if not row["start"].isdecimal():
            raise DataError(f"{where}: start '{row['start']}' is no number of seconds: take the official list")
        if row["split"] == split:
            yield where, (f"{row['id']}_{int(row['start']):06d}", f"{row['id']}_{row['start']}"), row["label"]


def _part(path: Path) -> Iterator[tuple[str, tuple[str, ...], str]]:
    for number, row in rows(path, ("file", "label")):
        yield f"{path}: row {number}", (row["file"].removesuffix(".mp4"),), row["label"]
