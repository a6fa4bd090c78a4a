"""Mel scales and mel filters.

Shapes: F mel bands, K frequency bins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from slowfast_cli.settings import FrontEnd


def mel_filters(front_end: FrontEnd) -> np.ndarray:
    """Compute triangular mel filters, in float64: float32 corners, as in torchaudio, have an error of 1e-5.

    Shape: (F, K), K = fft // 2 + 1
    """
    low_mel, top_mel = (_mel(hz, front_end.mel_scale) for hz in (front_end.fmin, front_end.top))
    corners_hz = _hz(np.linspace(low_mel, top_mel, front_end.mels + 2), front_end.mel_scale)
    bins_hz = np.linspace(0, front_end.rate / 2, front_end.fft // 2 + 1)
    low, center, high = corners_hz[:-2, None], corners_hz[1:-1, None], corners_hz[2:, None]
    height = 2 / (high - low) if front_end.area_norm else 1
    slopes = np.minimum((bins_hz - low) / (center - low), (high - bins_hz) / (high - center))
    return np.asarray(height * np.maximum(0, slopes))


# Slaney's scale: 3 mels per 200 Hz up to 1 kHz, then 27 mels per factor of 6.4.
BREAK_HZ, BREAK_MEL, LOG_STEP = 1000.0, 15.0, np.log(6.4) / 27


def _mel(hz: float, scale: str) -> float:
    if scale == "htk":
        return float(2595 * np.log10(1 + hz / 700))
    return hz * BREAK_MEL / BREAK_HZ if hz < BREAK_HZ else float(BREAK_MEL + np.log(hz / BREAK_HZ) / LOG_STEP)


def _hz(mel_N: np.ndarray, scale: str) -> np.ndarray:
    if scale == "htk":
        return np.asarray(700 * (10 ** (mel_N / 2595) - 1))
    above_N = BREAK_HZ * np.exp(LOG_STEP * (np.maximum(mel_N, BREAK_MEL) - BREAK_MEL))
    return np.where(mel_N < BREAK_MEL, mel_N * BREAK_HZ / BREAK_MEL, above_N)
