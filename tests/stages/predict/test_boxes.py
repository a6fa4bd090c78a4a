"""Lists of boxes that users write: headers of any order, AVA's own columns, shares and pixels, and every mistake."""

from pathlib import Path

import pytest

from slowfast_cli.stages.predict.boxes import read
from slowfast_cli.types import Box, DataError

SIZE = {"size": (320, 240), "length": 10.0}
CLIP = Path("films/clip.mp4")


def written(folder, *lines, name="boxes.csv"):
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_times_in_order_and_the_boxes_of_each(tmp_path):
    path = written(
        tmp_path, "time,x1,y1,x2,y2,score,note", "2,0.1,0.2,0.5,0.9,0.25,a", "0.5,0,0,1,1,,", "2.0,0.5,0,1,1,1,b"
    )
    found = read(path).of(CLIP, **SIZE)
    assert list(found) == [0.5, 2.0]
    assert found[0.5] == (Box(place=(0, 0, 1, 1)),)
    assert found[2.0] == (Box(place=(0.1, 0.2, 0.5, 0.9), score=0.25), Box(place=(0.5, 0, 1, 1), score=1.0))


def test_columns_in_any_order_and_case_with_a_byte_order_mark(tmp_path):
    path = written(tmp_path, "\ufeffY2, X2 ,Time,x1,y1", "0.9,0.5,00:00:02.5,0.1,0.2")
    assert read(path).of(CLIP, **SIZE) == {2.5: (Box(place=(0.1, 0.2, 0.5, 0.9)),)}


def test_pixels_are_shares_of_the_video_that_they_are_of(tmp_path):
    path = written(tmp_path, "time,x1,y1,x2,y2", "1,32,24,160,240", "1,0,0,2,2", "2,-5,100,330,250")
    found = read(path).of(CLIP, **SIZE)
    assert [box.place for box in found[1.0]] == [(0.1, 0.1, 0.5, 1.0), (0, 0, 2 / 320, 2 / 240)]
    assert found[2.0][0].place == pytest.approx((-5 / 320, 100 / 240, 330 / 320, 250 / 240))


def test_a_share_may_reach_out_of_the_frame_a_little(tmp_path):
    path = written(tmp_path, "time,x1,y1,x2,y2", "1,-0.1,0,1.2,1.5")
    assert read(path).of(CLIP, **SIZE)[1.0][0].place == (-0.1, 0, 1.2, 1.5)


@pytest.mark.parametrize("column", ["path", "video", "Video"])
@pytest.mark.parametrize("name", ["clip.mp4", "clip", "films/clip.mp4", "{folder}/films/clip.mp4"])
def test_rows_name_their_video_in_any_way(tmp_path, monkeypatch, column, name):
    monkeypatch.chdir(tmp_path)
    name = name.format(folder=tmp_path)
    path = written(tmp_path, f"{column},time,x1,y1,x2,y2", f"{name},1,0,0,1,1", "other,2,0,0,1,1", "clipped,3,0,0,1,1")
    listed = read(path)
    assert listed.names_videos
    assert list(listed.of(CLIP, **SIZE)) == [1.0]
    assert list(listed.of(tmp_path / CLIP, **SIZE)) == [1.0]
    with pytest.raises(DataError, match=r"boxes\.csv: no box is of new\.mp4; they are of .*: let them name the file"):
        listed.of(Path("new.mp4"), **SIZE)


def test_the_path_may_be_seen_from_the_list(tmp_path):
    path = written(tmp_path, "path,time,x1,y1,x2,y2", "films/clip.mp4,1,0,0,1,1")
    assert list(read(path).of(tmp_path / CLIP, **SIZE)) == [1.0]
    with pytest.raises(DataError, match="no box is of"):
        read(path).of(tmp_path / "others" / "clip.mp4", **SIZE)


def test_lists_of_ava_have_no_header(tmp_path):
    detected = written(
        tmp_path, "clip,0002,0.1,0.2,0.5,0.9,,0.875", "clip,2,0.1,0.2,0.5,0.9,80,0.5", "x,3,0,0,1,1,,1.0"
    )
    assert read(detected).of(CLIP, **SIZE) == {2.0: (Box(place=(0.1, 0.2, 0.5, 0.9), score=0.875),)}
    annotated = written(tmp_path, "clip,0002,0.1,0.2,0.5,0.9,12,0", "clip,0002,0.1,0.2,0.5,0.9,80,37")
    assert read(annotated).of(CLIP, **SIZE) == {2.0: (Box(place=(0.1, 0.2, 0.5, 0.9)),)}  # persons, no scores
    older = written(tmp_path, "clip,0002,0.1,0.2,0.5,0.9,12")
    assert read(older).names_videos
    assert list(read(older).of(CLIP, **SIZE)) == [2.0]


HEADER = "time,x1,y1,x2,y2"
MISTAKES = {
    "row 1: 'a,b'; expected a header with time,x1,y1,x2,y2": ["a,b", "1,2"],
    "row 1: '1,0,0,1,1'; expected a header": ["1,0,0,1,1"],
    "row 1: 'time,x1,y1,x2'; expected a header": ["time,x1,y1,x2", "1,0,0,1"],
    "boxes.csv: no box in it; expected a header": [HEADER],
    "boxes.csv: row 1: ''; expected a header": [""],
    "row 3: 4 columns, expected 5": [HEADER, "1,0,0,1,1", "1,0,0,1"],
    "row 3: x2 'wide' is not a number": [HEADER, "1,0,0,1,1", "1,0,0,wide,1"],
    "row 2: y1 'nan' is not a number": [HEADER, "1,0,nan,1,1"],
    "row 2: x2 'inf' is not a number": [HEADER, "1,0,0,inf,1"],
    "row 2: 'soon' is not a time": [HEADER, "soon,0,0,1,1"],
    "row 2: '-1' is not a time": [HEADER, "-1,0,0,1,1"],
    "row 2: box 0.5, 0, 0.5, 1: expected x1 < x2 and y1 < y2": [HEADER, "1,0.5,0,0.5,1"],
    "row 2: box 0, 0.9, 1, 0.1: expected x1 < x2 and y1 < y2": [HEADER, "1,0,0.9,1,0.1"],
    "row 2: score 1.5, expected 0 to 1": [HEADER + ",score", "1,0,0,1,1,1.5"],
    "row 2: score 'high' is not a number": [HEADER + ",score", "1,0,0,1,1,high"],
    "row 2: names no video": [HEADER + ",path", "1,0,0,1,1,"],
    "row 2: box 0.1, 0.1, 0.4, 0.9 is in fractions of the frame, but 10, 20, 30, 40 (row 3) is in pixels": [
        HEADER, "1,0.1,0.1,0.4,0.9", "1,10,20,30,40",
    ],
}  # fmt: skip


@pytest.mark.parametrize("reported", MISTAKES)
def test_a_list_that_does_not_hold_together_says_where(tmp_path, reported):
    path = written(tmp_path, *MISTAKES[reported])
    with pytest.raises(DataError) as raised:
        read(path)
    assert str(raised.value).startswith(str(path))
    assert reported in str(raised.value)


@pytest.mark.parametrize(
    ("row", "reported"),
    [
        ("30,0.1,0.1,0.4,0.9", "row 2: time 30 s is after the end of films/clip.mp4 (10.00 s)"),
        ("1,1.1,0.1,1.4,0.9", "row 2: box 1.1, 0.1, 1.4, 0.9 lies outside the frame: correct or remove the row"),
        ("1,10,-30,40,0", "row 2: box 10, -30, 40, 0 lies outside the frame of 320 x 240 pixels"),
        ("1,321,10,340,20", "row 2: box 321, 10, 340, 20 lies outside the frame of 320 x 240 pixels"),
    ],
)
def test_a_box_that_is_not_in_its_video_says_where(tmp_path, row, reported):
    listed = read(written(tmp_path, HEADER, row))
    with pytest.raises(DataError) as raised:
        listed.of(CLIP, **SIZE)
    assert reported in str(raised.value)


def test_files_that_are_no_lists(tmp_path):
    with pytest.raises(DataError, match=r"gone\.csv: cannot be read: No such file or directory"):
        read(tmp_path / "gone.csv")
    with pytest.raises(DataError, match=r"cannot be read: Is a directory"):
        read(tmp_path)
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00,\x80")
    with pytest.raises(DataError, match=r"binary\.csv: not a csv file in UTF-8"):
        read(tmp_path / "binary.csv")
