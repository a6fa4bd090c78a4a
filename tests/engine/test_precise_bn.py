"""Batch-norm statistics averaged anew, against a slow twin; and those that are frozen."""

import copy

import pytest
import torch
from torch import nn

from slowfast_cli.engine.precise_bn import precise_bn
from slowfast_cli.models.recognizer import Recognizer
from slowfast_cli.models.spec import with_width
from slowfast_cli.models.zoo import VARIANTS
from slowfast_cli.nn.frozen import batch_norms
from slowfast_cli.types import Batch, Inputs


def recognizer(freeze="none"):
    torch.manual_seed(0)
    return Recognizer(with_width(VARIANTS["asf-r50"], 8), {"label": 3}, dropout=0.5, freeze_bn=freeze)


@pytest.fixture(scope="module")
def batches():
    torch.manual_seed(1)
    return [
        Batch(inputs=Inputs(logmel=3 * torch.randn(4, 1, 40, 32) - 5), targets={}, ids=("a",) * 4) for _ in range(3)
    ]


def twin(model, batches):
    """Mean over the batches of each one's own mean and unbiased variance, taken from what each norm reads."""
    read: dict[str, list[torch.Tensor]] = {}
    handles = [
        norm.register_forward_pre_hook(lambda module, x, name=name: read.setdefault(name, []).append(x[0].double()))
        for name, norm in batch_norms(model)
    ]
    with torch.no_grad():
        for batch in batches:
            model.train()(batch.inputs.signals)
    for handle in handles:
        handle.remove()
    return {
        name: (
            torch.stack([x.mean((0, 2, 3)) for x in values]).mean(0),
            torch.stack([x.var((0, 2, 3), unbiased=True) for x in values]).mean(0),
        )
        for name, values in read.items()
    }


def test_statistics_are_plain_means_over_the_batches(batches):
    model = recognizer()
    wanted = twin(copy.deepcopy(model), batches)
    before = copy.deepcopy(dict(model.named_parameters()))
    precise_bn(model, iter(batches))
    assert len(wanted) > 50
    for name, norm in batch_norms(model):
        mean, variance = wanted[name]
        torch.testing.assert_close(norm.running_mean.double(), mean, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(norm.running_var.double(), variance, rtol=1e-4, atol=1e-5)
        assert norm.momentum == 0.1
    assert all(torch.equal(value, before[name]) for name, value in model.named_parameters())
    assert model.training


@pytest.mark.parametrize(("freeze", "moving"), [("all", 0), ("all-but-first", 3)])
def test_frozen_norms_keep_what_they_have(batches, freeze, moving):
    """All but the first of each pathway and lateral (ASF Sec. 4.2, and its code)."""
    model = recognizer(freeze)
    before = copy.deepcopy(model.state_dict())
    precise_bn(model, iter(batches))
    moved = {
        name.rpartition(".")[0]
        for name, value in model.state_dict().items()
        if "running" in name and not torch.equal(value, before[name])
    }
    assert len(moved) == moving
    assert all(name.endswith("_stem.norm") for name in moved)
    learning = {name.rpartition(".")[0] for name, value in model.named_parameters() if value.requires_grad}
    assert {name for name in learning if name.endswith("norm")} == moved


def test_frozen_norms_stay_frozen_when_they_are_synchronised():
    model = nn.SyncBatchNorm.convert_sync_batchnorm(recognizer("all-but-first")).train()
    assert sum(norm.training for _, norm in batch_norms(model)) == 3
    assert all(isinstance(norm, nn.SyncBatchNorm) for _, norm in batch_norms(model))
