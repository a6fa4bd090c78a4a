"""The process that predicts: answers, time limit, death; and the command as a person starts it."""

import json
import os
import shutil
import signal
import threading
import time
import urllib.request
from pathlib import Path

import pytest
import tiny
from stages.serve.started import started

from slowfast_cli.stages.serve.limits import BusyError, CrashError, Limits, TimeLimitError
from slowfast_cli.stages.serve.request import Request
from slowfast_cli.stages.serve.worker import Worker
from slowfast_cli.types import DataError, WeightsError
from slowfast_cli.weights.resolve import weight_file

pytestmark = pytest.mark.processes
DOG = tiny.DATA / "dog.ogg"


@pytest.fixture(scope="module")
def worker():
    worker = Worker(weight_file(None), "default", "cpu", Limits(timeout=60))
    yield worker
    worker.close()


@pytest.fixture
def dog(tmp_path):
    return Path(shutil.copy(DOG, tmp_path))


def best(answer):
    return answer.lines[0]["top"][0]["label"]


def test_a_file_is_answered_and_a_broken_one_named(worker, dog, tmp_path):
    assert worker.model.classes == {"label": 12}
    assert best(worker.ask(Request(path=dog))) == "dog"
    (tmp_path / "noise.wav").write_bytes(b"noise" * 100)
    with pytest.raises(DataError, match=r"^noise\.wav: not a media file"):
        worker.ask(Request(path=tmp_path / "noise.wav"))
    assert best(worker.ask(Request(path=dog))) == "dog"


def test_a_prediction_that_takes_too_long_is_ended_and_the_next_is_answered(worker, dog, monkeypatch):
    first = worker._process.pid
    os.kill(first, signal.SIGSTOP)  # a decoder that does not return
    monkeypatch.setattr(worker, "_limits", Limits(timeout=0.2))
    with pytest.raises(TimeLimitError, match=r"no answer after 0\.2 s: send less, or raise --timeout"):
        worker.ask(Request(path=dog))
    with pytest.raises(ProcessLookupError):
        os.kill(first, 0)
    monkeypatch.undo()
    assert best(worker.ask(Request(path=dog))) == "dog"
    assert worker._process.pid != first


def test_a_crash_is_reported_and_the_next_is_answered(worker, dog):
    os.kill(worker._process.pid, signal.SIGSTOP)
    errors = []

    def ask():
        try:
            worker.ask(Request(path=dog))
        except CrashError as error:
            errors.append(str(error))

    asking = threading.Thread(target=ask)
    asking.start()
    time.sleep(0.3)
    os.kill(worker._process.pid, signal.SIGKILL)
    asking.join(30)
    assert errors == ["the process that predicts has died: the file may be broken, or memory short"]
    assert best(worker.ask(Request(path=dog))) == "dog"


def test_only_some_may_wait(worker, dog, monkeypatch):
    monkeypatch.setattr(worker, "_count", threading.Semaphore(1))
    with worker._turn:
        first = threading.Thread(target=worker.ask, args=(Request(path=dog),))
        first.start()
        time.sleep(0.2)
        with pytest.raises(BusyError, match="requests wait already"):
            worker.ask(Request(path=dog))
    first.join(30)
    assert best(worker.ask(Request(path=dog))) == "dog"


def test_weights_that_cannot_be_used_end_the_start(tmp_path):
    (tmp_path / "broken.safetensors").write_bytes(b"broken")
    with pytest.raises(WeightsError, match=r"broken\.safetensors"):
        Worker(tmp_path / "broken.safetensors", "broken", "cpu", Limits())


def post(url, path):
    body = (
        b"--b\r\nContent-Disposition: form-data; name=file; filename=dog.ogg\r\n\r\n"
        + path.read_bytes()
        + b"\r\n--b--\r\n"
    )
    request = urllib.request.Request(url, body, {"content-type": "multipart/form-data; boundary=b"})
    with urllib.request.urlopen(request, timeout=60) as response:
        return response.read().decode()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_the_command_answers_and_leaves_nothing_behind(number, tmp_path):
    with started(folder=tmp_path) as (child, line):
        assert line["endpoint"] == f"{line['url']}predict"
        assert (line["weights"], line["max_mb"], line["max_seconds"], line["timeout"]) == ("default", 100, 600, 120)
        assert json.loads(post(line["endpoint"], DOG))["top"][0]["label"] == "dog"
        assert len(list(tmp_path.glob("slowfast-serve-*"))) == 1
        child.send_signal(number)
        assert child.wait(30) == 130
        assert "Traceback" not in child.stderr.read()
    assert list(tmp_path.glob("slowfast-serve-*")) == []  # torch may leave a folder of its own
