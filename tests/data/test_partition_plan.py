"""With 1,000 shards of uneven sizes and 64 ranks, no rank has 2 % more work than the mean."""

import importlib.util
from pathlib import Path

import pytest

from slowfast_cli.data.loader import eval_keys
from slowfast_cli.data.partition import imbalance
from slowfast_cli.types import Share

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "reading_plan.py"
RANKS = 64


@pytest.fixture(scope="module")
def dry():
    spec = importlib.util.spec_from_file_location("reading_plan", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def corpus(dry):
    return dry.corpus(1000)


def column_imbalance(loads, column):
    return imbalance([load[column] for load in loads])


def test_training_is_even(dry, corpus):
    loads = dry.training(*corpus, RANKS)
    clips = len(corpus[0]) // dry.BATCH * dry.BATCH
    assert [load[0] for load in loads] == [clips // RANKS] * RANKS
    assert column_imbalance(loads, 1) < 0.02  # bytes
    assert column_imbalance(loads, 2) < 0.02  # shards


def test_evaluation_is_even(dry, corpus):
    loads = dry.testing(*corpus, RANKS)
    counts = dry.views(corpus[0])
    assert sum(load[0] for load in loads) == counts.sum()
    for rank in (0, 41):  # what the loader of a rank reads
        batches = eval_keys(counts.tolist(), batch=16, share=Share(rank=rank, world=RANKS))
        assert sum(map(len, batches)) == loads[rank][0]
    assert column_imbalance(loads, 0) < 0.001
    assert column_imbalance(loads, 1) < 0.02
    assert column_imbalance(loads, 2) < 0.02


def test_extraction_is_even(dry, corpus):
    loads = dry.extraction(corpus[0], RANKS)
    assert sum(load[0] for load in loads) == pytest.approx(corpus[0].sum())
    assert column_imbalance(loads, 0) < 0.02
    assert column_imbalance(loads, 1) < 0.02
