"""Turn predictions into events, and write them in the formats of other programs."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from slowfast_cli.events.clock import recorded_at
from slowfast_cli.events.event import Event, FileEvents
from slowfast_cli.events.formats import FORMATS
from slowfast_cli.events.merge import DEFAULT_THRESHOLD, Merging, merge, track
from slowfast_cli.media import audio
from slowfast_cli.stages.predict.results import Failed, FilePrediction, Timeline
from slowfast_cli.stages.predict.top import unknown_sets
from slowfast_cli.storage.atomic import file_hash, make_folder, write_bytes, write_text
from slowfast_cli.storage.finished import common_folder, end_line, file_version, output_names
from slowfast_cli.types import DataError, Recording, UsageError, did_you_mean
from slowfast_cli.weights.file import Card

JOURNAL, SETTINGS = "finished-{}.jsonl", "settings.json"
COMBINED = "events"
HOPS = 10
"""Of a clip, between the windows that events are found from if no timeline is given."""


def thresholds_of(card: Card, text: str | None) -> dict[str, float]:
    """Thresholds by class name, with ``""`` for all others: those stored in the weights, unless others are given.

    Args:
        card: Of the weights.
        text: A number, ``class=number`` pairs, or both, separated by commas.

    Raises:
        UsageError: The text is none of these, or names an unknown class.
    """
    names = [name for classes in card.classes.values() for name in classes]
    stored = {
        name: value
        for labels, values in card.thresholds.items()
        for name, value in zip(card.classes.get(labels, ()), values, strict=False)
    }
    given = dict[str, float]()
    for word in (text or "").split(",") if text else ():
        name, _, number = word.rpartition("=")
        name = name.strip()
        try:
            given[name] = float(number)
        except ValueError:
            given[name] = -1.0
        if not 0 < given[name] <= 1:
            raise UsageError(f"--threshold {word}: expected a number above 0, up to 1, or CLASS=NUMBER")
        if name and name not in names:
            raise UsageError(f"--threshold {word}: no such class{did_you_mean(name, names)}")
    return {"": DEFAULT_THRESHOLD, **({} if "" in given else stored), **given}


def default_timeline(card: Card) -> Timeline:
    """Windows as long as the clips that the model was trained on, a tenth apart."""
    return Timeline(window=round(card.clip_seconds, 3), hop=round(card.clip_seconds / HOPS, 3))


def events_of(
    predictions: Iterable[FilePrediction | Failed],
    card: Card,
    merging: Merging | None,
    timeline: Timeline | None,
    clock: Callable[[Path], datetime | None] | None = None,
) -> Iterator[FileEvents | Failed]:
    """Find the events of each file.

    Args:
        predictions: Of files or their windows; those of a file follow each other.
        card: Of the weights.
        merging: How windows become events; None makes an event of the best class of each window or file.
        timeline: The windows; None for whole files.
        clock: Says when a recording starts; None leaves it out.
    """
    band = float(card.front_end.get("fmax") or float(card.front_end["rate"]) / 2) if card.front_end else None
    for path, group in groupby(predictions, key=lambda prediction: prediction.path):
        windows = list(group)
        if isinstance(windows[0], Failed):
            yield from (failed for failed in windows if isinstance(failed, Failed))
            continue
        done = [window for window in windows if isinstance(window, FilePrediction)]
        found = _best(done, card) if merging is None or timeline is None else _merged(done, card, merging, timeline.hop)
        yield FileEvents(
            path=path,
            seconds=max(window.end for window in done),
            events=sorted(found, key=lambda event: (event.start, event.end, event.labels, event.index)),
            rate=_rate(path),
            band=band,
            recorded=clock(path) if clock else None,
            complete=len(done) == len(windows),
        )
        yield from (failed for failed in windows if isinstance(failed, Failed))


def _best(windows: Sequence[FilePrediction], card: Card) -> list[Event]:
    """The best class of each window, unless it is none of the classes."""
    events = []
    for window in windows:
        none = unknown_sets(window, card)
        for labels, scores in window.scores.items():
            index = int(scores.argmax())
            if labels not in none:
                name, score = card.classes[labels][index], float(scores[index])
                events.append(
                    Event(start=window.start, end=window.end, label=name, score=score, index=index, labels=labels)
                )
    return events


def _merged(windows: Sequence[FilePrediction], card: Card, merging: Merging, hop: float) -> list[Event]:
    starts, ends = (np.array([getattr(window, side) for window in windows]) for side in ("start", "end"))
    events = []
    for labels in windows[0].scores:
        scores_TC, edges = track(starts, ends, np.stack([window.scores[labels] for window in windows]), hop)
        events += merge(scores_TC, edges, card.classes[labels], merging, labels)
    return events


def _rate(path: Path) -> int | None:
    try:
        return audio.probe(Recording(id=str(path), path=path)).rate
    except DataError:  # a video without audio, or a folder of images
        return None


@dataclass(frozen=True, kw_only=True)
class EventWriter:
    """Writes events below a folder: a file of each recording and format, and tables of all recordings.

    A recording that is finished is recorded in ``finished-<rank>.jsonl``: a second run with equal settings skips it.
    """

    folder: Path
    formats: Sequence[str]
    settings: Mapping[str, str]
    """What the events depend on: weights, windows, merging."""
    paths: Sequence[Path]
    """All recordings; their files lie as they do below the folder that they share."""
    rank: int = 0
    """Of this process: each has a journal of its own."""

    def start(self) -> None:
        """Create the folder, or check that it has events of equal settings.

        Raises:
            UsageError: The folder has events of other settings, or other files.
        """
        make_folder(self.folder)
        recorded = self.folder / SETTINGS
        top = os.fsencode(common_folder([*self._names])).decode("utf-8", "replace")
        settings = json.dumps({**self.settings, "recordings": top}, indent=1)
        if recorded.is_file():
            if recorded.read_text(encoding="utf-8") != settings:
                raise UsageError(
                    f"--out {self.folder}: has events of other settings, or of recordings elsewhere ({SETTINGS}): name "
                    "another folder"
                )
        elif any(self.folder.iterdir()):
            raise UsageError(f"--out {self.folder}: is not empty, and has no events: name another folder")
        write_text(recorded, settings)

    def finished(self) -> dict[Path, FileEvents]:
        """The events of unchanged recordings that this run, or an earlier one with equal settings, has finished."""
        journals = sorted(self.folder.glob(JOURNAL.format("*")))
        return {file.path: file for journal in journals for file in _read_journal(journal)}

    def write(self, file: FileEvents) -> None:
        """Write the files of a recording, and record it as finished."""
        for name in self.formats:
            self._write(self._place(file.path, FORMATS[name].suffix), name, [file])
        if not file.complete:
            return
        line = {**asdict(file), "path": str(file.path), "version": file_version(file.path)}
        line["recorded"] = file.recorded.isoformat() if file.recorded else None
        journal = self.folder / JOURNAL.format(self.rank)
        end_line(journal)
        with journal.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(line) + "\n")

    def finish(self, files: Sequence[FileEvents]) -> list[Path]:
        """Write the tables of all recordings, always a csv; return their paths."""
        names = dict.fromkeys(["csv", *(name for name in self.formats if FORMATS[name].table)])
        places = {name: self.folder / f"{COMBINED}{FORMATS[name].suffix.removeprefix('.events')}" for name in names}
        for name, place in places.items():
            self._write(place, name, files)
        return list(places.values())

    def _write(self, path: Path, name: str, files: Sequence[FileEvents]) -> None:
        make_folder(path.parent)
        write_bytes(path, FORMATS[name].encode(files, self.settings))

    @cached_property
    def _names(self) -> dict[Path, Path]:
        return output_names(self.paths)

    def _place(self, path: Path, suffix: str) -> Path:
        """The file of a recording."""
        name = self._names[path.absolute()]
        return self.folder / name.parent / f"{name.name}{suffix}"


def _read_journal(path: Path) -> Iterator[FileEvents]:
    """Events of unchanged recordings; a line that an interruption cut is skipped."""
    if not path.is_file():
        return
    with path.open(encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            try:
                plain: dict[str, Any] = json.loads(line)
            except ValueError:
                continue
            events = [Event(**event) for event in plain.pop("events")]
            recorded, version = plain.pop("recorded"), plain.pop("version")
            path = Path(plain.pop("path"))
            if version == file_version(path):
                moment = datetime.fromisoformat(recorded) if recorded else None
                yield FileEvents(path=path, events=events, recorded=moment, **plain)


def with_thresholds(merging: Merging, card: Card, text: str | None) -> Merging:
    """Merging with the thresholds of `thresholds_of`, and without the class for everything else."""
    thresholds = thresholds_of(card, text)
    return replace(merging, threshold=thresholds.pop(""), thresholds=thresholds, unknown=card.unknown)


clock, weights_hash = recorded_at, file_hash
"""The clock of `events_of` that reads metadata and file names; the hash of a weight file."""
