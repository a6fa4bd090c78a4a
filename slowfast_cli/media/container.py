"""Open media containers with FFmpeg: one local file each, of bounded size, by content."""

import errno
import mmap
import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import av
from av.format import ContainerFormat

from slowfast_cli.media.audio_source import printable
from slowfast_cli.types import BrokenMediaError

# Demuxers that open the files, patterns of files, devices or addresses that their input names.
PLAYLISTS = frozenset({
    "applehttp", "concat", "concatf", "dash", "hls", "image2", "imf", "lavfi", "rtp", "rtsp", "sap", "sdp", "vobsub",
    "webm_dash_manifest",
})  # fmt: skip
MAX_PIXELS = 8192 * 4096  # of a frame; a decoder keeps up to 17
MAX_DAYS = 100  # length of a recording; longer ones are damaged headers or timestamps
ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
# Length of the first bytes of formats of which decoders read only the first of several joined files; mp4 has boxes.
FIRST_BYTES = {b"caff": 12, b".snd": 8, b"FLV": 9, b"TTA1": 10, ASF: 16, b"wvpk": 4}
MP4_BOXES = frozenset({b"ftyp", b"free", b"mdat", b"moov", b"pnot", b"skip", b"wide"})  # may be the first
PLAYLIST_HEAD = re.compile(
    rb"\s*(\xef\xbb\xbf)?(#EXTM3U|ffconcat|\[playlist\]|v=0\r?\n|<(\?xml|asx|smil|MPD))", re.IGNORECASE
)


@lru_cache(maxsize=1)
def demuxers() -> str:
    """Return the names of FFmpeg's demuxers that read only their input, comma-separated."""
    names = set[str]()
    for name in av.formats_available:
        try:
            names.update(ContainerFormat(name, "r").name.split(","))
        except ValueError:  # a muxer
            continue
    return ",".join(sorted(names - PLAYLISTS))


def require_file(path: Path) -> None:
    """Refuse a folder, an empty file, or joined files that are read in part.

    Raises:
        OSError: There is no file.
        BrokenMediaError: For the other reasons.
    """
    if path.is_dir():
        raise BrokenMediaError(f"{printable(path)}: is a folder, expected a recording: name the file")
    if not path.is_file() and path.exists():
        raise BrokenMediaError(f"{printable(path)}: is a pipe or a device: save it to a file first")
    stat = path.stat()
    if stat.st_size == 0:
        raise BrokenMediaError(f"{printable(path)}: empty file (0 bytes): fetch or record it again")
    if second := _second_file(path, stat.st_size, stat.st_mtime_ns):
        raise BrokenMediaError(
            f"{printable(path)}: another file was appended at byte {second}, which decoders do not read: split it "
            "there, or join its parts with `ffmpeg -f concat`"
        )


@lru_cache(maxsize=1 << 16)
def _second_file(path: Path, size: int, _time: int) -> int:
    """Return the byte at which a second file of the same format begins; 0 without one."""
    with path.open("rb") as file:
        head = file.read(16)
        if head[4:8] in MP4_BOXES:
            return _second_mp4(file, size)
        length = next((length for magic, length in FIRST_BYTES.items() if head.startswith(magic)), 0)
        if not length or size <= 16:
            return 0
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            position = data.find(head[:length], length)
            while position > 0 and not _begins(data[position : position + 32]):
                position = data.find(head[:length], position + 1)
            return max(0, position)


def _begins(header: bytes) -> bool:
    """Whether bytes that follow the first ones of a format are a header, not samples that happen to be equal."""
    if header.startswith(b".snd"):
        code, rate, channels = (int.from_bytes(header[start : start + 4], "big") for start in (12, 16, 20))
        return 0 < code < 32 and 1000 <= rate <= 1_000_000 and 0 < channels < 256
    if header.startswith(b"wvpk"):  # a block of samples, at sample 0, with the first channels
        at_start, samples = not any((header[10], *header[16:20])), any(header[20:24])
        return header[9] == 4 and at_start and samples and bool(header[25] & 8)
    return True


def _second_mp4(file: BinaryIO, size: int) -> int:
    """Walk the boxes of an mp4 file; those of a stream in fragments may repeat their first ones."""
    position, first, start = 0, b"", 0
    missing = {b"moov", b"mdat"}
    while position + 16 <= size:
        file.seek(position)
        box = file.read(16)
        kind = box[4:8]
        if position and (kind == b"ftyp" or (kind == b"moov" and kind not in missing)):
            return start or position
        if not missing and kind == first and not start:  # a second file, if another moov follows
            start = position
        first = first or kind
        missing.discard(kind)
        length = int.from_bytes(box[:4], "big")
        if kind == b"moof" or length == 0:
            break
        position += max(8, int.from_bytes(box[8:16], "big") if length == 1 else length)
    return 0


def open_container(path: Path) -> Any:
    """Open a local file with PyAV.

    Raises:
        BrokenMediaError: The file is missing, a folder, empty, a playlist, or of no format that FFmpeg supports.
    """
    require_file(path)
    # FFmpeg duplicates the descriptor. It accepts only UTF-8 names, and would open other files that one contains.
    descriptor = os.open(path, os.O_RDONLY)
    options = {"fd": str(descriptor), "protocol_whitelist": "fd", "format_whitelist": demuxers()}
    try:
        return av.open("fd:", options=options, metadata_errors="replace")
    except av.FFmpegError as error:
        if isinstance(error, OSError):
            raise
        if error.errno == errno.EINVAL or PLAYLIST_HEAD.match(_head(path)):  # EINVAL: not in `format_whitelist`
            what = "a playlist, or a description of other files, not a recording: name the recordings themselves"
        else:
            what = f"not a media file that soundfile or FFmpeg supports ({error.strerror}): fetch it again"
        raise BrokenMediaError(f"{printable(path)}: {what}") from error
    finally:
        os.close(descriptor)


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(64)
