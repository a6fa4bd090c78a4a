"""Segments as columns: what a list of objects would say, and no more of it than was asked for."""

import pickle
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from slowfast_cli.corpora.segments import Columns, Made, changed, joined, some_runs, typical
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
    return Columns(**{**values, **more})


def objects(count=10, *, several=True):
    made, first = [], 0
    for index in range(count):
        held = tuple(place * 5 % 7 for place in range(first, first + index % 3))
        first += index % 3
        recording = Recording(id=f"id-{index}", path=FOLDERS[index % 2] / f"é {index}.wav")
        targets = {"label": held if several else index % 7}
        made.append(Segment(id=f"id-{index}", recording=recording, targets=targets))
    return made


@pytest.mark.parametrize("several", [True, False])
def test_columns_are_the_same_as_objects(several):
    kept, plain = columns(several=several), objects(several=several)
    assert len(kept) == 10
    assert list(kept) == plain
    assert [kept[index] for index in range(-10, 10)] == [plain[index] for index in range(-10, 10)]
    for cut in (slice(3), slice(2, None, 3), slice(None, None, -1), slice(5, 5)):
        assert isinstance(kept[cut], Columns)
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
        ({"ids": np.array([b"x"])}, "one of each is right"),
        ({"folder": np.full(10, 2)}, "folder 2 is not one of 2"),
        ({"folder": np.full(10, -1)}, "folder -1 is not one of 2"),
        ({"classes": 3}, "target 6 is not one of 3"),
        ({"offsets": np.zeros(11, np.int64)}, "offsets do not part 9 targets"),
        ({"offsets": None}, "one of each is right"),
    ],
)
def test_columns_refuse_nonsense(more, reason):
    with pytest.raises(ValueError, match=reason):
        columns(**more)


def test_some_runs():
    rng = np.random.default_rng(0)
    runs = [rng.integers(0, 9, size).tolist() for size in rng.integers(0, 4, 50)]
    values, offsets = (
        np.array([value for run in runs for value in run]),
        np.concatenate([[0], np.cumsum([len(run) for run in runs])]),
    )
    places = rng.permutation(50)[:20]
    found, ends = some_runs(values, offsets, places)
    assert [found[a:b].tolist() for a, b in pairwise(ends)] == [runs[place] for place in places]
    none, ends = some_runs(values, offsets, np.zeros(0, np.int64))
    assert (none.tolist(), ends.tolist()) == ([], [0])


def test_made_values_are_made_when_asked_for():
    calls = []
    made = Made(range(100), lambda item: calls.append(item) or 2 * item)
    assert (len(made), made[3], made[-1]) == (100, 6, 198)
    assert calls == [3, 99]
    part = made[10:13]
    assert calls == [3, 99]
    assert list(part) == [20, 22, 24]


def relabelled(segment):
    return Segment(id=segment.id, recording=segment.recording)


def test_changed_and_typical_segments():
    kept, plain = columns(), tuple(objects())
    assert isinstance(changed(plain, relabelled), tuple)
    other = changed(kept, relabelled)
    assert isinstance(other, Made)
    assert list(other) == list(changed(plain, relabelled))
    assert pickle.loads(pickle.dumps(other))[3].targets == {}
    assert typical(plain) is plain
    assert list(typical(kept)) == [plain[0]]
    assert [each.targets for each in typical(other)] == [{}]


def test_joined():
    some = Made(range(3), str)
    assert joined(some, ()) is some
    assert joined((), some) is some
    assert joined(some, ("x",)) == ("0", "1", "2", "x")
