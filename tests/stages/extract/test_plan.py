"""The plan of an extraction: every recording once, shards of about equal length, balanced over ranks."""

from pathlib import Path

import numpy as np
import pytest

from slowfast_cli.data.partition import imbalance
from slowfast_cli.stages.extract.plan import plan, plan_hash
from slowfast_cli.types import Recording


def recordings(count):
    return [Recording(id=f"{number}", path=Path(f"{number}.wav")) for number in range(count)]


def planned(seconds, **options):
    pending = recordings(len(seconds))
    shares = plan(pending, seconds, **{"first": 5, "shard_seconds": 100.0, "jobs": 1, "ranks": 1, **options})
    jobs = [job for share in shares for job in share]
    assert sorted((recording.id for job in jobs for recording in job.recordings), key=int) == [
        recording.id for recording in pending
    ]
    assert sorted(job.number for job in jobs) == list(range(5, 5 + len(jobs)))
    assert all(job.recordings for job in jobs)
    return shares


@pytest.mark.parametrize("ranks", [1, 2, 3, 8])
@pytest.mark.parametrize("jobs", [1, 4])
def test_everything_is_planned_once(ranks, jobs):
    draw = np.random.default_rng(ranks * jobs)
    for seconds in ([], [7.0], [10.0] * 50, draw.exponential(30, 200).tolist(), [0.0, 3600.0, 1.0, 1.0]):
        shares = planned(seconds, ranks=ranks, jobs=jobs)
        assert len(shares) == ranks


def test_shards_are_neighbors_and_no_longer_than_wanted():
    (jobs,) = planned([10.0] * 100)
    assert [len(job.recordings) for job in jobs] == [10] * 10
    assert [recording.id for recording in jobs[3].recordings] == [str(number) for number in range(30, 40)]
    (jobs,) = planned([10.0] * 10, jobs=4)
    assert len(jobs) == 4  # as many as workers


def test_a_cluster_gets_even_parts():
    """AudioSet's size would be 5,800 h; here 64 processes share 700 h of uneven recordings."""
    seconds = np.random.default_rng(1).lognormal(3, 1, 80_000).tolist()
    shares = planned(seconds, shard_seconds=2560.0, ranks=64, jobs=4)
    loads = [sum(seconds[int(recording.id)] for job in share for recording in job.recordings) for share in shares]
    assert imbalance(loads) < 0.02
    assert len({len(share) for share in shares}) <= 2
    assert min(len(share) for share in shares) >= 4  # something for each worker


def test_few_long_recordings_are_cut_finer_rather_than_left_uneven():
    seconds = [1200.0, 600.0, 300.0, 300.0, 900.0, 100.0, 1100.0, 400.0, 100.0]
    shares = planned(seconds, shard_seconds=4000.0, ranks=2)
    assert sum(len(share) for share in shares) > 2
    loads = [sum(seconds[int(recording.id)] for job in share for recording in job.recordings) for share in shares]
    assert imbalance(loads) <= 0.02


def test_the_hash_tells_different_plans_apart():
    few = recordings(3)
    assert plan_hash(few, 0) == plan_hash(recordings(3), 0)
    assert len({plan_hash(few, 0), plan_hash(few, 1), plan_hash(few[:2], 0), plan_hash(few[::-1], 0)}) == 4
