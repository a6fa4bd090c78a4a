"""AudioSet-strong reader, on rows in the documented form: no list was at hand; only the first row is genuine."""

import pytest

from slowfast_cli.corpora import audioset_strong, labels
from slowfast_cli.types import AbsentError, DataError, Span

HEADER = "segment_id\tstart_time_seconds\tend_time_seconds\tlabel\n"
ROWS = """\
b0RFKhbpFJA_30000\t0.000\t10.000\t/m/03m9d0z
b0RFKhbpFJA_30000\t4.753\t5.720\t/m/05zppz
b0RFKhbpFJA_30000\t5.600\t7.000\t/m/05zppz
-a_bcdefghi_0\t0.000\t0.021\t/m/07qjznt
-a_bcdefghi_0\t3.000\t3.000\t/m/07qjznt
onlyeval000_210000\t0.000\t10.000\t/m/028v0c
notondisk00_1000\t1.000\t2.000\t/m/09x0r
"""
INDEX = {row["mid"]: int(row["index"]) for row in labels.table("audioset_strong447")}
WIND, MAN, TICK = (INDEX[mid] for mid in ("/m/03m9d0z", "/m/05zppz", "/m/07qjznt"))


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


@pytest.fixture(params=["", "metadata", "strong"])
def root(request, tmp_path):
    (tmp_path / request.param).mkdir(exist_ok=True)
    for name in ("train", "eval"):
        (tmp_path / request.param / f"audioset_{name}_strong.tsv").write_text(HEADER + ROWS)
    return tmp_path


def test_class_lists():
    names, eval_only = labels.names("audioset_strong447"), labels.table("audioset_strong_eval_only")
    assert list(names) == sorted(set(names))
    mids = {*INDEX, *(row["mid"] for row in eval_only)}
    assert (len(names), len(INDEX), len(eval_only), len(mids)) == (447, 447, 9, 456)
    weak = {row["mid"]: row["name"] for row in labels.table("audioset527")}
    assert len(mids & weak.keys()) == 382
    assert [names[index] for index in (WIND, MAN, TICK)] == [weak[m] for m in ("/m/03m9d0z", "/m/05zppz", "/m/07qjznt")]


def test_events_of_each_segment(root):
    folder = root / "audios" / "eval_segments"
    touch(*(folder / name for name in ("Yb0RFKhbpFJA.wav", "-a_bcdefghi_0_10.flac", "Yonlyeval000_210000.mp3")))
    corpus = audioset_strong.read(root, "eval")
    wind, tick, silent = corpus.segments
    assert (wind.id, wind.recording.id, wind.group) == ("b0RFKhbpFJA_30000", "b0RFKhbpFJA_30000", "b0RFKhbpFJA")
    assert (wind.start, wind.stop, wind.recording.path) == (0.0, None, folder / "Yb0RFKhbpFJA.wav")
    assert wind.targets == {"label": tuple(sorted((WIND, MAN)))}
    assert wind.spans == (
        Span(labels="label", index=WIND, start=0.0, stop=10.0),
        Span(labels="label", index=MAN, start=4.753, stop=5.72),
        Span(labels="label", index=MAN, start=5.6, stop=7.0),
    )
    assert tick.spans == (Span(labels="label", index=TICK, start=0.0, stop=0.021),)
    assert (silent.targets, silent.spans) == ({"label": ()}, ())  # its only class is not one of train
    assert [(failure.id, failure.path.name, failure.reason) for failure in corpus.missing] == [
        ("notondisk00_1000", "Ynotondisk00.wav", "not on disk")
    ]
    assert corpus.note == (
        "events left out, as they do not end after they start: 1; "
        "events left out, of classes that train does not have: 1"
    )


def test_train_lies_in_the_folders_of_both_parts(root):
    unbalanced = root / "audios" / "unbalanced_train_segments" / "unbalanced_train_segments_part07"
    touch(root / "audios" / "balanced_train_segments" / "Yb0RFKhbpFJA.wav", unbalanced / "Ynotondisk00.wav")
    touch(root / "audios" / "eval_segments" / "Yonlyeval000.wav")
    ids = [segment.id for segment in audioset_strong.read(root, "train").segments]
    assert ids == ["b0RFKhbpFJA_30000", "notondisk00_1000"]


def test_two_segments_of_a_video_are_not_taken_for_each_other(root):
    path = next(root.rglob("audioset_eval_strong.tsv"))
    path.write_text(HEADER + ROWS + "b0RFKhbpFJA_50000\t1.0\t2.0\t/m/09x0r\n")
    touch(root / "eval" / "b0RFKhbpFJA.wav")
    corpus = audioset_strong.read(root, "eval")
    assert len(corpus.segments) == 0
    assert [failure.reason for failure in corpus.missing if failure.id.startswith("b0R")] == [
        audioset_strong.AMBIGUOUS
    ] * 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (HEADER + "b0RFKhbpFJA\t0\t1\t/m/09x0r\n", "row 2: segment_id 'b0RFKhbpFJA' is not a YouTube id"),
        (HEADER + "b0RFKhbpFJA_0\t0\tone\t/m/09x0r\n", "row 2: event from '0' to 'one', expected seconds"),
        (HEADER + "b0RFKhbpFJA_0\t-1\t1\t/m/09x0r\n", "row 2: event from '-1' to '1'"),
        (HEADER + "b0RFKhbpFJA_0\t0\t1\t/m/none\n", "b0RFKhbpFJA_0: label '/m/none' is not one of the 456"),
        (HEADER.replace("\t", ",") + "b0RFKhbpFJA_0,0,1,/m/09x0r\n", "expected segment_id, start_time_seconds"),
        (HEADER + "b0RFKhbpFJA_0\t0\t1\n", "row 2: 3 columns, expected 4"),
        (HEADER, "contains no event"),
    ],
)
def test_errors_say_what_is_wrong(tmp_path, text, words):
    (tmp_path / "audioset_eval_strong.tsv").write_text(text)
    with pytest.raises(DataError, match=words):
        audioset_strong.read(tmp_path, "eval")


def test_missing_data_set(tmp_path):
    with pytest.raises(AbsentError, match="contains none of the expected files"):
        audioset_strong.read(tmp_path, "train")
    with pytest.raises(DataError, match="no split 'val'"):
        audioset_strong.read(tmp_path, "val")
