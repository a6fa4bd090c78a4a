"""The learning rate over a run."""

import doctest
import math

import pytest

from slowfast_cli.engine import schedule
from slowfast_cli.engine.schedule import cosine, steps, warmed_up
from slowfast_cli.recipe.load import load
from slowfast_cli.stages.assemble import learning_rate


def test_the_examples_in_the_docstrings_hold():
    found = doctest.testmod(schedule)
    assert (found.attempted, found.failed) == (3, 0)


def test_vggsound_drops_after_30_and_40_epochs():
    """ASF Sec. 4.2: 50 epochs from 0.01."""
    recipe = load("vggsound")
    rate = learning_rate(recipe)
    told = {epoch: recipe.optim.lr * rate(epoch) for epoch in (0, 29.999, 30, 39.999, 40, 49.999)}
    assert list(told.values()) == pytest.approx([1e-2, 1e-2, 1e-3, 1e-3, 1e-4, 1e-4])


def test_epic_drops_after_20_and_25_epochs():
    recipe = load("epic")
    rate = learning_rate(recipe)
    told = [recipe.optim.lr * rate(epoch) for epoch in (0, 19.999, 20, 24.999, 25, 29.999)]
    assert told == pytest.approx([1e-3, 1e-3, 1e-4, 1e-4, 1e-5, 1e-5])


def test_cosine_falls_all_the_way_and_stays_there():
    rate = cosine(8)
    told = [rate(epoch / 10) for epoch in range(81)]
    assert told == sorted(told, reverse=True)
    assert (told[0], told[-1], rate(9)) == (1.0, 0.0, 0.0)
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
