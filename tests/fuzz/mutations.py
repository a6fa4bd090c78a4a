"""Damage for files: every function takes a generator of random numbers and says in words what it has changed."""

import copy
import json
import math
import random
import re
from typing import Any

import yaml

ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 7, 2**31, 2**63, -(2**63), 10**30, 1e308, -0.5, 1e-300, math.nan, math.inf, -math.inf,
    "", "x", "nan", "-1", "1e999", "2024-02-30", "no", "../../etc/passwd", "a" * 5000, "\x1b[31mred", "\ud800", "\x00",
    "zażółć", [], {}, [None], [[]], {"": {}}, [1, "a", None], {"a": [1, {"b": 2}]}, [0] * 1000, ["x", "x"], b"\xff",
)  # fmt: skip
NUMBERS = (0, 1, -1, 0x7F, 0x7FFF, 0x7FFFFFFF, -(2**31), 2**40, 2**62, 2**63 - 1, -(2**63))
HEADER = 96  # bytes in which most formats keep their numbers
TAGS = re.compile(  # of chunks: RIFF, AIFF, MP4, Ogg, FLAC, MP3, PNG, CAF
    rb"fmt |data|fact|LIST|RIFF|WAVE|COMM|SSND|desc|pakt|moov|mdat|mvhd|tkhd|mdhd|elst|stsd|stts|stsz|stsc|stco|stss"
    rb"|ctts|mp4a|esds|avc1|avcC|OggS|fLaC|Xing|Info|LAME|ID3|IHDR|IDAT|avih|strh|strf|movi|idx1|OpusHead|vorbis"
)
YAML_TEXTS = {
    "alias bomb": "a: &a [x, x, x, x, x, x, x, x, x]\n"
    + "".join(f"{n}: &{n} [{', '.join([f'*{p}'] * 9)}]\n" for p, n in zip("abcdefgh", "bcdefghi", strict=True)),
    "reference to itself": "data: &d\n  corpus: *d\n",
    "list that contains itself": "task: &t [*t]\n",
    "deep lists": f"data: {'[' * 3000}{']' * 3000}\n",
    "deep maps": f"data: {'{a: ' * 800}1{'}' * 800}\n",
    "impossible date": "data: {root: 2024-02-30}\n",
    "date": "data: {root: 2024-02-28}\n",
    "time": "seed: 2024-02-28 25:61:61\n",
    "sexagesimal": "seed: 1:30:00\n",
    "tag of Python": "seed: !!python/object/apply:os.getcwd []\n",
    "unknown tag": "seed: !what 3\n",
    "two documents": "seed: 1\n---\nseed: 2\n",
    "equal keys": "seed: 1\nseed: 2\n",
    "merge key": "data: &d {corpus: folder}\nmodel:\n  <<: *d\n",
    "list": "- a\n- b\n",
    "number": "3\n",
    "text": "hello\n",
    "tab": "data:\n\tcorpus: folder\n",
    "key that is a list": "? [a, b]\n: 1\n",
    "key that is a number": "1: 2\n",
    "integer of 10,000 digits": f"seed: {'9' * 10000}\n",
    "binary": "seed: !!binary AAAA\n",
    "set": "seed: !!set {a, b}\n",
    "bytes that are no text": "seed: \udcff\n",
    "control character": "seed: \x07\n",
}


def damage_bytes(data: bytes, rng: random.Random) -> tuple[bytes, str]:
    """Flip, cut, move or overwrite bytes, or chunks where the format has some."""
    if not data:
        return rng.randbytes(9), "9 random bytes"
    tags = [match.start() for match in TAGS.finditer(data)]
    change = rng.choice(
        [flip, put_number, put_number, cut, move, overwrite, overwrite, random_bytes, *[move_chunk] * bool(tags)]
    )
    return change(data, tags, rng)


def flip(data: bytes, tags: list[int], rng: random.Random) -> tuple[bytes, str]:
    raw, end = bytearray(data), rng.choice([HEADER, len(data)])
    places = [rng.randrange(min(end, len(data))) for _ in range(rng.choice([1, 3, 30, 300]))]
    for place in places:
        raw[place] ^= 1 << rng.randrange(8)
    return bytes(raw), f"{len(places)} bits flipped before byte {end}, the first in byte {places[0]}"


def put_number(data: bytes, tags: list[int], rng: random.Random) -> tuple[bytes, str]:
    """A huge, negative or zero number in the header or just behind the tag of a chunk."""
    raw, width, order = bytearray(data), rng.choice([1, 2, 4, 8]), rng.choice(["little", "big"])
    at = rng.randrange(HEADER)
    if tags and rng.random() < 0.7:
        at = max(0, rng.choice(tags) + rng.randrange(-4, 40))
    number = rng.choice(NUMBERS) % (1 << 8 * width)
    raw[at : at + width] = number.to_bytes(width, order)
    return bytes(raw), f"{width} bytes from {at} set to {number}, {order}-endian"


def cut(data: bytes, tags: list[int], rng: random.Random) -> tuple[bytes, str]:
    at = rng.randrange(rng.choice([64, len(data)]))
    return data[:at], f"cut after {at} of {len(data)} bytes"


def move(data: bytes, tags: list[int], rng: random.Random) -> tuple[bytes, str]:
    at, length = rng.randrange(len(data)), rng.choice([1, 4, 64, 1000, len(data) // 3])
    if rng.random() < 0.5:
        return data[:at] + data[at + length :], f"{length} bytes from {at} removed"
    return data[: at + length] + data[at:], f"{length} bytes from {at} repeated"


def move_chunk(data: bytes, tags: list[int], rng: random.Random) -> tuple[bytes, str]:
    begin, end = sorted([rng.choice(tags), rng.choice([*tags, len(data)])])
    begin, end = max(0, begin - rng.choice([0, 4])), max(0, end - rng.choice([0, 4]))
    if rng.random() < 0.5:
        return data[:begin] + data[end:], f"chunks from {begin} to {end} removed"
    return data[:end] + data[begin:], f"chunks from {begin} to {end} repeated"


def overwrite(data: bytes, tags: list[int], rng: random.Random) -> tuple[bytes, str]:
    at, length = rng.randrange(len(data)), rng.choice([1, 4, 64, 1000, len(data) // 3])
    length = min(length, len(data) - at)
    content = rng.choice([bytes(length), b"\xff" * length, rng.randbytes(length)])
    return data[:at] + content + data[at + length :], f"{length} bytes from {at} are now {content[:8]!r}..."


def random_bytes(data: bytes, tags: list[int], rng: random.Random) -> tuple[bytes, str]:
    count = rng.choice([0, 1, 3, 500])
    return rng.randbytes(count), f"{count} random bytes in its place"


def damage_value(value: Any, rng: random.Random) -> tuple[Any, str]:
    """Replace, remove, rename or repeat one part of nested dictionaries and lists."""
    whole = {"": copy.deepcopy(value)}
    parent, key, path = whole, "", ""
    while True:
        inner = parent[key]
        if not (isinstance(inner, dict | list) and inner) or (path and rng.random() < 0.2):
            break
        parent, key = inner, rng.choice(list(inner) if isinstance(inner, dict) else range(len(inner)))
        path += f".{key}"
    action = rng.choice(["replace"] * 6 + ["scale", "remove", "rename", "wrap"])
    if action == "remove" and path:
        del parent[key]
        return whole[""], f"{path} removed"
    if action == "rename" and path and isinstance(parent, dict):
        parent[f"{key}x"] = parent.pop(key)
        return whole[""], f"{path} renamed"
    if action == "scale" and isinstance(parent[key], int | float):
        parent[key] = parent[key] * rng.choice([-1, 0, 1000, 10**15])
    elif action == "wrap":
        parent[key] = [parent[key]]
    else:
        parent[key] = rng.choice(ODD)
    return whole[""], f"{path or 'everything'} set to {repr(parent[key])[:80]}"


def damage_lines(data: bytes, rng: random.Random) -> tuple[bytes, str]:
    """Change lines and fields of a text."""
    lines = data.decode().splitlines()
    at = rng.randrange(len(lines))
    fields = lines[at].split(",")
    column = rng.randrange(len(fields))
    match rng.choice(["field", "field", "field", "drop", "more", "line", "repeat", "quote", "encode", "ends", "part"]):
        case "field":
            fields[column] = rng.choice([str(odd) for odd in ODD if odd != "\ud800"])
        case "drop":
            del fields[column]
        case "more":
            fields.insert(column, rng.choice(["", "x", '"', "1,2,3"]))
        case "line":
            lines.pop(at)
            return "\n".join(lines).encode(), f"line {at + 1} removed"
        case "repeat":
            lines.insert(at, lines[at])
            return "\n".join(lines).encode(), f"line {at + 1} repeated"
        case "quote":
            fields[column] = '"' + fields[column]
        case "encode":
            coding = rng.choice(["utf-16", "utf-32", "utf-8-sig", "utf-16-be"])
            return data.decode().encode(coding), f"encoded as {coding}"
        case "ends":
            end = rng.choice(["\r", "\r\n", "\n\n", "\x0b", "\x00", "\u2028", " \n"])
            return end.join(lines).encode(), f"lines end with {end!r}"
        case "part":
            old, new = rng.choice([(",", ";"), (",", "\t"), ("/", "\\"), (",", ", "), (".", ","), ("wav", "WAV")])
            return data.decode().replace(old, new).encode(), f"{old!r} replaced by {new!r}"
    lines[at] = ",".join(fields)
    return "\n".join(lines).encode(), f"line {at + 1}: {lines[at][:80]!r}"


def damage_jsonl(data: bytes, rng: random.Random) -> tuple[bytes, str]:
    """Change one value of one line of JSON, or the bytes."""
    if rng.random() < 0.25:
        return rng.choice([damage_bytes, damage_lines])(data, rng)
    lines = data.decode().splitlines()
    at = rng.randrange(len(lines))
    value, what = damage_value(json.loads(lines[at]), rng)
    lines[at] = as_json(value)
    return "\n".join([*lines, ""]).encode(), f"line {at + 1}: {what}"


def damage_json(data: bytes, rng: random.Random) -> tuple[bytes, str]:
    """Change one value of a JSON document, or the bytes."""
    if rng.random() < 0.25:
        return damage_bytes(data, rng)
    value, what = damage_value(json.loads(data), rng)
    return as_json(value).encode(), what


def as_json(value: Any) -> str:
    """JSON as Python writes it, NaN included; bytes become text."""
    return json.dumps(value, default=str)


def damage_yaml(data: bytes, rng: random.Random) -> tuple[bytes, str]:
    """Change one field, append one of `YAML_TEXTS`, or change lines or bytes."""
    match rng.choice(["value", "value", "value", "value", "text", "text", "lines", "bytes"]):
        case "value":
            value, what = damage_value(yaml.safe_load(data), rng)
            return yaml.safe_dump(value, allow_unicode=False).encode(errors="surrogatepass"), what
        case "text":
            name, text = rng.choice(list(YAML_TEXTS.items()))
            before = rng.choice([b"", data])
            return before + text.encode(errors="surrogateescape"), f"{name}{' at the end' if before else ''}"
        case "lines":
            return damage_lines(data, rng)
    return damage_bytes(data, rng)
