"""Every bundled recipe and every row of its tables loads and assembles."""

import pytest

from slowfast_cli.models.slowfast import Recogniser
from slowfast_cli.recipe.load import bundled, check, load, read
from slowfast_cli.stages import ablate, assemble, inspect, plan

NAMES = list(bundled())
ROWS = [(name, table, row) for name in NAMES for table, rows in check(read(name)).tables.items() for row in rows]


def test_the_recipes_are_there():
    assert {"vggsound", "epic", "esc50", "esc10", "folder"} <= set(NAMES)
    assert len(ROWS) >= 18


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_assembles(name):
    recipe = load(name)
    assert assemble.net(recipe).pathways
    assert assemble.known(recipe.data.corpus).heads or recipe.data.corpus in {"folder", "csv"}
    rate = plan.learning_rate(recipe, 1000)
    last, top = plan.steps(recipe, 1000) - 1, max(map(rate, range(0, plan.steps(recipe, 1000), 97)))
    assert rate(last) < top == pytest.approx(1, abs=0.05)
    text = bundled()[name].read_text()
    assert text.startswith("# ")
    assert "slowfast train" in text


@pytest.mark.parametrize(("name", "table", "row"), ROWS)
def test_a_row_assembles_and_has_the_published_size(name, table, row):
    found, recipe = ablate.rows(read(name), table)[row]
    size = inspect.size(recipe)
    if "params_m" in found.published:
        assert int(size.parameters / 1e4) / 100 == found.published["params_m"]
    assert size.gflops > 0.1


@pytest.mark.parametrize(("name", "shape"), [("vggsound", (512, 128)), ("epic", (400, 128))])
def test_spectrograms_have_the_published_size(name, shape):
    assert inspect.size(load(name)).shapes == {"logmel": (1, *shape)}


@pytest.mark.parametrize(("name", "row", "frames"), [("vggsound", "3", 128), ("epic", "2", 100)])
def test_the_slow_stream_alone_reads_fewer_frames(name, row, frames):
    assert inspect.size(ablate.rows(read(name), row)["Slow"][1]).shapes == {"logmel": (1, frames, 128)}


def test_class_counts_are_the_published_ones():
    assert assemble.heads(load("vggsound")) == {"label": 309}
    assert assemble.heads(load("epic")) == {"verb": 97, "noun": 300}
    assert isinstance(Recogniser(assemble.net(load("esc10")), {"label": 10}), Recogniser)


def test_the_protocol_is_the_papers():
    vgg, epic = load("vggsound"), load("epic")
    assert (vgg.optim.name, vgg.optim.momentum, vgg.optim.weight_decay, vgg.model.dropout) == ("sgd", 0.9, 1e-4, 0.5)
    assert (vgg.schedule.epochs, vgg.schedule.drop_at, vgg.schedule.drop_by, vgg.data.views) == (50, (30, 40), 0.1, 2)
    assert (epic.schedule.epochs, epic.schedule.drop_at, epic.data.views, epic.model.freeze_norms) == (
        30,
        (20, 25),
        10,
        "all-but-first",
    )
    for recipe in (vgg, epic):
        augment = recipe.augment
        assert (augment.freq_masks, augment.freq_width, augment.time_masks, augment.time_width, augment.warp) == (
            2,
            27,
            2,
            25,
            5,
        )
