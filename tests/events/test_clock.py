"""When a recording was made, from names and headers as recorders write them."""

import numpy as np
import pytest
import soundfile
import tiny

from slowfast_cli.events.clock import from_name, recorded_at


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("S4A01_20240601_053000", "2024-06-01T05:30:00"),
        ("20240601T053000Z", "2024-06-01T05:30:00+00:00"),
        ("20240601T053000+0200", "2024-06-01T05:30:00+02:00"),
        ("2024-06-01 05.30.00", "2024-06-01T05:30:00"),
        ("VID_20240601_053000_1", "2024-06-01T05:30:00"),
        ("5E90A4D4", "2020-04-10T16:54:44+00:00"),
    ],
)
def test_names_of_recorders(name, expected):
    assert from_name(name).isoformat() == expected


@pytest.mark.parametrize("name", ["dog", "20241301_053000", "take_12345678901234567", "1-100032-A-0"])
def test_other_numbers_are_no_times(name):
    assert from_name(name) is None


def chunk(name, payload):
    return name + len(payload).to_bytes(4, "little") + payload + b"\0" * (len(payload) % 2)


def wav(path, *chunks):
    soundfile.write(path, np.zeros(800), 8000)
    data = path.read_bytes() + b"".join(chunks)
    path.write_bytes(data[:4] + (len(data) - 8).to_bytes(4, "little") + data[8:])
    return path


def test_headers_of_recorders(tmp_path):
    comment = b"Recorded at 19:17:30 16/06/2021 (UTC+1) by AudioMoth 24F319055FDF2F5B"
    moth = wav(tmp_path / "moth.wav", chunk(b"LIST", b"INFO" + chunk(b"ICMT", comment)))
    assert recorded_at(moth).isoformat() == "2021-06-16T19:17:30+01:00"
    guano = wav(tmp_path / "guano.wav", chunk(b"guan", b"GUANO|Version: 1.0\nTimestamp: 2024-06-01T05:30:00Z\n"))
    assert recorded_at(guano).isoformat() == "2024-06-01T05:30:00+00:00"
    blank = wav(tmp_path / "blank.wav", chunk(b"guan", b"GUANO|Version: 1.0\nTimestamp:2018-06-23 21:30:00.5-0400\n"))
    assert recorded_at(blank).isoformat() == "2018-06-23T21:30:00.500000-04:00"
    bext = wav(tmp_path / "bext.wav", chunk(b"bext", b"\0" * 320 + b"2024-06-0105:30:00" + b"\0" * 264))
    assert recorded_at(bext).isoformat() == "2024-06-01T05:30:00"


def test_a_recording_without_a_time_has_none(tmp_path):
    assert recorded_at(wav(tmp_path / "a.wav")) is None
    assert recorded_at(tiny.DATA / "dog.ogg") is None
