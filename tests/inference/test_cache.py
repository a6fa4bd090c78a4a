"""Programs are written complete or not at all, and say what stands in the way."""

from dataclasses import replace
from pathlib import Path

import pytest

from slowfast_cli.inference import cache, network
from slowfast_cli.inference.choose import ENGINES
from slowfast_cli.types import SlowFastError

READS_TEXT = replace(ENGINES["onnx"], read=lambda path, precision: Path(path).read_text())


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "programs" / "onnx-1"


def test_what_a_killed_process_left_is_removed(folder):
    left = folder.parent / ".onnx-1.abc"
    left.mkdir(parents=True)
    (left / "program.onnx").write_text("half")
    assert cache.load_or_write(folder, READS_TEXT, "fp32", lambda path: path.write_text("whole")) == "whole"
    assert sorted(path.name for path in folder.parent.iterdir()) == ["onnx-1", "onnx-1.lock"]


def test_a_full_disk_is_no_fault_of_the_engine(folder, monkeypatch):
    def full(exported, path, metadata):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(network, "export_program", lambda module, signals: None)
    monkeypatch.setattr(network, "describe", lambda *args, **fields: None)
    engine = replace(READS_TEXT, write=full)
    with pytest.raises(SlowFastError, match="onnx-1: cannot be written: No space left on device; set SLOWFAST_CACHE"):
        cache.load_or_write(
            folder, engine, "fp32", lambda path: network.write_checked(None, {}, path, engine, "0", "logits")
        )
    assert [path.name for path in folder.parent.iterdir()] == ["onnx-1.lock"]
