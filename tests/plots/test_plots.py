"""Every figure is written, has a reasonable size, and contains the expected texts."""

import importlib
import itertools
import math
import sys
from dataclasses import replace
from pathlib import Path

import librosa
import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

from slowfast_cli.metrics.calibration import Calibration, calibration
from slowfast_cli.metrics.interval import confusions
from slowfast_cli.metrics.per_class import ClassRow, Gain, gains
from slowfast_cli.plots import canvas, feature_maps, per_class, reliability
from slowfast_cli.plots.canvas import drawable
from slowfast_cli.plots.class_bars import RELATIVE, class_bars_plot
from slowfast_cli.plots.comparison import Side, comparison_plot
from slowfast_cli.plots.confused_pairs import confused_pairs_plot
from slowfast_cli.plots.confusion import confusion_plot
from slowfast_cli.plots.curves import _best_step, curves_plot
from slowfast_cli.plots.feature_maps import Channel, MapRow, feature_maps_plot, most_varied_channel
from slowfast_cli.plots.per_class import per_class_plot
from slowfast_cli.plots.reliability import calibration_plot, precision_recall_plot


@pytest.fixture
def words(monkeypatch):
    """All texts of the saved figures, including tick labels."""
    texts = []

    def record(figure):
        for artist in figure.findobj(lambda a: hasattr(a, "get_text")):
            texts.append(artist.get_text())

    original = canvas.Figure.savefig
    monkeypatch.setattr(canvas.Figure, "savefig", lambda self, *a, **k: (original(self, *a, **k), record(self))[0])
    return texts


@pytest.fixture
def figures(monkeypatch):
    """The saved figures."""
    found = []
    original = canvas.Figure.savefig
    monkeypatch.setattr(
        canvas.Figure, "savefig", lambda self, *a, **k: (original(self, *a, **k), found.append(self))[0]
    )
    return found


def read_png(path):
    with Image.open(path) as image:
        assert image.format == "PNG"
        pixels = np.asarray(image.convert("L"))
    assert pixels.std() > 1  # something is drawn
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    assert (border > 250).all()  # nothing is cut off at the edges
    return pixels


def rows(count):
    return [
        ClassRow(index=i, name=f"class number {i}", count=i % 5, accuracy=100 * i / count, top5=100.0, ap=0.5, auc=0.5)
        for i in range(count)
    ]


def test_no_pyplot():
    assert not any(name.startswith("slowfast_cli.plots") and hasattr(m, "plt") for name, m in sys.modules.items())


@pytest.mark.parametrize(("classes", "low", "high"), [(2, 300, 900), (10, 1000, 1600), (60, 900, 2500)])
def test_confusion(tmp_path, words, classes, low, high):
    names = [f"class number {i}" for i in range(classes)]
    counts = np.eye(classes, dtype=int) * 3
    counts[0, 1] = 1
    counts[1] = 0  # no segment of that class
    path = confusion_plot(counts, names, tmp_path / "new" / "confusion.png", title="fold 1")
    assert low < read_png(path).shape[1] < high
    assert set(names) <= set(words)
    assert "fold 1" in words
    assert {"3", "1"} <= set(words) or classes > 25


def test_confused_classes_stand_together(tmp_path, words):
    """Two interleaved groups of 35 classes, confused within each."""
    group = np.arange(70) % 2
    counts = 9 * np.eye(70, dtype=int) + (group[:, None] == group[None])
    read_png(confusion_plot(counts, [f"{'ab'[g]}{i}" for i, g in enumerate(group)], tmp_path / "confusion.png"))
    names = list(dict.fromkeys(word for word in words if word[:1] in ("a", "b") and word[1:].isdigit()))
    assert len(names) == 70
    assert sum(one[0] != two[0] for one, two in itertools.pairwise(names)) == 1


def test_confused_pairs(tmp_path, words):
    counts = np.array([[8, 2, 0], [1, 4, 0], [0, 0, 3]])
    pairs = confusions(counts, ["dog", "rooster", "rain"])
    read_png(confused_pairs_plot(pairs, tmp_path / "confused.png", title="fold 1"))
    assert {"dog → rooster", "2 of 10", "rooster → dog", "1 of 5", "fold 1"} <= set(words)
    read_png(confused_pairs_plot([], tmp_path / "none.png"))
    assert "none" in words


def test_calibration(tmp_path, words):
    rng = np.random.default_rng(0)
    scores = rng.dirichlet(np.ones(3), 500)
    targets = np.array([rng.choice(3, p=row) for row in scores])
    found = calibration(scores, targets)
    assert found.counts.sum() == 500
    assert found.error < 0.06  # drawn from the scores themselves
    assert calibration(np.sqrt(scores) / np.sqrt(scores).sum(1, keepdims=True), targets).error > 0.1
    read_png(calibration_plot(found, tmp_path / "calibration.png", title="fold 1"))
    assert {f"calibration error {100 * found.error:.1f} %", "score of the answer, %", "fold 1"} <= set(words)


def test_bins_with_few_answers_are_hollow(tmp_path, figures, words):
    found = Calibration(
        scores=np.array([0.35, 0.399, 0.62]), right=np.array([0.2, 0.5, 1.0]), counts=np.array([12, 10, 9])
    )
    read_png(calibration_plot(found, tmp_path / "calibration.png"))
    curve, bars = figures[0].axes
    fills = {
        tuple(np.round(line.get_xdata(), 3)): line.get_markerfacecolor()
        for line in curve.lines
        if line.get_marker() == "o"
    }
    assert fills == {(35, 39.9): canvas.COLORS[0], (62,): "white"}
    assert "fewer than 10 answers" in words
    assert [bar.get_facecolor()[:3] == (1, 1, 1) for bar in bars.patches] == [False, False, True]
    assert [bar.get_x() + bar.get_width() / 2 for bar in bars.patches] == pytest.approx([35, 35, 65])  # of the bins
    words.clear()
    read_png(calibration_plot(replace(found, counts=np.array([12, 10, 90])), tmp_path / "many.png"))
    assert "fewer than 10 answers" not in words


def test_precision_and_recall(tmp_path, words):
    scores, targets = np.array([[0.9, 0.2], [0.8, 0.7], [0.1, 0.7]]), np.array([[1, 0], [0, 1], [1, 0]])
    recall, precision = reliability._curve(scores[:, 0], targets[:, 0])
    assert recall == pytest.approx([50, 50, 100])
    assert precision == pytest.approx([100, 50, 200 / 3])
    read_png(precision_recall_plot(scores, targets, ("run", "sit"), tmp_path / "pr.png", title="charades test"))
    assert {"all 2 classes", "run", "sit", "recall, %", "charades test"} <= set(words)


@pytest.mark.thorough
def test_confusion_of_309_classes_shows_all_names(tmp_path, words):
    names = [f"vgg class {i}" for i in range(309)]
    path = confusion_plot(np.eye(309, dtype=int), names, tmp_path / "c.png")
    assert set(names) <= set(words)
    assert 3000 < Image.open(path).size[0] < 6000
    assert path.stat().st_size < 4_000_000


@pytest.mark.thorough
@pytest.mark.parametrize(("classes", "high"), [(1, 900), (10, 900), (309, 1500)])
def test_per_class(tmp_path, words, classes, high):
    path = per_class_plot(rows(classes), tmp_path / "p.png")
    assert path.stat().st_size > 1000
    if classes > 1:
        assert read_png(path).shape[1] < high
    shown = {row.name for row in rows(classes) if row.count}
    if classes < 2 * per_class.ROWS:
        assert shown <= set(words)
        assert f"{len(shown)} classes" in words
    else:
        assert len(shown & set(words)) == 2 * per_class.ROWS
        assert f"the 62 best and the 62 worst of {len(shown)} classes" in words
    assert "class number 0" not in words  # without segments


@pytest.mark.parametrize(("left", "right"), [(0, 0), (1, 0), (12, 5), (90, 3)])
def test_comparison(tmp_path, words, left, right):
    sides = [
        Side(
            model=model,
            min_gain=min_gain,
            gains=[Gain(name=f"{model} class {i}", better=90.0, worse=60.0 - i / 2) for i in range(count)],
        )
        for model, min_gain, count in (("slow", 20, left), ("fast", 10, right))
    ]
    read_png(comparison_plot(*sides, tmp_path / "cmp.png"))
    assert any(word.startswith(f"slow is better: {left} class") for word in words)
    assert any(word.endswith("by more than 10 points") for word in words)
    if left == 12:
        assert {"slow class 11", "fast class 4", "+30"} <= set(words)
    if left == 90:
        assert "accuracy, % (30 more)" in words
        assert "slow class 60" not in words


@pytest.mark.parametrize(("left", "right", "panels"), [(0, 0, 0), (1, 0, 1), (0, 2, 1), (3, 1, 2)])
def test_comparison_of_few_classes_has_no_empty_panel(tmp_path, figures, left, right, panels):
    sides = [
        Side(model=model, min_gain=5, gains=[Gain(name=f"{i}", better=90.0, worse=60.0) for i in range(count)])
        for model, count in (("slow", left), ("fast", right))
    ]
    pixels = read_png(comparison_plot(*sides, tmp_path / "cmp.png"))
    assert [len(axes.get_yticks()) for axes in figures[0].axes] == [count for count in (left, right) if count]
    assert len(figures[0].axes) == panels
    assert pixels.shape[0] < canvas.DPI * (0.2 * max(left, right) + 1.7)  # as high as its rows and titles


@pytest.mark.parametrize("samples", [1, 3])
def test_feature_maps(tmp_path, words, samples):
    rng = np.random.default_rng(0)
    map_rows = [
        MapRow(
            title=f"sample {i}",
            logmel=rng.normal(size=(512, 128)),
            maps={
                "slow res3": Channel(number=7, values=rng.random((128, 32))),
                "slow res5": Channel(number=0, values=np.zeros((128, 8))),
            },
            seconds=5.12,
            mel_bounds=(0, 8000),
            htk=True,
        )
        for i in range(samples)
    ]
    pixels = read_png(feature_maps_plot(map_rows, tmp_path / "maps.png"))
    assert 1300 < pixels.shape[1] < 1500  # the width of a page
    assert {"slow res3", "slow res5", "input, Hz", "time, s", "1024", "4096", "512"} <= set(words)
    assert {f"sample {i}" for i in range(samples)} <= set(words)
    assert "channel 0: 0 to 1" in words
    assert any(word.startswith("channel 7: 0.0") for word in words)


@pytest.mark.parametrize("stages", [1, 4])
def test_feature_maps_are_wider_than_the_gaps_between_them(tmp_path, figures, stages):
    maps = {f"slow res{i}": Channel(number=i, values=np.eye(8)) for i in range(stages)}
    row = MapRow(title="drum", logmel=np.eye(64), maps=maps, seconds=0.8, mel_bounds=(0, 8000), htk=True)
    feature_maps_plot([row], tmp_path / "maps.png")
    boxes = [axes.get_position() for axes in figures[0].axes]
    gaps = [right.x0 - left.x1 for left, right in itertools.pairwise(boxes)]
    assert max(gaps) < 0.15 * min(box.width for box in boxes)
    assert min(gaps) > 0


def test_a_tone_is_drawn_at_its_frequency(tmp_path, monkeypatch):
    """The bright row of a spectrogram with energy in one mel band covers that band's center on the axis in Hz."""
    drawn = []
    monkeypatch.setattr(feature_maps, "save", lambda fig, path: drawn.append(fig))
    logmel = np.full((100, 64), -10.0)
    logmel[:, 40] = 0
    row = MapRow(title="tone", logmel=logmel, maps={}, seconds=1, mel_bounds=(50, 7000), htk=False)
    feature_maps_plot([row], tmp_path / "maps.png")
    (axes,) = drawn[0].axes
    (mesh,) = axes.collections
    edges = mesh.get_coordinates()[:, 0, 1]
    center = librosa.mel_frequencies(66, fmin=50, fmax=7000, htk=False)[41]
    assert edges[40] < center < edges[41]
    assert mesh.get_array().reshape(64, 100)[:, 0].argmax() == 40
    assert axes.get_xlim() == (0, 1)


def test_most_varied_channel():
    features = np.zeros((4, 5, 6))
    features[2] = np.random.default_rng(0).normal(size=(5, 6))
    features[3] = 100  # high but constant
    channel = most_varied_channel(features)
    assert channel.number == 2
    np.testing.assert_array_equal(channel.values, features[2])


def test_curves(tmp_path, words):
    """Names, not keys; epochs, not steps; both losses in one panel; of equal scores the lower loss is best."""
    records = [{"step": i, "loss": 4.0 / i, "lr": 0.01, "epoch": i / 20, "note": "x"} for i in range(1, 201)]
    for epoch, top1, loss in ((4, 50.0, 1.0), (6, 50.0, 0.8), (8, 50.0, 0.9), (10, 40.0, 0.7)):
        scores = {"val_loss": loss, "val_top1": top1, "val_top5": 70.0, "val_map": math.nan, "val_auc": 0.9}
        records.append({"step": 20 * epoch, "epoch": epoch, **scores})
    read_png(curves_plot(records, tmp_path / "curves.png", title="a run", metric="top1"))
    assert {"loss", "training", "validation", "accuracy, %", "Top-1", "Top-5", "learning rate", "a run"} <= set(words)
    assert {"best 50.00", "epoch"} <= set(words)
    assert _best_step([record for record in records if "val_top1" in record], "top1") == 1
    assert not {"val_top1", "lr", "step", "mAP"} & set(words)


@pytest.mark.parametrize("infinity", [math.inf, None])
def test_curves_that_say_nothing_are_left_out(tmp_path, words, infinity):
    """A Top-5 of at most five classes, and a d' that is mostly infinite; single infinite values are skipped."""
    infinite = {1: 1.0, 2: 1.5, 3: infinity, 4: infinity, 5: infinity}  # None: of metrics.jsonl
    records = [
        {
            "step": i,
            "val_top1": 10.0 * i,
            "val_top5": 100.0,
            "val_dprime": infinite[i],
            "val_map": [0.1, math.nan][i == 3],
        }
        for i in range(1, 6)
    ]
    read_png(curves_plot(records, tmp_path / "curves.png"))
    assert {"Top-1", "mAP, AUC"} <= set(words)
    assert not {"Top-5", "d'"} & set(words)


@pytest.mark.parametrize(("panels", "rows"), [(1, [1]), (2, [2]), (3, [3]), (4, [2, 2]), (5, [3, 2]), (6, [3, 3])])
def test_curves_have_no_empty_cells(tmp_path, figures, panels, rows):
    keys = ("loss", "lr", "val_top1", "val_map", "val_dprime", "val_other")[:panels]
    read_png(curves_plot([{"step": s, **dict.fromkeys(keys, 1.0 / s)} for s in (1, 2, 3)], tmp_path / "curves.png"))
    boxes = [axes.get_position() for axes in figures[0].axes]
    assert [sum(box.y0 == y for box in boxes) for y in sorted({box.y0 for box in boxes}, reverse=True)] == rows
    ends = {max(box.x1 for box in boxes if box.y0 == y) for y in {box.y0 for box in boxes}}
    assert max(ends) - min(ends) < 0.01  # every row ends at the right margin
    assert len({axes.get_xlim() for axes in figures[0].axes}) == 1  # the same time in all panels


def test_curves_of_a_short_training_are_drawn_over_steps(tmp_path, words):
    read_png(curves_plot([{"step": s, "epoch": s / 9, "loss": 1.0} for s in (1, 2)], tmp_path / "short.png"))
    assert "step" in words


def test_curves_of_many_metrics_and_of_none(tmp_path, words):
    records = [{"step": s, **{f"val_{i}_top1": 1.0 * s for i in range(12)}} for s in (1, 2)]
    read_png(curves_plot(records, tmp_path / "many.png"))
    assert "the first 8 of 12" in words
    read_png(curves_plot([], tmp_path / "none.png"))
    assert "nothing recorded yet" in words


def precisions(values):
    return [
        ClassRow(
            index=i, name=f"action {i}", count=i + 1, accuracy=math.nan, top5=math.nan, ap=value / 100, auc=math.nan
        )
        for i, value in enumerate(values)
    ]


@pytest.mark.parametrize("classes", [8, 130])
def test_class_bars_mark_the_largest_gains(tmp_path, words, classes, monkeypatch):
    labels = {}

    def record(figure):
        for axes in figure.axes:
            for label in axes.get_yticklabels():
                labels[label.get_text()] = (label.get_fontweight(), label.get_color())

    original = canvas.Figure.savefig
    monkeypatch.setattr(canvas.Figure, "savefig", lambda self, *a, **k: (original(self, *a, **k), record(self))[0])
    theirs = [40.0] * classes
    theirs[6], theirs[7] = 1.0, 0.0
    ours = [*(40.0 + (i + 1) for i in range(6)), 3.0, 1.0, *([40.0] * (classes - 8))]
    read_png(class_bars_plot(precisions(ours), precisions(theirs), tmp_path / "bars.png", models=("av", "v")))
    bold = {name for name, (weight, _) in labels.items() if weight == "bold"}
    orange = {name for name, (_, color) in labels.items() if color == RELATIVE}
    assert bold == {f"action {i}" for i in range(1, 6)}
    assert orange == {"action 6", *(f"action {i}" for i in range(2, 6))}  # the last class has no ratio
    assert {"av", "v", "average precision, %", f"{classes} classes", "+6.0"} <= set(words)


def test_all_texts_have_the_color_of_the_style(tmp_path, figures):
    """Also those that matplotlib draws black by default: legends, color bars and tick labels."""
    counts = np.array([[8, 2], [1, 4]])
    confusion_plot(counts, ["dog", "rain"], tmp_path / "a.png", title="t")
    scores = np.array([[0.9, 0.1], [0.2, 0.8]])
    calibration_plot(calibration(scores, np.array([0, 1])), tmp_path / "b.png")
    class_bars_plot(precisions([1, 2]), precisions([2, 1]), tmp_path / "c.png")
    texts = [text for fig in figures for text in fig.findobj(Text) if text.get_text()]
    assert len(texts) > 20
    assert not [text.get_text() for text in texts if text.get_color() in ("black", "k")]


def test_growth_is_drawn_from_its_table_alone(tmp_path, figures, words, monkeypatch):
    """Every measured point is drawn, connected, on logarithmic axes with plain numbers."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    growth = importlib.import_module("growth")
    costs, cores = growth.read(growth.FIGURES)
    read_png(growth.draw(tmp_path / "growth.png", costs, cores))
    lines = {line.get_label(): line for line in figures[0].axes[0].lines}
    for stage, measured in growth.by_stage(costs).items():
        assert list(lines[stage].get_xdata()) == [each.recordings for each in measured]
        assert list(lines[stage].get_ydata()) == [each.cpu for each in measured]
        assert lines[stage].get_linestyle() == "-"
        assert len(measured) >= 7
    assert {"1,000", "10,000", "100,000", "50", "memory of all processes, MB", f"by corpus size, {cores} cores"} <= {
        *words, *(word.partition("memory ")[2] for word in words)
    }  # fmt: skip
    growth.write(tmp_path / "again.csv", costs, cores)
    assert (tmp_path / "again.csv").read_text() == growth.FIGURES.read_text()


def test_average_precision_is_labeled(tmp_path, words):
    read_png(per_class_plot(precisions([10, 20, 30]), tmp_path / "p.png"))
    side = Side(
        model="av",
        gains=gains(precisions([30.0]), precisions([10.0]), 2, unit="ratio"),
        min_gain=2,
        unit="ratio",
        measure="average precision",
    )
    read_png(comparison_plot(side, replace(side, model="v", gains=()), tmp_path / "c.png"))
    assert {"average precision, %", "av is better: 1 class more than 2 times as good", "3.00×"} <= set(words)


def test_names_of_any_script_are_drawn_literally(tmp_path, recwarn):
    names = ["雨", "a$b$", "\U000f0000", "собака"]
    confusion_plot(np.eye(4, dtype=int), names, tmp_path / "a.png", title="50 $ and _{x}$")
    assert not [warning for warning in recwarn if "lyph" in str(warning.message)]
    assert drawable("собака") == "собака"
    assert drawable("\U000f0000") == "\\U000f0000"
