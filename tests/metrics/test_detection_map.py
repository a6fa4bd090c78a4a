"""mAP at tIoU against the evaluator of the EPIC-SOUNDS detection challenge, and against its rules in plain loops."""

import csv
import json

import golden
import numpy as np
import pytest

from slowfast_cli.corpora.lists import parse_time
from slowfast_cli.metrics.detection_map import TIOUS, Detections, detection_scores, tiou
from slowfast_cli.metrics.epic_detections import evaluator_names, read_detections

FOLDER = golden.REFERENCE / "metrics"
OFFICIAL = json.loads((FOLDER / "epic_sounds_detection.json").read_text())["results"]
BACKGROUND, CLASSES = 13, 44


def golden_truth():
    truth = [{} for _ in range(CLASSES)]
    with (FOLDER / "epic_sounds_detection_groundtruth.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            times = [parse_time(row[f"{side}_timestamp"], "") for side in ("start", "stop")]
            truth[int(row["class_id"])].setdefault(row["video_id"], []).append(times)
    truth[BACKGROUND] = {}
    return [{video: np.array(spans) for video, spans in of_class.items()} for of_class in truth]


def of(rows):
    """Detections of (file, start, end, class, score)."""
    files, starts, ends, classes, scores = zip(*rows, strict=True) if rows else ((),) * 5
    return Detections(
        files=np.array(files, np.str_), spans=np.array([starts, ends], float).T.reshape(-1, 2),
        classes=np.array(classes, int), scores=np.array(scores, float),
    )  # fmt: skip


def test_scores_equal_the_evaluators():
    plain = json.loads((FOLDER / "epic_sounds_detection_predictions.json").read_text())
    truth, detections = golden_truth(), read_detections(plain, "golden")
    scores = detection_scores(truth, detections)
    assert sum(len(spans) for of_class in truth for spans in of_class.values()) == OFFICIAL["ground_truth_rows"]
    assert np.isin(detections.classes, scores.classes).sum() == OFFICIAL["predictions_kept"]
    assert (list(scores.tious), list(scores.classes)) == (list(TIOUS), OFFICIAL["classes"])
    np.testing.assert_allclose(scores.ap, OFFICIAL["ap"], atol=1e-9, rtol=0)
    np.testing.assert_allclose(scores.maps, OFFICIAL["map"], atol=1e-9, rtol=0)
    assert scores.average == pytest.approx(OFFICIAL["average_map"], abs=1e-9)
    named = evaluator_names(scores)
    assert list(named) == [*(f"interaction_map_at_0{place}" for place in range(1, 6)), "interaction_map_avg"]
    assert named["interaction_map_at_01"] == pytest.approx(100 * OFFICIAL["map"][0], abs=1e-7)
    assert named["interaction_map_avg"] == pytest.approx(100 * OFFICIAL["average_map"], abs=1e-7)


def by_hand(truth, detections, threshold):
    """The evaluator's rules for one class in plain loops; the truth event that is listed last wins a tie."""
    taken, hits = set(), []
    for event in sorted(range(len(detections.scores)), key=lambda event: -detections.scores[event]):
        start, end = detections.spans[event]
        best = None
        for place, (first, last) in enumerate(truth.get(str(detections.files[event]), ())):
            shared = max(0.0, min(end, last) - max(start, first))
            ratio = shared / ((end - start) + (last - first) - shared)
            key = (str(detections.files[event]), place)
            if key not in taken and ratio >= threshold and (best is None or ratio >= best[0]):
                best = (ratio, key)
        hits.append(best is not None)
        taken |= {best[1]} if best else set()
    count, right, area, points = sum(map(len, truth.values())), 0, 0.0, []
    for place, hit in enumerate(hits, 1):
        right += hit
        points.append((right / count, right / place))
    recall = 0.0
    for place, (now, _) in enumerate(points):
        area += (now - recall) * max(precision for _, precision in points[place:])
        recall = now
    return area


@pytest.mark.parametrize("seed", range(8))
def test_crowded_files_follow_the_rules(seed):
    draw = np.random.default_rng(seed)
    starts = draw.uniform(0, 20, 24)
    truth = {name: np.stack([starts[part], starts[part] + draw.uniform(1, 8, 12)], 1)
             for name, part in (("a", slice(0, 12)), ("b", slice(12, 24)))}  # fmt: skip
    begin = draw.uniform(0, 20, 90)
    rows = [
        (str(draw.choice(["a", "b", "elsewhere"])), start, start + draw.uniform(0.5, 8), 0, draw.random())
        for start in begin
    ]
    scores = detection_scores([truth], of(rows))
    expected = [by_hand(truth, of(rows), threshold) for threshold in TIOUS]
    np.testing.assert_allclose(scores.ap[:, 0], expected, atol=1e-12, rtol=0)
    assert 0 < scores.average < 1


def test_a_detection_takes_the_second_best_event_if_the_best_is_taken():
    truth = [{"a": np.array([[0.0, 10.0], [1.0, 9.0]])}]
    rows = [("a", 0, 10, 0, 0.9), ("a", 0, 10, 0, 0.8)]
    assert detection_scores(truth, of(rows), [0.5]).average == 1
    assert detection_scores(truth, of([*rows, ("a", 0, 10, 0, 0.95)]), [0.5]).average == 1  # right, right, wrong
    assert detection_scores(truth, of([("a", 20, 30, 0, 0.99), *rows]), [0.5]).average == pytest.approx(2 / 3)


def test_a_tiou_that_equals_the_threshold_is_a_match():
    truth = [{"a": np.array([[0.0, 4.0]])}]
    assert tiou(truth[0]["a"], np.array([[0.0, 2.0]]))[0, 0] == 0.5
    rows = [("a", 0, 2, 0, 0.9)]
    assert detection_scores(truth, of(rows), [0.5]).maps == (1.0,)
    assert detection_scores(truth, of(rows), [0.5000001]).maps == (0.0,)


def test_which_classes_and_files_count():
    truth = [{"a": np.array([[0.0, 4.0]])}, {"b": np.array([[0.0, 4.0]])}, {}]
    rows = [("a", 0, 4, 0, 0.5), ("a", 0, 4, 2, 0.9)]
    scores = detection_scores(truth, of(rows))
    assert (scores.classes, scores.maps) == ((0, 1), (0.5,) * 5)  # class 1 has no detection, class 2 no truth
    other = detection_scores(truth, of([("elsewhere", 0, 4, 0, 0.9), *rows]))
    assert other.average == 0.25
    assert detection_scores(truth, of([])).average == 0
    with pytest.raises(ValueError, match="no class has a truth event"):
        detection_scores([{}, {}], of(rows))
