"""EPIC-SOUNDS scores and the challenge file against the official evaluator."""

import json
from pathlib import Path

import numpy as np
import pytest

from slowfast_cli.corpora import labels
from slowfast_cli.metrics.epic_challenge import Supervision
from slowfast_cli.metrics.epic_submission import interaction_submission
from slowfast_cli.metrics.predictions import merge, without_class
from slowfast_cli.metrics.scores import score
from slowfast_cli.types import Corpus, DataError, Prediction, Recording, Segment

FOLDER = Path(__file__).parents[1] / "assets" / "reference" / "metrics"
OFFICIAL = json.loads((FOLDER / "epic_sounds_recognition.json").read_text())["results"]
CLASSES = labels.names("epic_sounds44")


@pytest.fixture(scope="module")
def arrays():
    with np.load(FOLDER / "epic_sounds_recognition.npz") as file:
        return dict(file)


def corpus_of(targets):
    segments = tuple(
        Segment(id=str(row), recording=Recording(id=str(row), path=Path("a.wav")), targets={"label": int(target)})
        for row, target in enumerate(targets)
    )
    return Corpus(
        name="epic-sounds", split="validation", segments=segments, classes={"label": CLASSES}, class_mean=True
    )


def predictions_of(scores_NVC):
    return merge(
        Prediction(id=str(row), scores={"label": view_C})
        for row, views_VC in enumerate(scores_NVC)
        for view_C in views_VC
    )


@pytest.mark.parametrize("case", [case for case in OFFICIAL if case != "submission"])
def test_scores_equal_the_evaluators(arrays, case):
    kind = "single" if case.startswith("single") else "views"
    scores = arrays[f"{kind}/scores"].reshape(len(arrays[f"{kind}/labels"]), -1, 44)
    corpus = corpus_of(arrays[f"{kind}/labels"])
    corpus = without_class(corpus, "background") if case.endswith("redact_background") else corpus
    expected = OFFICIAL[case]
    got = score(predictions_of(scores[:, :1] if case == "first_view_only" else scores), corpus)
    assert got.found == expected["rows"]
    for ours, theirs, unit in (
        ("top1", "top1", 100), ("top5", "top5", 100), ("mca", "mCA", 100), ("map", "mAP", 1), ("auc", "mAUC", 1),
    ):  # fmt: skip
        assert got.values[ours] == pytest.approx(unit * expected[theirs], abs=unit * 1e-9), ours


def test_a_redacted_class_can_still_win():
    corpus = without_class(corpus_of([13, 0, 0]), "background")
    assert [segment.id for segment in corpus.segments] == ["1", "2"]
    scores = np.zeros((3, 1, 44), np.float32)
    scores[:, :, 13] = 0.9
    scores[2, 0, 0] = 1
    assert score(predictions_of(scores), corpus).values["top1"] == 50


def test_redacting_refuses():
    with pytest.raises(DataError, match="no class is called 'backgroud'; did you mean 'background'"):
        without_class(corpus_of([0]), "backgroud")
    with pytest.raises(DataError, match="nothing is left to score"):
        without_class(corpus_of([13]), "background")


def test_only_corpora_that_ask_for_it_have_the_mean_class_accuracy(arrays):
    corpus = corpus_of(arrays["single/labels"])
    plain = Corpus(name="a", split="b", segments=corpus.segments, classes=corpus.classes)
    predictions = predictions_of(arrays["single/scores"][:, None])
    assert score(predictions, corpus).values.keys() - score(predictions, plain).values.keys() == {"mca"}


def test_the_submission_equals_the_official_writers(arrays):
    official = (FOLDER / "epic_sounds_submission.json").read_bytes()
    summed = arrays["views/scores"][:3].sum(axis=1)
    ids = OFFICIAL["submission"]["ids"]
    assert json.dumps(interaction_submission(ids, summed, ids)).encode() == official
    assert interaction_submission(ids, summed, ids, Supervision(td=4))["sls_td"] == 4
    assert interaction_submission(ids, summed, ids, t_mod=2)["t_mod"] == 2


def test_a_submission_refuses(arrays):
    scores, ids = arrays["single/scores"][:2], ["P02_106_0", "P02_106_1"]
    with pytest.raises(DataError, match=r"1 of 3 segments have no result.*data check epic-sounds"):
        interaction_submission(ids, scores, [*ids, "P02_106_2"])
    with pytest.raises(DataError, match=r"shape \(2, 43\), expected \(2, 44\)"):
        interaction_submission(ids, scores[:, 1:], ids)
    with pytest.raises(DataError, match="NaN"):
        interaction_submission(ids, np.full((2, 44), np.nan, np.float32), ids)
