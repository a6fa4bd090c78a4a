"""When a recording was made: from its metadata or its name."""

import re
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path

# S4A01_20240601_053000.wav, 20240601T053000Z.flac, 2024-06-01 05.30.00.mp4, 240601-0530 of some recorders is ambiguous.
NAMED = re.compile(
    r"(?<!\d)(20\d\d)[-_.]?([01]\d)[-_.]?([0-3]\d)[-_T .]?([0-2]\d)[-_.:]?([0-5]\d)[-_.:]?([0-5]\d)(Z|[+-]\d{4})?(?!\d)"
)
AUDIOMOTH_NAME = re.compile(r"[0-9A-F]{8}")  # of firmware before 1.2: seconds since 1970
AUDIOMOTH = re.compile(r"Recorded at (\d\d:\d\d:\d\d)(?:\.\d+)? (\d\d/\d\d/\d{4}) \(UTC([+-]\d+(?::\d\d)?)?\)")
GUANO = re.compile(r"^Timestamp:[ \t]*(\S+(?: [\d:.]+\S*)?)", re.MULTILINE)
ISO = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:?\d\d)?")
HEADER = 1 << 16  # bytes of a file in which recorders write their metadata, or at its end


def recorded_at(path: Path) -> datetime | None:
    """Return when a recording starts, or None if neither its metadata nor its name say it.

    Known: GUANO, AudioMoth's comment, the origination time of Broadcast Wave, ``creation_time`` of videos, names with
    date and time such as ``S4A01_20240601_053000.wav``, names of old AudioMoths (``5E90A4D4.WAV``). A time zone is kept
    if one is stated.
    """
    return _from_header(path) or _from_container(path) or from_name(path.stem)


def from_name(stem: str) -> datetime | None:
    """Date and time in the name of a file.

    >>> from_name("S4A01_20240601_053000").isoformat()
    '2024-06-01T05:30:00'
    >>> from_name("5E90A4D4").isoformat()
    '2020-04-10T16:54:44+00:00'
    """
    if AUDIOMOTH_NAME.fullmatch(stem):
        return datetime.fromtimestamp(int(stem, 16), timezone.utc)
    if not (match := NAMED.search(stem)):
        return None
    *numbers, zone = match.groups()
    with suppress(ValueError):
        time = datetime(*map(int, numbers))  # type: ignore[arg-type]
        return datetime.fromisoformat(f"{time.isoformat()}{_zone(zone)}") if zone else time
    return None


def _zone(text: str) -> str:
    return "+00:00" if text == "Z" else f"{text[:3]}:{text[3:]}"


def _from_header(path: Path) -> datetime | None:
    """Metadata of recorders in WAV files."""
    try:
        with path.open("rb") as file:
            head = file.read(HEADER)
            file.seek(max(path.stat().st_size - HEADER, 0))
            tail = file.read(HEADER)
    except OSError:
        return None
    if head[:4] not in (b"RIFF", b"RF64") or head[8:12] != b"WAVE":
        return None
    for part in (head, tail):
        text = part.decode("latin-1")
        with suppress(ValueError):
            if b"guan" in part and (match := GUANO.search(text)):
                return _iso(match[1])
            if match := AUDIOMOTH.search(text):
                return _audiomoth(match)
            if (place := part.find(b"bext")) >= 0 and (written := part[place + 8 + 320 :][:18].decode("latin-1")):
                return datetime.fromisoformat(f"{written[:10].replace(':', '-')}T{written[10:].replace('-', ':')}")
    return None


def _iso(text: str) -> datetime:
    """Read ISO 8601 with a blank for T, any fraction of a second, and a zone with or without colon.

    >>> _iso("2018-06-23 21:30:00.5-0400").isoformat()
    '2018-06-23T21:30:00.500000-04:00'
    """
    match = ISO.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text}: expected ISO 8601")
    date, time, fraction, zone = match.groups()
    zone = "+00:00" if zone == "Z" else re.sub(r"^([+-]\d\d):?(\d\d)$", r"\1:\2", zone or "")
    return datetime.fromisoformat(f"{date}T{time}{'.' + (fraction + '000000')[:6] if fraction else ''}{zone}")


def _audiomoth(match: re.Match[str]) -> datetime:
    time, date, zone = match.groups()
    day, month, year = date.split("/")
    hours, _, minutes = (zone or "+0").partition(":")
    offset = f"{hours[0]}{int(hours[1:]):02d}:{minutes or '00'}"
    return datetime.fromisoformat(f"{year}-{month}-{day}T{time}{offset}")


def _from_container(path: Path) -> datetime | None:
    """``creation_time`` of a video."""
    import av  # noqa: PLC0415  (only needed for --clock)

    with suppress(av.error.FFmpegError, ValueError, OSError), av.open(str(path)) as container:
        written = container.metadata.get("creation_time") or container.metadata.get("date") or ""
        return _iso(written)
    return None
