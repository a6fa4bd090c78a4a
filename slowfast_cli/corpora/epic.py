"""EPIC-KITCHENS-100: untrimmed kitchen recordings, 97 verbs and 300 nouns."""

from pathlib import Path

from slowfast_cli.corpora import labels
from slowfast_cli.corpora.dataset_info import DATASETS
from slowfast_cli.corpora.epic_layout import audio_recordings, read_segments
from slowfast_cli.corpora.lists import rows
from slowfast_cli.types import Corpus

INFO = DATASETS["epic"]
LISTS = ("", "annotations", "epic-kitchens-100-annotations")


def read(root: Path, split: str) -> Corpus:
    """Read a split of EPIC-KITCHENS-100.

    On disk::

        root/[annotations/|epic-kitchens-100-annotations/]EPIC_100_{train,validation,test_timestamps}.csv
        root/[audio/]EPIC_audio.hdf5          one 1-d dataset of 24 kHz samples per video id; or
        root/[audio/|wav/]<video id>.wav      or any other audio format; or
        root/[EPIC-KITCHENS/]<Pxx>/[videos/]<video id>.MP4

    The lists are those of the official annotation repository. A recording is a whole video, a segment is a narrated
    action in it. Label sets: ``verb`` and ``noun``; test has no labels. ``group`` is the participant, the subset
    ``unseen`` has the participants that are not in train, ``tail`` the official rare classes. A segment may stop after
    the end of its recording (`P29_05_563`): readers clip it there.
    """
    INFO.check_split(split)
    name = f"EPIC_100_{'test_timestamps' if split == 'test' else split}.csv"
    path = INFO.find_list(root, LISTS, name)
    classes = {"verb": labels.names("epic100_verbs"), "noun": labels.names("epic100_nouns")}
    segments, missing = read_segments(
        path, rows(path), audio_recordings(root), root, classes, key="narration_id", homepage=INFO.homepage
    )
    unseen = frozenset(segment.id for segment in segments if segment.group in labels.unseen(split))
    return Corpus(
        name="epic", split=split, segments=segments, classes=classes, missing=missing,
        subsets={} if split == "train" else {"unseen": unseen},
        tail={"verb": labels.tail("epic100_tail_verbs"), "noun": labels.tail("epic100_tail_nouns")},
    )  # fmt: skip
