"""Losses and probabilities of one head and of several."""

import numpy as np
import pytest
import torch
from torch import nn

from slowfast_cli.tasks.classify import Classify
from slowfast_cli.tasks.multilabel import MultiLabel
from slowfast_cli.tasks.task import Task
from slowfast_cli.types import Batch, Inputs

LOGITS = {"verb": torch.tensor([[2.0, -1.0, 0.5], [0.0, 3.0, -2.0]]), "noun": torch.tensor([[1.0, 0.0], [-1.0, 4.0]])}


class Fixed(nn.Module):
    def forward(self, signals):
        return LOGITS


def batch(verb, noun):
    return Batch(inputs=Inputs(), targets={"verb": torch.tensor(verb), "noun": torch.tensor(noun)}, ids=("a", "b"))


def task(smoothing=0.0):
    return Task((Classify(labels=("verb", "noun"), label_smoothing=smoothing),))


def softmax(logits):
    powers = np.exp(logits.numpy().astype(np.float64))
    return powers / powers.sum(1, keepdims=True)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_the_mean_cross_entropy_of_each_head(smoothing):
    found = task(smoothing).loss(Fixed(), batch([0, 2], [1, 1]))
    for labels, targets in {"verb": [0, 2], "noun": [1, 1]}.items():
        logs = np.log(softmax(LOGITS[labels]))
        wanted = 0.0
        for row, target in enumerate(targets):
            spread = np.full(logs.shape[1], smoothing / logs.shape[1])
            spread[target] += 1 - smoothing
            wanted -= (spread * logs[row]).sum() / 2
        assert found[labels].item() == pytest.approx(wanted, rel=1e-5)


def test_mixed_targets_are_probabilities():
    hard = task().loss(Fixed(), batch([0, 2], [1, 1]))
    soft = task().loss(Fixed(), batch([[1.0, 0, 0], [0, 0, 1.0]], [[0, 1.0], [0, 1.0]]))
    assert {name: value.item() for name, value in soft.items()} == pytest.approx(
        {name: value.item() for name, value in hard.items()}
    )


def test_predictions_are_probabilities_on_the_cpu_by_id():
    found = task().predict(Fixed(), batch([0, 0], [0, 0]))
    assert [each.id for each in found] == ["a", "b"]
    for row, each in enumerate(found):
        for labels, scores in each.scores.items():
            assert isinstance(scores, np.ndarray)
            assert scores.dtype == np.float32
            np.testing.assert_allclose(scores, softmax(LOGITS[labels])[row], rtol=1e-5)


class Positions(nn.Module):
    """Frames larger than those trained on: several positions are classified."""

    logits = torch.tensor([[[2.0, -1.0], [0.0, 3.0]], [[1.0, 0.0], [-1.0, 4.0]]])

    def forward(self, signals, boxes=None):
        return {"label": self.logits}


def test_probabilities_of_positions_are_averaged():
    whole = Batch(inputs=Inputs(), targets={"label": torch.tensor([0, 1])}, ids=("a", "b"))
    found = Task((Classify(labels=("label",)),)).predict(Positions(), whole)
    np.testing.assert_allclose(found[0].scores["label"], Positions.logits[0].softmax(1).mean(0), rtol=1e-6)
    several = Task((MultiLabel(labels=("label",)),)).predict(Positions(), whole)
    np.testing.assert_allclose(several[1].scores["label"], Positions.logits[1].sigmoid().mean(0), rtol=1e-6)
    loss = Task((Classify(labels=("label",)),)).loss(Positions(), whole)["label"]
    logs = Positions.logits.log_softmax(2)
    assert loss.item() == pytest.approx(-(logs[0, :, 0].sum() + logs[1, :, 1].sum()).item() / 4)


class Boxed(nn.Module):
    def forward(self, signals, boxes):
        return {"label": torch.tensor([[0.0, 1.0], [2.0, -1.0], [0.5, 0.5]])[: len(boxes)]}


def test_boxes_are_reported_with_their_places_and_segments():
    boxes = torch.tensor([[1.0, 0, 0, 5, 5], [0.0, 1, 1, 4, 4], [1.0, 2, 2, 3, 3]])
    places = ((0.0, 0.0, 0.5, 0.5), (0.1, 0.1, 0.4, 0.4), (0.2, 0.2, 0.3, 0.3))
    target = torch.tensor([[0.0, 1.0], [1.0, 1.0], [0.0, 0.0]])
    whole = Batch(inputs=Inputs(), targets={"label": target}, ids=("a", "b"), boxes=boxes, places=places)
    task = Task((MultiLabel(labels=("label",)),))
    found = task.predict(Boxed(), whole)
    assert [(each.id, each.place) for each in found] == [("b", places[0]), ("a", places[1]), ("b", places[2])]
    want = torch.nn.functional.binary_cross_entropy(Boxed()(None, boxes)["label"].sigmoid(), target)
    assert task.loss(Boxed(), whole)["label"].item() == pytest.approx(want.item(), rel=1e-6)


def test_no_boxes_cost_nothing():
    none = Batch(inputs=Inputs(), targets={"label": torch.zeros(0, 2)}, ids=("a",), boxes=torch.zeros(0, 5))
    assert Task((MultiLabel(labels=("label",)),)).loss(Boxed(), none)["label"] == 0
