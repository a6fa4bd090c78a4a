"""Small corpora of real sound, and the program as a person calls it."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import soundfile

from slowfast_cli.build.corpus import _read
from slowfast_cli.cli import app
from slowfast_cli.data import audio_clips
from slowfast_cli.media import audio
from slowfast_cli.types import Recording

DATA = Path(__file__).parent / "assets"
FRONT_END = {"rate": 16000, "window_ms": 20, "hop_ms": 10, "mels": 32, "fft": 2048, "floor": 1e-6}
LOUD = {"clock.mp4": (0, 4.5), "helicopter.mkv": (0.5, 3), "rain.wav": (0, 5), "rooster.flac": (1.5, 3)}  # seconds
CLASSES = {"helicopter": "helicopter.mkv", "rain": "rain.wav", "rooster": "rooster.flac"}
PARTS = {"train": 4, "val": 2, "test": 2}
SCHEDULE = ["schedule.epochs=2", "~schedule.warmup_epochs", "~schedule.validate_every", "optim.batch=4"]
FRONT = ["frontend.mels=32", "frontend.window_ms=20", "frontend.hop_ms=10", "frontend.floor=1e-6"]
MODEL = ["model.width=8", *FRONT, "data.workers=0"]
# Everything that draws at random is on: a resumed run has to repeat it.
# Of recipes/folder.yaml, which fits itself to the data and starts from the bundled network.
FIXED = [
    "adapt=false", "model.variant=asf-r50", "model.init=null", "data.source=shards", "data.pad=last", "data.views=2",
    "optim.name=sgd",
    "optim.lr=0.05", "optim.lr_batch=null", "optim.weight_decay=0.0005", "optim.nesterov=true", "schedule.steps=null",
    "schedule.patience=0", "schedule.warmup_steps=0", "augment.shift=0", "augment.gain_db=0",
]  # fmt: skip
WORDS = [
    *FIXED,
    *MODEL,
    *SCHEDULE,
    "data.clip_seconds=0.6",
    "augment.warp=3",
    "augment.freq_width=8",
    "augment.time_width=9",
    "optim.ema=0.5",
    "keep=best",
]
EPIC_WORDS = [*MODEL, *SCHEDULE, "data.clip_seconds=0.5", "data.views=2", "schedule.precise_bn_batches=1"]
EPIC_SCRATCH = ["~model.init", "~model.freeze_bn"]
TRAIN_COLUMNS = (
    "narration_id,participant_id,video_id,narration_timestamp,start_timestamp,stop_timestamp,start_frame,stop_frame,"
    "narration,verb,verb_class,noun,noun_class,all_nouns,all_noun_classes"
)
TEST_COLUMNS = (
    "narration_id,participant_id,video_id,narration_timestamp,start_timestamp,stop_timestamp,start_frame,stop_frame"
)
VERBS = {0: "take", 2: "wash", 12: "remove"}
NOUNS = {2: "plate", 17: "cloth", 49: "paper"}


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[dict]:
        return [json.loads(line) for line in self.out.splitlines()]


def slowfast(*words: object, stdin: bytes = b"") -> Done:
    """Run a command in this process: quick, and through the same `main` as the real one."""
    _read.cache_clear()  # what a process remembers of the disk
    audio_clips._seconds.cache_clear()
    kept = sys.argv, sys.stdin
    sys.argv = ["slowfast", *map(str, words)]
    sys.stdin = io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8")
    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            app.main()
    except SystemExit as end:
        code = end.code
    finally:
        sys.argv, sys.stdin = kept
    return Done(int(code or 0), out.getvalue(), err.getvalue())


def good(*words: object, stdin: bytes = b"") -> Done:
    """Run a command that has to go well."""
    done = slowfast(*words, stdin=stdin)
    assert done.code == 0, done.err
    return done


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", **more}


def start(*words: object, **options: object) -> subprocess.Popen:
    """Start a command as a process of its own."""
    command = [sys.executable, "-m", "slowfast_cli", *map(str, words)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": environment()}
    if os.name == "posix":  # a background job of a shell ignores SIGINT, and so would its children
        pipes["preexec_fn"] = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(command, **{**pipes, **options})


def process(*words: object, **options: object) -> Done:
    """Run a command as a process of its own, to its end."""
    with start(*words, **options) as child:
        try:
            out, err = child.communicate(timeout=120)
        except BaseException:
            child.kill()
            raise
    return Done(child.returncode, out, err)


def ranks(launcher: int) -> dict[int, int]:
    """Process ids of the ranks that a launcher has started."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            reported = dict(
                word.split("=", 1) for word in (stat.parent / "environ").read_text().split("\0") if "=" in word
            )
        except (OSError, ValueError):
            continue
        if parent == launcher and "RANK" in reported:
            found[int(reported["RANK"])] = int(stat.parent.name)
    return found


def sound(name: str, seconds: float, *, skip: float = 0.0, rate: int = 16000) -> np.ndarray:
    """So much of the part of a bundled recording that is not silence, over and over."""
    whole = audio.read(Recording(id=name, path=DATA / name), rate=rate)
    begin, end = (round(edge * rate) for edge in LOUD[name])
    return np.resize(np.roll(whole[begin:end], -round(skip * rate)), round(seconds * rate))


def write(path: Path, samples: np.ndarray, rate: int = 16000, subtype: str = "PCM_16") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, subtype=subtype, format="WAV")
    return path


def make_folder(root: Path) -> Path:
    """Three classes, eight clips of 0.5 to 1.2 s each."""
    for label, name in CLASSES.items():
        number = 0
        for part, count in PARTS.items():
            for _ in range(count):
                samples = sound(name, 0.5 + 0.1 * number, skip=0.2 * number)
                write(root / part / label / f"{label}-{number}.wav", samples)
                number += 1
    return root


def make_epic(root: Path) -> Path:
    """Four recordings of 4 s, eight narrated actions a split, rows as in the official lists."""
    videos = {"P01_01": "rain.wav", "P02_03": "rooster.flac", "P18_01": "clock.mp4", "P33_01": "helicopter.mkv"}
    for video, name in videos.items():
        write(root / "audio" / f"{video}.wav", sound(name, 4, rate=24000), 24000)
    splits = {"train": ["P01_01", "P02_03"], "validation": ["P01_01", "P18_01"], "test_timestamps": ["P33_01"]}
    for split, chosen in splits.items():
        labelled = split != "test_timestamps"
        rows = [TRAIN_COLUMNS if labelled else TEST_COLUMNS]
        for video in chosen:
            for number in range(4):
                rows.append(epic_row(video, number, labelled=labelled))
        root.joinpath(f"EPIC_100_{split}.csv").write_text("\n".join(rows) + "\n")
    return root


def shards(root: Path) -> Path:
    """Where the fixtures have put the log-mels of a corpus."""
    (found,) = (root.parent / "shards" / root.name).glob("*-32mel")
    return found


def epic_row(video: str, number: int, *, labelled: bool, start: float | None = None, stop: float | None = None) -> str:
    begin = number * 0.9 if start is None else start
    end = begin + 0.3 + 0.2 * number if stop is None else stop
    verb, noun = list(VERBS)[number % 3], list(NOUNS)[(number // 2) % 3]
    row = (
        f"{video}_{number},{video[:3]},{video},00:00:{begin:06.3f},00:00:{begin:05.2f},00:00:{end:05.2f},"
        f"{round(begin * 50) + 1},{round(end * 50)}"
    )
    if not labelled:
        return row
    reported = f"{VERBS[verb]} {NOUNS[noun]},{VERBS[verb]},{verb},{NOUNS[noun]},{noun}"
    return f"{row},{reported},['{NOUNS[noun]}'],[{noun}]"
