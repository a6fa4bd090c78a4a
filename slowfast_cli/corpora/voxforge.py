"""VoxForge: spoken language identification, six languages."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from slowfast_cli.corpora import labels
from slowfast_cli.corpora.dataset_info import DATASETS
from slowfast_cli.corpora.items import Item, build_corpus
from slowfast_cli.corpora.media_files import subfolders
from slowfast_cli.types import Corpus, DataError

INFO = DATASETS["voxforge"]
TOPS = ("", "downloads", "www.repository.voxforge1.org/downloads", "repository.voxforge1.org/downloads")
ARCHIVES = Path("Trunk") / "Audio" / "Main" / "16kHz_16bit"


def read(root: Path, split: str) -> Corpus:
    """Read a split of VoxForge.

    On disk, the 16 kHz archives as fetched by ``wget -x``, each unpacked in place::

        root/[www.repository.voxforge1.org/downloads/]<language>/Trunk/Audio/Main/16kHz_16bit/<archive>/wav/*.wav

    The speaker is an archive's name up to its first ``-`` (``anonymous`` is many people). The speakers of all languages
    are sorted, shuffled by NumPy's generator with seed 0 and cut at 70 and 80 percent into ``train``, ``val`` and
    ``test``, like `voxforge` 1.0.0 of TensorFlow Datasets: this is the papers' split only if all archives of its list
    are on disk. Archives without ``wav/`` (FLAC, or nothing) and empty files are counted in ``missing``.

    Raises:
        DataError: No archive is found, or one is not unpacked.
    """
    INFO.check_split(split)
    archives = [(language, folder) for language in labels.names("voxforge") for folder in _archives(root, language)]
    if not archives:
        raise INFO.not_found(root)
    speakers = split_speakers({_speaker(folder) for _, folder in archives})[split]
    items = (item for language, folder in archives if _speaker(folder) in speakers for item in _items(language, folder))
    return build_corpus(INFO, split, items, {"label": labels.names("voxforge")}, where=root, note=INFO.note)


def split_speakers(speakers: set[str]) -> dict[str, frozenset[str]]:
    """Divide the speakers into splits of 70, 10 and 20 percent."""
    order = sorted(speakers)
    np.random.RandomState(0).shuffle(order)
    first, second = int(0.7 * len(order)), int(0.8 * len(order))
    return {"train": frozenset(order[:first]), "val": frozenset(order[first:second]), "test": frozenset(order[second:])}


def _speaker(folder: Path) -> str:
    return folder.name.partition("-")[0]


def _archives(root: Path, language: str) -> Iterator[Path]:
    """Yield the unpacked archives of a language, sorted."""
    for top in TOPS:
        place = root / top / language / ARCHIVES
        if not place.is_dir():
            continue
        packed = sorted(path for path in place.iterdir() if path.name.endswith((".tgz", ".tar.gz")))
        left = [
            path for path in packed if not (place / path.name.removesuffix(".tgz").removesuffix(".tar.gz")).is_dir()
        ]
        if left:
            raise DataError(
                f"{left[0]}: not unpacked, and {len(left) - 1} more archives; expected a folder of that name: unpack "
                f"each in place: cd '{place}' && for f in *.tgz; do tar -xzf \"$f\"; done"
            )
        yield from subfolders(place)
        return


def _items(language: str, folder: Path) -> Iterator[Item]:
    id = f"{language}/{folder.name}"
    wavs: list[os.DirEntry[str]] = []
    if (folder / "wav").is_dir():
        with os.scandir(folder / "wav") as entries:
            wavs = [entry for entry in entries if entry.name.lower().endswith(".wav") and entry.name[0] != "."]
    if not wavs:
        yield Item(id=id, path=folder / "wav", problem="no wav/*.wav in the archive")
    for wav in sorted(wavs, key=lambda entry: entry.name):
        path = Path(wav.path)
        yield Item(
            id=f"{id}/{path.stem}",
            path=path,
            targets={"label": labels.indices("voxforge")[language]},
            group=_speaker(folder),
            problem="" if wav.stat().st_size else "empty file",
        )
