"""AP of boxes against the reference, a slow twin and the rules of the evaluation."""

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
def right():
    return json.loads((FOLDER / "video_metrics.json").read_text())["ava"]


@pytest.fixture(scope="module")
def reference(right):
    """Truth rows, boxes and scores of the reference, its excluded seconds and the classes that count."""
    with np.load(FOLDER / "video_metrics.npz") as arrays:
        found = {name: arrays[f"ava/{name}"] for name in ("scores", "boxes_x1y1x2y2", "video_and_second")}
    with (FOLDER / "ava_groundtruth.csv").open(newline="") as file:
        truth = [(row[0], int(row[1]), tuple(float(x) for x in row[2:6]), int(row[6]) - 1) for row in csv.reader(file)]
    with (FOLDER / "ava_excluded.csv").open(newline="") as file:
        excluded = {(row[0], int(row[1])) for row in csv.reader(file)}
    counted = {int(id_) - 1 for id_ in re.findall(r"label_id: (\d+)", (FOLDER / "ava_label_map.pbtxt").read_text())}
    videos = [right["video_names"][index] for index in found["video_and_second"][:, 0]]
    seconds = [int(second) for second in found["video_and_second"][:, 1]]
    return truth, list(zip(videos, seconds, strict=True)), found, excluded, counted


def corpus_of(reference, *, excluding=True, mini=False):
    """The reference's problem as a corpus: a segment a key frame, and predictions of its boxes."""
    truth, keys, found, excluded, counted = reference
    left_out = excluded if excluding else set()
    boxes, wanted = {}, {}
    for key, place in zip(keys, found["boxes_x1y1x2y2"], strict=True):
        boxes.setdefault(key, []).append(Box(place=tuple(place.tolist()), score=0.9))
    for video, second, place, index in truth:
        if not mini or second % 4 == 0:
            wanted.setdefault((video, second), {}).setdefault(place, []).append(index)
    segments = tuple(
        Segment(
            id=f"{key[0]},{key[1]:04d}",
            recording=Recording(id=key[0], path=Path(f"{key[0]}.mkv")),
            center=float(key[1]),
            boxes=tuple(boxes.get(key, ())),
            truth=tuple(Box(place=place, targets=tuple(ids)) for place, ids in wanted.get(key, {}).items()),
        )
        for key in sorted(boxes.keys() | wanted.keys())
        if key not in left_out
    )
    predictions = [
        Prediction(id=f"{key[0]},{key[1]:04d}", scores={"label": scores}, place=tuple(place.tolist()))
        for key, place, scores in zip(keys, found["boxes_x1y1x2y2"], found["scores"], strict=True)
        if key not in left_out
    ]
    names = tuple(f"action {index}" for index in range(ACTIONS))
    corpus = Corpus(
        name="ava", split="val", segments=segments, classes={"label": names}, scored={"label": frozenset(counted)}
    )
    return corpus, predictions


def test_equals_the_reference_class_by_class(reference, right):
    corpus, predictions = corpus_of(reference)
    got = ava.per_class(predictions, corpus)
    by_id = right["AP_by_label_id (null: no ground truth, left out of the mean)"]
    assert len(by_id) == 60
    for id_, value in by_id.items():
        assert np.isnan(got[int(id_) - 1]) if value is None else got[int(id_) - 1] == pytest.approx(value, abs=1e-9)
    assert np.isnan(got[[index for index in range(ACTIONS) if str(index + 1) not in by_id]]).all()
    assert ava.score(predictions, corpus)["map"] == pytest.approx(right["mAP@0.5"], abs=1e-9)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"mini": True}, "mAP@0.5_mini_val (seconds divisible by 4)"),
        ({"excluding": False}, "mAP@0.5_without_exclusions"),
    ],
)
def test_equals_the_reference_on_other_seconds(reference, right, options, name):
    corpus, predictions = corpus_of(reference, **options)
    assert ava.score(predictions, corpus)["map"] == pytest.approx(right[name], abs=1e-9)


def test_all_classes_would_be_another_number(reference, right):
    corpus, predictions = corpus_of(reference)
    everything = ava.score(predictions, replace(corpus, scored={}))["map"]
    assert abs(everything - right["mAP@0.5"]) > 1e-3


def test_the_scores_of_a_split_are_those_of_its_boxes(reference, right):
    corpus, predictions = corpus_of(reference)
    got = score(predictions, corpus)
    assert got.values["map"] == pytest.approx(right["mAP@0.5"], abs=1e-9)
    assert set(got.values) == {"map", "challenge_map"}
    assert got.found == got.listed == len(corpus.segments)
    table = tables(stack(predictions, corpus.segments), corpus)["label"]
    assert len(table) == 60
    assert measure(table) == "average precision"
    by_id = right["AP_by_label_id (null: no ground truth, left out of the mean)"]
    counts = right["ground_truth_boxes_by_label_id"]
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


def test_one_box_a_person():
    truth = boxes((0, PLACE, 0, 1), (1, PLACE, 0, 1))
    found = boxes((0, PLACE, 0, 0.9), (0, (0.1, 0.1, 0.5, 0.8), 0, 0.8), (1, PLACE, 0, 0.7))
    # Right, wrong because that person is taken, right: 1/2 * 1 + 1/2 * 2/3.
    assert average_precisions(found, truth, 1)[0] == pytest.approx(0.5 + 0.5 * 2 / 3)


def test_who_claims_a_person_first():
    truth = boxes((0, PLACE, 0, 1))
    found = boxes((0, PLACE, 0, 0.3), (0, PLACE, 0, 0.8))
    assert average_precisions(found, truth, 1)[0] == 0.5  # the first listed is right, and comes second by score
    assert average_precisions(found, truth, 1, claims="surest")[0] == 1
    turned = found.where(np.array([1, 0]))
    assert average_precisions(turned, truth, 1)[0] == average_precisions(turned, truth, 1, claims="surest")[0] == 1


def test_a_second_box_is_not_handed_on_to_the_next_best():
    near = (0.1, 0.1, 0.5, 0.85)
    truth = boxes((0, PLACE, 0, 1), (0, (0.12, 0.1, 0.5, 0.9), 0, 1))
    found = boxes((0, PLACE, 0, 0.9), (0, near, 0, 0.8))
    assert average_precisions(found, truth, 1)[0] == 0.5


def test_classes_and_pictures_are_kept_apart():
    truth = boxes((0, PLACE, 1, 1), (3, PLACE, 0, 1))
    got = average_precisions(boxes((0, PLACE, 0, 0.9), (3, PLACE, 0, 0.8), (7, PLACE, 1, 0.9)), truth, 3)
    assert got[:2].tolist() == [0.5, 0.0]  # pictures 0 and 7 have nobody of those classes
    assert np.isnan(got[2])


def test_the_threshold_is_inclusive():
    truth = boxes((0, (0, 0, 1, 1), 0, 1))
    half = boxes((0, (0, 0, 1, 0.5), 0, 0.5))
    assert average_precisions(half, truth, 1)[0] == 1
    assert average_precisions(half, truth, 1, iou=0.51)[0] == 0


def test_boxes_may_reach_out_of_the_picture_and_have_no_area():
    truth = boxes((0, (-0.2, 0.0, 0.5, 1.1), 0, 1))
    found = boxes((0, (-0.2, 0.0, 0.5, 1.1), 0, 0.5), (0, (0.3, 0.3, 0.3, 0.9), 0, 0.9))
    assert average_precisions(found, truth, 1)[0] == 1  # the line is no detection, so not a wrong one either


def test_nothing_found_and_nobody_there():
    assert average_precisions(boxes(), boxes((0, PLACE, 0, 1)), 2).tolist()[0] == 0
    assert np.isnan(average_precisions(boxes((0, PLACE, 0, 0.5)), boxes(), 1)).all()


def slow_ap(found, truth, claims):
    """By the definition, box by box, for one class."""
    taken, hits = set(), {}
    rows = range(len(found.image))
    for i in rows if claims == "listed" else sorted(rows, key=lambda i: -found.scores[i]):
        overlaps = []
        for j in range(len(truth.image)):
            if truth.image[j] == found.image[i]:
                a, b = found.boxes[i], truth.boxes[j]
                width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
                inside = max(width, 0) * max(height, 0)
                union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inside
                overlaps.append((inside / union, -j))
        best = max(overlaps, default=(0, 0))
        hits[i] = best[0] >= 0.5 and -best[1] not in taken
        if hits[i]:
            taken.add(-best[1])
    points, right = [], 0
    for place, i in enumerate(sorted(rows, key=lambda i: -found.scores[i]), 1):
        right += hits[i]
        points.append((right / len(truth.image), right / place))
    recalls = sorted({recall for recall, _ in points})
    area, before = 0.0, 0.0
    for recall in recalls:
        area += (recall - before) * max(p for r, p in points if r >= recall)
        before = recall
    return area


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 100_000), st.sampled_from(["listed", "surest"]))
def test_equals_the_slow_twin(seed, claims):
    rng = np.random.default_rng(seed)

    def some(count):
        corner = rng.integers(0, 3, (count, 2)) / 4
        size = rng.integers(1, 4, (count, 2)) / 4
        return Detections(
            image=rng.integers(0, 3, count),
            boxes=np.hstack([corner, corner + size]),
            classes=np.zeros(count, np.int64),
            scores=rng.permutation(count) / count,
        )

    found, truth = some(int(rng.integers(1, 15))), some(int(rng.integers(1, 8)))
    assert average_precisions(found, truth, 1, claims=claims)[0] == pytest.approx(slow_ap(found, truth, claims))


def one_box_corpus(*segments):
    return Corpus(name="ava", split="val", segments=segments, classes={"label": ("stand", "sit")})


def keyframe(second, *, found=(), truth=()):
    return Segment(
        id=f"v,{second:04d}",
        recording=Recording(id="v", path=Path("v.mkv")),
        center=float(second),
        boxes=tuple(Box(place=place) for place in found),
        truth=tuple(Box(place=place, targets=targets) for place, targets in truth),
    )


def said(second, *scores, place=PLACE):
    return Prediction(id=f"v,{second:04d}", scores={"label": np.array(scores, np.float32)}, place=place)


def test_seconds_without_truth_and_seconds_without_boxes_count():
    corpus = one_box_corpus(
        keyframe(902, found=[PLACE], truth=[(PLACE, (0,))]),
        keyframe(903, found=[PLACE]),  # nobody annotated: what is found is wrong
        keyframe(904, truth=[(PLACE, (0,))]),  # nobody found: missed
    )
    got = score([said(902, 0.5, 0.1), said(903, 0.9, 0.1)], corpus)
    assert got.values["map"] == pytest.approx(0.5 * 0.5)
    assert (got.found, got.listed) == (3, 3)


def test_segments_that_could_not_be_read_do_not_count():
    corpus = one_box_corpus(
        keyframe(902, found=[PLACE], truth=[(PLACE, (0,))]), keyframe(903, found=[PLACE], truth=[(PLACE, (0,))])
    )
    got = score([said(902, 0.5, 0.1)], corpus)
    assert got.values["map"] == 1
    assert (got.found, got.listed) == (1, 2)


def test_annotated_boxes_may_be_the_ones_asked_about():
    corpus = one_box_corpus(
        Segment(
            id="v,0902",
            recording=Recording(id="v", path=Path("v.mkv")),
            boxes=(Box(place=PLACE, targets=(0, 1)),),
        )
    )
    assert score([said(902, 0.5, 0.1)], corpus).values["map"] == 1


def test_views_of_a_box_are_merged_by_their_place():
    other = (0.0, 0.0, 0.2, 0.2)
    merged = merge([said(902, 0.2, 0.4), said(902, 0.9, 0.9, place=other), said(902, 0.4, 0.2)], "max")
    assert [(each.place, each.scores["label"].round(3).tolist()) for each in merged] == [
        (PLACE, pytest.approx([0.4, 0.4])),
        (other, pytest.approx([0.9, 0.9])),
    ]


def test_a_split_without_truth_cannot_be_scored():
    with pytest.raises(DataError, match="no labels to score against"):
        score([said(902, 0.5, 0.1)], one_box_corpus(keyframe(902, found=[PLACE])))


@pytest.mark.parametrize(
    ("predictions", "words"),
    [
        ([said(902, 0.5, 0.1), said(902, 0.5, 0.1)], "more than one of a box"),
        ([said(902, 0.5, 0.1), said(902, 0.5, 0.1, place=None)], "some of whole segments"),
        ([said(902, 0.5, 0.1, place=None)], "no places"),
        ([said(902, 0.5)], "scores of 1 classes"),
        ([said(902, float("nan"), 0.1)], "NaN or infinity"),
    ],
)
def test_predictions_that_do_not_fit(predictions, words):
    corpus = one_box_corpus(keyframe(902, found=[PLACE], truth=[(PLACE, (0,))]))
    with pytest.raises(DataError, match=words):
        score(predictions, corpus)


def test_rows_of_another_split_are_refused():
    rows = stack([said(902, 0.5, 0.1)], [keyframe(902, found=[PLACE])])
    with pytest.raises(DataError, match="not in the list, as 'v,0902'"):
        ava.by_class(rows, one_box_corpus(keyframe(950, found=[PLACE], truth=[(PLACE, (0,))])))


def test_classes_out_of_range_and_shapes_are_refused():
    with pytest.raises(DataError, match="from 5 to 5, but there are 2"):
        average_precisions(boxes((0, PLACE, 5, 0.5)), boxes(), 2)
    with pytest.raises(DataError, match="right are N pictures"):
        Detections(image=np.zeros(2), boxes=np.zeros((1, 4)), classes=np.zeros(2), scores=np.zeros(2))


def test_a_quarter_of_a_million_boxes_in_a_moment():
    rng = np.random.default_rng(0)

    def many(count):
        corner = rng.random((count, 2)) * 0.6
        return Detections(
            image=rng.integers(0, 4000, count),
            boxes=np.hstack([corner, corner + 0.1 + rng.random((count, 2)) * 0.3]),
            classes=rng.integers(0, 60, count),
            scores=rng.random(count),
        )

    found, truth = many(250_000), many(40_000)
    start = time.perf_counter()
    average_precisions(found, truth, 60)
    assert time.perf_counter() - start < 5  # 0.2 s when written; a million takes 0.7 s
