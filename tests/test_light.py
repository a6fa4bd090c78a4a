"""The command line without torch."""

import os
import sys
from pathlib import Path

import pytest

from slowfast_cli import __version__, light


def test_its_version_is_printed(capsys):
    with pytest.raises(SystemExit) as end:
        light.main(["--version"])
    assert (end.value.code, capsys.readouterr().out) == (0, f"{__version__}\n")


def test_no_classes_are_refused(capsys):
    assert light.main(["predict", "a.wav", "--weights", "a.onnx", "--top", "0"]) == 2
    assert capsys.readouterr().err == "error: --top 0: expected a number from 1 up\n"


def test_a_reader_that_leaves_is_no_error_to_report(monkeypatch, capfd, tmp_path):
    def leave(given):
        raise BrokenPipeError

    monkeypatch.setattr(light, "_run", leave)
    with (tmp_path / "out").open("w") as out:
        monkeypatch.setattr(sys, "stdout", out)
        assert light.main(["a.wav", "--weights", "a.onnx"]) == 1
        assert os.path.samestat(os.fstat(out.fileno()), Path(os.devnull).stat())  # so that the flush at exit succeeds
    assert capfd.readouterr().err == ""
