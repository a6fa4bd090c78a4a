"""Long recordings are answered in memory that does not grow with them."""

import os

import pytest
import soundfile
import tiny
import torch

from slowfast_cli.models.spec import with_width
from slowfast_cli.models.zoo import VARIANTS
from slowfast_cli.stages.search import read_index
from slowfast_cli.weights.file import Card, save

RATE = 8000


def long_recording(path, minutes):
    minute = tiny.sound("rain.wav", 60, rate=RATE)
    with soundfile.SoundFile(path, "w", RATE, 1, "PCM_16") as file:
        for _ in range(minutes):
            file.write(minute)
    return path


def peak(path, weights, *words):
    """Largest resident memory of the process, in MB, and its lines."""
    with (path.with_suffix(".jsonl")).open("w+") as out:
        child = tiny.start("predict", path, "-w", weights, "--json", *words, stdout=out, stderr=None)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        assert child.returncode == 0
        out.seek(0)
        return usage.ru_maxrss / 1024, len(out.readlines())


def embedding_peak(path, weights, out, *words):
    """Largest resident memory of `slowfast embed`, in MB, and the rows it wrote."""
    child = tiny.start("embed", path, "-w", weights, "--out", out, *words, stdout=None, stderr=None)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0
    stored = read_index(out)
    return usage.ru_maxrss / 1024, len(stored.features)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["npz", "hdf5", "npy", "parquet"])
def test_an_hour_is_embedded_in_no_more_than_ten_minutes_need(tmp_path, name):
    net = with_width(VARIANTS["asf-r50"], 8)
    card = Card(net=net, classes={"label": ("a",)}, front_end={**tiny.FRONT_END, "rate": RATE}, clip_seconds=0.1)
    torch.manual_seed(0)
    save(tmp_path / "w.safetensors", card.model().state_dict(), card)
    short = long_recording(tmp_path / "short.wav", 10)
    long = long_recording(tmp_path / "long.wav", 60)
    words = ["--window", "0.1", "--hop", "0.05", "--format", name]
    little, few = embedding_peak(short, tmp_path / "w.safetensors", tmp_path / "few", *words)
    much, many = embedding_peak(long, tmp_path / "w.safetensors", tmp_path / "many", *words)
    assert (few, many) == (11999, 71999)
    # Fifty minutes more are 96 MB of float32 samples, and 69 MB of features.
    assert much - little < 30, f"{little:.0f} MB, {much:.0f} MB"


@pytest.mark.slow
def test_an_hour_takes_no_more_than_ten_minutes(tmp_path):
    net = with_width(VARIANTS["asf-r50"], 8)
    front_end = {**tiny.FRONT_END, "rate": RATE}
    card = Card(net=net, classes={"label": ("a", "b")}, front_end=front_end, clip_seconds=2.0)
    torch.manual_seed(0)
    save(tmp_path / "w.safetensors", card.model().state_dict(), card)
    short = long_recording(tmp_path / "short.wav", 10)
    long = long_recording(tmp_path / "long.wav", 60)
    for words, windows in ((["--timeline", "2.0/2.0"], (300, 1800)), ([], (1, 1))):
        little, few = peak(short, tmp_path / "w.safetensors", *words)
        much, many = peak(long, tmp_path / "w.safetensors", *words)
        assert (few, many) == windows
        # Fifty minutes more are 96 MB of float32; the same command twice differs by up to 10 MB.
        assert much - little < 20, f"{little:.0f} MB, {much:.0f} MB"
