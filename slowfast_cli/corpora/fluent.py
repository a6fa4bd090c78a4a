"""Fluent Speech Commands: what a spoken request is to do, to what, and where."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from slowfast_cli.corpora import labels
from slowfast_cli.corpora.dataset_info import DatasetInfo
from slowfast_cli.corpora.items import Item, absence, class_index, corpus
from slowfast_cli.corpora.lists import rows
from slowfast_cli.corpora.media_files import first_file
from slowfast_cli.types import Corpus, DataError

INFO = DatasetInfo(
    name="fluent",
    task="spoken requests: an action, an object and a location each",
    classes="6 actions, 14 objects, 4 locations",
    splits=("train", "val", "test"),
    files=(
        "data/{train,valid,test}_data.csv (there or in fluent_speech_commands_dataset/)",
        "wavs/speakers/<speaker>/<uuid>.wav",
    ),
    homepage="https://fluent.ai/fluent-speech-commands-a-dataset-for-spoken-language-understanding-research/",
    license="CC BY-NC-ND 4.0",
    note="a request counts as right if all three labels are: the score all_top1",
)
PLACES = ("", "fluent_speech_commands_dataset")
SLOTS = ("action", "object", "location")


def slots() -> dict[str, tuple[str, ...]]:
    """The classes of each label set: `labels/fluent_speech_commands_slots.csv`."""
    table = labels.table("fluent_speech_commands_slots")
    return {slot: tuple(row["name"] for row in table if row["slot"] == slot) for slot in SLOTS}


def read(root: Path, split: str) -> Corpus:
    """Read a split of Fluent Speech Commands.

    On disk, the archive as it is::

        root/[fluent_speech_commands_dataset/]data/{train,valid,test}_data.csv
        root/[fluent_speech_commands_dataset/]wavs/speakers/<speaker>/<uuid>.wav

    The lists have the columns ``path``, ``speakerId``, ``transcription``, ``action``, ``object``, ``location``, and a
    first one without a name; some values have blanks around them, which do not count. ``group`` is the speaker.

    Args:
        root: The folder.
        split: ``train``, ``val`` or ``test``.

    Raises:
        DataError: The list is not there or does not hold together.
    """
    INFO.check_split(split)
    name = f"{'valid' if split == 'val' else split}_data.csv"
    path = first_file(root / place / "data" / name for place in PLACES)
    if path is None:
        raise INFO.not_found(root)
    return corpus(INFO, split, _items(path), slots(), where=path)


def _items(path: Path) -> Iterator[Item]:
    top = path.parent.parent
    indices = {slot: {name: index for index, name in enumerate(names)} for slot, names in slots().items()}
    for number, row in rows(path):
        where = f"{path}: row {number}"
        if lost := {"path", "speakerId", *SLOTS} - row.keys():
            raise DataError(f"{where}: no column {', '.join(sorted(lost))}: take the lists of {INFO.homepage}")
        file = Path(row["path"])
        yield Item(
            id=f"{file.parent.name}/{file.stem}",
            path=top / file,
            targets={slot: class_index(row[slot], indices[slot], f"{where}: {slot}", INFO) for slot in SLOTS},
            group=row["speakerId"],
            wrong=absence(top / file),
        )
