"""Pretraining without labels: every objective runs to its end, what it leaves is a trunk, and it does learn."""

import contextlib
import itertools
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest
import tiny
import tiny_tasks
import torch

from slowfast_cli import load_model
from slowfast_cli.build import schedule
from slowfast_cli.build.network import NETWORKS
from slowfast_cli.engine import fit as engine
from slowfast_cli.models.baselines.zoo import BASELINES
from slowfast_cli.recipe.load import load
from slowfast_cli.stages.hares.probe import probe
from slowfast_cli.stages.train import loop as stage
from slowfast_cli.stages.train import state as state_module
from slowfast_cli.stages.train.loop import Finished, Scored, Started, Step
from slowfast_cli.stages.train.run_folder import Run, lines
from slowfast_cli.tasks.byol import ByolObjective
from slowfast_cli.types import DataError, Share, UsageError, WeightsError
from slowfast_cli.weights.file import read, read_card, run_weights

CPU = torch.device("cpu")
WORDS = [
    "data.workers=0", "data.clip_seconds=0.4", "frontend.mels=32", "frontend.hop_ms=10", "model.width=8",
    "pretext.hidden=16", "pretext.out=8", "optim.batch=4", "schedule.epochs=2", "schedule.warmup_epochs=1",
    "schedule.validate_every=1", "augment.time_width=8", "optim.lr_batch=null",
]  # fmt: skip
FIXED = ["adapt=false", "model.init=null", "schedule.steps=null", "schedule.warmup_steps=0", "schedule.patience=0"]
NORMLESS = ["model.variant=sf-nf-r50", "model.width=8"]
PLAIN = [f"augment.{name}=0" for name in ("mix", "freq_masks", "time_masks", "shift", "gain_db")]
# By task: overrides, and small twins of the networks that have one size.
OTHERS = {
    "byol": (["model.variant=byola-cnn", "~model.width", "augment.mix=0"], {"length": 32, "bands": 32}),
    "cpc": (["model.variant=bidir-cpc", "~model.width", "augment.mix=0"], {"length": 16}),
    "masked": (["model.variant=wav2vec2-base", "~model.width", "augment.mix=0"], {"length": 48}),
}


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    return tiny.make_folder(tmp_path_factory.mktemp("pretraining") / "labelled")


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """Recordings of several lengths below a folder, without classes; one is too short for a clip."""
    root = tmp_path_factory.mktemp("pretraining") / "bare"
    for number, (name, skip) in enumerate(itertools.product(tiny.LOUD, (0.1, 0.7, 1.3))):
        tiny.write(root / f"{number}.wav", tiny.sound(name, 0.3 + 0.1 * number, skip=skip))
    return root


@pytest.fixture
def small(monkeypatch):
    for variant in ("byola-cnn", "bidir-cpc", "wav2vec2-base"):
        sizes = next(sizes for words, sizes in OTHERS.values() if f"model.variant={variant}" in words)
        monkeypatch.setitem(NETWORKS, variant, replace(BASELINES[variant], **sizes))


def recipe_of(root, *more, task="simclr"):
    words = [*WORDS, *OTHERS[task][0]] if task in OTHERS else WORDS
    return load("simclr", [*words, f"data.root={root}", f"task={task}", *more])


def trained(recipe, folder, **options):
    return list(stage.train(recipe, Run(folder), name="simclr", device="cpu", **options))


def advance(recipe, folder, steps):
    events = stage.train(recipe, Run(folder), name="simclr", device="cpu")
    with contextlib.closing(events):
        next(event for event in events if isinstance(event, Step) and event.number == steps)


def numbers(run):
    return [
        {key: value for key, value in line.items() if key not in ("seconds", "data_wait_seconds", "data_wait")}
        for line in lines(run / "metrics.jsonl")
    ]


@pytest.fixture(scope="module")
def pretrained(bare, tmp_path_factory):
    """A finished run of SimCLR, and its events."""
    folder = tmp_path_factory.mktemp("pretraining") / "run"
    return folder, trained(recipe_of(bare), folder)


def test_simclr_needs_no_labels(pretrained, bare):
    folder, events = pretrained
    assert [type(event) for event in events] == [Started, Step, Step, Scored, Step, Step, Scored, Finished]
    assert (events[0].train.classes, events[0].train.listed, events[0].val.listed) == ({}, 8, 2)
    assert {event.clips for event in events if isinstance(event, Step)} == {8}  # two of each recording
    assert all(set(event.losses) == {"simclr"} for event in events if isinstance(event, Step))
    assert events[-2].scores.values.keys() == {"pretext_top1"}
    assert read_card(run_weights(folder)).classes == {}


def test_of_class_folders_the_classes_do_not_matter(labelled, tmp_path):
    events = trained(recipe_of(labelled), tmp_path / "run")
    assert (events[0].train.classes, events[0].train.listed) == ({}, 12)
    assert events[-2].scores.values.keys() == {"pretext_top1"}


@pytest.mark.parametrize("task", OTHERS)
def test_other_objectives_run_to_their_end(bare, small, tmp_path, task):
    events = trained(recipe_of(bare, task=task), tmp_path / "run")
    steps = [event for event in events if isinstance(event, Step)]
    assert (len(steps), type(events[-1])) == (4, Finished)
    assert task in steps[0].losses
    assert all(math.isfinite(step.loss) and step.grad_norm > 0 for step in steps)
    (reported,) = events[-2].scores.values.values()
    assert 0 <= reported <= 100
    card, state = read(run_weights(tmp_path / "run"))
    assert state
    assert all(name.startswith("trunk.") for name in state)
    assert card.net == NETWORKS[recipe_of(bare, task=task).model.variant]


def test_the_slow_copy_follows_while_training(bare, small):
    held = state_module.build_training(recipe_of(bare, task="byol"), Share(), CPU, smoke=False)
    objective = held.model.objective
    assert isinstance(objective, ByolObjective)
    before = [p.clone() for p in objective.slow_trunk.parameters()]
    fast = [p.clone() for p in held.model.trunk.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(before, fast, strict=True))
    next(stage._steps(held, range(1), 2))
    for old, slow, new in zip(before, objective.slow_trunk.parameters(), held.model.trunk.parameters(), strict=True):
        torch.testing.assert_close(slow, old + (1 - objective.decay) * (new - old))


ON = [("simclr", []), ("simclr", ["optim.grad_accum_steps=2", *NORMLESS]), ("byol", [])]


@pytest.mark.parametrize(("task", "more"), ON, ids=["at once", "in parts", "what BYOL-A remembers"])
def test_going_on_learns_the_same_bit_by_bit(bare, small, tmp_path, task, more):
    recipe = recipe_of(bare, *more, task=task)
    trained(recipe, tmp_path / "whole")
    advance(recipe, tmp_path / "run", 3)
    torch.manual_seed(7)  # another process
    events = trained(recipe, tmp_path / "run")
    assert events[0].first_step == 3
    assert run_weights(tmp_path / "run").read_bytes() == run_weights(tmp_path / "whole").read_bytes()
    assert numbers(tmp_path / "run") == numbers(tmp_path / "whole")


def test_parts_of_a_batch_are_one_contrast(bare, tmp_path, monkeypatch):
    """Of a network without norms, and without what is drawn for each part: the numbers are those of the whole batch."""
    plain = [*NORMLESS, *PLAIN, "optim.name=sgd", "optim.weight_decay=0", "optim.lr=0.1"]
    net = NETWORKS["sf-nf-r50"]
    still = {name: replace(path, drop=0.0) for name, path in net.pathways.items()}
    monkeypatch.setitem(NETWORKS, "sf-nf-r50", replace(net, pathways=still))
    used = []
    contrasted = engine.contrasted
    monkeypatch.setattr(engine, "contrasted", lambda *a, **options: used.append(a[3]) or contrasted(*a, **options))
    trained(recipe_of(bare, *plain), tmp_path / "whole")
    assert used == []
    trained(recipe_of(bare, *plain, "optim.grad_accum_steps=2"), tmp_path / "parts")
    assert used == [2] * 4
    for whole, parts in zip(numbers(tmp_path / "whole"), numbers(tmp_path / "parts"), strict=True):
        whole.pop("val_pretext_top1", None)  # asked among as many clips as are in memory at once
        parts.pop("val_pretext_top1", None)
        assert parts == pytest.approx(whole, rel=1e-3)
    one, two = (read(run_weights(tmp_path / name))[1] for name in ("whole", "parts"))
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-3, atol=1e-4)


@pytest.mark.processes
def test_two_processes_pretrain_as_one_does(bare, tmp_path):
    """Each with a part of the clips, of which all are compared; and in parts besides."""
    still = [*NORMLESS, *PLAIN, "optim.name=sgd", "optim.weight_decay=0", "optim.lr=0.05", "model.variant=sf-r50-ln"]
    words = [*WORDS, *still, f"data.root={bare}", "optim.grad_accum_steps=2"]
    tiny.good("train", "simclr", *words, "--run", tmp_path / "one")
    done = tiny.process("train", "simclr", *words, "--run", tmp_path / "two", "--gpus", "2")
    assert done.code == 0, done.err
    one, two = numbers(tmp_path / "one"), numbers(tmp_path / "two")
    assert len(one) == len(two) == 6
    for mine, theirs in zip(one, two, strict=True):
        assert {**theirs, "val_pretext_top1": 0} == pytest.approx({**mine, "val_pretext_top1": 0}, rel=1e-3)
    alone, both = (read(run_weights(tmp_path / name))[1] for name in ("one", "two"))
    for name, value in alone.items():
        torch.testing.assert_close(both[name], value, rtol=1e-3, atol=1e-4)


def test_recordings_that_cannot_be_read_do_not_end_it(bare, tmp_path):
    root = tmp_path / "sounds"
    shutil.copytree(bare, root)
    for name in ("0.wav", "7.wav"):
        (root / name).write_bytes(b"no sound")
    events = trained(recipe_of(root, "schedule.epochs=4"), tmp_path / "run")
    lost = {failure.id for event in events if isinstance(event, Step) for failure in event.broken}
    assert lost
    assert lost <= {"0.wav", "7.wav"}
    assert events[-1].broken == len(lost)
    assert all(math.isfinite(event.loss) for event in events if isinstance(event, Step))
    assert min(event.clips for event in events if isinstance(event, Step)) in (4, 6)


def test_what_is_left_is_the_trunk(pretrained, labelled, tmp_path):
    """It starts a fine-tuning and a probe; what it was pretrained by is gone."""
    folder, _ = pretrained
    _, state = read(run_weights(folder))
    assert {name.split(".")[0] for name in state} == {"trunk"}
    assert load_model(folder)({"logmel": torch.zeros(1, 1, 40, 32)}) == {}
    assert any(name.startswith("objective.") for name in torch.load(folder / "state.pt", weights_only=True)["model"])
    words = [*tiny.MODEL, *tiny.SCHEDULE, "data.source=media", "data.clip_seconds=0.4", f"data.root={labelled}"]
    words += [f"model.init={folder}", "model.variant=sf-small", "frontend.hop_ms=10"]
    held = state_module.build_training(load("folder", [*FIXED, *words]), Share(), CPU, smoke=False)
    assert all(name.startswith("heads.") for name in held.init.fresh)
    assert held.init.unused == ()
    assert len(held.init.loaded) == len(state)
    now = held.model.state_dict()
    assert all(torch.equal(now[name], value) for name, value in state.items())
    probing = [*WORDS[:4], "data.corpus=folder", f"data.root={labelled}", "optim.batch=4", "schedule.steps=3"]
    probing += [f"model.init={folder}", "model.variant=null", "schedule.warmup_steps=1", "probe.crops=2"]
    asked = load("hares/tut18", [*probing, "data.views=1"])
    scores = tiny_tasks.ended(probe(asked, tmp_path / "probe", made_by={}, device="cpu"))
    assert 0 <= scores.values["top1"] <= 100


def test_classes_cannot_be_asked_of_it(pretrained, bare):
    folder, _ = pretrained
    done = tiny.slowfast("evaluate", folder, f"data.root={bare}")
    assert done.code == 2
    assert "has no classes: score it with" in done.err
    words = [*tiny.MODEL, *tiny.SCHEDULE, "data.source=media", "data.clip_seconds=0.4", f"data.root={bare}"]
    with pytest.raises(DataError, match="have no classes, and task classify needs some"):
        state_module.build_training(load("folder", [*FIXED, *words]), Share(), CPU, smoke=False)


@pytest.mark.parametrize(
    ("more", "reported"),
    [
        (["task=cpc"], "task: cpc trains bidir-cpc, but model.variant is sf-small"),
        (["task=masked"], "set it to wav2vec2-base"),
        (["probe.crops=2"], "remove `video` and `probe`"),
        (["pretext.temperature=0"], "pretext.temperature"),
        (["optim.grad_accum_steps=3"], "optim.grad_accum_steps: 3 does not divide optim.batch=4"),
    ],
)
def test_what_does_not_go_together_is_reported(bare, more, reported):
    with pytest.raises(UsageError, match=reported):
        state_module.build_training(recipe_of(bare, *more), Share(), CPU, smoke=False)


def test_other_weights_are_refused(pretrained, bare):
    folder, _ = pretrained
    with pytest.raises(WeightsError, match="another network"):
        state_module.build_training(recipe_of(bare, f"model.init={folder}", *NORMLESS), Share(), CPU, smoke=False)


def chords(root, count):
    """Recordings of 2 s that nothing but their four partials tells apart, below noise."""
    draw = np.random.default_rng(0)
    time = np.arange(32000) / 16000
    for number in range(count):
        tones = sum(np.sin(2 * np.pi * pitch * time) for pitch in draw.uniform(300, 7000, 4))
        tiny.write(root / f"{number}.wav", 0.05 * tones + 0.05 * draw.standard_normal(len(time)))
    return root


@pytest.mark.thorough
def test_it_learns_to_tell_recordings_apart(tmp_path):
    root = chords(tmp_path / "chords", 54)
    words = ["optim.batch=8", "schedule.epochs=12", "pretext.hidden=32", "pretext.out=16"]
    events = trained(recipe_of(root, *words, *NORMLESS, *PLAIN), tmp_path / "run")
    reported = [event.scores.values["pretext_top1"] for event in events if isinstance(event, Scored)]
    losses = [event.loss for event in events if isinstance(event, Step)]
    assert sum(losses[-4:]) < 0.5 * sum(losses[:4])
    assert reported[-1] > reported[0] + 15
    assert reported[-1] > 40  # of 22 clips by chance 5


def test_the_rate_of_hares_rises_first_and_then_falls_to_zero():
    """App. A and C: from 0 to the full 2e-4 in 5k steps, then a cosine down to 0."""
    for name, length in (("hares", 200_000), ("hares/esc50", 400_000), ("hares/magnatagatune", 20_000)):
        recipe = load(name)
        rate = schedule.learning_rate(recipe, 77)
        assert schedule.top_rate(recipe) == 2e-4
        assert schedule.total_steps(recipe, 77) == length
        assert [rate(step) for step in (0, 1, 2500, 5000)] == pytest.approx([0, 1 / 5000, 0.5, 1], abs=1e-12)
        middle = 5000 + (length - 5000) / 2
        assert rate(middle) == pytest.approx(0.5)
        assert rate(length) == pytest.approx(0, abs=1e-12)
        later = [rate(step) for step in range(5000, length, 500)]
        assert later == sorted(later, reverse=True)
        quarter = 5000 + (length - 5000) / 4
        assert rate(quarter) == pytest.approx(0.5 * (1 + math.cos(math.pi / 4)))
    # Without `warmup_apart` the rise leads to where the cosine is by then.
    joined = schedule.learning_rate(load("hares", ["schedule.warmup_apart=false"]), 77)
    assert joined(5000) == pytest.approx(0.5 * (1 + math.cos(math.pi * 5 / 200)))


def test_the_rate_a_step_takes_is_the_plans(bare):
    words = ["schedule.epochs=null", "schedule.steps=4", "schedule.warmup_epochs=0", "schedule.warmup_steps=2"]
    recipe = recipe_of(bare, *words, "schedule.warmup_from=0", "schedule.warmup_apart=true")
    held = state_module.build_training(recipe, Share(), CPU, smoke=False)
    taken = [step.lr for step in stage._steps(held, range(4), 2)]
    assert taken == pytest.approx([0, 0.5e-3, 1e-3, 0.5e-3])
