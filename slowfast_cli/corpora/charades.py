"""Charades: acted scenes of everyday life at home, 157 actions, several per video."""

import re
from collections.abc import Mapping
from pathlib import Path

from slowfast_cli.corpora import labels
from slowfast_cli.corpora.dataset_info import DATASETS
from slowfast_cli.corpora.items import NOT_ON_DISK
from slowfast_cli.corpora.lists import check_unique, rows
from slowfast_cli.corpora.media_files import media_index, subfolders
from slowfast_cli.types import VIDEO_SUFFIXES, Corpus, DataError, Failure, Recording, Segment, Span

INFO = DATASETS["charades"]
LISTS = ("", "Charades", "annotations")
VIDEOS = ("Charades_v1_480", "Charades_v1", "videos", "")
FPS = 24.0  # of the official frame images
ACTION = re.compile(r"c(\d{3}) (\d+(?:\.\d+)?) (\d+(?:\.\d+)?)")


def read(root: Path, split: str) -> Corpus:
    """Read a split of Charades.

    On disk::

        root/[Charades/|annotations/]Charades_v1_{train,test}.csv    from Charades.zip
        root/Charades_v1_480/<id>.mp4                                or Charades_v1/, the original size
        root/Charades_v1_rgb/<id>/<id>-000001.jpg                    24 frames per second; audio from the mp4

    Frame images are preferred to videos, the smaller videos to the original ones. ``val`` and ``test`` are the same
    list: the papers validate on it.

    A segment is a whole video; its target is every action in it, with their times in ``spans``. About a third of the
    actions end after their video: they are cut at its length. Actions that do not end after they start (7 in train)
    are left out; the rest of their video is kept. 174 videos of train and 49 of test list no action: they are counted
    in ``missing``, as PySlowFast leaves them out.
    """
    INFO.check_split(split)
    name = f"Charades_v1_{'train' if split == 'train' else 'test'}.csv"
    path = INFO.find_list(root, LISTS, name)
    recordings = _recordings(root)
    items = [_segment(row, recordings, root, f"{path}: row {number}") for number, row in rows(path)]
    check_unique(path, (item.id for item in items))
    return Corpus(
        has_video=True,
        name="charades",
        split=split,
        segments=tuple(item for item in items if isinstance(item, Segment)),
        classes={"label": labels.names("charades")},
        missing=tuple(item for item in items if isinstance(item, Failure)),
    )


def _segment(row: Mapping[str, str], recordings: Mapping[str, Recording], root: Path, where: str) -> Segment | Failure:
    try:
        id, actions, group, length = row["id"], row["actions"], row["subject"], float(row["length"])
    except (KeyError, ValueError) as error:
        raise DataError(f"{where}: missing or invalid column: {error}: get it from {INFO.homepage}") from error
    spans = tuple(
        span
        for text in actions.split(";")
        if text.strip() and (span := _span(text.strip(), length, where)).stop > span.start
    )
    recording = recordings.get(id)
    if not spans:
        path = root / VIDEOS[0] / f"{id}.mp4" if recording is None else recording.path
        return Failure(id=id, path=path, reason="no labels in the list")
    if recording is None:
        return Failure(id=id, path=root / VIDEOS[0] / f"{id}.mp4", reason=NOT_ON_DISK)
    target = tuple(sorted({span.index for span in spans}))
    return Segment(id=id, recording=recording, targets={"label": target}, group=group, spans=spans)


def _span(text: str, length: float, where: str) -> Span:
    match = ACTION.fullmatch(text)
    if match is None or int(match[1]) >= len(labels.names("charades")):
        raise DataError(
            f"{where}: action '{text}' is not a class c000 to c156, start and end: take it from {INFO.homepage}"
        )
    return Span(labels="label", index=int(match[1]), start=float(match[2]), stop=min(float(match[3]), length))


def _recordings(root: Path) -> dict[str, Recording]:
    """Recordings by video id: frame images with the audio of the video, or the video."""
    videos = media_index([root / place for place in VIDEOS], VIDEO_SUFFIXES)
    recordings = {id: Recording(id=id, path=path) for id, path in videos.items()}
    images = root / "Charades_v1_rgb"
    for folder in subfolders(images) if images.is_dir() else ():
        id = folder.name
        recordings[id] = Recording(id=id, path=folder, fps=FPS, sound=videos.get(id))
    return recordings
