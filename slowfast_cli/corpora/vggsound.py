"""VGG-Sound: 10 s clips from YouTube, 309 classes."""

import os
import time
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from slowfast_cli.corpora import labels
from slowfast_cli.corpora.dataset_info import DATASETS
from slowfast_cli.corpora.items import missing_file
from slowfast_cli.corpora.lists import column_chunks, rows
from slowfast_cli.corpora.media_files import file_names, first_file, match_files
from slowfast_cli.corpora.segments import FileColumns, LazyMap, Segments, concat
from slowfast_cli.types import Corpus, DataError, Failure

INFO = DATASETS["vggsound"]
MEDIA_FOLDERS = ("", "audio", "wav", "wavs", "clips", "video", "videos", "train", "test", "data")
FULL_COLUMNS = ("id", "start", "label", "split")  # of vggsound.csv
SPLIT_COLUMNS = ("file", "label")  # of train.csv and test.csv
SETTLED = 2 * 10**9  # ns without a change before the result is cached


@dataclass(frozen=True, kw_only=True, eq=False)
class _Clips:
    """The N rows of a list."""

    names: np.ndarray  # clip names, (N,) bytes
    targets: np.ndarray  # class indices, (N,)
    splits: tuple[str, ...]  # split names
    split: np.ndarray  # index into `splits`, (N,)


def read(root: Path, split: str) -> Corpus:
    """Read a split of VGG-Sound.

    On disk::

        root/vggsound.csv                     id,start second,label,split; no header; from the official repository
        root/{train,test}.csv                 or these: file name,label
        root/[audio/|video/|clips/|train/...]<id>_<start, 6 digits>.<any media suffix>

    The lists may also be in ``data/``, as in the official repository, or in ``annotations/``. `vggsound.csv` is
    preferred: it has 199,467 rows, `train.csv` and `test.csv` together 291 fewer. About a fifth of the clips are no
    longer on YouTube: they are counted in ``missing``, never replaced.
    """
    INFO.check_split(split)
    places = [root, root / "data", root / "annotations"]
    full_list = first_file(place / "vggsound.csv" for place in places)
    split_list = first_file(place / f"{split}.csv" for place in places)
    if full_list is None and split_list is None:
        raise INFO.not_found(root)
    folders = _folders(root, ("train", "test") if full_list else (split,))
    if full_list is None:
        return _corpora(root, _read_split_list(split_list or root, split), folders)[split]
    stats = [(path.stat().st_mtime_ns, path.stat().st_size) for path in (full_list, *folders)]
    # A change within a tick of the file system's clock after reading would leave the modification time unchanged.
    settled = time.time_ns() - max(modified for modified, _ in stats) > SETTLED
    return (_both_splits if settled else _both_splits.__wrapped__)(root, full_list, folders, tuple(stats))[split]


@lru_cache(maxsize=1)
def _both_splits(
    root: Path, full_list: Path, folders: tuple[Path, ...], stats: tuple[tuple[int, int], ...]
) -> dict[str, Corpus]:
    """Read both splits at once, because a training needs both; ``stats`` invalidates the cache."""
    return _corpora(root, _read_full_list(full_list), folders)


def _corpora(root: Path, clips: _Clips, folders: tuple[Path, ...]) -> dict[str, Corpus]:
    ids, place = np.unique(_padded(clips.names.tolist()), return_inverse=True)
    _, folder, files = match_files(ids, ((path, file_names(path)) for path in folders), _parse_names)
    corpora = {}
    for number, split in enumerate(clips.splits):
        rows_of_split = np.flatnonzero(clips.split == number)
        first = np.sort(np.unique(place[rows_of_split], return_index=True)[1])
        duplicates, selected = np.delete(rows_of_split, first), rows_of_split[first]
        names, file = clips.names[selected], place[selected]
        has_file = folder[file] >= 0
        columns = FileColumns(
            ids=names, files=np.where(has_file, files[file], np.char.add(names, b".mp4")), folders=(*folders, root),
            folder=np.where(has_file, folder[file], len(folders)).astype(np.uint16), labels="label",
            classes=len(labels.names("vggsound")), targets=clips.targets[selected],
        )  # fmt: skip
        segments = Segments(columns)
        repeated = map(os.fsdecode, clips.names[duplicates].tolist())
        corpora[split] = Corpus(
            name="vggsound",
            split=split,
            segments=segments.take(has_file),
            classes={"label": labels.names("vggsound")},
            missing=concat(
                LazyMap(segments.take(~has_file), missing_file),
                tuple(Failure(id=name, path=root / f"{name}.mp4", reason="listed twice") for name in repeated),
            ),
        )
    return corpora


def _folders(root: Path, splits: Sequence[str]) -> tuple[Path, ...]:
    """Existing folders that may contain clips."""
    within = (root / name / split for split in splits for name in MEDIA_FOLDERS[1:])
    return tuple(folder for folder in (*(root / name for name in MEDIA_FOLDERS), *within) if folder.is_dir())


def _padded(names: Sequence[bytes]) -> np.ndarray:
    """Pad the start second in clip names to 6 digits; some downloaders write fewer.

    >>> _padded([b"-0abc_30", b"-0abc_000030"]).tolist()
    [b'-0abc_000030', b'-0abc_000030']
    """
    return np.array(
        [name if name[-7:-6] == b"_" and name[-6:].isdigit() else _pad(name) for name in names], dtype=bytes
    )


def _pad(name: bytes) -> bytes:
    id, line, start = name.rpartition(b"_")
    return b"%b_%b" % (id, start.rjust(6, b"0")) if line and start.isdigit() else name


def _parse_names(names: Sequence[bytes]) -> tuple[Sequence[bytes], Sequence[bytes]]:
    dots = [name.rfind(b".") for name in names]  # integers, because the garbage collector would traverse tuples
    stems = [name[: max(dot, 0)] for name, dot in zip(names, dots, strict=True)]
    return _padded(stems).tolist(), [name[dot:] for name, dot in zip(names, dots, strict=True)]


def _read_full_list(path: Path) -> _Clips:
    names, targets, split = list[bytes](), array("H"), bytearray()
    class_index, split_index = labels.indices("vggsound"), {"train": 0, "test": 1}
    for ids, starts, class_names, splits in column_chunks(path, FULL_COLUMNS):
        valid = set(splits) <= split_index.keys() and set(class_names) <= class_index.keys()
        if not (valid and all(map(str.isdecimal, starts))):
            raise _row_error(path, FULL_COLUMNS)
        names += [f"{id}_{int(start):06d}".encode() for id, start in zip(ids, starts, strict=True)]
        targets.extend(map(class_index.__getitem__, class_names))
        split.extend(map(split_index.__getitem__, splits))
    return _Clips(
        names=np.array(names, dtype=bytes),
        targets=np.array(targets, np.uint16),
        splits=tuple(split_index),
        split=np.array(split, np.uint8),
    )


def _read_split_list(path: Path, split: str) -> _Clips:
    names, targets = list[bytes](), array("H")
    class_index = labels.indices("vggsound")
    for files, class_names in column_chunks(path, SPLIT_COLUMNS):
        if not set(class_names) <= class_index.keys():
            raise _row_error(path, SPLIT_COLUMNS)
        names += [file.removesuffix(".mp4").encode() for file in files]
        targets.extend(map(class_index.__getitem__, class_names))
    return _Clips(
        names=np.array(names, dtype=bytes),
        targets=np.array(targets, np.uint16),
        splits=(split,),
        split=np.zeros(len(names), np.uint8),
    )


def _row_error(path: Path, columns: Sequence[str]) -> DataError:
    """Return the error for the first invalid row of a list."""
    class_index = labels.indices("vggsound")
    for number, row in rows(path, columns):
        where = f"{path}: row {number}"
        if row.get("split", "train") not in ("train", "test"):
            return DataError(f"{where}: split '{row['split']}' is neither train nor test: take the official list")
        if not row.get("start", "0").isdecimal():
            return DataError(f"{where}: start '{row['start']}' is not a number of seconds: take the official list")
        if row["label"] not in class_index:
            return DataError(
                f"{where}: '{row['label']}' is not one of the 309 classes: take the list from {INFO.homepage}"
            )
    return DataError(f"{path}: changed while it was read: run the command again")
