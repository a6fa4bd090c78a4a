"""The events of a data set as the JSON that ActionFormer and other detectors train on."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slowfast_cli.build.corpus import dataset_entry, read_corpus
from slowfast_cli.corpora.lists import SPLIT_NAMES
from slowfast_cli.media import audio
from slowfast_cli.metrics.predictions import without_class
from slowfast_cli.recipe.load import load
from slowfast_cli.storage.atomic import write_text
from slowfast_cli.storage.remote import display
from slowfast_cli.types import Corpus, DataError, Segment, UsageError

FPS = 30.0  # nominal frames per second: 6 are the 0.2 s between features of EPIC-SOUNDS detection
SUBSETS = {"train": "training", "val": "validation", "test": "test"}
STARTS = '{"database": '
"""Of every file that this module writes."""


@dataclass(frozen=True, kw_only=True)
class Database:
    """Events by recording, and what was left out."""

    entries: dict[str, Any]
    events: int
    left_out: Sequence[str]
    """Why recordings and listed events were left out."""


def read_splits(name: str, root: Path | None, splits: Sequence[str]) -> list[Corpus]:
    """Read splits of a data set by its own names of them.

    Raises:
        UsageError: There is no such data set or split.
        DataError: The data set is not there.
    """
    info = dataset_entry(name).info
    if unknown := set(splits) - set(info.splits):
        raise UsageError(f"--split {min(unknown)}: {name} has {', '.join(info.splits)}")
    words = [f"data.corpus={name}", *([f"data.root={display(root)}"] if root else [])]
    return [read_corpus(load(info.recipe, [*words, f"data.test={split}"]), "test") for split in splits]


def build(corpora: Sequence[Corpus], redact: str | None = None) -> Database:
    """Collect the events of some splits.

    Args:
        corpora: The splits; their recordings are those of different subsets.
        redact: A class to leave out.

    Raises:
        UsageError: The segments have no times, or several label sets.
        DataError: A recording is in two splits, or none can be read.
    """
    entries, events, left_out = dict[str, Any](), 0, list[str]()
    for corpus in corpora:
        labeled = any(segment.targets for segment in corpus.segments)
        if len(corpus.classes) != 1 or (labeled and not any(segment.stop is not None for segment in corpus.segments)):
            raise UsageError(f"{corpus.name} {corpus.split}: expected one label set, and events with start and end")
        kept = without_class(corpus, redact) if redact and labeled else corpus
        annotations: dict[str, list[dict[str, Any]]] = {}
        for segment in kept.segments:
            annotations.setdefault(segment.recording.id, []).extend(_annotations(segment, kept))
        for recording in corpus.recordings:
            if recording.id in entries:
                raise DataError(f"{recording.id}: is in {corpus.split} and in another split: name splits that differ")
            try:
                seconds = audio.probe(recording).seconds
            except DataError as error:
                left_out.append(str(error))
                continue
            own = annotations.get(recording.id, [])
            subset = SUBSETS.get(SPLIT_NAMES.get(corpus.split.rpartition("-")[2], ""), corpus.split)
            entries[recording.id] = {"subset": subset, "duration": seconds, "fps": FPS, "annotations": own}
            events += len(own)
        left_out += [f"{failure.id}: {failure.path}: {failure.reason}" for failure in corpus.missing]
    if not entries:
        raise DataError(f"no recording can be read{': ' + left_out[0] if left_out else ''}")
    return Database(entries=entries, events=events, left_out=left_out)


def _annotations(segment: Segment, corpus: Corpus) -> list[dict[str, Any]]:
    ((labels, names),) = corpus.classes.items()
    target = segment.targets.get(labels, ())
    return [
        {"segment": [segment.start, segment.stop], "label": names[index], "label_id": index}
        for index in (target if isinstance(target, tuple) else (target,))
        if segment.stop is not None
    ]


def write(database: Database, path: Path) -> None:
    """Write ``{"database": {recording: {"subset", "duration", "fps", "annotations"}}}``."""
    write_text(path, json.dumps({"database": database.entries}))
