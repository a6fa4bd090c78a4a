"""VGGSounder scores against those of the package, on its own labels."""

import json
from pathlib import Path

import numpy as np
import pytest

from slowfast_cli.corpora import labels, lists, vggsounder
from slowfast_cli.metrics.vggsounder import SUBSETS, modality_confusion, multilabel_scores, subset_scores, top_k

ASSETS = Path(__file__).parents[1] / "assets"
METRICS = ASSETS / "reference" / "metrics"
OFFICIAL = json.loads((METRICS / "vggsounder.json").read_text())
ANNOTATIONS = vggsounder.read(ASSETS / "lists/vggsounder/vggsounder+background-music.160clips.csv")
INDEX = labels.indices("vggsound")


def truth(subset):
    return np.isin(ANNOTATIONS.modality, [vggsounder.MODALITIES.index(modality) for modality in SUBSETS[subset]])


@pytest.fixture(scope="module")
def logits():
    """By modality, in our order of clips and classes."""
    order = np.argsort([INDEX[row["display_name"]] for _, row in lists.rows(ASSETS / "lists/vggsounder/classes.csv")])
    with np.load(METRICS / "vggsounder.npz") as file:
        clips = file["clips"].tolist()
        rows = [clips.index(id_) for id_ in ANNOTATIONS.ids]
        found = {name: file[f"logits_{name}"].astype(np.float64)[rows][:, order] for name in ("a", "v", "av")}
    return found, np.array(rows)


@pytest.fixture(scope="module")
def named():
    """By modality, whether a class is named; a clip that is not listed has none."""
    listed = json.loads((METRICS / "vggsounder_predictions.json").read_text())
    chosen = {name: np.zeros(ANNOTATIONS.modality.shape, bool) for name in ("a", "v", "av")}
    for id_, clip in listed.items():
        row = ANNOTATIONS.ids.index(id_.removesuffix(".mp4"))
        for name, classes in clip["predictions"].items():
            chosen[name][row, [INDEX[class_] for class_ in classes]] = True
    return chosen


def test_the_subsets_have_the_packages_clips():
    assert {name: int(truth(name).any(axis=1).sum()) for name in SUBSETS} == OFFICIAL["clips_of_each_subset"]


@pytest.mark.parametrize("case", [case for case in OFFICIAL["results"] if case.startswith("logits")])
def test_scores_of_logits_equal_the_packages(logits, case):
    arrays, rows = logits
    kept = {
        "logits_all_clips": rows >= 0,
        "logits_without_background_music": ~ANNOTATIONS.music,
        "logits_seventh_clips_missing": rows % 7 != 3,
    }[case]
    tops = [top_k(arrays[name][kept], 1) for name in ("a", "v", "av")]
    confusion = modality_confusion(truth("all")[kept], *tops)
    for subset, expected in OFFICIAL["results"][case].items():
        modality = subset.removesuffix(" only")
        got = dict(subset_scores(arrays[modality][kept], truth(subset)[kept]).values)
        got |= {"mu": confusion[subset]} if subset in confusion else {}
        assert got == pytest.approx(expected, abs=1e-9), subset


def test_scores_of_named_classes_equal_the_packages(named):
    confusion = modality_confusion(truth("all"), named["a"], named["v"], named["av"])
    for subset, expected in OFFICIAL["results"]["predictions_all_clips"].items():
        truth_NC, inside_N = truth(subset), truth(subset).any(axis=1)
        got = multilabel_scores(truth_NC[inside_N], named[subset.removesuffix(" only")][inside_N])
        got |= {"mu": confusion[subset]} if subset in confusion else {}
        assert got == pytest.approx(expected, abs=1e-9), subset


def test_of_equal_scores_the_later_class_wins():
    assert top_k(np.array([[0.5, 0.5, 0.1], [0.0, 0.0, 0.0]]), 1).tolist() == [
        [False, True, False],
        [False, False, True],
    ]


def test_nothing_to_score():
    assert subset_scores(np.ones((2, 3)), np.zeros((2, 3), bool)).clips == 0
    none = np.zeros((1, 2), bool)
    assert set(multilabel_scores(none, none).values()) == {0.0, 1.0}  # equal sets: only the accuracy is 1
