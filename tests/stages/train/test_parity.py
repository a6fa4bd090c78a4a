"""Twenty steps in float64 with the settings of `epic` and `vggsound`, equal to a slow twin in plain torch.

`parity_engine` says what is replaced: the batches, a small network, no dropout, other rates and a warm-up. What depends
on how a batch is split is a norm's statistics: the twin takes the same parts, or all norms are frozen.
"""

import functools
import json
import subprocess
import sys

import parity_engine as engine
import pytest
import tiny

twin = functools.cache(engine.twin)
STEPS = range(engine.STEPS)
EXACT = {"rel": 1e-12, "abs": 0}


@pytest.mark.parametrize("name", ["epic", "vggsound"])
def test_steps_are_those_of_the_twin(name):
    losses = engine.losses(engine.training(name), name, STEPS)
    assert losses == pytest.approx(twin(name), **EXACT)
    assert len(set(losses)) == 20


@pytest.mark.parametrize("name", ["epic", pytest.param("vggsound", marks=pytest.mark.thorough)])
def test_a_run_resumed_at_its_seventh_step_takes_them_too(name, tmp_path):
    assert engine.resumed(name, 7, tmp_path / "state.pt") == pytest.approx(twin(name), **EXACT)


@pytest.mark.parametrize(
    ("frozen", "parts"), [("all", 1), pytest.param("all-but-first", 2, marks=pytest.mark.thorough)]
)
def test_accumulated_gradients_take_them_too(frozen, parts):
    words = ("optim.grad_accum_steps=2", f"model.freeze_bn={frozen}")
    losses = engine.losses(engine.training("epic", *words), "epic", STEPS)
    assert losses == pytest.approx(twin("epic", parts, frozen), **EXACT)


@pytest.mark.processes
def test_two_processes_take_them_too(tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command += [engine.__file__, str(tmp_path / "two.json")]
    done = subprocess.run(command, env=tiny.environment(), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    ranks = json.loads((tmp_path / "two.json").read_text())
    assert len(ranks) == 2
    for rank in ranks:
        assert rank["all"] == pytest.approx(twin("epic", 1, "all"), **EXACT)
        assert rank["all-but-first"] == pytest.approx(twin("epic", 2), **EXACT)
