"""The boundary around decoders: whatever one raises is an error of the recording that it decodes."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slowfast_cli.media.audio_source import printable
from slowfast_cli.types import BrokenMediaError, DataError, SlowFastError, text_of

EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)  # failures of the machine, not of the file


@contextmanager
def decoder_errors(path: Path) -> Iterator[None]:
    """Raise any exception of the body as a `BrokenMediaError` that names the file.

    Usage errors, and a machine without memory or file descriptors, pass unchanged.
    """
    try:
        yield
    except (BrokenMediaError, MemoryError):
        raise
    except DataError as error:  # the file cannot be downloaded
        raise BrokenMediaError(str(error)) from error
    except SlowFastError:
        raise
    except Exception as error:
        if getattr(error, "errno", None) in EXHAUSTED:
            raise
        raise BrokenMediaError(f"{printable(path)}: {_describe(error)}") from error


def _describe(error: Exception) -> str:
    reason = getattr(error, "strerror", None)
    if isinstance(error, OSError) and reason:
        return f"cannot be read: {reason}"
    name, text = type(error).__name__, text_of(error)
    return f"its decoder failed ({name if text == name else f'{name}: {text}'}): fetch it again, or convert it"
