"""What EPIC-KITCHENS-55 and -100 share: where recordings lie, and the rows of their lists."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import h5py

from slowfast_cli.corpora.lists import refuse_twice, rows, seconds
from slowfast_cli.corpora.media_files import first_file, media_index, subfolders
from slowfast_cli.types import AUDIO_SUFFIXES, VIDEO_SUFFIXES, DataError, Failure, Recording, Segment

HDF5_RATE = 24000  # Hz, of the published EPIC_audio.hdf5 (ASF Sec. 4.2)
SOUND = ("", "audio", "wav", "wavs", "videos", "EPIC-KITCHENS")
TREES = ("", "EPIC-KITCHENS", "videos", "videos/train", "videos/test")  # 2018: videos/{train,test}/<Pxx>/<video id>.MP4


def recordings(root: Path) -> dict[str, Recording]:
    """Every video's sound by video id: packed samples before sound files before videos."""
    found = {id: Recording(id=id, path=path) for id, path in media_index(_folders(root)).items()}
    packed = first_file(root / place / f"EPIC_audio.{suffix}" for place in SOUND for suffix in ("hdf5", "h5"))
    if packed is not None:
        try:
            with h5py.File(packed, "r", locking=False) as file:
                found |= {id: Recording(id=id, path=packed, dataset=id, rate=HDF5_RATE) for id in file}
        except OSError as error:
            raise DataError(f"{packed}: not a readable HDF5 file ({error}): fetch it again or remove it") from error
    return found


def videos(root: Path) -> dict[str, Recording]:
    """Every video by video id, its sound from a sound file where there is one; `recordings` where there is no video."""
    folders = _folders(root)
    sounds = media_index(folders, AUDIO_SUFFIXES)
    seen = media_index(folders, VIDEO_SUFFIXES)
    return recordings(root) | {id: Recording(id=id, path=path, sound=sounds.get(id)) for id, path in seen.items()}


def _folders(root: Path) -> list[Path]:
    """Where media may lie: folders of the data set, and of its participants."""
    folders = [root / name for name in SOUND]
    for place in (root / tree for tree in TREES):
        for participant in subfolders(place) if place.is_dir() else ():
            if participant.name[:1] == "P" and participant.name[1:].isdecimal():
                folders += [participant, participant / "audio", participant / "videos"]
    return folders


def narrated(
    path: Path,
    media: Mapping[str, Recording],
    root: Path,
    classes: Mapping[str, tuple[str, ...]],
    *,
    key: str,
    homepage: str,
    chosen: Callable[[Mapping[str, str]], bool] = lambda row: True,
) -> tuple[tuple[Segment, ...], tuple[Failure, ...]]:
    """The segments of a list of narrated actions, and those that cannot be used.

    Args:
        path: A csv with a header line.
        media: Recordings by video id.
        root: The data set's folder, for the paths of what is missing.
        classes: Names by label set: ``verb`` and ``noun``.
        key: The column of the ids.
        homepage: Where the list comes from.
        chosen: Which rows to take, by their values.

    Raises:
        DataError: A row does not hold together: the text says which.
    """
    segments: list[Segment] = []
    missing: list[Failure] = []
    for number, row in rows(path):
        if not chosen(row):
            continue
        made = _segment(row, media, root, classes, key=key, where=f"{path}: row {number}", homepage=homepage)
        if isinstance(made, Failure):
            missing.append(made)
        else:
            segments.append(made)
    refuse_twice(path, [each.id for each in segments] + [each.id for each in missing])
    return tuple(segments), tuple(missing)


def _segment(
    row: Mapping[str, str],
    media: Mapping[str, Recording],
    root: Path,
    classes: Mapping[str, tuple[str, ...]],
    *,
    key: str,
    where: str,
    homepage: str,
) -> Segment | Failure:
    try:
        id, video, group = row[key], row["video_id"], row["participant_id"]
        start, stop = seconds(row["start_timestamp"], where), seconds(row["stop_timestamp"], where)
        targets = {name: int(row[f"{name}_class"]) for name in classes if f"{name}_class" in row}
    except (KeyError, ValueError) as error:
        raise DataError(f"{where}: no usable {error}: take the csv files of {homepage}") from error
    for name, index in targets.items():
        if not 0 <= index < len(classes[name]):
            raise DataError(f"{where}: {name}_class {index} is unknown: take the csv files of {homepage}")
    recording = media.get(video)
    if recording is None:
        return Failure(id=id, path=root / group / "videos" / f"{video}.MP4", reason="not on disk")
    if stop <= start:
        return Failure(id=id, path=recording.path, reason=f"it starts at {start} s and stops at {stop} s")
    return Segment(id=id, recording=recording, start=start, stop=stop, targets=targets, group=group)
