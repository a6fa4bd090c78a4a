"""Several processes see what one would; run for real, with gloo, on the CPU."""

import json
import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tiny
import torch

from slowfast_cli.engine import distributed
from slowfast_cli.types import LostError, Share, SlowFastError

SCRIPT = Path(__file__).with_name("two_processes.py")


@pytest.fixture
def alone(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "SLURM_NTASKS", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def run_here(out, monkeypatch):
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), str(out)])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    return json.loads(out.read_text())


def run(out, *launcher):
    command = [sys.executable, *launcher, str(SCRIPT), str(out)]
    done = subprocess.run(command, env=tiny.environment(), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(out.read_text())


@pytest.mark.processes
def test_two_processes_take_the_steps_of_one(tmp_path, alone):
    (one,) = run_here(tmp_path / "one.json", alone)
    two = run(tmp_path / "two.json", "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    assert len(two) == 2
    for rank in two:
        assert rank["losses"] == pytest.approx(one["losses"], rel=1e-5)
        assert rank["norms"] == pytest.approx(one["norms"], rel=1e-4)
        assert rank["weights"] == pytest.approx(one["weights"], rel=1e-4, abs=1e-6)
        assert rank["running_mean"] == 0.5
        assert rank["clips"] == one["clips"] / 2
        assert rank["stopped"] == one["stopped"] == "step 2: the loss is {'label': nan}"
    assert one["running_mean"] == 0.0
    assert two[0]["weights"] == two[1]["weights"]


def test_one_process_is_alone(alone):
    assert distributed.join() == Share(rank=0, world=1)
    assert distributed.gather([1, 2], Share()) == [1, 2]
    distributed.barrier(Share())
    distributed.leave()
    assert distributed.mean({"a": torch.tensor(2.5)}) == {"a": torch.tensor(2.5)}
    alone.setenv("SLURM_NTASKS", "1")
    alone.setenv("SLURM_PROCID", "0")
    assert distributed.join() == Share()


def test_nobody_to_meet_is_an_error_that_says_where(alone):
    alone.setattr(distributed, "TIMEOUT", distributed.timedelta(seconds=1))
    for name, value in {"SLURM_NTASKS": "2", "SLURM_PROCID": "1", "SLURM_LOCALID": "1"}.items():
        alone.setenv(name, value)
    alone.delenv("MASTER_ADDR", raising=False)
    with pytest.raises(SlowFastError, match=r"rank 1 of 2 did not reach the others at \?:\?"):
        distributed.join()
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):  # what joining has set
        os.environ.pop(name)  # and not by monkeypatch, which would put it back


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there(alone):
    assert distributed.device() == torch.device("cpu")
    with pytest.raises(SlowFastError, match=r"--device cuda:3: torch .* sees no CUDA GPU; use --device cpu"):
        distributed.device("cuda:3")


@pytest.mark.processes
def test_three_tasks_of_srun_meet_and_speak_to_each_other(tmp_path):
    """Without a cluster: its variables, here."""
    command = [sys.executable, str(SCRIPT.with_name("slurm_task.py")), str(tmp_path / "out.json")]
    job = {
        "SLURM_NTASKS": "3", "SLURM_STEP_NUM_TASKS": "3", "SLURM_JOB_ID": str(os.getpid()), "SLURM_STEP_ID": "0",
        "SLURM_STEP_NODELIST": "localhost",
    }  # fmt: skip
    tasks = [
        subprocess.Popen(
            command,
            env=tiny.environment(**job, SLURM_PROCID=str(rank), SLURM_LOCALID=str(rank)),
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(3)
    ]
    codes = [(task.communicate(timeout=120)[1], task.returncode)[1] for task in tasks]
    assert codes[2] == -signal.SIGKILL
    found = json.loads((tmp_path / "out.json").read_text())
    for rank, reported in enumerate(found["reported"]):
        assert reported["share"] == [rank, 3]
        assert reported["stops"] == [2, 2]
        assert reported["problem"] == "x: broken"
        assert reported["before"] == []
        assert reported["posted"] == {"1": {"done": 11}, "2": {"done": 22}}
    assert found["lost"]  # the others have noticed at once that one is gone


def test_what_tells_that_another_process_is_gone():
    assert distributed.is_lost(LostError("rank 1 did not meet the others"))
    assert distributed.is_lost(RuntimeError("[gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]"))
    assert distributed.is_lost(torch.distributed.DistNetworkError("x"))
    assert not distributed.is_lost(RuntimeError("shapes do not match"))
    assert not distributed.is_lost(SlowFastError("disk full"))


def test_a_long_wait_for_other_machines_is_announced(monkeypatch, capsys):
    monkeypatch.setattr(distributed, "PATIENCE", 0.02)
    with distributed.announced("waiting for node2"):
        time.sleep(0.2)
    with distributed.announced("not this one"):
        pass
    time.sleep(0.05)
    assert capsys.readouterr().err == "waiting for node2\n"
