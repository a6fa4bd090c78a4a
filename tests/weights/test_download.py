"""Downloads from a local test server: successes, failures and resumption."""

import hashlib
import json
import re
import socket
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from slowfast_cli.types import WeightsError
from slowfast_cli.weights.catalog import find
from slowfast_cli.weights.download import default_cache, download, target

BODY = np.random.default_rng(0).bytes(700_001)
PAGE = b"  <!DOCTYPE html><html><body>Please log in</body></html>"


class Handler(BaseHTTPRequestHandler):
    body, etag, requests = BODY, '"v1"', []

    def log_message(self, *_):
        pass

    def do_GET(self):
        byte_range = self.headers.get("Range")
        self.requests.append((self.path, byte_range, self.headers.get("If-Range")))
        name = self.path.split("?")[0].rsplit("/", 1)[-1]
        getattr(self, f"send_{name.split('.')[0]}")(byte_range)

    def answer(self, status, body, headers=(), length=None):
        self.send_response(status)
        for key, value in headers:
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def send_good(self, byte_range):
        same = self.headers.get("If-Range") in (None, self.etag)
        if not byte_range or not same:
            return self.answer(200, self.body, [("ETag", self.etag), ("Content-Type", "application/octet-stream")])
        start = int(re.match(r"bytes=(\d+)-$", byte_range)[1])
        total = len(self.body)
        if start >= total:
            return self.answer(416, b"", [("Content-Range", f"bytes */{total}")])
        span = f"bytes {start}-{total - 1}/{total}"
        return self.answer(206, self.body[start:], [("Content-Range", span), ("ETag", self.etag)])

    def send_norange(self, byte_range):
        self.answer(200, self.body)

    def send_cut(self, byte_range):
        self.answer(200, self.body[:300_000], [("ETag", self.etag)], length=len(self.body))

    def send_wrongrange(self, byte_range):
        if byte_range:
            return self.answer(
                206, self.body[5:], [("Content-Range", f"bytes 5-{len(self.body) - 1}/{len(self.body)}")]
            )
        return self.send_cut(byte_range)

    def send_page(self, byte_range):
        self.answer(200, PAGE, [("Content-Type", "text/html; charset=utf-8")])

    def send_sneaky(self, byte_range):
        self.answer(200, PAGE, [("Content-Type", "application/octet-stream")])

    def send_chunked(self, byte_range):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.body)

    def send_missing(self, byte_range):
        self.send_error(404)

    def send_forbidden(self, byte_range):
        self.send_error(403)

    def send_never(self, byte_range):
        self.send_error(416)


@pytest.fixture
def server():
    handler = type("Fresh", (Handler,), {"requests": []})
    running = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    running.handle_error = lambda *_: None  # clients hang up on purpose
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    handler.url = f"http://127.0.0.1:{running.server_port}"
    yield handler
    running.shutdown()
    running.server_close()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")


def leftovers(cache):
    return sorted(p.name for p in cache.iterdir() if p.suffix != ".lock")


def test_a_download_stores_the_file_and_its_hash(server, tmp_path):
    cache, calls = tmp_path / "new" / "cache", []
    path = download(f"{server.url}/good.pyth?dl=1", cache, progress=lambda *call: calls.append(call))
    assert path.read_bytes() == BODY
    assert path.parent == cache
    assert path.name.endswith("-good.pyth")  # without ?dl=1
    assert (cache / f"{path.name}.sha256").read_text() == f"{hashlib.sha256(BODY).hexdigest()}  {path.name}\n"
    assert leftovers(cache) == [path.name, f"{path.name}.sha256"]
    assert calls[0] == (0, len(BODY))
    assert calls[-1] == (len(BODY), len(BODY))
    assert [here for here, _ in calls] == sorted(here for here, _ in calls)


def test_a_cached_file_is_not_downloaded_again(server, tmp_path):
    first = download(f"{server.url}/good.pyth", tmp_path)
    assert download(f"{server.url}/good.pyth", tmp_path) == first
    assert download(f"{server.url}/good.pyth", tmp_path, offline=True) == first
    assert len(server.requests) == 1


def test_an_interrupted_download_is_resumed(server, tmp_path):
    url = f"{server.url}/good.pyth"
    goal = target(url, tmp_path)
    goal.part.write_bytes(BODY[:123_456])
    goal.tag.write_text(json.dumps({"version": '"v1"'}))
    calls = []
    assert download(url, tmp_path, progress=lambda *call: calls.append(call)).read_bytes() == BODY
    assert server.requests == [("/good.pyth", "bytes=123456-", '"v1"')]
    assert calls[0] == (123_456, len(BODY))


def test_a_truncated_download_is_reported_then_resumed(server, tmp_path):
    server.send_good, whole = server.send_cut, server.send_good
    with pytest.raises(WeightsError, match=r"300000 of 700001 bytes|no connection"):
        download(f"{server.url}/good.pyth", tmp_path)
    assert not target(f"{server.url}/good.pyth", tmp_path).path.exists()
    server.send_good = whole
    assert download(f"{server.url}/good.pyth", tmp_path).read_bytes() == BODY
    assert server.requests[-1][1] == "bytes=300000-"


def test_a_file_that_changed_on_the_server_is_downloaded_from_the_start(server, tmp_path):
    goal = target(f"{server.url}/good.pyth", tmp_path)
    goal.part.write_bytes(b"old" * 1000)
    goal.tag.write_text(json.dumps({"version": '"v0"'}))
    assert download(goal.url, tmp_path).read_bytes() == BODY


def test_a_server_without_range_support_sends_the_whole_file(server, tmp_path):
    goal = target(f"{server.url}/norange.pyth", tmp_path)
    goal.part.write_bytes(BODY[:1000])
    assert download(goal.url, tmp_path).read_bytes() == BODY


def test_a_complete_part_is_accepted(server, tmp_path):
    goal = target(f"{server.url}/good.pyth", tmp_path)
    goal.part.write_bytes(BODY)
    assert download(goal.url, tmp_path).read_bytes() == BODY


def test_a_part_longer_than_the_file_is_discarded(server, tmp_path):
    goal = target(f"{server.url}/good.pyth", tmp_path)
    goal.part.write_bytes(BODY + b"more")
    assert download(goal.url, tmp_path).read_bytes() == BODY


def test_a_wrong_range_is_refused(server, tmp_path):
    goal = target(f"{server.url}/wrongrange.pyth", tmp_path)
    goal.part.write_bytes(BODY[:1000])
    with pytest.raises(WeightsError, match="another range"):
        download(goal.url, tmp_path)


def test_a_response_without_content_length_is_accepted(server, tmp_path):
    calls = []
    path = download(f"{server.url}/chunked.pyth", tmp_path, progress=lambda *call: calls.append(call))
    assert path.read_bytes() == BODY
    assert calls[-1] == (len(BODY), None)


@pytest.mark.parametrize("name", ["page", "sneaky"])
def test_a_web_page_is_refused(server, tmp_path, name):
    with pytest.raises(WeightsError, match="web page instead of the file"):
        download(f"{server.url}/{name}.pyth", tmp_path)
    assert leftovers(tmp_path) == []


def test_a_web_page_does_not_discard_the_part(server, tmp_path):
    goal = target(f"{server.url}/page.pyth", tmp_path)
    goal.part.write_bytes(BODY[:1000])
    with pytest.raises(WeightsError, match="web page"):
        download(goal.url, tmp_path)
    assert goal.part.read_bytes() == BODY[:1000]


@pytest.mark.parametrize(
    ("name", "words"),
    [("missing", "is not there .HTTP 404"), ("forbidden", "is forbidden .HTTP 403"), ("never", "416")],
)
def test_http_errors_say_what_to_do(server, tmp_path, name, words):
    with pytest.raises(WeightsError, match=words) as caught:
        download(f"{server.url}/{name}.pyth", tmp_path)
    assert f"save it as {target(f'{server.url}/{name}.pyth', tmp_path).path}" in str(caught.value)


def test_offline(tmp_path):
    with pytest.raises(WeightsError, match="--offline forbids the network") as caught:
        download(find("asf-vggsound"), tmp_path, offline=True)
    assert str(tmp_path / "SLOWFAST_VGG.pyth") in str(caught.value)
    assert "dl=1" in str(caught.value)
    (tmp_path / "SLOWFAST_VGG.pyth").write_bytes(b"by hand")
    assert download(find("asf-vggsound"), tmp_path, offline=True) == tmp_path / "SLOWFAST_VGG.pyth"


def test_no_network(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(WeightsError, match="no connection") as caught:
        download(f"http://127.0.0.1:{port}/x.pyth", tmp_path)
    assert len(str(caught.value)) < 400
    with pytest.raises(WeightsError, match="no connection"):
        download("http://name.invalid/x.pyth", tmp_path)


def test_a_cached_file_that_changed_is_refused(server, tmp_path):
    path = download(f"{server.url}/good.pyth", tmp_path)
    path.write_bytes(BODY[:-1] + b"?")
    with pytest.raises(WeightsError, match="does not match the SHA-256"):
        download(f"{server.url}/good.pyth", tmp_path)


def test_concurrent_downloads_fetch_the_file_once(server, tmp_path):
    bodies = []
    threads = [
        threading.Thread(target=lambda: bodies.append(download(f"{server.url}/good.pyth", tmp_path).read_bytes()))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bodies == [BODY] * 4
    assert len(server.requests) == 1


def test_a_cache_that_cannot_be_written(server, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(WeightsError, match="cannot be written"):
        download(f"{server.url}/good.pyth", tmp_path / "file" / "cache")


@pytest.mark.parametrize(
    "source", ["ftp://x/y.pth", "file:///etc/passwd", "nonsense", "https://host/", "https:///x.pth"]
)
def test_only_http_urls_of_files_are_accepted(source, tmp_path):
    with pytest.raises(WeightsError, match="is not the URL of a file"):
        download(source, tmp_path)


def test_file_names_cannot_leave_the_cache(tmp_path):
    goal = target("https://host/a/..%2f..%2fevil name.pth?x=1", tmp_path)
    assert goal.path.parent == tmp_path
    assert target("https://a/m.pth", tmp_path).path != target("https://b/m.pth", tmp_path).path


def test_default_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("SLOWFAST_CACHE", str(tmp_path / "own"))
    assert default_cache() == tmp_path / "own"
    monkeypatch.delenv("SLOWFAST_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert default_cache() == tmp_path / "xdg" / "slowfast"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_cache() == tmp_path / ".cache" / "slowfast"


@pytest.mark.parametrize("kind", ["md5", "sha256"])
def test_a_file_with_another_hash_than_published_is_refused(server, tmp_path, kind):
    right = hashlib.new(kind, BODY).hexdigest()
    entry = replace(find("asf-epic"), url=f"{server.url}/good.pyth", file="x.pyth")
    with pytest.raises(WeightsError, match=f"not the published file: its {kind} is {right}, expected 123abc"):
        download(replace(entry, **{kind: "123abc"}), tmp_path)
    assert not leftovers(tmp_path)
    assert download(replace(entry, **{kind: right}), tmp_path).read_bytes() == BODY
