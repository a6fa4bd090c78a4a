"""Files of events: byte for byte as documented, and read back by the programs' own libraries."""

import csv
import io
import json
from datetime import datetime
from pathlib import Path

import pytest
import tiny

from slowfast_cli.events.event import Event, FileEvents
from slowfast_cli.events.formats import (
    BIRDNET_COLUMNS,
    CLOCK_COLUMNS,
    COLUMNS,
    FORMATS,
    KALEIDOSCOPE_COLUMNS,
    RAVEN_COLUMNS,
    require,
)
from slowfast_cli.types import UsageError

ASSETS = tiny.DATA / "events"
FOUND = (("rooster", 1.5, 4.0, 0.9312), ("dog", 6.0, 9.0, 0.8127), ("sneezing", 12.25, 13.75, 0.4409))


def recording(name, found=FOUND, seconds=60.0, recorded=None):
    events = [Event(label=label, start=start, end=end, score=score) for label, start, end, score in found]
    return FileEvents(path=Path(name), seconds=seconds, events=events, rate=48000, band=12000.0, recorded=recorded)


WAV = "field/site1/S4A01_20240601_053000.wav"


@pytest.mark.parametrize(
    ("name", "asset"),
    [
        ("raven", "S4A01_20240601_053000.Table.1.selections.txt"),
        ("audacity", "audacity.txt"),
        ("birdnet", "birdnet_results.csv"),
        ("vtt", "events.vtt"),
        ("srt", "events.srt"),
    ],
)
def test_files_are_those_that_the_programs_read(name, asset):
    assert FORMATS[name].encode([recording(WAV)], {}).decode() == (ASSETS / asset).read_text()


def test_times_of_a_raven_table_run_on_over_its_files():
    files = [recording("field/site1/a.wav", FOUND[:2]), recording("field/site1/b.wav", FOUND[2:])]
    assert FORMATS["raven"].encode(files, {}).decode() == (ASSETS / "two_files.selections.txt").read_text()


def test_kaleidoscope_gets_the_common_folder_and_the_rest():
    files = [recording("/data/field/site1/a.wav", FOUND[:1]), recording("/data/field/b.wav", FOUND[1:2])]
    rows = list(csv.DictReader(io.StringIO(FORMATS["kaleidoscope"].encode(files, {}).decode())))
    assert [(row["INDIR"], row["FOLDER"], row["IN FILE"]) for row in rows] == [
        ("/data/field", "site1", "a.wav"),
        ("/data/field", "", "b.wav"),
    ]
    assert (rows[0]["OFFSET"], rows[0]["DURATION"], rows[0]["TOP1MATCH*"]) == ("1.500", "2.500", "rooster")


def test_column_names_are_frozen():
    assert COLUMNS == ("path", "start", "end", "set", "label", "index", "score")
    assert CLOCK_COLUMNS == ("clock_start", "clock_end")
    assert BIRDNET_COLUMNS == ("Start (s)", "End (s)", "Scientific name", "Common name", "Confidence", "File")
    assert KALEIDOSCOPE_COLUMNS == (
        "INDIR", "FOLDER", "IN FILE", "OFFSET", "DURATION", "TOP1MATCH*", "MANUAL ID"
    )  # fmt: skip
    assert RAVEN_COLUMNS[3:7] == ("Begin Time (s)", "End Time (s)", "Low Freq (Hz)", "High Freq (Hz)")


def test_csv_and_json_lines_agree_and_have_the_time_of_day():
    files = [recording(WAV, recorded=datetime(2024, 6, 1, 5, 30))]
    rows = list(csv.DictReader(io.StringIO(FORMATS["csv"].encode(files, {}).decode())))
    lines = [json.loads(line) for line in FORMATS["json"].encode(files, {}).decode().splitlines()]
    assert [{key: str(value) for key, value in line.items()} for line in lines] == rows
    assert rows[0]["clock_start"] == "2024-06-01T05:30:01.500"
    assert CLOCK_COLUMNS[0] not in FORMATS["csv"].encode([recording(WAV)], {}).decode()


def test_labels_with_separators_stay_one_field():
    odd = [("dog, bark\tloud\n<b>", 0.0, 1.0, 0.5)]
    (row,) = csv.DictReader(io.StringIO(FORMATS["csv"].encode([recording("a.wav", odd)], {}).decode()))
    assert row["label"] == odd[0][0]
    (line,) = FORMATS["audacity"].encode([recording("a.wav", odd)], {}).decode().splitlines()
    assert line == "0.000000\t1.000000\tdog, bark loud <b>"
    assert "dog, bark loud &lt;b&gt; 50%" in FORMATS["vtt"].encode([recording("a.wav", odd)], {}).decode()


def test_parquet_is_read_by_pyarrow_with_the_settings(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "events.parquet"
    path.write_bytes(FORMATS["parquet"].encode([recording(WAV)], {"weights": "abc"}))
    table = parquet.read_table(path)
    assert table.column_names == ["file", "start_s", "end_s", "label", "score", "set", "index"]
    assert table.schema.metadata[b"weights"] == b"abc"
    assert table.column("label").to_pylist() == ["rooster", "dog", "sneezing"]
    assert table.column("end_s").to_pylist() == [4.0, 9.0, 13.75]


def test_elan_files_are_read_by_pympi(tmp_path):
    pympi = pytest.importorskip("pympi")
    path = tmp_path / "clip.eaf"
    overlapping = [*FOUND, ("rooster", 7.0, 8.0, 0.6)]
    path.write_bytes(FORMATS["elan"].encode([recording("clip.mp4", overlapping)], {}))
    read = pympi.Elan.Eaf(str(path))
    assert sorted(read.get_annotation_data_for_tier("rooster")) == [(1500, 4000, "rooster"), (7000, 8000, "rooster")]
    assert read.get_annotation_data_for_tier("dog score") == [(6000, 9000, "0.813")]


def test_overlapping_annotations_of_a_class_go_to_further_tiers(tmp_path):
    pympi = pytest.importorskip("pympi")
    path = tmp_path / "clip.eaf"
    windows = [("dog", start / 2, start / 2 + 2, 0.9) for start in range(4)]
    path.write_bytes(FORMATS["elan"].encode([recording("cl\udce9p.mp4", windows)], {}))
    read = pympi.Elan.Eaf(str(path))
    tiers = [name for name in read.get_tier_names() if "score" not in name]
    assert sorted(tiers) == ["dog", "dog (2)", "dog (3)", "dog (4)"]


def test_subtitles_are_read_by_webvtt(tmp_path):
    webvtt = pytest.importorskip("webvtt")
    for name, read in (("vtt", webvtt.read), ("srt", webvtt.from_srt)):
        path = tmp_path / f"clip.{name}"
        path.write_bytes(FORMATS[name].encode([recording("clip.mp4")], {}))
        captions = [(caption.start, caption.end, caption.text) for caption in read(str(path))]
        assert captions[2] == ("00:00:12.250", "00:00:13.750", "sneezing 44%")


def test_a_file_without_events_is_an_empty_table():
    empty = recording("a.wav", ())
    for kind in FORMATS.values():
        if not kind.module:
            assert "rooster" not in kind.encode([empty], {}).decode()
    assert FORMATS["raven"].encode([empty], {}).decode().splitlines() == ["\t".join(RAVEN_COLUMNS)]


def test_an_unknown_format_and_a_missing_package_are_named(monkeypatch):
    with pytest.raises(UsageError, match="--format raben: expected some of table, json"):
        require(["raben"])
    monkeypatch.setattr("slowfast_cli.events.formats.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"needs pyarrow: pip install 'slowfast-cli\[parquet\]'"):
        require(["parquet"])
