"""CNN14 of PANNs: a converted checkpoint gives the same outputs as the official definition, rewritten here."""

import librosa
import numpy as np
import pytest
import soundfile as sf
import tiny
import torch
from torch.nn import functional as f

from slowfast_cli import load_model
from slowfast_cli.features.logmel import LogMel
from slowfast_cli.models.architecture import Baseline
from slowfast_cli.models.baselines.zoo import BASELINES
from slowfast_cli.settings import FrontEnd
from slowfast_cli.types import WeightsError
from slowfast_cli.weights import download
from slowfast_cli.weights.catalog import CATALOG
from slowfast_cli.weights.file import read_card
from slowfast_cli.weights.resolve import weight_file

RATES = {1024: (32000, 14000), 512: (16000, 8000), 256: (8000, 4000)}
WIDTHS = (1, 2, 4, 8, 16, 32, 64)  # a 32nd of the official ones


def official(fft=1024, classes=5, bands=64):
    """Create random tensors under their official names, with the front-end buffers of torchlibrosa."""
    rate, fmax = RATES[fft]
    torch.manual_seed(0)
    times = np.arange(fft)
    window = librosa.filters.get_window("hann", fft, fftbins=True)
    waves = np.exp(-2j * np.pi * np.outer(np.arange(fft // 2 + 1), times) / fft) * window
    state = {
        "spectrogram_extractor.stft.conv_real.weight": torch.from_numpy(waves.real[:, None]).float(),
        "spectrogram_extractor.stft.conv_imag.weight": torch.from_numpy(waves.imag[:, None]).float(),
        "logmel_extractor.melW": torch.from_numpy(
            librosa.filters.mel(sr=rate, n_fft=fft, n_mels=bands, fmin=50, fmax=fmax).T
        ),
        **batch_norm("bn0", bands),
    }
    for number in range(1, 7):
        inputs, outputs = WIDTHS[number - 1 : number + 1]
        for at in (1, 2):
            state |= batch_norm(f"conv_block{number}.bn{at}", outputs)
            kernel = torch.randn(outputs, inputs if at == 1 else outputs, 3, 3)
            state[f"conv_block{number}.conv{at}.weight"] = kernel / kernel[0].numel() ** 0.5
    state |= {"fc1.weight": torch.randn(64, 64) / 8, "fc1.bias": torch.randn(64)}
    return state | {"fc_audioset.weight": torch.randn(classes, 64) / 8, "fc_audioset.bias": torch.randn(classes)}


def batch_norm(name, channels):
    return {
        f"{name}.weight": 1 + 0.3 * torch.randn(channels),
        f"{name}.bias": torch.randn(channels),
        f"{name}.running_mean": torch.randn(channels) * (20 if name == "bn0" else 0.5),
        f"{name}.running_var": torch.rand(channels) * (100 if name == "bn0" else 1) + 0.5,
        f"{name}.num_batches_tracked": torch.tensor(9),
    }


def answers(state, samples, hop):
    """Compute the outputs of the official network for samples (B, N), layer by layer."""
    fft = state["spectrogram_extractor.stft.conv_real.weight"].shape[2]
    x = f.pad(samples[:, None], (fft // 2, fft // 2), mode="reflect")
    parts = [
        f.conv1d(x, state[f"spectrogram_extractor.stft.conv_{part}.weight"], stride=hop) for part in ("real", "imag")
    ]
    power = (parts[0] ** 2 + parts[1] ** 2).transpose(1, 2)[:, None]
    x = 10 * torch.log10((power @ state["logmel_extractor.melW"]).clamp(min=1e-10))

    def normed(x, name):
        names = ("running_mean", "running_var", "weight", "bias")
        return f.batch_norm(x, *(state[f"{name}.{leaf}"] for leaf in names))

    x = normed(x.transpose(1, 3), "bn0").transpose(1, 3)
    for number in range(1, 7):
        for at in (1, 2):
            x = f.conv2d(x, state[f"conv_block{number}.conv{at}.weight"], padding=1)
            x = normed(x, f"conv_block{number}.bn{at}").relu()
        x = f.avg_pool2d(x, 2) if number < 6 else x
    x = x.mean(3)
    x = x.max(2).values + x.mean(2)
    x = f.linear(x, state["fc1.weight"], state["fc1.bias"]).relu()
    return f.linear(x, state["fc_audioset.weight"], state["fc_audioset.bias"])


def saved(path, state, **more):
    torch.save({"iteration": 600000, "model": state, **more}, path)
    return path


def convert(source, out, *more):
    return tiny.slowfast("weights", "convert", source, out, *more)


@pytest.mark.parametrize("fft", RATES)
def test_the_converted_model_matches_the_official_definition(tmp_path, fft):
    state, out = official(fft), tmp_path / "out.safetensors"
    sampler = {"indexes_per_class": [np.arange(3)], "queue": [1, 2]}
    done = convert(saved(tmp_path / "Cnn14.pth", state, sampler=sampler), out)
    assert done.code == 0, done.err
    learned = [name for name in state if not name.startswith(("spectro", "logmel")) and "num_batches" not in name]
    assert f"loaded {len(learned)} tensors, missing 0, unexpected 0" in done.err
    assert "Cnn14_DecisionLevelMax has the same tensors" in done.err
    card = read_card(out)
    rate, fmax = RATES[fft]
    assert card.net == Baseline(kind="cnn14", length=64, bands=64, standardise=False)
    assert (card.clip_seconds, card.views, card.sigmoid, card.recipe) == (10.0, 1, True, "")
    front_end = FrontEnd(**card.front_end)
    assert (front_end.rate, front_end.fmax, front_end.hop, front_end.window) == (rate, fmax, rate // 100, fft)
    samples = torch.from_numpy(np.random.default_rng(1).standard_normal((2, rate + 77))).float()
    samples[1] *= torch.linspace(0, 1, samples.shape[1]) ** 8
    with torch.no_grad():
        actual = load_model(out)({"logmel": LogMel(front_end)(samples)})["label"]
        expected = answers(state, samples, rate // 100)
    assert expected.std() > 0.1
    torch.testing.assert_close(actual, expected, rtol=1e-3, atol=1e-3)


def test_the_converted_model_has_audioset_classes_and_predicts(tmp_path):
    out = tmp_path / "out.safetensors"
    done = convert(saved(tmp_path / "in.pth", official(512, classes=527)), out)
    assert done.code == 0, done.err
    assert read_card(out).classes["label"][:2] == ("Speech", "Male speech, man speaking")
    samples = np.random.default_rng(0).standard_normal(16000 * 12) / 10
    sf.write(tmp_path / "noise.wav", samples, 16000)
    classes = tiny.good("predict", tmp_path / "noise.wav", "-w", out, "--json").lines[0]["top"]
    assert 0 < classes[0]["score"] < 1
    assert "16000 Hz, 32 ms window, 10 ms hop, 64 mels" in tiny.good("weights", "show", out).out


def test_official_files_are_found_by_name(tmp_path, monkeypatch):
    monkeypatch.setenv("SLOWFAST_CACHE", str(tmp_path))
    monkeypatch.setitem(BASELINES, "panns-cnn14", Baseline(kind="cnn14", length=64, bands=64, standardise=False))
    entry = CATALOG["panns-cnn14-16k"]
    saved(download.target(entry).path, official(512, classes=527))
    card = read_card(weight_file("panns-cnn14-16k", offline=True))
    assert (card.licence, card.scores, card.front_end) == ("CC BY 4.0", {"map": 0.438}, entry.frontend)
    assert card.notes == (entry.note,)
    saved(download.target(CATALOG["panns-cnn14"]).path, official(512, classes=527))
    with pytest.raises(WeightsError, match="its sampling rate is 16000 Hz, expected 32000 Hz"):
        weight_file("panns-cnn14", offline=True)


def without(state, *names):
    return {name: value for name, value in state.items() if not name.startswith(names)}


def test_a_file_without_buffers_needs_a_variant(tmp_path, monkeypatch):
    monkeypatch.setitem(BASELINES, "panns-cnn14", Baseline(kind="cnn14", length=64, bands=64, standardise=False))
    path = saved(tmp_path / "in.pth", without(official(512, classes=527), "spectrogram", "logmel"))
    done = convert(path, tmp_path / "none.safetensors")
    assert (done.code, "--variant panns-cnn14 or panns-cnn14-16k" in done.err) == (4, True)
    assert convert(path, tmp_path / "out.safetensors", "--variant", "panns-cnn14-16k").code == 0
    assert read_card(tmp_path / "out.safetensors").front_end["rate"] == 16000


def other_filters(state):
    rate, fft = 16000, 512
    filters = librosa.filters.mel(sr=rate, n_fft=fft, n_mels=64, fmin=0, fmax=8000).T
    return {**state, "logmel_extractor.melW": torch.from_numpy(filters)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: without(state, "conv_block6", "conv_block5"), "is of PANNs, but not CNN14"),
        (
            lambda state: without(state, "conv_block2.conv1"),
            "1 tensors are missing, such as trunk.body.blocks.1.a.",
        ),
        (lambda state: without(state, "bn0"), "is of PANNs, but not CNN14"),
        (lambda state: {**state, "fc1.weight": torch.ones(8, 64)}, "is of PANNs, but not CNN14"),
        (other_filters, "expected those of PANNs at 16000 Hz, from 50 to 8000 Hz"),
        (
            lambda state: {**state, "spectrogram_extractor.stft.conv_real.weight": torch.ones(257, 1, 512)},
            "its window is not the Hann window of PANNs",
        ),
        (
            lambda state: {**state, "spectrogram_extractor.stft.conv_real.weight": torch.ones(301, 1, 600)},
            "the FFT size is 600, expected one of PANNs: 1024, 512, 256",
        ),
    ],
    ids=["cnn10", "missing", "no norm", "other width", "filters", "window", "points"],
)
def test_other_networks_are_refused(tmp_path, change, message):
    done = convert(saved(tmp_path / "in.pth", change(official(512))), tmp_path / "out.safetensors")
    assert done.code == 4, done.err
    assert message in done.err
    assert not (tmp_path / "out.safetensors").exists()


def test_unexpected_tensors_are_reported(tmp_path):
    state = {f"module.{name}": value for name, value in official(512).items()} | {"module.att.weight": torch.ones(2)}
    done = convert(saved(tmp_path / "in.pth", state), tmp_path / "out.safetensors")
    assert "missing 0, unexpected 1" in done.err
    assert "unexpected: att.weight" in done.err
