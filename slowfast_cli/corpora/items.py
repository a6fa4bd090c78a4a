"""From what a list says of each recording to a corpus: what is on disk, and what is not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from slowfast_cli.corpora.dataset_info import DatasetInfo
from slowfast_cli.corpora.lists import refuse_twice
from slowfast_cli.types import Corpus, DataError, Failure, Recording, Seconds, Segment, Target

GONE = "not on disk"


@dataclass(frozen=True, kw_only=True)
class Item:
    """One listed stretch of sound.

    Attributes:
        id: Unique in its split.
        path: The file, or where it should be.
        targets: As in `Segment`.
        group: As in `Segment`.
        wrong: Why it cannot be used; empty where it can.
        recording: Id of its recording, where that is not its own.
        start: In seconds from the start of the recording.
        stop: In seconds; None means to its end.
    """

    id: str
    path: Path
    targets: Mapping[str, Target] = field(default_factory=dict)
    group: str = ""
    wrong: str = ""
    recording: str = ""
    start: Seconds = 0.0
    stop: Seconds | None = None


def corpus(
    info: DatasetInfo,
    split: str,
    items: Iterable[Item],
    classes: Mapping[str, tuple[str, ...]],
    *,
    where: Path,
    note: str = "",
) -> Corpus:
    """Make a corpus of what is listed.

    Args:
        info: The data set.
        split: The part of it.
        items: In the order of the list.
        classes: Names by label set.
        where: The list, for an error.
        note: As in `Corpus`.

    Raises:
        DataError: Something is listed twice.
    """
    segments: list[Segment] = []
    missing: list[Failure] = []
    for item in items:
        if item.wrong:
            missing.append(Failure(id=item.id, path=item.path, reason=item.wrong))
            continue
        segments.append(
            Segment(
                id=item.id,
                recording=Recording(id=item.recording or item.id, path=item.path),
                start=item.start,
                stop=item.stop,
                targets=item.targets,
                group=item.group,
            )
        )
    refuse_twice(where, [each.id for each in segments] + [each.id for each in missing])
    return Corpus(
        name=info.name, split=split, segments=tuple(segments), classes=classes, missing=tuple(missing), note=note
    )


def class_index(name: str, indices: Mapping[str, int], where: str, info: DatasetInfo) -> int:
    """The index of a class that a row names.

    Raises:
        DataError: There is no such class.
    """
    index = indices.get(name)
    if index is None:
        raise DataError(f"{where}: '{name}' is none of the {len(indices)} classes: take the list of {info.homepage}")
    return index


def absence(path: Path) -> str:
    """Why a listed file cannot be used; empty where it is there."""
    return "" if path.is_file() else GONE


def gone(segment: Segment) -> Failure:
    """A listed segment as one whose file is not there."""
    return Failure(id=segment.id, path=segment.recording.path, reason=GONE)
