"""Cut detected events into a folder for each class, and list the folders after a person has sorted them."""

import csv
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote, unquote

import soundfile

from slowfast_cli.corpora.media_files import media_below
from slowfast_cli.events.formats import COLUMNS
from slowfast_cli.media import audio
from slowfast_cli.storage.atomic import make_folder, write_atomic
from slowfast_cli.types import DataError, Failure, Recording, Seconds

INDEX = "segments.csv"
INDEX_COLUMNS = ("clip", *COLUMNS)
LIST_COLUMNS = ("path", "start", "stop", "label")


@dataclass(frozen=True, kw_only=True)
class Cut:
    """An event, and the file that it was cut into."""

    clip: Path
    row: dict[str, str]


def read_events(path: Path, min_score: float = 0.0) -> list[dict[str, str]]:
    """Read the table that ``slowfast predict --events`` writes.

    Args:
        path: The csv file; paths in it are relative to the current folder, as they were given to ``predict``.
        min_score: Skip events with a lower score.

    Raises:
        DataError: The file is not such a table.
    """
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            reader = csv.DictReader(file)
            if not {"path", "start", "end", "label"} <= set(reader.fieldnames or ()):
                raise DataError(
                    f"{path}: expected columns path, start, end, label, as `slowfast predict --events` writes"
                )
            rows = list(reader)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    for number, row in enumerate(rows, 2):
        try:
            start, end, score = float(row["start"]), float(row["end"]), float(row.get("score") or 1)
        except (TypeError, ValueError) as error:
            raise DataError(f"{path}: row {number}: start, end and score are seconds and a number") from error
        if not 0 <= start < end:
            raise DataError(f"{path}: row {number}: {start:g} to {end:g} s: expected 0 <= start < end")
        if not row["label"]:
            raise DataError(f"{path}: row {number}: no label")
        row["score"] = str(score)
    return [row for row in rows if float(row["score"]) >= min_score]


def cut(rows: Sequence[dict[str, str]], folder: Path, *, pad: Seconds = 0.0) -> Iterator[Cut | Failure]:
    """Write each event to ``folder/<class>/<stem>_<start>-<end>_<hash>.wav`` at the recording's rate, 16 bits.

    ``folder/segments.csv`` gets a line for each clip after it is written: where it comes from. A second run skips the
    clips that are listed there, also those that a person has moved or deleted since; other tables add to them.

    Args:
        rows: Events, see `read_events`.
        folder: Of the classes.
        pad: Seconds of the recording before and after each event.

    Yields:
        Each clip after it is written, or why a recording cannot be cut.
    """
    make_folder(folder)
    listed = {row["clip"] for row in _index(folder)}
    for row in rows:
        path, start, end = Path(row["path"]), float(row["start"]), float(row["end"])
        key = os.fsencode(f"{path.absolute()}:{start}:{end}:{pad}:{row['label']}")
        name = f"{path.stem}_{start:.2f}-{end:.2f}_{sha256(key).hexdigest()[:8]}.wav"
        clip = folder / _folder_name(row["label"]) / name
        if name not in listed:
            try:
                _write(path, start, end, pad, clip)
            except DataError as error:
                yield Failure(id=f"{path}:{start:g}-{end:g}", path=path, reason=str(error))
                continue
            _add_to_index(folder, name, row)
            listed.add(name)
        yield Cut(clip=clip, row=row)


def _folder_name(label: str) -> str:
    """Name of the folder of a class: separators and leading dots are percent-encoded, see `_label`.

    >>> _folder_name("cut / chop"), _folder_name("..")
    ('cut %2F chop', '%2E.')
    """
    name = quote(label.encode("utf-8", "surrogateescape"), safe=" ()&,'-+")
    return "%2E" + name[1:] if name.startswith(".") else name


def _label(folder: str) -> str:
    return unquote(folder, errors="surrogateescape")


def _write(path: Path, start: Seconds, end: Seconds, pad: Seconds, clip: Path) -> None:
    recording = Recording(id=str(path), path=path)
    probe = audio.probe(recording)
    first, last = max(start - pad, 0.0), min(end + pad, probe.seconds)
    count = max(round((last - first) * probe.rate), 1)
    samples = audio.read(recording, rate=probe.rate, first=round(first * probe.rate), count=count)
    make_folder(clip.parent)
    write_atomic(clip, lambda part: soundfile.write(part, samples, probe.rate, format="WAV", subtype="PCM_16"))


def _add_to_index(folder: Path, name: str, row: dict[str, str]) -> None:
    path = folder / INDEX
    new = not path.exists()
    with path.open("a", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if new:
            writer.writerow(INDEX_COLUMNS)
        writer.writerow([name, *(row.get(column, "") for column in COLUMNS)])


def list_sorted(folder: Path, out: Path) -> tuple[int, int]:
    """List reviewed clips as a csv data set of the original recordings, with the folder of each clip as its label.

    Clips that were deleted are left out; clips without an entry in ``segments.csv`` are listed as files of their own.

    Args:
        folder: That `cut` filled and a person sorted.
        out: The csv file: path, start, stop, label.

    Returns:
        Number of clips, and how many of them have another label than the event.

    Raises:
        DataError: The folder has no clips.
    """
    origins = {row["clip"]: row for row in _index(folder)}
    rows, changed = [], 0
    for clip in media_below(folder):
        label = _label(clip.parent.name)
        origin = origins.get(clip.name)
        if origin is None:
            rows.append((clip.absolute(), "", "", label))
            continue
        changed += origin["label"] != label
        rows.append((Path(origin["path"]).absolute(), origin["start"], origin["end"], label))
    if not rows:
        raise DataError(f"{folder}: contains no clips; expected <class>/<clip>.wav, as `slowfast segments cut` writes")

    def write(part: Path) -> None:
        with part.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([LIST_COLUMNS, *sorted(map(_strings, rows))])

    write_atomic(out, write)
    return len(rows), changed


def _strings(row: Sequence[object]) -> list[str]:
    return [str(value) for value in row]


def _index(folder: Path) -> list[dict[str, str]]:
    try:
        with (folder / INDEX).open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            return list(csv.DictReader(file))
    except FileNotFoundError:
        return []
