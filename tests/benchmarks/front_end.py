"""Log-mel on one core against the reference's librosa code: both sides in this process, in turn.

    python tests/benchmarks/front_end.py

The reference computes the mel filters anew for every clip, as its loader does; the second ratio leaves that out. The
stages are timed alone; the floor is the bare float64 transform of as many frames, which the golden arrays need. Last,
from files at 44.1 kHz to log-mel at 16 kHz, against `librosa.load` and the reference.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import librosa
import numpy as np
import soundfile as sf
import torch

from slowfast_cli.features.logmel import LogMel
from slowfast_cli.features.logmel_cpu import TILE, FilterGroup, MelSpectrum
from slowfast_cli.media import audio
from slowfast_cli.settings import FrontEnd
from slowfast_cli.types import Recording

FOLDER = Path(__file__).parents[1] / "assets" / "reference" / "features"
CASES = {
    "VGG-Sound, 5.12 s at 16 kHz": ("vgg_long_16k.wav", FrontEnd(), 81903),
    "EPIC, 2 s at 24 kHz": ("epic_untrimmed_24k.wav", FrontEnd(rate=24000, window_ms=10, hop_ms=5), 47975),
}
ROUNDS, CLIPS = 15, 20


def reference(samples: np.ndarray, front_end: FrontEnd, filters: np.ndarray | None = None) -> np.ndarray:
    """What the reference does for a clip."""
    spectrum = librosa.stft(
        samples, n_fft=front_end.fft, hop_length=front_end.hop, win_length=front_end.window, pad_mode="constant"
    )
    if filters is None:
        filters = librosa.filters.mel(
            sr=front_end.rate, n_fft=front_end.fft, n_mels=front_end.mels, htk=True, norm=None
        )
    return np.log(np.dot(filters, np.abs(spectrum)) + front_end.floor).T


def in_turn(sides: dict[str, Callable[[int], object]], count: int) -> dict[str, list[float]]:
    """Seconds a clip of each side in each round."""
    times: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(ROUNDS):
        for side, compute in sides.items():
            began = time.perf_counter()
            for number in range(count):
                compute(number)
            times[side].append((time.perf_counter() - began) / count)
    return times


def reported(times: dict[str, list[float]]) -> None:
    """Print how the sides compare with the last one."""
    ours = list(times.values())[-1]
    for side, spent in times.items():
        ratio = median(one / other for one, other in zip(spent, ours, strict=True))
        print(f"  {side:34} {1e3 * median(spent):6.2f} ms a clip   slowfast is {ratio:.2f}x as fast")


def shares(log_mel: LogMel, frames: int, took: float) -> None:
    """Print what the stages of a clip take alone, tile by tile as they are run."""
    it = log_mel.front_end
    bands = [
        FilterGroup(first=first, last=last, filters=log_mel.get_buffer(f"filters{number}_KF").numpy())
        for number, (first, last) in enumerate(log_mel.bands)
    ]
    spectrum = MelSpectrum(window=log_mel.window.numpy(), fft=it.fft, power=it.power, groups=bands)
    pieces = np.lib.stride_tricks.sliding_window_view(np.ones(TILE * it.hop + it.window, np.float32), it.window)
    pieces = pieces[:: it.hop][:TILE]
    padded = torch.zeros(TILE, it.fft, dtype=torch.float64)
    bins = torch.view_as_real(torch.fft.rfft(padded)).flatten(1).numpy()
    real, magnitudes = np.ones((TILE, it.fft + 2), np.float32), np.ones((TILE, it.fft // 2 + 1), np.float32)
    mels = np.ones((TILE, it.mels), np.float32)
    stages = {
        "window and pad": lambda _: np.multiply(pieces, spectrum.window, out=padded.numpy()[:, : it.window]),
        "Fourier transform (the floor)": lambda _: torch.fft.rfft(padded),
        "to float32, magnitude": lambda _: (
            np.copyto(real, bins, casting="same_kind"),
            spectrum._magnitudes(real, magnitudes),
        ),
        "mel": lambda _: spectrum._apply_filters(magnitudes, mels),
        "floor and logarithm": lambda _: np.log(np.add(mels, np.float32(it.floor))),
    }
    alone = {stage: median(spent) * frames / TILE for stage, spent in in_turn(stages, 50).items()}
    for stage, seconds in {**alone, "rest": took - sum(alone.values())}.items():
        print(f"    {stage:32} {1e3 * seconds:6.2f} ms   {seconds / took:4.0%}")


def from_files() -> None:
    """Print the ratios from files on disk: stages, and all of it beside librosa."""
    front_end = FrontEnd()
    log_mel, native = LogMel(front_end), 44100
    samples = np.tile(audio.read(Recording(id="", path=FOLDER.parents[1] / "assets" / "rain.wav"), rate=native), 3)
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("wav", "flac", "ogg", "mp3"):
            path = Path(folder) / f"clip.{kind}"
            sf.write(path, samples[: round(5.119 * native)], native)
            recording = Recording(id="", path=path)
            kept = audio.read(recording, rate=front_end.rate)
            print(f"{kind}, 5.12 s at 44.1 kHz, from the file to log-mel at 16 kHz")
            times = in_turn(
                {
                    "librosa.load": lambda _, path=path: librosa.load(path, sr=16000),
                    "librosa.load and reference": lambda _, path=path: reference(
                        librosa.load(path, sr=16000)[0], front_end
                    ),
                    "slowfast: read and decode": lambda _, it=recording: audio.read(it, rate=native),
                    "slowfast: the same and resample": lambda _, it=recording: audio.read(it, rate=16000),
                    "slowfast: log-mel": lambda _, kept=kept: log_mel(torch.from_numpy(kept)[None]),
                    "slowfast: all": lambda _, it=recording: log_mel(
                        torch.from_numpy(audio.read(it, rate=16000))[None]
                    ),
                },
                10,
            )
            reported(times)


def main() -> None:
    """Print the ratios."""
    torch.set_num_threads(1)
    for name, (wav, front_end, size) in CASES.items():
        samples, _ = sf.read(FOLDER / wav, dtype="float32")
        clips = [samples[first : first + size] for first in np.linspace(0, len(samples) - size, CLIPS).astype(int)]
        log_mel = LogMel(front_end)
        filters = librosa.filters.mel(
            sr=front_end.rate, n_fft=front_end.fft, n_mels=front_end.mels, htk=True, norm=None
        )
        sides = {
            "librosa": lambda clip, made=front_end: reference(clip, made),
            "librosa, filters kept": lambda clip, made=front_end, kept=filters: reference(clip, made, kept),
            "slowfast": lambda clip, ours=log_mel: ours(torch.from_numpy(clip)[None]),
        }
        worst = max(
            np.abs(reference(clip, front_end) - log_mel(torch.from_numpy(clip)[None])[0, 0].numpy()).max()
            for clip in clips
        )
        print(f"{name}: largest difference {worst:.1e}")
        times = in_turn({side: lambda at, go=go, clips=clips: go(clips[at]) for side, go in sides.items()}, CLIPS)
        reported(times)
        shares(log_mel, front_end.frames(size), median(times["slowfast"]))
    from_files()


if __name__ == "__main__":
    main()
