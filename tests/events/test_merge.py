"""Windows to frames, frames to events: each rule on scores that a person can check."""

import numpy as np
import pytest

from slowfast_cli.events.merge import Merging, merge, track

EDGES = np.arange(11) * 0.5


def events(scores, **rules):
    merging = Merging(**{"threshold": 0.5, **rules})
    found = merge(np.array(scores, float)[:, None], EDGES[: len(scores) + 1], ["a"], merging)
    return [(event.start, event.end) for event in found]


def test_frames_are_the_mean_of_the_windows_that_cover_them():
    starts, scores = np.array([0.0, 0.5, 1.0]), np.array([[0.0], [0.6], [0.9]])
    frames, edges = track(starts, starts + 1.0, scores, 0.5)
    np.testing.assert_allclose(frames[:, 0], [0.0, 0.3, 0.75, 0.9])
    np.testing.assert_allclose(edges, [0.0, 0.5, 1.0, 1.5, 2.0])


def test_a_shorter_last_window_ends_the_track():
    frames, edges = track(np.array([0.0, 1.0]), np.array([1.0, 1.3]), np.array([[0.2], [0.8]]), 1.0)
    np.testing.assert_allclose(edges, [0.0, 1.0, 1.3])
    np.testing.assert_allclose(frames[:, 0], [0.2, 0.8])


def test_frames_at_the_threshold_are_active():
    assert events([0.1, 0.5, 0.6, 0.1, 0.9]) == [(0.5, 1.5), (2.0, 2.5)]


def test_hysteresis_extends_events_and_makes_none():
    scores = [0.3, 0.6, 0.3, 0.1, 0.3, 0.3]
    assert events(scores, low=0.6) == [(0.0, 1.5)]


def test_gaps_are_closed_before_short_events_are_dropped():
    scores = [0.9, 0.1, 0.9, 0.1, 0.1, 0.1, 0.9]
    assert events(scores, max_gap=0.5, min_length=1.0) == [(0.0, 1.5)]
    assert events(scores, min_length=1.0) == []


def test_the_median_filter_removes_single_frames():
    assert events([0.1, 0.9, 0.1, 0.1, 0.9, 0.9, 0.9, 0.1], smooth=1.5) == [(2.0, 3.5)]


def test_thresholds_of_classes_scores_and_the_class_for_the_rest():
    scores = np.array([[0.6, 0.6, 0.9], [0.8, 0.6, 0.9]])
    merging = Merging(threshold=0.7, thresholds={"b": 0.5}, score="max", unknown="other")
    found = merge(scores, EDGES[:3], ["a", "b", "other"], merging)
    assert [(event.label, event.start, event.end, round(event.score, 3)) for event in found] == [
        ("b", 0.0, 1.0, 0.6),
        ("a", 0.5, 1.0, 0.8),
    ]
    mean = merge(scores, EDGES[:3], ["a", "b", "other"], Merging(threshold=0.5, unknown="other"))
    assert mean[0].score == pytest.approx(0.7)
