"""A command in several processes: launch options, restarts, errors and several machines."""

import json
import os
import signal
import socket
import threading
import time
from dataclasses import fields
from types import SimpleNamespace

import pytest
import tiny
import torch
import typer
from torch.distributed import TCPStore

from slowfast_cli import load_model
from slowfast_cli.cli import launch
from slowfast_cli.cli.app import app
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
    """Arguments of torchrun, which is replaced and starts nothing."""
    from torch.distributed import run

    calls = []
    alone.setattr(run, "run", calls.append)
    return calls


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


@pytest.mark.parametrize(("words", "message"), MISTAKES, ids=[" ".join(map(str, words)) for words, _ in MISTAKES])
def test_inconsistent_launch_options_are_refused(alone, tmp_path, words, message):
    alone.chdir(tmp_path)
    done = tiny.slowfast("train", "folder", *words)
    assert (done.code, done.out) == (2, ""), done.err
    assert message in " ".join(done.err.replace("│", " ").split())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command[:2]))
def test_all_commands_share_the_launch_options(alone, tmp_path, command):
    """The same declarations, and `Launch.require` runs before anything is read or written."""
    alone.chdir(tmp_path)
    tree = typer.main.get_command(app)
    names = {field.name for field in fields(Launch)}
    shared = [
        {
            p.name: (p.opts, p.help, p.default, getattr(p, "min", None))
            for p in tree.commands[each].params
            if p.name in names
        }
        for each in ("train", command[0])
    ]
    assert shared[0] == shared[1]
    assert shared[0].keys() == names
    done = tiny.slowfast(*command, "--nodes", 2)
    assert (done.code, done.out) == (2, ""), done.err
    assert "--nodes 2: needs --rdzv-endpoint HOST:PORT" in done.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command[:2]))
def test_a_launched_command_runs_itself_in_each_process(alone, started, tmp_path, command):
    alone.chdir(tmp_path)
    alone.setattr(torch, "cuda", SimpleNamespace(device_count=lambda: 8, is_available=lambda: True))
    words = [*command, "--gpus", "8", "--nodes", "2", "--rdzv-endpoint", "node1:29500", "--max-restarts", "3"]
    assert tiny.slowfast(*words).code == 0
    (arguments,) = started
    assert (arguments.training_script, arguments.module, arguments.training_script_args) == (
        "slowfast_cli",
        True,
        words,
    )
    assert (arguments.nproc_per_node, arguments.nnodes, arguments.max_restarts) == ("8", "2", 3)
    assert (arguments.rdzv_backend, arguments.rdzv_endpoint, arguments.standalone) == ("c10d", "node1:29500", False)
    assert launch.FOLDER not in os.environ


def test_one_machine_needs_no_rendezvous(alone, started):
    alone.setattr(launch.sys, "argv", ["slowfast", "train", "epic", "--run", "here", "--gpus=2", "--debug"])
    with pytest.raises(SystemExit) as end:
        Launch(gpus=2).start()
    assert end.value.code == 0
    assert (started[0].standalone, started[0].nproc_per_node, started[0].max_restarts) == (True, "2", 0)
    assert started[0].training_script_args == ["train", "epic", "--run", "here", "--gpus=2", "--debug"]
    Launch(gpus=1).start()
    assert len(started) == 1  # one process needs no launcher
    with pytest.raises(SystemExit):
        Launch(max_restarts=2).start()  # restarts do need one
    alone.setenv("WORLD_SIZE", "2")
    Launch(gpus=2).start()
    assert len(started) == 2  # this process was launched already


def test_different_commands_use_different_rendezvous():
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
    """The reporting process prints the error and stores its exit code before it ends the run."""
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
    timer = threading.Timer(0.4, (tmp_path / "code").write_text, ["2"])
    timer.start()
    launch.report(UsageError("x: wrong"), 2, lambda: pytest.fail("another process has claimed the report"))
    assert (tmp_path / "code").read_text() == "2"  # it returns after the report only
    timer.join()


def test_a_restarted_process_is_recognized(alone, tmp_path):
    assert not launch.is_restart()
    alone.setenv(launch.FOLDER, str(tmp_path))
    assert [launch.is_restart(), launch.is_restart()] == [False, False]
    launch.mark_started()
    assert launch.is_restart()
    alone.setenv(launch.FOLDER, str(tmp_path / "gone"))
    launch.mark_started()


def test_a_killed_process_is_reported(tmp_path, capsys):
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
    """A run of two processes without interruption."""
    run = tmp_path_factory.mktemp("undisturbed") / "run"
    done = tiny.process(*training(sounds, run))
    assert done.code == 0, done.err
    return run


def killed(command, run, rank):
    """Kill one process after the first checkpoint; return the result of the launcher."""
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


@pytest.mark.processes
@pytest.mark.parametrize(
    ("rank", "more"),
    [(1, ["--fresh"]), pytest.param(0, ["data.workers=1"], marks=pytest.mark.slow)],
    ids=["last rank", "first rank, with reading workers"],
)
def test_a_killed_process_restarts_from_the_last_checkpoint(sounds, undisturbed, tmp_path, rank, more):
    run = tmp_path / "run"
    done = killed(training(sounds, run, "--max-restarts", 1, *more), run, rank)
    assert done.code == 0, done.err
    assert "resuming at step" in done.err
    assert "defect" not in done.err
    assert [line["step"] for line in lines(run / "metrics.jsonl") if "loss" in line] == [*range(1, 31)]
    assert not list(tmp_path.glob("run~*"))  # --fresh applies to the first start only
    one, two = (load_model(each).state_dict() for each in (undisturbed, run))
    for name, value in one.items():
        assert torch.equal(two[name], value), name
    losses = [[line["loss"] for line in lines(each / "metrics.jsonl") if "loss" in line] for each in (undisturbed, run)]
    assert losses[0] == losses[1]


@pytest.mark.slow
def test_one_death_too_many_ends_the_run(sounds, tmp_path):
    run = tmp_path / "run"
    done = killed(training(sounds, run, "schedule.epochs=400"), run, 1)
    assert done.code == 1
    assert "Traceback" not in done.err
    assert "defect" not in done.err


@pytest.mark.processes
def test_a_mistake_is_reported_once_and_not_retried(sounds, tmp_path):
    command = training(sounds, tmp_path / "run", "frontend.mels=33", "--max-restarts", 3)
    done = tiny.process(*command)
    assert done.code == 3, done.err
    assert done.err.count("no log-mels here; made with other settings") == 1
    assert done.err.count("error:") == 1
    assert "Traceback" not in done.err


def two_nodes(command):
    """The command for two nodes with one process each; both run on this machine."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    return [*(word if word != 2 else 1 for word in command), "--nodes", 2, "--rdzv-endpoint", f"localhost:{port}"]


@pytest.mark.processes
def test_two_nodes_train_like_one(sounds, undisturbed, tmp_path):
    """Two launchers on this machine, one process each."""
    command = two_nodes(training(sounds, tmp_path / "run"))
    both = [tiny.start(*command) for _ in range(2)]
    for child in both:
        _, err = child.communicate(timeout=90)
        assert child.returncode == 0, err
    one, two = (load_model(each).state_dict() for each in (undisturbed, tmp_path / "run"))
    assert all(torch.equal(two[name], value) for name, value in one.items())
    environment = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert environment["world"] == 2


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_death_on_one_node_restarts_all_nodes(sounds, undisturbed, tmp_path, rank):
    run = tmp_path / "run"
    command = two_nodes(training(sounds, run, "--max-restarts", 3))
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
def test_a_mistake_on_one_node_ends_the_others(sounds, tmp_path):
    """Both nodes end within the rendezvous, without waiting for its timeout of 600 s."""
    command = two_nodes(training(sounds, tmp_path / "run", "--max-restarts", 3, "frontend.mels=33"))
    both = [tiny.start(*command) for _ in range(2)]
    codes = []
    for child in both:
        child.communicate(timeout=90)
        codes.append(child.returncode)
    assert 3 in codes
    assert 0 not in codes


def test_machines_are_reported_once_they_have_said_their_names(monkeypatch, capsys):
    monkeypatch.setattr(launch, "REPORT_TIMEOUT", 5.0)
    master = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    options = launch.Launch(nodes=2, rdzv_endpoint=f"127.0.0.1:{master.port}")
    master.add("slowfast/run", 1)  # counted, but without a name yet
    thread = threading.Thread(target=launch._report_machines, args=(options, "run"), daemon=True)
    thread.start()
    time.sleep(1.5)
    master.set("slowfast/run/1", "other:7")
    thread.join(10)
    assert not thread.is_alive()
    own = f"{socket.gethostname()}:{os.getpid()}"
    assert capsys.readouterr().err.splitlines() == [
        f"1 of 2 machines are here: {own}", f"2 of 2 machines are here: other:7, {own}",
    ]  # fmt: skip
