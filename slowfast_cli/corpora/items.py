"""Build a corpus from the items of an annotation list."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from slowfast_cli.corpora.dataset_info import DatasetInfo
from slowfast_cli.corpora.lists import check_unique
from slowfast_cli.types import Corpus, DataError, Failure, Recording, Seconds, Segment, Target

NOT_ON_DISK = "not on disk"


@dataclass(frozen=True, kw_only=True)
class Item:
    """One listed segment; ``targets``, ``group``, ``start`` and ``stop`` as in `Segment`."""

    id: str  # unique in its split
    path: Path  # existing or expected file
    targets: Mapping[str, Target] = field(default_factory=dict)
    group: str = ""
    problem: str = ""  # why it cannot be used
    recording: str = ""  # recording id, if it differs from `id`
    start: Seconds = 0.0
    stop: Seconds | None = None


def build_corpus(
    info: DatasetInfo,
    split: str,
    items: Iterable[Item],
    classes: Mapping[str, tuple[str, ...]],
    *,
    where: Path,
    note: str = "",
    has_video: bool = False,
) -> Corpus:
    """Build a corpus: usable items become segments, the others are counted as missing.

    Args:
        info: Data set.
        split: Split name.
        items: Items in list order.
        classes: Class names by label set.
        where: Annotation list, for the error message.
        note: As in `Corpus`.
        has_video: As in `Corpus`.

    Raises:
        DataError: An item is listed twice.
    """
    segments: list[Segment] = []
    missing: list[Failure] = []
    for item in items:
        if item.problem:
            missing.append(Failure(id=item.id, path=item.path, reason=item.problem))
            continue
        segments.append(
            Segment(
                id=item.id, recording=Recording(id=item.recording or item.id, path=item.path), start=item.start,
                stop=item.stop, targets=item.targets, group=item.group,
            )
        )  # fmt: skip
    check_unique(where, [*(segment.id for segment in segments), *(failure.id for failure in missing)])
    return Corpus(
        name=info.name, split=split, segments=tuple(segments), classes=classes, missing=tuple(missing),
        has_video=has_video, note=note,
    )  # fmt: skip


def class_index(name: str, indices: Mapping[str, int], where: str, info: DatasetInfo) -> int:
    """Return the index of a class name; raise `DataError` if it is unknown."""
    index = indices.get(name)
    if index is None:
        raise DataError(f"{where}: '{name}' is not one of the {len(indices)} classes: see {info.homepage}")
    return index


def file_problem(path: Path) -> str:
    """Return why a listed file cannot be used; empty if it exists."""
    return "" if path.is_file() else NOT_ON_DISK


def missing_file(segment: Segment) -> Failure:
    """Convert a listed segment without a file to a failure."""
    return Failure(id=segment.id, path=segment.recording.path, reason=NOT_ON_DISK)
