"""Write events in the formats of other programs: tables, label files, subtitles.

Column names and layouts are documented in docs/reference/formats.md and frozen by a test.
"""

import csv
import io
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

from slowfast_cli.events.eaf import eaf
from slowfast_cli.events.event import Event, FileEvents
from slowfast_cli.types import Seconds, UsageError, finite

Rows = Iterator[Sequence[Any]]
COLUMNS = ("path", "start", "end", "set", "label", "index", "score")
CLOCK_COLUMNS = ("clock_start", "clock_end")
RAVEN_COLUMNS = (
    "Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)", "High Freq (Hz)", "Begin Path",
    "File Offset (s)", "Annotation", "Score",
)  # fmt: skip
BIRDNET_COLUMNS = ("Start (s)", "End (s)", "Scientific name", "Common name", "Confidence", "File")
KALEIDOSCOPE_COLUMNS = ("INDIR", "FOLDER", "IN FILE", "OFFSET", "DURATION", "TOP1MATCH*", "MANUAL ID")
BLANKS = str.maketrans("\t\r\n", "   ")


@dataclass(frozen=True, kw_only=True)
class Format:
    """A file format of events."""

    suffix: str
    """Of a recording's own file, after the recording's stem."""
    encode: Callable[[Sequence[FileEvents], Mapping[str, str]], bytes]
    """Encodes the events of files, and the settings that found them."""
    table: bool = True
    """Whether one file takes the events of several recordings."""
    module: str = ""
    """Python package that it needs."""


def require(names: Sequence[str]) -> None:
    """Raise `UsageError` for an unknown format, or one whose package is not installed."""
    for name in names:
        if name not in FORMATS:
            raise UsageError(f"--format {name}: expected some of table, {', '.join(FORMATS)}, separated by commas")
        module = FORMATS[name].module
        if module and find_spec(module) is None:
            raise UsageError(f"--format {name}: needs {module}: pip install 'slowfast-cli[{name}]'")


def _text(columns: Sequence[str], rows: Rows, delimiter: str = ",") -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return out.getvalue().encode("utf-8", "surrogateescape")


def _events(files: Sequence[FileEvents]) -> Iterator[tuple[FileEvents, Event]]:
    return ((file, event) for file in files for event in file.events)


def record(file: FileEvents, event: Event) -> dict[str, Any]:
    """An event by the names of `COLUMNS`, and of `CLOCK_COLUMNS` if the start of the recording is known."""
    plain: dict[str, Any] = {
        "path": str(file.path),
        "start": round(event.start, 3),
        "end": round(event.end, 3),
        "set": event.labels,
        "label": event.label,
        "index": event.index,
        "score": round(event.score, 6),
    }
    if file.recorded is not None:
        plain |= dict(zip(CLOCK_COLUMNS, (file.clock(event.start), file.clock(event.end)), strict=True))
    return plain


def _csv(files: Sequence[FileEvents], _: Mapping[str, str]) -> bytes:
    columns = (*COLUMNS, *(CLOCK_COLUMNS if any(file.recorded for file in files) else ()))
    return _text(columns, ([record(*pair).get(column, "") for column in columns] for pair in _events(files)))


def _json(files: Sequence[FileEvents], _: Mapping[str, str]) -> bytes:
    import json  # noqa: PLC0415

    lines = (json.dumps(finite(record(*pair)), ensure_ascii=False, allow_nan=False) for pair in _events(files))
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")


def _parquet(files: Sequence[FileEvents], settings: Mapping[str, str]) -> bytes:
    import pyarrow as pa  # noqa: PLC0415  (an extra)
    import pyarrow.parquet as pq  # noqa: PLC0415

    pairs = list(_events(files))
    columns = {
        "file": pa.array([os.fsencode(file.path).decode("utf-8", "replace") for file, _ in pairs], pa.string()),
        "start_s": pa.array([event.start for _, event in pairs], pa.float64()),
        "end_s": pa.array([event.end for _, event in pairs], pa.float64()),
        "label": pa.array([event.label for _, event in pairs], pa.string()).dictionary_encode(),
        "score": pa.array([event.score for _, event in pairs], pa.float32()),
        "set": pa.array([event.labels for _, event in pairs], pa.string()).dictionary_encode(),
        "index": pa.array([event.index for _, event in pairs], pa.int32()),
    }
    if any(file.recorded for file in files):
        for name, moments in zip(CLOCK_COLUMNS, ("start", "end"), strict=True):
            columns[name] = pa.array([file.clock(getattr(event, moments)) for file, event in pairs], pa.string())
    table = pa.table(columns).replace_schema_metadata(dict(settings))
    out = io.BytesIO()
    pq.write_table(table, out, compression="zstd")
    return out.getvalue()


def _raven(files: Sequence[FileEvents], _: Mapping[str, str]) -> bytes:
    """Selection table of Raven; in a table of several files, begin and end run on over the files."""

    def rows() -> Rows:
        before, number = 0.0, count(1)
        for file in files:
            for event in file.events:
                start, end = (f"{before + moment:.6f}" for moment in (event.start, event.end))
                offset = f"{event.start:.6f}"
                yield (
                    next(number), "Spectrogram 1", 1, start, end, "0.0", f"{file.top_frequency:.1f}", file.path, offset,
                    event.label.translate(BLANKS), f"{event.score:.4f}",
                )  # fmt: skip
            before += file.seconds

    return _text(RAVEN_COLUMNS, rows(), "\t")


def _audacity(files: Sequence[FileEvents], _: Mapping[str, str]) -> bytes:
    lines = (f"{e.start:.6f}\t{e.end:.6f}\t{e.label.translate(BLANKS)}\n" for _, e in _events(files))
    return "".join(lines).encode()


def _birdnet(files: Sequence[FileEvents], _: Mapping[str, str]) -> bytes:
    rows = (
        (round(e.start, 3), round(e.end, 3), e.label, e.label, f"{e.score:.4f}", file.path)
        for file, e in _events(files)
    )
    return _text(BIRDNET_COLUMNS, rows)


def _kaleidoscope(files: Sequence[FileEvents], _: Mapping[str, str]) -> bytes:
    """Results table of Kaleidoscope: INDIR is the folder that all files share, FOLDER the rest of the path."""
    folders = [file.path.absolute().parent for file in files]
    top = Path(os.path.commonpath(folders)) if folders else Path()

    def rows() -> Rows:
        for (file, event), folder in ((pair, pair[0].path.absolute().parent) for pair in _events(files)):
            below = "" if folder == top else folder.relative_to(top).as_posix()
            length = event.end - event.start
            yield top, below, file.path.name, f"{event.start:.3f}", f"{length:.3f}", event.label, ""

    return _text(KALEIDOSCOPE_COLUMNS, rows())


def _vtt(files: Sequence[FileEvents], _: Mapping[str, str]) -> bytes:
    cues = (
        f"\n{number}\n{_stamp(e.start, '.')} --> {_stamp(e.end, '.')}\n{escape(_caption(e), quote=False)}\n"
        for number, (_, e) in enumerate(_events(files), 1)
    )
    return ("WEBVTT\n" + "".join(cues)).encode()


def _srt(files: Sequence[FileEvents], _: Mapping[str, str]) -> bytes:
    cues = (
        f"{number}\n{_stamp(e.start, ',')} --> {_stamp(e.end, ',')}\n{_caption(e)}\n"
        for number, (_, e) in enumerate(_events(files), 1)
    )
    return "\n".join(cues).encode()


def _caption(event: Event) -> str:
    return f"{event.label.translate(BLANKS)} {event.score:.0%}"


def _stamp(at: Seconds, point: str) -> str:
    """A time of subtitles.

    >>> _stamp(3661.5, ",")
    '01:01:01,500'
    """
    whole, milliseconds = divmod(round(at * 1000), 1000)
    hours, rest = divmod(whole, 3600)
    return f"{hours:02d}:{rest // 60:02d}:{rest % 60:02d}{point}{milliseconds:03d}"


FORMATS: Mapping[str, Format] = {
    "json": Format(suffix=".events.jsonl", encode=_json),
    "csv": Format(suffix=".events.csv", encode=_csv),
    "parquet": Format(suffix=".events.parquet", encode=_parquet, module="pyarrow"),
    "raven": Format(suffix=".Table.1.selections.txt", encode=_raven),
    "audacity": Format(suffix=".audacity.txt", encode=_audacity, table=False),
    "birdnet": Format(suffix=".BirdNET.results.csv", encode=_birdnet),
    "kaleidoscope": Format(suffix=".kaleidoscope.csv", encode=_kaleidoscope),
    "elan": Format(suffix=".eaf", encode=lambda files, _: eaf(files[0]), table=False),
    "vtt": Format(suffix=".vtt", encode=_vtt, table=False),
    "srt": Format(suffix=".srt", encode=_srt, table=False),
}
