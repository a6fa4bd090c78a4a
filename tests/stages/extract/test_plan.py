"""The plan of an extraction: everything once, in shards of about equal length, dealt evenly."""

from pathlib import Path

import numpy as np
import pytest

from slowfast_cli.data.partition import imbalance
from slowfast_cli.stages.extract.plan import plan, told_apart
from slowfast_cli.types import Recording


def recordings(count):
    return [Recording(id=f"{number}", path=Path(f"{number}.wav")) for number in range(count)]


def planned(seconds, **options):
    pending = recordings(len(seconds))
    found = plan(pending, seconds, **{"first": 5, "shard_seconds": 100.0, "jobs": 1, "ranks": 1, **options})
    jobs = [job for hand in found for job in hand]
    assert sorted((each.id for job in jobs for each in job.recordings), key=int) == [each.id for each in pending]
    assert sorted(job.number for job in jobs) == list(range(5, 5 + len(jobs)))
    assert all(job.recordings for job in jobs)
    return found


@pytest.mark.parametrize("ranks", [1, 2, 3, 8])
@pytest.mark.parametrize("jobs", [1, 4])
def test_everything_is_planned_once(ranks, jobs):
    draw = np.random.default_rng(ranks * jobs)
    for seconds in ([], [7.0], [10.0] * 50, draw.exponential(30, 200).tolist(), [0.0, 3600.0, 1.0, 1.0]):
        found = planned(seconds, ranks=ranks, jobs=jobs)
        assert len(found) == ranks


def test_shards_are_neighbours_and_no_longer_than_asked():
    (jobs,) = planned([10.0] * 100)
    assert [len(job.recordings) for job in jobs] == [10] * 10
    assert [each.id for each in jobs[3].recordings] == [str(number) for number in range(30, 40)]
    (jobs,) = planned([10.0] * 10, jobs=4)
    assert len(jobs) == 4  # as many as workers


def test_a_cluster_gets_even_parts():
    """AudioSet's size would be 5,800 h; here 64 processes share 700 h of uneven recordings."""
    seconds = np.random.default_rng(1).lognormal(3, 1, 80_000).tolist()
    found = planned(seconds, shard_seconds=2560.0, ranks=64, jobs=4)
    loads = [sum(seconds[int(each.id)] for job in hand for each in job.recordings) for hand in found]
    assert imbalance(loads) < 0.02
    assert len({len(hand) for hand in found}) <= 2
    assert min(len(hand) for hand in found) >= 4  # something for each worker


def test_few_long_recordings_are_cut_finer_rather_than_left_uneven():
    seconds = [1200.0, 600.0, 300.0, 300.0, 900.0, 100.0, 1100.0, 400.0, 100.0]
    found = planned(seconds, shard_seconds=4000.0, ranks=2)
    assert sum(len(hand) for hand in found) > 2
    loads = [sum(seconds[int(each.id)] for job in hand for each in job.recordings) for hand in found]
    assert imbalance(loads) <= 0.02


def test_two_processes_that_see_different_things_are_told_apart():
    few = recordings(3)
    assert told_apart(few, 0) == told_apart(recordings(3), 0)
    assert len({told_apart(few, 0), told_apart(few, 1), told_apart(few[:2], 0), told_apart(few[::-1], 0)}) == 4
