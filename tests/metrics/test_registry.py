"""Titles, digits and directions of metrics."""

from dataclasses import replace

import pytest
import tiny

from slowfast_cli.metrics.registry import METRICS, Metric, find_metric, format_metric
from slowfast_cli.stages.train.run_folder import lines


@pytest.mark.parametrize(
    ("name", "title"), [("top1", "Top-1"), ("unseen_verb_top1", "Unseen Verb Top-1"), ("noun_map", "Noun mAP")]
)
def test_a_metric_of_a_label_set_follows_its_last_word(name, title):
    assert find_metric(name).title == title
    assert find_metric(name).digits == METRICS[name.split("_")[-1]].digits


def test_values_have_the_digits_of_their_metric():
    assert [format_metric(name, 0.5) for name in ("top1", "map")] == ["0.50", "0.500"]
    assert format_metric("top1", None) == ""


@pytest.mark.parametrize(("higher", "better"), [(True, [True, True, False]), (False, [True, False, True])])
def test_direction(higher, better):
    metric = Metric(title="x", higher_is_better=higher)
    assert [metric.better(1.0, None), metric.better(2.0, 1.0), metric.better(0.5, 1.0)] == better
    assert not metric.better(float("nan"), None)
    assert not metric.better(1.0, 1.0)


def test_a_training_keeps_the_weights_with_the_lowest_value(tmp_path, sounds, monkeypatch):
    """The same run with both directions of one metric keeps its extremes."""
    kept = {}
    for higher in (True, False):
        run = tmp_path / str(higher)
        words = [f"data.root={sounds}", *tiny.WORDS, "schedule.epochs=4", "schedule.validate_every=1", "metric=map"]
        monkeypatch.setitem(METRICS, "map", replace(METRICS["map"], higher_is_better=higher))
        done = tiny.good("train", "folder", *words, "--run", run)
        values = [line["val_map"] for line in lines(run / "metrics.jsonl") if "val_map" in line]
        marked = [line for line in done.err.splitlines() if " (best)" in line]
        kept[higher] = values, len(marked)
        assert (run / "best.safetensors").is_file()
    (values, up), (again, down) = kept[True], kept[False]
    assert values == again
    records = [
        [value for i, value in enumerate(values) if all(sign * value > sign * v for v in values[:i])]
        for sign in (1, -1)
    ]
    assert [up, down] == [len(each) for each in records]
    assert max(up, down) > 1
