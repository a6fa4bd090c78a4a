"""Live sources on the command line: a pipe in real time, a stop by signal, the options that are refused."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import tiny
from live import RATE, FakeSoundDevice, encoded, server

PCM = "s16le@16000"


@pytest.fixture(scope="module")
def pcm():
    both = np.concatenate([tiny.sound("rain.wav", 5), tiny.sound("rooster.flac", 5)])
    return (both * 32767).astype("<i2").tobytes()


def scores(line):
    return {top["label"]: top["score"] for top in line["top"]}


def test_raw_samples_on_stdin_are_predicted_in_windows(pcm):
    done = tiny.good("predict", "-", "--pcm", PCM, "--timeline", "5/2.5", "--json", stdin=pcm)
    assert [(line["start"], line["end"]) for line in done.lines] == [(0, 5), (2.5, 7.5), (5, 10), (7.5, 10)][:3]
    assert [line["top"][0]["label"] for line in done.lines[::2]] == ["rain", "rooster"]
    assert list(done.lines[0]) == ["path", "start", "end", "set", "top", "clock_end", "latency_ms"]
    assert all(0 <= line["latency_ms"] < 60_000 for line in done.lines)
    assert "standard input: windows of 5 s every 2.5 s" in done.err
    assert "skipped" not in done.err


def test_smoothing_averages_the_windows_before(pcm):
    words = ("predict", "-", "--pcm", PCM, "--timeline", "5/2.5", "--json", "--top", "12")
    plain = [scores(line) for line in tiny.good(*words, stdin=pcm).lines]
    smooth = [scores(line) for line in tiny.good(*words, "--smooth", "5", stdin=pcm).lines]
    assert smooth[0] == plain[0]
    for name, score in smooth[2].items():
        assert score == pytest.approx((plain[1][name] + plain[2][name]) / 2, abs=2e-6)


def test_a_named_pipe_gives_the_lines_of_the_file(pcm, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(pcm))
    writer.start()
    done = tiny.good("predict", pipe, "--pcm", PCM, "--timeline", "5/5")
    writer.join()
    path = tiny.write(tmp_path / "x.wav", np.frombuffer(pcm, "<i2").astype(np.float32) / 32768)
    assert done.out == tiny.good("predict", path, "--timeline", "5/5").out
    assert len(done.out.splitlines()) == 2


def test_the_default_windows_are_a_clip_long_and_a_tenth_apart(pcm):
    done = tiny.good("predict", "-", "--pcm", PCM, "--json", stdin=pcm[: 16000 * 2 * 6])
    assert [(line["start"], line["end"]) for line in done.lines] == [
        (0, 4.98),
        (0.498, 5.478),
        (0.996, 5.976),
        (1.494, 6),
    ]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("-", "--pcm", "s16"), 2, "--pcm s16: expected FORMAT@RATE"),
        (("-", "x.pcm", "--pcm", PCM), 2, "2 sources: a live source is predicted alone: name one"),
        (("-", "--pcm", PCM, "--csv", "x.csv"), 2, "--csv: is about files, and - is a live source: leave it out"),
        (("-", "--pcm", PCM, "--events"), 2, "--events: is about files"),
        (("-", "--pcm", PCM, "--explain-class", "dog"), 2, "--explain-class: is about files"),
        (("-", "--pcm", PCM, "--format", "csv"), 2, "--format csv: is about files"),
        (("-", "--pcm", PCM, "--smooth", "4000"), 2, "--smooth 4000: expected at most 3600 seconds"),
        (("-", "--pcm", PCM, "--timeline", "1/2"), 2, "--timeline 1/2: expected 0 < hop <= window"),
        (("none.pcm", "--pcm", PCM), 3, "none.pcm: cannot be opened (No such file or directory)"),
        (("-", "--pcm", PCM), 3, "standard input: no sound in it: 0 samples arrived"),
        (("-", "--pcm", PCM, "-w", "none"), 4, "none"),
        (("mic:none",), 2, "mic:none: no such input device; there are: mic:1 USB Camera; mic:2 USB Headset"),
        (("mic:1", "--pcm", PCM), 2, "is about raw samples from - or a file, and mic:1 has a format: leave it out"),
        (("cam:0",), 2, "cam:0: has frames only: name weights that read frames, with -w"),
        (("-", "--live"), 2, "-: name the format of the samples, as --pcm s16le@16000"),
        (("none.ts", "--live"), 3, "none.ts: no such file or pipe"),
        (("rtsp://127.0.0.1:9/x",), 4, "rtsp://127.0.0.1:9/x: cannot be reached (Connection refused)"),
        (("http://127.0.0.1:9/x", "--live"), 4, "http://127.0.0.1:9/x: cannot be reached ("),
    ],
)  # fmt: skip
def test_mistakes_are_one_line_and_an_exit_code(words, code, message, monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", FakeSoundDevice([]))
    done = tiny.slowfast("predict", *words)
    assert (done.code, done.out) == (code, "")
    (line,) = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert message in line


def test_binary_stdin_without_a_format_names_the_option(pcm):
    done = tiny.slowfast("predict", "-", stdin=pcm)
    assert (done.code, "as --pcm s16le@16000" in done.err) == (2, True)


def test_a_microphone_is_predicted_until_it_is_gone(pcm, monkeypatch):
    monkeypatch.setattr("slowfast_cli.media.microphone.SILENT", 0.05)
    monkeypatch.setattr("slowfast_cli.media.reconnect.ATTEMPTS", 0)
    sound = np.frombuffer(pcm, "<i2").astype(np.float32)[:, None] / 32768
    module = FakeSoundDevice(np.array_split(sound[: 5 * RATE], 50))
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    done = tiny.slowfast("predict", "mic:", "--timeline", "5/5", "--json")
    assert [(line["path"], line["top"][0]["label"]) for line in done.lines] == [("mic:", "rain")]
    assert (done.code, "mic:: no samples for 0.05 s; 0 attempts to connect again failed" in done.err) == (4, True)


def test_skipped_windows_are_said_once_and_counted(pcm, monkeypatch):
    """A device that delivers 5 s at once, of which the buffer keeps 2.5 s."""
    monkeypatch.setattr("slowfast_cli.media.microphone.SILENT", 0.05)
    monkeypatch.setattr("slowfast_cli.media.reconnect.ATTEMPTS", 0)
    sound = np.frombuffer(pcm, "<i2").astype(np.float32)[:, None] / 32768
    monkeypatch.setitem(sys.modules, "sounddevice", FakeSoundDevice(np.array_split(sound[: 5 * RATE], 50)))
    done = tiny.slowfast("predict", "mic:", "--timeline", "1/0.5", "--json")
    assert done.lines[-1]["end"] == 5
    assert len(done.lines) < 9
    assert done.err.count("prediction is slower than the source: windows are skipped; lengthen the hop") == 1


def test_an_http_stream_without_an_end_is_predicted_live():
    with server((encoded(tiny.sound("rain.wav", 6)), "chunked")) as (url, _):
        done = tiny.good("predict", url, "--timeline", "5/1", "--json")
    assert [(line["start"], line["end"]) for line in done.lines] == [(0, 5), (1, 6)]
    assert {line["top"][0]["label"] for line in done.lines} == {"rain"}
    assert {line["path"] for line in done.lines} == {url}


def test_an_http_file_with_a_length_is_fetched(tmp_path, monkeypatch):
    pytest.importorskip("aiohttp")
    monkeypatch.setenv("SLOWFAST_CACHE", str(tmp_path))
    with server((encoded(tiny.sound("rain.wav", 6)), "length")) as (url, _):
        done = tiny.good("predict", url, "--json")
    assert [line["top"][0]["label"] for line in done.lines] == ["rain"]
    assert "latency_ms" not in done.lines[0]


@pytest.mark.thorough
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_after_a_whole_line(pcm, number):
    words = ("predict", "-", "--pcm", PCM, "--timeline", "1/0.5", "--json")
    with tiny.start(*words, stdin=subprocess.PIPE) as child:
        child.stdin.buffer.write(pcm[: 2 * 16000 * 3])  # 3 s, and then nothing
        child.stdin.flush()
        lines = [child.stdout.readline() for _ in range(5)]
        child.send_signal(number)
        out, err = child.communicate(timeout=20)
    assert child.returncode == 130
    assert [json.loads(line)["end"] for line in [*lines, *out.splitlines()]] == [1, 1.5, 2, 2.5, 3]
    assert "stopped: 5 windows predicted, 0 skipped" in err.splitlines()
    assert "Traceback" not in err


@pytest.mark.thorough
def test_the_latency_is_below_a_hop_and_100_ms(pcm):
    """Samples every 20 ms through a pipe, as a sound card delivers them."""
    words = ("predict", "-", "--pcm", PCM, "--timeline", "2/0.5", "--json")
    with tiny.start(*words, stdin=subprocess.PIPE) as child:
        start = time.monotonic()
        for number in range(8 * 50):
            time.sleep(max(0.0, start + 0.02 * (number + 1) - time.monotonic()))
            child.stdin.buffer.write(pcm[640 * number : 640 * (number + 1)])
            child.stdin.flush()
        out, err = child.communicate(timeout=30)
    assert child.returncode == 0, err
    latencies = sorted(json.loads(line)["latency_ms"] for line in out.splitlines())
    assert len(latencies) >= 8
    assert latencies[len(latencies) // 2] < 600
