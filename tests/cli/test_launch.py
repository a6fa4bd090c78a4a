"""One command in many processes: what is started, what is refused, and how it ends when one of them dies."""

import json
import os
import signal
import socket
import threading
import time
from types import SimpleNamespace

import pytest
import tiny
import torch

from slowfast_cli import load_model
from slowfast_cli.cli import launch
from slowfast_cli.cli.launch import Launch
from slowfast_cli.stages.train.run_folder import lines
from slowfast_cli.types import LostError, SlowFastError, UsageError


@pytest.fixture
def alone(monkeypatch):
    for name in [*os.environ]:
        if name.startswith(("SLURM_", "TORCHELASTIC_")) or name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", launch.FOLDER):
            monkeypatch.delenv(name)
    return monkeypatch


@pytest.fixture
def started(alone):
    """What torchrun is asked for, which then does nothing."""
    from torch.distributed import run

    asked = []
    alone.setattr(run, "run", asked.append)
    return asked


MISTAKES = [
    (["--nodes", 2], "--nodes 2: needs --rdzv-endpoint HOST:PORT"),
    (
        ["--rdzv-endpoint", "node1:29500"],
        "--rdzv-endpoint node1:29500: is for several machines: set their number with --nodes N",
    ),
    (["--nodes", 2, "--rdzv-endpoint", "node1"], "--rdzv-endpoint node1: expected HOST:PORT, such as node1:29500"),
    (["--nodes", 2, "--rdzv-endpoint", ":29500"], "--rdzv-endpoint :29500: expected HOST:PORT"),
    (["--nodes", 2, "--rdzv-endpoint", "node1:port"], "--rdzv-endpoint node1:port: expected HOST:PORT"),
    (["--nodes", 2, "--rdzv-endpoint", "node1:70000"], "--rdzv-endpoint node1:70000: expected HOST:PORT"),
    (["--nodes", 0], "--nodes"),
    (["--gpus", 0], "--gpus"),
    (["--max-restarts", -1], "--max-restarts"),
]
COMMANDS = [
    ["train", "folder"],
    ["finetune", "folder", "-w", "x.safetensors"],
    ["evaluate", "folder"],
    ["evaluate", "hares", "-w", "random:sf-nfnet-f0"],
    ["ablate", "vggsound", "--table", "3"],
    ["extract", "--dataset", "esc10", "--root", "/nowhere"],
]


@pytest.mark.parametrize(("words", "told"), MISTAKES, ids=[" ".join(map(str, words)) for words, _ in MISTAKES])
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command[:2]))
def test_numbers_that_make_no_sense_are_refused(alone, tmp_path, command, words, told):
    alone.chdir(tmp_path)
    done = tiny.slowfast(*command, *words)
    assert (done.code, done.out) == (2, ""), done.err
    assert told in " ".join(done.err.replace("│", " ").split())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command[:2]))
def test_every_command_of_much_work_starts_itself_in_each_process(alone, started, tmp_path, command):
    alone.chdir(tmp_path)
    alone.setattr(torch, "cuda", SimpleNamespace(device_count=lambda: 8, is_available=lambda: True))
    words = [*command, "--gpus", "8", "--nodes", "2", "--rdzv-endpoint", "node1:29500", "--max-restarts", "3"]
    assert tiny.slowfast(*words).code == 0
    (asked,) = started
    assert (asked.training_script, asked.module, asked.training_script_args) == ("slowfast_cli", True, words)
    assert (asked.nproc_per_node, asked.nnodes, asked.max_restarts) == ("8", "2", 3)
    assert (asked.rdzv_backend, asked.rdzv_endpoint, asked.standalone) == ("c10d", "node1:29500", False)
    assert launch.FOLDER not in os.environ


def test_one_machine_needs_no_meeting_place(alone, started):
    alone.setattr(launch.sys, "argv", ["slowfast", "train", "epic", "--run", "here", "--gpus=2", "--debug"])
    with pytest.raises(SystemExit) as end:
        Launch(gpus=2).start()
    assert end.value.code == 0
    assert (started[0].standalone, started[0].nproc_per_node, started[0].max_restarts) == (True, "2", 0)
    assert started[0].training_script_args == ["train", "epic", "--run", "here", "--gpus=2", "--debug"]
    Launch(gpus=1).start()
    assert len(started) == 1  # this process is enough
    with pytest.raises(SystemExit):
        Launch(max_restarts=2).start()  # but it cannot start itself again
    alone.setenv("WORLD_SIZE", "2")
    Launch(gpus=2).start()
    assert len(started) == 2  # this is one of them


def test_two_commands_that_differ_do_not_meet():
    one, two = (
        launch._rendezvous(Launch(nodes=2, rdzv_endpoint="node1:29500"), ["train", recipe])
        for recipe in ("epic", "vggsound")
    )
    assert one[:3] == two[:3]
    assert one[3] != two[3]


def test_gpus_are_counted_before_anything_starts(alone, started):
    alone.setattr(torch, "cuda", SimpleNamespace(device_count=lambda: 1, is_available=lambda: True))
    with pytest.raises(SlowFastError, match="--gpus 2: this machine has 1"):
        Launch(gpus=2).start()
    assert started == []


def test_processes_that_srun_has_started_are_not_multiplied(alone, started):
    alone.setenv("SLURM_STEP_NUM_TASKS", "16")
    with pytest.raises(UsageError, match="--gpus 8: srun has started 16 processes already"):
        Launch(gpus=8).start()
    with pytest.raises(UsageError, match="--ntasks-per-node=1"):
        Launch(gpus=8, nodes=2, rdzv_endpoint="node1:29500").start()
    alone.setenv("SLURM_STEP_NUM_TASKS", "2")
    alone.setattr(torch, "cuda", SimpleNamespace(device_count=lambda: 8, is_available=lambda: True))
    with pytest.raises(SystemExit):
        Launch(gpus=8, nodes=2, rdzv_endpoint="node1:29500").start()  # one task a node
    assert len(started) == 1


def test_one_process_reports_a_mistake_and_ends_all(alone, tmp_path):
    """Whoever reports has shown the error and left its code before the run ends; the others wait for that."""
    events, mistake, lost = [], UsageError("x: wrong"), LostError("rank 1 is gone")
    alone.setattr(launch.os, "kill", lambda process, number: events.append((process, number)))

    def show():
        assert launch._exit_code(tmp_path, default=130) == 130
        events.append("shown")

    launch.report(mistake, 2, show)
    assert events == ["shown"]  # no launcher has started this process
    alone.setenv(launch.FOLDER, str(tmp_path))
    launch.report(lost, 1, show)
    launch.report(ZeroDivisionError(), 1, show)
    assert events == ["shown"] * 3  # these may succeed after a restart
    alone.setenv(launch.LAUNCHER, str(os.getppid()))
    launch.report(mistake, 2, show)
    assert events == ["shown"] * 4 + [(os.getppid(), signal.SIGTERM)]
    assert launch._exit_code(tmp_path, default=130) == 2
    launch.report(mistake, 2, show)
    launch.report(lost, 1, show)
    assert len(events) == 5


def test_a_second_process_waits_for_the_report(alone, tmp_path):
    alone.setenv(launch.FOLDER, str(tmp_path))
    (tmp_path / "claimed").touch()
    began = time.monotonic()
    timer = threading.Timer(0.4, (tmp_path / "code").write_text, ["2"])
    timer.start()
    launch.report(UsageError("x: wrong"), 2, lambda: pytest.fail("another process has claimed the report"))
    assert time.monotonic() - began > 0.3
    timer.join()


def test_a_process_knows_whether_it_takes_the_place_of_another(alone, tmp_path):
    assert not launch.is_restart()
    alone.setenv(launch.FOLDER, str(tmp_path))
    assert [launch.is_restart(), launch.is_restart()] == [False, False]
    launch.mark_started()
    assert launch.is_restart()
    alone.setenv(launch.FOLDER, str(tmp_path / "gone"))
    launch.mark_started()


def test_a_process_that_was_killed_is_told_of(tmp_path, capsys):
    launch._report_death(tmp_path, 1, -9, 2)
    assert (
        "error: after 2 restarts: process 1 was killed by signal 9 (9 often means out of memory"
        in capsys.readouterr().err
    )
    launch._report_death(tmp_path, 1, 3, 0)
    (tmp_path / "code").write_text("3")
    launch._report_death(tmp_path, 1, -15, 0)
    assert capsys.readouterr().err == ""


def training(sounds, run, *more):
    words = [f"data.root={sounds}", *tiny.WORDS, "schedule.epochs=10", "schedule.validate_every=10"]
    return ["train", "folder", *words, "schedule.checkpoint_steps=4", "--gpus", 2, "--run", run, *more]


@pytest.fixture(scope="module")
def undisturbed(sounds, tmp_path_factory):
    """A training by two processes that nothing interrupts."""
    run = tmp_path_factory.mktemp("undisturbed") / "run"
    done = tiny.process(*training(sounds, run))
    assert done.code == 0, done.err
    return run


def killed(command, run, rank):
    """Kill one process after the first checkpoint; what the launcher then makes of it."""
    child = tiny.start(*command)
    try:
        deadline = time.monotonic() + 60
        while not (run / "state.pt").is_file() and child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(tiny.ranks(child.pid)[rank], signal.SIGKILL)
        out, err = child.communicate(timeout=90)
    finally:
        child.kill()
    return tiny.Done(child.returncode, out, err)


@pytest.mark.parametrize(
    ("rank", "more"),
    [(1, ["--fresh"]), pytest.param(0, ["data.workers=1"], marks=pytest.mark.slow)],
    ids=["the last", "the first, which holds the lock and has workers that read"],
)
def test_a_killed_process_starts_again_from_the_last_checkpoint(sounds, undisturbed, tmp_path, rank, more):
    run = tmp_path / "run"
    done = killed(training(sounds, run, "--max-restarts", 1, *more), run, rank)
    assert done.code == 0, done.err
    assert "resuming at step" in done.err
    assert "defect" not in done.err
    assert [line["step"] for line in lines(run / "metrics.jsonl") if "loss" in line] == [*range(1, 31)]
    assert not list(tmp_path.glob("run~*"))  # --fresh was meant for the first start
    one, two = (load_model(each).state_dict() for each in (undisturbed, run))
    for name, value in one.items():
        assert torch.equal(two[name], value), name
    losses = [[line["loss"] for line in lines(each / "metrics.jsonl") if "loss" in line] for each in (undisturbed, run)]
    assert losses[0] == losses[1]


@pytest.mark.slow
def test_a_process_that_dies_once_more_than_allowed_ends_all(sounds, tmp_path):
    run = tmp_path / "run"
    done = killed(training(sounds, run, "schedule.epochs=400"), run, 1)
    assert done.code == 1
    assert "Traceback" not in done.err
    assert "defect" not in done.err


def test_a_mistake_is_told_once_and_not_tried_again(sounds, tmp_path):
    began = time.monotonic()
    command = training(sounds, tmp_path / "run", "frontend.mels=33", "--max-restarts", 3)
    done = tiny.process(*command)
    assert done.code == 3, done.err
    assert done.err.count("no log-mels here; made with other settings") == 1
    assert done.err.count("error:") == 1
    assert "Traceback" not in done.err
    print(f"a mistake of 2 processes, 3 restarts allowed: {time.monotonic() - began:.1f} s")


def meeting(command):
    """A command of two machines: of one process each, that meet at a free port of this one."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    return [*(word if word != 2 else 1 for word in command), "--nodes", 2, "--rdzv-endpoint", f"localhost:{port}"]


def test_two_machines_meet(sounds, undisturbed, tmp_path):
    """Two launchers on this one, a process each: what `--nodes 2` does between machines."""
    command = meeting(training(sounds, tmp_path / "run"))
    both = [tiny.start(*command) for _ in range(2)]
    for child in both:
        _, err = child.communicate(timeout=90)
        assert child.returncode == 0, err
    one, two = (load_model(each).state_dict() for each in (undisturbed, tmp_path / "run"))
    assert all(torch.equal(two[name], value) for name, value in one.items())
    told = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert told["world"] == 2


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_killed_on_one_machine_restarts_those_on_all(sounds, undisturbed, tmp_path, rank):
    run = tmp_path / "run"
    command = meeting(training(sounds, run, "--max-restarts", 3))
    both = [tiny.start(*command) for _ in range(2)]
    deadline = time.monotonic() + 60
    while not (run / "state.pt").is_file() and time.monotonic() < deadline:
        time.sleep(0.01)
    (killed_one,) = (found[rank] for child in both if rank in (found := tiny.ranks(child.pid)))
    os.kill(killed_one, signal.SIGKILL)
    errors = []
    for child in both:
        _, err = child.communicate(timeout=180)
        errors.append(err)
        assert child.returncode == 0, err
    assert "resuming at step" in "".join(errors)
    assert [line["step"] for line in lines(run / "metrics.jsonl") if "loss" in line] == [*range(1, 31)]
    one, two = (load_model(each).state_dict() for each in (undisturbed, run))
    assert all(torch.equal(two[name], value) for name, value in one.items())


@pytest.mark.slow
def test_a_mistake_on_one_machine_ends_the_others(sounds, tmp_path):
    """Here the data is not where the command says; there it is, and nobody comes."""
    command = meeting(training(sounds, tmp_path / "run", "--max-restarts", 3, "frontend.mels=33"))
    both = [tiny.start(*command) for _ in range(2)]
    began = time.monotonic()
    codes = []
    for child in both:
        child.communicate(timeout=90)
        codes.append(child.returncode)
    assert 3 in codes
    assert 0 not in codes
    assert time.monotonic() - began < 60
