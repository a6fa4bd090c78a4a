"""Expand the file arguments of a prediction: folders, URLs, globs, lists, standard input."""

import glob
import io
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from slowfast_cli.corpora.media_files import media_below
from slowfast_cli.media.audio_source import printable
from slowfast_cli.stages.predict.results import Failed
from slowfast_cli.storage import remote
from slowfast_cli.types import MEDIA_SUFFIXES, UsageError

UTF16 = ("\udcff\udcfe", "\udcfe\udcff")  # byte order marks, read as UTF-8 with surrogateescape


def sources(
    words: Sequence[str], stdin: TextIO | None, suffixes: frozenset[str] = MEDIA_SUFFIXES
) -> list[Path | Failed]:
    """Expand file arguments; a folder or pattern without files becomes a `Failed`.

    Args:
        words: Files, folders (searched recursively), URLs of either, globs, a ``list.txt`` (one path per line, relative
            to the list), ``-`` (stdin).
        stdin: Stream that ``-`` reads.
        suffixes: Lower-case suffixes of the files taken from folders.
    """
    kinds = "sound or video" if suffixes == MEDIA_SUFFIXES else "video"
    paths: list[Path | Failed] = []
    for word in words:
        path = remote.download(remote.local_path(word)) if remote.URL.fullmatch(word) else Path(word)
        if word == "-":
            if stdin is None:
                raise UsageError("-: standard input is closed: name files")
            if isinstance(stdin, io.TextIOWrapper):
                stdin.reconfigure(errors="surrogateescape")  # as in file names
            paths += _paths(stdin, "standard input")
        elif path.is_dir():
            reason = f"a folder without {kinds} files; they end in {', '.join(sorted(suffixes))}"
            files = [file for file in media_below(path) if file.suffix.lower() in suffixes]
            paths += files or [Failed(path=path, reason=f"{printable(path)}: {reason}")]
        elif path.suffix.lower() == ".txt" and path.is_file():
            with path.open(encoding="utf-8-sig", errors="surrogateescape") as lines:
                paths += _paths(lines, printable(path), path.parent)
        elif not path.exists() and glob.has_magic(word):
            matches = sorted(glob.glob(word, recursive=True))  # noqa: PTH207  (accepts absolute patterns)
            paths += [Path(match) for match in matches] or [
                Failed(path=path, reason=f"{printable(word)}: no file matches")
            ]
        else:
            paths.append(path)
    return paths


def _paths(lines: Iterable[str], where: str, folder: Path = Path()) -> list[Path]:
    text = "".join(lines)
    if text.startswith(UTF16):
        with suppress(UnicodeDecodeError):  # refused below
            text = text.encode("utf-8", "surrogateescape").decode("utf-16")
    names = [line.strip() for line in text.split("\n") if line.strip()]
    if any("\0" in name for name in names):
        raise UsageError(
            f"{where}: contains binary data, expected a path per line: save a recording as a file, and name it, or "
            "name the format of raw samples, as --pcm s16le@16000"
        )
    return [folder / name for name in names]
