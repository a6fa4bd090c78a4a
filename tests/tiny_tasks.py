"""The data sets of the twelve tasks of HARES: a few short recordings each, in the layouts and lists they come in."""

import csv
import json
import shutil
from collections.abc import Callable, Generator
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import numpy as np
import soundfile
import tiny

from slowfast_cli.corpora import labels

LISTS = tiny.DATA / "lists"
NAMES = tuple(tiny.LOUD)
ESC50 = {"rooster.flac": (1, "rooster"), "rain.wav": (10, "rain"), "clock.mp4": (38, "clock_tick")}

T = TypeVar("T")


def ended(events: Generator[object, None, T]) -> T:
    """Run to the end, and give what is returned there."""
    while True:
        try:
            next(events)
        except StopIteration as end:
            return end.value


@lru_cache
def _sound(name: str) -> np.ndarray:
    begin, end = tiny.LOUD[name]
    return tiny.sound(name, end - begin)


def record(path: Path, number: int, seconds: float = 0.6, source: int | None = None) -> None:
    """A recording of its own, made of one of four bundled ones, or of the one that goes with its class."""
    whole = _sound(NAMES[(number if source is None else source) % 4])
    samples = np.resize(np.roll(whole, -round(0.13 * number * 16000)), round(seconds * 16000))
    noise = np.random.default_rng(number).standard_normal(len(samples))
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = {".mp3": "MP3", ".flac": "FLAC"}.get(path.suffix, "WAV")
    soundfile.write(path, 0.5 * samples + 0.003 * noise, 16000, format=kind)


def audioset(root: Path) -> None:
    """Genuine rows; of most the recordings are gone."""
    shutil.copytree(LISTS / "audioset", root)
    for name in ("balanced_train", "eval"):
        with (root / f"{name}_segments.csv").open(newline="") as file:
            rows = [row for row in csv.reader(file, skipinitialspace=True) if not row[0].startswith("#")]
        for number, row in enumerate(rows[:8]):
            record(root / "audios" / f"{name}_segments" / f"Y{row[0]}.wav", number, 3.5 if number % 2 else 0.8)


def birdsong(root: Path) -> None:
    """One genuine list and two in its form."""
    (root / "ff1010bird").mkdir(parents=True)
    genuine = LISTS / "birdsong" / "ff1010bird_metadata_2018.csv"
    shutil.copyfile(genuine, root / "ff1010bird" / genuine.name)
    with genuine.open(newline="") as file:
        ids = [row["itemid"] for row in csv.DictReader(file)]
    for number, id_ in enumerate(ids[:16]):
        record(root / "ff1010bird" / "wav" / f"{id_}.wav", number, 1.0 + 0.5 * (number % 3))
    for name, file, form in (
        ("warblrb10k", "warblrb10k_public_metadata_2018.csv", "759808e5-f824-401e-{:04d}"),
        ("BirdVox-DCASE-20k", "BirdVoxDCASE20k_csvpublic.csv", "00053d90-e4b9-4045-a2f1-f39efc90c{:03d}"),
    ):
        rows = [f"{form.format(number)},{name},{number % 2}" for number in range(10)]
        (root / file).write_text("\n".join(["itemid,datasetid,hasbird", *rows]) + "\n")
        folder = root / {"warblrb10k": "warblrb10k_public_wav"}.get(name, name) / "wav"
        for number in range(10):
            record(folder / f"{form.format(number)}.wav", number)


def tut18(root: Path) -> None:
    for name, cities in (("train", ("barcelona", "lisbon", "paris")), ("evaluate", ("vienna",))):
        clips = [f"{scene}-{city}-1-{n}-a" for city in cities for n, scene in enumerate(("airport", "park", "tram"))]
        for number, clip in enumerate(clips):
            record(root / "audio" / f"{clip}.wav", number, 6.0 if number % 2 else 1.0, source=number % 3)
        (root / "evaluation_setup").mkdir(exist_ok=True)
        lines = [f"audio/{clip}.wav\t{clip.split('-')[0]}" for clip in clips]
        (root / "evaluation_setup" / f"fold1_{name}.txt").write_text("\n".join(lines) + "\n")


def esc50(root: Path) -> None:
    """Three classes, two clips of each in every fold."""
    rows = [["filename", "fold", "target", "category", "esc10", "src_file", "take"]]
    for number, (source, (target, category)) in enumerate(ESC50.items()):
        for fold in range(1, 6):
            for take in "AB":
                place = 100 * number + 10 * fold + "AB".index(take)
                rows.append([f"{fold}-{place}-{take}-{target}.wav", fold, target, category, True, place, take])
                record(root / "audio" / str(rows[-1][0]), place, 0.8, source=NAMES.index(source))
    (root / "meta").mkdir()
    with (root / "meta" / "esc50.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def speech_commands(root: Path) -> None:
    """Genuine lines of the lists, a recording of each word besides, and noises."""
    words = labels.names("speech_commands_v2_35")
    for number, word in enumerate(words):
        record(root / word / "0a0b0c0d_nohash_0.wav", number, 0.5)
    for part in ("validation", "testing"):
        lines = (LISTS / "speech_commands" / f"{part}_list.txt").read_text().split()[:10]
        (root / f"{part}_list.txt").write_text("\n".join(lines) + "\n")
        for number, line in enumerate(lines):
            record(root / line, number, 0.5)
    for number, noise in enumerate(("running_tap", "white_noise")):
        record(root / "_background_noise_" / f"{noise}.wav", number, 2.1)


def voxforge(root: Path) -> None:
    for n, language in enumerate(("de", "en", "it")):
        for speaker in range(8):
            folder = root / language / "Trunk/Audio/Main/16kHz_16bit" / f"s{speaker}-20080318-kdl" / "wav"
            record(folder / "a0001.wav", 8 * n + speaker, source=n)


def voxceleb1(root: Path) -> None:
    lines = [f"{code} id{10001 + 40 * n}/1zcIwhmdeo4/{code}000{n}.wav" for n in range(3) for code in (1, 1, 2, 3)]
    lines = [line.replace(".wav", f"{number}.wav") for number, line in enumerate(lines)]
    (root / "wav").mkdir(parents=True)
    (root / "iden_split.txt").write_text("\n".join(lines) + "\n")
    for number, line in enumerate(lines):
        record(root / "wav" / line.split()[1], number, source=number // 4)


COMMANDS = (("activate", "lights", "kitchen"), ("increase", "volume", "none"), ("bring", "shoes", "none"))


def fluent(root: Path) -> None:
    """Three commands, each of a sound of its own."""
    header = ",path,speakerId,transcription,action,object,location"
    for name, count in (("train", 9), ("valid", 3), ("test", 6)):
        rows = [header]
        for number in range(count):
            path = f"wavs/speakers/{name}/{number}.wav"
            record(root / path, number, source=number % 3)
            rows.append(f"{number},{path},{name},said,{','.join(COMMANDS[number % 3])}")
        (root / "data").mkdir(exist_ok=True)
        (root / "data" / f"{name}_data.csv").write_text("\n".join(rows) + "\n")


def nsynth(root: Path) -> None:
    """Genuine notes, the same in both splits."""
    notes = json.loads((LISTS / "nsynth" / "examples.json").read_text())
    for split in ("train", "valid", "test"):
        for number, name in enumerate(notes):
            record(root / f"nsynth-{split}" / "audio" / f"{name}.wav", number, 1.5)
        shutil.copyfile(LISTS / "nsynth" / "examples.json", root / f"nsynth-{split}" / "examples.json")


def magnatagatune(root: Path) -> None:
    """Genuine lines of the lists of musicnn; those of train are in their form."""
    shutil.copytree(LISTS / "magnatagatune", root)
    with (root / "index_mtt.tsv").open(newline="") as file:
        files = dict(csv.reader(file, delimiter="\t"))
    train = [id_ for id_, name in files.items() if name[0] in "0123456789ab"][:8]
    rows = [[float(tag % 8 in (n, (n + 1) % 8)) for tag in range(50)] for n in range(len(train))]
    (root / "train_gt_mtt.tsv").write_text("".join(f"{id_}\t{row}\n" for id_, row in zip(train, rows, strict=True)))
    test = [line.split("\t")[0] for line in (root / "test_gt_mtt.tsv").read_text().splitlines()]
    for number, id_ in enumerate([*train, *test]):
        record(root / "mp3" / files[id_], number, 3.5 if number % 2 else 1.0)


# By task, where it looks for its data and what makes them.
MAKERS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "audioset": ("audioset", audioset),
    "birdsong": ("birdsong", birdsong),
    "tut18": ("tut18", tut18),
    "esc50": ("esc50", esc50),
    "speech_commands_v1": ("speech-commands-v1", speech_commands),
    "speech_commands_v2": ("speech-commands-v2", speech_commands),
    "voxforge": ("voxforge", voxforge),
    "voxceleb1": ("voxceleb1", voxceleb1),
    "fluent": ("fluent", fluent),
    "nsynth_pitch": ("nsynth-pitch", nsynth),
    "nsynth_instrument": ("nsynth-instrument", nsynth),
    "magnatagatune": ("magnatagatune", magnatagatune),
}


def make(root: Path, *tasks: str) -> Path:
    """The data of some tasks, all by default, below one folder: $SLOWFAST_DATA."""
    for task in tasks or MAKERS:
        name, maker = MAKERS[task]
        maker(root / name)
    return root
