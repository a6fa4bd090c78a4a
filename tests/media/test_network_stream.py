"""Streams over HTTP, served by a thread: endless, ended by the server, dropped and connected again."""

import http.server
import io
import os
import threading

import av
import numpy as np
import pytest
import tiny
from live import RATE, encoded, server

from slowfast_cli.media import network_stream
from slowfast_cli.media.network_stream import NetworkStream, hide_password, states_length
from slowfast_cli.types import BrokenMediaError, DataError, StreamError


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr("slowfast_cli.media.reconnect.FIRST", 0.01)
    monkeypatch.setattr("slowfast_cli.media.reconnect.ATTEMPTS", 2)


def listen(url, say=lambda text: None):
    return np.concatenate(list(NetworkStream(url, say).blocks(RATE)))


SOUND = tiny.sound("rain.wav", 2)


def test_a_chunked_stream_ends_where_the_server_ends_it():
    with server((encoded(SOUND), "chunked")) as (url, requests):
        heard = listen(url)
    np.testing.assert_allclose(heard, SOUND, atol=1e-4)
    assert len(requests) == 1


def test_mpeg_ts_is_heard():
    with server((encoded(SOUND, "mpegts", "mp2"), "chunked")) as (url, _):
        heard = listen(url)
    assert len(heard) / RATE == pytest.approx(2, abs=0.1)
    assert np.abs(heard).mean() == pytest.approx(np.abs(SOUND).mean(), rel=0.2)


@pytest.mark.parametrize("way", ["cut", "close"])
def test_a_dropped_stream_is_connected_again(quick, way):
    said, body = [], encoded(SOUND)
    with server((body[: len(body) // 2], way), (body, "chunked")) as (url, requests):
        heard = listen(url, said.append)
    assert len(requests) == 2
    assert len(heard) == pytest.approx(1.5 * len(SOUND), rel=0.1)
    np.testing.assert_allclose(heard[-len(SOUND) :], SOUND, atol=1e-4)
    assert said[0].startswith(f"{url}: connection lost (")
    assert said[0].endswith("; attempt 1 of 2 to connect again in 0.01 s")
    assert said[1:] == [f"{url}: connected again"]


def test_a_stream_that_stays_away_ends_with_an_error(quick):
    body = encoded(SOUND)
    with server((body[: len(body) // 2], "cut"), (b"", "404")) as (url, requests), pytest.raises(StreamError) as failed:
        listen(url)
    assert str(failed.value) == f"{url}: the server answers 404 Not Found; 2 attempts to connect again failed"
    assert failed.value.code == 4
    assert len(requests) == 3


def test_a_stream_that_is_not_there():
    with pytest.raises(StreamError, match=r"http://127\.0\.0\.1:9/x: cannot be reached"):
        listen("http://127.0.0.1:9/x")
    with pytest.raises(StreamError, match=r"rtsp://127\.0\.0\.1:9/x: cannot be reached"):
        listen("rtsp://me:secret@127.0.0.1:9/x")


def test_a_page_is_no_stream():
    with server((b"<html>" * 1000, "chunked")) as (url, _), pytest.raises(BrokenMediaError, match="not a stream that"):
        listen(url)


def test_a_video_without_sound_is_refused():
    out = io.BytesIO()
    with av.open(out, "w", format="mpegts") as container:
        stream = container.add_stream("mpeg1video", rate=25, width=64, height=64, pix_fmt="yuv420p")
        for _ in range(30):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")))
        container.mux(stream.encode(None))
    with (
        server((out.getvalue(), "chunked")) as (url, _),
        pytest.raises(DataError, match="no audio that FFmpeg decodes"),
    ):
        listen(url)


def test_a_named_pipe_with_a_container(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(encoded(SOUND)))
    writer.start()
    np.testing.assert_allclose(listen(str(pipe)), SOUND, atol=1e-4)
    writer.join()


def test_closing_ends_a_read_that_waits():
    body = encoded(SOUND)
    waits = threading.Event()

    class Stalled(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)
            waits.wait(10)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stalled) as served:
        threading.Thread(target=served.serve_forever).start()
        source = NetworkStream(f"http://127.0.0.1:{served.server_port}/", print)
        blocks = source.blocks(RATE)
        reader = threading.Thread(target=lambda: list(blocks))
        reader.start()
        reader.join(1.0)
        assert reader.is_alive()
        source.close()
        reader.join(5.0)
        assert not reader.is_alive()
        waits.set()
        served.shutdown()


def test_only_what_states_no_length_is_live():
    for way, whole in (("length", True), ("chunked", False), ("close", False)):
        with server((encoded(SOUND), way)) as (url, _):
            assert states_length(url) is whole


def test_passwords_are_not_shown():
    assert hide_password("rtsp://me:secret@camera:554/1?x=2") == "rtsp://camera:554/1?x=2"
    assert network_stream.hide_password("a/b.wav") == "a/b.wav"
