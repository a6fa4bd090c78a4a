"""1,000 shards of uneven sizes and 64 processes: none has 2 % more to do than the mean."""

import importlib.util
from pathlib import Path

import pytest

from slowfast_cli.data.loader import eval_keys as view_keys
from slowfast_cli.data.partition import imbalance
from slowfast_cli.types import Share

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "reading_plan.py"
RANKS = 64


@pytest.fixture(scope="module")
def dry():
    spec = importlib.util.spec_from_file_location("reading_plan", SCRIPT)
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


@pytest.fixture(scope="module")
def corpus(dry):
    return dry.corpus(1000)


def uneven(found, column):
    return imbalance([each[column] for each in found])


def test_training_is_even(dry, corpus):
    found = dry.training(*corpus, RANKS)
    clips = len(corpus[0]) // dry.BATCH * dry.BATCH
    assert [each[0] for each in found] == [clips // RANKS] * RANKS
    assert uneven(found, 1) < 0.02  # bytes
    assert uneven(found, 2) < 0.02  # shards


def test_evaluation_is_even(dry, corpus):
    found = dry.testing(*corpus, RANKS)
    counts = dry.views(corpus[0])
    assert sum(each[0] for each in found) == counts.sum()
    for rank in (0, 41):  # what a process is really told to read
        batches = view_keys(counts.tolist(), batch=16, share=Share(rank=rank, world=RANKS))
        assert sum(map(len, batches)) == found[rank][0]
    assert uneven(found, 0) < 0.001
    assert uneven(found, 1) < 0.02
    assert uneven(found, 2) < 0.02


def test_extraction_is_even(dry, corpus):
    found = dry.extraction(corpus[0], RANKS)
    assert sum(each[0] for each in found) == pytest.approx(corpus[0].sum())
    assert uneven(found, 0) < 0.02
    assert uneven(found, 1) < 0.02
