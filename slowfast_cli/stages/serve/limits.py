"""Limits of the server, and the errors of requests that exceed them."""

from dataclasses import dataclass
from math import inf

from slowfast_cli.types import DataError, Seconds, SlowFastError, UsageError


class BusyError(SlowFastError):
    """Too many requests wait."""


class TimeLimitError(SlowFastError):
    """A prediction took too long."""


class CrashError(SlowFastError):
    """The process that predicts has died, or failed by a defect."""


class TooLargeError(DataError):
    """A file that exceeds a limit of the server."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What the server accepts."""

    megabytes: float = 100.0
    """Size of a file, in units of 1,000,000 bytes."""
    seconds: Seconds = 600.0
    """Length of a recording."""
    timeout: Seconds = 120.0
    """Time for one prediction."""
    waiting: int = 8
    """Requests that may wait for the one in progress."""

    @property
    def size(self) -> int:
        """Size of a file, in bytes."""
        return int(self.megabytes * 1e6)

    def check(self) -> None:
        """Raise `UsageError` for limits that accept nothing."""
        for option, value in (
            ("--max-mb", self.megabytes),
            ("--max-seconds", self.seconds),
            ("--timeout", self.timeout),
        ):
            if not 0 < value < inf:
                raise UsageError(f"{option} {value:g}: expected a finite number above 0")

    def busy(self) -> BusyError:
        """The error of a request beyond those that may wait."""
        return BusyError(f"{self.waiting} requests wait already: try again later")

    def too_large(self) -> TooLargeError:
        """The error for a file that is too large."""
        return TooLargeError(f"the file is larger than {self.megabytes:g} MB: cut it, or raise --max-mb on the server")
