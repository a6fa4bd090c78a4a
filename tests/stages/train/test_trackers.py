"""Trackers receive scalars, the recipe, pictures and the report; a resumed run continues in the same place."""

import json

import numpy as np
import pytest
import tiny
from PIL import Image

from slowfast_cli.recipe.load import load
from slowfast_cli.stages.train import trackers
from slowfast_cli.types import UsageError

LINES = ({"step": 3, "epoch": 1, "loss": 0.5}, {"step": 4, "epoch": 1, "val_top1": 25.0, "val_map": None})


def write(folder, names):
    with trackers.tracking(names, folder, load("folder")) as log:
        for line in LINES:
            log(line)
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / "curves.png")
        (folder / "report.html").write_text("<html></html>")


def fragments(log):
    """The contents of a LevelDB log, which W&B writes: text that crosses a block of 32 KiB is in two fragments."""
    for start in range(0, len(log), 1 << 15):
        block = log[start : start + (1 << 15)]
        position = 0 if start else 7  # after the header of the file
        while position + 7 <= len(block):  # CRC (4 bytes), length (2), type (1)
            length = int.from_bytes(block[position + 4 : position + 6], "little")
            yield block[position + 7 : position + 7 + length]
            position += 7 + length


def test_tensorboard_has_scalars_recipe_and_curves(tmp_path):
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    write(tmp_path, ["tensorboard"])
    events = event_accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(each.step, each.value) for each in events.Scalars("train/loss")] == [(3, 0.5)]
    assert [(each.step, each.value) for each in events.Scalars("val/top1")] == [(4, 25.0)]
    assert "val/map" not in events.Tags()["scalars"]
    assert events.Tags()["images"] == ["curves"]
    assert events.Tags()["tensors"] == ["recipe/text_summary"]


@pytest.mark.thorough
def test_mlflow_continues_a_resumed_run_in_its_store(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'store.db'}")
    run = tmp_path / "run"
    run.mkdir()
    write(run, ["mlflow"])
    write(run, ["mlflow"])
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'store.db'}")
    experiment = client.get_experiment_by_name("slowfast")
    (found,) = client.search_runs([experiment.experiment_id])
    assert (found.info.status, found.data.metrics) == ("FINISHED", {"train/loss": 0.5, "val/top1": 25.0})
    assert found.data.params["optim.batch"] == str(load("folder").optim.batch)
    assert {file.path for file in client.list_artifacts(found.info.run_id)} == {"curves.png", "report.html"}


@pytest.mark.thorough
def test_wandb_stores_a_run_without_a_network(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    write(tmp_path, ["wandb"])
    (stored,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    content = b"".join(fragments(stored.read_bytes()))
    assert stored.stem == f"run-{json.loads((tmp_path / trackers.IDS).read_text())['id']}"
    assert all(text in content for text in (b"train/loss", b"val/top1", b"curves", b"report"))


def test_a_tracker_that_fails_is_left_out_and_training_continues(tmp_path, monkeypatch):
    class Away:
        def __init__(self, run):
            self.calls = []
            seen.append(self)

        def log(self, scalars, step):
            self.calls.append(step)
            raise ConnectionError("the server is away")

        def close(self, *, finished):
            self.calls.append(finished)

    seen = []
    monkeypatch.setitem(trackers.TRACKERS, "mlflow", trackers.Kind(start=Away, package="mlflow"))
    with pytest.warns(UserWarning, match="--track mlflow: the server is away; the run continues without it"):
        write(tmp_path, ["mlflow"])
    assert seen[0].calls == [3]


def test_without_trackers_nothing_is_written(tmp_path):
    with trackers.tracking((), tmp_path, load("folder")) as log:
        log(LINES[0])
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("names", "installed", "message"),
    [
        (["tensorbord"], True, "--track tensorbord: expected some of tensorboard, wandb, mlflow"),
        (["wandb"], False, r"--track wandb: needs wandb: pip install 'slowfast-cli\[track\]'"),
    ],
)
def test_unknown_and_missing_trackers_are_refused(names, installed, message, monkeypatch):
    monkeypatch.setattr(trackers, "find_spec", lambda name: object() if installed else None)
    with pytest.raises(UsageError, match=message):
        trackers.require(names)


def test_the_command_refuses_a_tracker_before_it_trains(sounds):
    done = tiny.slowfast("train", "folder", f"data.root={sounds}", *tiny.WORDS, "--track", "comet")
    assert (done.code, "--track comet: expected some of" in done.err) == (2, True)
