"""Registry of the data sets: their descriptions in datasets.yaml and their readers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from slowfast_cli.corpora import (
    audioset,
    audioset_strong,
    ava,
    ave,
    birdsong,
    charades,
    csv_table,
    epic,
    epic55,
    epic_sounds,
    esc,
    fluent,
    folder,
    hmdb51,
    kinetics,
    magnatagatune,
    nsynth,
    speech_commands,
    ssv2,
    tut18,
    ucf101,
    vggsound,
    voxceleb1,
    voxforge,
)
from slowfast_cli.corpora.dataset_info import DATASETS, DatasetInfo
from slowfast_cli.types import Corpus, Reader

READERS: Mapping[str, Reader] = {
    "vggsound": vggsound.read,
    "epic": epic.read,
    "esc50": esc.read_esc50,
    "esc10": esc.read_esc10,
    "kinetics400": kinetics.read,
    "kinetics600": kinetics.read600,
    "kinetics700": kinetics.read700,
    "ssv2": ssv2.read,
    "kinetics-sounds": kinetics.read_sounds,
    "epic55": epic55.read,
    "epic-sounds": epic_sounds.read,
    "charades": charades.read,
    "ava": ava.read,
    "ucf101": ucf101.read,
    "hmdb51": hmdb51.read,
    "ave": ave.read,
    "audioset": audioset.read,
    "audioset-strong": audioset_strong.read,
    "birdsong": birdsong.read,
    "tut18": tut18.read,
    "speech-commands-v1": speech_commands.read_v1,
    "speech-commands-v2": speech_commands.read_v2,
    "fluent": fluent.read,
    "voxforge": voxforge.read,
    "voxceleb1": voxceleb1.read,
    "nsynth-instrument": nsynth.read_instrument,
    "nsynth-pitch": nsynth.read_pitch,
    "magnatagatune": magnatagatune.read,
    "folder": folder.read,
    "csv": csv_table.read,
}
# Readers for pretraining without labels, where they find more files.
UNLABELED: Mapping[str, Reader] = {"folder": folder.read_unlabeled}
# Readers of tables, which read the named columns as label sets.
BY_COLUMN: Mapping[str, Callable[..., Corpus]] = {"csv": csv_table.read}


@dataclass(frozen=True, kw_only=True)
class DatasetEntry:
    """A data set that the toolkit reads."""

    info: DatasetInfo
    read: Reader
    read_unlabeled: Reader

    def reader(self, labels: Sequence[str]) -> Reader:
        """Return the reader of some label sets, which must be known before reading where they are columns."""
        by_column = BY_COLUMN.get(self.info.name)
        return partial(by_column, labels=labels) if by_column else self.read


CORPORA: dict[str, DatasetEntry] = {
    name: DatasetEntry(info=info, read=READERS[name], read_unlabeled=UNLABELED.get(name, READERS[name]))
    for name, info in DATASETS.items()
}
