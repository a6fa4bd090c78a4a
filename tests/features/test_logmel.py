"""The front end against the golden arrays, librosa, and itself in pieces."""

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
PRETEXT_TOP1 = json.loads((FOLDER / "logmel.json").read_text())
ARRAYS = {name: told for name, told in PRETEXT_TOP1["arrays"].items() if "wav" in told and "num_frames" in told}


def golden_clip(told: dict) -> tuple[FrontEnd, np.ndarray]:
    samples, rate = sf.read(FOLDER / told["wav"], dtype="float32")
    first, last = told.get("used", (0, len(samples)))
    return FrontEnd(rate=rate, window_ms=told["window_ms"], hop_ms=told["hop_ms"]), samples[first:last]


@pytest.mark.parametrize("name", ARRAYS)
def test_equals_the_golden_array(name):
    front_end, samples = golden_clip(ARRAYS[name])
    want = np.load(FOLDER / "logmel.npz")[name]
    got = LogMel(front_end)(torch.from_numpy(samples)[None])[0, 0].numpy()
    if len(got) < len(want):  # a clip shorter than the crop: the last frame is repeated
        got = np.pad(got, ((0, len(want) - len(got)), (0, 0)), mode="edge")
    assert got.shape == want.shape
    assert np.abs(got - want).max() < 2e-6  # 2e-4 is asked for


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
    # Decibels are four times as large as natural logarithms, and their last bit with them.
    torch.testing.assert_close(streamed, whole, atol=8e-6 if front_end.decibels else 2e-6, rtol=0)


def test_nothing_streams_to_nothing():
    assert list(LogMel(FrontEnd()).stream([])) == []


def test_a_batch_equals_its_clips():
    samples = torch.randn(5, 9000)
    log_mel = LogMel(FrontEnd())
    torch.testing.assert_close(log_mel(samples), torch.cat([log_mel(row[None]) for row in samples]), atol=2e-6, rtol=0)


@pytest.mark.parametrize(("clips", "length"), [(1, 81903), (7, 1), (7, 1500), (3, 63 * 160), (2, 64 * 160), (40, 4000)])
def test_tiles_leave_no_seam(clips, length):
    """Of long clips cut in several, of several short ones together, of exactly one tile and one frame more."""
    samples = torch.randn(clips, length)
    log_mel = LogMel(FrontEnd())
    padded = np.pad(samples.double().numpy(), ((0, 0), (160, 160)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, 320, axis=1)[:, ::160]
    window = torch.hann_window(320, dtype=torch.float64).numpy()
    want = np.log(np.abs(np.fft.rfft(frames * window, 2048)) @ mel_filters(FrontEnd()).T + 1e-6)
    np.testing.assert_allclose(log_mel(samples)[:, 0].numpy(), want, atol=3e-6)


def test_a_loud_low_tone_does_not_cost_quiet_bands():
    seconds = np.arange(16000) / 16000
    samples = (np.sin(2 * np.pi * 60 * seconds)).astype(np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(samples.astype(np.float64), 320)[::160]
    window = torch.hann_window(320, dtype=torch.float64).numpy()
    want = np.log(np.abs(np.fft.rfft(frames * window, 2048)) @ mel_filters(FrontEnd()).T + 1e-6)
    assert np.ptp(want) > 10  # the loudest band over the quietest one
    found = LogMel(FrontEnd(centred=False))(torch.from_numpy(samples)[None])[0, 0].numpy()
    np.testing.assert_allclose(found, want, atol=3e-6)


@pytest.mark.parametrize("power", [1, 2])
def test_processors_without_complex_magnitudes_give_the_same_numbers(power, monkeypatch):
    samples = torch.randn(2, 9000)
    log_mel = LogMel(FrontEnd(power=power))
    found = []
    for one_pass in (True, False):
        monkeypatch.setattr(logmel_cpu, "ONE_PASS", one_pass)
        found.append(log_mel(samples))
    torch.testing.assert_close(found[0], found[1], atol=2e-6, rtol=0)


def test_what_is_no_number_is_told_by_no_warning(recwarn):
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
def test_front_ends_of_others_equal_librosa(name, length):
    import librosa

    it = OTHERS[name]
    samples = np.random.default_rng(length).standard_normal(length).astype(np.float32)
    samples *= np.linspace(0, 1, length, dtype=np.float32) ** 4  # from silence to full scale
    bands = librosa.feature.melspectrogram(
        y=samples, sr=it.rate, n_fft=it.fft, hop_length=it.hop, win_length=it.window, power=it.power, n_mels=it.mels,
        fmin=it.fmin, fmax=it.fmax or it.rate / 2, htk=it.mel_scale == "htk", norm="slaney" if it.area_norm else None,
        pad_mode="reflect" if it.edges == "mirrored" else "constant",
    )  # fmt: skip
    want = librosa.power_to_db(bands, ref=1, amin=it.floor, top_db=None) if it.decibels else np.log(bands + it.floor)
    found = LogMel(it)(torch.from_numpy(samples)[None])[0, 0].numpy().T
    assert found.shape == want.shape
    # Librosa has its Fourier transform in float32.
    np.testing.assert_allclose(found, want, atol=2e-3 if it.decibels else 2e-4)


@pytest.mark.parametrize("name", OTHERS)
def test_silence_is_what_silence_gives(name):
    found = LogMel(OTHERS[name])(torch.zeros(1, 4000))
    torch.testing.assert_close(found, torch.full_like(found, OTHERS[name].silence))


@pytest.mark.parametrize("length", [1, 2, 5, 300, 511, 513])
def test_what_is_shorter_than_a_window_is_mirrored_again_and_again(length):
    it = OTHERS["panns-16k"]
    samples = np.random.default_rng(length).standard_normal(length)
    padded = np.pad(samples, 256, mode="reflect") if length > 1 else np.full(513, samples[0])
    plain = FrontEnd(**{**it.settings(), "edges": "silent", "centred": False})
    want = LogMel(plain)(torch.from_numpy(padded).float()[None])
    found = LogMel(it)(torch.from_numpy(samples).float()[None])
    torch.testing.assert_close(found, want[:, :, : it.frames(length)])


def test_settings_tell_what_older_files_do_not_know_only_where_it_differs():
    old = {"rate": 16000, "window_ms": 20, "hop_ms": 10, "mels": 128, "fft": 2048, "floor": 1e-6}
    assert FrontEnd().settings() == old
    assert FrontEnd(power=2).settings() == {**old, "power": 2}
    for it in OTHERS.values():
        assert FrontEnd(**it.settings()) == it
    assert set(OTHERS["panns-16k"].settings()) - set(old) == {
        "power", "area_norm", "fmin", "fmax", "mel_scale", "edges", "decibels"
    }  # fmt: skip


@pytest.mark.parametrize(
    "wrong",
    [{"fmin": -1}, {"fmin": 9000}, {"fmax": 8001}, {"fmin": 500, "fmax": 500}, {"edges": "mirrored", "centred": False}],
)
def test_bounds_that_are_none_are_refused(wrong):
    with pytest.raises(ValueError, match=r"front end: (mel bands from fmin|edges mirrored)"):
        FrontEnd(**wrong)


@pytest.mark.parametrize("wrong", [{"hop_ms": 0.01}, {"window_ms": 500}, {"window_ms": 0.001}])
def test_settings_that_do_not_hold_together_are_refused(wrong):
    with pytest.raises(ValueError, match="front end"):
        FrontEnd(**wrong)


DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)]
TRIED = {
    "vggsound": FrontEnd(),
    "power": FrontEnd(rate=32000, window_ms=32, fft=1024, mels=64, power=2, edges="mirrored", decibels=True),
    "bounds": FrontEnd(rate=24000, window_ms=10, hop_ms=5, fmin=60, fmax=7800, mean=-4, std=3),
}


@pytest.mark.parametrize("name", TRIED)
@pytest.mark.parametrize("device", DEVICES)
def test_products_of_matrices_give_the_same_numbers(device, name, monkeypatch):
    """As on a GPU whose doubles are quick: several tiles, the last one not full."""
    draw = torch.Generator().manual_seed(0)
    loud = torch.sin(torch.arange(30000) * 0.05) + 1e-5 * torch.randn(4, 30000, generator=draw)
    loud[2, 7000:] = 0
    want = LogMel(TRIED[name])(loud)
    monkeypatch.setattr(dft, "pays", lambda at: True)
    monkeypatch.setattr(dft, "TILE", 100)
    got = LogMel(TRIED[name]).to(device)(loud.to(device)).cpu()
    torch.testing.assert_close(got, want, atol=2e-5, rtol=0)


@pytest.mark.cuda
@pytest.mark.parametrize("quick", [True, False])
def test_cuda_gives_the_same_numbers(quick, monkeypatch):
    monkeypatch.setattr(dft, "pays", lambda at: quick and at.type == "cuda")
    samples = torch.randn(4, 81903)
    log_mel = LogMel(FrontEnd())
    torch.testing.assert_close(log_mel.cuda()(samples.cuda()).cpu(), LogMel(FrontEnd())(samples), atol=2e-5, rtol=0)


def test_products_pay_where_doubles_are_quick(monkeypatch):
    dft.pays.cache_clear()
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda at: (9, at.index))
    assert [dft.pays(torch.device(name)) for name in ("cuda:0", "cuda:1", "cpu")] == [True, False, False]
    dft.pays.cache_clear()
