"""Speech Commands: 1 s recordings of a spoken word; all 35 words, or ten of them, silence and unknown words."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from slowfast_cli.corpora import labels
from slowfast_cli.corpora.dataset_info import DATASETS, DatasetInfo
from slowfast_cli.corpora.items import NOT_ON_DISK, Item, build_corpus
from slowfast_cli.corpora.lists import lines
from slowfast_cli.corpora.media_files import first_file, media_index
from slowfast_cli.media import audio
from slowfast_cli.types import Corpus, DataError, Recording

SPLITS = ("train", "val", "test")
LISTS = ("validation_list.txt", "testing_list.txt")
PAGE = "https://www.tensorflow.org/datasets/catalog/speech_commands"
INFO_V2 = DATASETS["speech-commands-v2"]
INFO_V1 = DATASETS["speech-commands-v1"]
PLACES = {
    "v0.02": ("", "speech_commands_v0.02", "speech_commands_v2"),
    "v0.01": ("", "speech_commands_v0.01", "speech_commands_v1"),
}
TESTS = {"v0.02": ("speech_commands_test_set_v0.02", "test"), "v0.01": ("speech_commands_test_set_v0.01", "test")}
NOISE, SILENCE, UNKNOWN = "_background_noise_", "_silence_", "_unknown_"
VALIDATION_NOISE = "running_tap"
LISTED = re.compile(r"(\w+)/([^/]+)\.wav")


@dataclass(frozen=True, kw_only=True)
class Archive:
    """An unpacked archive of words."""

    top: Path
    version: str  # "v0.01" or "v0.02"
    words: tuple[str, ...]  # sorted


def read_v2(root: Path, split: str) -> Corpus:
    """Read a split of Speech Commands v0.02 with all 35 words.

    On disk, the archive unpacked into its own folder (it contains no top folder)::

        root/[speech_commands_v0.02/]{validation_list,testing_list}.txt      <word>/<speaker>_nohash_<n>.wav
        root/[speech_commands_v0.02/]<word>/<speaker>_nohash_<n>.wav

    ``val`` (9,981) and ``test`` (11,005) are the recordings in the lists, ``train`` (84,843) is every other recording
    of a word on disk. Classes: `labels/speech_commands_v2_35.csv`. ``._*`` files of macOS are ignored. ``group`` is the
    speaker.

    Raises:
        DataError: The archive is not found, or is v0.01.
    """
    INFO_V2.check_split(split)
    archive = _archive(root, INFO_V2, ("v0.02",))
    indices = labels.indices("speech_commands_v2_35")
    classes = {"label": labels.names("speech_commands_v2_35")}
    return build_corpus(INFO_V2, split, _words(archive, split, indices), classes, where=archive.top)


def read_v1(root: Path, split: str) -> Corpus:
    """Read a split of Speech Commands with 12 labels: ten words, silence, and every other word as unknown.

    On disk, as for `read_v2`, v0.02 (preferred) or v0.01, and::

        root/[speech_commands_v0.0N/]_background_noise_/*.wav                 six recordings of a minute or more
        root/{speech_commands_test_set_v0.0N,test}/<one of 12 labels>/*.wav   the archive of the test set

    Built like TensorFlow Datasets, which HARES uses: unknown words are not subsampled; noises are cut into 1 s segments
    every 0.5 s, `running_tap` for ``val`` and the others for ``train`` (85,511 recordings with v0.02). ``test`` is the
    archive of the test set (4,890; v0.01: 3,081). Without that archive it is the testing list, which has no silence:
    its scores are not comparable with published ones. ``note`` of the corpus names the version and the test set. Class
    order: `labels/speech_commands_12.csv`.

    Raises:
        DataError: The archive is not found, or a noise recording cannot be read.
    """
    INFO_V1.check_split(split)
    archive = _archive(root, INFO_V1, ("v0.02", "v0.01"))
    keywords = labels.indices("speech_commands_12")
    note = f"words of Speech Commands {archive.version}"
    indices = {word: keywords.get(word, keywords[UNKNOWN]) for word in archive.words}
    test_set = next((root / name for name in TESTS[archive.version] if (root / name / SILENCE).is_dir()), None)
    if split != "test":
        items = [*_words(archive, split, indices), *_silence(archive, split, keywords[SILENCE])]
    elif test_set is not None:
        items = [item for label, index in keywords.items() for item in _test_set(test_set / label, index)]
        note += f", test set of {test_set.name}"
    else:
        items = list(_words(archive, split, indices))
        note += f", tested on {LISTS[1]}, without silence: {TESTS[archive.version][0]} not found"
    classes = {"label": labels.names("speech_commands_12")}
    return build_corpus(INFO_V1, split, items, classes, where=archive.top, note=note)


def _archive(root: Path, info: DatasetInfo, versions: tuple[str, ...]) -> Archive:
    """Find the archive; its words determine its version."""
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
    absent = {version: [word for word in words[version] if not (top / word).is_dir()] for version in versions}
    version = next((name for name in versions if not absent[name]), None)
    if version is None:
        count, closest = min((len(folders), name) for name, folders in absent.items())
        raise DataError(
            f"{top}: {count} of the {len(words[closest])} words of {closest} have no folder, such as "
            f"'{absent[closest][0]}' (v0.01 has 30 words): unpack speech_commands_{versions[0]}.tar.gz there"
        )
    return Archive(top=top, version=version, words=words[version])


def _words(archive: Archive, split: str, indices: dict[str, int]) -> Iterator[Item]:
    """Recordings of words: those in the list of the split; for train, those on disk and in no list."""
    media = {
        (word, stem): path
        for word in archive.words
        for stem, path in media_index([archive.top / word]).items()
        if not stem.startswith(".")
    }
    lists = {part: _listed(archive, name) for part, name in zip(SPLITS[1:], LISTS, strict=True)}
    names = lists[split] if split in lists else sorted(media.keys() - {*lists["val"], *lists["test"]})
    for word, stem in names:
        yield Item(
            id=f"{word}/{stem}",
            path=media.get((word, stem), archive.top / word / f"{stem}.wav"),
            targets={"label": indices[word]},
            group=stem.partition("_nohash_")[0],
            problem="" if (word, stem) in media else NOT_ON_DISK,
        )


def _listed(archive: Archive, name: str) -> list[tuple[str, str]]:
    """Read the word and the file stem of each recording in a list."""
    recordings = []
    for number, line in lines(archive.top / name):
        match = LISTED.fullmatch(line)
        if match is None or match[1] not in archive.words:
            raise DataError(
                f"{archive.top / name}: row {number}: '{line}' is not <word>/<name>.wav of one of the "
                f"{len(archive.words)} words of {archive.version}: take the list from its archive"
            )
        recordings.append((match[1], match[2]))
    return recordings


def _silence(archive: Archive, split: str, index: int) -> Iterator[Item]:
    """1 s segments of the noise recordings, one every 0.5 s."""
    for stem, path in sorted(media_index([archive.top / NOISE]).items()):
        if stem.startswith(".") or (stem == VALIDATION_NOISE) != (split == "val"):
            continue
        id = f"{NOISE}/{stem}"
        length = audio.probe(Recording(id=id, path=path)).seconds
        for half in range(ceil(2 * (length - 1))):
            yield Item(
                id=f"{id}_{half * 8000}",  # named after its first sample, as in TensorFlow Datasets
                path=path,
                targets={"label": index},
                group=stem,
                recording=id,
                start=half / 2,
                stop=half / 2 + 1,
            )


def _test_set(folder: Path, index: int) -> Iterator[Item]:
    """Recordings of one label in the archive of the test set."""
    for stem, path in sorted(media_index([folder]).items()):
        if not stem.startswith("."):
            group = stem.partition("_nohash_")[0]
            # The prefix keeps ids distinct from recordings of the same name in train.
            yield Item(id=f"test/{folder.name}/{stem}", path=path, targets={"label": index}, group=group)
