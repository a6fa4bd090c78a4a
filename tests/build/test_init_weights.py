"""Starting from weights learned elsewhere."""

from dataclasses import replace

import pytest
import tiny
import torch

from slowfast_cli import load_model
from slowfast_cli.build.init_weights import reorder_heads, with_settings_of_weights
from slowfast_cli.build.network import architecture
from slowfast_cli.models.architecture import Baseline
from slowfast_cli.models.heads import module_key
from slowfast_cli.models.spec import with_width
from slowfast_cli.models.zoo import VARIANTS
from slowfast_cli.nn.frozen import batch_norms
from slowfast_cli.recipe.load import check, load
from slowfast_cli.recipe.load import read as read_recipe
from slowfast_cli.settings import Frames, FrontEnd
from slowfast_cli.weights.file import Card, read, read_card, save


@pytest.fixture(scope="module")
def tuned(kitchen, trained, tmp_path_factory):
    """Sounds of three classes, taken to the verbs and nouns of the kitchen."""
    run = tmp_path_factory.mktemp("tuned") / "run"
    words = [f"data.root={kitchen}", *tiny.EPIC_WORDS, "optim.lr=0.05"]
    return run, tiny.good("finetune", "epic", "--weights", trained, *words, "--run", run)


def test_the_trunk_comes_over_and_other_heads_are_made_anew(tuned, trained):
    run, done = tuned
    state = read(trained / "best.safetensors")[1]
    trunk = [name for name in state if name.startswith("trunk.")]
    heads = "heads.linears.verb.0.weight, heads.linears.verb.0.bias, ..."
    unused = "heads.linears.label.0.bias, heads.linears.label.0.weight"
    reported = f"initial weights: {trained}: loaded {len(trunk)}, fresh 4 ({heads}), unused 2 ({unused})"
    assert reported in done.err
    card = read_card(run / "last.safetensors")
    assert {labels: len(names) for labels, names in card.classes.items()} == {"verb": 97, "noun": 300}
    assert card.recipe == "epic"


def test_norms_are_frozen_but_the_first(tuned, trained):
    """ASF Sec. 4.2 and its code: all norms but the first of each pathway and lateral stay as they were."""
    run, _ = tuned
    before, after = read(trained / "best.safetensors")[1], read(run / "last.safetensors")[1]
    model = load_model(run)
    names = [f"trunk.{name}" for name, _ in batch_norms(model.trunk)]
    first = [f"trunk.{name}_stem.norm" for name in ("stages.slow", "stages.fast", "laterals.f2s")]
    assert set(first) < set(names)
    for name in names:
        for part in ("weight", "bias", "running_mean", "running_var"):
            same = torch.equal(before[f"{name}.{part}"], after[f"{name}.{part}"])
            assert same is (name not in first), f"{name}.{part}"
    convolutions = [name for name in before if name.endswith(".conv.weight")]
    assert not any(torch.equal(before[name], after[name]) for name in convolutions if "stem" in name)


def test_the_same_command_goes_on(tuned, kitchen, trained):
    run, _ = tuned
    words = [f"data.root={kitchen}", *tiny.EPIC_WORDS, "optim.lr=0.05"]
    done = tiny.good("finetune", "epic", "-w", trained, *words, "--run", run)
    assert "already finished, after 4 steps" in done.err


def test_a_head_of_the_same_classes_is_kept(trained, sounds, tmp_path):
    words = [f"data.root={sounds}", *tiny.WORDS, "optim.lr=1e-9", "optim.ema=0"]
    done = tiny.good("finetune", "folder", "--weights", trained, *words, "--run", tmp_path / "run")
    assert "fresh 0, unused 0" in done.err
    before, after = (
        load_model(path).state_dict()["heads.linears.label.0.weight"] for path in (trained, tmp_path / "run")
    )
    torch.testing.assert_close(before, after, atol=1e-6, rtol=0)


def test_a_head_of_as_many_other_classes_is_not(trained, sounds, tmp_path):
    root = tmp_path / "folder"
    for part in tiny.PARTS:
        for old, new in {"helicopter": "a", "rain": "b", "rooster": "c"}.items():
            (root / part).mkdir(parents=True, exist_ok=True)
            (root / part / new).symlink_to(sounds / part / old)
    words = [f"data.root={root}", *tiny.WORDS, "data.source=media"]
    done = tiny.good("finetune", "folder", "--weights", trained, *words, "--smoke")
    assert "fresh 2 (heads.linears.label.0.weight, heads.linears.label.0.bias), unused 2" in done.err


def test_another_network_is_refused(trained, sounds, tmp_path):
    words = [f"data.root={sounds}", *tiny.WORDS, "model.variant=asf-fast-r50"]
    done = tiny.slowfast("finetune", "folder", "--weights", trained, *words, "--run", tmp_path / "run")
    assert done.code == 4
    assert "best.safetensors: another network: " in done.err
    assert "set model.variant to the network of those weights (recipe folder)" in done.err
    assert not (tmp_path / "run").exists()


def test_weights_that_are_not_there(sounds, tmp_path):
    words = [f"data.root={sounds}", *tiny.WORDS]
    done = tiny.slowfast("finetune", "folder", *words, "--weights", tmp_path / "gone", "--run", tmp_path / "run")
    assert done.code == 4
    assert f"{tmp_path / 'gone'}: no such weights: train them first" in done.err
    done = tiny.slowfast("finetune", "folder", *words)
    assert (done.code, "--weights" in done.err) == (2, True)


def test_norms_cannot_be_frozen_without_weights(sounds):
    done = tiny.slowfast("train", "folder", f"data.root={sounds}", *tiny.WORDS, "model.freeze_bn=all")
    assert done.code == 2
    assert "model.init names no weights: use `slowfast finetune RECIPE --weights FILE`" in done.err


def test_dry_and_smoke_leave_nothing(trained, sounds, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = [f"data.root={sounds}", *tiny.WORDS, "--weights", trained]
    assert "parameters" in tiny.good("finetune", "folder", *words, "--dry-run").out
    tiny.good("finetune", "folder", *words, "--smoke")
    assert list(tmp_path.iterdir()) == []


def test_heads_of_label_sets_with_escaped_names_are_reordered():
    key = f"heads.linears.{module_key('a.b')}.0.bias"
    assert key != "heads.linears.a.b.0.bias"
    net = Baseline(kind="x", reads="samples", rate=16000, length=2)
    card = Card(net=net, classes={"a.b": ("b", "a")}, front_end={}, clip_seconds=1.0)
    state = {key: torch.tensor([1.0, 2.0])}
    assert reorder_heads(state, card, {"a.b": ("a", "b")}).classes == {"a.b": ("a", "b")}
    assert state[key].tolist() == [2, 1]


def test_a_recipe_that_adapts_takes_frames_and_front_end_of_its_weights(tmp_path):
    net, path = with_width(VARIANTS["avslowfast-small"], 4), tmp_path / "av.safetensors"
    frames = Frames(frames=8, step=2, fps=25, crop=64, jitter=(64, 80), side=64, rows=32, crops=3, flip=True)
    front_end = FrontEnd(rate=8000, mels=40, fft=512)
    card = Card(
        net=net, classes={"label": ("a", "b")}, front_end=front_end.settings(), clip_seconds=frames.seconds,
        video=frames.settings(),
    )  # fmt: skip
    save(path, card.model().state_dict(), card)
    words = [f"model.init={path}", "model.variant=null"]

    recipe = check(with_settings_of_weights(read_recipe("folder-video"), [*words, "video.side=72"]))
    assert recipe.video == replace(frames, side=72, crops=1, flip=False)
    assert recipe.frontend == front_end
    assert architecture(recipe).signals == {"frames", "logmel"}

    own = load("folder-video")
    for kept in ([*words, "adapt=false"], [words[0]]):
        recipe = check(with_settings_of_weights(read_recipe("folder-video"), kept))
        assert (recipe.video, recipe.frontend) == (own.video, own.frontend)
