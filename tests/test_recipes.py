"""Every bundled recipe and every row of its tables loads and assembles."""

import pytest

from slowfast_cli.build import schedule
from slowfast_cli.build.corpus import dataset_entry, head_sizes
from slowfast_cli.build.network import architecture
from slowfast_cli.models.recognizer import Recognizer
from slowfast_cli.recipe.load import bundled, check, load, read
from slowfast_cli.stages import ablate
from slowfast_cli.stages.train import dry_run

NAMES = list(bundled())
ROWS = [(name, table, row) for name in NAMES for table, rows in check(read(name)).tables.items() for row in rows]
# By recipe and row: what, ours, and why the printed number is another.
NOT_REPRODUCED = {
    ("kinetics", "Fast-only"): ("gflops", 6.90, "printed 6.4; SlowFast minus Slow-only minus laterals is 6.9"),
    ("kinetics-av", "A->F->S"): ("gflops", 39.61, "printed 51.4; the text describes no more than this"),
    ("kinetics-av", "AVSlowFast R101"): (
        "gflops", 113.27, "printed 129: 23 temporal blocks in res4 and 40 mel bands fit; SlowFast beside it has 6",
    ),
    ("charades-av", "SlowFast"): ("gflops", 242.01, "printed 234: depends on how Non-Local blocks are counted"),
    ("charades-av", "AVSlowFast"): ("gflops", 255.53, "printed 278: as R101, and as Non-Local blocks are counted"),
    ("ava", "SlowFast 8x8 R101, v2.1"): ("gflops", 187.21, "printed 184: as Non-Local blocks are counted"),
    ("ava", "SlowFast 8x8 R101, v2.2"): ("gflops", 187.21, "printed 184: as Non-Local blocks are counted"),
    ("ava-av", "AVSlowFast 4x16 R50, v2.1"): ("gflops", 69.95, "printed 67.1: with 40 mel bands, and nothing at res5"),
    ("ava-av", "AVSlowFast 4x16 R50, v2.2"): ("gflops", 69.95, "printed 67.1: with 40 mel bands, and nothing at res5"),
    ("ava-av", "AVSlowFast 8x8 R101, v2.1"): ("gflops", 195.65, "printed 210: as R101 on Kinetics"),
    ("ava-av", "AVSlowFast 8x8 R101, v2.2"): ("gflops", 195.65, "printed 210: as R101 on Kinetics"),
    ("ucf101", "SlowFast 4x16 (ROT), split 1"): (
        "params_m", 32.38, "printed 33.0: with the head of Kinetics-400, and without batch norms",
    ),
    ("hmdb51", "SlowFast 4x16 (ROT), split 1"): (
        "params_m", 32.27, "printed 33.0: with the head of Kinetics-400, and without batch norms",
    ),
    ("hares", "PANNs-CNN14 (SimCLR)"): (
        "params_m", 79.67, "printed 71: of its own 80.75 the classifier is 1.08",
    ),
}  # fmt: skip


def test_the_recipes_are_there():
    assert {"vggsound", "epic", "esc50", "esc10", "folder", "ucf101", "hmdb51", "ava", "ava-av"} <= set(NAMES)
    assert len(NAMES) >= 16
    assert len(ROWS) >= 70


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_assembles(name):
    recipe = load(name)
    assert architecture(recipe).features()
    assert dataset_entry(recipe.data.corpus).info.splits
    larger = load(name, [f"optim.batch={2 * recipe.optim.batch}"])
    assert schedule.top_rate(larger) == 2 * schedule.top_rate(recipe)
    rate = schedule.learning_rate(recipe, 1000)
    steps = schedule.total_steps(recipe, 1000)
    assert rate(steps - 1) < max(map(rate, range(0, steps, max(1, steps // 1000)))) == pytest.approx(1, abs=0.1)
    text = bundled()[name].read_text()
    assert text.startswith("# ")
    assert "slowfast evaluate recipes/hares.yaml" in text if recipe.probe else "slowfast train" in text


@pytest.mark.parametrize(("name", "table", "row"), ROWS)
def test_a_row_assembles_and_has_the_published_size(name, table, row):
    found, recipe = ablate.rows(read(name), table)[row]
    size = dry_run.size(recipe)
    ours = {"params_m": size.parameters / 1e6, "gflops": size.gflops}
    assert size.gflops > 0.1
    if name == "epic":  # printed with two digits, cut off
        assert int(ours["params_m"] * 100) / 100 == found.published.get("params_m", int(ours["params_m"] * 100) / 100)
    for key in ours.keys() & found.published.keys():
        close = ours[key] == pytest.approx(found.published[key], rel=0.01)
        if name == "hares" and found.published[key] > 20:  # whole millions, rounded or cut off
            close = close or found.published[key] in (int(ours[key]), round(ours[key]))
        if (name, row) in NOT_REPRODUCED and NOT_REPRODUCED[name, row][0] == key:
            assert not close, "it is reproduced now: take it off the list"
            assert ours[key] == pytest.approx(NOT_REPRODUCED[name, row][1], rel=0.001)
        else:
            assert close, f"{key}: {ours[key]:.2f}, published {found.published[key]}"


def test_what_is_not_reproduced_is_published():
    """And the list names no row that is gone."""
    for (name, row), (key, ours, reason) in NOT_REPRODUCED.items():
        tables = [rows[row].published for rows in check(read(name)).tables.values() if row in rows]
        assert any(key in published for published in tables), (name, row)
        assert ours > 0
        assert reason


@pytest.mark.parametrize(
    ("name", "shape"), [("vggsound", (512, 128)), ("epic", (400, 128)), ("epic-sounds", (400, 128))]
)
def test_spectrograms_have_the_published_size(name, shape):
    assert dry_run.size(load(name)).shapes == {"logmel": (1, *shape)}


@pytest.mark.parametrize(("name", "row", "frames"), [("vggsound", "3", 128), ("epic", "2", 100)])
def test_the_slow_stream_alone_reads_fewer_frames(name, row, frames):
    assert dry_run.size(ablate.rows(read(name), row)["Slow"][1]).shapes == {"logmel": (1, frames, 128)}


def test_class_counts_are_the_published_ones():
    assert head_sizes(load("vggsound")) == {"label": 309}
    assert head_sizes(load("epic")) == {"verb": 97, "noun": 300}
    assert head_sizes(load("epic-sounds", ["data.train=trainval", "keep=last"])) == {"label": 44}
    assert isinstance(Recognizer(architecture(load("esc10")), {"label": 10}), Recognizer)


def test_the_protocol_is_the_papers():
    vgg, epic = load("vggsound"), load("epic")
    assert (vgg.optim.name, vgg.optim.momentum, vgg.optim.weight_decay, vgg.model.dropout) == ("sgd", 0.9, 1e-4, 0.5)
    assert (vgg.schedule.epochs, vgg.schedule.drop_at, vgg.schedule.drop_by, vgg.data.views) == (50, (30, 40), 0.1, 2)
    assert (epic.schedule.epochs, epic.schedule.drop_at, epic.data.views, epic.model.freeze_bn) == (
        30,
        (20, 25),
        10,
        "all-but-first",
    )
    assert (dict(vgg.optim.loss_weights), dict(epic.optim.loss_weights)) == ({}, {"verb": 0.5, "noun": 0.5})
    for recipe in (vgg, epic):
        assert (recipe.optim.nesterov, recipe.optim.decay_norms) == (True, False)
        augment = recipe.augment
        assert (augment.freq_masks, augment.freq_width, augment.time_masks, augment.time_width, augment.warp) == (
            2,
            27,
            2,
            25,
            5,
        )
