"""Speech Commands: one spoken word a second; all 35 words, or ten of them, silence and the unknown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from slowfast_cli.corpora import labels
from slowfast_cli.corpora.dataset_info import DatasetInfo
from slowfast_cli.corpora.items import GONE, Item, corpus
from slowfast_cli.corpora.lists import lines
from slowfast_cli.corpora.media_files import first_file, media_index
from slowfast_cli.media import audio
from slowfast_cli.types import Corpus, DataError, Recording

SPLITS = ("train", "val", "test")
LISTS = ("validation_list.txt", "testing_list.txt")
PAGE = "https://www.tensorflow.org/datasets/catalog/speech_commands"
INFO_V2 = DatasetInfo(
    name="speech-commands-v2",
    task="spoken words, one label a recording",
    classes="35",
    splits=SPLITS,
    files=(
        "validation_list.txt, testing_list.txt (there or in speech_commands_v0.02/)",
        "<word>/<speaker>_nohash_<n>.wav",
    ),
    homepage=PAGE,
    license="CC BY 4.0",
)
INFO_V1 = DatasetInfo(
    name="speech-commands-v1",
    task="ten spoken words, silence and the unknown, one label a recording",
    classes="12",
    splits=SPLITS,
    files=(
        "validation_list.txt, testing_list.txt (there or in speech_commands_v0.0{1,2}/)",
        "<word>/<speaker>_nohash_<n>.wav, _background_noise_/*.wav",
        "speech_commands_test_set_v0.0{1,2}/<label>/*.wav (may be left out: see the note)",
    ),
    homepage=PAGE,
    license="CC BY 4.0",
    note="test is the archive of the test set; without it the testing list, which has no silence: not comparable",
)
PLACES = {
    "v0.02": ("", "speech_commands_v0.02", "speech_commands_v2"),
    "v0.01": ("", "speech_commands_v0.01", "speech_commands_v1"),
}
TESTS = {"v0.02": ("speech_commands_test_set_v0.02", "test"), "v0.01": ("speech_commands_test_set_v0.01", "test")}
NOISE, SILENCE, UNKNOWN = "_background_noise_", "_silence_", "_unknown_"
VALIDATES = "running_tap"  # of the noises
LISTED = re.compile(r"(\w+)/([^/]+)\.wav")


@dataclass(frozen=True, kw_only=True)
class Archive:
    """An unpacked archive of words.

    Attributes:
        top: Where it is.
        version: ``v0.01`` or ``v0.02``.
        words: Its words, sorted.
    """

    top: Path
    version: str
    words: tuple[str, ...]


def read_v2(root: Path, split: str) -> Corpus:
    """Read a split of Speech Commands v0.02 with all of its 35 words.

    On disk, the archive unpacked into a folder of its own (it has none)::

        root/[speech_commands_v0.02/]{validation_list,testing_list}.txt      <word>/<speaker>_nohash_<n>.wav
        root/[speech_commands_v0.02/]<word>/<speaker>_nohash_<n>.wav

    ``val`` (9,981) and ``test`` (11,005) are what the lists name, ``train`` (84,843) every other recording of a word on
    disk. Classes: `labels/speech_commands_v2_35.csv`. Files that macOS leaves beside others (``._*``) are none of it.
    ``group`` is the speaker.

    Args:
        root: The folder.
        split: ``train``, ``val`` or ``test``.

    Raises:
        DataError: It is not there, or is v0.01.
    """
    INFO_V2.check_split(split)
    archive = _archive(root, INFO_V2, ("v0.02",))
    indices = labels.indices("speech_commands_v2_35")
    classes = {"label": labels.names("speech_commands_v2_35")}
    return corpus(INFO_V2, split, _words(archive, split, indices), classes, where=archive.top)


def read_v1(root: Path, split: str) -> Corpus:
    """Read a split of Speech Commands with 12 labels: ten words, silence, and every other word as unknown.

    On disk, as for `read_v2`, of v0.02 or v0.01 (``note`` of the corpus says which is found; v0.02 is preferred), and::

        root/[speech_commands_v0.0N/]_background_noise_/*.wav                 six recordings of a minute or more
        root/{speech_commands_test_set_v0.0N,test}/<one of 12 labels>/*.wav   the archive of the test set

    Made as TensorFlow Datasets makes it, which HARES reads: no word is left out for balance; noises are cut into
    seconds, one every half a second, `running_tap` for ``val`` and the others for ``train``. With v0.02 ``train`` then
    is 85,511. ``test`` is the archive of the test set (4,890; v0.01: 3,081). Without that archive it is what the
    testing list names: ten words as they are, every other as unknown, no silence. Those scores do not compare with
    published ones, and ``note`` says so. Class order: `labels/speech_commands_12.csv`.

    Args:
        root: The folder.
        split: ``train``, ``val`` or ``test``.

    Raises:
        DataError: It is not there; a noise cannot be read.
    """
    INFO_V1.check_split(split)
    archive = _archive(root, INFO_V1, ("v0.02", "v0.01"))
    keywords = labels.indices("speech_commands_12")
    note = f"words of Speech Commands {archive.version}"
    indices = {word: keywords.get(word, keywords[UNKNOWN]) for word in archive.words}
    ready = next((root / name for name in TESTS[archive.version] if (root / name / SILENCE).is_dir()), None)
    if split != "test":
        items = [*_words(archive, split, indices), *_silence(archive, split, keywords[SILENCE])]
    elif ready is not None:
        items = [item for label, index in keywords.items() for item in _ready(ready / label, index)]
        note += f", test set of {ready.name}"
    else:
        items = list(_words(archive, split, indices))
        note += f", tested on {LISTS[1]}, without silence: {TESTS[archive.version][0]} is not there"
    classes = {"label": labels.names("speech_commands_12")}
    return corpus(INFO_V1, split, items, classes, where=archive.top, note=note)


def _archive(root: Path, info: DatasetInfo, versions: tuple[str, ...]) -> Archive:
    """The archive that is there; its version is told by its words."""
    rows = labels.table("speech_commands_v2_35")
    words = {
        "v0.02": tuple(row["name"] for row in rows),
        "v0.01": tuple(row["name"] for row in rows if row["in_v1"] == "1"),
    }
    tops = [root / place for version in versions for place in PLACES[version]]
    listing = first_file(top / LISTS[0] for top in tops)
    if listing is None or not (listing.parent / LISTS[1]).is_file():
        raise info.not_found(root)
    top = listing.parent
    gone = {version: [word for word in words[version] if not (top / word).is_dir()] for version in versions}
    version = next((each for each in versions if not gone[each]), None)
    if version is None:
        lost, least = min((len(each), name) for name, each in gone.items())
        raise DataError(
            f"{top}: {lost} of the {len(words[least])} words of {least} have no folder, as '{gone[least][0]}' "
            f"(v0.01 has 30 words): unpack speech_commands_{versions[0]}.tar.gz there"
        )
    return Archive(top=top, version=version, words=words[version])


def _words(archive: Archive, split: str, indices: dict[str, int]) -> Iterator[Item]:
    """Recordings of words: of the lists as listed, of train what is on disk and in no list."""
    found = {
        (word, stem): path
        for word in archive.words
        for stem, path in media_index([archive.top / word]).items()
        if not stem.startswith(".")
    }
    listed = {part: _listed(archive, name) for part, name in zip(SPLITS[1:], LISTS, strict=True)}
    wanted = listed[split] if split in listed else sorted(found.keys() - {*listed["val"], *listed["test"]})
    for word, stem in wanted:
        yield Item(
            id=f"{word}/{stem}",
            path=found.get((word, stem), archive.top / word / f"{stem}.wav"),
            targets={"label": indices[word]},
            group=stem.partition("_nohash_")[0],
            wrong="" if (word, stem) in found else GONE,
        )


def _listed(archive: Archive, name: str) -> list[tuple[str, str]]:
    """Word and name of each recording that a list names."""
    found = []
    for number, line in lines(archive.top / name):
        match = LISTED.fullmatch(line)
        if match is None or match[1] not in archive.words:
            raise DataError(
                f"{archive.top / name}: row {number}: '{line}' is no <word>/<name>.wav of one of the "
                f"{len(archive.words)} words of {archive.version}: take the list of its archive"
            )
        found.append((match[1], match[2]))
    return found


def _silence(archive: Archive, split: str, index: int) -> Iterator[Item]:
    """Seconds of noise, one every half a second; what fills none at the end is left out."""
    for stem, path in sorted(media_index([archive.top / NOISE]).items()):
        if stem.startswith(".") or (stem == VALIDATES) != (split == "val"):
            continue
        id = f"{NOISE}/{stem}"
        length = audio.probe(Recording(id=id, path=path)).seconds
        for half in range(ceil(2 * (length - 1))):
            yield Item(
                id=f"{id}_{half * 8000}",  # its first sample, as TensorFlow Datasets names it
                path=path,
                targets={"label": index},
                group=stem,
                recording=id,
                start=half / 2,
                stop=half / 2 + 1,
            )


def _ready(folder: Path, index: int) -> Iterator[Item]:
    """Recordings of one label of the test set's archive."""
    for stem, path in sorted(media_index([folder]).items()):
        if not stem.startswith("."):
            group = stem.partition("_nohash_")[0]
            # Of train there may be a recording of the same name.
            yield Item(id=f"test/{folder.name}/{stem}", path=path, targets={"label": index}, group=group)
