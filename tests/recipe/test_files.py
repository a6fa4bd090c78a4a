"""What a recipe takes from its parent, what is refused, and where each field comes from."""

import json
from hashlib import sha256

import pytest
import tiny

from slowfast_cli.recipe.files import folder
from slowfast_cli.recipe.load import bundled, check, load, read
from slowfast_cli.types import UsageError

# Digests of the resolved recipes as they were when each was written out in full.
RESOLVED = {
    "ava": "eb2a31e6a1161239",
    "ava-av": "f7fa3fde35802ed0",
    "ave": "722ab7d3e065f18f",
    "charades-av": "faa99d5bd581713f",
    "epic-av": "905f1b54dae327e0",
    "epic55-av": "9e34fe979563fb49",
    "folder-video": "285a1c206b4072ac",
    "hares/audioset": "761fb55bd294582b",
    "hares/birdsong": "c4775ee46b779952",
    "hares/esc50": "93472bc6f87d4c20",
    "hares/fluent": "77f5f040bcf2936b",
    "hares/magnatagatune": "3bd3b839ee033de8",
    "hares/nsynth_instrument": "54843ac2756b8c0a",
    "hares/nsynth_pitch": "7802e3eb26d1308e",
    "hares/speech_commands_v1": "a8e4a15a958d20b6",
    "hares/speech_commands_v2": "e414a26d438c06d5",
    "hares/tut18": "c4b7254b05d454a8",
    "hares/voxceleb1": "7b3c61c1bc94f1da",
    "hares/voxforge": "93ab52b9f224c15b",
    "hmdb51": "abcf45c7c89e00e8",
    "kinetics-audio": "8a17ae831dec42a4",
    "kinetics-sounds": "0692ad5fc7afd519",
    "kinetics-ssl": "28c536fd5639ce40",
    "kinetics700": "ab9feda9e10c7a64",
}
BASE = """\
data: {corpus: esc10, train: all, clip_seconds: 1}
model: {variant: asf-r50, width: 32, dropout: 0.5}
optim: {name: sgd, lr: 0.1}
schedule: {epochs: 3}
published: {top1: 50}
measured: {top1: 49}
tables: {"1": {Row: {}}}
"""


@pytest.fixture
def base(tmp_path):
    (tmp_path / "base.yaml").write_text(BASE)
    return tmp_path


def child(folder, text, parent="base.yaml"):
    path = folder / "child.yaml"
    path.write_text(f"defaults: {parent}\n{text}")
    return str(path)


def refusal(folder, text, parent="base.yaml"):
    with pytest.raises(UsageError) as caught:
        load(child(folder, text, parent))
    return str(caught.value)


def test_recipes_that_say_what_differs_are_those_that_said_everything():
    assert set(RESOLVED) == {name for name in bundled() if read(name).parent}
    for name, digest in RESOLVED.items():
        plain = json.dumps(check(read(name)).model_dump(mode="json", exclude_defaults=True), sort_keys=True)
        assert sha256(plain.encode()).hexdigest()[:16] == digest, name


def test_fields_are_taken_and_replaced_one_by_one(base):
    recipe = load(
        child(base, "optim: {lr: 0.2}\nschedule: {epochs: null, steps: 7}\nseed: 3\n"), ["optim.momentum=0.5"]
    )
    assert (recipe.optim.name, recipe.optim.lr, recipe.optim.momentum) == ("sgd", 0.2, 0.5)
    assert (recipe.schedule.steps, recipe.schedule.epochs, recipe.seed) == (7, None, 3)
    assert (recipe.data.train, recipe.model.width) == ("all", 32)


def test_results_are_not_taken(base):
    recipe = load(child(base, "published: {top5: 90}\n"))
    assert (recipe.published, recipe.measured, recipe.tables) == ({"top5": 90}, {}, {})


def test_the_width_of_another_network_is_not_taken(base):
    assert load(child(base, "model: {variant: asf-small}\n")).model.width is None
    assert load(child(base, "model: {variant: asf-small, width: 8}\n")).model.width == 8
    assert load(child(base, "model: {dropout: 0.1}\n")).model.width == 32


def test_a_bundled_recipe_is_a_parent(base):
    assert load(child(base, "optim: {lr: 0.2}\n", "esc10")).optim.lr == 0.2


def test_a_mistake_is_reported_in_the_file_that_makes_it(base):
    assert refusal(base, "optim: {lrr: 1}\n") == "child.yaml:2: optim.lrr: no such field; did you mean 'lr'?"
    (base / "base.yaml").write_text(BASE.replace("epochs: 3", "epochs: x"))
    assert refusal(base, "optim: {lr: 1}\n").startswith("base.yaml:4: schedule.epochs: 'x'")


@pytest.mark.parametrize(
    ("parent", "said"),
    [
        ("kinetics-avv", "child.yaml:1: defaults: 'kinetics-avv': no such recipe; did you mean 'kinetics-av'?"),
        ("gone.yaml", "child.yaml:1: defaults: 'gone.yaml': no such recipe"),
        ("[a, b]", "child.yaml:1: defaults: ['a', 'b']: expected the name of a bundled recipe"),
        ("null", "child.yaml:1: defaults: None: expected"),
        ("3", "child.yaml:1: defaults: 3: expected"),
        ('"a\\0.yaml"', "child.yaml:1: defaults: 'a\\x00.yaml': no such recipe"),
        ("..", "child.yaml:1: defaults: '..': no such recipe"),
        ("child.yaml", "child.yaml:1: defaults: child.yaml takes its defaults from this recipe, which may not"),
        ("kinetics-sounds", "kinetics-sounds.yaml:9: defaults: child.yaml takes its defaults from this recipe"),
        ("list.yaml", "list.yaml: a recipe is a mapping of sections"),
        ("alias.yaml", "alias.yaml: not YAML: line 2: the alias *a is not supported"),
        ("deep.yaml", "deep.yaml: not YAML: line 1: nested deeper than 20 levels"),
        ("big.yaml", "big.yaml: is larger than 1,000,000 bytes"),
    ],
)
def test_a_parent_that_cannot_be_one_is_refused(base, parent, said):
    (base / "list.yaml").write_text("[1]")
    (base / "alias.yaml").write_text("a: &a [1]\nb: *a\n")
    (base / "deep.yaml").write_text("a: " + "[" * 50 + "]" * 50)
    (base / "big.yaml").write_text("#" * 1_000_001)
    assert said in refusal(base, "", parent)


@pytest.mark.parametrize("text", ["optim: 3\n", "optim: null\n", "model: [1]\n", "1: {a: 2}\n", "<<: {seed: x}\n"])
def test_a_section_of_another_kind_is_a_mistake_not_a_defect(base, text):
    assert "child.yaml" in refusal(base, text)


def test_parents_that_are_no_recipes_are_not_listed():
    assert (folder() / "hares" / "_task.yaml").is_file()
    assert "hares/_task" not in bundled()


def test_the_tree_names_the_file_of_each_field(base):
    out = tiny.good("recipes", "show", child(base, "optim: {lr: 0.2}\n"), "--tree", "schedule.epochs=5").out
    assert "# child.yaml takes the fields that it does not set from base.yaml" in out
    lines = {line.split("  # ")[0].strip(): line.split("  # ")[-1] for line in out.splitlines()[1:]}
    assert lines["lr: 0.2"] == "child.yaml:2"
    assert lines["name: sgd"] == "base.yaml:3"
    assert lines["epochs: 5"] == "overridden"
    assert lines["momentum: 0.9"] == "default"


def test_a_copy_works_where_it_is_copied_to(base, tmp_path, monkeypatch):
    own = child(base, "optim: {lr: 0.2}  # mine\n")
    (tmp_path / "deep" / "er").mkdir(parents=True)
    tiny.good("recipes", "cp", own, tmp_path / "deep" / "er")
    copied = tmp_path / "deep" / "er" / "child.yaml"
    assert copied.read_text() == "defaults: ../../base.yaml\noptim: {lr: 0.2}  # mine\n"
    assert load(str(copied)) == load(own)
    monkeypatch.chdir(tmp_path)
    for name in ("hares/esc50", "kinetics-sounds", "hmdb51"):
        tiny.good("recipes", "cp", name, "deep/")
        assert load(f"deep/{name.rpartition('/')[2]}.yaml") == load(name)
