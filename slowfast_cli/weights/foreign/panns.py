"""Conversion of CNN14 of PANNs (Kong et al. 2020): names by rule, the front end from its buffers.

PANNs takes samples: its checkpoints contain the Fourier and mel filters as well, which identify one of three front
ends.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from slowfast_cli.models.architecture import Baseline
from slowfast_cli.types import Settings, WeightsError
from slowfast_cli.weights.foreign.pyslowfast import Checkpoint

FOURIER = "spectrogram_extractor.stft.conv_real.weight"  # (fft / 2 + 1, 1, fft)
FILTERS = "logmel_extractor.melW"
NOT_LEARNED = r"spectrogram_extractor\.|logmel_extractor\.|.*\.num_batches_tracked$"
CLIP_SECONDS = 10.0  # length of AudioSet clips

# Sampling rate and upper edge of the highest mel band, Hz, by FFT size.
RATES = {1024: (32000, 14000), 512: (16000, 8000), 256: (8000, 4000)}
WINDOW_MS, HOP_MS, FMIN = 32.0, 10.0, 50.0

PARTS = {"conv1": "a", "bn1": "a_norm", "conv2": "b", "bn2": "b_norm"}


def _block(match: re.Match[str]) -> str:
    return f"trunk.body.blocks.{int(match[1]) - 1}.{PARTS[match[2]]}."


RULES: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (
    (r"bn0\.", "trunk.body.norm."),
    (r"conv_block(\d)\.((?:conv|bn)[12])\.", _block),
    (r"fc1\.", "trunk.body.layer."),
    (r"fc_audioset\.", "heads.linears.label.0."),
)


def front_end(fft: int, mels: int) -> Settings:
    """Return PANNs' settings of the log-mel; raise `WeightsError` if it has no front end with this FFT size."""
    if fft not in RATES:
        raise WeightsError(f"the FFT size is {fft}, expected one of PANNs: {', '.join(map(str, RATES))}")
    rate, fmax = RATES[fft]
    return {
        "rate": rate, "window_ms": WINDOW_MS, "hop_ms": HOP_MS, "mels": mels, "fft": fft, "floor": 1e-10, "power": 2,
        "area_norm": True, "fmin": FMIN, "fmax": float(fmax), "mel_scale": "slaney", "edges": "mirrored",
        "decibels": True,
    }  # fmt: skip


def recognizes(state: Mapping[str, Tensor]) -> bool:
    """Whether the names are those of a PANNs network, CNN14 or another."""
    names = {name.removeprefix("module.") for name in state}
    return "fc_audioset.weight" in names or {"bn0.weight", "conv_block1.conv1.weight"} <= names


def filters(state: Mapping[str, Tensor]) -> Tensor | None:
    """Return the mel filters in a checkpoint, (fft / 2 + 1, mel bands); None if it has none."""
    return next((state[name] for name in (FILTERS, f"module.{FILTERS}") if name in state), None)


def convert(state: Mapping[str, Tensor], *, known: Settings | None = None) -> Checkpoint:
    """Convert a checkpoint.

    Args:
        state: Its tensors.
        known: Expected settings of the log-mel, required for a file without the Fourier filters.

    Raises:
        WeightsError: The network is not CNN14, or the front end is unknown, not one of PANNs, or not the expected one.
    """
    state = {name.removeprefix("module."): value for name, value in state.items()}
    norm, last = state.get("bn0.weight"), state.get("conv_block6.conv2.weight")
    layer, head = state.get("fc1.weight"), state.get("fc_audioset.weight")
    if norm is None or last is None or layer is None or head is None or len(layer) != len(last):
        raise WeightsError(
            "is of PANNs, but not CNN14: expected bn0, conv_block1 to 6, fc_audioset, and fc1 as wide as the last block"
        )
    settings = _stored_front_end(state, len(norm)) if FOURIER in state else known
    if settings is None:
        raise WeightsError(f"has no {FOURIER}: name its front end by --variant panns-cnn14 or panns-cnn14-16k")
    if known is not None and settings != known:
        raise WeightsError(f"its sampling rate is {settings['rate']} Hz, expected {known['rate']} Hz")
    learned = {name: value for name, value in state.items() if not re.match(NOT_LEARNED, name)}
    own_names = {name: _own_name(name) for name in learned}
    return Checkpoint(
        net=Baseline(kind="cnn14", length=len(last), bands=len(norm), standardise=False),
        heads={"label": len(head)},
        state={own_names[name]: value for name, value in learned.items() if own_names[name] != name},
        front_end=settings,
        clip_seconds=CLIP_SECONDS,
        views=1,
        sigmoid=True,
        unexpected=tuple(name for name in learned if own_names[name] == name),
        notes=()
        if known is not None
        else ("assumed to be CNN14: Cnn14_DecisionLevelMax has the same tensors, but classifies each frame",),
    )


def _own_name(name: str) -> str:
    for pattern, replacement in RULES:
        renamed, count = re.subn(f"^{pattern}", replacement, name)
        if count:
            return renamed
    return name


def _stored_front_end(state: Mapping[str, Tensor], bands: int) -> Settings:
    """Identify the front end by its Fourier filters, the first of which is the window."""
    window = state[FOURIER][0, 0]
    settings = front_end(len(window), bands)
    hann = torch.hann_window(len(window), dtype=window.dtype)
    if not torch.allclose(window, hann, atol=1e-4):
        raise WeightsError("its window is not the Hann window of PANNs")
    return settings
