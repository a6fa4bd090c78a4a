"""EPIC-KITCHENS-55: untrimmed kitchen recordings of 2018, 125 verbs and 352 nouns."""

from collections.abc import Mapping
from pathlib import Path

from slowfast_cli.corpora import labels
from slowfast_cli.corpora.dataset_info import DATASETS
from slowfast_cli.corpora.epic_layout import read_segments, video_recordings
from slowfast_cli.corpora.lists import rows
from slowfast_cli.types import Corpus, DataError

INFO = DATASETS["epic55"]
LISTS = ("", "annotations", "epic-kitchens-55-annotations")


def read(root: Path, split: str) -> Corpus:
    """Read a split of EPIC-KITCHENS-55.

    On disk::

        root/[annotations/|epic-kitchens-55-annotations/]EPIC_train_action_labels.csv, EPIC_test_s{1,2}_timestamps.csv
        root/[EPIC-KITCHENS/]<Pxx>/[videos/]<video id>.MP4       the tree of EPIC-KITCHENS-100; or
        root/videos/{train,test}/<Pxx>/<video id>.MP4            the tree of 2018
        root/[audio/|wav/]<video id>.wav                         audio that replaces that of the videos

    The lists are those of the official annotation repository, without `EPIC_train_invalid_labels.csv`. Times are the
    timestamps: frame numbers depend on how frames were extracted. Class indices differ from those of
    EPIC-KITCHENS-100, although it contains the same recordings. ``group`` is the participant.

    All labeled segments are in one list. ``train`` and ``val`` divide it by participant, P01 to P25 and P26 to P31, as
    Baradel et al. and AVSlowFast (Table 2) do; ``train-tbn`` and ``val-tbn`` by video, as EPIC-Fusion does; ``all`` is
    the whole list. ``test_s1`` (seen kitchens) and ``test_s2`` (unseen kitchens) have no labels.
    """
    INFO.check_split(split)
    name = f"EPIC_{f'{split}_timestamps' if split.startswith('test') else 'train_action_labels'}.csv"
    path = INFO.find_list(root, LISTS, name)
    classes = {"verb": labels.names("epic55_verbs"), "noun": labels.names("epic55_nouns")}
    by, table = (
        ("video_id", "epic55_tbn_split") if split.endswith("tbn") else ("participant_id", "epic55_baradel_split")
    )
    part_of = {row[by]: row["subset"] for row in labels.table(table)}
    part = split.removesuffix("-tbn")

    def accept(row: Mapping[str, str]) -> bool:
        if part not in ("train", "val"):
            return True
        if row.get(by) not in part_of:
            raise DataError(f"{path}: {by} '{row.get(by)}' is in no split: take the csv files from {INFO.homepage}")
        return part_of[row[by]] == part

    accepted = ((number, row) for number, row in rows(path) if accept(row))
    segments, missing = read_segments(
        path, accepted, video_recordings(root), root, classes, key="uid", homepage=INFO.homepage,
        required=() if split.startswith("test") else [f"{name}_class" for name in classes],
    )  # fmt: skip
    return Corpus(name="epic55", split=split, segments=segments, classes=classes, missing=missing, has_video=True)
