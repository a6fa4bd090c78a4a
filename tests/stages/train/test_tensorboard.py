"""Numbers for TensorBoard."""

import pytest

from slowfast_cli.stages.train import tensorboard


def test_numbers_are_written_under_their_step(tmp_path):
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with tensorboard.tensorboard(tmp_path) as write:
        write({"step": 3, "epoch": 1, "loss": 0.5})
        write({"step": 4, "epoch": 1, "val_top1": 25.0})
    events = event_accumulator.EventAccumulator(str(tmp_path))
    events.Reload()
    assert [(each.step, each.value) for each in events.Scalars("train/loss")] == [(3, 0.5)]
    assert [(each.step, each.value) for each in events.Scalars("val/top1")] == [(4, 25.0)]


@pytest.mark.parametrize("installed", [True, False])
def test_off_or_not_installed_nothing_is_written(tmp_path, monkeypatch, installed):
    monkeypatch.setattr(tensorboard, "find_spec", lambda name: object() if installed else None)
    with tensorboard.tensorboard(tmp_path / "events", on=not installed) as write:
        write({"step": 1, "loss": 1.0})
    assert not (tmp_path / "events").exists()
