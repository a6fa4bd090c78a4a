"""UCF101: sports and everyday actions from YouTube, 101 classes, three official splits."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from slowfast_cli.corpora import labels
from slowfast_cli.corpora.dataset_info import DATASETS
from slowfast_cli.corpora.items import NOT_ON_DISK, Item, build_corpus
from slowfast_cli.corpora.media_files import first_file, media_index, subfolders
from slowfast_cli.types import VIDEO_SUFFIXES, Corpus, DataError

INFO = DATASETS["ucf101"]
LISTS = ("ucfTrainTestlist", "annotations", "")
VIDEOS = ("UCF-101", "UCF101", "videos", "")


def read(root: Path, split: str) -> Corpus:
    """Read a split of UCF101.

    On disk::

        root/[ucfTrainTestlist/|annotations/]{trainlist,testlist}0{1,2,3}.txt    <class>/<file>, and a number in train
        root/[UCF-101/|videos/]<class>/v_<class>_g<01-25>_c<01-07>.avi           or any other video suffix

    The numbers in the train lists, 1 to 101, give the class order of `classInd.txt`, which is not quite sorted. The
    class of a clip is its folder in the list; a clip is found by its name in any folder, ignoring case (the clips of
    HandstandPushups are called HandStandPushups). ``group`` is the source video, which is on one side of a split only.
    ``all`` is split 1 as a whole. Half of the classes have no audio.
    """
    INFO.check_split(split)
    lists = ["trainlist01", "testlist01"] if split == "all" else [f"{split[:-1]}list0{split[-1]}"]
    paths = [first_file(root / place / f"{name}.txt" for place in LISTS) for name in lists]
    items = _items(root, paths)
    return build_corpus(INFO, split, items, {"label": labels.names("ucf101")}, where=root, has_video=True)


def _items(root: Path, paths: list[Path | None]) -> Iterator[Item]:
    tops = [root / place for place in VIDEOS if (root / place).is_dir()]
    media = media_index([folder for top in tops for folder in subfolders(top)], VIDEO_SUFFIXES)
    media = {name.lower(): path for name, path in media.items()}
    for path in paths:
        if path is None:
            raise INFO.not_found(root)
        for index, file in _clips(path):
            yield Item(
                id=file.stem,
                path=media.get(file.stem.lower(), root / VIDEOS[0] / file),
                targets={"label": index},
                group=file.stem.rpartition("_")[0],
                problem="" if file.stem.lower() in media else NOT_ON_DISK,
            )


def _clips(path: Path) -> Iterator[tuple[int, PurePosixPath]]:
    """Yield the class index and file of each line."""
    classes = labels.indices("ucf101")
    for number, line in enumerate(path.read_text(encoding="utf-8-sig", errors="replace").splitlines(), 1):
        words = line.split()
        if not words:
            continue
        file, where = PurePosixPath(words[0]), f"{path}: row {number}"
        index = classes.get(file.parent.name)
        if index is None or len(words) > 2:
            raise DataError(f"{where}: '{line}' is not a file of one of the 101 classes: see {INFO.homepage}")
        if words[1:] and words[1] != str(index + 1):
            raise DataError(
                f"{where}: {file.parent.name} has number {words[1]}, expected {index + 1} as in classInd.txt: take the "
                f"lists from {INFO.homepage}"
            )
        yield index, file
