"""Exported weights: half the size, the same outputs, with license, notes and scores."""

import hashlib

import pytest
import tiny
import torch

from slowfast_cli.models.spec import with_width
from slowfast_cli.models.zoo import VARIANTS
from slowfast_cli.types import UsageError, WeightsError
from slowfast_cli.weights.export import export, publish
from slowfast_cli.weights.file import Card, build, read, read_card, save
from slowfast_cli.weights.foreign import pyslowfast


@pytest.fixture
def weights(tmp_path):
    card = Card(
        net=with_width(VARIANTS["asf-r50"], 8),
        classes={"label": ("a", "b", "c")},
        front_end={"rate": 16000, "window_ms": 20, "hop_ms": 10, "mels": 32, "fft": 2048, "floor": 1e-6},
        clip_seconds=1.0,
        scores={"top1": 50.0},
        notes=("first",),
    )
    torch.manual_seed(0)
    save(tmp_path / "run.safetensors", card.model().state_dict(), card)
    return tmp_path / "run.safetensors"


def test_half_precision_halves_the_size_and_keeps_the_outputs(weights, tmp_path):
    out = tmp_path / "new" / "half.safetensors"
    card = export(weights, out, half=True, licence="CC0", notes=("second",), scores={"top1": 90.0})
    assert out.stat().st_size < 0.6 * weights.stat().st_size
    assert (card.licence, card.notes, dict(card.scores)) == ("CC0", ("first", "second"), {"top1": 90.0})
    assert read_card(out) == card
    x = {"logmel": torch.randn(2, 1, 101, 32)}
    with torch.inference_mode():
        torch.testing.assert_close(build(out)[1](x)["label"], build(weights)[1](x)["label"], atol=2e-3, rtol=2e-2)


def test_existing_files_are_not_overwritten(weights):
    with pytest.raises(UsageError, match="already exists"):
        export(weights, weights)


def test_only_weight_files_are_exported(tmp_path):
    (tmp_path / "x.safetensors").write_bytes(b"no weights")
    with pytest.raises(WeightsError, match="not a safetensors file"):
        export(tmp_path / "x.safetensors", tmp_path / "y.safetensors")


def test_scores_of_the_run_are_kept_by_default(weights, tmp_path):
    assert dict(export(weights, tmp_path / "y.safetensors").scores) == {"top1": 50.0}


CHANGES = {"licence": "CC BY 4.0", "notes": ("field recordings",)}


def test_published_files_carry_their_hash_and_a_card(weights, tmp_path):
    path, card = publish(
        weights, tmp_path / "out" / "rain.safetensors", licence="CC BY 4.0", notes=("field recordings",)
    )
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    assert (path.name, card.name) == (f"rain-{digest}.safetensors", f"rain-{digest}.md")
    text = card.read_text()
    parts = ("license: cc-by-4.0", "audio-classification", "3 classes (label): a, b, c", f"--weights {path.name}")
    assert all(part in text for part in (*parts, "| top1 | 50 |", "- field recordings"))
    assert sorted(file.name for file in path.parent.iterdir()) == sorted([path.name, card.name])
    with pytest.raises(UsageError, match="already exists"):
        publish(weights, tmp_path / "out" / "rain.safetensors", **CHANGES)


def test_weights_survive_the_way_to_pyslowfast_and_back(weights, tmp_path):
    out = tmp_path / "asf.pyth"
    done = tiny.good("weights", "export", weights, out, "--to", "pyslowfast")
    assert "tensors" in done.out
    state = torch.load(out, weights_only=True)["model_state"]
    assert "s1_fuse.conv_f2s.weight" in state
    back = pyslowfast.convert(state, None).state
    assert all(torch.equal(back[name], value) for name, value in read(weights)[1].items())


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--to", "keras"], 2, "--to keras: expected safetensors, pyslowfast or pytorchvideo"),
        (["--to", "pyslowfast", "--half"], 2, "--to pyslowfast: has no card: leave --half"),
        (["--to", "pytorchvideo"], 4, "PyTorchVideo's hub does not have"),
    ],
)
def test_what_cannot_be_exported_is_refused(weights, tmp_path, words, code, message):
    done = tiny.slowfast("weights", "export", weights, tmp_path / "out.pyth", *words)
    assert (done.code, message in done.err) == (code, True), done.err
