"""Spectra in float32: frames whose dynamic range is too large for them are computed in float64."""

import golden
import numpy as np
import pytest
import soundfile as sf
import torch

from slowfast_cli.features import logmel_cpu
from slowfast_cli.features.logmel import TOLERANCE, LogMel
from slowfast_cli.settings import FrontEnd

N = 16000
FRONT_ENDS = {
    "magnitude": FrontEnd(),
    "power": FrontEnd(window_ms=32, hop_ms=16, mels=80, fft=512, power=2, floor=1e-8, area_norm=True, std=4.66),
    "decibels": FrontEnd(decibels=True, power=2, floor=1e-10),
}


def sounds():
    draw, time = np.random.default_rng(0), np.arange(N) / 16000
    tone = 0.9 * np.sin(2 * np.pi * 100 * time)
    rain, _ = sf.read(golden.REFERENCE / "features" / "vgg_long_16k.wav", dtype="float32")
    return {
        "digital silence": np.zeros(N), "noise at -90 dB": draw.normal(0, 10 ** (-90 / 20), N),
        "click in silence": 0.9 * np.eye(1, N, N // 2)[0], "noise": draw.normal(0, 0.2, N), "tone": tone,
        "tone over quiet noise": tone + draw.normal(0, 1e-6, N), "recording": rain[:N],
    }  # fmt: skip


def both(front_end, samples):
    exact, fast = LogMel(front_end), LogMel(front_end)
    fast.exact = False
    samples = torch.from_numpy(np.asarray(samples, np.float32))[None]
    return exact(samples).numpy(), fast(samples).numpy()


@pytest.mark.parametrize("kind", FRONT_ENDS)
@pytest.mark.parametrize("sound", sounds())
def test_no_log_mel_changes_by_more_than_the_tolerance(kind, sound):
    exact, fast = both(FRONT_ENDS[kind], sounds()[sound])
    assert np.abs(exact - fast).max() <= TOLERANCE / 4


def test_only_frames_of_a_large_range_are_computed_twice(monkeypatch):
    redone = []
    judge = logmel_cpu.MelSpectrum._is_precise
    monkeypatch.setattr(
        logmel_cpu.MelSpectrum, "_is_precise", lambda *args: redone.append(~judge(*args)) or ~redone[-1]
    )
    shares = {}
    for sound, samples in sounds().items():
        redone.clear()
        both(FrontEnd(), samples)
        shares[sound] = np.concatenate(redone).mean()
    assert shares["tone"] > 0.97  # 100 Hz at full scale: the bands at 8 kHz are 10 million times quieter
    assert shares["noise"] == shares["digital silence"] == shares["click in silence"] == 0


def test_the_tolerance_is_needed(monkeypatch):
    """Without the check of each frame, float32 is off by more than float16's rounding."""
    monkeypatch.setattr(logmel_cpu.MelSpectrum, "_is_precise", lambda self, mel_NF, *rest: np.ones(len(mel_NF), bool))
    exact, fast = both(FrontEnd(), sounds()["tone"])
    assert np.abs(exact - fast).max() > 4e-3


@pytest.mark.parametrize(("kind", "largest"), [("noise", 1e-6), ("tones", 3e-6)])
def test_the_error_of_a_bin(kind, largest):
    draw, time = np.random.default_rng(1), np.arange(320) / 16000
    tones = np.sin(2 * np.pi * draw.uniform(20, 8000, (500, 1)) * time)
    frames_ND = np.hanning(320) * (tones if kind == "tones" else draw.normal(size=tones.shape))
    padded = torch.zeros(len(frames_ND), 2048, dtype=torch.float64)
    padded[:, :320] = torch.from_numpy(frames_ND)
    errors = (torch.fft.rfft(padded) - torch.fft.rfft(padded.float())).abs().amax(1) / padded.norm(dim=1)
    assert errors.max() < largest


def test_infinite_samples_do_not_hang_or_warn():
    exact, fast = both(FrontEnd(), np.full(N, np.inf))
    assert np.isnan(exact).any() == np.isnan(fast).any()


def test_streams_equal_whole_recordings():
    fast = LogMel(FrontEnd())
    fast.exact = False
    samples = torch.from_numpy(sounds()["recording"].astype(np.float32))
    rows = torch.cat(list(fast.stream(samples.split(1000))))
    assert torch.allclose(rows, fast(samples[None])[0, 0], atol=TOLERANCE)
