"""Birdsong reader, on official lines of freefield1010's list and synthetic lines of the other two."""

import csv
import hashlib
import shutil
from pathlib import Path

import pytest

from slowfast_cli.corpora import birdsong, labels
from slowfast_cli.types import DataError

FREEFIELD = Path(__file__).parents[1] / "assets" / "lists" / "birdsong" / "ff1010bird_metadata_2018.csv"
WARBLR = "759808e5-f824-401e-{:04d}"
VOX = "00053d90-e4b9-4045-a2f1-f39efc90c{:03d}"


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def listed():
    with FREEFIELD.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(params=["2018", "older"])
def root(request, tmp_path):
    touch(*(tmp_path / "ff1010bird" / "wav" / f"{row['itemid']}.wav" for row in listed()))
    touch(*(tmp_path / "warblrb10k_public_wav" / "wav" / f"{WARBLR.format(n)}.wav" for n in range(30)))
    touch(*(tmp_path / "BirdVox-DCASE-20k" / "wav" / f"{VOX.format(n)}.wav" for n in range(20)))
    shutil.copyfile(FREEFIELD, tmp_path / "ff1010bird" / FREEFIELD.name)
    if request.param == "2018":
        rows = ["itemid,datasetid,hasbird", *(f"{WARBLR.format(n)},warblrb10k,{int(n % 4 > 0)}" for n in range(30))]
        name = "warblrb10k_public_metadata_2018.csv"
    else:
        rows = ["itemid,hasbird", *(f"{WARBLR.format(n)},{int(n % 4 > 0)}" for n in range(30))]
        name = "warblrb10k_public_metadata.csv"
    (tmp_path / name).write_text("\ufeff" + "\r\n".join(rows), newline="", encoding="utf-8")
    rows = ["itemid,datasetid,hasbird", *(f"{VOX.format(n)},BirdVox-DCASE-20k,{n % 2}" for n in range(20))]
    (tmp_path / "BirdVox-DCASE-20k" / "BirdVoxDCASE20k_csvpublic.csv").write_text("\n".join(rows))
    return tmp_path


def test_the_official_list_has_carriage_returns_and_no_final_newline():
    assert b"\r\n" in FREEFIELD.read_bytes()
    assert labels.names("birdsong") == ("no_bird", "bird")


def test_ids_are_text_and_test_is_a_fifth_of_each_set(root):
    train, test = birdsong.read(root, "train"), birdsong.read(root, "test")
    assert train.missing == test.missing == ()
    everything = {segment.id: segment for segment in (*train.segments, *test.segments)}
    assert len(everything) == len(train.segments) + len(test.segments) == 60 + 30 + 20
    for row in listed():
        segment = everything[f"ff1010bird/{row['itemid']}"]
        assert segment.targets == {"label": int(row["hasbird"])}
        assert segment.recording.path == root / "ff1010bird" / "wav" / f"{row['itemid']}.wav"
    assert all(id.split("/")[1].isdecimal() for id in everything if id.startswith("ff1010bird/"))
    for name, target, count in (
        ("ff1010bird", 0, 47), ("ff1010bird", 1, 13), ("warblrb10k", 0, 8), ("warblrb10k", 1, 22),
        ("BirdVox-DCASE-20k", 0, 10), ("BirdVox-DCASE-20k", 1, 10),
    ):  # fmt: skip
        own = [item for item in test.segments if item.group == name and item.targets["label"] == target]
        assert len(own) == round(0.2 * count)
    assert "is not published" in test.note


def test_the_split_is_deterministic(root):
    """Compare with a reference implementation: the fifth of each label with the smallest SHA-256 of the id."""
    expected = set()
    for target, count in (("0", 9), ("1", 3)):
        ids_of_label = [row["itemid"] for row in listed() if row["hasbird"] == target]
        expected |= set(sorted(ids_of_label, key=lambda id: hashlib.sha256(id.encode()).hexdigest())[:count])
    ids = [segment.id for segment in birdsong.read(root, "test").segments if segment.group == "ff1010bird"]
    assert ids == [f"ff1010bird/{row['itemid']}" for row in listed() if row["itemid"] in expected]
    assert ids[:3] == ["ff1010bird/55", "ff1010bird/156", "ff1010bird/376"]


def test_missing_files_stay_in_their_split(root):
    before = birdsong.read(root, "test")
    removed = before.segments[0]
    removed.recording.path.unlink()
    after = birdsong.read(root, "test")
    assert after.segments == before.segments[1:]
    assert [(failure.id, failure.path, failure.reason) for failure in after.missing] == [
        (removed.id, removed.recording.path, "not on disk")
    ]


def test_one_missing_set(root):
    (root / "BirdVox-DCASE-20k" / "BirdVoxDCASE20k_csvpublic.csv").unlink()
    with pytest.raises(DataError, match=r"BirdVoxDCASE20k_csvpublic\.csv not found; Birdsong needs all of ff1010bird"):
        birdsong.read(root, "train")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("itemid,datasetid,hasbird\n55,ff1010bird,2\n", "row 2: hasbird '2' of itemid '55'"),
        ("itemid,datasetid,hasbird\n55,ff1010bird,\n", "row 2: hasbird ''"),
        ("itemid,datasetid\n55,ff1010bird\n", "row 2: hasbird 'None'"),
        ("itemid,hasbird\n55,1\n55,1\n", "row 3: 55 is listed twice"),
        ("itemid,hasbird\n55,1,2\n", "row 2: 3 columns, expected 2"),
    ],
)
def test_errors_name_the_row(root, text, reason):
    (root / "ff1010bird" / FREEFIELD.name).write_text(text)
    with pytest.raises(DataError, match=reason):
        birdsong.read(root, "train")


def test_missing_data_set(tmp_path):
    with pytest.raises(DataError, match="contains none of the expected files"):
        birdsong.read(tmp_path, "train")
    with pytest.raises(DataError, match="no split 'val'"):
        birdsong.read(tmp_path, "val")
