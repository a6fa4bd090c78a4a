"""HMDB51: human motion in films and web videos, 51 classes in three official splits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from slowfast_cli.corpora import labels
from slowfast_cli.corpora.dataset_info import DatasetInfo
from slowfast_cli.corpora.lists import refuse_twice
from slowfast_cli.corpora.media_files import media_index
from slowfast_cli.types import VIDEO_SUFFIXES, Corpus, DataError, Failure, Recording, Segment

INFO = DatasetInfo(
    name="hmdb51",
    task="human motion, one label a clip",
    classes="51",
    splits=("train1", "train2", "train3", "test1", "test2", "test3", "all"),
    files=(
        "testTrainMulti_7030_splits/<class>_test_split{1,2,3}.txt (or in annotations/, or there)",
        "hmdb51_org/<class>/<clip>.avi",
    ),
    homepage="https://serre-lab.clps.brown.edu/resource/hmdb-a-large-human-motion-database/",
    license="CC BY 4.0",
)
LISTS = ("testTrainMulti_7030_splits", "test_train_splits/testTrainMulti_7030_splits", "annotations", "")
VIDEOS = ("hmdb51_org", "hmdb51", "videos", "")
CODES = {"0": "", "1": "train", "2": "test"}  # 0: in neither part of that split


def read(root: Path, split: str) -> Corpus:
    """Read a split of HMDB51.

    On disk::

        root/[testTrainMulti_7030_splits/|annotations/]<class>_test_split{1,2,3}.txt    '<clip>.avi 1', 51 a split
        root/[hmdb51_org/|videos/]<class>/<clip>.avi                                    or any other video suffix

    1 is train, 2 is test, and 0 neither, for a list of 70 and 30 clips a class. The class of a clip is the name of its
    list, not what its own name says. ``all`` are all clips that the lists of split 1 name, the unused ones too. Names
    hold characters that a shell would read (``[`` ``(`` ``!`` ``#`` ``&`` ``;``): they are never searched as patterns.

    Args:
        root: The folder.
        split: ``train1`` to ``train3``, ``test1`` to ``test3`` or ``all``.

    Raises:
        DataError: A list is not there or does not hold together.
    """
    INFO.check_split(split)
    part, number = ("", "1") if split == "all" else (split[:-1], split[-1])
    lists = _lists(root, number)
    tops = [root / place for place in VIDEOS]
    segments: list[Segment] = []
    missing: list[Failure] = []
    for index, name in enumerate(labels.names("hmdb51")):
        media = media_index([top / name for top in tops], VIDEO_SUFFIXES)
        for clip, code in _listed(lists[name]):
            if part and CODES[code] != part:
                continue
            stem = clip.rpartition(".")[0]
            id = f"{name}/{stem}"
            if stem not in media:
                missing.append(Failure(id=id, path=tops[0] / name / clip, reason="not on disk"))
                continue
            recording = Recording(id=id, path=media[stem])
            segments.append(Segment(id=id, recording=recording, targets={"label": index}))
    refuse_twice(root, [each.id for each in segments] + [each.id for each in missing])
    return Corpus(
        has_video=True,
        name="hmdb51",
        split=split,
        segments=tuple(segments),
        classes={"label": labels.names("hmdb51")},
        missing=tuple(missing),
    )


def _lists(root: Path, number: str) -> dict[str, Path]:
    """The list of every class, by its name."""
    names = labels.names("hmdb51")
    for place in LISTS:
        lists = {name: root / place / f"{name}_test_split{number}.txt" for name in names}
        gone = [path for path in lists.values() if not path.is_file()]
        if len(gone) < len(names):
            if gone:
                raise DataError(
                    f"{gone[0]}: not there, nor {len(gone) - 1} others; right is one list for each of the 51 classes: "
                    f"unpack them from {INFO.homepage} again"
                )
            return lists
    raise INFO.not_found(root)


def _listed(path: Path) -> Iterator[tuple[str, str]]:
    """File name and code of each line."""
    for number, line in enumerate(path.read_text(encoding="utf-8-sig", errors="replace").splitlines(), 1):
        if not line.strip():
            continue
        words = line.strip().rsplit(maxsplit=1)
        if len(words) != 2 or words[1] not in CODES or "." not in words[0]:
            raise DataError(
                f"{path}: row {number}: '{line.strip()}' is no file name with 0, 1 or 2: take {INFO.homepage}'s lists"
            )
        yield words[0], words[1]
