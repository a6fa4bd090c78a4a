"""UCF101: sports and everyday actions from YouTube, 101 classes in three official splits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from slowfast_cli.corpora import labels
from slowfast_cli.corpora.dataset_info import DatasetInfo
from slowfast_cli.corpora.lists import refuse_twice
from slowfast_cli.corpora.media_files import first_file, media_index, subfolders
from slowfast_cli.types import VIDEO_SUFFIXES, Corpus, DataError, Failure, Recording, Segment

INFO = DatasetInfo(
    name="ucf101",
    task="human actions, one label a clip",
    classes="101",
    splits=("train1", "train2", "train3", "test1", "test2", "test3", "all"),
    files=(
        "ucfTrainTestlist/{trainlist,testlist}0{1,2,3}.txt (or there, or in annotations/)",
        "UCF-101/<class>/v_<class>_g<group>_c<clip>.avi",
    ),
    homepage="https://www.crcv.ucf.edu/data/UCF101.php",
    license="none stated by its authors; research use",
)
LISTS = ("ucfTrainTestlist", "annotations", "")
VIDEOS = ("UCF-101", "UCF101", "videos", "")


def read(root: Path, split: str) -> Corpus:
    """Read a split of UCF101.

    On disk::

        root/[ucfTrainTestlist/|annotations/]{trainlist,testlist}0{1,2,3}.txt    <class>/<file>, and a number in train
        root/[UCF-101/|videos/]<class>/v_<class>_g<01-25>_c<01-07>.avi           or any other video suffix

    The numbers of the train lists, 1 to 101, are the order of the classes: that of `classInd.txt`, which is not quite
    sorted. The class is the folder in the list; a clip is found by its name in any folder, whatever its case (the clips
    of HandstandPushups are called HandStandPushups). ``group`` are clips cut from one video, all of them on one side of
    a split. ``all`` is split 1 as a whole. Half of the classes have no sound.

    Args:
        root: The folder.
        split: ``train1`` to ``train3``, ``test1`` to ``test3`` or ``all``.

    Raises:
        DataError: A list is not there or does not hold together.
    """
    INFO.check_split(split)
    lists = ["trainlist01", "testlist01"] if split == "all" else [f"{split[:-1]}list0{split[-1]}"]
    paths = [first_file(root / place / f"{name}.txt" for place in LISTS) for name in lists]
    media = _media(root)
    segments: list[Segment] = []
    missing: list[Failure] = []
    for path in paths:
        if path is None:
            raise INFO.not_found(root)
        for index, file in _listed(path):
            id = file.stem
            found = media.get(id.lower())
            if found is None:
                missing.append(Failure(id=id, path=root / VIDEOS[0] / file, reason="not on disk"))
                continue
            group = id.rpartition("_")[0]
            recording = Recording(id=id, path=found)
            segments.append(Segment(id=id, recording=recording, targets={"label": index}, group=group))
    refuse_twice(root, [each.id for each in segments] + [each.id for each in missing])
    return Corpus(
        has_video=True,
        name="ucf101",
        split=split,
        segments=tuple(segments),
        classes={"label": labels.names("ucf101")},
        missing=tuple(missing),
    )


def _listed(path: Path) -> Iterator[tuple[int, PurePosixPath]]:
    """Class index and file of each line."""
    classes = labels.indices("ucf101")
    for number, line in enumerate(path.read_text(encoding="utf-8-sig", errors="replace").splitlines(), 1):
        words = line.split()
        if not words:
            continue
        file, where = PurePosixPath(words[0]), f"{path}: row {number}"
        index = classes.get(file.parent.name)
        if index is None or len(words) > 2:
            raise DataError(
                f"{where}: '{line}' is no file of one of the 101 classes: take the lists of {INFO.homepage}"
            )
        if words[1:] and words[1] != str(index + 1):
            raise DataError(
                f"{where}: {file.parent.name} has number {words[1]}; right is {index + 1}, as in classInd.txt: take "
                f"the lists of {INFO.homepage}"
            )
        yield index, file


def _media(root: Path) -> dict[str, Path]:
    """Clips by name without suffix, in lower case."""
    tops = [root / place for place in VIDEOS if (root / place).is_dir()]
    found = media_index([folder for top in tops for folder in subfolders(top)], VIDEO_SUFFIXES)
    return {name.lower(): path for name, path in found.items()}
