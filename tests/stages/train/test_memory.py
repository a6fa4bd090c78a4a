"""Memory estimated without a step, and the batch that fits into it."""

import subprocess
import sys

import pytest
import tiny
import torch

from slowfast_cli.recipe.load import load
from slowfast_cli.stages.train import memory
from slowfast_cli.stages.train.auto_batch import batch_words
from slowfast_cli.stages.train.run_folder import Run
from slowfast_cli.types import UsageError

CPU = torch.device("cpu")
MIB = 2**20
MEASURE = """
import sys, torch
from slowfast_cli.build.trial_step import TrialStep
from slowfast_cli.recipe.load import load
step = TrialStep(load(sys.argv[1], sys.argv[3:]), int(sys.argv[2]), torch.device("cpu"))
for _ in range(2):
    step.backward(step.forward())
    step.update()
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.fixture
def recipe():
    return load("vggsound", ["model.width=8", "optim.batch=8"])


def test_tensors_are_linear_in_the_clips(recipe):
    one, two, four = (memory.tensor_bytes(recipe, clips) for clips in (1, 2, 4))
    assert four - two == pytest.approx(2 * (two - one), rel=0.05)


def test_ema_and_adam_take_copies_of_the_parameters(recipe):
    def weights(*words):
        return memory.tensor_bytes(load("vggsound", ["model.width=32", "data.clip_seconds=0.2", *words]), 1)

    parameters = 4 * 6_700_000
    plain = weights("optim.momentum=0", "optim.nesterov=false")
    assert weights() - plain > 0.8 * parameters
    assert weights("optim.ema=0.99") - weights() > 0.8 * parameters


@pytest.mark.parametrize("word", ["optim.activation_checkpointing=true", "optim.precision=bf16"])
def test_options_that_save_memory_lower_the_estimate(recipe, word):
    less = load("vggsound", ["model.width=8", "optim.batch=8", word])
    assert memory.tensor_bytes(less, 8) < 0.8 * memory.tensor_bytes(recipe, 8)


@pytest.mark.parametrize("name", ["vggsound", "kinetics-av", "simclr", "hares", "ava"])
def test_every_kind_of_recipe_can_be_estimated(name):
    words = [] if name == "hares" else ["model.width=8"]
    assert memory.tensor_bytes(load(name, words), 2) > 10 * MIB


@pytest.mark.thorough
@pytest.mark.skipif(not memory.MEMINFO.exists(), reason="needs Linux")
@pytest.mark.parametrize(("name", "clips"), [("vggsound", 4), ("esc10", 32), ("folder-video", 8)])
def test_the_estimate_is_near_the_peak_of_a_process(name, clips):
    words = ["data.corpus=kinetics400"] if name == "folder-video" else []
    done = subprocess.run([sys.executable, "-c", MEASURE, name, str(clips), *words],
                          capture_output=True, text=True, check=True)  # fmt: skip
    measured = int(done.stdout) * 1024
    estimated = memory._with_overhead(memory.tensor_bytes(load(name, words), clips), "cpu")
    assert 0.8 * measured < estimated < 1.6 * measured


def test_the_largest_power_of_two_that_fits_is_chosen(recipe, monkeypatch):
    def batch(gib, most=1000, processes=1):
        monkeypatch.setattr(memory, "free_bytes", lambda at: gib * 2**30)
        return memory.largest_batch(recipe, CPU, most=most, processes=processes)

    chosen = batch(8)
    assert chosen & (chosen - 1) == 0
    needs = [memory._with_overhead(memory.tensor_bytes(recipe, clips), "cpu") for clips in (chosen, 2 * chosen)]
    assert needs[0] < 0.7 * 8 * 2**30 < 1.1 * needs[1]
    assert batch(8, most=20) == 16
    assert batch(8, processes=2) in (chosen, chosen // 2)
    with pytest.raises(UsageError, match=r"a micro-batch of 1 needs about 0\.5 GiB, and 0\.3 GiB may be used"):
        batch(0.5)


def test_free_memory_is_that_of_the_container(tmp_path, monkeypatch):
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 8000 kB\nMemAvailable: 6000 kB\n")
    monkeypatch.setattr(memory, "MEMINFO", meminfo)
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    assert memory.free_bytes(CPU) == 6000 * 1024
    (tmp_path / "memory.current").write_text("1000000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.free_bytes(CPU) == 6000 * 1024
    (tmp_path / "memory.max").write_text("3000000\n")
    assert memory.free_bytes(CPU) == 2_000_000
    meminfo.unlink()
    (tmp_path / "memory.max").unlink()
    with pytest.raises(UsageError, match=r"does not say how much memory is free: set optim\.batch=N"):
        memory.free_bytes(CPU)


def test_a_batch_that_was_chosen_is_kept_when_the_run_resumes(sounds, tmp_path, monkeypatch):
    words = [f"data.root={sounds}", *tiny.WORDS, "data.source=media", "optim.batch=4", "optim.lr=0.1"]
    run = tmp_path / "run"
    sizes = iter([2, 4])
    monkeypatch.setattr("slowfast_cli.stages.train.auto_batch.largest_batch", lambda *_, **__: next(sizes))
    done = tiny.good("train", "folder", *words, "--batch", "auto", "--run", run)
    assert "--batch auto: optim.batch=2 optim.lr_batch=4 optim.grad_accum_steps=1" in done.err
    recipe = load("folder", words)
    assert batch_words(recipe, Run(run), "cpu")[0] == "optim.batch=2"
    other = load("folder", [*words, "optim.lr=0.2"])
    assert batch_words(other, Run(run), "cpu")[0] == "optim.batch=4"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--batch", "many"], "--batch many: expected auto or a number of clips"),
        (["--batch", "auto", "--gpus", "2"], "--batch auto: is for one process: --dry-run prints the batch of several"),
        (["--batch", "auto", "optim.bn_batch_size=2"], "--batch auto: optim.bn_batch_size=2 fixes the clips in memory"),
    ],
)
def test_batches_that_cannot_be_chosen_are_refused(sounds, words, message):
    done = tiny.slowfast("train", "folder", f"data.root={sounds}", *tiny.WORDS, *words)
    assert done.code == 2
    assert message in done.err
