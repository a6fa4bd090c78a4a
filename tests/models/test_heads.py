"""Classifiers of label sets with any name."""

import pytest
import torch

from slowfast_cli.models.heads import Heads, module_key
from slowfast_cli.models.zoo import VARIANTS

NAMES = ("type", "train", "a.b", "a%2Eb", "%74ype", "event/type", "training", "keys", "_modules", "verb", "90 %")


@pytest.fixture
def net():
    return VARIANTS["asf-small"]


def test_any_name_gets_its_own_classifier(net):
    heads = Heads(net, {name: size for size, name in enumerate(NAMES, 2)}, dropout=0.0)
    maps = {name: torch.randn(3, size, 2, 4) for name, size in net.features().items()}
    assert {name: tuple(rows.shape) for name, rows in heads(maps).items()} == {
        name: (3, size) for size, name in enumerate(NAMES, 2)
    }
    again = Heads(net, {name: size for size, name in enumerate(NAMES, 2)}, dropout=0.0)
    again.load_state_dict(heads.state_dict())
    torch.testing.assert_close(again(maps), heads(maps))


def test_ordinary_names_are_module_names():
    ordinary = ("label", "verb", "event/type", "90 %", "Caf\u00e9", "column 2", "a-b")
    assert [module_key(name) for name in ordinary] == list(ordinary)
