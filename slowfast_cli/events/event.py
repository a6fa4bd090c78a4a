"""Events: stretches of a recording in which a class is recognized."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from slowfast_cli.types import Seconds


@dataclass(frozen=True, kw_only=True)
class Event:
    """A stretch of a recording and its class."""

    start: Seconds
    """From the start of the recording."""
    end: Seconds
    label: str
    score: float
    """Probability, from 0 to 1."""
    index: int = 0
    """Of the class, in the order of the outputs."""
    labels: str = "label"
    """Label set."""


@dataclass(frozen=True, kw_only=True)
class FileEvents:
    """The events of a recording, by start."""

    path: Path
    seconds: Seconds
    """Length of the recording."""
    events: Sequence[Event]
    rate: int | None = None
    """Sampling rate, Hz; None for a recording without audio."""
    band: float | None = None
    """Highest frequency that the model hears, Hz; None for models that read frames only."""
    recorded: datetime | None = None
    """When the recording starts, if it is known."""
    complete: bool = True
    """Whether all of the recording could be read."""

    @property
    def top_frequency(self) -> float:
        """Highest frequency that is in the file and that the model hears, Hz; 0 if unknown."""
        return min(self.band or (self.rate or 0) / 2, (self.rate or 0) / 2)

    def clock(self, at: Seconds) -> str:
        """Time of day of a moment as ISO 8601 with milliseconds; empty if the start is unknown."""
        return (
            "" if self.recorded is None else (self.recorded + timedelta(seconds=at)).isoformat(timespec="milliseconds")
        )
