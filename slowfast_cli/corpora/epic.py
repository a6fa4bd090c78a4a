"""EPIC-KITCHENS-100: untrimmed kitchen recordings, 97 verbs and 300 nouns."""

from dataclasses import replace
from pathlib import Path

from slowfast_cli.corpora import labels
from slowfast_cli.corpora.dataset_info import DATASETS
from slowfast_cli.corpora.epic_layout import PACKED, all_recordings, packed_frames, read_segments
from slowfast_cli.corpora.items import NOT_ON_DISK
from slowfast_cli.corpora.lists import rows
from slowfast_cli.types import VIDEO_SUFFIXES, Corpus, Failure, Segment

INFO = DATASETS["epic"]
LISTS = ("", "annotations", "epic-kitchens-100-annotations")
NAMES = {
    "train": ("EPIC_100_train",),
    "validation": ("EPIC_100_validation",),
    "trainval": ("EPIC_100_train", "EPIC_100_validation"),
    "test": ("EPIC_100_test_timestamps",),
}


def read(root: Path, split: str) -> Corpus:
    """Read a split of EPIC-KITCHENS-100.

    On disk::

        root/[annotations/|epic-kitchens-100-annotations/]EPIC_100_{train,validation,test_timestamps}.csv
        root/[audio/]EPIC_audio.hdf5          one 1-d dataset of 24 kHz samples per video id; or
        root/[audio/|wav/]<video id>.wav      or any other audio format; or
        root/[EPIC-KITCHENS/]<Pxx>/[videos/]<video id>.MP4
        root/[EPIC-KITCHENS/]<Pxx>/rgb_frames/<video id>/frame_0000000001.jpg

    Frames are preferred to videos, and HDF5 samples to audio files, and those to the audio of videos. With frames or
    videos it is a data set of video (``has_video``), whose recordings are usable without sound. Released frames are 60
    per second in videos of two digits (``P01_01``) and 50 in those of three (``P01_101``).

    The lists are those of the official annotation repository; ``trainval`` is train and validation. A recording is a
    whole video, a segment is a narrated action in it. Label sets: ``verb`` and ``noun``; test has no labels. ``group``
    is the participant, the subset ``unseen`` has the participants that are not in train, ``tail`` the official rare
    classes. A segment may stop after the end of its recording (`P29_05_563`): readers clip it there.
    """
    INFO.check_split(split)
    paths = [INFO.find_list(root, LISTS, f"{name}.csv") for name in NAMES[split]]
    classes = {"verb": labels.names("epic100_verbs"), "noun": labels.names("epic100_nouns")}
    recordings, packed = all_recordings(root), packed_frames(root)
    segments: tuple[Segment, ...] = ()
    missing: tuple[Failure, ...] = ()
    required = () if split == "test" else [f"{name}_class" for name in classes]
    for path in paths:
        usable, lost = read_segments(
            path, rows(path), recordings, root, classes, key="narration_id", homepage=INFO.homepage, required=required
        )
        segments, missing = segments + usable, missing + lost
    missing = tuple(
        replace(failure, reason=PACKED) if failure.reason == NOT_ON_DISK and failure.path.stem in packed else failure
        for failure in missing
    )
    unseen = frozenset(segment.id for segment in segments if segment.group in labels.unseen(split))
    return Corpus(
        name="epic", split=split, segments=segments, classes=classes, missing=missing,
        subsets={"unseen": unseen} if split in ("validation", "test") else {},
        has_video=any(
            recording.fps or recording.path.suffix.lower() in VIDEO_SUFFIXES for recording in recordings.values()
        ),
        tail={"verb": labels.tail("epic100_tail_verbs"), "noun": labels.tail("epic100_tail_nouns")},
    )  # fmt: skip
