"""Training on real sound: what a run leaves, and that nothing that interrupts it changes what it learns."""

import contextlib
import copy
import fcntl
import json
import os
import re
import shutil
import signal
import time
from dataclasses import replace

import pytest
import tiny
import torch
import yaml

from slowfast_cli import load_model
from slowfast_cli.engine.checkpoint import load_state
from slowfast_cli.engine.fit import Step
from slowfast_cli.recipe.load import load
from slowfast_cli.stages.train import loop as stage
from slowfast_cli.stages.train import state
from slowfast_cli.stages.train.loop import Finished, Scored, Started
from slowfast_cli.stages.train.run_folder import Run, lines
from slowfast_cli.types import DataError, Failure, Share, SlowFastError, UsageError
from slowfast_cli.weights.file import read_card

CPU = torch.device("cpu")


def words(sounds, *more):
    return [f"data.root={sounds}", *tiny.WORDS, *more]


def recipe_of(sounds, *more):
    return load("folder", words(sounds, *more))


def numbers(run):
    """What was logged, without the times."""
    return [
        {key: value for key, value in line.items() if key not in ("seconds", "data_wait_seconds", "data_wait")}
        for line in lines(run / "metrics.jsonl")
    ]


def same_run(one, other):
    assert (one / "last.safetensors").read_bytes() == (other / "last.safetensors").read_bytes()
    assert (one / "best.safetensors").read_bytes() == (other / "best.safetensors").read_bytes()
    assert numbers(one) == numbers(other)


def advance(recipe, run, steps):
    """Train some steps, then stop as the command does when it is interrupted."""
    events = stage.train(recipe, Run(run), name="folder", device="cpu")
    with contextlib.closing(events):
        done = (event.number for event in events if isinstance(event, Step))
        next(number for number in done if number == steps)


def test_a_run_folder_says_everything(trained, sounds):
    assert {path.name for path in trained.iterdir()} >= {
        "recipe.yaml", "command.txt", "environment.json", "metrics.jsonl", "last.safetensors", "best.safetensors",
        "state.pt", "curves.png",
    }  # fmt: skip
    resolved = yaml.safe_load((trained / "recipe.yaml").read_text())
    assert resolved["model"]["width"] == 8
    assert resolved["optim"]["label_smoothing"] == load("folder").optim.label_smoothing
    assert load(str(trained / "recipe.yaml")) == recipe_of(sounds)
    assert f"slowfast train folder data.root={sounds}" in (trained / "command.txt").read_text()
    reported = json.loads((trained / "environment.json").read_text())
    assert reported["packages"]["torch"] == torch.__version__
    logged = numbers(trained)
    assert [line["step"] for line in logged] == [1, 2, 3, 3, 4, 5, 6, 6]
    scored = [line for line in logged if "val_top1" in line]
    assert [line["epoch"] for line in scored] == [1, 2]
    assert set(scored[0]) == {"step", "epoch", "val_loss", "val_top1", "val_top5", "val_map", "val_auc", "val_dprime"}
    assert all({"loss", "lr", "grad_norm"} <= set(line) for line in logged if "val_top1" not in line)
    card = read_card(trained / "last.safetensors")
    assert (card.recipe, card.classes) == ("folder", {"label": ("helicopter", "rain", "rooster")})
    assert card.front_end == tiny.FRONT_END
    assert card.scores["top1"] == scored[-1]["val_top1"]
    assert load_model(trained)({"logmel": torch.zeros(1, 1, 60, 32)})["label"].shape == (1, 3)
    assert load_state(trained / "state.pt")["step"] == 6


def test_two_heads_are_logged_apart_and_scored_together(trained_epic):
    steps = [line for line in numbers(trained_epic) if "loss" in line]
    assert all(line["loss"] == pytest.approx(line["loss_verb"] + line["loss_noun"]) for line in steps)
    scores = read_card(trained_epic / "last.safetensors").scores
    assert {"verb_top1", "noun_top5", "action_top1", "joint_action_top5", "unseen_verb_top1"} <= set(scores)


@pytest.mark.parametrize("steps", [1, 3, 4])
def test_stopping_between_two_steps_changes_nothing(trained, sounds, tmp_path, steps):
    """In the middle of an epoch and at its end, with dropout, mixing, masks and averaged weights all drawn again."""
    recipe = recipe_of(sounds)
    advance(recipe, tmp_path / "run", steps)
    assert load_state(tmp_path / "run" / "state.pt")["step"] == steps
    torch.manual_seed(steps)  # another process
    events = list(stage.train(recipe, Run(tmp_path / "run"), name="folder", device="cpu"))
    assert isinstance(events[0], Started)
    assert events[0].first_step == steps
    assert isinstance(events[-1], Finished)
    same_run(tmp_path / "run", trained)


def test_an_epoch_whose_scoring_fails_is_scored_on_resuming(trained, sounds, tmp_path, monkeypatch):
    def fails(*args):
        raise DataError("the disk is gone")

    with monkeypatch.context() as patched:
        patched.setattr(stage, "score_predictions", fails)
        with pytest.raises(DataError, match="the disk is gone"):
            list(stage.train(recipe_of(sounds), Run(tmp_path / "run"), name="folder", device="cpu"))
    assert load_state(tmp_path / "run" / "state.pt")["step"] == 3
    list(stage.train(recipe_of(sounds), Run(tmp_path / "run"), name="folder", device="cpu"))
    same_run(tmp_path / "run", trained)


@pytest.mark.parametrize(("kept", "text"), [(True, "now has 4, with hail"), (False, "without rain, with hail")])
def test_other_classes_than_those_of_the_state_are_refused(trained, sounds, tmp_path, kept, text):
    shutil.copytree(trained, tmp_path / "run")
    root = shutil.copytree(sounds, tmp_path / "corpus" / "folder", ignore=shutil.ignore_patterns("shards"))
    for part in tiny.PARTS:
        shutil.copytree(root / part / "rain", root / part / "hail")
        if not kept:
            shutil.rmtree(root / part / "rain")
    tiny.good("extract", "--dataset", "folder", "--root", root, "-j", 1, *tiny.FRONT)
    done = tiny.slowfast("train", "folder", *words(root), "--run", tmp_path / "run", "--device", "cpu")
    assert done.code == 2
    assert text in done.err
    assert "--fresh, or train on from its weights with `slowfast finetune RECIPE --weights" in done.err


@pytest.mark.thorough
def test_interrupted_and_killed_it_still_learns_the_same(sounds, tmp_path):
    """Ctrl-C, then a SIGKILL, each at a step of its own, then the same command to its end."""
    command = ["train", "folder", *words(sounds, "schedule.epochs=8", "schedule.validate_every=4")]
    tiny.good(*command, "--run", tmp_path / "whole")
    run = tmp_path / "run"

    def until(logged):
        child = tiny.start(*command, "--run", run)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and child.poll() is None:
            if (run / "metrics.jsonl").is_file() and len((run / "metrics.jsonl").read_bytes().splitlines()) >= logged:
                return child
            time.sleep(0.005)
        child.kill()
        raise AssertionError(child.communicate()[1])

    with until(logged=3) as child:
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=60)
    assert child.returncode == 130
    assert f"interrupted; progress is saved in {run}: re-run the command to resume" in err
    assert "Traceback" not in err
    saved = load_state(run / "state.pt")["step"]
    assert 2 <= saved < 24
    assert max(line["step"] for line in numbers(run)) == saved

    with until(logged=len(numbers(run)) + 4) as child:
        child.kill()
        _, err = child.communicate()
    assert child.returncode == -signal.SIGKILL
    assert f"resuming at step {saved} of 24" in err
    assert saved <= load_state(run / "state.pt")["step"] < 24

    tiny.good(*command, "--run", run)
    same_run(run, tmp_path / "whole")


def test_a_torn_line_and_lines_beyond_the_state_are_dropped(trained, sounds, tmp_path):
    advance(recipe_of(sounds), tmp_path / "run", 2)
    with (tmp_path / "run" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "epoch": 1.0, "loss": 9.0}\n{"step": 4, "epo')
    list(stage.train(recipe_of(sounds), Run(tmp_path / "run"), name="folder", device="cpu"))
    same_run(tmp_path / "run", trained)


@pytest.mark.parametrize(
    "change",
    [
        {"step": -3}, {"step": 2.5}, {"step": None}, {"step": float("inf")}, {"step": torch.tensor(3)}, {"best": "x"},
        {"best": [1.0]}, {"optimizer": {}}, {"optimizer": 3}, {"model": {3: torch.zeros(1)}}, {"classes": {"label": 3}},
        {"unscored": torch.zeros(3)},
    ],
)  # fmt: skip
def test_states_that_are_not_of_this_training_are_refused(trained, sounds, tmp_path, change):
    training = state.build_training(recipe_of(sounds), Share(), torch.device("cpu"), smoke=False)
    stored = load_state(trained / "state.pt")
    assert training.restore(copy.deepcopy(stored), tmp_path / "state.pt") == stored["step"]
    with pytest.raises(SlowFastError, match=r"state\.pt: not a training state of this recipe .*--fresh"):
        training.restore({**stored, **change}, tmp_path / "state.pt")


@pytest.mark.parametrize(
    "line", [b"[]", b"3", b"x", b"\xff", b'{"loss": 1}', b'{"step": "1"}', b'{"step": 1, "loss": []}', b"[" * 9000]
)
def test_a_line_that_is_no_record_is_an_error_unless_it_is_torn(tmp_path, line):
    path = tmp_path / "metrics.jsonl"
    good = b'{"step": 1, "loss": 0.5}\n{"step": 2, "loss": null}\n'
    path.write_bytes(good + line)
    assert [record["step"] for record in lines(path)] == [1, 2]
    path.write_bytes(line + b"\n" + good)
    with pytest.raises(DataError, match=r"metrics\.jsonl: line 1: .*--fresh"):
        lines(path)


@pytest.mark.parametrize(
    ("content", "count"),
    [(b"", 0), (b"id,path,reason\n", 0), (b"id,path,reason\n\na,b,c\n", 1), (b"x\n\xff\xfe,b\n", 1)],
)
def test_the_list_of_broken_recordings_may_have_been_edited(tmp_path, content, count):
    (tmp_path / "broken.csv").write_bytes(content)
    run = Run(tmp_path)
    assert run.broken == count
    run.note_broken([Failure(id="new\udcff", path=tmp_path / "new", reason="its decoder failed")] * 2)
    assert run.broken == count + 1


def test_long_epochs_are_saved_in_between(sounds, tmp_path):
    """The next step runs while the checkpoint is written; its interval is not part of the identity of a run."""
    run = Run(tmp_path / "run")
    events = stage.train(recipe_of(sounds, "schedule.checkpoint_steps=2"), run, device="cpu")
    next(event for event in events if isinstance(event, Step) and event.number == 5)
    assert load_state(run.state)["step"] in (2, 3, 4)  # 3: the end of the epoch
    events.close()
    assert load_state(run.state)["step"] == 5
    run.require(recipe_of(sounds))


def test_a_finished_run_is_left_as_it_is(trained, sounds, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    before = {name: (tmp_path / "run" / name).stat().st_mtime_ns for name in ("last.safetensors", "state.pt")}
    done = tiny.good("train", "folder", *words(sounds), "--run", tmp_path / "run")
    assert "already finished, after 6 steps" in done.err
    assert before == {name: (tmp_path / "run" / name).stat().st_mtime_ns for name in before}


def test_fresh_moves_the_old_run_aside(trained, sounds, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    (run / "notes.txt").write_text("mine")
    other = words(sounds, "seed=1", "schedule.epochs=1")
    for number in (1, 2):
        tiny.good("train", "folder", *other, "--run", run, "--fresh")
        assert (tmp_path / f"run~{number}" / "last.safetensors").is_file()
    assert (tmp_path / "run~1" / "notes.txt").read_text() == "mine"
    assert not (run / "notes.txt").exists()
    assert [line["step"] for line in numbers(run)] == [1, 2, 3, 3]


def test_another_recipe_in_the_same_folder_is_refused(trained, sounds):
    before = (trained / "recipe.yaml").read_bytes(), (trained / "last.safetensors").read_bytes()
    done = tiny.slowfast("train", "folder", *words(sounds, "optim.lr=0.5", "seed=3"), "--run", trained)
    assert done.code == 2
    assert f"error: {trained / 'recipe.yaml'}: a run of another recipe" in done.err
    assert "optim.lr: 0.05 there, 0.5 now; seed: 0 there, 3 now" in done.err
    assert "--fresh" in done.err
    assert before == ((trained / "recipe.yaml").read_bytes(), (trained / "last.safetensors").read_bytes())


def test_what_is_no_part_of_learning_may_change(trained, sounds, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    shutil.copytree(sounds.parent, tmp_path / "elsewhere")
    moved = words(tmp_path / "elsewhere" / sounds.name, "data.workers=1", "measured.top1=12")
    tiny.good("train", "folder", *moved, "--run", tmp_path / "run")


@pytest.mark.parametrize("fresh", [False, True])
def test_two_trainings_on_one_folder(trained, sounds, tmp_path, fresh):
    """The second says so and stops; what the first is writing to is neither moved nor touched."""
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    with (run / ".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        before = {path.name: path.stat().st_mtime_ns for path in run.iterdir()}
        done = tiny.slowfast("train", "folder", *words(sounds), "--run", run, *(["--fresh"] if fresh else []))
        assert (done.code, done.err) == (
            1, f"error: {run}: another slowfast is training here; wait for it, or choose --run\n"
        )  # fmt: skip
        after = {path.name: path.stat().st_mtime_ns for path in run.iterdir()}
    assert {**after, ".lock": 0} == {**before, ".lock": 0}
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("below", ["run", "deep/run"])
def test_a_run_folder_that_cannot_be_made(sounds, tmp_path, below):
    (tmp_path / "file").touch()
    done = tiny.slowfast("train", "folder", *words(sounds), "--run", tmp_path / "file" / below)
    assert done.code == 1
    assert "cannot be written (" in done.err
    assert "--run" in done.err
    assert "defect" not in done.err
    done = tiny.slowfast("train", "folder", *words(sounds), "--run", tmp_path / "file")
    assert (done.code, "defect" in done.err, "--run" in done.err) == (1, False, True)


def test_a_loss_that_explodes_names_the_step_and_what_is_left(sounds, tmp_path):
    run = tmp_path / "run"
    done = tiny.slowfast("train", "folder", *words(sounds, "optim.lr=1e9", "optim.ema=0"), "--run", run)
    assert done.code == 1
    assert "error: step " in done.err
    assert "no checkpoint was written yet: try a lower optim.lr" in done.err
    assert not (run / "state.pt").exists()
    steady = words(sounds, "optim.lr=1e9", "optim.ema=0", "schedule.warmup_epochs=0")
    recipe = load("folder", steady)
    held = stage.fit
    try:  # three good steps, a checkpoint, and then a step that is not
        stage.fit = lambda *a, **options: _lowered(held, *a, **options)
        with pytest.raises(
            SlowFastError, match=r"step \d: .*; the last good checkpoint is .*state\.pt \(step 3, epoch 1"
        ):
            list(stage.train(recipe, Run(tmp_path / "late"), device="cpu"))
    finally:
        stage.fit = held
    assert all(value.isfinite().all() for value in load_state(tmp_path / "late" / "state.pt")["model"].values())


def _lowered(fit, model, loss, batches, optimizer, schedule, steps, **options):
    return fit(model, loss, batches, optimizer, lambda step: 1e-35 if step < 3 else 1.0, steps, **options)


def test_averaged_weights_are_the_running_average(sounds):
    decay = 0.5
    recipe = recipe_of(sounds, f"optim.ema={decay}")
    held = state.build_training(recipe, Share(), CPU, smoke=False)
    twin = None
    for step in stage._steps(held, range(6), 3):
        now = {name: value.detach().clone() for name, value in held.model.named_parameters()}
        weight = 1 - min(decay, step.number / (9 + step.number))  # n = number - 1 steps are averaged
        twin = now if step.number == 1 else {name: (1 - weight) * twin[name] + weight * now[name] for name in now}
        for name, value in held.ema.module.named_parameters():
            torch.testing.assert_close(value, twin[name], rtol=1e-5, atol=1e-7)
    assert held.scored is held.ema.module
    statistics = dict(held.model.named_buffers())
    assert all(torch.equal(value, statistics[name]) for name, value in held.scored.named_buffers())
    assert any(not torch.equal(value, twin[name]) for name, value in held.model.named_parameters())


def test_precise_norms_are_taken_before_scoring(sounds, tmp_path):
    """From batches that are the same whenever the run gets there."""
    recipe = recipe_of(sounds, "schedule.precise_bn_batches=2", "optim.ema=0")
    list(stage.train(recipe, Run(tmp_path / "whole"), name="folder", device="cpu"))
    advance(recipe, tmp_path / "run", 3)
    list(stage.train(recipe, Run(tmp_path / "run"), name="folder", device="cpu"))
    same_run(tmp_path / "run", tmp_path / "whole")
    plain = recipe_of(sounds, "optim.ema=0")
    list(stage.train(plain, Run(tmp_path / "plain"), name="folder", device="cpu"))
    assert numbers(tmp_path / "plain")[:3] == numbers(tmp_path / "whole")[:3]
    one, other = (load_model(tmp_path / name).state_dict() for name in ("whole", "plain"))
    assert any(not torch.equal(one[name], other[name]) for name in one if "running" in name)


@pytest.mark.parametrize(
    "more",
    [
        ["data.source=media"],
        # 64 bands: oneDNN's bfloat16 convolutions for AMX read memory that was never written if the output is 1 wide.
        ["optim.precision=bf16", "frontend.mels=64", "data.source=media", "optim.clip_norm=1"],
        ["optim.grad_accum_steps=2"],
        ["optim.name=adamw", "optim.nesterov=false", "optim.label_smoothing=0.1", "augment.gain_db=3"],
    ],
    ids=lambda more: more[0],
)
def test_options_run_and_leave_nothing(sounds, tmp_path, monkeypatch, more):
    monkeypatch.chdir(tmp_path)
    done = tiny.good("train", "folder", *words(sounds, *more), "--smoke")
    assert "epoch 1: loss " in done.err
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_says_what_it_would_cost(sounds, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = tiny.good("train", "folder", *words(sounds), "--dry-run")
    for reported in ("parameters", "GFLOPs a view", "1 x 60 x 32", "label 3", "peak memory", "6 (3 an epoch)"):
        assert reported in done.out
    assert "folder train: 12 of 12 segments (100.0%)" in done.out
    assert list(tmp_path.iterdir()) == []


def test_the_loss_of_a_dry_run_is_that_of_an_untrained_network(tmp_path):
    """Not that after a step of the recipe's rate on the same noise."""
    done = tiny.slowfast("train", "ssv2", f"data.root={tmp_path}", "model.width=8", "optim.lr=10", "--dry-run")
    loss = float(re.search(r"loss before training +label ([\d.]+)", done.out)[1])
    assert 4.5 < loss < 6  # ln 174 = 5.16


def test_a_dry_run_without_data_says_what_it_can(tmp_path):
    done = tiny.slowfast(
        "train", "esc10", f"data.root={tmp_path / 'none'}", "model.width=8", "optim.batch=4", "--dry-run"
    )
    assert done.code == 3
    assert "parameters" in done.out
    assert "none: does not exist; esc10 expects" in done.err


def test_a_wrong_metric_is_found_before_the_first_step(sounds, tmp_path):
    done = tiny.slowfast("train", "folder", *words(sounds, "metric=top_1"), "--run", tmp_path / "run")
    assert done.code == 2
    assert (
        "metric: task classify on folder has no 'top_1'; did you mean 'top1'?; choose one of top1, top5, map"
        in done.err
    )
    assert not (tmp_path / "run").exists()


def test_a_split_without_labels_teaches_nothing(kitchen):
    unlabelled = load("epic", [f"data.root={kitchen}", *tiny.EPIC_WORDS, *tiny.EPIC_SCRATCH, "data.train=test"])
    with pytest.raises(
        DataError, match=r"epic test: P33_01_0 lacks a label of some set .*set data.train to a labeled split"
    ):
        state.build_training(unlabelled, Share(), CPU, smoke=False)
    without_audio = load("epic", [f"data.root={kitchen}", *tiny.EPIC_WORDS, *tiny.EPIC_SCRATCH, "data.val=test"])
    with pytest.raises(DataError, match="this split has no labels to score against"):
        state.build_training(without_audio, Share(), CPU, smoke=False)


def test_batches_have_to_part_evenly(sounds):
    recipe = recipe_of(sounds, "optim.grad_accum_steps=2")
    with pytest.raises(UsageError, match=r"optim\.batch=4 is not divisible by 4 processes x 2 micro-batches"):
        state.build_training(recipe, Share(rank=0, world=4), CPU, smoke=False)
    recipe = recipe_of(sounds, "optim.sync_bn=true")
    with pytest.raises(UsageError, match=r"optim\.sync_bn: needs CUDA, and this is cpu"):
        state.build_training(recipe, Share(rank=0, world=2), CPU, smoke=False)
    with pytest.raises(DataError, match=r"split train: 12 segments do not fill a batch of 16: set optim\.batch"):
        state.build_training(recipe_of(sounds, "optim.batch=16"), Share(), CPU, smoke=False)


def test_folds_are_held_out_in_turn(tmp_path):
    root = tmp_path / "esc10"
    for number, (name, source) in enumerate({"001 - Dog bark": "rain.wav", "009 - Rooster": "rooster.flac"}.items()):
        for fold in range(1, 6):
            samples = tiny.sound(source, 0.5, skip=0.1 * fold)
            tiny.write(root / name / f"{fold}-{1000 * (number + 1) + fold}-A.wav", samples)
    tiny.good("extract", "--dataset", "esc10", "--root", root, "-j", 1, *tiny.FRONT)
    command = [
        "esc10", f"data.root={root}", *tiny.MODEL, "frontend.hop_ms=10", "data.clip_seconds=0.4", "optim.batch=4",
        "schedule.epochs=1", "~schedule.warmup_epochs", "~schedule.validate_every",
    ]  # fmt: skip
    for fold in (2, 5):
        recipe = load("esc10", [*command[1:], f"data.fold={fold}"])
        held = state.build_training(recipe, Share(), CPU, smoke=False)
        assert {segment.id[0] for segment in held.val.segments} == {str(fold)}
        assert {segment.id[0] for segment in held.train.segments} == set("12345") - {str(fold)}
        assert held.val.classes["label"][8] != held.val.classes["label"][9]
        assert len(held.val.classes["label"]) == 10
    done = tiny.good("train", *command, "data.fold=3", "--run", tmp_path / "run")
    assert "esc10 train3: 8 of 8 segments (100.0%); esc10 test3: 2 of 2 segments" in done.err
    done = tiny.slowfast("train", *command, "data.fold=6", "--run", tmp_path / "run")
    assert (done.code, "data.fold" in done.err) == (2, True)


@pytest.mark.processes
def test_two_processes_train_as_one_does(trained, sounds, tmp_path):
    """`--gpus 2` without a GPU: gloo. With norms that do not see the batch the numbers are those of one process."""
    more = [f"model.init={trained}", "model.freeze_bn=all", "model.dropout=0", "optim.lr=0.001"]
    still = ["augment.freq_masks=0", "augment.time_masks=0", "augment.warp=0", "augment.roll=false", "augment.mix=0"]
    command = ["train", "folder", *words(sounds, *more, *still)]
    tiny.good(*command, "--run", tmp_path / "one")
    done = tiny.process(*command, "--run", tmp_path / "two", "--gpus", "2")
    assert done.code == 0, done.err
    assert done.err.count("initial weights: ") == 1  # printed by rank 0 only
    one, two = numbers(tmp_path / "one"), numbers(tmp_path / "two")
    assert len(one) == len(two) == 8
    for mine, theirs in zip(one, two, strict=True):
        blank = dict.fromkeys((name for name, value in mine.items() if value is None), 0.0)  # d' of all right
        assert {**theirs, **blank} == pytest.approx({**mine, **blank}, rel=1e-4)
    alone, both = (load_model(tmp_path / name).state_dict() for name in ("one", "two"))
    for name, value in alone.items():
        torch.testing.assert_close(both[name], value, rtol=1e-3, atol=1e-5)


@pytest.mark.processes
@pytest.mark.slow
def test_three_processes_validate_as_one_does(trained, sounds, tmp_path):
    """Seven segments of two views, which three processes do not share evenly."""
    root = tmp_path / "sounds"
    shutil.copytree(sounds, root)
    tiny.write(root / "val" / "rain" / "more.wav", tiny.sound("rain.wav", 0.9))
    more = [f"model.init={trained}", "model.freeze_bn=all", "model.dropout=0", "optim.lr=1e-6", "optim.batch=12"]
    still = ["augment.freq_masks=0", "augment.time_masks=0", "augment.warp=0", "augment.roll=false", "augment.mix=0"]
    command = ["train", "folder", *words(root, *more, *still), "data.views=2", "data.source=media"]
    tiny.good(*command, "--run", tmp_path / "one")
    done = tiny.process(*command, "--run", tmp_path / "three", "--gpus", "3")
    assert done.code == 0, done.err
    one, three = (
        [
            {name: value for name, value in line.items() if name.startswith("val_") and value is not None}
            for line in numbers(tmp_path / name)
        ]
        for name in ("one", "three")
    )
    assert [line for line in one if line]
    for mine, theirs in zip(one, three, strict=True):
        assert theirs == pytest.approx(mine, rel=1e-3)


def test_the_best_weights_are_kept_beside_the_last_or_are_not(trained, sounds, tmp_path):
    scored = [line for line in numbers(trained) if "val_top1" in line]
    best = max(scored, key=lambda line: line["val_top1"])  # the first of equals
    assert read_card(trained / "best.safetensors").scores["top1"] == best["val_top1"]
    list(stage.train(recipe_of(sounds, "keep=last"), Run(tmp_path / "run"), name="folder", device="cpu"))
    assert not (tmp_path / "run" / "best.safetensors").exists()
    assert (tmp_path / "run" / "last.safetensors").read_bytes() == (trained / "last.safetensors").read_bytes()
    assert load_model(tmp_path / "run").card.scores["top1"] == scored[-1]["val_top1"]


def test_segments_without_sound_are_missing_and_counted(kitchen, tmp_path):
    root = tmp_path / "epic"
    shutil.copytree(kitchen, root)
    rows = root / "EPIC_100_train.csv"
    more = [
        tiny.epic_row("P01_01", 7, labelled=True, start=30.0, stop=31.0),  # after the end
        tiny.epic_row("P01_01", 8, labelled=True, start=3.5, stop=9.0),  # over the end
        tiny.epic_row("P05_05", 0, labelled=True),  # not on disk
    ]
    rows.write_text(rows.read_text() + "\n".join(more) + "\n")
    for source in ("shards", "media"):
        words = [f"data.root={root}", f"data.shards={tiny.shards(kitchen)}", *tiny.EPIC_WORDS, *tiny.EPIC_SCRATCH]
        held = state.build_training(load("epic", [*words, f"data.source={source}"]), Share(), CPU, smoke=False)
        assert (len(held.train.segments), held.train.listed) == (9, 11)
        reported = {failure.id: failure.reason for failure in held.train.missing}
        assert reported == {"P05_05_0": "not on disk", "P01_01_7": "starts at 30 s, but its recording ends at 4.00 s"}


def test_scores_are_reported_as_they_come(sounds, tmp_path):
    events = list(stage.train(recipe_of(sounds), Run(tmp_path / "run"), name="folder", device="cpu"))
    kinds = [type(event) for event in events]
    assert kinds == [Started, Step, Step, Step, Scored, Step, Step, Step, Scored, Finished]
    first, second = (event for event in events if isinstance(event, Scored))
    assert first.best
    assert second.best is (second.scores.values["top1"] > first.scores.values["top1"])
    assert (first.scores.found, first.scores.listed) == (6, 6)
    assert copy.copy(events[0]).parameters > 1000


@pytest.mark.processes
@pytest.mark.slow
def test_two_processes_are_interrupted_as_one_is(sounds, tmp_path):
    run = tmp_path / "run"
    child = tiny.start("train", "folder", *words(sounds, "schedule.epochs=300"), "--run", run, "--gpus", "2")
    deadline = time.monotonic() + 60
    while child.poll() is None and not (run / "metrics.jsonl").is_file() and time.monotonic() < deadline:
        time.sleep(0.01)
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=60)
    assert child.returncode == 130
    assert "re-run the command to resume" in err
    assert "Traceback" not in err
    assert load_state(run / "state.pt")["step"] == max(line["step"] for line in numbers(run))


@pytest.mark.processes
@pytest.mark.slow
def test_two_processes_fail_as_one_does(sounds, tmp_path):
    wrong = words(sounds, "frontend.mels=33")
    done = tiny.process("train", "folder", *wrong, "--run", tmp_path / "run", "--gpus", "2")
    assert done.code == 3
    assert "no log-mels here; made with other settings" in done.err
    assert "Traceback" not in done.err


@pytest.mark.thorough
def test_a_scheduler_that_ends_the_whole_group_loses_nothing(sounds, tmp_path):
    """`timeout` and batch systems send SIGTERM to the workers that read as well."""
    words = ["folder", *tiny.WORDS, f"data.root={sounds}", "data.workers=2", "schedule.epochs=400"]
    words += ["--run", tmp_path / "run"]
    with tiny.start("train", *words, start_new_session=True) as child:
        for _ in range(600):
            if (tmp_path / "run" / "state.pt").exists() or child.poll() is not None:
                break
            time.sleep(0.1)
        os.killpg(child.pid, signal.SIGTERM)
        _, err = child.communicate(timeout=60)
    assert "defect" not in err
    assert "re-run the command to resume" in err


@pytest.mark.cuda
@pytest.mark.parametrize("how", [(), ("precision=bf16", "graphs=true"), ("precision=fp16",), ("recompute=true",)])
def test_a_gpu_trains_stops_and_goes_on(sounds, tmp_path, how):
    recipe = recipe_of(sounds, *(f"optim.{word}" for word in how), "data.workers=2", "schedule.epochs=3")
    events = stage.train(recipe, Run(tmp_path / "run"), name="folder", device="cuda")
    with contextlib.closing(events):
        next(event for event in events if isinstance(event, Step) and event.number == 4)
    events = list(stage.train(recipe, Run(tmp_path / "run"), name="folder", device="cuda"))
    assert next(event for event in events if isinstance(event, Started)).first_step >= 4
    logged = [line for line in numbers(tmp_path / "run") if "loss" in line]
    assert [line["step"] for line in logged] == list(range(1, 10))
    assert all(line["loss"] < 10 for line in logged)
    assert isinstance(events[-1], Finished)


@pytest.mark.cuda
@pytest.mark.parametrize("graphs", [(), ("optim.cuda_graphs=true",)])
def test_nothing_on_the_way_of_a_step_waits_for_the_device(sounds, graphs):
    """PyTorch raises where something does; the losses come by a copy that is not waited for."""
    words = ["data.workers=0", "augment.freq_masks=2", "augment.time_masks=2", "augment.mix=0.3", *graphs]
    recipe = recipe_of(sounds, *words)
    made = state.build_training(recipe, Share(), torch.device("cuda"), smoke=False)
    steps = stage._steps(made, range(9), 3)
    seen = [next(steps) for _ in range(5)]
    torch.cuda.set_sync_debug_mode("error")
    try:
        seen += [next(steps) for _ in range(4)]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert [step.number for step in seen] == list(range(1, 10))


@pytest.mark.parametrize("line", ["[1, 2]", '{"loss": 1}', '{"step": NaN}', '{"step": "x"}', "\udcff{", "[" * 100000])
def test_a_damaged_line_of_the_metrics_is_named(trained, sounds, tmp_path, line):
    shutil.copytree(trained, tmp_path / "run")
    whole = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    text = "\n".join([whole[0], line, *whole[1:]]) + "\n"
    (tmp_path / "run" / "metrics.jsonl").write_bytes(text.encode("utf-8", "surrogateescape"))
    done = tiny.slowfast("train", "folder", *words(sounds), "--run", tmp_path / "run", "--device", "cpu")
    assert (done.code, f"{tmp_path / 'run' / 'metrics.jsonl'}: line 2: " in done.err) == (3, True)


@pytest.mark.parametrize(
    ("scores", "losses", "last"),
    [
        ((50, 60, 60, 60, 55, 99), (3, 3, 3, 4, 2, 1), 4),  # equal scores with an equal or a higher loss are not better
        ((50, 60, 60, 55, 60, 54, 53, 99), (9, 4, 3, 3, 2, 2, 2, 1), 7),  # those with a lower loss are
    ],
)
def test_patience_ends_a_training_that_no_longer_improves(sounds, tmp_path, monkeypatch, scores, losses, last):
    given, lost, real = iter(scores), iter(losses), stage.score_predictions

    def scripted(*arguments):
        return replace(real(*arguments), values={"top1": float(next(given))})

    monkeypatch.setattr(stage, "score_predictions", scripted)
    monkeypatch.setattr(stage, "validation_loss", lambda *arguments: float(next(lost)))
    run = tmp_path / "run"
    more = [f"schedule.epochs={len(scores)}", "schedule.patience=2", "schedule.validate_every=1", "keep=best"]
    tiny.good("train", "folder", *words(sounds, *more), "--run", run)
    validated = [line for line in map(json.loads, (run / "metrics.jsonl").open()) if "val_top1" in line]
    assert [line["val_top1"] for line in validated] == list(map(float, scores[:last]))
    assert read_card(run / "best.safetensors").scores == {"top1": 60}
    assert load_state(run / "state.pt")["best_loss"] == min(losses[: last - 2])
