"""The running average of weights, beside PyTorch's own."""

import copy

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from slowfast_cli.engine.ema import Ema


def warmed_up(averaged, current, steps):
    torch._foreach_lerp_(averaged, current, 1 - min(0.3, (1 + int(steps)) / (10 + int(steps))))


def test_it_is_the_average_of_pytorch_with_the_same_state():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    ours, theirs = Ema(model, 0.3), AveragedModel(model, multi_avg_fn=warmed_up)
    for _ in range(4):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter))
        model(torch.randn(8, 3))
        ours.update(model)
        theirs.update_parameters(model)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value, rtol=0, atol=0, msg=name)
    other = Ema(copy.deepcopy(model), 0.9)
    other.load_state_dict(theirs.state_dict())
    assert other.n_averaged == 4
