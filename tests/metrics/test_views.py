"""Multi-view testing: predictions of clips, merged and scored, equal the reference's test meter."""

import numpy as np
import pytest

from slowfast_cli.metrics.predictions import merge
from slowfast_cli.metrics.ranking import ranking_scores
from slowfast_cli.metrics.topk import topk_accuracy
from slowfast_cli.types import Prediction


@pytest.fixture(scope="module")
def views(golden):
    clips = golden["views/clip_preds"]
    per_audio = clips.shape[1]
    return [
        Prediction(id=str(i // per_audio), scores={"label": clips[i // per_audio, i % per_audio]})
        for i in golden["views/order"]
    ]


def merged_rows(views, how):
    by_id = {p.id: p.scores["label"] for p in merge(views, how)}
    return np.stack([by_id[str(i)] for i in range(60)])


@pytest.mark.parametrize(("how", "key"), [("mean", "sum"), ("max", "max")])
def test_merged_views_equal_the_reference(golden, results, views, how, key):
    scores, labels = merged_rows(views, how), golden["views/labels"]
    scale = 10 if how == "mean" else 1  # the reference sums
    np.testing.assert_allclose(scores * scale, golden[f"views/{key}/audio_preds"], rtol=1e-6, atol=1e-6)
    got = topk_accuracy(scores, labels)
    assert got["top1"] == pytest.approx(results[f"views_{key}"]["top1_acc"], abs=0.0051)
    assert got["top5"] == pytest.approx(results[f"views_{key}"]["top5_acc"], abs=0.0051)


def test_map_over_classes_with_positives(golden, results, views):
    expected = results["views_sum_stats_of_classes_present"]
    for scores in (golden["views/sum/audio_preds"], merged_rows(views, "mean")):
        got = ranking_scores(scores, golden["views/labels"])
        assert got["map"] == pytest.approx(expected["mAP"], abs=1e-9)
        assert got["auc"] == pytest.approx(expected["AUC"], abs=1e-9)
    assert got["ranked_classes"] == len(np.unique(golden["views/labels"]))
