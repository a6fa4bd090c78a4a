"""Files that are whole or not there, and states that run nothing."""

import copy
import os
import pickle
import threading

import pytest
import torch

from slowfast_cli.engine import checkpoint
from slowfast_cli.engine.checkpoint import Saver, load_state, restore_optimizer, save_state
from slowfast_cli.storage.atomic import write_atomic
from slowfast_cli.types import SlowFastError


def test_a_state_comes_back(tmp_path):
    model = torch.nn.Linear(3, 2)
    optim = torch.optim.SGD(model.parameters(), 0.1, 0.9)
    model(torch.ones(1, 3)).sum().backward()
    optim.step()
    state = {"step": 7, "best": float("-inf"), "model": model.state_dict(), "optimizer": optim.state_dict()}
    save_state(tmp_path / "state.pt", state)
    back = load_state(tmp_path / "state.pt")
    assert (back["step"], back["best"]) == (7, float("-inf"))
    assert torch.equal(back["model"]["weight"], model.weight)
    torch.testing.assert_close(back["optimizer"]["state"], optim.state_dict()["state"])


@pytest.mark.parametrize(("kind", "buffer"), [(torch.optim.SGD, "momentum_buffer"), (torch.optim.AdamW, "exp_avg")])
def test_an_optimizer_takes_only_a_state_that_fits(kind, buffer):
    def made():
        model = torch.nn.Linear(3, 2)
        optim = kind(model.parameters(), 0.1, **({"momentum": 0.9} if kind is torch.optim.SGD else {}))
        model(torch.ones(1, 3)).sum().backward()
        optim.step()
        return optim

    def changed(**values):
        state = copy.deepcopy(made().state_dict())
        for name, value in values.items():
            (state["state"][0] if name == buffer else state["param_groups"][0])[name] = value
        return state

    good = made().state_dict()
    optim = made()
    restore_optimizer(optim, good)
    torch.testing.assert_close(optim.state_dict()["state"], good["state"])
    restore_optimizer(made(), changed(lr=torch.tensor(0.1)))  # as CUDA graphs have it
    restore_optimizer(made(), changed(fused=True))
    for wrong in ({"lr": "x"}, {"weight_decay": None}, {buffer: torch.zeros(3)}, {buffer: "x"}, {buffer: [1.0]}):
        with pytest.raises(ValueError, match="of the optimizer"):
            restore_optimizer(made(), changed(**wrong))


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")

    def half(part):
        part.write_text("ne")
        raise OSError(28, "No space left on device")

    with pytest.raises(SlowFastError, match="file: cannot be written: No space left on device; the previous content"):
        write_atomic(path, half)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupt_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")

    def interrupted(part):
        part.write_text("ne")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomic(path, interrupted)
    assert (path.read_text(), list(tmp_path.iterdir())) == ("old", [path])


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "below", tmp_path / "gone" / "file"):
        with pytest.raises(SlowFastError, match=r"(below|gone/file): cannot be written: "):
            write_atomic(path, lambda part: part.write_text("x"))


class Evil:
    def __reduce__(self):
        return os.mkdir, ("ran",)


@pytest.mark.parametrize("content", [b"", b"no state", pickle.dumps(Evil(), 2)])
def test_a_broken_state_is_an_error_and_runs_nothing(tmp_path, content, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "state.pt").write_bytes(content)
    with pytest.raises(SlowFastError, match=r"state\.pt: not a training state \(.*start over with --fresh"):
        load_state(tmp_path / "state.pt")
    assert not (tmp_path / "ran").exists()


def test_a_truncated_state_is_an_error(tmp_path):
    save_state(tmp_path / "state.pt", {"model": torch.ones(1000)})
    whole = (tmp_path / "state.pt").read_bytes()
    (tmp_path / "state.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SlowFastError, match="not a training state"):
        load_state(tmp_path / "state.pt")


def test_what_is_written_is_the_state_as_it_was(tmp_path):
    """Later steps change the tensors while the writing is still to be done."""
    weight = torch.zeros(3)
    state = {"step": 1, "model": {"w": weight}, "groups": [{"lr": 0.1, "betas": (0.9, weight)}], "none": None}
    with Saver() as saver:
        saver.save(tmp_path / "state.pt", state)
        weight.fill_(7)
        state["groups"][0]["lr"] = 0.2
    back = load_state(tmp_path / "state.pt")
    assert (back["step"], back["none"], back["groups"][0]["lr"]) == (1, None, 0.1)
    assert torch.equal(back["model"]["w"], torch.zeros(3))
    assert torch.equal(back["groups"][0]["betas"][1], torch.zeros(3))


def test_saving_does_not_wait_for_the_disk_but_for_the_save_before(tmp_path, monkeypatch):
    begun, go_on, written = threading.Event(), threading.Event(), []

    def slow(path, state):
        begun.set()
        assert go_on.wait(10)
        written.append(state["step"])

    monkeypatch.setattr(checkpoint, "save_state", slow)
    saver = Saver()
    saver.save(tmp_path / "state.pt", {"step": 1})
    assert begun.wait(10)
    assert written == []  # and this thread is here already
    threading.Timer(0.2, go_on.set).start()
    saver.save(tmp_path / "state.pt", {"step": 2})
    assert written == [1]
    saver.close()
    assert written == [1, 2]


def test_an_error_of_writing_is_reported_at_the_next_save_or_at_the_end(tmp_path, monkeypatch):
    def full(state, part):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    saver = Saver()
    saver.save(tmp_path / "state.pt", {"step": 1})
    with pytest.raises(SlowFastError, match=r"state\.pt: cannot be written: No space left on device"):
        saver.save(tmp_path / "state.pt", {"step": 2})
    saver.close()
    with pytest.raises(SlowFastError, match="No space left on device"), Saver() as saver:
        saver.save(tmp_path / "state.pt", {"step": 3})


def test_what_ends_a_training_waits_for_its_last_state(tmp_path):
    def training():
        with Saver() as saver:
            saver.save(tmp_path / "state.pt", {"step": 5})
            yield

    events = training()
    next(events)
    events.close()
    assert load_state(tmp_path / "state.pt")["step"] == 5
