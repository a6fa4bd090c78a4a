"""How many processes read: a first guess, more where the device is kept waiting, and never another order."""

import doctest
import itertools

import pytest
import tiny
import torch

from slowfast_cli.data.loader import PREFETCH, Share
from slowfast_cli.recipe.load import load
from slowfast_cli.stages.train import auto_workers, state
from slowfast_cli.types import Batch, Inputs


def of(waits, asked):
    """Reads batches that say how long they were waited for, by the processes that read them."""

    def read(numbers, workers):
        asked.append((numbers, workers))
        for number in numbers:
            yield Batch(inputs=Inputs(), targets={}, ids=(str(number),), data_wait=waits(number, workers))

    return read


def ids(batches):
    return [batch.ids[0] for batch in batches]


def test_a_guess_that_keeps_up_is_kept():
    asked = []
    found = ids(auto_workers.tune_workers(of(lambda number, workers: 0.0, asked), range(100), default=2, most=16))
    assert found == list(map(str, range(100)))
    assert asked == [(range(100), 2)]


def test_a_device_that_waits_gets_more_processes():
    """Work takes next to nothing here, so that all there are are asked for; what is waited for at first is set-up."""
    assert doctest.testmod(auto_workers).failed == 0
    asked = []
    length = 3 * 2 * PREFETCH
    found = ids(auto_workers.tune_workers(of(lambda number, workers: 1.0, asked), range(100), default=2, most=6))
    assert found == list(map(str, range(100)))
    assert asked == [(range(100), 2), (range(length, 100), 6)]
    asked.clear()
    first = length * 2 // 3
    list(
        auto_workers.tune_workers(
            of(lambda number, workers: float(number < first), asked), range(100), default=2, most=6
        )
    )
    assert [workers for _, workers in asked] == [2]


def test_a_run_that_is_shorter_than_the_trial_is_read_by_the_guess():
    asked = []
    assert len(ids(auto_workers.tune_workers(of(lambda number, workers: 1.0, asked), range(5), default=2, most=6))) == 5
    assert asked == [(range(5), 2)]


@pytest.mark.parametrize(
    ("share", "source", "reported"),
    [
        (0.2, "shards", "4 workers read the data: set data.workers=7"),
        (
            0.8,
            "media",
            "4 workers read the data, 27 would keep up, but there are 8 cores: run `slowfast extract` and set",
        ),
        (
            0.8,
            "shards",
            "4 workers read the data, 27 would keep up, but there are 8 cores: move the shards to a faster disk",
        ),
    ],
)
def test_the_remedy_is_named_with_its_number(share, source, reported):
    assert auto_workers.data_wait_advice(share, 4, source=source, cores=8).startswith(reported)


def test_who_reads_changes_nothing(sounds, monkeypatch):
    monkeypatch.setattr("slowfast_cli.build.clips.DEFAULT_WORKERS", 1)
    words = [f"data.root={sounds}", *tiny.WORDS, "schedule.epochs=9"]
    seen = []
    for more in ((), ("~data.workers",)):
        recipe = load("folder", [*words, *more])
        made = state.build_training(recipe, Share(), torch.device("cpu"), smoke=False)
        torch.manual_seed(0)
        batches = list(itertools.islice(auto_workers.training_batches(made, range(3, 22)), 19))
        seen.append([(batch.ids, batch.inputs.logmel.sum().item()) for batch in batches])
        assert {batch.workers for batch in batches} <= ({0} if not more else {1, 2})
    assert seen[0] == seen[1]
