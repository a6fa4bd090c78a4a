"""Cutting and listing clips: recordings of the same name, odd labels, a second run after sorting."""

import csv
import shutil

import numpy as np
import pytest
import tiny

from slowfast_cli.stages.segments import cut, list_sorted, read_events
from slowfast_cli.types import DataError, Failure


@pytest.fixture
def table(tmp_path):
    """Two recorders with a file of the same name each, and a label that is no name of a folder."""
    for place in ("A", "B"):
        tiny.write(tmp_path / place / "20240601_053000.wav", np.zeros(32000))
    rows = [("A", 0, 1, "dog"), ("B", 0, 1, "rain"), ("B", 1, 2, "cut / chop"), ("A", 1, 2, "..")]
    path = tmp_path / "events.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "start", "end", "set", "label", "index", "score"])
        for number, (place, start, end, label) in enumerate(rows):
            writer.writerow(
                [tmp_path / place / "20240601_053000.wav", start, end, "label", label, 0, 0.9 - number / 10]
            )
    return path


def listed(folder, out):
    list_sorted(folder, out)
    with out.open(newline="") as file:
        return sorted((row["path"].split("/")[-2], row["start"], row["label"]) for row in csv.DictReader(file))


def test_each_clip_keeps_its_recording_and_label(table, tmp_path):
    review = tmp_path / "review"
    assert not [one for one in cut(read_events(table), review) if isinstance(one, Failure)]
    assert sorted(path.parent.name for path in review.rglob("*.wav")) == ["%2E.", "cut %2F chop", "dog", "rain"]
    assert listed(review, tmp_path / "out.csv") == [
        ("A", "0", "dog"), ("A", "1", ".."), ("B", "0", "rain"), ("B", "1", "cut / chop"),
    ]  # fmt: skip


def test_a_second_run_keeps_what_a_person_has_sorted(table, tmp_path):
    review = tmp_path / "review"
    list(cut(read_events(table), review))
    (wrong,) = (review / "dog").iterdir()
    (review / "fox").mkdir()
    shutil.move(wrong, review / "fox")
    shutil.rmtree(review / "rain")
    list(cut(read_events(table, min_score=0.65), review))
    assert listed(review, tmp_path / "out.csv") == [("A", "0", "fox"), ("A", "1", ".."), ("B", "1", "cut / chop")]


def test_rows_that_are_no_events_are_named(tmp_path):
    path = tmp_path / "events.csv"
    for row, message in (("a.wav,2,1,dog", "expected 0 <= start < end"), ("a.wav,0,1,", "no label")):
        path.write_text(f"path,start,end,label\n{row}\n")
        with pytest.raises(DataError, match=f"row 2: .*{message}"):
            read_events(path)
