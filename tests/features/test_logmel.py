"""The log-mel front end against golden arrays and librosa; streaming, tiles, devices."""

import json

import golden
import numpy as np
import pytest
import soundfile as sf
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from slowfast_cli.features import dft, logmel_cpu
from slowfast_cli.features.logmel import LogMel
from slowfast_cli.features.mel import mel_filters
from slowfast_cli.settings import FrontEnd

FOLDER = golden.REFERENCE / "features"
METADATA = json.loads((FOLDER / "logmel.json").read_text())
ARRAYS = {name: meta for name, meta in METADATA["arrays"].items() if "wav" in meta and "num_frames" in meta}


def golden_clip(meta: dict) -> tuple[FrontEnd, np.ndarray]:
    samples, rate = sf.read(FOLDER / meta["wav"], dtype="float32")
    first, last = meta.get("used", (0, len(samples)))
    return FrontEnd(rate=rate, window_ms=meta["window_ms"], hop_ms=meta["hop_ms"]), samples[first:last]


@pytest.mark.parametrize("name", ARRAYS)
def test_equals_the_golden_array(name):
    front_end, samples = golden_clip(ARRAYS[name])
    want = np.load(FOLDER / "logmel.npz")[name]
    got = LogMel(front_end)(torch.from_numpy(samples)[None])[0, 0].numpy()
    if len(got) < len(want):  # clips shorter than the crop repeat the last frame
        got = np.pad(got, ((0, len(want) - len(got)), (0, 0)), mode="edge")
    assert got.shape == want.shape
    assert np.abs(got - want).max() < 2e-6  # the golden files require 2e-4


def test_there_are_golden_arrays():
    assert len(ARRAYS) > 12


@pytest.mark.parametrize("rate", [16000, 24000])
def test_filters_equal_the_golden_ones(rate):
    np.testing.assert_allclose(
        mel_filters(FrontEnd(rate=rate)), np.load(FOLDER / "logmel.npz")[f"mel_basis_{rate}"], atol=1e-6
    )


@pytest.mark.parametrize(
    ("rate", "mels", "fft"),
    [(16000, 128, 2048), (24000, 128, 2048), (16000, 64, 1024), (44100, 80, 2048), (8000, 40, 512)],
)
def test_filters_equal_librosa(rate, mels, fft):
    import librosa

    front_end = FrontEnd(rate=rate, mels=mels, fft=fft, window_ms=20, hop_ms=10)
    want = librosa.filters.mel(sr=rate, n_fft=fft, n_mels=mels, htk=True, norm=None)
    np.testing.assert_allclose(mel_filters(front_end), want, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(
    length=st.integers(1, 5000),
    cuts=st.lists(st.integers(1, 700), min_size=1, max_size=30),
    front_end=st.sampled_from(
        [
            FrontEnd(rate=8000, mels=16, fft=512),
            FrontEnd(rate=8000, hop_ms=40, mels=16, fft=512),
            FrontEnd(rate=8000, window_ms=3, hop_ms=1, mels=8, fft=64),
            FrontEnd(rate=8000, window_ms=32, hop_ms=10, mels=8, fft=256, edges="mirrored", decibels=True),
            FrontEnd(rate=8000, window_ms=3.1, hop_ms=4, mels=8, fft=64, edges="mirrored"),
        ]
    ),
)
def test_a_stream_equals_the_whole(length, cuts, front_end):
    samples = torch.from_numpy(np.random.default_rng(length).standard_normal(length).astype(np.float32))
    log_mel = LogMel(front_end)
    blocks, at = [], 0
    while at < length:
        size = cuts[len(blocks) % len(cuts)]
        blocks.append(samples[at : at + size])
        at += size
    whole = log_mel(samples[None])[0, 0]
    streamed = torch.cat(list(log_mel.stream(blocks)))
    assert len(streamed) == front_end.frames(length)
    # Decibels are about four times as large as natural logarithms, and so is their rounding error.
    torch.testing.assert_close(streamed, whole, atol=8e-6 if front_end.decibels else 2e-6, rtol=0)


def test_an_empty_stream_yields_nothing():
    assert list(LogMel(FrontEnd()).stream([])) == []


def test_a_batch_equals_its_clips():
    samples = torch.randn(5, 9000)
    log_mel = LogMel(FrontEnd())
    torch.testing.assert_close(log_mel(samples), torch.cat([log_mel(row[None]) for row in samples]), atol=2e-6, rtol=0)


@pytest.mark.parametrize(("clips", "length"), [(1, 81903), (7, 1), (7, 1500), (3, 63 * 160), (2, 64 * 160), (40, 4000)])
def test_tiling_does_not_change_the_result(clips, length):
    """Long clips in several tiles, several short clips per tile, exactly one tile, and one frame more."""
    samples = torch.randn(clips, length)
    log_mel = LogMel(FrontEnd())
    padded = np.pad(samples.double().numpy(), ((0, 0), (160, 160)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, 320, axis=1)[:, ::160]
    window = torch.hann_window(320, dtype=torch.float64).numpy()
    want = np.log(np.abs(np.fft.rfft(frames * window, 2048)) @ mel_filters(FrontEnd()).T + 1e-6)
    np.testing.assert_allclose(log_mel(samples)[:, 0].numpy(), want, atol=3e-6)


def test_a_loud_low_tone_does_not_affect_quiet_bands():
    seconds = np.arange(16000) / 16000
    samples = (np.sin(2 * np.pi * 60 * seconds)).astype(np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(samples.astype(np.float64), 320)[::160]
    window = torch.hann_window(320, dtype=torch.float64).numpy()
    want = np.log(np.abs(np.fft.rfft(frames * window, 2048)) @ mel_filters(FrontEnd()).T + 1e-6)
    assert np.ptp(want) > 10  # the loudest band over the quietest one
    got = LogMel(FrontEnd(centred=False))(torch.from_numpy(samples)[None])[0, 0].numpy()
    np.testing.assert_allclose(got, want, atol=3e-6)


@pytest.mark.parametrize("power", [1, 2])
def test_both_magnitude_implementations_agree(power, monkeypatch):
    samples = torch.randn(2, 9000)
    log_mel = LogMel(FrontEnd(power=power))
    results = []
    for vectorized in (True, False):
        monkeypatch.setattr(logmel_cpu, "VECTORIZED_ABS", vectorized)
        results.append(log_mel(samples))
    torch.testing.assert_close(results[0], results[1], atol=2e-6, rtol=0)


def test_nan_and_infinity_cause_no_warnings(recwarn):
    samples = torch.full((1, 400), float("nan"))
    assert LogMel(FrontEnd())(samples).isnan().all()
    assert LogMel(FrontEnd(floor=0.0))(torch.zeros(1, 400)).isneginf().all()
    assert not recwarn


def test_autocast_changes_nothing():
    samples = torch.randn(1, 9000)
    log_mel = LogMel(FrontEnd())
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(log_mel(samples), log_mel(samples))
        mixed = log_mel(samples)
    assert torch.equal(mixed, log_mel(samples))


PANNS = {"mels": 64, "fft": 1024, "floor": 1e-10, "power": 2, "area_norm": True, "mel_scale": "slaney"}
OTHERS = {
    "panns": FrontEnd(**PANNS, rate=32000, window_ms=32, fmin=50, fmax=14000, edges="mirrored", decibels=True),
    "panns-16k": FrontEnd(**PANNS | {"fft": 512}, window_ms=32, fmin=50, fmax=8000, edges="mirrored", decibels=True),
    "byola": FrontEnd(mels=64, fft=1024, window_ms=64, power=2, fmin=60, fmax=7800, edges="mirrored"),
    "slaney": FrontEnd(mels=40, fft=2048, window_ms=25, mel_scale="slaney", fmin=1200),
}


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("length", [16000, 16001, 3000])
def test_front_ends_of_other_papers_equal_librosa(name, length):
    import librosa

    front_end = OTHERS[name]
    samples = np.random.default_rng(length).standard_normal(length).astype(np.float32)
    samples *= np.linspace(0, 1, length, dtype=np.float32) ** 4  # from silence to full scale
    bands = librosa.feature.melspectrogram(
        y=samples,
        sr=front_end.rate,
        n_fft=front_end.fft,
        hop_length=front_end.hop,
        win_length=front_end.window,
        power=front_end.power,
        n_mels=front_end.mels,
        fmin=front_end.fmin,
        fmax=front_end.fmax or front_end.rate / 2,
        htk=front_end.mel_scale == "htk",
        norm="slaney" if front_end.area_norm else None,
        pad_mode="reflect" if front_end.edges == "mirrored" else "constant",
    )
    if front_end.decibels:
        want = librosa.power_to_db(bands, ref=1, amin=front_end.floor, top_db=None)
    else:
        want = np.log(bands + front_end.floor)
    got = LogMel(front_end)(torch.from_numpy(samples)[None])[0, 0].numpy().T
    assert got.shape == want.shape
    # librosa computes its FFT in float32.
    np.testing.assert_allclose(got, want, atol=2e-3 if front_end.decibels else 2e-4)


@pytest.mark.parametrize("name", OTHERS)
def test_silence_property_equals_the_log_mel_of_zeros(name):
    got = LogMel(OTHERS[name])(torch.zeros(1, 4000))
    torch.testing.assert_close(got, torch.full_like(got, OTHERS[name].silence))


@pytest.mark.parametrize("length", [1, 2, 5, 300, 511, 513])
def test_clips_shorter_than_a_window_are_reflected_repeatedly(length):
    front_end = OTHERS["panns-16k"]
    samples = np.random.default_rng(length).standard_normal(length)
    padded = np.pad(samples, 256, mode="reflect") if length > 1 else np.full(513, samples[0])
    plain = FrontEnd(**{**front_end.settings(), "edges": "silent", "centred": False})
    want = LogMel(plain)(torch.from_numpy(padded).float()[None])
    got = LogMel(front_end)(torch.from_numpy(samples).float()[None])
    torch.testing.assert_close(got, want[:, :, : front_end.frames(length)])


def test_settings_leave_out_defaults_of_newer_fields():
    old = {"rate": 16000, "window_ms": 20, "hop_ms": 10, "mels": 128, "fft": 2048, "floor": 1e-6}
    assert FrontEnd().settings() == old
    assert FrontEnd(power=2).settings() == {**old, "power": 2}
    for front_end in OTHERS.values():
        assert FrontEnd(**front_end.settings()) == front_end
    assert set(OTHERS["panns-16k"].settings()) - set(old) == {
        "power", "area_norm", "fmin", "fmax", "mel_scale", "edges", "decibels"
    }  # fmt: skip


@pytest.mark.parametrize(
    "wrong",
    [{"fmin": -1}, {"fmin": 9000}, {"fmax": 8001}, {"fmin": 500, "fmax": 500}, {"edges": "mirrored", "centred": False}],
)
def test_invalid_mel_bounds_and_edges_are_refused(wrong):
    with pytest.raises(ValueError, match=r"frontend: (mel bands from fmin|edges=mirrored needs centred=true)"):
        FrontEnd(**wrong)


@pytest.mark.parametrize("wrong", [{"hop_ms": 0.01}, {"window_ms": 500}, {"window_ms": 0.001}])
def test_inconsistent_settings_are_refused(wrong):
    with pytest.raises(ValueError, match="frontend"):
        FrontEnd(**wrong)


DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)]
CASES = {
    "vggsound": FrontEnd(),
    "power": FrontEnd(rate=32000, window_ms=32, fft=1024, mels=64, power=2, edges="mirrored", decibels=True),
    "bounds": FrontEnd(rate=24000, window_ms=10, hop_ms=5, fmin=60, fmax=7800, mean=-4, std=3),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("device", DEVICES)
def test_matrix_products_equal_the_fft(device, name, monkeypatch):
    """The path of GPUs with fast float64: several tiles, the last one partial."""
    draw = torch.Generator().manual_seed(0)
    loud = torch.sin(torch.arange(30000) * 0.05) + 1e-5 * torch.randn(4, 30000, generator=draw)
    loud[2, 7000:] = 0
    want = LogMel(CASES[name])(loud)
    monkeypatch.setattr(dft, "is_fast", lambda at: True)
    monkeypatch.setattr(dft, "TILE", 100)
    got = LogMel(CASES[name]).to(device)(loud.to(device)).cpu()
    torch.testing.assert_close(got, want, atol=2e-5, rtol=0)


@pytest.mark.cuda
@pytest.mark.parametrize("fast", [True, False])
def test_cuda_equals_the_cpu(fast, monkeypatch):
    monkeypatch.setattr(dft, "is_fast", lambda at: fast and at.type == "cuda")
    samples = torch.randn(4, 81903)
    log_mel = LogMel(FrontEnd())
    torch.testing.assert_close(log_mel.cuda()(samples.cuda()).cpu(), LogMel(FrontEnd())(samples), atol=2e-5, rtol=0)


def test_is_fast_checks_the_compute_capability(monkeypatch):
    dft.is_fast.cache_clear()
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda at: (9, at.index))
    assert [dft.is_fast(torch.device(name)) for name in ("cuda:0", "cuda:1", "cpu")] == [True, False, False]
    dft.is_fast.cache_clear()
