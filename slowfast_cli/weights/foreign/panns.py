"""CNN14 of PANNs to ours (Kong et al. 2020): names by rule, the front end from the buffers that compute it.

Their network is given samples: the file holds the Fourier transform and the mel filters too. What these are says which
of three front ends it is; ours computes the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from slowfast_cli.models.architecture import Baseline
from slowfast_cli.types import Settings, WeightsError
from slowfast_cli.weights.foreign.pyslowfast import Converted

FOURIER = "spectrogram_extractor.stft.conv_real.weight"  # (fft / 2 + 1, 1, fft)
FILTERS = "logmel_extractor.melW"
NOT_LEARNED = r"spectrogram_extractor\.|logmel_extractor\.|.*\.num_batches_tracked$"
CLIP_SECONDS = 10.0  # of AudioSet

# Samples a second and where the highest band ends, Hz, by the points of the Fourier transform.
RATES = {1024: (32000, 14000), 512: (16000, 8000), 256: (8000, 4000)}
WINDOW_MS, HOP_MS, FMIN = 32.0, 10.0, 50.0

PARTS = {"conv1": "a", "bn1": "a_norm", "conv2": "b", "bn2": "b_norm"}


def _block(found: re.Match[str]) -> str:
    return f"trunk.body.blocks.{int(found[1]) - 1}.{PARTS[found[2]]}."


RULES: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (
    (r"bn0\.", "trunk.body.norm."),
    (r"conv_block(\d)\.((?:conv|bn)[12])\.", _block),
    (r"fc1\.", "trunk.body.layer."),
    (r"fc_audioset\.", "heads.linears.label.0."),
)


def front_end(fft: int, mels: int) -> Settings:
    """Settings of the log-mel of one of their networks.

    Args:
        fft: Points of its Fourier transform.
        mels: Its mel bands.

    Raises:
        WeightsError: None of theirs has so many points.
    """
    if fft not in RATES:
        raise WeightsError(f"a Fourier transform of {fft} points; PANNs has {', '.join(map(str, RATES))}")
    rate, fmax = RATES[fft]
    return {
        "rate": rate,
        "window_ms": WINDOW_MS,
        "hop_ms": HOP_MS,
        "mels": mels,
        "fft": fft,
        "floor": 1e-10,
        "power": 2,
        "area_norm": True,
        "fmin": FMIN,
        "fmax": float(fmax),
        "mel_scale": "slaney",
        "edges": "mirrored",
        "decibels": True,
    }


def recognises(state: Mapping[str, Tensor]) -> bool:
    """Whether the names are those of a network of PANNs, be it CNN14 or another."""
    names = {name.removeprefix("module.") for name in state}
    return "fc_audioset.weight" in names or {"bn0.weight", "conv_block1.conv1.weight"} <= names


def filters(state: Mapping[str, Tensor]) -> Tensor | None:
    """The mel filters that a checkpoint holds, if it does: (fft / 2 + 1, mel bands)."""
    return next((state[name] for name in (FILTERS, f"module.{FILTERS}") if name in state), None)


def convert(state: Mapping[str, Tensor], *, known: Settings | None = None) -> Converted:
    """Translate a checkpoint.

    Args:
        state: Its tensors.
        known: Settings of the log-mel, for a file without the buffers that tell them.

    Raises:
        WeightsError: It is another network of PANNs than CNN14, or its buffers are those of no front end of theirs, or
            of another than is known, or there are none and nothing is known.
    """
    state = {name.removeprefix("module."): value for name, value in state.items()}
    norm, last = state.get("bn0.weight"), state.get("conv_block6.conv2.weight")
    layer, head = state.get("fc1.weight"), state.get("fc_audioset.weight")
    if norm is None or last is None or layer is None or head is None or len(layer) != len(last):
        raise WeightsError(
            "is of PANNs, but not CNN14: right are bn0, conv_block1 to conv_block6, an fc1 as wide as the last block, "
            "and fc_audioset"
        )
    heard = _heard(state, len(norm)) if FOURIER in state else known
    if heard is None:
        raise WeightsError(
            f"has no {FOURIER}, which tells its front end; say which it is: --variant panns-cnn14 or panns-cnn14-16k"
        )
    if known is not None and heard != known:
        raise WeightsError(f"hears {heard['rate']} Hz, and what it is said to be hears {known['rate']} Hz")
    renamed = {name: value for name, value in state.items() if not re.match(NOT_LEARNED, name)}
    ours = {name: _ours(name) for name in renamed}
    return Converted(
        net=Baseline(kind="cnn14", length=len(last), bands=len(norm), standardise=False),
        heads={"label": len(head)},
        state={ours[name]: value for name, value in renamed.items() if ours[name] != name},
        front_end=heard,
        clip_seconds=CLIP_SECONDS,
        views=1,
        sigmoid=True,
        unexpected=tuple(name for name in renamed if ours[name] == name),
        notes=()
        if known is not None
        else ("taken for CNN14: Cnn14_DecisionLevelMax has the same tensors, but answers frame by frame",),
    )


def _ours(name: str) -> str:
    for pattern, replacement in RULES:
        found, times = re.subn(f"^{pattern}", replacement, name)
        if times:
            return found
    return name


def _heard(state: Mapping[str, Tensor], bands: int) -> Settings:
    """The front end, whose first Fourier filter is its window."""
    window = state[FOURIER][0, 0]
    settings = front_end(len(window), bands)
    hann = torch.hann_window(len(window), dtype=window.dtype)
    if not torch.allclose(window, hann, atol=1e-4):
        raise WeightsError("its window is no Hann window, as PANNs has it")
    return settings
