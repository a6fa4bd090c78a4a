"""VoxCeleb1: speaker identification, 1,251 speakers."""

import re
from collections.abc import Iterator
from pathlib import Path

from slowfast_cli.corpora import labels
from slowfast_cli.corpora.dataset_info import DATASETS
from slowfast_cli.corpora.items import NOT_ON_DISK, Item, build_corpus, class_index
from slowfast_cli.corpora.lists import lines
from slowfast_cli.corpora.media_files import first_file, subfolders
from slowfast_cli.types import Corpus, DataError

INFO = DATASETS["voxceleb1"]
CODES = {"1": "train", "2": "val", "3": "test"}
UTTERANCE = re.compile(r"(id\d{5})/(.+)/([^/]+)\.wav")
SUFFIXES = (".wav", ".m4a", ".flac")


def read(root: Path, split: str) -> Corpus:
    """Read the identification split of VoxCeleb1.

    On disk, both archives (the first is in four parts, joined with ``cat``), in one tree or in a folder each::

        root/iden_split.txt                                  <1, 2 or 3> <speaker>/<youtube id>/<number>.wav
        root/[<any folder>/]wav/<speaker>/<youtube id>/<number>.wav        or .m4a, as it was first released, or .flac
        root/<speaker>/...

    1 is ``train`` (138,361), 2 ``val`` (6,904), 3 ``test`` (8,251); every speaker is in all three. The class index is
    the number in the speaker's id minus 10001, see `labels/voxceleb1_speakers.csv`. ``group`` is the video.
    """
    INFO.check_split(split)
    path = INFO.find_list(root, ("",), "iden_split.txt")
    classes = {"label": labels.names("voxceleb1_speakers")}
    return build_corpus(INFO, split, _items(path, split, _speaker_folders(root)), classes, where=path)


def _speaker_folders(root: Path) -> dict[str, Path]:
    wavs = [root / "wav", *(folder / "wav" for folder in subfolders(root)), root]
    return {folder.name: folder for place in reversed(wavs) if place.is_dir() for folder in subfolders(place)}


def _items(path: Path, split: str, speakers: dict[str, Path]) -> Iterator[Item]:
    for number, line in lines(path):
        where = f"{path}: row {number}"
        code, _, file = line.partition(" ")
        match = UTTERANCE.fullmatch(file.strip())
        if code not in CODES or match is None:
            raise DataError(
                f"{where}: '{line}' is not 1, 2 or 3 and <speaker>/<video>/<number>.wav: get it from {INFO.homepage}"
            )
        if CODES[code] != split:
            continue
        speaker, video, utterance = match.groups()
        stem = speakers.get(speaker, path.parent / "wav" / speaker) / video / utterance
        media = first_file(stem.with_name(utterance + suffix) for suffix in SUFFIXES) if speaker in speakers else None
        yield Item(
            id=f"{speaker}/{video}/{utterance}",
            path=media or stem.with_name(f"{utterance}.wav"),
            targets={"label": class_index(speaker, labels.indices("voxceleb1_speakers"), where, INFO)},
            group=video,
            problem="" if media else NOT_ON_DISK,
        )
