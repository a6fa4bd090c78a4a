"""Errors with their exit codes, and suggestions in their messages; `slowfast_cli.types` re-exports them."""

import difflib
import re
from collections.abc import Iterable


class SlowFastError(Exception):
    """An error that the user can fix. Its text says where, what is wrong, what is expected and what to do."""

    code = 1  # exit code of the process

    @property
    def brief(self) -> str:
        """The first line, without the start of a list that follows it: ``...; epic expects``."""
        return re.sub(r"; \S+ expects$", "", str(self).splitlines()[0])


class UsageError(SlowFastError):
    """A mistake on the command line, or an inconsistent recipe."""

    code = 2


class DataError(SlowFastError):
    """Media, annotations or shards that are missing, broken or made with other settings."""

    code = 3


class AbsentError(DataError):
    """A data set or the list of a split is not there; others may be."""


class BrokenMediaError(DataError):
    """One recording cannot be read: it is counted and reported, never replaced; the others are used."""


class WeightsError(SlowFastError):
    """Weights that are missing, broken or of another network; a failed download."""

    code = 4


class StreamError(SlowFastError):
    """A live source that cannot be reached, or not any more."""

    code = 4


class LostError(SlowFastError):
    """Another process of the same run cannot be reached; the run may be restarted."""


def text_of(error: BaseException) -> str:
    """Text of an exception of any library: its first line, or its type if it has no text or cannot produce one."""
    try:
        text = str(error).strip()
    except Exception:  # a defect of the library that raised it
        text = ""
    return text.split("\n", 1)[0] or type(error).__name__


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Suggest the nearest known word as ``; did you mean 'word'?``, or return an empty string."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean '{near[0]}'?" if near else ""
