"""Log-mel on one core against the reference's librosa code: both sides in this process, in turn.

    python tests/benchmarks/front_end.py

The reference computes the mel filters anew for every clip, as its loader does; the second ratio leaves that out.
"""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median

import librosa
import numpy as np
import soundfile as sf
import torch

from slowfast_cli.features.logmel import FrontEnd, LogMel

FOLDER = Path(__file__).parents[1] / "reference" / "features"
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
        times: dict[str, list[float]] = {side: [] for side in sides}
        for _ in range(ROUNDS):
            for side, compute in sides.items():
                began = time.perf_counter()
                for clip in clips:
                    compute(clip)
                times[side].append((time.perf_counter() - began) / CLIPS)
        print(f"{name}: largest difference {worst:.1e}")
        for side, spent in times.items():
            ratios = [theirs / ours for theirs, ours in zip(spent, times["slowfast"], strict=True)]
            print(f"  {side:22} {1e3 * median(spent):6.2f} ms a clip   slowfast is {median(ratios):.2f}x as fast")


if __name__ == "__main__":
    main()
