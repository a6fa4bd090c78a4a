"""Fluent Speech Commands: the action, object and location of a spoken request."""

from collections.abc import Iterator
from pathlib import Path

from slowfast_cli.corpora import labels
from slowfast_cli.corpora.dataset_info import DATASETS
from slowfast_cli.corpora.items import Item, build_corpus, class_index, file_problem
from slowfast_cli.corpora.lists import rows
from slowfast_cli.types import Corpus, DataError

INFO = DATASETS["fluent"]
PLACES = ("", "fluent_speech_commands_dataset")
SLOTS = ("action", "object", "location")


def slot_classes() -> dict[str, tuple[str, ...]]:
    """Class names by label set, from `labels/fluent_speech_commands_slots.csv`."""
    table = labels.table("fluent_speech_commands_slots")
    return {slot: tuple(row["name"] for row in table if row["slot"] == slot) for slot in SLOTS}


def read(root: Path, split: str) -> Corpus:
    """Read a split of Fluent Speech Commands.

    On disk, the unpacked archive::

        root/[fluent_speech_commands_dataset/]data/{train,valid,test}_data.csv
        root/[fluent_speech_commands_dataset/]wavs/speakers/<speaker>/<uuid>.wav

    The lists have an unnamed first column and the columns ``path``, ``speakerId``, ``transcription``, ``action``,
    ``object`` and ``location``; blanks around values are ignored. ``group`` is the speaker.
    """
    INFO.check_split(split)
    path = INFO.find_list(root, PLACES, f"data/{'valid' if split == 'val' else split}_data.csv")
    return build_corpus(INFO, split, _items(path), slot_classes(), where=path)


def _items(path: Path) -> Iterator[Item]:
    top = path.parent.parent
    indices = {slot: {name: index for index, name in enumerate(names)} for slot, names in slot_classes().items()}
    for number, row in rows(path):
        where = f"{path}: row {number}"
        if absent := {"path", "speakerId", *SLOTS} - row.keys():
            raise DataError(f"{where}: no column {', '.join(sorted(absent))}: take the lists from {INFO.homepage}")
        file = Path(row["path"])
        yield Item(
            id=f"{file.parent.name}/{file.stem}",
            path=top / file,
            targets={slot: class_index(row[slot], indices[slot], f"{where}: {slot}", INFO) for slot in SLOTS},
            group=row["speakerId"],
            problem=file_problem(top / file),
        )
