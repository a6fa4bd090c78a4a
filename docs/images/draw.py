"""Draw the pictures of the README and of the gallery from real output, from a checkout, in about five minutes.

python docs/images/draw.py [overview] [gallery]        without a word: both

``overview``: on the left a frame that ``slowfast predict VIDEO --overlay`` wrote, on the right the scores of
``slowfast predict SOUND --timeline 4/0.5`` below the spectrogram of the sound. ``gallery``: the commands of
``docs/gallery.md``, whose pictures are reduced to 256 colors.
"""

import json
import subprocess
import sys
import tempfile
import wave
from pathlib import Path

import numpy as np
from PIL import Image

from slowfast_cli import FrontEnd, log_mel, read_audio, read_frames
from slowfast_cli.plots.canvas import INK, LABEL, figure, save, style_image
from slowfast_cli.plots.feature_maps import show_logmel

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ASSETS = ROOT / "tests" / "assets"
VIDEO = ASSETS / "video" / "nasa_13013.mp4"
SOUNDS = ("reference/features/vgg_long_16k.wav", "rooster.flac", "clock.mp4")
CLASSES = ("crying_baby", "rain", "rooster", "clock_tick")
RATE = 16000  # Hz
WINDOWS = "4/0.5"  # length and hop, seconds
AT = 4.0  # seconds: the frame that is shown


FOLDER = "train recipes/folder.yaml data.root=my_sounds --run"
MIXED = (
    "data.corpus=audioset data.root=mixed data.train=balanced data.val=eval data.test=eval task=multilabel metric=map"
)
COMMANDS = (  # of docs/gallery.md
    f"{FOLDER} runs/sounds",
    f"{FOLDER} runs/scratch model.init=null schedule.steps=60",
    f"train recipes/folder.yaml {MIXED} --run runs/mixed",
    "evaluate runs/sounds",
    "evaluate runs/scratch --compare runs/sounds --min-gain 5",
    "evaluate runs/mixed",
    "predict long.wav --timeline 4/1 --plot long.png",
    "predict tests/assets/rooster.flac --explain why.png",
    "predict tests/assets/video/nasa_13013.mp4 --timeline 2/1 --overlay out.mp4",
)
PICTURES = {  # of the gallery: which file of which command
    "curves": "runs/sounds/curves.png",
    "confusion": "runs/scratch/evaluation/test/confusion-label.png",
    "confused": "runs/scratch/evaluation/test/confused-label.png",
    "calibration": "runs/scratch/evaluation/test/calibration-label.png",
    "precision-recall": "runs/mixed/evaluation/test/precision-recall-label.png",
    "classes": "runs/scratch/evaluation/test/classes-label.png",
    "feature-maps": "runs/sounds/evaluation/test/feature-maps.png",
    "bars": "runs/scratch/evaluation/test/bars-label.png",
    "comparison": "runs/scratch/evaluation/test/comparison-label.png",
    "timeline": "long.png",
    "explanation": "why.png",
}
IDS = {"drum": "/m/026t6", "guitar": "/m/0342h", "tabla": "/m/01p970"}  # of AudioSet


def main() -> None:
    """Draw what the command line names."""
    for name in sys.argv[1:] or ("overview", "gallery"):
        with tempfile.TemporaryDirectory() as folder:
            {"overview": _overview, "gallery": _gallery}[name](Path(folder))


def _overview(scratch: Path) -> None:
    """Run the two commands and draw their results side by side."""
    _slowfast(scratch, "predict", VIDEO, "--timeline", "2/1", "--overlay", scratch / "out.mp4")
    (frame,), _ = read_frames(scratch / "out.mp4", 1, start=AT, seconds=0)
    samples = np.concatenate([_trimmed(read_audio(ASSETS / name, RATE)) for name in SOUNDS])
    _write(scratch / "long.wav", samples)
    words = ("predict", scratch / "long.wav", "--timeline", WINDOWS, "-k", "12", "--json")
    windows = [json.loads(line) for line in _slowfast(scratch, *words)]
    fig = figure(11, 3.5)
    grid = fig.add_gridspec(2, 2, width_ratios=(1.18, 1), height_ratios=(1.25, 1))
    _draw_frame(fig.add_subplot(grid[:, 0]), frame)
    seconds = len(samples) / RATE
    _draw_logmel(fig.add_subplot(grid[0, 1]), samples, seconds)
    _draw_scores(fig.add_subplot(grid[1, 1]), windows, seconds)
    save(fig, HERE / "overview.png")


def _gallery(scratch: Path) -> None:
    """Run the commands of the gallery and keep their pictures."""
    sys.path.insert(0, str(ROOT / "tests"))
    from docs.setups import long_recording, my_sounds, repo  # noqa: PLC0415

    for make in (repo, my_sounds, long_recording, _mixed):
        make(scratch)
    for words in COMMANDS:
        _slowfast(scratch, *words.split())
    for name, path in PICTURES.items():
        with Image.open(scratch / path) as image:
            image.convert("RGB").quantize(256).save(HERE / f"{name}.png", optimize=True)
    (frame,), _ = read_frames(scratch / "out.mp4", 1, start=AT, seconds=0)
    Image.fromarray(frame).quantize(256).save(HERE / "overlay.png", optimize=True)


def _mixed(scratch: Path) -> None:
    """Sounds of `my_sounds`, alone and two at a time, in the layout of AudioSet, where classes are independent."""
    sounds = {name: sorted((ASSETS / "my_sounds" / name).glob("*.flac")) for name in IDS}
    kinds = [(one,) for one in IDS] + [(one, two) for one in IDS for two in IDS if one < two]
    (scratch / "mixed" / "audio").mkdir(parents=True)
    for part, first, last in (("balanced_train", 0, 12), ("eval", 12, 20)):
        lines = []
        for kind in kinds:
            for number in range(first, last):
                name = f"{'-'.join(each[0] for each in kind)}{number:02d}".rjust(11, "_")
                parts = [read_audio(sounds[each][number], RATE) for each in kind]
                length = max(map(len, parts))
                mix = sum(np.pad(each, (0, length - len(each))) for each in parts) / len(parts)
                _write(scratch / "mixed" / "audio" / f"{name}.wav", mix)
                lines.append(f'{name}, 0.000, 10.000, "{",".join(IDS[each] for each in kind)}"\n')
        (scratch / "mixed" / f"{part}_segments.csv").write_text("".join(lines))


def _slowfast(folder: Path, *words: object) -> list[str]:
    command = [sys.executable, "-m", "slowfast_cli", *map(str, words)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=folder).stdout.splitlines()


def _trimmed(samples: np.ndarray) -> np.ndarray:
    """Remove digital silence at the end."""
    loud = np.flatnonzero(np.abs(samples) > 1e-3)
    return samples[: loud[-1] + 1]


def _write(path: Path, samples: np.ndarray) -> None:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", "not compressed"))
        file.writeframes((samples * 32767).astype("<i2").tobytes())


def _draw_frame(axes, frame: np.ndarray) -> None:
    axes.imshow(frame)
    axes.set_title("slowfast predict talk.mp4 --timeline 2/1 --overlay out.mp4", **TITLE)
    axes.set_axis_off()


def _draw_logmel(axes, samples: np.ndarray, seconds: float) -> None:
    front_end = FrontEnd(mels=64)
    bounds = (front_end.fmin, front_end.top)
    show_logmel(axes, log_mel(samples, front_end), seconds, bounds, htk=front_end.mel_scale == "htk")
    axes.set(xticks=[], yticks=[512, 1024, 2048, 4096])
    axes.set_ylabel("Hz", fontsize=LABEL, color=INK)
    axes.set_title(f"slowfast predict long.wav --timeline {WINDOWS}", **TITLE)


def _draw_scores(axes, windows: list[dict], seconds: float) -> None:
    """One row per class; a window is shown for the 0.5 s around its middle, the first and the last to the ends."""
    scores = np.zeros((len(CLASSES), len(windows)))
    for column, window in enumerate(windows):
        for best in window["top"]:
            if best["label"] in CLASSES:
                scores[CLASSES.index(best["label"]), column] = best["score"]
    edges = np.array([0, *((window["start"] + window["end"]) / 2 - 0.25 for window in windows[1:]), seconds])
    axes.pcolormesh(edges, np.arange(len(CLASSES) + 1), scores, cmap="Blues", vmin=0, vmax=1)
    axes.set_yticks(np.arange(len(CLASSES)) + 0.5, CLASSES)
    axes.invert_yaxis()
    axes.set_xlim(0, seconds)
    axes.set_xlabel("time, s", fontsize=LABEL, color=INK)
    axes.hlines(np.arange(1, len(CLASSES)), 0, seconds, color="white", linewidth=1.5)
    style_image(axes)


TITLE = {"fontsize": LABEL, "color": INK, "family": "monospace", "loc": "left"}

if __name__ == "__main__":
    main()
