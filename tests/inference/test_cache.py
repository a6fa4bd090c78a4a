"""Programs are written complete or not at all, and say what stands in the way."""

import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from slowfast_cli.inference import cache, network
from slowfast_cli.inference.choose import ENGINES
from slowfast_cli.inference.program import Metadata, require_signature
from slowfast_cli.types import SlowFastError, WeightsError

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


def test_a_full_disk_is_named_where_the_engine_names_another_reason(folder, monkeypatch):
    def full(exported, path, metadata):
        raise RuntimeError("Can't open bin file")

    monkeypatch.setattr(network, "export_program", lambda module, signals: None)
    monkeypatch.setattr(network, "describe", lambda *args, **fields: None)
    engine = replace(READS_TEXT, write=full)

    def convert():
        write = partial(network.write_checked, None, {}, engine=engine, weights="0", gives="logits")
        cache.load_or_write(folder, engine, "fp32", write)

    with pytest.raises(SlowFastError, match=re.escape("cannot take it (Can't open bin file")):
        convert()
    monkeypatch.setattr(network, "free_bytes", lambda folder: 0)
    with pytest.raises(SlowFastError, match="onnx-1: cannot be written: No space left on device"):
        convert()


def test_others_may_read_a_program_as_far_as_the_umask_allows(folder):
    cache.load_or_write(folder, READS_TEXT, "fp32", lambda path: path.write_text("whole"))
    assert folder.stat().st_mode & 0o777 == folder.parent.stat().st_mode & 0o777


def test_a_program_has_the_inputs_and_outputs_that_its_metadata_state():
    metadata = Metadata(weights="0", inputs={"logmel": [1, 400, 128]}, outputs=["label"], gives="logits")
    require_signature(Path("x.onnx"), metadata, {"logmel": (1, 400, 128)}, [object()])
    for inputs, outputs in (
        ({"frames": (1, 400, 128)}, 1),
        ({"logmel": (1, 400, 64)}, 1),
        ({"logmel": (1, 400, 128)}, 2),
    ):
        with pytest.raises(WeightsError, match=r"x\.onnx: its metadata state the inputs .*: export it again"):
            require_signature(Path("x.onnx"), metadata, inputs, [object()] * outputs)
