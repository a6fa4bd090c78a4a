"""Recipes: what is refused, and in which words."""

from pathlib import Path

import pytest

from slowfast_cli.recipe.load import RENAMED_FIELDS, find, load, override, read, to_yaml
from slowfast_cli.types import UsageError


def complaint(*overrides: str, name: str = "vggsound") -> str:
    with pytest.raises(UsageError) as caught:
        load(name, overrides)
    return str(caught.value)


def test_an_unknown_field_names_the_nearest():
    assert complaint("optim.lrr=0.1") == "vggsound.yaml: optim.lrr: no such field; did you mean 'lr'?"


@pytest.mark.parametrize(("old", "new"), RENAMED_FIELDS.items())
def test_a_renamed_field_names_its_new_name(old, new):
    assert complaint(f"{old}=1") == f"vggsound.yaml: {old}: was renamed to {new}"


def test_all_mistakes_come_at_once():
    lines = complaint("optim.lrr=0.1", "schedule.epochs=x", "~optim.lr", "augment.mix=-1", "foo=1").splitlines()
    assert len(lines) == 5
    assert any("optim.lr: is required: Highest learning rate" in line for line in lines)
    assert any("schedule.epochs: 'x'" in line for line in lines)
    assert any("foo: no such field; choose one of data, frontend" in line for line in lines)


def test_the_line_in_the_file_is_named(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "data: {corpus: esc10, clip_seconds: 1}\nmodel: {variant: asf-r50}\n"
        "optim:\n  lr: 0.1\n  momentun: 0.9\nschedule: {epochs: 1}\n"
    )
    assert complaint(name=str(path)) == "mine.yaml:5: optim.momentun: no such field; did you mean 'momentum'?"


def test_overrides_set_and_take_back():
    recipe = load(
        "vggsound",
        [
            "optim.lr=0.02",
            "optim.weight_decay=1e-3",
            "~augment.warp",
            "data.root=/d",
            "model.width=null",
            "schedule.drop_at=[5, 6]",
        ],
    )
    assert (recipe.optim.lr, recipe.optim.weight_decay, recipe.augment.warp, recipe.schedule.drop_at) == (
        0.02,
        1e-3,
        0,
        (5, 6),
    )
    assert str(recipe.data.root) == "/d"


@pytest.mark.parametrize("word", ["optim.lr", "=3", "optim.lr=[", "~optim.lr=3"])
def test_a_word_that_is_no_override_is_refused(word):
    with pytest.raises(UsageError):
        load("vggsound", [word])


def test_an_override_keeps_the_order_of_rows():
    source = override(read("vggsound"), ["seed=3"])
    assert list(source.values["tables"]["3"]) == list(read("vggsound").values["tables"]["3"])


def test_a_value_is_data_and_never_run(tmp_path):
    with pytest.raises(UsageError):
        load("vggsound", ["seed=!!python/object/apply:os.getcwd []"])


def test_norms_frozen_without_weights_are_refused():
    assert "slowfast finetune RECIPE --weights FILE" in complaint("model.freeze_bn=all")


def test_a_batch_that_does_not_part_is_refused():
    assert "optim.grad_accum_steps: 5 does not divide optim.batch=32" in complaint("optim.grad_accum_steps=5")


def test_folds_go_into_the_split_names():
    recipe = load("esc10", ["data.fold=4"])
    assert [recipe.split(part) for part in ("train", "val", "test")] == ["train4", "test4", "test4"]
    assert "data.fold" in complaint("data.fold=6", name="esc10")
    assert "named by fold" in complaint("~data.fold", name="esc10")


def test_names_and_paths_find_the_same(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find("vggsound") == find("recipes/vggsound.yaml") == find("vggsound.yaml")
    with pytest.raises(UsageError, match="did you mean 'vggsound'"):
        find("vgsound")


@pytest.mark.parametrize(
    ("text", "words"), [("- 1", "a mapping of sections"), ("a: [", "not YAML"), ("\udcff", "cannot be read")]
)
def test_files_that_are_no_recipes_are_refused(tmp_path, text, words):
    path = tmp_path / "x.yaml"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert words in complaint(name=str(path))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: &a [x]\nb: &b [*a, *a]", "x.yaml: not YAML: line 2: the alias *a is not supported"),
        ("data: &d {corpus: *d}", "line 1: the alias *d is not supported"),
        ("seed: 1\na: " + "[" * 5000, "line 2: nested deeper than 20 levels"),
        ("a: " + "{b: " * 30 + "1" + "}" * 30, "line 1: nested deeper than 20 levels"),
        ("\nseed: 2001-13-45", "line 2: '2001-13-45' is not a valid timestamp"),
        ("seed: " + "1" * 5000, "line 1: '1111"),
        ("seed: !!int x", "line 1: 'x' is not a valid int"),
        ("seed: 1 #" + "x" * 1_000_000, "is larger than 1,000,000 bytes"),
    ],
)
def test_files_beyond_the_bounds_are_refused(tmp_path, text, words):
    (tmp_path / "x.yaml").write_text(text)
    assert words in complaint(name=str(tmp_path / "x.yaml"))


def test_overrides_beyond_the_bounds_are_refused():
    assert "the alias *a is not supported" in complaint("seed=&a [*a]")
    assert "nested deeper" in complaint("seed=" + "[" * 100)
    assert "nested deeper" in complaint("a." * 100 + "b=1")
    assert "not a valid timestamp" in complaint("seed=2001-13-45")


def test_a_resolved_recipe_reads_back_the_same(tmp_path):
    path = tmp_path / "resolved.yaml"
    recipe = load("epic")
    path.write_text(to_yaml(recipe))
    assert load(str(path)) == recipe


@pytest.mark.parametrize("text", ["2024", "2024-01-01", "no", "[a]", "a #b", "[a", "1e3", "~x"])
def test_paths_and_names_are_taken_as_typed(text):
    assert load("folder", [f"data.root={text}"]).data.root == Path(text)
    assert load("folder", [f"model.init={text}"]).model.init == text
    assert load("folder", ["data.root=null"]).data.root is None
    assert load("folder", ["data.root='a b'"]).data.root == Path("a b")


def test_another_network_does_not_keep_the_width_of_the_recipes():
    assert load("esc50").model.width == 32
    assert load("esc50", ["model.variant=asf-small"]).model.width is None
    assert load("esc50", ["model.width=8", "model.variant=asf-small"]).model.width == 8
