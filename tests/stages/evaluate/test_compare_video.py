"""Two models of Charades and of AVA, class by class: average precision where several classes hold at once."""

import csv
import json
import math

import numpy as np
import pytest
import tiny
import tiny_video

from slowfast_cli.build.corpus import read_corpus
from slowfast_cli.recipe.load import check, read
from slowfast_cli.stages.evaluate.predictions import load_tables

pytestmark = pytest.mark.thorough
SPARE = {
    "charades-av": ["model.variant=avslowfast-16x8-r101", "optim.batch=2"],
    "ava-av": ["data.val=val", "optim.batch=2"],
}
NAMES = list(SPARE)
CLASSES = {"charades-av": 157, "ava-av": 60}


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """A pair of runs of each recipe, the second compared with the first; what was written, and what was said."""
    clips = tiny_video.render(tmp_path_factory.mktemp("clips") / "rendered")
    made = {}

    def run(name):
        if name not in made:
            made[name] = pair(name, tiny_video.MAKERS[name](tmp_path_factory.mktemp(name) / "root", clips))
        return made[name]

    def pair(name, root):
        words = [name, *tiny_video.SMALL, *tiny_video.SCRATCH, *SPARE[name], f"data.root={root}"]
        runs = root.parent / "one", root.parent / "two"
        for run, seed in zip(runs, (0, 3), strict=True):
            tiny.good("train", *words, f"seed={seed}", "--run", run)
        plain = tiny.good("evaluate", runs[0], "--json", "--no-plots")
        points = tiny.good("evaluate", runs[1], "--compare", runs[0], "--min-gain", 1)
        return root, runs, plain, points

    return run


def written(run):
    return run / "evaluation" / "test"


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("name", NAMES)
def test_the_table_of_classes_is_one_of_average_precision(name, compared):
    _, (one, _), plain, _ = compared(name)
    rows = table(written(one) / "classes-label.csv")
    assert len(rows) == CLASSES[name]
    assert {row["accuracy"] for row in rows} == {"nan"}
    held = [float(row["ap"]) for row in rows if int(row["count"])]
    assert all(math.isnan(float(row["ap"])) for row in rows if not int(row["count"]))
    assert 0 < len(held) < len(rows)
    scores = json.loads(plain.out)["scores"]
    assert np.mean(held) == pytest.approx(scores["map"], abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_gains_are_reported_and_drawn_in_points_and_by_ratio(name, compared):
    _, (one, two), _, points = compared(name)
    assert "label: classes that one model does better by more than 1 point" in points.out
    ap = [{row["name"]: float(row["ap"]) for row in table(written(run) / "classes-label.csv")} for run in (one, two)]
    reported = tiny.good("evaluate", two, "--compare", one, "--min-gain", 1, "--json", "--no-plots")
    found = json.loads(reported.out)["compared"]["label"]
    assert {gain["name"] for gain in found["better"]} == {each for each in ap[0] if ap[1][each] - ap[0][each] > 0.01}
    assert {gain["name"] for gain in found["worse"]} == {each for each in ap[0] if ap[0][each] - ap[1][each] > 0.01}
    assert found["better"] or found["worse"]
    for gain in (*found["better"], *found["worse"]):
        assert gain["points"] == pytest.approx(gain["better"] - gain["worse"])
    files = {path.name for path in written(two).glob("*.png")}
    assert {"bars-label.png", "comparison-label.png", "classes-label.png", "feature-maps.png"} <= files
    assert ("precision-recall-label.png" in files) == name.startswith("charades")  # boxes have no targets
    assert not {"confusion-label.png", "confused-label.png", "calibration-label.png"} & files
    reported = tiny.good(
        "evaluate", two, "--compare", one, "--gain-unit", "ratio", "--min-gain", 1.01, "--out", two / "ratio"
    )
    assert "by more than 1.01 times" in reported.out
    assert (two / "ratio" / "comparison-label.png").is_file()


def test_boxes_keep_their_places_and_their_scores_on_disk(compared):
    root, (one, _), plain, _ = compared("ava-av")
    path = written(one) / "predictions.npz"
    recipe = check(read(str(one / "recipe.yaml")))
    corpus = read_corpus(recipe, "test")
    with np.load(path) as file:
        assert file["places"].shape == (len(file["ids"]), 4)
        assert {tuple(place) for place in file["places"]} == {
            box.place for segment in corpus.segments for box in segment.boxes
        }
    held = [row.ap for row in load_tables(path, corpus)["label"] if row.count]
    assert np.mean(held) == pytest.approx(json.loads(plain.out)["scores"]["map"], abs=1e-9)
    assert root.is_dir()
