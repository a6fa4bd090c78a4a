"""Media layout and annotation lists shared by EPIC-KITCHENS-55, EPIC-KITCHENS-100 and EPIC-SOUNDS."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import h5py

from slowfast_cli.corpora.items import NOT_ON_DISK
from slowfast_cli.corpora.lists import check_unique, parse_time
from slowfast_cli.corpora.media_files import first_file, media_index, subfolders
from slowfast_cli.types import AUDIO_SUFFIXES, VIDEO_SUFFIXES, DataError, Failure, Recording, Segment

HDF5_RATE = 24000  # Hz, of the published EPIC_audio.hdf5 (ASF Sec. 4.2)
AUDIO_FOLDERS = ("", "audio", "wav", "wavs", "videos", "EPIC-KITCHENS")
FRAMES = "rgb_frames"  # folder of a participant's frames
RATE_OF_2018, RATE_OF_2020 = 60.0, 50.0  # released frames per second, of videos numbered by two and by three digits
PACKED = "its frames are still packed: unpack the tar file into a folder of its name"
TREES = ("", "EPIC-KITCHENS", "videos", "videos/train", "videos/test")  # 2018: videos/{train,test}/<Pxx>/<video id>.MP4


def audio_recordings(root: Path) -> dict[str, Recording]:
    """Audio by video id; HDF5 samples are preferred to audio files, and those to videos."""
    recordings = {id: Recording(id=id, path=path) for id, path in media_index(_folders(root)).items()}
    packed = first_file(root / place / f"EPIC_audio.{suffix}" for place in AUDIO_FOLDERS for suffix in ("hdf5", "h5"))
    if packed is not None:
        try:
            with h5py.File(packed, "r", locking=False) as file:
                recordings |= {id: Recording(id=id, path=packed, dataset=id, rate=HDF5_RATE) for id in file}
        except OSError as error:
            raise DataError(f"{packed}: not a readable HDF5 file ({error}): fetch it again or remove it") from error
    return recordings


def video_recordings(root: Path) -> dict[str, Recording]:
    """Videos by video id, with audio from an audio file if there is one; `audio_recordings` for ids without a video."""
    folders = _folders(root)
    audio = media_index(folders, AUDIO_SUFFIXES)
    videos = media_index(folders, VIDEO_SUFFIXES)
    recordings = audio_recordings(root)
    return recordings | {id: Recording(id=id, path=path, sound=audio.get(id)) for id, path in videos.items()}


def all_recordings(root: Path) -> dict[str, Recording]:
    """Frames by video id, else the video, else audio only; with the audio of `audio_recordings`, if there is any."""
    audio = audio_recordings(root)
    recordings = {id: Recording(id=id, path=path) for id, path in media_index(_folders(root), VIDEO_SUFFIXES).items()}
    for folder in _frame_folders(root):
        for frames in subfolders(folder):
            recordings[frames.name] = Recording(id=frames.name, path=frames, fps=frame_rate(frames.name))
    return audio | {id: _with_sound(recording, audio.get(id)) for id, recording in recordings.items()}


def frame_rate(video: str) -> float:
    """Released frames per second of a video, by its id: those of 2018 have two digits, the extension three.

    >>> frame_rate("P01_01"), frame_rate("P01_101")
    (60.0, 50.0)
    """
    return RATE_OF_2020 if len(video.partition("_")[2]) > 2 else RATE_OF_2018


def packed_frames(root: Path) -> frozenset[str]:
    """Ids of the videos whose frames are in tar files, as downloaded."""
    return frozenset(path.stem for folder in _frame_folders(root) for path in folder.glob("*.tar"))


def _frame_folders(root: Path) -> list[Path]:
    return [folder / FRAMES for folder in _folders(root) if (folder / FRAMES).is_dir()]


def _with_sound(recording: Recording, audio: Recording | None) -> Recording:
    if audio is None or audio.path == recording.path:
        return recording
    return replace(recording, sound=audio.path, dataset=audio.dataset, rate=audio.rate)


def _folders(root: Path) -> list[Path]:
    """Folders that may contain media: those of the data set and of its participants."""
    folders = [root / name for name in AUDIO_FOLDERS]
    for place in (root / tree for tree in TREES):
        for participant in subfolders(place) if place.is_dir() else ():
            if participant.name[:1] == "P" and participant.name[1:].isdecimal():
                folders += [participant, participant / "audio", participant / "videos"]
    return folders


def official_place(root: Path, participant: str, video: str) -> Path:
    """Where the official downloader stores a video."""
    return root / participant / "videos" / f"{video}.MP4"


def read_segments(
    path: Path,
    table: Iterable[tuple[int, Mapping[str, str]]],
    recordings: Mapping[str, Recording],
    root: Path,
    classes: Mapping[str, tuple[str, ...]],
    *,
    key: str,
    homepage: str,
    required: Sequence[str] = (),
) -> tuple[tuple[Segment, ...], tuple[Failure, ...]]:
    """Read the segments of an annotation list, and the failures for those that cannot be used.

    Args:
        path: The list, for the error messages.
        table: Its row numbers and rows; class indices are in the columns ``<label set>_class``.
        recordings: By video id.
        root: Data set folder, for the paths of missing files.
        classes: Class names of the label sets.
        key: Name of the id column.
        homepage: Source of the list, for the error messages.
        required: Columns of a split with labels, which would otherwise be read as one without.

    Raises:
        DataError: There is no row, a column is missing, or a row is invalid.
    """
    items: list[Segment | Failure] = []
    for number, row in table:
        if lacking := [column for column in required if column not in row]:
            raise DataError(
                f"{path}: no column {', '.join(lacking)}: the split has labels, and they are there: take the list from "
                f"{homepage}"
            )
        where = f"{path}: row {number}"
        items.append(_segment(row, recordings, root, classes, key=key, where=where, homepage=homepage))
    require_rows(path, items, homepage)
    check_unique(path, (item.id for item in items))
    segments = tuple(item for item in items if isinstance(item, Segment))
    return segments, tuple(item for item in items if isinstance(item, Failure))


def require_rows(path: Path, items: Sequence[object], homepage: str) -> None:
    """Raise `DataError` for a list without rows."""
    if not items:
        raise DataError(f"{path}: no row of the split, only a header or nothing: take the list from {homepage}")


def _segment(
    row: Mapping[str, str],
    recordings: Mapping[str, Recording],
    root: Path,
    classes: Mapping[str, tuple[str, ...]],
    *,
    key: str,
    where: str,
    homepage: str,
) -> Segment | Failure:
    try:
        id, video, group = row[key], row["video_id"], row["participant_id"]
        start, stop = parse_time(row["start_timestamp"], where), parse_time(row["stop_timestamp"], where)
        targets = {name: int(row[f"{name}_class"]) for name in classes if f"{name}_class" in row}
    except (KeyError, ValueError) as error:
        raise DataError(f"{where}: missing or invalid column: {error}: take the csv files from {homepage}") from error
    for name, index in targets.items():
        if not 0 <= index < len(classes[name]):
            raise DataError(
                f"{where}: {name}_class {index}, expected 0 to {len(classes[name]) - 1}: take it from {homepage}"
            )
    recording = recordings.get(video)
    if recording is None:
        return Failure(id=id, path=official_place(root, group, video), reason=NOT_ON_DISK)
    if stop <= start:
        return Failure(id=id, path=recording.path, reason=f"it starts at {start} s and stops at {stop} s")
    return Segment(id=id, recording=recording, start=start, stop=stop, targets=targets, group=group)
