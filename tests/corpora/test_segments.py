"""The table of segments: equal to a list of objects, with values created on access."""

import pickle
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from slowfast_cli.corpora.segments import FileColumns, LazyMap, Segments, concat, select_runs
from slowfast_cli.types import Corpus, Recording, Segment

FOLDERS = (Path("/a"), Path("/b"))


def columns(count=10, *, several=True, **more):
    offsets = np.concatenate([[0], np.cumsum(np.arange(count) % 3)])
    values = {
        "ids": np.array([f"id-{index}" for index in range(count)], dtype=bytes),
        "files": np.array([f"é {index}.wav".encode() for index in range(count)], dtype=bytes),
        "folders": FOLDERS,
        "folder": np.arange(count) % 2,
        "labels": "label",
        "classes": 7,
        "targets": (np.arange(offsets[-1]) * 5 % 7 if several else np.arange(count) % 7).astype(np.uint16),
        "offsets": offsets if several else None,
    }
    return Segments(FileColumns(**{**values, **more}))


def objects(count=10, *, several=True):
    segments, first = [], 0
    for index in range(count):
        classes = tuple(place * 5 % 7 for place in range(first, first + index % 3))
        first += index % 3
        recording = Recording(id=f"id-{index}", path=FOLDERS[index % 2] / f"é {index}.wav")
        targets = {"label": classes if several else index % 7}
        segments.append(Segment(id=f"id-{index}", recording=recording, targets=targets))
    return segments


@pytest.mark.parametrize("several", [True, False])
def test_columns_equal_objects(several):
    kept, plain = columns(several=several), objects(several=several)
    assert len(kept) == 10
    assert list(kept) == plain
    assert [kept[index] for index in range(-10, 10)] == [plain[index] for index in range(-10, 10)]
    for cut in (slice(3), slice(2, None, 3), slice(None, None, -1), slice(5, 5)):
        assert isinstance(kept[cut], Segments)
        assert list(kept[cut]) == plain[cut]
    assert list(kept.take(np.array([7, 2, 9]))) == [plain[7], plain[2], plain[9]]
    assert list(kept.take(np.arange(10) % 2 == 0)) == plain[::2]
    assert list(pickle.loads(pickle.dumps(kept))) == plain
    assert plain[4] in kept
    for beyond in (10, -11):
        with pytest.raises(IndexError):
            kept[beyond]
    corpus = Corpus(name="some", split="train", segments=kept, classes={"label": tuple("abcdefg")})
    assert corpus.listed == 10
    assert len(corpus.recordings) == 10
    assert isinstance(plain[2].targets["label"], tuple) == several


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"ids": np.array([b"x"] * 10)}, "segment x is listed twice"),
        ({"ids": np.array([b"x"])}, "expected the same number of each"),
        ({"folder": np.full(10, 2)}, "folder 2 is not one of 2"),
        ({"folder": np.full(10, -1)}, "folder -1 is not one of 2"),
        ({"classes": 3}, "target 6 is not one of 3"),
        ({"offsets": np.zeros(11, np.int64)}, "offsets do not partition 9 targets"),
        ({"offsets": None}, "expected the same number of each"),
    ],
)
def test_inconsistent_columns_are_refused(more, reason):
    with pytest.raises(ValueError, match=reason):
        columns(**more)


def test_select_runs():
    rng = np.random.default_rng(0)
    runs = [rng.integers(0, 9, size).tolist() for size in rng.integers(0, 4, 50)]
    values, offsets = (
        np.array([value for run in runs for value in run]),
        np.concatenate([[0], np.cumsum([len(run) for run in runs])]),
    )
    places = rng.permutation(50)[:20]
    selected, ends = select_runs(values, offsets, places)
    assert [selected[a:b].tolist() for a, b in pairwise(ends)] == [runs[place] for place in places]
    none, ends = select_runs(values, offsets, np.zeros(0, np.int64))
    assert (none.tolist(), ends.tolist()) == ([], [0])


def test_lazy_map_computes_values_on_access():
    calls = []
    values = LazyMap(range(100), lambda item: calls.append(item) or 2 * item)
    assert (len(values), values[3], values[-1]) == (100, 6, 198)
    assert calls == [3, 99]
    part = values[10:13]
    assert calls == [3, 99]
    assert list(part) == [20, 22, 24]


def unlabeled(segment):
    return Segment(id=segment.id, recording=segment.recording)


def test_map_is_lazy_on_columns_only():
    table, plain = columns(), objects()
    eager, lazy = Segments.of(plain).map(unlabeled), table.map(unlabeled)
    assert list(lazy) == list(eager) == [unlabeled(segment) for segment in plain]
    assert lazy.file_ids.tolist() == table.file_ids.tolist()
    assert eager.file_ids is None
    assert eager[3] is eager[3]
    assert lazy[3] is not lazy[3]
    assert pickle.loads(pickle.dumps(lazy))[3].targets == {}
    assert list(lazy.take(np.array([4, 1]))) == [unlabeled(plain[4]), unlabeled(plain[1])]


def test_segments_of_any_sequence():
    plain = objects()
    table = Segments.of(plain)
    assert Segments.of(table) is table
    assert list(table) == plain
    assert list(table.take(np.arange(10) > 6)) == plain[7:]
    shared = table.shared()
    assert list(shared) == plain
    assert shared[3] is not plain[3]  # unpickled on access
    assert list(shared[2:4]) == plain[2:4]
    assert columns().shared().file_ids is not None


def test_sample():
    assert list(columns().sample()) == [objects()[0]]
    assert list(Segments.of(objects()).sample()) == objects()
    assert [segment.targets for segment in columns().map(unlabeled).sample()] == [{}]


def test_concat():
    some = LazyMap(range(3), str)
    assert concat(some, ()) is some
    assert concat((), some) is some
    assert concat(some, ("x",)) == ("0", "1", "2", "x")
