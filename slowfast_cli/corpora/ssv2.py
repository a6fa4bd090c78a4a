"""Something-Something v2: what hands do with things, 174 templates such as "Putting something into something"."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from slowfast_cli.corpora import labels
from slowfast_cli.corpora.dataset_info import DATASETS
from slowfast_cli.corpora.items import NOT_ON_DISK, class_index
from slowfast_cli.corpora.lists import check_unique
from slowfast_cli.corpora.media_files import first_file, media_index, subfolders
from slowfast_cli.types import VIDEO_SUFFIXES, Corpus, DataError, Failure, Recording, Segment

INFO = DATASETS["ssv2"]
LISTS = ("", "labels", "annotations", "20bn-something-something-download-package-labels/labels")
VIDEOS = ("20bn-something-something-v2", "videos", "")
FRAMES = ("frames", "20bn-something-something-v2-frames")
FPS = 30.0  # at which PySlowFast's instructions extract frames


def read(root: Path, split: str) -> Corpus:
    """Read a split of Something-Something v2.

    On disk::

        root/[labels/|annotations/][something-something-v2-]{labels,train,validation,test}.json
        root/[20bn-something-something-v2/|videos/]<id>.webm     or any other video suffix
        root/frames/<id>/<...>.jpg                               30 frames per second, as PySlowFast extracts them

    Frames are preferred to videos. The class of a video is its template without brackets; ``labels.json``, if it is
    there, must have the bundled order, which is alphabetical. The list of test has no labels. The videos have no sound.
    """
    INFO.check_split(split)
    path = _find(root, split)
    if path is None:
        raise INFO.not_found(root, f"{split}.json")
    _check_order(root)
    recordings = _recordings(root)
    segments: list[Segment] = []
    missing: list[Failure] = []
    for where, id_, template in _rows(path, labeled=split != "test"):
        targets = {"label": class_index(template, labels.indices("ssv2"), where, INFO)} if template else {}
        if recording := recordings.get(id_):
            segments.append(Segment(id=id_, recording=recording, targets=targets))
        else:
            missing.append(Failure(id=id_, path=root / VIDEOS[0] / f"{id_}.webm", reason=NOT_ON_DISK))
    check_unique(path, [*(segment.id for segment in segments), *(failure.id for failure in missing)])
    return Corpus(
        name=INFO.name, split=split, segments=tuple(segments), missing=tuple(missing), has_video=True,
        classes={"label": labels.names("ssv2")},
    )  # fmt: skip


def _find(root: Path, name: str) -> Path | None:
    return first_file(
        root / place / f"{stem}{name}.json" for place in LISTS for stem in ("something-something-v2-", "")
    )


def _rows(path: Path, *, labeled: bool) -> Iterator[tuple[str, str, str]]:
    """Yield where each row is, its id, and its template without brackets, empty in a list without labels."""
    rows = _load(path)
    if not isinstance(rows, list) or not rows:
        raise DataError(f"{path}: expected a list of videos with id and template: take it from {INFO.homepage}")
    for number, row in enumerate(rows, 1):
        where = f"{path}: video {number}"
        if not isinstance(row, dict) or not str(row.get("id", "")).isdecimal():
            raise DataError(f'{where}: no id such as "78687": take the list from {INFO.homepage}')
        template = row.get("template", "") if labeled else ""
        if labeled and not (isinstance(template, str) and template):
            raise DataError(f"{where}: no template: take the list from {INFO.homepage}")
        yield where, str(row["id"]), template.replace("[", "").replace("]", "")


def _check_order(root: Path) -> None:
    """Raise `DataError` if the data set's own list numbers the classes in another order."""
    path = _find(root, "labels")
    if path is None:
        return
    order = _load(path)
    if not isinstance(order, dict) or {str(name): str(index) for name, index in order.items()} != {
        name: str(index) for name, index in labels.indices("ssv2").items()
    }:
        raise DataError(f"{path}: its classes are not the 174 in alphabetical order: take it from {INFO.homepage}")


def _load(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise DataError(f"{path}: not JSON in UTF-8 ({error}): take it from {INFO.homepage}") from error


def _recordings(root: Path) -> dict[str, Recording]:
    """Recordings by video id: frame images, or the video."""
    videos = media_index([root / place for place in VIDEOS], VIDEO_SUFFIXES)
    recordings = {id_: Recording(id=id_, path=path) for id_, path in videos.items()}
    for top in (root / place for place in FRAMES):
        for folder in subfolders(top) if top.is_dir() else ():
            recordings[folder.name] = Recording(id=folder.name, path=folder, fps=FPS)
    return recordings
