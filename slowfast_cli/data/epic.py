"""EPIC-KITCHENS-100: untrimmed kitchen recordings, 97 verbs and 300 nouns."""

from __future__ import annotations

from pathlib import Path

import h5py

from slowfast_cli.data import labels
from slowfast_cli.data.sources import Origin, first_file, media_index, refuse_twice, rows, seconds, subfolders
from slowfast_cli.types import Corpus, DataError, Failure, Recording, Segment

ORIGIN = Origin(
    name="epic",
    task="actions by sound: a verb and a noun a segment",
    classes="97 verbs, 300 nouns",
    splits=("train", "validation", "test"),
    files=(
        "EPIC_100_{train,validation,test_timestamps}.csv (there or in annotations/)",
        "EPIC_audio.hdf5, or <Pxx>/videos/<video id>.MP4, or audio/<video id>.wav",
    ),
    page="https://github.com/epic-kitchens/epic-kitchens-100-annotations (videos: https://epic-kitchens.github.io)",
    licence="CC BY-NC 4.0",
)
HDF5_RATE = 24000  # Hz, of the published EPIC_audio.hdf5 (ASF Sec. 4.2)
LISTS = ("", "annotations", "epic-kitchens-100-annotations")
SOUND = ("", "audio", "wav", "wavs", "videos", "EPIC-KITCHENS")


def read(root: Path, split: str) -> Corpus:
    """Read a split of EPIC-KITCHENS-100.

    On disk::

        root/[annotations/|epic-kitchens-100-annotations/]EPIC_100_{train,validation,test_timestamps}.csv
        root/[audio/]EPIC_audio.hdf5          one 1-d dataset of 24 kHz samples a video id; or
        root/[audio/|wav/]<video id>.wav      or any other sound; or
        root/[EPIC-KITCHENS/]<Pxx>/[videos/]<video id>.MP4

    The lists are those of the official annotation repository. A recording is a whole video, a segment a narrated
    action in it. Verbs and nouns are label sets of their own; test has no labels. ``group`` is the participant, the
    subset ``unseen`` has those that train does not know, ``tail`` the official rare classes. Segments may stop after
    their recording (`P29_05_563`): what reads them stops there.

    Args:
        root: The folder.
        split: ``train``, ``validation`` or ``test``.

    Raises:
        DataError: The list is not there or does not hold together.
    """
    ORIGIN.split(split)
    name = f"EPIC_100_{'test_timestamps' if split == 'test' else split}.csv"
    path = first_file(root / place / name for place in LISTS)
    if path is None:
        raise ORIGIN.absent(root)
    recordings = _recordings(root)
    segments: list[Segment] = []
    missing: list[Failure] = []
    for number, row in rows(path):
        made = _segment(row, recordings, root, f"{path}: row {number}")
        if isinstance(made, Failure):
            missing.append(made)
        else:
            segments.append(made)
    refuse_twice(path, [each.id for each in segments] + [each.id for each in missing])
    unseen = frozenset(segment.id for segment in segments if segment.group in labels.unseen(split))
    return Corpus(
        name="epic",
        split=split,
        segments=tuple(segments),
        classes={"verb": labels.names("epic100_verbs"), "noun": labels.names("epic100_nouns")},
        missing=tuple(missing),
        subsets={} if split == "train" else {"unseen": unseen},
        tail={"verb": labels.tail("epic100_tail_verbs"), "noun": labels.tail("epic100_tail_nouns")},
    )


def _segment(row: dict[str, str], recordings: dict[str, Recording], root: Path, where: str) -> Segment | Failure:
    try:
        id, video, group = row["narration_id"], row["video_id"], row["participant_id"]
        start, stop = seconds(row["start_timestamp"], where), seconds(row["stop_timestamp"], where)
        targets = {name: int(row[f"{name}_class"]) for name in ("verb", "noun") if f"{name}_class" in row}
    except (KeyError, ValueError) as error:
        raise DataError(f"{where}: no usable {error}: take the csv files of {ORIGIN.page}") from error
    recording = recordings.get(video)
    if recording is None:
        return Failure(id=id, path=root / group / "videos" / f"{video}.MP4", reason="not on disk")
    if stop <= start:
        return Failure(id=id, path=recording.path, reason=f"it starts at {start} s and stops at {stop} s")
    for name, index in targets.items():
        if not 0 <= index < len(labels.names(f"epic100_{name}s")):
            raise DataError(f"{where}: {name}_class {index} is unknown: take the csv files of {ORIGIN.page}")
    return Segment(id=id, recording=recording, start=start, stop=stop, targets=targets, group=group)


def _recordings(root: Path) -> dict[str, Recording]:
    """Every video's sound by video id: packed samples before sound files before videos."""
    folders = [root / name for name in SOUND]
    for place in (root, root / "EPIC-KITCHENS"):
        for participant in subfolders(place) if place.is_dir() else ():
            if participant.name[:1] == "P" and participant.name[1:].isdecimal():
                folders += [participant, participant / "audio", participant / "videos"]
    found = {id: Recording(id=id, path=path) for id, path in media_index(folders).items()}
    packed = first_file(root / place / f"EPIC_audio.{suffix}" for place in SOUND for suffix in ("hdf5", "h5"))
    if packed is not None:
        try:
            with h5py.File(packed, "r", locking=False) as file:
                found |= {id: Recording(id=id, path=packed, dataset=id, rate=HDF5_RATE) for id in file}
        except OSError as error:
            raise DataError(f"{packed}: not a readable HDF5 file ({error}): fetch it again or remove it") from error
    return found
