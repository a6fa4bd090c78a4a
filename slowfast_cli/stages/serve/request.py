"""Values that the server and the process that predicts exchange; none needs torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slowfast_cli.stages.predict.results import Timeline


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to compute for a file."""

    path: Path
    top: int = 5
    timeline: Timeline | None = None
    events: bool = False
    """Events of the timeline, by default that of `predict --events`."""
    formats: tuple[str, ...] = ()
    """Files of the events."""
    page: bool = False
    """For the page: the lines are of the whole file, whatever the timeline, with a picture of the timeline."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What was computed for a file."""

    lines: Sequence[Mapping[str, Any]] = ()
    """The lines of `predict --json`."""
    events: Sequence[Mapping[str, Any]] = ()
    """The lines of `predict --events --json`."""
    files: Mapping[str, bytes] = field(default_factory=dict)
    """Files of the events, by format."""
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    """PNGs, for ``wide`` and ``narrow`` screens: the timeline below the spectrogram or the frames."""
    remarks: Sequence[str] = ()
    """What the file lacks."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """What the page says about the weights."""

    name: str
    classes: Mapping[str, int]
    """Number of classes by label set, without that for everything else."""
    sets: tuple[str, ...]
    """Label sets of the answers: those of the weights, and ``action`` for verb and noun."""
    timeline: Timeline
    suffixes: frozenset[str]
    reads_frames: bool
    formats: tuple[str, ...]
    """Formats of events whose package is installed."""


def hide_folder(text: str, path: Path) -> str:
    """Replace the path of a file in a text by its name."""
    return text.replace(str(path), path.name).replace(str(path.parent), "")
