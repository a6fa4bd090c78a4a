"""``predict --events`` and ``segments``: from recordings to files and back to training data."""

import csv
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import tiny

from slowfast_cli.events.merge import Merging
from slowfast_cli.stages.predict.events import events_of, thresholds_of, with_thresholds
from slowfast_cli.stages.predict.results import FilePrediction, Timeline
from slowfast_cli.types import UsageError

RATE = 16000


@pytest.fixture
def field(tmp_path):
    """Two recordings of noise, one of which has a rooster in its middle."""
    noise = np.random.default_rng(0).normal(0, 1e-3, 6 * RATE)
    folder = tmp_path / "field"
    crow = tiny.sound("rooster.flac", 2.0)
    call = noise.copy()
    call[2 * RATE :][: len(crow)] += crow
    tiny.write(folder / "site1" / "S4A01_20240601_053000.wav", call)
    tiny.write(folder / "S4A02_20240601_053000.wav", noise)
    return folder


def test_events_are_printed_as_a_table_and_as_json_lines(field, monkeypatch):
    monkeypatch.chdir(field.parent)
    done = tiny.good("predict", "field", "--events", "--threshold", "0.3")
    assert "rooster" in done.out
    assert "field/S4A02_20240601_053000.wav: no events" in done.err
    lines = [
        json.loads(line)
        for line in tiny.good("predict", "field", "--events", "--threshold", "0.3", "--json").out.splitlines()
    ]
    assert {line["label"] for line in lines} >= {"rooster"}
    assert all(0 <= line["start"] < line["end"] <= 6.0 for line in lines)


def test_files_of_all_formats_resume_and_are_refused_with_other_settings(field, monkeypatch):
    monkeypatch.chdir(field.parent)
    formats = "csv,json,raven,audacity,birdnet,kaleidoscope,elan,vtt,srt"
    words = ["predict", "field", "--events", "--threshold", "0.3", "--format", formats, "--out", "found", "--clock"]
    tiny.good(*words)
    out = field.parent / "found"
    names = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    stem = "site1/S4A01_20240601_053000"
    assert {f"{stem}.eaf", f"{stem}.srt", f"{stem}.Table.1.selections.txt", "events.csv", "events.jsonl"} <= names
    assert "events.srt" not in names
    with (out / "events.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["clock_start"][:10] for row in rows} == {"2024-06-01"}
    table = (out / "events.csv").read_bytes()
    again = tiny.good(*words)
    assert "2 of 2 files are finished already" in again.err
    assert (out / "events.csv").read_bytes() == table
    other = tiny.slowfast(*[word.replace("0.3", "0.4") for word in words])
    assert (other.code, "has events of other settings" in other.err) == (2, True)
    (out / "finished-0.jsonl").write_text((out / "finished-0.jsonl").read_text().splitlines()[0] + '\n{"path": "cut')
    assert "1 of 2 files are finished already" in tiny.good(*words).err
    assert (out / "events.csv").read_bytes() == table


def test_recordings_of_another_folder_do_not_overwrite_events(field, monkeypatch):
    monkeypatch.chdir(field.parent)
    shutil.copytree(field, field.parent / "other")
    words = ["--events", "--threshold", "0.3", "--out", "found"]
    tiny.good("predict", "field", *words)
    before = (field.parent / "found" / "events.csv").read_bytes()
    done = tiny.slowfast("predict", "other", *words)
    assert (done.code, "or of recordings elsewhere" in done.err) == (2, True)
    assert (field.parent / "found" / "events.csv").read_bytes() == before


def test_a_broken_file_is_reported_and_the_others_are_written(field, monkeypatch):
    monkeypatch.chdir(field.parent)
    (field / "broken.wav").write_bytes(b"RIFF1234WAVEnothing")
    done = tiny.slowfast("predict", "field", "--events", "--threshold", "0.3", "--out", "found")
    assert (done.code, "broken.wav" in done.err) == (3, True)
    assert "rooster" in (field.parent / "found" / "events.csv").read_text()


def test_clips_are_cut_sorted_and_listed_as_training_data(field, monkeypatch):
    monkeypatch.chdir(field.parent)
    tiny.good("predict", "field", "--events", "--threshold", "0.3", "--out", "found")
    tiny.good("segments", "cut", "found/events.csv", "--out", "review", "--pad", "0.25")
    clips = sorted((field.parent / "review").rglob("*.wav"))
    with Path("found/events.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(clips) == len(rows) > 0
    crow = next(clip for clip in clips if clip.parent.name == "rooster")
    samples, rate = soundfile.read(crow)
    row = next(row for row in rows if row["label"] == "rooster")
    assert rate == RATE
    length = min(float(row["end"]) + 0.25, 6.0) - max(float(row["start"]) - 0.25, 0.0)
    assert len(samples) / rate == pytest.approx(length, abs=0.01)
    moved = field.parent / "review" / "cockerel" / crow.name
    moved.parent.mkdir()
    shutil.move(crow, moved)
    done = tiny.good("segments", "list", "review", "--out", "reviewed.csv", "--json")
    assert json.loads(done.out) == {"clips": len(rows), "changed": 1, "out": "reviewed.csv"}
    with Path("reviewed.csv").open(newline="") as file:
        listed = {row["label"]: row for row in csv.DictReader(file)}
    assert listed["cockerel"]["path"].endswith("field/site1/S4A01_20240601_053000.wav")
    assert (listed["cockerel"]["start"], listed["cockerel"]["stop"]) == (row["start"], row["end"])
    assert "1 recordings" not in tiny.slowfast("data", "check", "csv", "--root", "reviewed.csv").err


@pytest.mark.processes
def test_two_processes_write_what_one_does(field, monkeypatch):
    monkeypatch.chdir(field.parent)
    (field / "broken.wav").write_bytes(b"RIFF1234WAVEnothing")
    for name in ("a.wav", "b.wav"):
        shutil.copy(field / "S4A02_20240601_053000.wav", field / name)
    words = ["predict", "field", "--events", "--threshold", "0.3", "--format", "csv,srt", "--out"]
    one, two = tiny.process(*words, "one"), tiny.process(*words, "two", "--gpus", 2)
    assert (one.code, two.code) == (3, 3), two.err
    assert "broken.wav" in two.err
    assert "4 of 5 files are finished already" in tiny.process(*words, "two", "--gpus", 2).err
    for path in sorted((field.parent / "one").rglob("*.csv")) + sorted((field.parent / "one").rglob("*.srt")):
        other = field.parent / "two" / path.relative_to(field.parent / "one")
        assert other.read_bytes() == path.read_bytes()
    assert len(list((field.parent / "two").glob("finished-*.jsonl"))) == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--events", "--gpus", "2"], "--gpus 2: the processes write files: add --out FOLDER"),
        (["--format", "raven"], "--format raven: writes files: add --out FOLDER"),
        (["--format", "xml"], "--format xml: expected some of table, json, csv"),
        (["--threshold", "0.3"], "--threshold: is about events: add --events"),
        (["--event-score", "max"], "--event-score: is about events: add --events"),
        (["--events", "--threshold", "cat=0.3"], "--threshold cat=0.3: no such class"),
        (["--events", "--threshold", "high"], "--threshold high: expected a number above 0, up to 1"),
        (["--events", "--event-score", "sum"], "--event-score sum: expected mean or max"),
        (["--events", "--out", "."], "--out .: is not empty, and has no events"),
        (["--events", "--csv", "a.csv"], "--csv: not together with --events"),
        (["--out", "found", "--explain", "a.png"], "--explain: not together with --events"),
    ],
)
def test_options_that_do_not_go_together_are_refused(words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(tiny.DATA / "dog.ogg", tmp_path)
    done = tiny.slowfast("predict", "dog.ogg", *words)
    assert (done.code, message in done.err) == (2, True), done.err


def test_a_table_without_the_columns_and_an_empty_folder_are_refused(tmp_path):
    (tmp_path / "a.csv").write_text("file,label\n")
    done = tiny.slowfast("segments", "cut", tmp_path / "a.csv", "--out", tmp_path / "review")
    assert (done.code, "expected columns path, start, end, label" in done.err) == (3, True)
    (tmp_path / "empty").mkdir()
    done = tiny.slowfast("segments", "list", tmp_path / "empty", "--out", tmp_path / "b.csv")
    assert (done.code, "contains no clips" in done.err) == (3, True)


Card = SimpleNamespace(
    classes={"label": ("a", "b", "other")}, thresholds={"label": (0.2, 0.7, 0.5)}, unknown="other",
    front_end={"rate": RATE},
)  # fmt: skip


def test_thresholds_come_from_the_weights_unless_given():
    assert thresholds_of(Card, None) == {"": 0.5, "a": 0.2, "b": 0.7, "other": 0.5}
    assert thresholds_of(Card, "a=0.9") == {"": 0.5, "a": 0.9, "b": 0.7, "other": 0.5}
    assert thresholds_of(Card, "0.4,b=0.6") == {"": 0.4, "b": 0.6}
    with pytest.raises(UsageError, match="expected a number above 0"):
        thresholds_of(Card, "a=2")


def test_windows_of_a_file_become_its_events(tmp_path):
    path = tmp_path / "a.wav"
    scores = [[0.9, 0.1, 0.0], [0.9, 0.1, 0.0], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]]
    windows = [
        FilePrediction(path=path, start=float(i), end=i + 1.0, scores={"label": np.array(row)})
        for i, row in enumerate(scores)
    ]
    merging = with_thresholds(Merging(), Card, "0.5")
    (found,) = events_of(windows, Card, merging, Timeline(window=1.0, hop=1.0))
    assert [(event.label, event.start, event.end) for event in found.events] == [("a", 0.0, 2.0), ("b", 2.0, 3.0)]
    assert (found.seconds, found.rate, found.band) == (4.0, None, RATE / 2)
