"""The learning rate over a run."""

import math

import pytest

from slowfast_cli.build import schedule as training_schedule
from slowfast_cli.build.schedule import micro_batches
from slowfast_cli.engine.schedule import cosine, risen, steps, warmed_up
from slowfast_cli.recipe.load import load
from slowfast_cli.types import UsageError


def test_vggsound_drops_after_30_and_40_epochs():
    """ASF Sec. 4.2: 50 epochs from 0.01."""
    recipe = load("vggsound")
    rate = training_schedule.learning_rate(recipe, 1000)
    reported = {epoch: recipe.optim.lr * rate(round(1000 * epoch)) for epoch in (0, 29.999, 30, 39.999, 40, 49.999)}
    assert list(reported.values()) == pytest.approx([1e-2, 1e-2, 1e-3, 1e-3, 1e-4, 1e-4])


def test_epic_drops_after_20_and_25_epochs():
    recipe = load("epic")
    rate = training_schedule.learning_rate(recipe, 1000)
    reported = [recipe.optim.lr * rate(round(1000 * epoch)) for epoch in (0, 19.999, 20, 24.999, 25, 29.999)]
    assert reported == pytest.approx([1e-3, 1e-3, 1e-4, 1e-4, 1e-5, 1e-5])


def test_cosine_falls_all_the_way_and_stays_there():
    rate = cosine(8)
    reported = [rate(epoch / 10) for epoch in range(81)]
    assert reported == sorted(reported, reverse=True)
    assert (reported[0], reported[-1], rate(9)) == (1.0, 0.0, 0.0)
    assert rate(2) == pytest.approx((1 + math.cos(math.pi / 4)) / 2)


@pytest.mark.parametrize("shape", [cosine(20), steps((5, 10), 0.1)])
def test_warming_up_rises_evenly_to_what_the_schedule_has_then(shape):
    rate = warmed_up(shape, 3)
    assert rate(0) == pytest.approx(0.01 * shape(3))
    assert rate(1.5) == pytest.approx(0.505 * shape(3))
    assert [rate(epoch) for epoch in (3, 7, 15)] == [shape(epoch) for epoch in (3, 7, 15)]
    rises = [rate(epoch / 10) for epoch in range(31)]
    assert rises == sorted(rises)
    assert warmed_up(shape, 0) is shape


@pytest.mark.parametrize("shape", [cosine(20), steps((5, 10), 0.1)])
def test_rising_apart_leaves_the_whole_shape_for_later(shape):
    rate = risen(shape, 4)
    assert [rate(done) for done in (0, 1, 2, 4)] == pytest.approx([0, 0.25, 0.5, 1])
    assert [rate(done) for done in (4, 9.5, 24, 30)] == [shape(done) for done in (0, 5.5, 20, 26)]
    assert risen(shape, 4, 0.2)(0) == pytest.approx(0.2)
    assert [risen(shape, 0)(done) for done in (0, 7)] == [shape(0), shape(7)]


def test_kinetics_is_half_a_cosine_after_a_rise_scaled_with_the_batch():
    """AV App. A.4: 1.6 for 1,024 clips, 34 epochs up, 256 in all; from a tenth of the rate, as the authors' code."""
    recipe = load("kinetics-av", ["optim.batch=64"])
    rate, top = training_schedule.learning_rate(recipe, 100), training_schedule.top_rate(recipe)
    assert top == pytest.approx(1.6 * 64 / 1024)
    assert training_schedule.total_steps(recipe, 100) == 25600
    cosine = [0.5 * (1 + math.cos(math.pi * epoch / 256)) for epoch in (34, 128, 255)]
    assert [rate(100 * epoch) for epoch in (34, 128, 255)] == pytest.approx(cosine)
    assert rate(0) == pytest.approx(0.1, rel=1e-3)  # PySlowFast: from 0.01 to the cosine's value, at a rate of 0.1
    assert rate(1700) == pytest.approx(0.5 * (rate(0) + cosine[0]))
    assert training_schedule.top_rate(load("kinetics-av")) == pytest.approx(1.6)


def test_schedules_in_steps_are_the_papers():
    """AV App. A.5, A.6, A.8."""
    pretraining = training_schedule.learning_rate(load("kinetics-ssl"), 234)
    reported = [1.6 * pretraining(step) for step in (0, 10_000, 79_999, 80_000, 100_000, 110_000)]
    assert reported == pytest.approx([0.001, 1.6, 1.6, 0.16, 0.016, 0.0016])
    epic, charades = (training_schedule.learning_rate(load(name), 100) for name in ("epic55-av", "charades-av"))
    assert [epic(step) for step in (0, 15_999, 16_000, 20_000)] == pytest.approx([1, 1, 0.1, 0.01])
    assert [charades(step) for step in (31_999, 32_000)] == pytest.approx([1, 0.1])
    probe = training_schedule.learning_rate(load("ucf101"), 149)
    assert [probe(step) for step in (0, 160_000, 319_999)] == pytest.approx([1, 0.5, 0], abs=1e-4)
    for name, count in (("epic55-av", 24_000), ("charades-av", 40_000), ("ava", 52_000), ("kinetics-ssl", 120_000)):
        assert training_schedule.total_steps(load(name), 77) == count


def test_batches_are_worked_off_in_parts_of_so_many_clips():
    recipe = load("kinetics-av")
    assert [micro_batches(recipe, world) for world in (1, 8, 128)] == [128, 16, 1]
    assert micro_batches(load("vggsound", ["optim.grad_accum_steps=2"]), 4) == 2
    for words, reported in (
        (["optim.bn_batch_size=7"], "must be a multiple"),
        (["optim.grad_accum_steps=2"], "optim.grad_accum_steps 1"),
        (["schedule.steps=5"], "either epochs or steps"),
        (["schedule.epochs=null"], "either epochs or steps"),
        (["schedule.warmup_steps=5"], "either warmup_epochs or warmup_steps"),
    ):
        with pytest.raises(UsageError, match=reported):
            load("kinetics-av", words)


def test_norms_need_not_decay():
    import torch

    from slowfast_cli.engine.optim import make_optimizer

    model = torch.nn.Sequential(torch.nn.Conv3d(1, 2, 1), torch.nn.BatchNorm3d(2))
    settings = {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.5}
    groups = make_optimizer(model, "sgd", **settings, decay_norms=False).param_groups
    assert [(len(group["params"]), group["weight_decay"]) for group in groups] == [(2, 0.5), (2, 0.0)]
    assert [len(group["params"]) for group in make_optimizer(model, "sgd", **settings).param_groups] == [4]
