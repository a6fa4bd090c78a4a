"""NSynth: 4 s notes, labeled with the family of their instrument or with their pitch."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from slowfast_cli.corpora import labels
from slowfast_cli.corpora.dataset_info import DATASETS, DatasetInfo
from slowfast_cli.corpora.items import missing_file
from slowfast_cli.corpora.segments import FileColumns, LazyMap, Segments
from slowfast_cli.types import Corpus, DataError

PAGE = "https://magenta.tensorflow.org/datasets/nsynth (the archives named jsonwav)"
INFO_INSTRUMENT = DATASETS["nsynth-instrument"]
INFO_PITCH = DATASETS["nsynth-pitch"]
PITCHES = tuple(str(pitch) for pitch in range(128))
BLOCK = 1 << 20  # characters per read
NOTE = re.compile(r'[\s{,]*("(?:[^"\\]|\\.)*")\s*:\s*')


def read_instrument(root: Path, split: str) -> Corpus:
    """Read a split of NSynth labeled with 11 families of instruments.

    On disk, the three archives named jsonwav, unpacked side by side::

        root/nsynth-{train,valid,test}/examples.json         one object per note, keyed by the note's name
        root/nsynth-{train,valid,test}/audio/<note>.wav      16 kHz, 4 s

    The splits have 289,205, 12,678 and 4,096 notes. ``val`` and ``test`` contain no instrument of ``train``, and no
    note of family 9 (`synth_lead`). Class order: `labels/nsynth_families.csv`, the numbers in the lists. To limit
    memory, the lists are parsed in blocks and notes are stored in arrays.
    """
    return _read(INFO_INSTRUMENT, root, split, "instrument_family", labels.names("nsynth_families"))


def read_pitch(root: Path, split: str) -> Corpus:
    """Read a split of NSynth labeled with 128 pitches, MIDI 0 to 127; on disk as for `read_instrument`."""
    return _read(INFO_PITCH, root, split, "pitch", PITCHES)


def _read(info: DatasetInfo, root: Path, split: str, field: str, classes: tuple[str, ...]) -> Corpus:
    info.check_split(split)
    folder = f"nsynth-{'valid' if split == 'val' else split}"
    path = info.find_list(root, (folder, f"nsynth/{folder}"), "examples.json")
    notes = {name: _target(note, field, classes, f"{path}: {name}") for name, note in _notes(path)}
    audio = path.parent / "audio"
    on_disk = set(os.listdir(audio)) if audio.is_dir() else set()  # noqa: PTH208  (hundreds of thousands of names)
    columns = FileColumns(
        ids=np.array([os.fsencode(name) for name in notes], dtype=bytes),
        files=np.array([os.fsencode(f"{name}.wav") for name in notes], dtype=bytes),
        folders=(audio,),
        folder=np.zeros(len(notes), np.uint8),
        labels="label",
        classes=len(classes),
        targets=np.array(list(notes.values()), np.uint8),
    )
    has_file = np.array([f"{name}.wav" in on_disk for name in notes], dtype=bool)
    segments = Segments(columns)
    return Corpus(
        name=info.name,
        split=split,
        segments=segments.take(has_file),
        classes={"label": classes},
        missing=LazyMap(segments.take(~has_file), missing_file),
    )


def _target(note: Any, field: str, classes: tuple[str, ...], where: str) -> int:
    target = note.get(field) if isinstance(note, dict) else None
    if not isinstance(target, int) or not 0 <= target < len(classes):
        raise DataError(f"{where}: {field} {target!r} is not from 0 to {len(classes) - 1}: take the list from {PAGE}")
    name = note.get(f"{field}_str", classes[target])
    if name != classes[target]:
        raise DataError(f"{where}: {field} {target} is named '{name}', expected '{classes[target]}': see {PAGE}")
    return target


def _notes(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield the name and the values of each note, parsing in blocks: the list of train has 250 MB."""
    decoder = json.JSONDecoder()
    buffer = ""
    try:
        with path.open(encoding="utf-8-sig") as file:
            while block := file.read(BLOCK):
                buffer, at = buffer + block, 0
                while match := NOTE.match(buffer, at):
                    try:
                        note, at = decoder.raw_decode(buffer, match.end())
                    except json.JSONDecodeError:
                        break  # the note continues in the next block, or is malformed, which is detected at the end
                    yield json.loads(match[1]), note
                buffer = buffer[at:]
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not JSON in UTF-8 ({error}): take it from {PAGE}") from error
    if buffer.strip() not in ("}", "{}"):
        raise DataError(
            f"{path}: truncated, or not a JSON object of notes, at '{buffer.strip()[:40]}': get it from {PAGE}"
        )
