"""AudioSet-strong: events with start and end in 10 s segments of AudioSet, 447 classes."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from slowfast_cli.corpora import audioset, labels
from slowfast_cli.corpora.dataset_info import DATASETS
from slowfast_cli.corpora.items import NOT_ON_DISK
from slowfast_cli.corpora.lists import rows
from slowfast_cli.corpora.media_files import match_files
from slowfast_cli.types import Corpus, DataError, Failure, Recording, Seconds, Segment, Span

INFO = DATASETS["audioset-strong"]
PLACES = (*audioset.LISTS, "strong")
NAMES = {"train": "audioset_train_strong.tsv", "eval": "audioset_eval_strong.tsv"}
PARTS = {"train": ("balanced", "unbalanced"), "eval": ("eval",)}  # of AudioSet, in which the segments lie
COLUMNS = ("segment_id", "start_time_seconds", "end_time_seconds", "label")
SEGMENT_ID = re.compile(r"([\w-]{11})_\d+", re.ASCII)
AMBIGUOUS = "two segments of this video are listed, and file names do not say which one a file is"


@dataclass(frozen=True, kw_only=True)
class _Events:
    """The events of a list."""

    of_segment: dict[str, list[Span]] = field(default_factory=dict)  # in list order; empty if none can be used
    left_out: Counter[str] = field(default_factory=Counter)  # events that are not used, by reason


def read(root: Path, split: str) -> Corpus:
    """Read a split of AudioSet's temporally-strong labels (Hershey et al., ICASSP 2021).

    On disk, the media as for AudioSet, see `slowfast_cli.corpora.audioset`::

        root/[metadata/|annotations/|strong/...]audioset_{train,eval}_strong.tsv
        root/audios/{balanced_train_segments,unbalanced_train_segments/...,eval_segments}/Y<id>.wav
        root/[audio/|wav/|clips/|video/...][<split>/][Y]<id>[_<start>[_<end>]].<any media suffix>

    Columns: ``segment_id`` (YouTube id, underscore, start in milliseconds), ``start_time_seconds`` and
    ``end_time_seconds`` from the start of the segment, ``label`` (a MID). A file contains only the 10 s segment.

    A segment is a whole file; its target is every class in it, with their times in ``spans``. The classes are the 447
    of train, sorted by name (`labels/audioset_strong447.csv`). Events of the 9 classes that only eval has, and events
    that do not end after they start, are left out, and counted in ``note``; a segment without another one is audio
    without events. Segments without a file are counted in ``missing``.
    """
    INFO.check_split(split)
    path = INFO.find_list(root, PLACES, NAMES[split])
    events = _read_list(path)
    if not events.of_segment:
        raise DataError(f"{path}: contains no event: take it from {INFO.homepage}")
    files = _files(root, split, events)
    videos = Counter(id[: audioset.ID_BYTES] for id in events.of_segment)
    segments: list[Segment] = []
    missing: list[Failure] = []
    for id, spans in events.of_segment.items():
        video = id[: audioset.ID_BYTES]
        file = files.get(video)
        if file is None or videos[video] > 1:
            reason = NOT_ON_DISK if file is None else AMBIGUOUS
            missing.append(Failure(id=id, path=file or root / "audios" / f"Y{video}.wav", reason=reason))
            continue
        target = tuple(sorted({span.index for span in spans}))
        recording = Recording(id=id, path=file)
        segments.append(Segment(id=id, recording=recording, targets={"label": target}, group=video, spans=tuple(spans)))
    return Corpus(
        name=INFO.name, split=split, segments=tuple(segments), classes={"label": labels.names("audioset_strong447")},
        missing=tuple(missing), note="; ".join(f"{reason}: {count:,}" for reason, count in events.left_out.items()),
    )  # fmt: skip


def _files(root: Path, split: str, events: _Events) -> dict[str, Path]:
    """The file of each video that has one, by YouTube id."""
    ids = np.array(sorted({id[: audioset.ID_BYTES] for id in events.of_segment}), f"S{audioset.ID_BYTES}")
    folders, folder, names = match_files(ids, audioset.list_folders(root, PARTS[split]), audioset.parse_names)
    found = zip(ids.tolist(), folder.tolist(), names.tolist(), strict=True)
    return {
        id.decode(): folders[place] / name.decode(errors="surrogateescape") for id, place, name in found if place >= 0
    }


def _read_list(path: Path) -> _Events:
    index_of = {row["mid"]: int(row["index"]) for row in labels.table("audioset_strong447")}
    eval_only = {row["mid"] for row in labels.table("audioset_strong_eval_only")}
    events = _Events()
    for id, mid, start, stop in _rows(path):
        spans = events.of_segment.setdefault(id, [])
        if mid in eval_only:
            events.left_out["events left out, of classes that train does not have"] += 1
        elif mid not in index_of:
            raise DataError(
                f"{path}: {id}: label '{mid}' is not one of the {len(index_of) + len(eval_only)} such as /m/09x0r: "
                f"take the list from {INFO.homepage}"
            )
        elif stop <= start:
            events.left_out["events left out, as they do not end after they start"] += 1
        else:
            spans.append(Span(labels="label", index=index_of[mid], start=start, stop=stop))
    return events


def _rows(path: Path) -> Iterator[tuple[str, str, Seconds, Seconds]]:
    """Yield the segment, label, start and end of each row."""
    for number, row in rows(path, delimiter="\t"):
        if tuple(row) != COLUMNS:
            raise DataError(
                f"{path}: the columns are {', '.join(row)}, expected {', '.join(COLUMNS)}, separated by tabs: take it "
                f"from {INFO.homepage}"
            )
        id, start, stop, mid = row.values()
        if SEGMENT_ID.fullmatch(id) is None:
            raise DataError(
                f"{path}: row {number}: segment_id '{id}' is not a YouTube id of 11 characters, _ and milliseconds: "
                f"take the list from {INFO.homepage}"
            )
        try:
            times = float(start), float(stop)
        except ValueError:
            times = -1.0, -1.0
        if not all(0 <= time < float("inf") for time in times):
            raise DataError(
                f"{path}: row {number}: event from '{start}' to '{stop}', expected seconds: take the list from "
                f"{INFO.homepage}"
            )
        yield id, mid, *times
