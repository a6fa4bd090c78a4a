"""Losses and probabilities of one head and of several."""

import numpy as np
import pytest
import torch
from torch import nn

from slowfast_cli.tasks.classify import Classify
from slowfast_cli.types import Batch

LOGITS = {"verb": torch.tensor([[2.0, -1.0, 0.5], [0.0, 3.0, -2.0]]), "noun": torch.tensor([[1.0, 0.0], [-1.0, 4.0]])}


class Fixed(nn.Module):
    def forward(self, signals):
        return LOGITS


def batch(verb, noun):
    return Batch(signals={}, targets={"verb": torch.tensor(verb), "noun": torch.tensor(noun)}, ids=("a", "b"))


def softmax(logits):
    powers = np.exp(logits.numpy().astype(np.float64))
    return powers / powers.sum(1, keepdims=True)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_the_mean_cross_entropy_of_each_head(smoothing):
    found = Classify(smoothing).loss(Fixed(), batch([0, 2], [1, 1]))
    for labels, targets in {"verb": [0, 2], "noun": [1, 1]}.items():
        logs = np.log(softmax(LOGITS[labels]))
        wanted = 0.0
        for row, target in enumerate(targets):
            spread = np.full(logs.shape[1], smoothing / logs.shape[1])
            spread[target] += 1 - smoothing
            wanted -= (spread * logs[row]).sum() / 2
        assert found[labels].item() == pytest.approx(wanted, rel=1e-5)


def test_mixed_targets_are_probabilities():
    hard = Classify().loss(Fixed(), batch([0, 2], [1, 1]))
    soft = Classify().loss(Fixed(), batch([[1.0, 0, 0], [0, 0, 1.0]], [[0, 1.0], [0, 1.0]]))
    assert {name: value.item() for name, value in soft.items()} == pytest.approx(
        {name: value.item() for name, value in hard.items()}
    )


def test_predictions_are_probabilities_on_the_cpu_by_id():
    found = Classify().predict(Fixed(), batch([0, 0], [0, 0]))
    assert [each.id for each in found] == ["a", "b"]
    for row, each in enumerate(found):
        for labels, scores in each.scores.items():
            assert isinstance(scores, np.ndarray)
            assert scores.dtype == np.float32
            np.testing.assert_allclose(scores, softmax(LOGITS[labels])[row], rtol=1e-5)
