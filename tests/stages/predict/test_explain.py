"""``predict --explain``: a picture of what speaks for a class, for sounds and for videos."""

import numpy as np
import pytest
import tiny
from PIL import Image

from slowfast_cli.stages.predict.explain import explain
from slowfast_cli.stages.predict.predictor import Predictor


def test_the_map_of_a_bark_lies_where_it_barks():
    found = explain(Predictor(), tiny.DATA / "dog.ogg")
    logmel, heat = found.signals["logmel"], found.maps["logmel"]
    assert (found.label, heat.shape, float(heat.max())) == ("dog", logmel.shape, 1.0)
    loud = logmel.mean(1) > logmel.mean(1).mean()
    assert heat[loud].mean() > 3 * heat[~loud].mean()


def test_the_picture_is_written_and_another_class_has_another_one(tmp_path):
    for name in ("dog", "rain"):
        done = tiny.good(
            "predict", tiny.DATA / "dog.ogg", "--explain", tmp_path / f"{name}.png", "--explain-class", name
        )
        assert f"drawn: {tmp_path / name}.png" in done.err
    dog, rain = (np.asarray(Image.open(tmp_path / f"{name}.png").convert("L"), float) for name in ("dog", "rain"))
    assert dog.shape[1] > 1000
    assert dog.shape != rain.shape or np.abs(dog - rain).mean() > 0.5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--explain", "why.jpg"], "--explain why.jpg: expected a file that ends in .png"),
        (["--explain-class", "dog"], "--explain-class dog: is about --explain OUT.png: add it"),
        (["--explain", "why.png", "--explain-class", "dg"], "--explain-class dg: no such class; did you mean 'dog'?"),
    ],
)
def test_wrong_options_are_refused(words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = tiny.slowfast("predict", tiny.DATA / "dog.ogg", *words)
    assert (done.code, message in done.err) == (2, True)
