"""VoxCeleb1: which of 1,251 people is speaking."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from slowfast_cli.corpora import labels
from slowfast_cli.corpora.dataset_info import DatasetInfo
from slowfast_cli.corpora.items import GONE, Item, class_index, corpus
from slowfast_cli.corpora.lists import lines
from slowfast_cli.corpora.media_files import first_file, subfolders
from slowfast_cli.types import Corpus, DataError

INFO = DatasetInfo(
    name="voxceleb1",
    task="speakers, one label a recording",
    classes="1,251",
    splits=("train", "val", "test"),
    files=(
        "iden_split.txt",
        "wav/<id10001>/<youtube id>/<00001>.wav (of both archives, vox1_dev_wav.zip and vox1_test_wav.zip)",
        "or {dev,test,vox1_dev_wav,vox1_test_wav}/wav/<id10001>/<youtube id>/<00001>.wav",
    ),
    homepage="https://www.robots.ox.ac.uk/~vgg/data/voxceleb/vox1.html",
    license="CC BY 4.0",
    note="identification: needs both archives, or the 40 speakers of the second are missing",
)
CODES = {"1": "train", "2": "val", "3": "test"}
UTTERANCE = re.compile(r"(id\d{5})/(.+)/([^/]+)\.wav")
SUFFIXES = (".wav", ".m4a", ".flac")


def read(root: Path, split: str) -> Corpus:
    """Read the identification split of VoxCeleb1.

    On disk, both archives (the first is four parts, for ``cat``), in one tree or each in a folder of its own::

        root/iden_split.txt                                  <1, 2 or 3> <speaker>/<youtube id>/<number>.wav
        root/[<any folder>/]wav/<speaker>/<youtube id>/<number>.wav        or .m4a, as it was first released, or .flac
        root/<speaker>/...

    1 is ``train`` (138,361), 2 ``val`` (6,904), 3 ``test`` (8,251); every speaker is in all three. The class is the
    number in the speaker's id less 10001: `labels/voxceleb1_speakers.csv`. ``group`` is the video.

    Args:
        root: The folder.
        split: ``train``, ``val`` or ``test``.

    Raises:
        DataError: The list is not there or does not hold together.
    """
    INFO.check_split(split)
    path = first_file([root / "iden_split.txt"])
    if path is None:
        raise INFO.not_found(root)
    classes = {"label": labels.names("voxceleb1_speakers")}
    return corpus(INFO, split, _items(path, split, _speakers(root)), classes, where=path)


def _speakers(root: Path) -> dict[str, Path]:
    """The folder of every speaker that is there."""
    wavs = [root / "wav", *(folder / "wav" for folder in subfolders(root)), root]
    return {each.name: each for place in reversed(wavs) if place.is_dir() for each in subfolders(place)}


def _items(path: Path, split: str, speakers: dict[str, Path]) -> Iterator[Item]:
    for number, line in lines(path):
        where = f"{path}: row {number}"
        code, _, file = line.partition(" ")
        match = UTTERANCE.fullmatch(file.strip())
        if code not in CODES or match is None:
            raise DataError(
                f"{where}: '{line}' is not 1, 2 or 3 and <speaker>/<video>/<number>.wav: take iden_split.txt of "
                f"{INFO.homepage}"
            )
        if CODES[code] != split:
            continue
        speaker, video, utterance = match.groups()
        stem = speakers.get(speaker, path.parent / "wav" / speaker) / video / utterance
        found = first_file(stem.with_name(utterance + suffix) for suffix in SUFFIXES) if speaker in speakers else None
        yield Item(
            id=f"{speaker}/{video}/{utterance}",
            path=found or stem.with_name(f"{utterance}.wav"),
            targets={"label": class_index(speaker, labels.indices("voxceleb1_speakers"), where, INFO)},
            group=video,
            wrong="" if found else GONE,
        )
