"""AudioSet: 10 s segments of YouTube videos, 527 sound events, several per segment."""

import csv
import os
import re
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from slowfast_cli.corpora import labels
from slowfast_cli.corpora.dataset_info import DATASETS
from slowfast_cli.corpora.items import missing_file
from slowfast_cli.corpora.media_files import FolderListing, file_names, first_file, match_files
from slowfast_cli.corpora.segments import FileColumns, LazyMap, Segments, concat, select_runs
from slowfast_cli.types import AbsentError, Corpus, DataError, Failure

INFO = DATASETS["audioset"]
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
COMMENTS = ("#", "# ")  # first characters; #NAME? is an id that a spreadsheet took for a formula


def read(root: Path, split: str) -> Corpus:
    """Read a split of AudioSet.

    On disk::

        root/[metadata/|annotations/]{balanced_train,unbalanced_train,eval}_segments.csv     the official lists
        root/audios/{balanced_train_segments,eval_segments}/Y<id>.wav                        layout of PANNs
        root/audios/unbalanced_train_segments/unbalanced_train_segments_part<NN>/Y<id>.wav
        root/[audio/|wav/|clips/|video/...][<split>/]<name>.<any media suffix>               or flat folders

    A name is the YouTube id, optionally prefixed with ``Y`` (so that no file name begins with ``-``) and followed by
    ``_<start>`` or ``_<start>_<end>``. A file contains only the 10 s segment, as every downloader cuts it. Audio is
    preferred to video.

    ``train`` is ``balanced`` and ``unbalanced`` together, or the one of them whose list is found (``note`` of the
    corpus says which). Some of the 22,160, 2,041,789 and 20,371 segments of ``balanced``, ``unbalanced`` and ``eval``
    are no longer on YouTube: they are counted in ``missing``. Classes: `labels/audioset527.csv`.
    """
    INFO.check_split(split)
    parts = PARTS.get(split, (split,))
    list_paths = {part: first_file(root / place / f"{name}.csv" for place in LISTS) for part, name in NAMES.items()}
    lists = {part: path for part, path in list_paths.items() if path is not None and part in parts}
    if not any(list_paths.values()):
        raise INFO.not_found(root)
    if not lists:
        raise AbsentError(f"{root}: {NAMES[parts[0]]}.csv, the list of {split}, not found: get it from {INFO.homepage}")
    note = f"{split} is {' and '.join(lists)}" if len(parts) > 1 else ""
    return build_corpus(split, tuple(lists.values()), list_folders(root, lists), root, note=note)


def list_folders(root: Path, parts: Iterable[str]) -> Iterator[tuple[Path, list[bytes]]]:
    """Yield the folders that may contain media of the given parts (keys of `WITHIN`), with their files."""
    within = dict.fromkeys(("", *(name for part in parts for name in WITHIN[part])))
    for folder in (root / top / name for top in FOLDERS for name in within):
        if folder.is_dir():
            yield folder, file_names(folder)
            if folder.name.startswith("unbalanced"):  # PANNs divides it into numbered folders
                with os.scandir(folder) as entries:
                    names = sorted(e.name for e in entries if e.name.startswith("unbalanced") and e.is_dir())
                yield from ((folder / name, file_names(folder / name)) for name in names)


def build_corpus(split: str, lists: Sequence[Path], media: FolderListing, root: Path, *, note: str = "") -> Corpus:
    """Build a corpus from annotation lists and the files on disk.

    Args:
        split: Split name.
        lists: Read in order; a segment that occurs again is reported as a duplicate.
        media: Folders with their files; earlier folders are preferred.
        root: Data set folder, for the paths of missing files.
        note: As in `Corpus`.

    Raises:
        DataError: A row is invalid, or the lists are empty.
    """
    ids, targets, ends = _read_lists(lists)
    if not len(ids):
        raise DataError(f"{lists[0]}: contains no segment: take it from {INFO.homepage}")
    first = np.sort(np.unique(ids, return_index=True)[1])
    duplicates = [os.fsdecode(bytes(id)) for id in np.delete(ids, first)]
    ids, (targets, ends) = ids[first], select_runs(targets, ends, first)
    folders, folder, files = match_files(ids, media, parse_names)
    has_file = folder >= 0
    columns = FileColumns(
        ids=ids, files=np.where(has_file, files, np.char.add(ids, b".wav")), folders=(*folders, root / "audios"),
        folder=np.where(has_file, folder, len(folders)).astype(np.uint16), labels="label",
        classes=len(labels.names("audioset527")), targets=targets, offsets=ends,
    )  # fmt: skip
    segments = Segments(columns)
    repeated = tuple(Failure(id=id, path=root / "audios" / f"{id}.wav", reason="listed twice") for id in duplicates)
    return Corpus(
        name=INFO.name, split=split, segments=segments.take(has_file), classes={"label": labels.names("audioset527")},
        missing=concat(LazyMap(segments.take(~has_file), missing_file), repeated), note=note,
    )  # fmt: skip


def _read_lists(lists: Sequence[Path]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return N ids, their concatenated class indices, and the offsets of each id's classes, (N + 1,)."""
    ids, targets, ends = bytearray(), array("H"), array("q", [0])
    for path in lists:
        for id, classes in _rows(path):
            ids += id.encode()
            targets.extend(classes)
            ends.append(len(targets))
    return np.frombuffer(ids, f"S{ID_BYTES}"), np.frombuffer(targets, np.uint16), np.frombuffer(ends, np.int64)


def _rows(path: Path) -> Iterator[tuple[str, list[int]]]:
    """Yield the id and the classes of each row that is not a comment."""
    index_of = {row["mid"]: index for index, row in enumerate(labels.table("audioset527"))}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, skipinitialspace=True)
            for row in reader:
                if not row or row[0][:2] in COMMENTS:
                    continue
                try:
                    id, start, stop, mids = row
                    classes = [index_of[mid] for mid in mids.split(",")]
                    if ID.fullmatch(id) is None or not 0 <= float(start) < float(stop):
                        raise ValueError
                except (ValueError, KeyError):
                    raise _row_error(f"{path}: row {reader.line_num}", row, index_of) from None
                yield id, classes
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a csv file in UTF-8 ({error}): take it from {INFO.homepage}") from error


def _row_error(where: str, row: list[str], index_of: Mapping[str, int]) -> DataError:
    """Return the error for an invalid row."""
    if row[0].lower() in ("ytid", "video_id", "youtube_id", "id"):
        problem = "is a header; the official list has only comment lines (#) before its rows"
    elif len(row) != 4:
        problem = f"has {len(row)} columns, expected 4: the labels must be one quoted column"
    elif ID.fullmatch(row[0]) is None:
        problem = f"has the id '{row[0]}', not a YouTube id of 11 characters: spreadsheets change ids that begin with -"
    elif unknown := [mid for mid in row[3].split(",") if mid not in index_of]:
        problem = f"has the label '{unknown[0]}', not one of the 527 such as /m/09x0r: spreadsheets change quotes"
    else:
        problem = f"has start '{row[1]}' and end '{row[2]}'; expected seconds with start < end"
    return DataError(f"{where}: '{','.join(row)[:60]}' {problem}: take the list from {INFO.homepage}")


def parse_names(names: Sequence[bytes]) -> tuple[list[bytes], list[bytes]]:
    """Split file names into YouTube ids, empty for files that are not of AudioSet, and suffixes."""
    matches = [NAME.fullmatch(name) for name in names]
    return [match[1] if match else b"" for match in matches], [match[2] if match else b"" for match in matches]
