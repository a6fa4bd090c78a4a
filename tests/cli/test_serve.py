"""``slowfast serve``: what is refused before anything is loaded."""

import socket

import pytest
import tiny

from slowfast_cli.cli import serve
from slowfast_cli.stages.serve.run import is_local, listen, url_of


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--max-mb", "inf"], "--max-mb inf: expected a finite number above 0"),
        (["--max-mb", 0], "--max-mb 0: expected a finite number above 0"),
        (["--max-seconds", -1], "--max-seconds -1: expected a finite number above 0"),
        (["--timeout", "nan"], "--timeout nan: expected a finite number above 0"),
        (["--host", "nowhere.invalid"], "--host nowhere.invalid: no such address: use 127.0.0.1"),
        (["--host", "192.0.2.1"], "--host 192.0.2.1: "),
    ],
)
def test_mistakes_are_one_line(words, message):
    done = tiny.slowfast("serve", *words)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"error: {message}")
    assert done.err.count("\n") == 1


def test_a_port_in_use_is_refused():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = tiny.slowfast("serve", "--port", port)
    assert done.code == 2
    assert done.err == f"error: --port {port}: is in use: choose another, or 0 for a free one\n"


def test_missing_weights_are_refused():
    done = tiny.slowfast("serve", "-w", "nowhere/best.safetensors")
    assert done.code == 4
    assert done.err.startswith("error: nowhere/best.safetensors: no such weights")


@pytest.mark.parametrize("module", ["gradio", "fastapi", "uvicorn"])
def test_the_extra_is_named_if_it_is_missing(module, monkeypatch):
    monkeypatch.setattr(serve, "find_spec", lambda name: None if name == module else object())
    done = tiny.slowfast("serve")
    assert (done.code, done.err) == (2, f"error: serve: needs {module}: pip install 'slowfast-cli[web]'\n")


@pytest.mark.parametrize(("host", "local"), [("127.0.0.1", True), ("127.0.0.2", True), ("0.0.0.0", False)])
def test_the_address_is_that_of_the_socket(host, local):
    with listen(host, 0) as opened:
        assert is_local(opened) is local
        assert url_of(opened, host) == f"http://{host}:{opened.getsockname()[1]}/"
        assert url_of(opened, "::1").startswith("http://[::1]:")
