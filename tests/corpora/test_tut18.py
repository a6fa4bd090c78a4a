"""TUT18 reader, on the official layout with synthetic lists."""

import pytest

from slowfast_cli.corpora import labels, tut18
from slowfast_cli.types import DataError

TRAIN = ["airport-barcelona-0-0-a", "metro_station-lisbon-1002-40001-a", "tram-vienna-285-8639-a"]
TEST = ["airport-barcelona-203-6122-a", "street_pedestrian-paris-144-4362-a"]


@pytest.fixture(params=["", "TUT-urban-acoustic-scenes-2018-development"])
def top(request, tmp_path):
    top = tmp_path / request.param
    for folder in ("audio", "evaluation_setup"):
        (top / folder).mkdir(parents=True)
    for name, clips in (("train", TRAIN), ("evaluate", TEST)):
        lines = [f"audio/{clip}.wav\t{clip.split('-')[0]}" for clip in clips]
        (top / "evaluation_setup" / f"fold1_{name}.txt").write_text("\r\n".join(lines), newline="")
    (top / "evaluation_setup" / "fold1_test.txt").write_text("\n".join(f"audio/{clip}.wav" for clip in TEST))
    for clip in TRAIN + TEST:
        (top / "audio" / f"{clip}.wav").touch()
    return top


def test_the_official_fold(top, tmp_path):
    assert list(labels.names("tut18")) == sorted(labels.names("tut18"))
    for split, clips in (("train", TRAIN), ("test", TEST)):
        corpus = tut18.read(tmp_path, split)
        assert [segment.id for segment in corpus.segments] == clips
        assert [corpus.classes["label"][segment.targets["label"]] for segment in corpus.segments] == [
            clip.split("-")[0] for clip in clips
        ]
        assert [segment.recording.path for segment in corpus.segments] == [top / "audio" / f"{c}.wav" for c in clips]
        assert [segment.group for segment in corpus.segments] == ["-".join(clip.split("-")[1:3]) for clip in clips]
    assert len(corpus.classes["label"]) == 10
    (top / "audio" / f"{TEST[0]}.wav").rename(top / "audio" / f"{TEST[0]}.flac")
    assert tut18.read(tmp_path, "test").segments[0].recording.path.suffix == ".flac"
    (top / "audio" / f"{TEST[0]}.flac").unlink()
    corpus = tut18.read(tmp_path, "test")
    assert [(failure.id, failure.path) for failure in corpus.missing] == [(TEST[0], top / "audio" / f"{TEST[0]}.wav")]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("audio/park-paris-1-1-b.wav\tpark", r"row 1: 'audio/park-paris-1-1-b\.wav' .* mobile set \(task 1B\)"),
        ("audio/park-paris-1-1-a.wav\tbeach", "row 1: 'beach' is not one of the 10"),
        ("audio/park-paris-1-1-a.wav\ttram", "is not a clip of tram"),
        ("audio/0.wav\ttram", "is not a clip of tram"),
        ("audio/park-paris-1-1-a.wav", "row 1: 1 columns, expected 2"),
        ("audio/tram-paris-1-1-a.wav\ttram\naudio/tram-paris-1-1-a.wav\ttram", "listed twice"),
    ],
)
def test_errors_name_the_row(top, tmp_path, line, reason):
    (top / "evaluation_setup" / "fold1_train.txt").write_text(line + "\n")
    with pytest.raises(DataError, match=reason):
        tut18.read(tmp_path, "train")
    tut18.read(tmp_path, "test")


def test_missing_data_set(tmp_path):
    with pytest.raises(DataError, match="contains none of the expected files"):
        tut18.read(tmp_path, "train")
    with pytest.raises(DataError, match="no split 'val'"):
        tut18.read(tmp_path, "val")
