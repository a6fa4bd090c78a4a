"""Draw the picture of the README from real output: `python docs/images/draw.py`, from a checkout.

On the left a frame that ``slowfast predict VIDEO --overlay`` wrote, on the right the scores of
``slowfast predict SOUND --timeline 4/0.5`` below the spectrogram of the sound.
"""

import json
import subprocess
import sys
import tempfile
import wave
from pathlib import Path

import numpy as np
from librosa import mel_frequencies
from librosa.display import specshow

from slowfast_cli import FrontEnd, log_mel, read_audio, read_frames
from slowfast_cli.plots.canvas import INK, QUIET, figure, save

HERE = Path(__file__).parent
ASSETS = HERE.parents[1] / "tests" / "assets"
VIDEO = ASSETS / "video" / "nasa_13013.mp4"
SOUNDS = ("reference/features/vgg_long_16k.wav", "rooster.flac", "clock.mp4")
CLASSES = ("crying_baby", "rain", "rooster", "clock_tick")
RATE = 16000  # Hz
WINDOWS = "4/0.5"  # length and hop, seconds
AT = 4.0  # seconds: the frame that is shown


def main() -> None:
    """Run the two commands and draw their results side by side."""
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        _predict(VIDEO, "--timeline", "2/1", "--overlay", scratch / "out.mp4")
        (frame,), _ = read_frames(scratch / "out.mp4", 1, start=AT, seconds=0)
        samples = np.concatenate([_trimmed(read_audio(ASSETS / name, RATE)) for name in SOUNDS])
        _write(scratch / "long.wav", samples)
        windows = [
            json.loads(line) for line in _predict(scratch / "long.wav", "--timeline", WINDOWS, "-k", "12", "--json")
        ]
    fig = figure(11, 3.5)
    grid = fig.add_gridspec(2, 2, width_ratios=(1.18, 1), height_ratios=(1.25, 1))
    _draw_frame(fig.add_subplot(grid[:, 0]), frame)
    seconds = len(samples) / RATE
    _draw_logmel(fig.add_subplot(grid[0, 1]), samples, seconds)
    _draw_scores(fig.add_subplot(grid[1, 1]), windows, seconds)
    save(fig, HERE / "overview.png")


def _predict(*words: object) -> list[str]:
    command = [sys.executable, "-m", "slowfast_cli", "predict", *map(str, words)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()


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
    rows = log_mel(samples, FrontEnd(mels=64))
    low, high = np.percentile(rows, [1, 99])
    specshow(
        rows.T, x_coords=np.arange(len(rows)) * seconds / len(rows),
        y_coords=mel_frequencies(64, fmin=0, fmax=RATE / 2), y_axis="mel", sr=RATE, ax=axes, cmap="magma",
        vmin=low, vmax=high,
    )  # fmt: skip
    axes.set(xlabel="", ylabel="Hz", xlim=(0, seconds), xticks=[], yticks=[512, 2048, 8192])
    axes.set_title(f"slowfast predict long.wav --timeline {WINDOWS}", **TITLE)
    _style(axes)


def _draw_scores(axes, windows: list[dict], seconds: float) -> None:
    """One row per class; a window is shown for the 0.5 s around its middle."""
    scores = np.zeros((len(CLASSES), len(windows)))
    for column, window in enumerate(windows):
        for best in window["top"]:
            if best["label"] in CLASSES:
                scores[CLASSES.index(best["label"]), column] = best["score"]
    edges = np.array([(window["start"] + window["end"]) / 2 - 0.25 for window in windows] + [seconds])
    axes.pcolormesh(edges, np.arange(len(CLASSES) + 1), scores, cmap="Blues", vmin=0, vmax=1)
    axes.set_yticks(np.arange(len(CLASSES)) + 0.5, CLASSES)
    axes.invert_yaxis()
    axes.set(xlabel="time, s", xlim=(0, seconds))
    axes.hlines(np.arange(1, len(CLASSES)), 0, seconds, color="white", linewidth=1.5)
    _style(axes)


def _style(axes) -> None:
    axes.tick_params(labelsize=9, colors=INK, color=QUIET, length=2.5)
    axes.xaxis.label.set(color=INK, fontsize=9)
    axes.yaxis.label.set(color=INK, fontsize=9)
    axes.spines[:].set_visible(False)


TITLE = {"fontsize": 9.5, "color": INK, "family": "monospace", "loc": "left"}

if __name__ == "__main__":
    main()
