"""Charades reader, on synthetic rows: the license of the official lists forbids redistribution."""

from pathlib import Path

import pytest

from slowfast_cli.corpora import charades, labels
from slowfast_cli.types import DataError, Span

HEADER = "id,subject,scene,quality,relevance,verified,script,objects,descriptions,actions,length\n"
ROWS = """\
AB1CD,XX01,Kitchen,6,7,Yes,Looks for a lid.,cup;stove,"Waits, and waits; twice.",c092 11.90 21.20;c147 0.00 12.60,24.83
EF2GH,XX02,Hallway,5,7,Yes,,,Nothing is done.,,31.00
IJ3KL,XX01,Garage,6,6,No,"A ""quoted"" word",broom,Swept.,c102 3.00 50.40;c102 1.00 2.00;c071 18.00 10.00,30.00
MN4OP,XX03,Attic,6,6,Yes,x,box,Gone.,c000 0.00 5.00,9.75
QR5ST,XX04,Attic,6,6,Yes,x,box,Backwards.,c000 6.00 5.00;c001 10.00 12.00,9.75
"""


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


@pytest.fixture(params=["", "Charades", "annotations"])
def root(request, tmp_path):
    for name in ("train", "test"):
        path = tmp_path / request.param / f"Charades_v1_{name}.csv"
        path.parent.mkdir(exist_ok=True)
        path.write_text(HEADER + ROWS)
    touch(*(tmp_path / "Charades_v1_480" / f"{id}.mp4" for id in ("AB1CD", "EF2GH", "IJ3KL", "QR5ST")))
    return tmp_path


def test_class_list():
    assert len(labels.names("charades")) == 157
    assert [row["code"] for row in labels.table("charades")] == [f"c{index:03d}" for index in range(157)]


def test_targets_spans_and_missing(root):
    corpus = charades.read(root, "train")
    assert corpus.listed == 5
    first, third = corpus.segments
    assert (first.id, first.group, first.start, first.stop) == ("AB1CD", "XX01", 0.0, None)
    assert first.targets == {"label": (92, 147)}
    assert first.spans == (
        Span(labels="label", index=92, start=11.9, stop=21.2),
        Span(labels="label", index=147, start=0.0, stop=12.6),
    )
    # Spans are cut at the length; a repeated class is one target; an action that ends before it starts is dropped.
    assert third.targets == {"label": (102,)}
    assert [(span.start, span.stop) for span in third.spans] == [(3.0, 30.0), (1.0, 2.0)]
    assert [(failure.id, failure.reason) for failure in corpus.missing] == [
        ("EF2GH", "no labels in the list"),
        ("MN4OP", "not on disk"),
        ("QR5ST", "no labels in the list"),
    ]


def test_val_is_test(root):
    for split in ("val", "test"):
        corpus = charades.read(root, split)
        assert corpus.split == split
        assert [segment.id for segment in corpus.segments] == ["AB1CD", "IJ3KL"]


def test_frame_images_and_small_videos_are_preferred(root):
    touch(root / "Charades_v1" / "AB1CD.mp4", root / "Charades_v1" / "MN4OP.mp4")
    recordings = {recording.id: recording for recording in charades.read(root, "train").recordings}
    assert recordings["AB1CD"].path == root / "Charades_v1_480" / "AB1CD.mp4"
    assert recordings["MN4OP"].path == root / "Charades_v1" / "MN4OP.mp4"
    touch(root / "Charades_v1_rgb" / "AB1CD" / "AB1CD-000001.jpg", root / "Charades_v1_rgb" / "ZZ9ZZ" / "x.jpg")
    (root / "Charades_v1" / "MN4OP.mp4").unlink()
    touch(root / "Charades_v1_rgb" / "MN4OP" / "MN4OP-000001.jpg")
    recordings = {recording.id: recording for recording in charades.read(root, "train").recordings}
    assert recordings["AB1CD"].path == root / "Charades_v1_rgb" / "AB1CD"
    assert recordings["AB1CD"].fps == 24
    assert recordings["AB1CD"].sound == root / "Charades_v1_480" / "AB1CD.mp4"
    assert (recordings["MN4OP"].fps, recordings["MN4OP"].sound) == (24, None)
    assert recordings["IJ3KL"].fps is None


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("A,B,C,1,1,Yes,x,x,x,c157 0.00 1.00,9.00", "row 2: action 'c157 0.00 1.00' is not a class"),
        ("A,B,C,1,1,Yes,x,x,x,c01 0.00 1.00,9.00", "row 2: action 'c01"),
        ("A,B,C,1,1,Yes,x,x,x,c001 zero 1.00,9.00", "row 2: action 'c001 zero"),
        ("A,B,C,1,1,Yes,x,x,x,c001 0.00 1.00,long", "row 2: missing or invalid column"),
        ("A,B,C,1,1,Yes,x,x,x,c001 0.00 1.00", "row 2: 10 columns, expected 11"),
        ("A,B,C,1,1,Yes,x,x,x,,9.00\nA,B,C,1,1,Yes,x,x,x,,9.00", "A is listed twice"),
    ],
)
def test_errors_name_the_row(tmp_path, row, words):
    (tmp_path / "Charades_v1_train.csv").write_text(HEADER + row + "\n")
    with pytest.raises(DataError, match=words):
        charades.read(tmp_path, "train")


def test_missing_data_set(tmp_path):
    with pytest.raises(DataError, match="contains none of the expected files") as error:
        charades.read(tmp_path, "val")
    assert charades.INFO.license in str(error.value)
    with pytest.raises(DataError, match="no split 'nope'"):
        charades.read(tmp_path, "nope")


def test_no_official_rows_are_bundled():
    assets = Path(__file__).parents[1] / "assets"
    listed = [path for folder in ("lists", "annotations") for path in (assets / folder).rglob("*")]
    assert listed
    assert not any("charades" in path.name.lower() for path in listed)
