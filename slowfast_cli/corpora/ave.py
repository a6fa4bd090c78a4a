"""AVE: audio-visual events in 10 s videos of YouTube, located to the second, 28 classes and background."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from slowfast_cli.corpora import labels
from slowfast_cli.corpora.dataset_info import DATASETS
from slowfast_cli.corpora.items import NOT_ON_DISK, Item, build_corpus, class_index
from slowfast_cli.corpora.lists import lines
from slowfast_cli.corpora.media_files import media_index
from slowfast_cli.types import VIDEO_SUFFIXES, Corpus, DataError

INFO = DATASETS["ave"]
PLACES = ("", "AVE_Dataset", "annotations", "data")
NAMES = {"train": "trainSet.txt", "val": "valSet.txt", "test": "testSet.txt", "all": "Annotations.txt"}
VIDEOS = ("AVE", "AVE_Dataset/AVE", "videos")
HEADER = "Category&VideoID&Quality&StartTime&EndTime"
SECONDS = 10  # of a video
BACKGROUND = len(labels.names("ave")) - 1


def read(root: Path, split: str) -> Corpus:
    """Read a split of AVE (Tian et al., ECCV 2018, Sec. 3).

    On disk::

        root/[AVE_Dataset/|annotations/|data/]{trainSet,valSet,testSet,Annotations}.txt
        root/[AVE_Dataset/]AVE/<youtube id>.mp4                                             or any other video suffix

    The lines are ``Category&VideoID&Quality&StartTime&EndTime`` in whole seconds; a first line with these names is
    skipped. ``all`` is ``Annotations.txt``, the three splits together.

    A segment is one second of a video, ten of them for each line: of the line's class from its start to its end, of the
    class ``background`` outside. A line of no duration is ten seconds of background. Classes are in the order in which
    they first occur in ``Annotations.txt``, background last. ``group`` is the video. A video may be listed with several
    classes: the segments of its second line are called ``<id>#2:<second>``.
    """
    INFO.check_split(split)
    path = INFO.find_list(root, PLACES, NAMES[split])
    items = _items(path, root)
    return build_corpus(INFO, split, items, {"label": labels.names("ave")}, where=path, has_video=True)


def _items(path: Path, root: Path) -> Iterator[Item]:
    videos = media_index([root / place for place in VIDEOS], VIDEO_SUFFIXES)
    times_listed = Counter[str]()
    for video, index, start, stop in _events(path):
        times_listed[video] += 1
        number = times_listed[video]
        name = video if number == 1 else f"{video}#{number}"
        for second in range(SECONDS):
            yield Item(
                id=f"{name}:{second}",
                recording=video,
                path=videos.get(video, root / VIDEOS[0] / f"{video}.mp4"),
                start=second,
                stop=second + 1,
                targets={"label": index if start <= second < stop else BACKGROUND},
                group=video,
                problem="" if video in videos else NOT_ON_DISK,
            )


def _events(path: Path) -> Iterator[tuple[str, int, int, int]]:
    """Yield the video, class index, start and end of each line."""
    for number, line in lines(path):
        if number == 1 and line == HEADER:
            continue
        where = f"{path}: row {number}"
        fields = line.split("&")
        if len(fields) != 5:
            raise DataError(
                f"{where}: '{line}' has {len(fields)} fields, expected the 5 of {HEADER}: take the list from "
                f"{INFO.homepage}"
            )
        category, video, _, start, stop = fields
        index = class_index(category, labels.indices("ave"), where, INFO)
        if not (start.isdecimal() and stop.isdecimal() and int(start) <= int(stop) <= SECONDS):
            raise DataError(
                f"{where}: event from '{start}' to '{stop}', expected whole seconds from 0 to {SECONDS}, rising: take "
                f"the list from {INFO.homepage}"
            )
        if index == BACKGROUND or not video:
            raise DataError(f"{where}: '{line}' names no event of a video: take the list from {INFO.homepage}")
        yield video, index, int(start), int(stop)
