"""Files that are whole or not there, and states that run nothing."""

import os
import pickle

import pytest
import torch

from slowfast_cli.engine.checkpoint import load_state, save_state, write_whole
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


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")

    def half(part):
        part.write_text("ne")
        raise OSError(28, "No space left on device")

    with pytest.raises(SlowFastError, match="file: cannot be written: No space left on device; what was there before"):
        write_whole(path, half)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupt_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")

    def interrupted(part):
        part.write_text("ne")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_whole(path, interrupted)
    assert (path.read_text(), list(tmp_path.iterdir())) == ("old", [path])


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "below", tmp_path / "gone" / "file"):
        with pytest.raises(SlowFastError, match=r"(below|gone/file): cannot be written: "):
            write_whole(path, lambda part: part.write_text("x"))


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
