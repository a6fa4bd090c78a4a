"""A weight file executes no code, even if its header names a Python module as its network."""

import sys

import pytest
import torch
from tiny import slowfast

from slowfast_cli.build.network import external_architecture
from slowfast_cli.cli.app import app
from slowfast_cli.models import external
from slowfast_cli.models.architecture import Baseline
from slowfast_cli.recipe.load import bundled
from slowfast_cli.types import UsageError
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


@pytest.fixture(autouse=True)
def nothing_trusted(monkeypatch):
    monkeypatch.setattr(external, "_TRUSTED", set())


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
    with pytest.raises(UsageError, match="is Python code that a recipe or weight file names, and importing it runs it"):
        build(evil)
    assert not (evil.parent / "ran").exists()
    external.trust("evil_network:Mine")  # the user has named it
    card, model = build(evil)
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


RECIPES = [["recipes", "validate"], ["recipes", "show"], ["train"], ["train", "--dry-run"], ["evaluate"]]


@pytest.mark.parametrize("words", RECIPES)
def test_no_command_imports_what_only_a_recipe_names(evil, sounds, words):
    recipe = evil.parent / "recipe.yaml"
    text = bundled()["folder"].read_text()
    recipe.write_text(text.replace("variant: asf-small, init: default", "variant: 'evil_network:Mine'"))
    assert "evil_network" in recipe.read_text()
    weights = ["--weights", evil] if words == ["evaluate"] else []
    done = slowfast(*words, recipe, f"data.root={sounds}", *weights)
    assert not (evil.parent / "ran").exists()
    if words != ["recipes", "show"]:
        assert done.code == 2
        assert "allow it with --trust, or type model.variant=evil_network:Mine" in done.err


@pytest.mark.parametrize("words", [["model.variant=evil_network:Mine"], ["--trust"]])
def test_a_module_that_the_user_typed_or_trusts_is_imported(evil, sounds, words):
    external_architecture.cache_clear()
    sys.modules.pop("evil_network", None)
    recipe = evil.parent / "recipe.yaml"
    text = bundled()["folder"].read_text()
    recipe.write_text(text.replace("variant: asf-small, init: default", "variant: 'evil_network:Mine'"))
    slowfast("train", recipe, "--dry-run", f"data.root={sounds}", *words)
    assert (evil.parent / "ran").exists()
