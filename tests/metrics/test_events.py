"""Scores of sound event detection against sed_eval 0.2.1 and sed_scores_eval 0.0.4 on the golden set."""

import csv
import json

import golden
import numpy as np
import pytest

from slowfast_cli.metrics import psds as module
from slowfast_cli.metrics.events import (
    NONE,
    Collar,
    Counts,
    FrameScores,
    Intersection,
    best_threshold,
    event_counts,
    intersection_counts,
    segment_counts,
    spans_above,
)

SED = golden.REFERENCE / "metrics" / "sed"
GOLDEN = json.loads((SED / "sed.json").read_text())
CLASSES, SED_EVAL = GOLDEN["classes"], GOLDEN["results"]["sed_eval"]
SED_SCORES = GOLDEN["results"]["sed_scores_eval"]


def events_of(name):
    events = [{} for _ in CLASSES]
    with (SED / name).open(newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            spans = events[CLASSES.index(row["event_label"])].setdefault(row["filename"], [])
            spans.append((float(row["onset"]), float(row["offset"])))
    return [{file: np.array(spans) for file, spans in of_class.items()} for of_class in events]


TRUTH, EVENTS = events_of("sed_groundtruth.tsv"), events_of("sed_events_at_0.5.tsv")
with (SED / "sed_durations.tsv").open(newline="") as durations:
    DURATIONS = {row["filename"]: float(row["duration"]) for row in csv.DictReader(durations, delimiter="\t")}


@pytest.fixture(scope="module")
def files():
    stored = np.load(SED / "sed_scores.npz")
    scores = {name: stored[f"scores/{name.removesuffix('.wav')}"].astype(float) for name in DURATIONS}
    hop = GOLDEN["hop_seconds"]
    return {name: FrameScores(scores=rows, edges=hop * np.arange(len(rows) + 1)) for name, rows in scores.items()}


@pytest.mark.parametrize(
    ("name", "collar"),
    [
        ("event_collar_0.2_length_0.2", Collar(digits=None)),
        ("event_default_collar_0.2_length_0.5", Collar(offset_rate=0.5, digits=None)),
        ("event_onset_only_collar_0.2", Collar(offset_rate=None, digits=None)),
    ],
)
def test_event_based_f1_is_that_of_sed_eval(name, collar):
    counts = [event_counts(truth, events, collar) for truth, events in zip(TRUTH, EVENTS, strict=True)]
    total, expected = sum(counts, Counts()), SED_EVAL[name]
    assert [of_class.f1 for of_class in counts] == pytest.approx(
        [expected["class_f"][name] for name in CLASSES], abs=1e-9
    )
    assert np.mean([of_class.precision for of_class in counts]) == pytest.approx(
        expected["macro"]["precision"], abs=1e-9
    )
    assert (total.f1, total.precision, total.recall) == pytest.approx(
        tuple(expected["overall"][score] for score in ("f_measure", "precision", "recall")), abs=1e-9
    )


@pytest.mark.parametrize("length", [1.0, 0.1])
def test_segment_based_f1_is_that_of_sed_eval(length):
    counts = [segment_counts(truth, events, DURATIONS, length) for truth, events in zip(TRUTH, EVENTS, strict=True)]
    expected = SED_EVAL[f"segment_{length:g}s"]
    assert [of_class.f1 for of_class in counts] == pytest.approx(
        [expected["class_f"][name] for name in CLASSES], abs=1e-9
    )
    assert sum(counts, Counts()).f1 == pytest.approx(expected["overall"]["f_measure"], abs=1e-9)


def test_events_at_a_threshold_are_those_of_sed_scores_eval(files):
    for index, expected in enumerate(EVENTS):
        for name, frames in files.items():
            spans = spans_above(frames.scores[:, index], 0.5, frames.edges)
            np.testing.assert_array_equal(spans, expected.get(name, NONE))


def test_the_best_threshold_of_each_class_is_that_of_sed_scores_eval(files):
    best = [best_threshold(files, truth, index, Collar()) for index, truth in enumerate(TRUTH)]
    assert [b.counts.f1 for b in best] == pytest.approx(
        [SED_SCORES["collar_best_f"][name] for name in CLASSES], abs=1e-9
    )
    assert [b.threshold for b in best] == pytest.approx(
        [SED_SCORES["collar_best_threshold"][name] for name in CLASSES], abs=1e-9
    )


@pytest.mark.parametrize(
    ("name", "scenario"),
    [
        ("psds1_dtc0.7_gtc0.7_ct0_st1", module.LOCALIZE),
        ("psds2_dtc0.1_gtc0.1_cttc0.3_ct0.5_st1", module.RECOGNIZE),
        ("dtc0.5_gtc0.5_ct0_st0", module.Scenario(intersection=Intersection(), alpha_st=0.0)),
    ],
)
def test_psds_is_that_of_sed_scores_eval(files, name, scenario):
    result, expected = module.psds(files, TRUTH, DURATIONS, scenario), SED_SCORES["psds"][name]
    assert result.value == pytest.approx(expected["psds"], abs=1e-9)
    assert result.by_class == pytest.approx([expected["single_class"][name] for name in CLASSES], abs=1e-9)


def test_intersection_based_f1_is_that_of_sed_scores_eval():
    expected = SED_SCORES["intersection_f_at_0.5_dtc0.5_gtc0.5"]
    for name, truth, events in zip(CLASSES, TRUTH, EVENTS, strict=True):
        counts = [
            intersection_counts(truth.get(file, NONE), events.get(file, NONE), [], Intersection()) for file in DURATIONS
        ]
        found, false = sum(count.found for count in counts), sum(count.false for count in counts)
        true = sum(map(len, truth.values()))
        precision, recall = found / (found + false), found / true
        assert 2 * precision * recall / (precision + recall) == pytest.approx(expected[name], abs=1e-9)
