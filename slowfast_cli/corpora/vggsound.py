"""VGG-Sound: 10 s clips from YouTube, 309 classes."""

from __future__ import annotations

import os
import time
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from slowfast_cli.corpora import labels
from slowfast_cli.corpora.dataset_info import DatasetInfo
from slowfast_cli.corpora.items import gone
from slowfast_cli.corpora.lists import row_pieces, rows
from slowfast_cli.corpora.media_files import first_file, listed, matched
from slowfast_cli.corpora.segments import Columns, Made, joined
from slowfast_cli.types import Corpus, DataError, Failure

INFO = DatasetInfo(
    name="vggsound",
    task="sound events, one label a clip",
    classes="309",
    splits=("train", "test"),
    files=("vggsound.csv (or train.csv and test.csv)", "<youtube id>_<start, 6 digits>.{wav,flac,mp3,mp4,...}"),
    homepage="https://github.com/hche11/VGGSound",
    license="annotations CC BY 4.0; clips belong to their uploaders",
)
MEDIA_FOLDERS = ("", "audio", "wav", "wavs", "clips", "video", "videos", "train", "test", "data")
WHOLE = ("id", "start", "label", "split")  # columns of vggsound.csv
PART = ("file", "label")  # and of the older lists
SETTLED = 2 * 10**9  # nanoseconds


@dataclass(frozen=True, kw_only=True, eq=False)
class _Clips:
    """What a list says, N rows.

    Attributes:
        names: Of the clips, (N,) bytes.
        targets: Their classes, (N,).
        splits: That the list is about.
        split: Which of them each clip is in, (N,).
    """

    names: np.ndarray
    targets: np.ndarray
    splits: tuple[str, ...]
    split: np.ndarray


def read(root: Path, split: str) -> Corpus:
    """Read a split of VGG-Sound.

    On disk::

        root/vggsound.csv                     id,start second,label,split; no header; from the official repository
        root/{train,test}.csv                 or these: file name,label
        root/[audio/|video/|clips/|train/...]<id>_<start, 6 digits>.<any media suffix>

    The lists may also stand in ``data/`` or ``annotations/``, as in the official repository. `vggsound.csv` is
    preferred: it holds 199,467 rows, `train.csv` and `test.csv` together 291 fewer. About a fifth of the clips are gone
    from YouTube: those are counted in ``missing``, never replaced. Segments are columns.

    Args:
        root: The folder.
        split: ``train`` or ``test``.

    Raises:
        DataError: The lists are not there, or name a class that VGG-Sound does not have.
    """
    INFO.check_split(split)
    places = [root, root / "data", root / "annotations"]
    whole = first_file(place / "vggsound.csv" for place in places)
    part = first_file(place / f"{split}.csv" for place in places)
    if whole is None and part is None:
        raise INFO.not_found(root)
    folders = _folders(root, ("train", "test") if whole else (split,))
    if whole is None:
        return _corpora(root, _part(part or root, split), folders)[split]
    seen = [(path.stat().st_mtime_ns, path.stat().st_size) for path in (whole, *folders)]
    # What changed within a tick of the clock after it was read would show the same time.
    settled = time.time_ns() - max(changed for changed, _ in seen) > SETTLED
    return (_both if settled else _both.__wrapped__)(root, whole, folders, tuple(seen))[split]


@lru_cache(maxsize=1)
def _both(root: Path, whole: Path, folders: tuple[Path, ...], seen: tuple[tuple[int, int], ...]) -> dict[str, Corpus]:
    """Both splits: a training reads one after the other, and they are in one list and the same folders."""
    return _corpora(root, _whole(whole), folders)


def _corpora(root: Path, clips: _Clips, folders: tuple[Path, ...]) -> dict[str, Corpus]:
    known, place = np.unique(_padded(clips.names.tolist()), return_inverse=True)
    _, folder, files = matched(known, ((each, listed(each)) for each in folders), _parts)
    found = {}
    for number, split in enumerate(clips.splits):
        mine = np.flatnonzero(clips.split == number)
        first = np.sort(np.unique(place[mine], return_index=True)[1])
        duplicates, mine = np.delete(mine, first), mine[first]
        file, there = place[mine], folder[place[mine]] >= 0
        rows = Columns(
            ids=clips.names[mine],
            files=np.where(there, files[file], np.char.add(clips.names[mine], b".mp4")),
            folders=(*folders, root),
            folder=np.where(there, folder[file], len(folders)).astype(np.uint16),
            labels="label",
            classes=len(labels.names("vggsound")),
            targets=clips.targets[mine],
        )
        twice = map(os.fsdecode, clips.names[duplicates].tolist())
        found[split] = Corpus(
            name="vggsound",
            split=split,
            segments=rows.take(there),
            classes={"label": labels.names("vggsound")},
            missing=joined(
                Made(rows.take(~there), gone),
                tuple(Failure(id=name, path=root / f"{name}.mp4", reason="listed twice") for name in twice),
            ),
        )
    return found


def _folders(root: Path, splits: Sequence[str]) -> tuple[Path, ...]:
    """Those that may hold clips."""
    within = (root / name / split for split in splits for name in MEDIA_FOLDERS[1:])
    return tuple(folder for folder in (*(root / name for name in MEDIA_FOLDERS), *within) if folder.is_dir())


def _padded(names: Sequence[bytes]) -> np.ndarray:
    """Names with the start second in 6 digits, as which files are looked for; some downloaders write fewer.

    >>> _padded([b"-0abc_30", b"-0abc_000030"]).tolist()
    [b'-0abc_000030', b'-0abc_000030']
    """
    return np.array(
        [name if name[-7:-6] == b"_" and name[-6:].isdigit() else _six(name) for name in names], dtype=bytes
    )


def _six(name: bytes) -> bytes:
    id, line, start = name.rpartition(b"_")
    return b"%b_%b" % (id, start.rjust(6, b"0")) if line and start.isdigit() else name


def _parts(names: Sequence[bytes]) -> tuple[Sequence[bytes], Sequence[bytes]]:
    dots = [name.rfind(b".") for name in names]  # numbers, not tuples, which Python would search for garbage
    stems = [name[: max(dot, 0)] for name, dot in zip(names, dots, strict=True)]
    return _padded(stems).tolist(), [name[dot:] for name, dot in zip(names, dots, strict=True)]


def _whole(path: Path) -> _Clips:
    names, targets, tested = list[bytes](), array("H"), bytearray()
    known, kinds = labels.indices("vggsound"), {"train": 0, "test": 1}
    for ids, starts, named, splits in row_pieces(path, WHOLE):
        if not (set(splits) <= kinds.keys() and set(named) <= known.keys() and all(map(str.isdecimal, starts))):
            raise _complaint(path, WHOLE)
        names += [f"{id}_{int(start):06d}".encode() for id, start in zip(ids, starts, strict=True)]
        targets.extend(map(known.__getitem__, named))
        tested.extend(map(kinds.__getitem__, splits))
    return _Clips(
        names=np.array(names, dtype=bytes),
        targets=np.array(targets, np.uint16),
        splits=tuple(kinds),
        split=np.array(tested, np.uint8),
    )


def _part(path: Path, split: str) -> _Clips:
    names, targets = list[bytes](), array("H")
    known = labels.indices("vggsound")
    for files, named in row_pieces(path, PART):
        if not set(named) <= known.keys():
            raise _complaint(path, PART)
        names += [file.removesuffix(".mp4").encode() for file in files]
        targets.extend(map(known.__getitem__, named))
    return _Clips(
        names=np.array(names, dtype=bytes),
        targets=np.array(targets, np.uint16),
        splits=(split,),
        split=np.zeros(len(names), np.uint8),
    )


def _complaint(path: Path, columns: Sequence[str]) -> DataError:
    """What is wrong with the first row that is."""
    known = labels.indices("vggsound")
    for number, row in rows(path, columns):
        where = f"{path}: row {number}"
        if row.get("split", "train") not in ("train", "test"):
            return DataError(f"{where}: split '{row['split']}' is neither train nor test: take the official list")
        if not row.get("start", "0").isdecimal():
            return DataError(f"{where}: start '{row['start']}' is no number of seconds: take the official list")
        if row["label"] not in known:
            return DataError(f"{where}: '{row['label']}' is none of the 309 classes: take the list of {INFO.homepage}")
    return DataError(f"{path}: changed while it was read: run the same command again")
