"""Names of uploads, and the folder that they are deleted from."""

import io
import os
import stat
from contextlib import ExitStack

import pytest

from slowfast_cli.stages.serve.limits import BusyError, Limits, TooLargeError
from slowfast_cli.stages.serve.uploads import UploadFolder, safe_name
from slowfast_cli.types import UsageError


@pytest.fixture
def folder():
    uploads = UploadFolder()
    yield uploads
    uploads.close()
    assert not uploads.path.exists()


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("dog.ogg", "dog.ogg"),
        ("Hündin (2).mp3", "Hündin (2).mp3"),
        ("../../etc/passwd.wav", "passwd.wav"),
        (r"C:\sounds\dog.wav", "dog.wav"),
        ("=1+2|x'!A0.wav", "_1_2_x__A0.wav"),  # no formula, if a table of events is opened in a spreadsheet
        ("frame%03d.mp4", "frame_03d.mp4"),
        ("a\nb\0.wav", "a_b_.wav"),
        ("--help.wav", "help.wav"),
        (".wav", "upload.wav"),
        ("", "upload"),
        (None, "upload"),
        ("..", "upload"),
        ("x" * 500 + ".flac", "x" * 150 + ".flac"),
        ("ü" * 500 + ".flac", "ü" * 75 + ".flac"),
    ],
)
def test_names_are_made_safe(name, safe):
    assert safe_name(name) == safe


def test_a_file_lives_as_long_as_its_context(folder):
    with folder.store("dog.ogg", io.BytesIO(b"sound"), Limits()) as path:
        assert path.read_bytes() == b"sound"
        if os.name == "posix":
            assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    assert list(folder.uploads.iterdir()) == []


def test_a_file_is_deleted_if_its_answer_fails(folder):
    with pytest.raises(ZeroDivisionError), folder.store("dog.ogg", io.BytesIO(b"sound"), Limits()):
        raise ZeroDivisionError
    assert list(folder.uploads.iterdir()) == []


def test_a_large_file_is_not_stored_wholly(folder):
    source = io.BytesIO(bytes(10 << 20))
    with pytest.raises(TooLargeError, match="larger than 2 MB"), folder.store("x.wav", source, Limits(megabytes=2)):
        pass
    assert source.tell() <= 3 << 20
    assert list(folder.uploads.iterdir()) == []


def test_no_more_uploads_are_stored_than_may_wait(folder):
    limits = Limits(waiting=1)
    with ExitStack() as stack:
        for name in ("a.ogg", "b.ogg"):  # one in progress, one that waits
            stack.enter_context(folder.store(name, io.BytesIO(b"sound"), limits))
        with pytest.raises(BusyError, match="1 requests wait already"):
            stack.enter_context(folder.store("c.ogg", io.BytesIO(b"sound"), limits))
    with folder.store("d.ogg", io.BytesIO(b"sound"), limits) as path:
        assert path.read_bytes() == b"sound"


def test_files_elsewhere_are_left_alone(folder, tmp_path):
    (tmp_path / "mine.wav").write_bytes(b"sound")
    folder.delete(tmp_path / "mine.wav")
    folder.delete(folder.page / ".." / ".." / "nowhere")
    assert (tmp_path / "mine.wav").is_file()


@pytest.mark.parametrize(
    "limits", [{"megabytes": 0}, {"seconds": -1}, {"timeout": float("nan")}, {"megabytes": float("inf")}]
)
def test_limits_that_accept_nothing_are_refused(limits):
    with pytest.raises(UsageError, match="expected a finite number above 0"):
        Limits(**limits).check()
