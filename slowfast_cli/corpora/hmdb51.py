"""HMDB51: human motion in films and web videos, 51 classes, three official splits."""

from collections.abc import Iterator
from pathlib import Path

from slowfast_cli.corpora import labels
from slowfast_cli.corpora.dataset_info import DATASETS
from slowfast_cli.corpora.items import NOT_ON_DISK, Item, build_corpus
from slowfast_cli.corpora.media_files import media_index
from slowfast_cli.types import VIDEO_SUFFIXES, Corpus, DataError

INFO = DATASETS["hmdb51"]
LISTS = ("testTrainMulti_7030_splits", "test_train_splits/testTrainMulti_7030_splits", "annotations", "")
VIDEOS = ("hmdb51_org", "hmdb51", "videos", "")
CODES = {"0": "", "1": "train", "2": "test"}  # 0: unused in that split


def read(root: Path, split: str) -> Corpus:
    """Read a split of HMDB51.

    On disk::

        root/[testTrainMulti_7030_splits/|annotations/]<class>_test_split{1,2,3}.txt    '<clip>.avi 1', 51 per split
        root/[hmdb51_org/|videos/]<class>/<clip>.avi                                    or any other video suffix

    Code 1 is train, 2 is test and 0 is unused: 70 and 30 clips per class. The class of a clip is the name of its list,
    not what its own name says. ``all`` is every clip in the lists of split 1, unused ones included. File names contain
    shell metacharacters (``[`` ``(`` ``!`` ``#`` ``&`` ``;``): they are never used as glob patterns.
    """
    INFO.check_split(split)
    part, number = ("", "1") if split == "all" else (split[:-1], split[-1])
    items = _items(root, _lists(root, number), part)
    return build_corpus(INFO, split, items, {"label": labels.names("hmdb51")}, where=root, has_video=True)


def _items(root: Path, lists: dict[str, Path], part: str) -> Iterator[Item]:
    tops = [root / place for place in VIDEOS]
    for index, name in enumerate(labels.names("hmdb51")):
        media = media_index([top / name for top in tops], VIDEO_SUFFIXES)
        for clip, code in _clips(lists[name]):
            if not part or CODES[code] == part:
                stem = clip.rpartition(".")[0]
                yield Item(
                    id=f"{name}/{stem}",
                    path=media.get(stem, tops[0] / name / clip),
                    targets={"label": index},
                    problem="" if stem in media else NOT_ON_DISK,
                )


def _lists(root: Path, number: str) -> dict[str, Path]:
    """Find the list of each class of a split, by class name."""
    names = labels.names("hmdb51")
    for place in LISTS:
        lists = {name: root / place / f"{name}_test_split{number}.txt" for name in names}
        absent = [path for path in lists.values() if not path.is_file()]
        if len(absent) < len(names):
            if absent:
                raise DataError(
                    f"{absent[0]}: not found, and {len(absent) - 1} more: unpack them again from {INFO.homepage}"
                )
            return lists
    raise INFO.not_found(root)


def _clips(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the file name and code of each line."""
    for number, line in enumerate(path.read_text(encoding="utf-8-sig", errors="replace").splitlines(), 1):
        if not line.strip():
            continue
        words = line.strip().rsplit(maxsplit=1)
        if len(words) != 2 or words[1] not in CODES or "." not in words[0]:
            raise DataError(
                f"{path}: row {number}: '{line.strip()}' is not a file name with 0, 1 or 2: see {INFO.homepage}"
            )
        yield words[0], words[1]
