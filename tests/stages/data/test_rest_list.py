"""The csv file of the recordings that are neither wrong nor flagged."""

import csv
import os
import shutil

import numpy as np
import pytest
import tiny

from slowfast_cli.corpora import csv_table

RATE = 16000
NOISE = (0.1 * np.random.default_rng(0).standard_normal(2 * RATE)).astype(np.float32)


def check(name, root, rest, *words):
    return tiny.slowfast("data", "check", name, "--root", root, "--rest", rest, "--drop", "flagged", *words)


def listed(path, *lines):
    """Write a csv file and the recordings that it lists."""
    for name in {line.split(",")[0] for line in lines[1:]}:
        tiny.write(path.parent / name, NOISE)
    path.write_text("\n".join(lines) + "\n")
    return path


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def folder(tmp_path):
    for label in "ab":
        for number in range(3):
            tiny.write(tmp_path / "data" / label / f"{number}.wav", np.roll(NOISE, 100 * number))
    return tmp_path / "data"


def test_the_rest_replaces_only_a_file_of_its_own(folder, tmp_path):
    rest = tmp_path / "rest.csv"
    for text in (
        "mine\n",
        "path,start,stop,split,label\na.wav,,,train,x\n",
        "path,start,stop,split,label,more\n/a.wav,,,train,x,1\n",
        "path,start,stop,label\n/a.wav,,,x\n",
        "\udcff",
    ):
        rest.write_text(text, errors="surrogateescape")
        done = check("folder", folder, rest)
        assert (done.code, "not a file that --rest wrote" in done.err) == (2, True)
        assert rest.read_text(errors="surrogateescape") == text
    rest.unlink()
    assert [check("folder", folder, rest).code for _ in range(2)] == [0, 0]
    assert len(rows(rest)) == 6


def test_options_that_exclude_each_other(folder, tmp_path):
    rest = tmp_path / "rest.csv"
    for words, reason in (
        (["--out", rest], "is also --out"),
        (["--limit", 1], "leaves recordings unchecked"),
        (["--drop", "all"], "expected flagged"),
    ):
        done = check("folder", folder, rest, *words)
        assert (done.code, reason in done.err) == (2, True)
    done = tiny.slowfast("data", "check", "folder", "--root", folder, "--rest", rest)
    assert (done.code, "needs --drop" in done.err) == (2, True)
    assert not rest.exists()


def test_the_list_of_the_data_set_is_kept(tmp_path):
    path = tmp_path / "segments.csv"
    absolute = [f"{tmp_path}/{number}.wav,,,{split},{label}" for number, (split, label) in enumerate(
        (split, label) for split in ("train", "val") for label in "ab"
    )]  # fmt: skip
    listed(path, "path,start,stop,split,label", *absolute)
    before = path.read_text()
    (tmp_path / "link.csv").symlink_to(path)
    for root in (path, tmp_path):
        for rest in (path, tmp_path / "link.csv"):
            done = check("csv", root, rest)
            assert (done.code, "is the list of the data set" in done.err) == (2, True)
    assert path.read_text() == before


def test_data_that_a_csv_file_cannot_describe_is_refused_before_the_check(tmp_path, monkeypatch):
    tiny.write(tmp_path / "flat" / "a.wav", NOISE)
    done = check("folder", tmp_path / "flat", tmp_path / "rest.csv")
    assert (done.code, "has no classes here" in done.err) == (2, True)
    tiny.write(tmp_path / "flat" / "a" / "a.wav", NOISE)
    tiny.write(tmp_path / "flat" / "b" / "b.wav", NOISE)
    monkeypatch.setenv("SLOWFAST_CACHE", str(tmp_path / "cache"))
    done = check("folder", f"file://{tmp_path / 'flat'}", tmp_path / "rest.csv")
    assert (done.code, "is remote" in done.err) == (2, True)


def test_times_are_exact_and_only_late_segments_are_left_out(tmp_path):
    path = listed(
        tmp_path / "list.csv", "path,start,stop,label",
        *(f"{number}.wav,0.1{number}34567,{number}.9876543,{'ab'[number % 2]}" for number in range(1, 9)),
        "1.wav,3600.1254,3601.5,a", "1.wav,3600.1281,3601.5,b",
    )  # fmt: skip
    rest = tmp_path / "rest.csv"
    done = check("csv", path, rest)
    assert done.code == 3
    assert f"{rest}: 8 of 10 segments" in done.err
    assert {row["start"] for row in rows(rest)} == {f"0.1{number}34567" for number in range(1, 9)}
    assert "3600" not in rest.read_text()


def test_classes_of_numbers_are_named_in_the_command(tmp_path):
    lines = [f"{number}.wav,{split},{number / 2}" for number, split in enumerate(("train", "train", "val"))]
    path = listed(tmp_path / "list.csv", "path,split,level", *lines)
    rest = tmp_path / "rest.csv"
    done = tiny.slowfast("data", "check", "csv", "--root", path, "--rest", rest, "--drop", "flagged")
    assert "data.labels=[level]" in done.err
    path = listed(tmp_path / "list.csv", "path,split,level", *(line + "x" for line in lines))
    assert "data.labels" not in check("csv", path, rest).err


def test_what_is_lost_is_said(folder, tmp_path):
    rest = tmp_path / "rest.csv"
    name = os.fsencode(folder / "b") + b"/caf\xe9.wav"
    shutil.copy(folder / "b" / "0.wav", name)
    for number in range(3):
        (folder / "b" / f"{number}.wav").write_bytes(b"?")
    done = check("folder", folder, rest)
    assert "names are not UTF-8" in done.err
    assert "no recording of train is left with label b" in done.err
    assert len(rows(rest)) == 3
    assert csv_table.read(rest, "train").classes == {"label": ("a",)}
    for number in range(3):
        (folder / "a" / f"{number}.wav").write_bytes(b"?")
    before = rest.read_text()
    done = check("folder", folder, rest)
    assert (done.code, "no segment is left" in done.err) == (3, True)
    assert rest.read_text() == before
