"""Action scores, late fusion and the submission of EPIC-KITCHENS-100 against the official evaluator and writer."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from slowfast_cli.corpora import labels
from slowfast_cli.metrics.ensemble import late_fusion, log_probabilities
from slowfast_cli.metrics.epic import epic_scores, joint_ranks
from slowfast_cli.metrics.epic_submission import submission
from slowfast_cli.metrics.scores import score
from slowfast_cli.types import Corpus, DataError, Prediction, Recording, Segment

FOLDER = Path(__file__).parents[1] / "assets" / "reference" / "metrics"
OFFICIAL = json.loads((FOLDER / "epic100_actions.json").read_text())
RESULTS = OFFICIAL["results"]
TAIL = {"verb": labels.tail("epic100_tail_verbs"), "noun": labels.tail("epic100_tail_nouns")}


@pytest.fixture(scope="module")
def arrays():
    with np.load(FOLDER / "epic100_actions.npz") as file:
        return {name: file[name] for name in file}


def softmax(logits):
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def corpus(arrays):
    segments = tuple(
        Segment(
            id=f"{person}_01_{row}", recording=Recording(id=f"{person}_01", path=Path("a")), group=str(person),
            targets={"verb": int(verb), "noun": int(noun)},
        )
        for row, (person, verb, noun) in enumerate(
            zip(arrays["participant"], arrays["verb"], arrays["noun"], strict=True)
        )
    )  # fmt: skip
    unseen = frozenset(segment.id for segment in segments if segment.group in OFFICIAL["unseen_participants"])
    classes = {"verb": labels.names("epic100_verbs"), "noun": labels.names("epic100_nouns")}
    return Corpus(
        name="epic", split="validation", segments=segments, classes=classes, subsets={"unseen": unseen}, tail=TAIL
    )


def predictions(arrays, modality):
    verb, noun = softmax(arrays[f"{modality}/verb"]), softmax(arrays[f"{modality}/noun"])
    ids = [segment.id for segment in corpus(arrays).segments]
    return [
        Prediction(id=id, scores={"verb": verb_C, "noun": noun_C})
        for id, verb_C, noun_C in zip(ids, verb, noun, strict=True)
    ]


def assert_scores(values, expected, actions=True):
    for kind in ("verb", "noun", "action")[: 3 if actions else 2]:
        top1, top5 = expected["all"][kind]
        assert values[f"{kind}_top1"] == pytest.approx(100 * top1, abs=1e-9)
        assert values["joint_action_top5" if kind == "action" else f"{kind}_top5"] == pytest.approx(100 * top5)
    for part in ("tail", "unseen"):
        for kind, (top1,) in expected[part].items():
            assert values[f"{part}_{kind}_top1"] == pytest.approx(100 * top1, abs=1e-9), (part, kind)


@pytest.mark.parametrize("modality", ["visual", "audio"])
def test_scores_are_those_of_the_evaluator(arrays, modality):
    values = score(predictions(arrays, modality), corpus(arrays)).values
    assert_scores(values, RESULTS[f"{modality}_logits"])
    if modality == "visual":
        assert_scores(values, RESULTS["visual_log_probabilities"])


def test_fused_logits_score_as_those_of_the_evaluator(arrays):
    fused = late_fusion([predictions(arrays, "visual"), predictions(arrays, "audio")[::-1]], "logits")
    assert_scores(score(fused, corpus(arrays)).values, RESULTS["fused_logits_mean"])
    means = {kind: (arrays[f"visual/{kind}"].astype(float) + arrays[f"audio/{kind}"]) / 2 for kind in ("verb", "noun")}
    for kind, logits in means.items():
        np.testing.assert_allclose([row.scores[kind] for row in fused], softmax(logits), rtol=1e-5, atol=1e-9)


def test_fused_probabilities_score_as_those_of_the_evaluator(arrays):
    """The evaluator adds the probabilities that it gets; ours multiplies them, so that its top 5 of actions differ."""
    fused = late_fusion([predictions(arrays, "visual"), predictions(arrays, "audio")])
    expected = RESULTS["fused_probabilities_mean"]
    values = score(fused, corpus(arrays)).values
    assert_scores(values, expected, actions=False)
    assert values["action_top1"] == pytest.approx(100 * expected["all"]["action"][0], abs=1e-9)
    assert values["joint_action_top5"] > 100 * expected["all"]["action"][1] + 1
    verb, noun = (np.exp(np.stack([row.scores[kind] for row in fused]).astype(float)) for kind in ("verb", "noun"))
    ranks = joint_ranks(verb, noun, arrays["verb"], arrays["noun"])
    assert [(ranks < k).mean() for k in (1, 5)] == pytest.approx(expected["all"]["action"])


def test_a_class_set_of_one_model_and_a_single_model_stay_as_they_are():
    first = [Prediction(id="a", scores={"verb": np.array([0.9, 0.1], np.float32)})]
    second = [Prediction(id="a", scores={"noun": np.array([0.3, 0.7], np.float32)})]
    (fused,) = late_fusion([first, second], "logits")
    assert (fused.scores["verb"].tolist(), fused.scores["noun"].tolist()) == (
        first[0].scores["verb"].tolist(),
        second[0].scores["noun"].tolist(),
    )
    assert late_fusion([first], "logits") == first


def test_logits_of_impossible_classes_are_finite():
    runs = [[Prediction(id="a", scores={"x": np.array(row, np.float32)})] for row in ([1, 0, 0], [0, 1, 0])]
    (fused,) = late_fusion(runs, "logits")
    np.testing.assert_allclose(fused.scores["x"], [0.5, 0.5, 0], atol=1e-6)


def test_the_submission_is_the_official_writers(arrays):
    expected = RESULTS["submission"]
    verb, noun = (arrays[f"visual/{kind}"][:2].astype(np.float64) for kind in ("verb", "noun"))
    text = json.dumps(submission(expected["ids"], verb, noun, expected["ids"]))
    assert text.startswith(expected["first_150_characters"])
    assert len(text) == expected["bytes"]
    assert hashlib.sha256(text.encode()).hexdigest() == expected["sha256_of_json"]


def test_the_server_ranks_actions_by_the_product_of_probabilities(arrays):
    verb, noun = softmax(arrays["visual/verb"]), softmax(arrays["visual/noun"])
    ids = [segment.id for segment in corpus(arrays).segments]
    rows = submission(ids, log_probabilities(verb), log_probabilities(noun), ids)["results"].values()
    sums = [np.add.outer(list(row["verb"].values()), list(row["noun"].values())).ravel() for row in rows]
    targets = arrays["verb"].astype(int) * 300 + arrays["noun"]
    ranks = [(row > row[target]).sum() for row, target in zip(sums, targets, strict=True)]
    assert [np.mean(np.array(ranks) < k) for k in (1, 5)] == pytest.approx(RESULTS["visual_logits"]["all"]["action"])
    values = epic_scores(verb, noun, arrays["verb"].astype(int), arrays["noun"].astype(int))
    assert values["joint_action_top5"] == pytest.approx(100 * np.mean(np.array(ranks) < 5))


def test_probabilities_are_not_submitted(arrays):
    verb, noun = (softmax(arrays[f"visual/{kind}"][:2]) for kind in ("verb", "noun"))
    with pytest.raises(DataError, match="verb scores are probabilities, which the server would add up"):
        submission(["a", "b"], verb, noun, ["a", "b"])
    with pytest.raises(DataError, match="submission: noun: row 0"):
        submission(["a", "b"], np.log(verb), np.full((2, 300), np.nan), ["a", "b"])
