"""AudioSet: 10 s of YouTube videos, 527 kinds of sounds, several of them at once."""

from __future__ import annotations

import csv
import os
import re
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from slowfast_cli.corpora import labels
from slowfast_cli.corpora.dataset_info import DatasetInfo
from slowfast_cli.corpora.items import gone
from slowfast_cli.corpora.media_files import Listing, first_file, listed, matched
from slowfast_cli.corpora.segments import Columns, Made, joined, some_runs
from slowfast_cli.types import Corpus, DataError, Failure

INFO = DatasetInfo(
    name="audioset",
    task="sound events, several labels a clip",
    classes="527",
    splits=("train", "balanced", "unbalanced", "eval"),
    files=(
        "{balanced_train,unbalanced_train,eval}_segments.csv (there, in metadata/ or in annotations/)",
        "audios/{balanced_train_segments,eval_segments,...}/Y<youtube id>.wav",
        "or any of audio/ wav/ clips/ video/ balanced/ unbalanced/ eval/ ... with [Y]<youtube id>[_<start>[_<end>]].*",
    ),
    homepage="https://research.google.com/audioset/download.html",
    license="segments CC BY 4.0, ontology CC BY-SA 4.0; clips belong to their uploaders",
    note="clips disappear from YouTube: a score is over those of eval that are left",
)
LISTS = ("", "metadata", "annotations", "data", "csv")
NAMES = {"balanced": "balanced_train_segments", "unbalanced": "unbalanced_train_segments", "eval": "eval_segments"}
PARTS = {"train": ("balanced", "unbalanced")}
FOLDERS = ("", "audios", "audio", "wav", "wavs", "clips", "video", "videos")
WITHIN = {
    "balanced": ("balanced_train_segments", "balanced_train", "balanced", "train"),
    "unbalanced": ("unbalanced_train_segments", "unbalanced_train", "unbalanced", "train"),
    "eval": ("eval_segments", "eval", "test"),
}
ID = re.compile(r"[\w-]{11}", re.ASCII)
NAME = re.compile(rb"Y?([\w-]{11})(?:_\d+(?:\.\d+)?){0,2}(\.\w+)")
ID_BYTES = 11
REMARKS = ("#", "# ")  # how they begin; #NAME? is an id that a spreadsheet took for a formula


def read(root: Path, split: str) -> Corpus:
    """Read a split of AudioSet.

    On disk::

        root/[metadata/|annotations/]{balanced_train,unbalanced_train,eval}_segments.csv     the official lists
        root/audios/{balanced_train_segments,eval_segments}/Y<id>.wav                        the layout of PANNs
        root/audios/unbalanced_train_segments/unbalanced_train_segments_part<NN>/Y<id>.wav
        root/[audio/|wav/|clips/|video/...][<split>/]<name>.<any media suffix>               or flat folders

    A name is the YouTube id, with or without ``Y`` before it (so that no file begins with ``-``), and with or without
    ``_<start>`` or ``_<start>_<end>`` after it. A file is the 10 s segment itself, as every downloader cuts it: it is
    used from its beginning to its end. Sound is preferred to video.

    ``train`` is ``balanced`` and ``unbalanced`` together, or the one of them whose list is there (``note`` of the
    corpus says which). Of 22,160, 2,041,789 and 20,371 segments of ``balanced``, ``unbalanced`` and ``eval`` some are
    gone from YouTube: those are counted in ``missing``. Classes: `labels/audioset527.csv`. Segments are columns,
    because there are two million.

    Args:
        root: The folder.
        split: ``train``, ``balanced``, ``unbalanced`` or ``eval``.

    Raises:
        DataError: A list is not there or does not hold together.
    """
    INFO.check_split(split)
    parts = PARTS.get(split, (split,))
    known = {part: first_file(root / place / f"{name}.csv" for place in LISTS) for part, name in NAMES.items()}
    lists = {part: path for part, path in known.items() if path is not None and part in parts}
    if not any(known.values()):
        raise INFO.not_found(root)
    if not lists:
        raise DataError(f"{root}: holds no {NAMES[parts[0]]}.csv, the list of {split}: get it from {INFO.homepage}")
    note = f"{split} is {' and '.join(lists)}" if len(parts) > 1 else ""
    return gathered(split, tuple(lists.values()), listing(root, lists), root, note=note)


def listing(root: Path, parts: Iterable[str]) -> Iterator[tuple[Path, list[bytes]]]:
    """The folders that may hold media of some parts, and the names in each.

    Args:
        root: The folder of the data set.
        parts: ``balanced``, ``unbalanced``, ``eval``.
    """
    within = dict.fromkeys(("", *(name for part in parts for name in WITHIN[part])))
    for folder in (root / top / name for top in FOLDERS for name in within):
        if folder.is_dir():
            yield folder, listed(folder)
            for part in _numbered(folder) if folder.name.startswith("unbalanced") else ():
                yield part, listed(part)


def _numbered(folder: Path) -> list[Path]:
    """The folders of PANNs' that hold a part of the unbalanced segments each."""
    with os.scandir(folder) as entries:
        return sorted(folder / each.name for each in entries if each.name.startswith("unbalanced") and each.is_dir())


def gathered(split: str, lists: Sequence[Path], media: Listing, root: Path, *, note: str = "") -> Corpus:
    """Make a corpus of lists and of what is on disk.

    Args:
        split: Its name.
        lists: Read one after the other; what an earlier one has is not taken again.
        media: Earlier folders are preferred.
        root: Where missing files are said to be wanted.
        note: As in `Corpus`.

    Raises:
        DataError: A list does not hold together.
    """
    ids, targets, ends = _listed(lists)
    if not len(ids):
        raise DataError(f"{lists[0]}: lists no segment: take it from {INFO.homepage}")
    first = np.sort(np.unique(ids, return_index=True)[1])
    duplicates = [os.fsdecode(bytes(id)) for id in np.delete(ids, first)]
    ids, (targets, ends) = ids[first], some_runs(targets, ends, first)
    folders, folder, files = matched(ids, media, _parts)
    there = folder >= 0
    rows = Columns(
        ids=ids,
        files=np.where(there, files, np.char.add(ids, b".wav")),
        folders=(*folders, root / "audios"),
        folder=np.where(there, folder, len(folders)).astype(np.uint16),
        labels="label",
        classes=len(labels.names("audioset527")),
        targets=targets,
        offsets=ends,
    )
    twice = tuple(Failure(id=id, path=root / "audios" / f"{id}.wav", reason="listed twice") for id in duplicates)
    return Corpus(
        name=INFO.name,
        split=split,
        segments=rows.take(there),
        classes={"label": labels.names("audioset527")},
        missing=joined(Made(rows.take(~there), gone), twice),
        note=note,
    )


def _listed(lists: Sequence[Path]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ids, the classes of all one after the other, and where those of each begin and end."""
    ids, targets, ends = bytearray(), array("H"), array("q", [0])
    for path in lists:
        for id, classes in _rows(path):
            ids += id.encode()
            targets.extend(classes)
            ends.append(len(targets))
    return np.frombuffer(ids, f"S{ID_BYTES}"), np.frombuffer(targets, np.uint16), np.frombuffer(ends, np.int64)


def _rows(path: Path) -> Iterator[tuple[str, list[int]]]:
    """Id and classes of each row that is no remark."""
    known = {row["mid"]: index for index, row in enumerate(labels.table("audioset527"))}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, skipinitialspace=True)
            for row in reader:
                if not row or row[0][:2] in REMARKS:
                    continue
                try:
                    id, start, stop, mids = row
                    classes = [known[mid] for mid in mids.split(",")]
                    if ID.fullmatch(id) is None or not 0 <= float(start) < float(stop):
                        raise ValueError
                except (ValueError, KeyError):
                    raise _complaint(f"{path}: row {reader.line_num}", row, known) from None
                yield id, classes
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a csv file in UTF-8 ({error}): take it from {INFO.homepage}") from error


def _complaint(where: str, row: list[str], known: Mapping[str, int]) -> DataError:
    """What is wrong with a row."""
    if row[0].lower() in ("ytid", "video_id", "youtube_id", "id"):
        wrong = "is a header; the official list has only lines with # before its rows"
    elif len(row) != 4:
        wrong = f"has {len(row)} columns, not 4: its labels are to stand between quotation marks, as one"
    elif ID.fullmatch(row[0]) is None:
        wrong = (
            f"names '{row[0]}', which is no YouTube id of 11 characters: a spreadsheet changes ids that begin with -"
        )
    elif strange := [mid for mid in row[3].split(",") if mid not in known]:
        wrong = f"has the label '{strange[0]}', none of the 527, which look like /m/09x0r: a spreadsheet changes quotes"
    else:
        wrong = f"goes from '{row[1]}' to '{row[2]}', which are no seconds one after the other"
    return DataError(f"{where}: '{','.join(row)[:60]}' {wrong}: take the list of {INFO.homepage}")


def _parts(names: Sequence[bytes]) -> tuple[list[bytes], list[bytes]]:
    found = [NAME.fullmatch(name) for name in names]
    return [each[1] if each else b"" for each in found], [each[2] if each else b"" for each in found]
