"""AVE reader, on lines of the official `Annotations.txt`; the lists of the splits have the same form."""

import shutil
from pathlib import Path

import pytest

from slowfast_cli.corpora import ave, labels
from slowfast_cli.types import DataError

LIST = Path(__file__).parents[1] / "assets" / "lists" / "ave" / "Annotations.txt"
LINES = LIST.read_text().splitlines()


def touch(root, *lines):
    for line in lines:
        path = root / f"{line.split('&')[1]}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


@pytest.fixture(params=["", "AVE_Dataset", "data"])
def root(request, tmp_path):
    (tmp_path / request.param).mkdir(exist_ok=True)
    shutil.copyfile(LIST, tmp_path / request.param / "Annotations.txt")
    touch(tmp_path / "AVE", *LINES)
    return tmp_path


def test_classes_are_in_the_order_of_the_list_and_background_is_last():
    names = labels.names("ave")
    assert (len(names), names[-1]) == (29, "background")
    in_list = list(dict.fromkeys(line.split("&")[0] for line in LINES))
    assert sorted(in_list, key=names.index) == in_list
    assert (names[:3], names[26:28]) == (tuple(in_list[:3]), tuple(in_list[3:]))


def test_each_second_is_a_segment(root):
    corpus = ave.read(root, "all")
    assert (corpus.listed, corpus.missing, corpus.has_video) == (10 * len(LINES), (), True)
    for number, line in enumerate(LINES):
        category, video, _, start, stop = line.split("&")
        index = labels.indices("ave")[category]
        for second in range(10):
            segment = corpus.segments[10 * number + second]
            assert (segment.id, segment.group) == (f"{video}:{second}", video)
            assert (segment.recording.id, segment.recording.path.name) == (video, f"{video}.mp4")
            assert (segment.start, segment.stop) == (second, second + 1)
            assert segment.targets == {"label": index if int(start) <= second < int(stop) else 28}
    assert len(corpus.recordings) == len(LINES)


def test_an_event_of_no_duration_is_background(root):
    segments = [segment for segment in ave.read(root, "all").segments if segment.group == "VWi2ENBuTbw"]
    assert [segment.targets["label"] for segment in segments] == [28] * 10


@pytest.mark.parametrize("header", ["", f"{ave.HEADER}\n"])
def test_a_header_is_skipped_and_a_video_may_have_two_events(tmp_path, header):
    lines = ["Male speech, man speaking&0giAfYq9oVM&good&3&9", "Female speech, woman speaking&0giAfYq9oVM&good&0&3"]
    (tmp_path / "trainSet.txt").write_text(header + "".join(f"{line}\n" for line in lines))
    touch(tmp_path / "AVE_Dataset" / "AVE", lines[0])
    corpus = ave.read(tmp_path, "train")
    assert len(corpus.segments) == len({segment.id for segment in corpus.segments}) == 20
    assert [segment.id for segment in corpus.segments[9:11]] == ["0giAfYq9oVM:9", "0giAfYq9oVM#2:0"]
    assert len(corpus.recordings) == 1
    names = corpus.classes["label"]
    assert [names[segment.targets["label"]] for segment in corpus.segments[10:14]] == [
        *["Female speech, woman speaking"] * 3, "background",
    ]  # fmt: skip


def test_missing_videos_are_counted(root):
    (root / "AVE" / "MH3m4AwEcRY.mp4").unlink()
    corpus = ave.read(root, "all")
    assert corpus.listed == 10 * len(LINES)
    assert [(failure.id, failure.reason) for failure in corpus.missing] == [
        (f"MH3m4AwEcRY:{second}", "not on disk") for second in range(10)
    ]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("Bark&3jS8tWfLJxI&good&7", "row 2: .* has 4 fields, expected the 5 of Category&VideoID"),
        ("Barking&3jS8tWfLJxI&good&7&9", "row 2: 'Barking' is not one of the 29 classes"),
        ("Bark&3jS8tWfLJxI&good&9&7", "row 2: event from '9' to '7', expected whole seconds from 0 to 10"),
        ("Bark&3jS8tWfLJxI&good&0&11", "row 2: event from '0' to '11'"),
        ("Bark&3jS8tWfLJxI&good&0.5&2", "row 2: event from '0.5' to '2'"),
        ("background&3jS8tWfLJxI&good&0&2", "row 2: .* names no event"),
        ("Bark&&good&0&2", "row 2: .* names no event of a video"),
    ],
)
def test_errors_name_the_row(tmp_path, line, words):
    (tmp_path / "valSet.txt").write_text(f"{LINES[0]}\n{line}\n")
    with pytest.raises(DataError, match=words):
        ave.read(tmp_path, "val")


def test_missing_data_set(tmp_path):
    with pytest.raises(DataError, match="contains none of the expected files"):
        ave.read(tmp_path, "test")
    with pytest.raises(DataError, match="no split 'eval'"):
        ave.read(tmp_path, "eval")
