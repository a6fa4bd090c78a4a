"""Write splits as a csv file that `slowfast_cli.corpora.csv_table` reads."""

import csv
from collections.abc import Collection, Sequence
from pathlib import Path

from slowfast_cli.corpora.lists import SPLIT_NAMES
from slowfast_cli.types import Corpus, UsageError

FIRST_COLUMNS = ("path", "start", "stop", "split")


def require_listable(corpora: Sequence[Corpus]) -> None:
    """Refuse corpora that a csv file cannot describe; raise `UsageError`."""
    for corpus in corpora:
        for segment in corpus.segments:
            recording = segment.recording
            parts = (recording.dataset, recording.fps, recording.sound, segment.boxes, segment.center)
            if any(parts) or any(isinstance(target, tuple) for target in segment.targets.values()):
                raise UsageError(
                    f"{corpus.name}: a csv file lists whole media files with one class of each label set, and "
                    f"{segment.id} is none: remove --drop"
                )


def write_rows(path: Path, corpora: Sequence[Corpus], dropped: Collection[str]) -> int:
    """Write the segments of all splits but those of dropped recordings, each once; return their number.

    Args:
        path: The csv file.
        corpora: Splits of one data set. A split that is neither train, val nor test leaves the column empty.
        dropped: Ids of recordings.
    """
    label_sets = tuple(corpora[0].classes)
    official = all(corpus.split in SPLIT_NAMES for corpus in corpora)
    rows: dict[str, list[object]] = {}
    for corpus in corpora:
        for segment in corpus.segments:
            if segment.recording.id in dropped or segment.id in rows:  # val and test may be the same files
                continue
            names = [
                corpus.classes[labels][target] if isinstance(target := segment.targets.get(labels), int) else ""
                for labels in label_sets
            ]
            start = f"{segment.start:g}" if segment.start else ""
            stop = "" if segment.stop is None else f"{segment.stop:g}"
            split = [corpus.split] if official else []
            rows[segment.id] = [segment.recording.path.absolute(), start, stop, *split, *names]
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*FIRST_COLUMNS[: None if official else 3], *label_sets])
        writer.writerows(rows.values())
    return len(rows)
