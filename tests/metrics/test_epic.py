"""Verb, noun and action scores against the reference and a naive implementation; the challenge file."""

import json
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slowfast_cli.metrics import epic
from slowfast_cli.metrics.epic import epic_scores, joint_ranks
from slowfast_cli.metrics.epic_challenge import Supervision, highest, modality
from slowfast_cli.metrics.epic_submission import submission
from slowfast_cli.metrics.topk import ranks, topk_accuracy
from slowfast_cli.types import DataError


def softmax(logits):
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return (shifted / shifted.sum(axis=1, keepdims=True)).astype(np.float32)


def random_problem(seed, n=60, verbs=7, nouns=9):
    rng = np.random.default_rng(seed)
    verb, noun = softmax(rng.normal(size=(n, verbs))), softmax(rng.normal(size=(n, nouns)))
    return verb, noun, rng.integers(0, verbs, n), rng.integers(0, nouns, n)


def naive_joint_rank(verb, noun, v, n):
    pairs = [(-float(a) * float(b), i, j) for i, a in enumerate(verb) for j, b in enumerate(noun)]
    return [(i, j) for _, i, j in sorted(pairs)].index((v, n))


def test_equals_the_reference(golden, results):
    verb, noun = softmax(golden["epic/verb_preds"]), softmax(golden["epic/noun_preds"])
    got = epic_scores(verb, noun, golden["epic/verb_labels"], golden["epic/noun_labels"])
    for name in ("verb", "noun", "action"):
        for k, expected in zip(results["epic"]["ks"], results["epic"][name], strict=True):
            if k != 3:
                assert got[f"{name}_top{k}"] == pytest.approx(expected, rel=1e-7)


def test_top3_of_verbs_equals_the_reference(golden, results):
    got = topk_accuracy(golden["epic/verb_preds"], golden["epic/verb_labels"], [1, 3, 5])
    assert list(got.values()) == pytest.approx(results["epic"]["verb"], rel=1e-7)


def test_summed_views_equal_the_reference(golden, results):
    expected = results["epic_views_sum"]
    verb, noun = golden["epic_views/verb_summed"], golden["epic_views/noun_summed"]
    verb, noun = verb / verb.sum(axis=1, keepdims=True), noun / noun.sum(axis=1, keepdims=True)
    got = epic_scores(verb, noun, golden["epic_views/verb_labels"], golden["epic_views/noun_labels"])
    for name in ("verb", "noun", "action"):
        for k in (1, 5):
            assert got[f"{name}_top{k}"] == pytest.approx(expected[f"{name}_top{k}_acc"], abs=0.0051)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_joint_ranks_equal_a_naive_implementation(seed):
    verb, noun, v, n = random_problem(seed, n=8)
    verb = verb.round(1)  # ties, and zeros
    expected = [naive_joint_rank(*row) for row in zip(verb, noun, v, n, strict=True)]
    assert joint_ranks(verb, noun, v, n).tolist() == expected


def test_joint_ranks_do_not_depend_on_the_block_size(monkeypatch):
    problem = random_problem(3)
    whole = joint_ranks(*problem)
    monkeypatch.setattr(epic, "PAIRS_PER_BLOCK", 1)
    np.testing.assert_array_equal(joint_ranks(*problem), whole)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_joint_top1_is_action_top1_and_joint_top5_never_exceeds_action_top5(seed):
    verb, noun, v, n = random_problem(seed)
    joint, both = joint_ranks(verb, noun, v, n), np.maximum(ranks(verb, v), ranks(noun, n))
    np.testing.assert_array_equal(joint == 0, both == 0)
    # A pair of rank j has j pairs above it, including all those with a higher-ranked verb and noun.
    assert (both <= joint).all()


def test_joint_memory_is_bounded():
    rng = np.random.default_rng(0)
    verb, noun = softmax(rng.normal(size=(600, 97))), softmax(rng.normal(size=(600, 300)))
    tracemalloc.start()
    joint_ranks(verb, noun, rng.integers(0, 97, 600), rng.integers(0, 300, 600))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 600 * 97 * 300 * 8 / 1.5  # without blocks, the products alone take 140 MB


def test_subsets_and_tail():
    verb, noun, v, n = random_problem(5)
    unseen, rare_verbs, rare_nouns = np.arange(60) % 3 == 0, {0, 1}, {2, 3, 4}
    got = epic_scores(
        verb,
        noun,
        v,
        n,
        {"unseen": unseen, "empty": np.zeros(60, dtype=bool)},
        {"verb": rare_verbs, "noun": frozenset(rare_nouns)},
    )
    expected = epic_scores(verb[unseen], noun[unseen], v[unseen], n[unseen])
    assert {k: got[f"unseen_{k}"] for k in expected} == expected
    assert not any(key.startswith("empty") for key in got)
    top_v, top_n = verb.argmax(1) == v, noun.argmax(1) == n
    in_v, in_n = np.isin(v, list(rare_verbs)), np.isin(n, list(rare_nouns))
    assert got["tail_verb_top1"] == pytest.approx(100 * top_v[in_v].mean())
    assert got["tail_noun_top1"] == pytest.approx(100 * top_n[in_n].mean())
    assert got["tail_action_top1"] == pytest.approx(100 * (top_v & top_n)[in_v | in_n].mean())
    assert "tail_joint_action_top5" in got


@pytest.mark.parametrize("bad", [np.array([[-0.1, 1.1]]), np.array([[3.0, 4.0]])])
def test_logits_are_refused(bad):
    with pytest.raises(DataError, match="probabilities"):
        epic_scores(bad, np.array([[0.5, 0.5]]), np.array([0]), np.array([0]))


def test_verbs_and_nouns_need_the_same_rows():
    verb, noun, v, n = random_problem(0)
    with pytest.raises(DataError, match="60 rows of verbs, 59 of nouns"):
        epic_scores(verb, noun[:-1], v, n[:-1])


@pytest.fixture(scope="module")
def scored():
    rng = np.random.default_rng(1)
    ids = [f"P01_101_{i}" for i in range(4)]
    return ids, rng.normal(size=(4, 97)), rng.normal(size=(4, 300))


def test_submission(scored):
    ids, verb, noun = scored
    document = json.loads(
        json.dumps(submission(ids, verb, noun, list(reversed(ids)), Supervision(td=4)), allow_nan=False)
    )
    assert {k: v for k, v in document.items() if k != "results"} == {
        "version": "0.2",
        "challenge": "action_recognition",
        "sls_pt": 2,
        "sls_tl": 3,
        "sls_td": 4,
    }
    assert list(document["results"]) == ids
    entry = document["results"][ids[0]]
    assert list(entry) == ["verb", "noun"]
    assert list(entry["verb"]) == [str(i) for i in range(97)]
    assert list(entry["noun"]) == [str(i) for i in range(300)]
    np.testing.assert_allclose(np.exp(list(entry["noun"].values())), np.exp(noun[0]), rtol=1e-12)


def test_submission_refuses(scored):
    ids, verb, noun = scored
    with pytest.raises(DataError, match="1 of 5 segments have no result, such as P01_101_9"):
        submission(ids, verb, noun, [*ids, "P01_101_9"])
    with pytest.raises(DataError, match="1 segments with a result are not in the split, such as P01_101_3"):
        submission(ids, verb, noun, ids[:3])
    with pytest.raises(DataError, match="1 segments have several results, such as P01_101_0"):
        submission([*ids, ids[0]], verb, noun, ids)
    with pytest.raises(DataError, match="shape"):
        submission(ids, verb, noun[:, :-1], ids)
    with pytest.raises(ValueError, match="expected 0 to 5"):
        Supervision(pt=-1)


def test_an_ensemble_has_the_highest_levels_and_all_signals():
    levels = highest([Supervision(pt=1, td=4), Supervision(tl=5), Supervision(pt=0)])
    assert levels == Supervision(pt=2, tl=5, td=4)
    assert [modality(signals) for signals in ({"logmel"}, {"samples"}, {"frames"}, {"frames", "logmel"})] == [
        0,
        0,
        1,
        2,
    ]
