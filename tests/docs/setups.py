"""Inputs that the commands of a page find in its scratch folder, by the name in `<!-- setup: NAME -->`.

repo            recipes/ and tests/assets/, as in a checkout; always there
my_sounds       my_sounds/{drum,guitar,tabla}/*.flac, 20 a class, and new.wav, a guitar
my_videos       my_videos/{left,right}/*.mp4, 10 a class: a ball moves left or right; and new.mp4
my_recordings   my_recordings/*.flac: the same sounds without labels; labeled/: five of each class; and new.wav
sounds_csv      my_sounds, and sounds.csv, which lists them: path, start, stop, split, instrument
three_commands  data/epic, laid out as EPIC-KITCHENS-100, four recordings of 4 s; and clip.wav, a guitar
long_recording  long.wav: 90 s of rain, a rooster, a dog and helicopters
"""

import csv
import runpy
import shutil
import wave
from collections.abc import Callable, Mapping
from pathlib import Path

import tiny
from docs.page import ROOT

from slowfast_cli import read_audio

ASSETS = ROOT / "tests" / "assets"
RATE = 16000  # Hz


def repo(scratch: Path) -> None:
    (scratch / "recipes").symlink_to(ROOT / "recipes")
    (scratch / "tests").mkdir()
    (scratch / "tests" / "assets").symlink_to(ASSETS)


def my_sounds(scratch: Path) -> None:
    shutil.copytree(ASSETS / "my_sounds", scratch / "my_sounds")
    _write_wav(scratch / "new.wav", [ASSETS / "new" / "strum.flac"])


def my_videos(scratch: Path) -> None:
    runpy.run_path(str(ROOT / "examples" / "make_videos.py"))["main"](scratch / "my_videos")


def my_recordings(scratch: Path) -> None:
    (scratch / "my_recordings").mkdir()
    for number, path in enumerate(sorted((ASSETS / "my_sounds").rglob("*.flac"))):
        shutil.copy(path, scratch / "my_recordings" / f"{number:02d}.flac")
        if number % 4 == 0:
            (scratch / "labeled" / path.parent.name).mkdir(parents=True, exist_ok=True)
            shutil.copy(path, scratch / "labeled" / path.parent.name)
    _write_wav(scratch / "new.wav", [ASSETS / "new" / "strum.flac"])


def sounds_csv(scratch: Path) -> None:
    my_sounds(scratch)
    with (scratch / "sounds.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "start", "stop", "split", "instrument"])
        for number, path in enumerate(sorted((scratch / "my_sounds").rglob("*.flac"))):
            split = {0: "val", 1: "test"}.get(number % 5, "train")
            table.writerow([path.relative_to(scratch), 0, 0.15, split, path.parent.name])


def three_commands(scratch: Path) -> None:
    tiny.make_epic(scratch / "data" / "epic")
    _write_wav(scratch / "clip.wav", [ASSETS / "new" / "strum.flac"])


def long_recording(scratch: Path) -> None:
    pieces = [ASSETS / name for name in ("rain.wav", "rooster.flac", "dog.ogg", "helicopter.mkv")]
    _write_wav(scratch / "long.wav", pieces * 5)


def _write_wav(path: Path, sources: list[Path]) -> None:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", "not compressed"))
        for source in sources:
            file.writeframes((read_audio(source, RATE) * 32767).astype("<i2").tobytes())


SETUPS: Mapping[str, Callable[[Path], None]] = {
    "repo": repo,
    "my_sounds": my_sounds,
    "my_videos": my_videos,
    "my_recordings": my_recordings,
    "sounds_csv": sounds_csv,
    "three_commands": three_commands,
    "long_recording": long_recording,
}
