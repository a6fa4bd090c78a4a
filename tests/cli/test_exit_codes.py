"""Every kind of mistake has its exit code and a message that names the place and the fix, without a traceback."""

import contextlib
import errno
import signal
import subprocess

import pytest
import tiny
import torch

from slowfast_cli import __version__
from slowfast_cli.cli import app
from slowfast_cli.types import DataError, SlowFastError, UsageError, WeightsError

NOWHERE = "data.root=/nowhere"
# The command, the exit code, and words of the message: where, what is wrong, what to do.
MISTAKES = [
    (["trian"], 2, ["trian"]),
    (["train"], 2, ["RECIPE"]),
    (["train", "folder", "--sped"], 2, ["--sped"]),
    (["train", "folder", "--gpus", "two"], 2, ["--gpus", "integer"]),
    (["train", "folder", "--gpus", "0"], 2, ["--gpus"]),
    (["predict"], 2, ["SOURCE"]),
    (["predict", "x.wav", "--top", "0"], 2, ["--top"]),
    (["train", "vgsound"], 2, ["vgsound: no such recipe; did you mean 'vggsound'?", "slowfast recipes ls"]),
    (["train", "vggsound", "optim.lrr=1"], 2, ["vggsound.yaml: optim.lrr: no such field; did you mean 'lr'?"]),
    (["train", "vggsound", "optim.lr=fast"], 2, ["vggsound.yaml: optim.lr: 'fast' should be a number"]),
    (["train", "vggsound", "optim.lr=-1"], 2, ["vggsound.yaml: optim.lr: -1 should be greater than 0"]),
    (["train", "vggsound", "optim.lr"], 2, ["optim.lr: an override is key=value (optim.lr=0.02) or ~key"]),
    (["train", "vggsound", "model.variant=asf-r5"], 2, ["'asf-r5': no such network; did you mean 'asf-r50'?"]),
    (["train", "vggsound", "optim.batch=30", "optim.grad_accum_steps=4"], 2, ["4 does not divide optim.batch=30"]),
    (["train", "vggsound", "frontend.window_ms=500"], 2, ["window_ms 500", "a window 1 to fft (2048)"]),
    (["train", "esc10", "data.fold=null"], 2, ["data.fold: the splits are named by fold"]),
    (["train", "folder", "data.corpus=vggsond", NOWHERE], 2, ["vggsond: no such data set; did you mean 'vggsound'?"]),
    (["extract"], 2, ["give either --dataset NAME (see `slowfast data ls`) or --recipe RECIPE"]),
    (["extract", "--dataset", "esc11"], 2, ["esc11: no such data set; did you mean 'esc1"]),
    (["extract", "--dataset", "esc10", "--dtype", "float8"], 2, ["--dtype float8: expected float16 or float32"]),
    (["evaluate", "vggsound", "--split", "dev"], 2, ["--split dev: choose train, val or test"]),
    (["evaluate", "esc10", "--with", "runs/x"], 2, ["--with: was renamed to --ensemble"]),
    (["predict", "x.mp4", "--draw=o.mp4"], 2, ["--draw: was renamed to --overlay"]),
    (["train", "vggsound", "optim.accumulate=2"], 2, ["optim.accumulate: was renamed to optim.grad_accum_steps"]),
    (["train", "simclr", "metric=told"], 2, ["'told' was renamed to 'pretext_top1'"]),
    (["ablate", "vggsound", "--table", "9"], 2, ["--table 9: no such table"]),
    (["recipes", "show", "nothing"], 2, ["nothing: no such recipe"]),
    (["extract", "--dataset", "vggsound", "--root", "/nowhere"], 3, ["/nowhere: does not exist", "vggsound.csv"]),
    (
        ["extract", "--dataset", "epic", "--root", "/"],
        3,
        ["/: contains no EPIC_100_", "EPIC_100_", "--root"],
    ),
    (["train", "folder", NOWHERE], 3, ["/nowhere: does not exist; folder expects"]),
    (["train", "folder", NOWHERE, "data.source=media"], 3, ["/nowhere: does not exist", "data.root=FOLDER"]),
    (["train", "folder", f"data.root={tiny.DATA}/my_sound"], 3, ["does not exist; did you mean 'my_sounds'?"]),
    (["train", "folder", f"data.root={tiny.DATA}/my_sounds/drum"], 3, ["if drum is a class: data.root="]),
    (["train", "folder-video", f"data.root={tiny.DATA}/my_sounds"], 3, ["a sound, and slowfast-small reads"]),
    (["predict", f"{tiny.DATA}/dog.ogg", "--overlay", "o.mp4"], 3, ["dog.ogg: no video stream"]),
    (["data", "check", "esc50", "--root", "/nowhere"], 3, ["/nowhere: does not exist", "meta/esc50.csv"]),
    (["predict", "x.wav", "-w", "nothing.safetensors"], 4, ["nothing.safetensors: no such weights"]),
    (["evaluate", "vggsound", "-w", "asf"], 4, ["no official weights are called 'asf'", "slowfast weights ls"]),
    (["finetune", "folder", "-w", "runs/gone", NOWHERE], 4, ["runs/gone: no such weights"]),
    (["weights", "convert", "gone.pyth", "out.safetensors"], 4, ["gone.pyth: cannot be read (No such file", "give a"]),
    (["weights", "show", "gone"], 4, ["no official weights are called 'gone'"]),
]  # fmt: skip
if not torch.cuda.is_available():
    MISTAKES.append(
        (["train", "folder", "--device", "cuda"], 1, ["--device cuda", "sees no CUDA GPU; use --device cpu"])
    )


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SLOWFAST_DATA", "/nowhere")
    return tmp_path


@pytest.mark.parametrize(("words", "code", "message"), MISTAKES, ids=[" ".join(words) for words, _, _ in MISTAKES])
def test_exit_code_and_message_of_a_mistake(elsewhere, words, code, message):
    done = tiny.slowfast(*words)
    assert (done.code, done.out) == (code, ""), done.err
    for part in message:
        assert part in " ".join(done.err.replace("│", " ").split()), done.err
    assert "Traceback" not in done.err
    assert "defect" not in done.err
    assert list(elsewhere.iterdir()) == []  # nothing was written


def test_all_mistakes_of_a_recipe_are_reported_at_once(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "data: {corpus: folder, clip_secs: 5}\nmodel: {variant: asf-r50}\noptim: {lr: 0}\nscedule: {epochs: 3}\n"
    )
    done = tiny.slowfast("recipes", "validate", path)
    assert done.code == 2
    for message in (
        "mine.yaml:1: data.clip_secs: no such field; did you mean 'clip_seconds'?",
        "mine.yaml:3: optim.lr: 0 should be greater than 0",
        "mine.yaml: schedule: is required",
        "mine.yaml:4: scedule: no such field; did you mean 'schedule'?",
    ):
        assert message in done.err
    path.write_text("data: [1, 2\n")
    assert "mine.yaml: not YAML: " in tiny.slowfast("recipes", "validate", path).err
    path.write_bytes(b"\xff\xfe\x00")
    assert "mine.yaml: " in tiny.slowfast("recipes", "validate", path).err
    path.write_text("- a\n- b\n")
    done = tiny.slowfast("recipes", "validate", path)
    assert (done.code, "a recipe is a mapping of sections" in done.err) == (2, True)


ERRORS = [
    (UsageError("where: what"), 2, "error: where: what\n"),
    (DataError("where: what\n  more"), 3, "error: where: what\n  more\n"),
    (WeightsError("where: what"), 4, "error: where: what\n"),
    (SlowFastError("where: what"), 1, "error: where: what\n"),
    (KeyboardInterrupt(), 130, ""),
    (OSError(errno.ENOSPC, "No space left on device", "/full/file"), 1, "error: /full/file: No space left on device"),
    (ZeroDivisionError("division by zero"), 1, "error: ZeroDivisionError: division by zero (a defect of slowfast: "),
    (RecursionError("deep"), 1, "error: RecursionError: deep (a defect of slowfast: please report it, with --debug"),
]


@pytest.mark.parametrize(("error", "code", "message"), ERRORS, ids=[type(error).__name__ for error, _, _ in ERRORS])
@pytest.mark.parametrize("debug", [False, True])
def test_exit_codes_of_errors(monkeypatch, error, code, message, debug):
    def fail(name):
        raise error

    monkeypatch.setattr("slowfast_cli.recipe.files.find", fail)
    done = tiny.slowfast("recipes", "show", "vggsound", *(["--debug"] if debug else []))
    assert (done.code, done.out) == (code, "")
    assert message in done.err
    assert ("Traceback (most recent call last)" in done.err) is (debug and code != 130)


def test_debug_works_in_any_position():
    for words in (
        ["--debug", "recipes", "show", "x"],
        ["recipes", "--debug", "show", "x"],
        ["recipes", "show", "x", "--debug"],
    ):
        done = tiny.slowfast(*words)
        assert (done.code, "Traceback" in done.err, "error: x: no such recipe" in done.err) == (2, True, True)


def test_interrupting_a_real_process(trained):
    child = tiny.start("predict", "-", "-w", trained, stdin=-1)
    child.stdin.write("x.wav\n")
    child.stdin.flush()
    with pytest.raises(Exception):  # noqa: B017  (it waits for more paths)
        child.wait(timeout=5)
    while child.poll() is None:  # a signal that arrives while modules are imported may be lost
        child.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(timeout=5)
    out, err = child.communicate(timeout=30)
    assert (child.returncode, out) == (130, "")
    assert "Traceback" not in err


def test_help_and_version_exit_with_0():
    assert tiny.good("--version").out == f"slowfast {__version__}\n"
    for words in (["--help"], ["-h"], ["train", "--help"], ["weights", "ls", "-h"]):
        assert "Usage: slowfast" in tiny.good(*words).out
    assert "Examples:" in tiny.good("predict", "--help").out
    bare = tiny.slowfast()
    assert "Usage: slowfast" in bare.out + bare.err


def test_python_m_runs_the_same_program():
    done = tiny.process("--version")
    assert (done.code, done.out) == (0, f"slowfast {__version__}\n")


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("data.clip_seconds=1e-5", "data.clip_seconds: 1e-05 s at 16000 Hz are no samples"),
        ("data.clip_seconds=.inf", "data.clip_seconds: inf should be less than or equal to 1000000000"),
        ("optim.weight_decay=.inf", "optim.weight_decay: inf should be less than or equal to 1000000000"),
        ("optim.lr=.nan", "optim.lr: nan should be"),
        ("schedule.epochs=3", "give either epochs or steps"),
        ("data.train='tr{x}'", "'tr{x}': the name of a split may contain {fold}"),
        ("data.train='tr{'", "'tr{': the name of a split may contain {fold}"),
        ("seed=99999999999999999999", "seed: 99999999999999999999 should be less than"),
        ("~", "~: an override is key=value (optim.lr=0.02) or ~key"),
        ("=", "=: an override is key=value"),
        ("optim.=1", "no such field"),
        ("optim.lr.x=1", "lr is a value, not a section"),
        ("optim=null", "optim: None should be"),
        ("optim.lr={", "'{' is not a YAML value"),
    ],
)
def test_invalid_values_are_refused_by_name(word, message):
    done = tiny.slowfast("recipes", "validate", "folder", word)
    assert done.code == 2
    assert message in done.err
    assert "defect" not in done.err


MEMORY = [
    (
        MemoryError("Unable to allocate 9 GiB"),
        ["train", "folder"],
        "lower optim.batch (--batch auto: the largest that fits), data.clip_seconds or frontend.mels",
    ),
    (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), ["extract"], "fewer --jobs"),
    (torch.OutOfMemoryError("CUDA out of memory. Tried"), ["evaluate", "x"], "lower optim.batch or raise optim.grad"),
]


@pytest.mark.parametrize(("error", "words", "advice"), MEMORY, ids=["numpy", "cpu", "cuda"])
def test_out_of_memory_names_the_field_to_change(error, words, advice):
    message, code = app.describe(error, words)
    assert code == 1
    assert message.startswith("out of memory (")
    assert advice in message


class _SilentError(Exception):
    def __str__(self):
        raise RuntimeError("no text")


def test_an_exception_without_text_is_described_by_its_type():
    message, code = app.describe(_SilentError(), ["train"])
    assert (message.startswith("_SilentError: _SilentError (a defect"), code) == (True, 1)
