"""Registry of the data sets, in the order of ``slowfast data ls``."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from slowfast_cli.corpora import (
    audioset,
    ava,
    birdsong,
    charades,
    csv_table,
    epic,
    epic55,
    esc,
    fluent,
    folder,
    hmdb51,
    kinetics,
    magnatagatune,
    nsynth,
    speech_commands,
    tut18,
    ucf101,
    vggsound,
    voxceleb1,
    voxforge,
)
from slowfast_cli.corpora.dataset_info import DatasetInfo
from slowfast_cli.types import Reader


@dataclass(frozen=True, kw_only=True)
class DatasetEntry:
    """A data set that the toolkit reads."""

    read: Reader
    info: DatasetInfo
    recipe: str  # bundled recipe for this data set
    all_splits: tuple[str, ...] = ("train", "val", "test")  # splits that together contain every recording
    heads: Mapping[str, int] = field(default_factory=dict)  # number of classes by label set; empty: read from the data
    audio_or_video: bool = False  # each file may be either
    read_unlabeled: Reader | None = None  # reader for pretraining without labels, where it finds more files


TWO, ALL = ("train", "val"), ("all",)
# fmt: off
CORPORA: dict[str, DatasetEntry] = {
    "vggsound": DatasetEntry(read=vggsound.read, info=vggsound.INFO, recipe="vggsound", all_splits=("train", "test"),
        heads={"label": 309}),
    "epic": DatasetEntry(read=epic.read, info=epic.INFO, recipe="epic", all_splits=("train", "validation", "test"),
        heads={"verb": 97, "noun": 300}),
    "esc50": DatasetEntry(read=esc.read_esc50, info=esc.INFO50, recipe="esc50", all_splits=ALL, heads={"label": 50}),
    "esc10": DatasetEntry(read=esc.read_esc10, info=esc.INFO10, recipe="esc10", all_splits=ALL, heads={"label": 10}),
    "kinetics400": DatasetEntry(read=kinetics.read, info=kinetics.INFO, recipe="kinetics-av", all_splits=TWO,
        heads={"label": 400}),
    "kinetics600": DatasetEntry(read=kinetics.read600, info=kinetics.INFO600, recipe="kinetics-audio", all_splits=TWO,
        heads={"label": 600}),
    "kinetics-sounds": DatasetEntry(read=kinetics.read_sounds, info=kinetics.INFO_SOUNDS, recipe="kinetics-sounds",
        all_splits=TWO, heads={"label": 32}),
    "epic55": DatasetEntry(read=epic55.read, info=epic55.INFO, recipe="epic55-av", heads={"verb": 125, "noun": 352},
        all_splits=("all", "test_s1", "test_s2")),
    "charades": DatasetEntry(read=charades.read, info=charades.INFO, recipe="charades-av", all_splits=("train", "test"),
        heads={"label": 157}),
    "ava": DatasetEntry(read=ava.read, info=ava.INFO, recipe="ava-av", all_splits=TWO, heads={"label": 80}),
    "ucf101": DatasetEntry(read=ucf101.read, info=ucf101.INFO, recipe="ucf101", all_splits=ALL, heads={"label": 101}),
    "hmdb51": DatasetEntry(read=hmdb51.read, info=hmdb51.INFO, recipe="hmdb51", all_splits=ALL, heads={"label": 51}),
    "audioset": DatasetEntry(read=audioset.read, info=audioset.INFO, recipe="hares/audioset",
        all_splits=("balanced", "unbalanced", "eval"), heads={"label": 527}),
    "birdsong": DatasetEntry(read=birdsong.read, info=birdsong.INFO, recipe="hares/birdsong",
        all_splits=("train", "test"), heads={"label": 2}),
    "tut18": DatasetEntry(read=tut18.read, info=tut18.INFO, recipe="hares/tut18", all_splits=("train", "test"),
        heads={"label": 10}),
    "speech-commands-v1": DatasetEntry(read=speech_commands.read_v1, info=speech_commands.INFO_V1,
        recipe="hares/speech_commands_v1", heads={"label": 12}),
    "speech-commands-v2": DatasetEntry(read=speech_commands.read_v2, info=speech_commands.INFO_V2,
        recipe="hares/speech_commands_v2", heads={"label": 35}),
    "fluent": DatasetEntry(read=fluent.read, info=fluent.INFO, recipe="hares/fluent",
        heads={"action": 6, "object": 14, "location": 4}),
    "voxforge": DatasetEntry(read=voxforge.read, info=voxforge.INFO, recipe="hares/voxforge", heads={"label": 6}),
    "voxceleb1": DatasetEntry(read=voxceleb1.read, info=voxceleb1.INFO, recipe="hares/voxceleb1",
        heads={"label": 1251}),
    "nsynth-instrument": DatasetEntry(read=nsynth.read_instrument, info=nsynth.INFO_INSTRUMENT,
        recipe="hares/nsynth_instrument", heads={"label": 11}),
    "nsynth-pitch": DatasetEntry(read=nsynth.read_pitch, info=nsynth.INFO_PITCH, recipe="hares/nsynth_pitch",
        heads={"label": 128}),
    "magnatagatune": DatasetEntry(read=magnatagatune.read, info=magnatagatune.INFO, recipe="hares/magnatagatune",
        heads={"label": 50}),
    "folder": DatasetEntry(read=folder.read, info=folder.INFO, recipe="folder", audio_or_video=True,
        read_unlabeled=folder.read_unlabeled),
    "csv": DatasetEntry(read=csv_table.read, info=csv_table.INFO, recipe="folder", audio_or_video=True),
}
# fmt: on
