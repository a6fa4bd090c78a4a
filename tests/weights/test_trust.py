"""A weight file executes no code, even if its header names a Python module as its network."""

import pytest
import torch

from slowfast_cli.cli.app import app
from slowfast_cli.models.architecture import Baseline
from slowfast_cli.stages.hares import benchmark
from slowfast_cli.types import WeightsError
from slowfast_cli.weights.file import Card, build, save

CODE = """
import pathlib
from torch import nn
pathlib.Path("ran").touch()
class Mine(nn.Module):
    def describe(self):
        return {"reads": "samples", "rate": 16000, "length": 1}
    def embed(self, signal):
        return signal.square().mean(1, keepdim=True)
"""


@pytest.fixture
def evil(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "evil_network.py").write_text(CODE)
    net = Baseline(kind="evil_network:Mine", reads="samples", rate=16000, length=1)
    heads = {"heads.linears.label.0.weight": torch.zeros(2, 1), "heads.linears.label.0.bias": torch.zeros(2)}
    card = Card(net=net, classes={"label": ("a", "b")}, front_end={"rate": 16000}, clip_seconds=1.0)
    save(tmp_path / "evil.safetensors", heads, card)
    return tmp_path / "evil.safetensors"


def test_a_header_that_names_a_module_is_refused(evil):
    for use in (build, lambda path: benchmark.trunk(str(path))):
        with pytest.raises(
            WeightsError, match="is the Python module evil_network:Mine, which is not run on behalf of a weight file"
        ):
            use(evil)
    assert not (evil.parent / "ran").exists()
    card, model = build(evil, trusted="evil_network:Mine")  # the user has named it
    assert model({"samples": torch.ones(1, 16000)})["label"].shape == (1, 2)
    assert card.classes["label"] == ("a", "b")


USES = [["predict", "x.wav"], ["evaluate", "hares"], ["train", "simclr", "model.variant=null"]]


@pytest.mark.parametrize("words", USES)
def test_no_command_runs_the_module(evil, words):
    from typer.testing import CliRunner

    tail = [f"model.init={evil}", "data.root=."] if words[0] == "train" else ["--weights", str(evil)]
    result = CliRunner().invoke(app, [*words, *tail])
    assert result.exit_code != 0
    assert not (evil.parent / "ran").exists()
