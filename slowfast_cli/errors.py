"""What goes wrong, and the exit code that goes with it; `slowfast_cli.types` gives these to every layer."""

from __future__ import annotations


class SlowFastError(Exception):
    """A mistake the user can mend; its text says where, what is wrong, what is right and what to do.

    Attributes:
        code: What the process exits with.
    """

    code = 1


class UsageError(SlowFastError):
    """Wrong words on the command line, or a recipe that does not hold together."""

    code = 2


class DataError(SlowFastError):
    """Media, annotations or shards that are missing, broken or made with other settings."""

    code = 3


class BrokenMediaError(DataError):
    """One recording cannot be read; the others can: it is counted and told, never replaced."""


class WeightsError(SlowFastError):
    """Weights that are missing, broken or of another network; a download that failed."""

    code = 4


class LostError(SlowFastError):
    """Another process of the same run cannot be reached: nobody's mistake, and the run may be started again."""
