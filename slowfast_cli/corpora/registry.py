"""The data sets that the toolkit reads: one registry, in the order that ``slowfast data ls`` shows."""

from __future__ import annotations

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
    esc10,
    esc50,
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
from slowfast_cli.corpora.lists import Origin
from slowfast_cli.types import Reader


@dataclass(frozen=True, kw_only=True)
class Known:
    """A data set that the toolkit reads.

    Attributes:
        read: Its reader.
        origin: What it is, and where to get it.
        recipe: The recipe that goes with it.
        everything: Splits that together hold every recording.
        heads: Number of classes by label set; empty where the data decides.
        mixed: Each of its files is sound or video, as it happens.
        unlabelled: Its reader for learning without labels, where that finds more.
    """

    read: Reader
    origin: Origin
    recipe: str
    everything: tuple[str, ...] = ("train", "val", "test")
    heads: Mapping[str, int] = field(default_factory=dict)
    mixed: bool = False
    unlabelled: Reader | None = None


TWO, ALL = ("train", "val"), ("all",)
# fmt: off
CORPORA: dict[str, Known] = {
    "vggsound": Known(read=vggsound.read, origin=vggsound.ORIGIN, recipe="vggsound", everything=("train", "test"),
                      heads={"label": 309}),
    "epic": Known(read=epic.read, origin=epic.ORIGIN, recipe="epic", everything=("train", "validation", "test"),
                  heads={"verb": 97, "noun": 300}),
    "esc50": Known(read=esc50.read, origin=esc50.ORIGIN, recipe="esc50", everything=ALL, heads={"label": 50}),
    "esc10": Known(read=esc10.read, origin=esc10.ORIGIN, recipe="esc10", everything=ALL, heads={"label": 10}),
    "kinetics400": Known(read=kinetics.read, origin=kinetics.ORIGIN, recipe="kinetics-av", everything=TWO,
                         heads={"label": 400}),
    "kinetics600": Known(read=kinetics.read600, origin=kinetics.ORIGIN600, recipe="kinetics-audio", everything=TWO,
                         heads={"label": 600}),
    "kinetics-sounds": Known(read=kinetics.read_sounds, origin=kinetics.ORIGIN_SOUNDS, recipe="kinetics-sounds",
                             everything=TWO, heads={"label": 32}),
    "epic55": Known(read=epic55.read, origin=epic55.ORIGIN, recipe="epic55-av", heads={"verb": 125, "noun": 352},
                    everything=("all", "test_s1", "test_s2")),
    "charades": Known(read=charades.read, origin=charades.ORIGIN, recipe="charades-av", everything=("train", "test"),
                      heads={"label": 157}),
    "ava": Known(read=ava.read, origin=ava.ORIGIN, recipe="ava-av", everything=TWO, heads={"label": 80}),
    "ucf101": Known(read=ucf101.read, origin=ucf101.ORIGIN, recipe="ucf101", everything=ALL, heads={"label": 101}),
    "hmdb51": Known(read=hmdb51.read, origin=hmdb51.ORIGIN, recipe="hmdb51", everything=ALL, heads={"label": 51}),
    "audioset": Known(read=audioset.read, origin=audioset.ORIGIN, recipe="hares/audioset",
                      everything=("balanced", "unbalanced", "eval"), heads={"label": 527}),
    "birdsong": Known(read=birdsong.read, origin=birdsong.ORIGIN, recipe="hares/birdsong",
                      everything=("train", "test"), heads={"label": 2}),
    "tut18": Known(read=tut18.read, origin=tut18.ORIGIN, recipe="hares/tut18", everything=("train", "test"),
                   heads={"label": 10}),
    "speech-commands-v1": Known(read=speech_commands.read_v1, origin=speech_commands.ORIGIN_V1,
                                recipe="hares/speech_commands_v1", heads={"label": 12}),
    "speech-commands-v2": Known(read=speech_commands.read_v2, origin=speech_commands.ORIGIN_V2,
                                recipe="hares/speech_commands_v2", heads={"label": 35}),
    "fluent": Known(read=fluent.read, origin=fluent.ORIGIN, recipe="hares/fluent",
                    heads={"action": 6, "object": 14, "location": 4}),
    "voxforge": Known(read=voxforge.read, origin=voxforge.ORIGIN, recipe="hares/voxforge", heads={"label": 6}),
    "voxceleb1": Known(read=voxceleb1.read, origin=voxceleb1.ORIGIN, recipe="hares/voxceleb1", heads={"label": 1251}),
    "nsynth-instrument": Known(read=nsynth.read_instrument, origin=nsynth.ORIGIN_INSTRUMENT,
                               recipe="hares/nsynth_instrument", heads={"label": 11}),
    "nsynth-pitch": Known(read=nsynth.read_pitch, origin=nsynth.ORIGIN_PITCH, recipe="hares/nsynth_pitch",
                          heads={"label": 128}),
    "magnatagatune": Known(read=magnatagatune.read, origin=magnatagatune.ORIGIN, recipe="hares/magnatagatune",
                           heads={"label": 50}),
    "folder": Known(read=folder.read, origin=folder.ORIGIN, recipe="folder", mixed=True,
                    unlabelled=folder.read_unlabelled),
    "csv": Known(read=csv_table.read, origin=csv_table.ORIGIN, recipe="folder", mixed=True),
}
# fmt: on
