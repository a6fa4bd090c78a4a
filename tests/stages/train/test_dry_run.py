"""What a training would cost: data first, the fitted recipe, and a step measured smaller where it is slow."""

import pytest
import tiny

from slowfast_cli.recipe.load import load
from slowfast_cli.stages.train import dry_run

VIDEO = ["data.corpus=kinetics400", "model.width=8"]


@pytest.fixture
def unmeasured(monkeypatch):
    """Fail if a step is measured."""

    def trial(*_):
        raise AssertionError("a step was measured")

    monkeypatch.setattr(dry_run, "trial", trial)


def test_a_slow_step_is_measured_smaller_and_scaled(monkeypatch):
    monkeypatch.setattr(dry_run, "BUDGET", 0)
    tried = dry_run.trial(load("folder-video", VIDEO), "cpu")
    assert tried.measured == "measured with 1 clip of 32 pixels and scaled"
    assert tried.clips == 8
    assert tried.seconds > 8 * tried.update


def test_a_fast_step_is_measured_as_it_is(monkeypatch):
    monkeypatch.setattr(dry_run, "BUDGET", 1000)
    recipe = load("folder-video", [*VIDEO, "video.crop=64", "optim.batch=2"])
    tried = dry_run.trial(recipe, "cpu")
    assert (tried.measured, tried.clips) == ("", 2)


def test_sizes_get_cheaper_and_pretraining_keeps_two_clips():
    for name, least in (("folder-video", 1), ("simclr", 2), ("folder", 1)):
        recipe = load(name, ["data.corpus=vggsound"] if name != "folder-video" else VIDEO)
        sizes = list(dry_run._sizes(recipe, 8))
        cost = [dry_run._multiply_adds(*size) for size in sizes]
        assert cost == sorted(set(cost), reverse=True)
        assert min(clips for _, clips in sizes) == least


def test_a_batch_that_does_not_fit_is_an_error_before_anything_is_measured(sounds, unmeasured):
    done = tiny.slowfast("train", "folder", f"data.root={sounds}", *tiny.WORDS, "optim.batch=99",
                         "data.source=media", "--dry-run")  # fmt: skip
    assert done.code == 3
    assert "99" in done.err
    assert "folder train: 12 of 12 segments" in done.out


def test_the_fitted_recipe_is_shown(sounds):
    words = [*tiny.WORDS, "adapt=true", "data.source=media", "optim.batch=32"]
    done = tiny.good("train", "folder", f"data.root={sounds}", *words, "--dry-run")
    assert "one step of 4 clips on" in done.out
    assert "optim.batch=4" in done.err
    assert done.out.index("training") < done.out.index("parameters") < done.out.index("one step")
