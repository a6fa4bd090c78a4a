"""Write splits as a csv file that `slowfast_cli.corpora.csv_table` reads."""

import csv
import os
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from slowfast_cli.corpora.csv_columns import assign_columns
from slowfast_cli.corpora.lists import SPLIT_NAMES, records
from slowfast_cli.media.audio_source import printable
from slowfast_cli.storage.atomic import require_output, write_atomic
from slowfast_cli.storage.remote import display, url
from slowfast_cli.types import Corpus, DataError, Seconds, Segment, UsageError

FIRST_COLUMNS = ("path", "start", "stop", "split")
SHOWN = 5  # names in a line


@dataclass(frozen=True, kw_only=True)
class Rest:
    """The rows of a written file, and what is not in it."""

    count: int  # segments
    choose: tuple[str, ...]  # label sets, if the file alone does not say which columns they are
    notes: tuple[str, ...]  # what is not in the file, a line each


def require_listable(path: Path, corpora: Sequence[Corpus], root: Path) -> None:
    """Check that a csv file can describe splits, and that writing it replaces no other file.

    Args:
        path: The csv file.
        corpora: Splits of one data set.
        root: Root of the data set, which may be a csv file.

    Raises:
        UsageError: It cannot, or ``path`` exists and is not a csv file that `write_rest` wrote for such splits.
    """
    require_output(path, "--rest", starts=",".join(FIRST_COLUMNS[:3]))
    if any(path.resolve() == source.resolve() for source in (root, root / "segments.csv")):
        raise UsageError(f"--rest {path}: is the list of the data set: name another file")
    if url(root) is not None:
        raise UsageError(
            f"--drop: {display(root)} is remote, a csv file lists local files: download the data set first"
        )
    label_sets = tuple(corpora[0].classes)
    if not label_sets:
        raise UsageError(f"--drop: {corpora[0].name} has no classes here, which a csv file needs: remove --drop")
    if clash := set(label_sets) & set(FIRST_COLUMNS):
        raise UsageError(f"--drop: label set {min(clash)} is called like another column: rename it")
    for corpus in corpora:
        for segment in corpus.segments:
            recording = segment.recording
            parts = (recording.dataset, recording.fps, recording.sound, segment.boxes, segment.center)
            if any(parts) or any(isinstance(target, tuple) for target in segment.targets.values()):
                raise UsageError(
                    f"{corpus.name}: a csv file lists whole media files with one class of each label set, and "
                    f"{segment.id} is none: remove --drop"
                )
    if not _is_own(path, _header(corpora)):
        raise UsageError(f"--rest {path}: already exists and is not a file that --rest wrote: name another file")


def _header(corpora: Sequence[Corpus]) -> list[str]:
    """Column names; without the split if one is neither train, val nor test."""
    official = all(corpus.split in SPLIT_NAMES for corpus in corpora)
    return [*FIRST_COLUMNS[: None if official else 3], *corpora[0].classes]


def _is_own(path: Path, header: Sequence[str]) -> bool:
    """Whether a file is absent, empty, or has this header and absolute paths."""
    if not path.exists():
        return True
    try:
        table = [cells for _, cells in records(path)] if path.is_file() else [[""]]
    except DataError:
        return False
    return not table or (table[0] == header and all(Path(cells[0]).is_absolute() for cells in table[1:]))


def write_rest(path: Path, corpora: Sequence[Corpus], dropped: Collection[str], ends: Mapping[str, Seconds]) -> Rest:
    """Write the segments of all splits but some, each once.

    Args:
        path: The csv file.
        corpora: Splits of one data set.
        dropped: Ids of recordings that are left out.
        ends: Length by id of recording; segments that begin after it are left out.

    Raises:
        DataError: No segment is left; the file is not written.
    """
    header = _header(corpora)
    rows: dict[str, list[str]] = {}
    unnamed: dict[str, None] = {}  # recordings whose names a csv file in UTF-8 cannot contain
    notes: list[str] = []
    for corpus in corpora:
        kept = []
        for segment in corpus.segments:
            if segment.recording.id in dropped or segment.start >= ends.get(segment.recording.id, segment.start + 1):
                continue
            if not _is_utf8(name := os.fspath(segment.recording.path.absolute())):
                unnamed[printable(name)] = None
                continue
            kept.append(segment)
            if segment.id not in rows:  # val and test may be the same files
                split = [corpus.split] if header[3:4] == ["split"] else []
                rows[segment.id] = [name, *_times(segment), *split, *_class_names(corpus, segment)]
        notes += _lost(corpus, kept)
    if unnamed:
        notes.insert(0, f"left out, as their names are not UTF-8: {_some(unnamed)}")
    if not rows:
        raise DataError(f"{path}: not written: no segment is left: {'; '.join(notes)}")

    def write(temporary: Path) -> None:
        with temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(header)
            writer.writerows(rows.values())

    write_atomic(path, write)
    return Rest(count=len(rows), choose=_to_choose(path, header, rows.values(), corpora[0]), notes=tuple(notes))


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _times(segment: Segment) -> tuple[str, str]:
    return repr(segment.start) if segment.start else "", "" if segment.stop is None else repr(segment.stop)


def _class_names(corpus: Corpus, segment: Segment) -> list[str]:
    targets = ((names, segment.targets.get(labels)) for labels, names in corpus.classes.items())
    return [names[target] if isinstance(target, int) else "" for names, target in targets]


def _to_choose(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]], corpus: Corpus) -> tuple[str, ...]:
    """Label sets of the corpus if the reader would not take exactly their columns, such as ones of numbers."""
    label_sets = tuple(corpus.classes)
    with suppress(DataError):
        if tuple(assign_columns(path, header, [*rows], ()).label_sets) == label_sets:
            return ()
    return label_sets


def _lost(corpus: Corpus, kept: Sequence[Segment]) -> list[str]:
    """Say which classes of a split have lost their last segment, or that the split has."""
    if not kept and len(corpus.segments):
        return [f"no recording of {corpus.split} is left"]
    lines = []
    for labels, names in corpus.classes.items():
        before, after = (Counter(segment.targets.get(labels) for segment in part) for part in (corpus.segments, kept))
        if gone := [names[index] for index in before.keys() - after.keys() if isinstance(index, int)]:
            lines.append(f"no recording of {corpus.split} is left with {labels} {_some(sorted(gone))}")
    return lines


def _some(names: Collection[str]) -> str:
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join([*names][:SHOWN]) + more
