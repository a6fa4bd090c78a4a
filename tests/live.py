"""Fakes of live sources: the package sounddevice, and a server of HTTP streams."""

import contextlib
import http.server
import io
import threading
import types

import av
import numpy as np

RATE = 16000
DEVICES = [
    {"index": 0, "name": "Speakers", "max_input_channels": 0, "default_samplerate": 48000.0},
    {"index": 1, "name": "USB Camera", "max_input_channels": 1, "default_samplerate": 48000.0},
    {"index": 2, "name": "USB Headset", "max_input_channels": 2, "default_samplerate": 44100.0},
]


class FakeSoundDevice(types.ModuleType):
    """Delivers ``blocks`` to the callback from a thread of its own, as PortAudio does."""

    class PortAudioError(Exception):
        """An error of PortAudio."""

    def __init__(self, blocks, *, rates=(16000,), status=()):
        super().__init__("sounddevice")
        self.default = types.SimpleNamespace(device=(1, 0))
        self.opened, self._blocks, self._rates, self._status = [], list(blocks), rates, list(status)

    def query_devices(self):
        return DEVICES

    def check_input_settings(self, *, device, samplerate, dtype):
        if samplerate not in self._rates:
            raise self.PortAudioError("Invalid sample rate")

    @contextlib.contextmanager
    def InputStream(self, *, callback, **settings):
        self.opened.append(settings)

        def deliver():
            for number, block in enumerate(self._blocks):
                callback(block, len(block), None, number in self._status)

        thread = threading.Thread(target=deliver)
        thread.start()
        yield
        thread.join()


def encoded(samples, format="wav", codec="pcm_s16le"):
    out = io.BytesIO()
    with av.open(out, "w", format=format) as container:
        stream = container.add_stream(codec, rate=RATE if codec != "mp2" else 48000, layout="mono")
        frame = av.AudioFrame.from_ndarray((samples[None] * 32767).astype(np.int16), format="s16", layout="mono")
        frame.sample_rate = RATE
        for packet in stream.encode(frame):
            container.mux(packet)
        container.mux(stream.encode(None))
    return out.getvalue()


@contextlib.contextmanager
def server(*connections):
    """Serve the n-th request with the n-th (body, way): chunked, cut (chunked, dropped), close, length, 404."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            body, way = connections[min(len(requests), len(connections) - 1)]
            requests.append(self.path)
            if way == "404":
                self.send_error(404)
                return
            self.send_response(200)
            if way == "length":
                self.send_header("Content-Length", str(len(body)))
            elif way in ("chunked", "cut"):
                self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            with contextlib.suppress(OSError):
                for first in range(0, len(body), 4000):
                    part = body[first : first + 4000]
                    self.wfile.write(part if way in ("close", "length") else b"%x\r\n%b\r\n" % (len(part), part))
                if way == "chunked":
                    self.wfile.write(b"0\r\n\r\n")
            self.close_connection = True

        def log_message(self, *_):
            pass

    requests = []
    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=served.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{served.server_port}/radio", requests
    finally:
        served.shutdown()
        served.server_close()
        thread.join()
