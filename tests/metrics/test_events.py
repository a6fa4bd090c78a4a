"""Scores of sound event detection against sed_eval 0.2.1 and sed_scores_eval 0.0.4 on the golden set."""

import csv
import json

import golden
import numpy as np
import pytest

from slowfast_cli.metrics import psds as module
from slowfast_cli.metrics.event_runs import FrameScores, find_runs, stack_frames
from slowfast_cli.metrics.events import (
    NONE,
    Collar,
    Counts,
    Intersection,
    at_least,
    best_threshold,
    event_counts,
    overlaps,
    segment_counts,
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
    return stack_frames(
        {name: FrameScores(scores=rows, edges=hop * np.arange(len(rows) + 1)) for name, rows in scores.items()}
    )


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
        runs = find_runs(files, index)
        events = (runs.appears > 0.5) & (runs.vanishes <= 0.5)
        for number, name in enumerate(files.names):
            own = np.flatnonzero(events & (runs.file == number))
            spans = np.stack([files.edges[runs.first[own]], files.edges[runs.last[own]]], 1)
            np.testing.assert_array_equal(spans[np.argsort(spans[:, 0])], expected.get(name, NONE))


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


def judged(truth, events, others, criteria):
    """Found truth events, false events, and false events that each other class triggers, in one file."""
    lengths, shared = events[:, 1] - events[:, 0], overlaps(truth, events)
    relevant = at_least(shared.sum(0), criteria.dtc * lengths)
    found = at_least(shared[:, relevant].sum(1), criteria.gtc * (truth[:, 1] - truth[:, 0]))
    false = events[~relevant]
    least = (criteria.cttc or 0) * lengths[~relevant]
    cross = [int(at_least(overlaps(other, false).sum(0), least).sum()) for other in others]
    return int(found.sum()), len(false), *cross


def test_intersection_based_f1_is_that_of_sed_scores_eval():
    expected = SED_SCORES["intersection_f_at_0.5_dtc0.5_gtc0.5"]
    for name, truth, events in zip(CLASSES, TRUTH, EVENTS, strict=True):
        counts = [judged(truth.get(file, NONE), events.get(file, NONE), [], Intersection()) for file in DURATIONS]
        found, false = np.sum(counts, axis=0)
        true = sum(map(len, truth.values()))
        precision, recall = found / (found + false), found / true
        assert 2 * precision * recall / (precision + recall) == pytest.approx(expected[name], abs=1e-9)


def made(rng, *, levels):
    """Files of made scores and truth, some without events; few levels make scores equal."""
    files, truth = {}, [{} for _ in range(4)]
    for number in range(12):
        count = int(rng.integers(1, 30))
        scores = rng.integers(0, levels, (count, 4)) / levels
        files[f"f{number}"] = FrameScores(scores=scores, edges=0.2 * np.arange(count + 1))
        for of_class in truth:
            if number < 2 or rng.random() < 0.5:
                cuts = np.sort(rng.choice(100, 2 * int(rng.integers(1, 4)), replace=False)) / 100
                of_class[f"f{number}"] = 0.2 * count * cuts.reshape(-1, 2)
    return files, truth


def at_every_threshold(files, truth, index, criteria):
    """Thresholds, and the counts of a class at each, by looking at each file anew."""
    values = np.unique(np.concatenate([file.scores[:, index] for file in files.values()]))[::-1]
    totals = []
    for value in values:
        counts = []
        for name, file in files.items():
            active = np.concatenate([[False], file.scores[:, index] >= value, [False]])
            events = file.edges[np.flatnonzero(active[1:] != active[:-1]).reshape(-1, 2)]
            others = [of_class.get(name, NONE) for number, of_class in enumerate(truth) if number != index]
            right = event_counts({name: truth[index].get(name, NONE)}, {name: events}, Collar()).right
            counts.append((right, len(events), *judged(truth[index].get(name, NONE), events, others, criteria)))
        totals.append(np.sum(counts, axis=0))
    return values, np.array(totals)


@pytest.mark.parametrize("levels", [4, 1000])
@pytest.mark.parametrize("scenario", [module.LOCALIZE, module.RECOGNIZE])
def test_counts_at_every_threshold_are_those_of_each_threshold_alone(levels, scenario, monkeypatch):
    monkeypatch.setattr(module, "PAIRS", 7)  # several pieces
    monkeypatch.setattr(module, "CHUNK", 3)
    rng = np.random.default_rng(levels)
    for _ in range(2):
        files, truth = made(rng, levels=levels)
        frames, hours = stack_frames(files), 0.5
        truth_hours = np.array([sum((s[:, 1] - s[:, 0]).sum() for s in of_class.values()) for of_class in truth]) / 3600
        curves = []
        for index in range(4):
            values, counts = at_every_threshold(files, truth, index, scenario.intersection)
            others = np.delete(truth_hours, index)
            rate = counts[:, 3] / hours + scenario.alpha_ct * (counts[:, 4:] / others).mean(1)
            tpr = counts[:, 2] / sum(map(len, truth[index].values()))
            curves.append((rate, tpr))
            true = sum(map(len, truth[index].values()))
            f1 = 2 * counts[:, 0] / (counts[:, 1] + true)
            best = best_threshold(frames, truth[index], index, Collar())
            assert best.counts == Counts(right=counts[f1.argmax(), 0], detected=counts[f1.argmax(), 1], true=true)
            assert best.threshold <= values[f1.argmax()]
        grid = np.unique(np.concatenate([[0, 100], *(rate[rate < 100] for rate, _ in curves)]))
        tpr_CP = np.array([[max(tpr[rate <= at + 1e-9], default=0.0) for at in grid[:-1]] for rate, tpr in curves])
        effective = np.maximum(tpr_CP.mean(0) - tpr_CP.std(0), 0)
        found = module.psds(frames, truth, {"all": hours * 3600}, scenario)
        assert found.value == pytest.approx(effective @ np.diff(grid) / 100, abs=1e-9)
        assert found.macro == pytest.approx(tpr_CP.mean(0) @ np.diff(grid) / 100, abs=1e-9)
