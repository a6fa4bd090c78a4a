"""`slowfast evaluate` of official weights: each by its own clips, whatever network the recipe is about."""

import json
from dataclasses import replace

import golden
import numpy as np
import pytest
import tiny
import tiny_video
import torch

from slowfast_cli.build.checks import require_fit
from slowfast_cli.models.recognizer import Recognizer
from slowfast_cli.models.spec import with_width
from slowfast_cli.models.zoo import VARIANTS
from slowfast_cli.recipe.load import load
from slowfast_cli.types import Corpus, WeightsError
from slowfast_cli.weights import download
from slowfast_cli.weights.catalog import CATALOG
from slowfast_cli.weights.catalog_entry import network
from slowfast_cli.weights.file import Card, read_card
from slowfast_cli.weights.resolve import weight_file

NAMES = ("slowfast-8x8-r50-ssv2", "slowfast-16x8-r50-ssv2", "slowfast-16x8-r50-multigrid-ssv2", "slow-8x8-r50-ssv2")
SMALL = ["video.side=64", "video.crop=64", "video.jitter=[64, 64]", "data.workers=0"]


@pytest.fixture
def official(tmp_path, monkeypatch):
    """Narrow checkpoints with the tensor names of PySlowFast, where their downloads would be."""
    monkeypatch.setenv("SLOWFAST_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    for seed, name in enumerate(NAMES):
        entry = CATALOG[name]
        monkeypatch.setitem(VARIANTS, entry.variant, with_width(VARIANTS[entry.variant], 16))
        torch.manual_seed(seed)
        model = Recognizer(network(entry), dict(entry.heads)).eval()
        state = {golden.pyslowfast_name(key): value for key, value in model.state_dict().items()}
        torch.save({"model_state": state}, download.target(entry).path)
    return tiny_video.ssv2(tmp_path / "ssv2", tiny_video.render(tmp_path / "clips"))


def scores(path):
    with np.load(path if path.suffix else path / "predictions.npz") as file:
        return file["scores_label"]


def test_cards_of_something_something(official):
    cards = [read_card(weight_file(name, offline=True)) for name in NAMES]
    assert {card.classes["label"][0] for card in cards} == {"Approaching something with your camera"}
    assert [(card.recipe, card.views, card.video["frames"], card.video["crops"]) for card in cards] == [
        ("ssv2", 1, 32, 3), ("ssv2", 1, 64, 1), ("ssv2", 1, 64, 1), ("ssv2", 1, 8, 3),
    ]  # fmt: skip


@pytest.mark.thorough
def test_official_weights_are_compared_each_by_its_own_clips(official, tmp_path):
    words = ["ssv2", f"data.root={official}", *SMALL, "--offline"]
    named = [word for name in NAMES for word in ("-w", name)]
    (result,) = tiny.good("evaluate", *words, *named, "--json", "--out", tmp_path / "all").lines
    assert {name: facts["segments"] for name, facts in result["models"].items()} == dict.fromkeys(NAMES, 4)
    alone = tiny.good("evaluate", *words, "-w", NAMES[0], "--json", "--no-plots", "--out", tmp_path / "alone")
    assert json.loads(alone.out)["published"] == {"top1": 61.68, "top5": 86.92}
    all_scores, alone_scores = scores(tmp_path / "all" / "predictions-1.npz"), scores(tmp_path / "alone")
    assert np.array_equal(all_scores, alone_scores)  # by the same clips
    tiny.good("evaluate", *words, "video.side=80", "-w", NAMES[0], "--no-plots", "--out", tmp_path / "large")
    assert not np.array_equal(alone_scores, scores(tmp_path / "large"))  # the command line has the last word
    ensemble = ["--ensemble", NAMES[1], "--no-plots", "--out", tmp_path / "ensemble"]
    tiny.good("evaluate", *words, "-w", NAMES[0], *ensemble)


def test_the_step_does_not_matter_where_a_clip_is_the_whole_video():
    recipe = load("ssv2")
    corpus = Corpus(name="ssv2", split="validation", segments=(), classes={})
    card = Card(
        net=VARIANTS["slowfast-16x8-r50"], classes={}, front_end={}, clip_seconds=9.0,
        video={**recipe.video.settings(), "step": 7},
    )  # fmt: skip
    require_fit(card, recipe, corpus, "w")
    dense = replace(card, video={**card.video, "sampling": "dense"})
    with pytest.raises(WeightsError, match=r"use the settings of the weights, video\.step=7 video\.sampling=dense"):
        require_fit(dense, recipe, corpus, "w")
