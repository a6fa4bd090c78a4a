"""Cross-entropy of merged predictions."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from slowfast_cli.metrics.log_loss import log_loss
from slowfast_cli.metrics.predictions import Rows


def rows(scores, targets):
    return Rows(
        ids=("a", "b", "c"), scores={"label": scores}, targets={"label": targets} if targets is not None else {}
    )


def test_it_is_torch_s():
    logits, targets = torch.randn(3, 4, generator=torch.Generator().manual_seed(1)), torch.tensor([0, 3, 2])
    softmax = rows(logits.softmax(1).numpy(), targets.numpy())
    assert log_loss(softmax) == pytest.approx(float(functional.cross_entropy(logits, targets)), rel=1e-6)
    multi_hot = torch.eye(4)[targets] + torch.eye(4)[0]
    sigmoid = rows(logits.sigmoid().numpy(), multi_hot.clip(max=1).numpy())
    expected = functional.binary_cross_entropy_with_logits(logits, multi_hot.clip(max=1))
    assert log_loss(sigmoid) == pytest.approx(float(expected), rel=1e-6)


def test_a_sure_mistake_is_finite_and_no_labels_are_no_loss():
    assert 20 < log_loss(rows(np.eye(3, dtype=np.float32), np.array([1, 2, 0]))) < 30
    assert log_loss(rows(np.eye(3, dtype=np.float32), None)) is None
