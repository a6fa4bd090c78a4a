"""Corpora, shards and trained models that many tests read and none may change."""

import os

import pytest
import tiny
import torch


def pytest_configure(config):
    torch.set_num_threads(1)  # the networks of the tests are too small to share


def pytest_runtest_setup(item):
    if item.get_closest_marker("cuda") and not torch.cuda.is_available():
        if os.environ.get("SLOWFAST_REQUIRE_CUDA") == "1":
            pytest.fail("SLOWFAST_REQUIRE_CUDA=1, and torch sees no GPU")
        pytest.skip("needs an NVIDIA GPU")


@pytest.fixture(autouse=True)
def _undrawn(monkeypatch):
    """Half the time of a tiny training is its picture; the trainings of the fixtures below draw theirs."""
    monkeypatch.setattr("slowfast_cli.stages.train.loop.curves_plot", lambda *words, **options: None)


@pytest.fixture(scope="session")
def sounds(tmp_path_factory):
    """A corpus of class folders, extracted."""
    root = tiny.make_folder(tmp_path_factory.mktemp("corpus") / "folder")
    tiny.good("extract", "--dataset", "folder", "--root", root, "-j", 1, *tiny.FRONT)
    return root


@pytest.fixture(scope="session")
def kitchen(tmp_path_factory):
    """A corpus laid out as EPIC-KITCHENS-100, extracted."""
    root = tiny.make_epic(tmp_path_factory.mktemp("corpus") / "epic")
    tiny.good("extract", "--dataset", "epic", "--root", root, "-j", 1, *tiny.FRONT)
    return root


@pytest.fixture(scope="session")
def trained(sounds, tmp_path_factory):
    """The run folder of a finished training on `sounds`."""
    run = tmp_path_factory.mktemp("runs") / "folder"
    tiny.good("train", "folder", f"data.root={sounds}", *tiny.WORDS, "--run", run)
    return run


@pytest.fixture(scope="session")
def trained_epic(kitchen, tmp_path_factory):
    """The run folder of a finished training on `kitchen`: two heads."""
    run = tmp_path_factory.mktemp("runs") / "epic"
    tiny.good("train", "epic", f"data.root={kitchen}", *tiny.EPIC_WORDS, *tiny.EPIC_SCRATCH, "--run", run)
    return run
