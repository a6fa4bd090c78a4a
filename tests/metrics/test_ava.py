"""AP of boxes against the reference, a naive implementation and the rules of the evaluation."""

import csv
import json
import re
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slowfast_cli.metrics import ava
from slowfast_cli.metrics.ava import Detections, average_precisions
from slowfast_cli.metrics.per_class import measure, tables
from slowfast_cli.metrics.predictions import merge, stack
from slowfast_cli.metrics.scores import score
from slowfast_cli.types import Box, Corpus, DataError, Prediction, Recording, Segment

FOLDER = Path(__file__).parents[1] / "assets" / "reference" / "metrics"
ACTIONS = 80
PLACE = (0.1, 0.1, 0.5, 0.9)


@pytest.fixture(scope="module")
def expected():
    return json.loads((FOLDER / "video_metrics.json").read_text())["ava"]


@pytest.fixture(scope="module")
def reference(expected):
    """Annotations, keys and arrays of the detections, excluded key frames, and scored classes of the reference."""
    with np.load(FOLDER / "video_metrics.npz") as arrays:
        detections = {name: arrays[f"ava/{name}"] for name in ("scores", "boxes_x1y1x2y2", "video_and_second")}
    with (FOLDER / "ava_groundtruth.csv").open(newline="") as file:
        truth = [(row[0], int(row[1]), tuple(float(x) for x in row[2:6]), int(row[6]) - 1) for row in csv.reader(file)]
    with (FOLDER / "ava_excluded.csv").open(newline="") as file:
        excluded = {(row[0], int(row[1])) for row in csv.reader(file)}
    scored = {int(id_) - 1 for id_ in re.findall(r"label_id: (\d+)", (FOLDER / "ava_label_map.pbtxt").read_text())}
    videos = [expected["video_names"][index] for index in detections["video_and_second"][:, 0]]
    seconds = [int(second) for second in detections["video_and_second"][:, 1]]
    return truth, list(zip(videos, seconds, strict=True)), detections, excluded, scored


def corpus_of(reference, *, excluding=True, mini=False):
    """Convert the reference to a corpus with a segment per key frame, and predictions of its boxes."""
    truth, keys, detections, excluded, scored = reference
    skipped = excluded if excluding else set()
    boxes, annotations = {}, {}
    for key, place in zip(keys, detections["boxes_x1y1x2y2"], strict=True):
        boxes.setdefault(key, []).append(Box(place=tuple(place.tolist()), score=0.9))
    for video, second, place, index in truth:
        if not mini or second % 4 == 0:
            annotations.setdefault((video, second), {}).setdefault(place, []).append(index)
    segments = tuple(
        Segment(
            id=f"{key[0]},{key[1]:04d}",
            recording=Recording(id=key[0], path=Path(f"{key[0]}.mkv")),
            center=float(key[1]),
            boxes=tuple(boxes.get(key, ())),
            truth=tuple(Box(place=place, targets=tuple(ids)) for place, ids in annotations.get(key, {}).items()),
        )
        for key in sorted(boxes.keys() | annotations.keys())
        if key not in skipped
    )
    predictions = [
        Prediction(id=f"{key[0]},{key[1]:04d}", scores={"label": scores}, place=tuple(place.tolist()))
        for key, place, scores in zip(keys, detections["boxes_x1y1x2y2"], detections["scores"], strict=True)
        if key not in skipped
    ]
    names = tuple(f"action {index}" for index in range(ACTIONS))
    corpus = Corpus(
        name="ava", split="val", segments=segments, classes={"label": names}, scored={"label": frozenset(scored)}
    )
    return corpus, predictions


def test_equals_the_reference_class_by_class(reference, expected):
    corpus, predictions = corpus_of(reference)
    rows = stack(predictions, corpus.segments)
    got = ava.per_class(rows, corpus)
    by_id = expected["AP_by_label_id (null: no ground truth, left out of the mean)"]
    assert len(by_id) == 60
    for id_, value in by_id.items():
        assert np.isnan(got[int(id_) - 1]) if value is None else got[int(id_) - 1] == pytest.approx(value, abs=1e-9)
    assert np.isnan(got[[index for index in range(ACTIONS) if str(index + 1) not in by_id]]).all()
    assert ava.box_scores(rows, corpus)["map"] == pytest.approx(expected["mAP@0.5"], abs=1e-9)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"mini": True}, "mAP@0.5_mini_val (seconds divisible by 4)"),
        ({"excluding": False}, "mAP@0.5_without_exclusions"),
    ],
)
def test_equals_the_reference_on_other_seconds(reference, expected, options, name):
    corpus, predictions = corpus_of(reference, **options)
    got = ava.box_scores(stack(predictions, corpus.segments), corpus)
    assert got["map"] == pytest.approx(expected[name], abs=1e-9)


def test_unscored_classes_would_change_the_map(reference, expected):
    corpus, predictions = corpus_of(reference)
    got = ava.box_scores(stack(predictions, corpus.segments), replace(corpus, scored={}))
    assert abs(got["map"] - expected["mAP@0.5"]) > 1e-3


def test_score_of_a_split_with_boxes(reference, expected):
    corpus, predictions = corpus_of(reference)
    got = score(predictions, corpus)
    assert got.values["map"] == pytest.approx(expected["mAP@0.5"], abs=1e-9)
    assert set(got.values) == {"map", "challenge_map"}
    assert got.found == got.listed == len(corpus.segments)
    table = tables(stack(predictions, corpus.segments), corpus)["label"]
    assert len(table) == 60
    assert measure(table) == "average precision"
    by_id = expected["AP_by_label_id (null: no ground truth, left out of the mean)"]
    counts = expected["ground_truth_boxes_by_label_id"]
    for row in table:
        id_ = str(row.index + 1)
        assert row.name == f"action {row.index}"
        assert row.count == counts[id_]
        assert row.value == pytest.approx(100 * by_id[id_]) if by_id[id_] is not None else np.isnan(row.value)


def boxes(*rows):
    """Detections of (image, place, class, score)."""
    return Detections(
        image=np.array([row[0] for row in rows], dtype=np.int64),
        boxes=np.array([row[1] for row in rows], dtype=np.float64).reshape(-1, 4),
        classes=np.array([row[2] for row in rows], dtype=np.int64),
        scores=np.array([row[3] for row in rows], dtype=np.float64),
    )


def test_a_second_detection_of_a_box_is_a_false_positive():
    truth = boxes((0, PLACE, 0, 1), (1, PLACE, 0, 1))
    detections = boxes((0, PLACE, 0, 0.9), (0, (0.1, 0.1, 0.5, 0.8), 0, 0.8), (1, PLACE, 0, 0.7))
    # True positive, false positive (second match of a box), true positive: 1/2 * 1 + 1/2 * 2/3.
    assert average_precisions(detections, truth, 1)[0] == pytest.approx(0.5 + 0.5 * 2 / 3)


def test_match_order():
    truth = boxes((0, PLACE, 0, 1))
    detections = boxes((0, PLACE, 0, 0.3), (0, PLACE, 0, 0.8))
    assert average_precisions(detections, truth, 1)[0] == 0.5  # the first row matches, and is second by score
    assert average_precisions(detections, truth, 1, match_order="score")[0] == 1
    reversed_rows = detections.select(np.array([1, 0]))
    assert average_precisions(reversed_rows, truth, 1)[0] == 1
    assert average_precisions(reversed_rows, truth, 1, match_order="score")[0] == 1


def test_a_second_detection_is_not_matched_to_the_next_best_box():
    near = (0.1, 0.1, 0.5, 0.85)
    truth = boxes((0, PLACE, 0, 1), (0, (0.12, 0.1, 0.5, 0.9), 0, 1))
    detections = boxes((0, PLACE, 0, 0.9), (0, near, 0, 0.8))
    assert average_precisions(detections, truth, 1)[0] == 0.5


def test_classes_and_images_are_matched_separately():
    truth = boxes((0, PLACE, 1, 1), (3, PLACE, 0, 1))
    got = average_precisions(boxes((0, PLACE, 0, 0.9), (3, PLACE, 0, 0.8), (7, PLACE, 1, 0.9)), truth, 3)
    assert got[:2].tolist() == [0.5, 0.0]  # images 0 and 7 have no annotations of those classes
    assert np.isnan(got[2])


def test_the_iou_threshold_is_inclusive():
    truth = boxes((0, (0, 0, 1, 1), 0, 1))
    half = boxes((0, (0, 0, 1, 0.5), 0, 0.5))
    assert average_precisions(half, truth, 1)[0] == 1
    assert average_precisions(half, truth, 1, iou=0.51)[0] == 0


def test_boxes_beyond_the_image_and_boxes_without_area():
    truth = boxes((0, (-0.2, 0.0, 0.5, 1.1), 0, 1))
    detections = boxes((0, (-0.2, 0.0, 0.5, 1.1), 0, 0.5), (0, (0.3, 0.3, 0.3, 0.9), 0, 0.9))
    assert average_precisions(detections, truth, 1)[0] == 1  # a box without area is ignored, so it is no false positive


def test_no_detections_and_no_annotations():
    assert average_precisions(boxes(), boxes((0, PLACE, 0, 1)), 2).tolist()[0] == 0
    assert np.isnan(average_precisions(boxes((0, PLACE, 0, 0.5)), boxes(), 1)).all()


def naive_ap(detections, truth, match_order):
    """AP of one class by its definition, box by box."""
    matched, hits = set(), {}
    rows = range(len(detections.image))
    for i in rows if match_order == "input" else sorted(rows, key=lambda i: -detections.scores[i]):
        overlaps = []
        for j in range(len(truth.image)):
            if truth.image[j] == detections.image[i]:
                a, b = detections.boxes[i], truth.boxes[j]
                width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
                intersection = max(width, 0) * max(height, 0)
                union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - intersection
                overlaps.append((intersection / union, -j))
        best = max(overlaps, default=(0, 0))
        hits[i] = best[0] >= 0.5 and -best[1] not in matched
        if hits[i]:
            matched.add(-best[1])
    points, correct = [], 0
    for rank, i in enumerate(sorted(rows, key=lambda i: -detections.scores[i]), 1):
        correct += hits[i]
        points.append((correct / len(truth.image), correct / rank))
    recalls = sorted({recall for recall, _ in points})
    area, before = 0.0, 0.0
    for recall in recalls:
        area += (recall - before) * max(p for r, p in points if r >= recall)
        before = recall
    return area


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 100_000), st.sampled_from(["input", "score"]))
def test_equals_a_naive_implementation(seed, match_order):
    rng = np.random.default_rng(seed)

    def random_boxes(count):
        corner = rng.integers(0, 3, (count, 2)) / 4
        size = rng.integers(1, 4, (count, 2)) / 4
        return Detections(
            image=rng.integers(0, 3, count),
            boxes=np.hstack([corner, corner + size]),
            classes=np.zeros(count, np.int64),
            scores=rng.permutation(count) / count,
        )

    detections, truth = random_boxes(int(rng.integers(1, 15))), random_boxes(int(rng.integers(1, 8)))
    assert average_precisions(detections, truth, 1, match_order=match_order)[0] == pytest.approx(
        naive_ap(detections, truth, match_order)
    )


def box_corpus(*segments):
    return Corpus(name="ava", split="val", segments=segments, classes={"label": ("stand", "sit")})


def keyframe(second, *, detected=(), truth=()):
    return Segment(
        id=f"v,{second:04d}",
        recording=Recording(id="v", path=Path("v.mkv")),
        center=float(second),
        boxes=tuple(Box(place=place) for place in detected),
        truth=tuple(Box(place=place, targets=targets) for place, targets in truth),
    )


def prediction(second, *scores, place=PLACE):
    return Prediction(id=f"v,{second:04d}", scores={"label": np.array(scores, np.float32)}, place=place)


def test_segments_without_annotations_or_without_detections_count():
    corpus = box_corpus(
        keyframe(902, detected=[PLACE], truth=[(PLACE, (0,))]),
        keyframe(903, detected=[PLACE]),  # no annotations: false positive
        keyframe(904, truth=[(PLACE, (0,))]),  # no detections: missed
    )
    got = score([prediction(902, 0.5, 0.1), prediction(903, 0.9, 0.1)], corpus)
    assert got.values["map"] == pytest.approx(0.5 * 0.5)
    assert (got.found, got.listed) == (3, 3)


def test_unreadable_segments_are_excluded():
    corpus = box_corpus(
        keyframe(902, detected=[PLACE], truth=[(PLACE, (0,))]), keyframe(903, detected=[PLACE], truth=[(PLACE, (0,))])
    )
    got = score([prediction(902, 0.5, 0.1)], corpus)
    assert got.values["map"] == 1
    assert (got.found, got.listed) == (1, 2)


def test_annotated_boxes_may_serve_as_detections():
    corpus = box_corpus(
        Segment(
            id="v,0902",
            recording=Recording(id="v", path=Path("v.mkv")),
            boxes=(Box(place=PLACE, targets=(0, 1)),),
        )
    )
    assert score([prediction(902, 0.5, 0.1)], corpus).values["map"] == 1


def test_views_of_a_box_are_merged_by_their_place():
    other = (0.0, 0.0, 0.2, 0.2)
    merged = merge(
        [prediction(902, 0.2, 0.4), prediction(902, 0.9, 0.9, place=other), prediction(902, 0.4, 0.2)], "max"
    )
    assert [(view.place, view.scores["label"].round(3).tolist()) for view in merged] == [
        (PLACE, pytest.approx([0.4, 0.4])),
        (other, pytest.approx([0.9, 0.9])),
    ]


def test_a_split_without_annotations_cannot_be_scored():
    with pytest.raises(DataError, match="no labels to score against"):
        score([prediction(902, 0.5, 0.1)], box_corpus(keyframe(902, detected=[PLACE])))


@pytest.mark.parametrize(
    ("predictions", "words"),
    [
        ([prediction(902, 0.5, 0.1), prediction(902, 0.5, 0.1)], "more than one of a box, expected one each"),
        ([prediction(902, 0.5, 0.1), prediction(902, 0.5, 0.1, place=None)], "some for whole segments"),
        ([prediction(902, 0.5, 0.1, place=None)], "no box coordinates"),
        ([prediction(902, 0.5)], "scores of 1 classes"),
        ([prediction(902, float("nan"), 0.1)], "NaN or infinity"),
    ],
)
def test_invalid_predictions_are_refused(predictions, words):
    corpus = box_corpus(keyframe(902, detected=[PLACE], truth=[(PLACE, (0,))]))
    with pytest.raises(DataError, match=words):
        score(predictions, corpus)


def test_rows_of_another_split_are_refused():
    rows = stack([prediction(902, 0.5, 0.1)], [keyframe(902, detected=[PLACE])])
    with pytest.raises(DataError, match="not in this split, such as 'v,0902'"):
        ava.per_class(rows, box_corpus(keyframe(950, detected=[PLACE], truth=[(PLACE, (0,))])))


def test_classes_out_of_range_and_shapes_are_refused():
    with pytest.raises(DataError, match="class indices go from 5 to 5, but there are 2"):
        average_precisions(boxes((0, PLACE, 5, 0.5)), boxes(), 2)
    with pytest.raises(DataError, match=r"expected \(N,\), \(N, 4\), \(N,\) and \(N,\)"):
        Detections(image=np.zeros(2), boxes=np.zeros((1, 4)), classes=np.zeros(2), scores=np.zeros(2))


def test_speed_with_250_000_boxes():
    rng = np.random.default_rng(0)

    def random_boxes(count):
        corner = rng.random((count, 2)) * 0.6
        return Detections(
            image=rng.integers(0, 4000, count),
            boxes=np.hstack([corner, corner + 0.1 + rng.random((count, 2)) * 0.3]),
            classes=rng.integers(0, 60, count),
            scores=rng.random(count),
        )

    detections, truth = random_boxes(250_000), random_boxes(40_000)
    start = time.perf_counter()
    average_precisions(detections, truth, 60)
    assert time.perf_counter() - start < 5  # takes 0.2 s; a million takes 0.7 s
