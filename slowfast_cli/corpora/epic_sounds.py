"""EPIC-SOUNDS: sounds of actions in the recordings of EPIC-KITCHENS-100, 44 classes."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from slowfast_cli.corpora import labels
from slowfast_cli.corpora.dataset_info import DATASETS
from slowfast_cli.corpora.epic_layout import HDF5_RATE, audio_recordings, official_place, read_segments, require_rows
from slowfast_cli.corpora.items import NOT_ON_DISK
from slowfast_cli.corpora.lists import check_unique, parse_time, rows
from slowfast_cli.corpora.media_files import first_file
from slowfast_cli.corpora.pickled_table import pickled_rows
from slowfast_cli.types import Corpus, DataError, Failure, Recording, Segment

INFO = DATASETS["epic-sounds"]
LISTS = ("", "annotations", "epic-sounds-annotations")
DETECTION_TEST = "detection-test"
NAMES = {
    "train": ("EPIC_Sounds_train",),
    "validation": ("EPIC_Sounds_validation",),
    "trainval": ("EPIC_Sounds_train", "EPIC_Sounds_validation"),
    "test": ("EPIC_Sounds_recognition_test_timestamps",),
    "not-categorised": ("sound_events_not_categorised",),
    DETECTION_TEST: ("EPIC_Sounds_detection_test_videos",),
}
LABELED, CLASS_COLUMNS = ("train", "validation", "trainval"), ("class", "class_id")


def read(root: Path, split: str) -> Corpus:
    """Read a split of EPIC-SOUNDS.

    On disk::

        root/[annotations/|epic-sounds-annotations/]EPIC_Sounds_{train,validation,recognition_test_timestamps}.{csv,pkl}
        root/[annotations/|epic-sounds-annotations/]sound_events_not_categorised.{csv,pkl}
        root/[annotations/|epic-sounds-annotations/]EPIC_Sounds_detection_test_videos.csv
        root/[audio/]EPIC_audio.hdf5          sound as in EPIC-KITCHENS-100, see `slowfast_cli.corpora.epic`

    The lists are those of the official annotation repository; csv is preferred to pickle. ``trainval`` is train and
    validation, for a submission. ``test`` has no labels, nor has ``not-categorised``: events of no class, which are
    no negatives either. ``detection-test`` lists whole videos. Segments overlap. ``group`` is the participant, the
    subset ``unseen`` has the participants of EPIC-KITCHENS-100 that are not in train.

    Times are the timestamps. The columns of samples at 24 kHz were truncated, so they equal the timestamps or are one
    lower; lists in which they differ by more are of the first release, with errors, and are refused.
    """
    return _read(root, split, audio_recordings(root))


def read_listed(root: Path, split: str) -> Corpus:
    """Read a split as `read` does, with all listed videos, whether their sound is on disk or not.

    It is what a result file is scored by, and needs the lists alone.
    """
    return _read(root, split, None)


def _read(root: Path, split: str, recordings: Mapping[str, Recording] | None) -> Corpus:
    INFO.check_split(split)
    classes = {"label": labels.names("epic_sounds44")}
    segments: tuple[Segment, ...] = ()
    missing: tuple[Failure, ...] = ()
    for name in NAMES[split]:
        path = first_file(root / place / f"{name}.{suffix}" for suffix in ("csv", "pkl") for place in LISTS)
        if path is None:
            raise INFO.not_found(root)
        if split == DETECTION_TEST:
            usable, lost = _whole_videos(path, recordings, root)
        else:
            table = list(_rows(path, classes["label"]))
            on_disk = _expected(table, root) if recordings is None else recordings
            usable, lost = read_segments(
                path, table, on_disk, root, classes, key="annotation_id", homepage=INFO.homepage,
                required=CLASS_COLUMNS if split in LABELED else (),
            )  # fmt: skip
        segments, missing = segments + usable, missing + lost
    unseen = frozenset(segment.id for segment in segments if segment.group in labels.unseen(split))
    return Corpus(
        name="epic-sounds", split=split, segments=segments, classes=classes, missing=missing,
        subsets={"unseen": unseen} if split in ("validation", "test") else {}, class_mean=True,
    )  # fmt: skip


def _whole_videos(
    path: Path, recordings: Mapping[str, Recording] | None, root: Path
) -> tuple[tuple[Segment, ...], tuple[Failure, ...]]:
    """The videos of a list without times."""
    items: list[Segment | Failure] = []
    for number, row in rows(path):
        video = row.get("video_id", "")
        if not video:
            raise DataError(f"{path}: row {number}: no video_id: take the list from {INFO.homepage}")
        group = video.partition("_")[0]
        usual = Recording(id=video, path=official_place(root, group, video))
        recording = usual if recordings is None else recordings.get(video)
        if recording is None:
            items.append(Failure(id=video, path=usual.path, reason=NOT_ON_DISK))
        else:
            items.append(Segment(id=video, recording=recording, group=group))
    require_rows(path, items, INFO.homepage)
    check_unique(path, (item.id for item in items))
    segments = tuple(item for item in items if isinstance(item, Segment))
    return segments, tuple(item for item in items if isinstance(item, Failure))


def _expected(table: Iterable[tuple[int, Mapping[str, str]]], root: Path) -> dict[str, Recording]:
    """The recordings of a list, where the official downloader stores them."""
    videos = {row.get("video_id", ""): row.get("participant_id", "") for _, row in table}
    return {id_: Recording(id=id_, path=official_place(root, group, id_)) for id_, group in videos.items()}


def _rows(path: Path, names: tuple[str, ...]) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Yield the rows of a list, checked, with the class index as the column ``label_class`` if they have one."""
    for number, row in (pickled_rows if path.suffix == ".pkl" else rows)(path):
        _check(row, names, f"{path}: row {number}")
        yield number, {**row, "label_class": row["class_id"]} if "class_id" in row else row


def _check(row: Mapping[str, str], names: tuple[str, ...], where: str) -> None:
    """Raise `DataError` if the samples contradict the timestamps, or the name of the class its index."""
    for side in ("start", "stop"):
        time, sample = row.get(f"{side}_timestamp", ""), row.get(f"{side}_sample", "")
        exact = round(parse_time(time, where) * HDF5_RATE)
        if not sample.isdecimal() or abs(int(sample) - exact) > 1:
            raise DataError(
                f"{where}: {side}_sample {sample or 'is missing'}, expected {exact} for {time} at 24 kHz: the first "
                f"release has wrong samples: take the current list from {INFO.homepage}"
            )
    index = row.get("class_id", "")
    if "class" in row and index.isdecimal() and int(index) < len(names) and names[int(index)] != row["class"]:
        raise DataError(
            f"{where}: class_id {index} is '{names[int(index)]}', not '{row['class']}': take the list from "
            f"{INFO.homepage}"
        )
