"""Exported weights: half the size, the same outputs, with license, notes and scores."""

import pytest
import torch

from slowfast_cli.models.spec import with_width
from slowfast_cli.models.zoo import VARIANTS
from slowfast_cli.types import UsageError, WeightsError
from slowfast_cli.weights.export import export
from slowfast_cli.weights.file import Card, build, read_card, save


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
