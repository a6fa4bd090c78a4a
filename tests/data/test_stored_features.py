"""Batches of stored features: the requested rows, of readable segments only."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from slowfast_cli.corpora.segments import FileColumns, Segments
from slowfast_cli.data.clips import Key
from slowfast_cli.data.loader import eval_keys
from slowfast_cli.data.stored_features import FeatureClips, StoredFeatures, digest
from slowfast_cli.types import Corpus, DataError, Recording, Segment, Share

CPU = torch.device("cpu")
COUNTS = [2, 1, 0, 3]  # the third segment is unreadable
SIZES = {"label": 3, "tags": 4}


def segments(count=4):
    return tuple(
        Segment(id=f"s{n}", recording=Recording(id=f"s{n}", path=Path(f"{n}.wav")), targets={"label": n % 3, "tags": t})
        for n, t in zip(range(count), ((0, 2), (), (1,), (3,)), strict=True)
    )


def stored(folder, rows, *, targets=None):
    folder.mkdir()
    np.save(folder / "rows.npy", rows.astype(np.float16))
    np.save(folder / "first.npy", np.cumsum([0, *COUNTS]))
    np.save(folder / "kept.npy", np.array([True, True, False, True]))
    for labels, values in (targets or {}).items():
        np.save(folder / f"targets-{labels}.npy", values.astype(np.float16))
    (folder / "made.json").write_text(json.dumps({"segments": digest(segments()), "length": rows.shape[-1]}))
    return StoredFeatures(folder)


def corpus():
    kept = tuple(segment for segment in segments() if segment.id != "s2")
    return Corpus(name="some", split="test", segments=kept, classes={"label": ("a", "b", "c"), "tags": tuple("stuv")})


@pytest.fixture
def rows():
    return np.random.default_rng(0).standard_normal((6, 5)).astype(np.float16)


def test_test_batches_are_the_stored_rows(tmp_path, rows):
    clips = FeatureClips(corpus(), stored(tmp_path / "f", rows), sizes=SIZES)
    assert (len(clips), clips.counts()) == (3, [2, 1, 3])
    keys = eval_keys(clips.counts(), batch=4, share=Share())
    batches = list(clips.batches(keys, CPU))
    assert [batch.ids for batch in batches] == [("s0", "s0", "s1", "s3"), ("s3", "s3")]
    assert torch.cat([batch.inputs.features for batch in batches]).tolist() == rows.astype(np.float32).tolist()
    assert batches[0].inputs.features.dtype == torch.float32
    assert batches[0].targets["label"].tolist() == [0, 0, 1, 0]
    assert batches[0].targets["tags"].tolist() == [[1, 0, 1, 0], [1, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 1]]


def test_training_batches_use_another_crop_each_epoch(tmp_path):
    rows = np.random.default_rng(0).standard_normal((3, 4, 5)).astype(np.float16)
    clips = FeatureClips(corpus(), stored(tmp_path / "f", rows), sizes=SIZES)
    assert clips.counts() == [0, 0, 0]
    for epoch in range(7):
        (batch,) = clips.batches([[Key(epoch, 2, -1), Key(epoch, 0, -1)]], CPU)
        assert batch.ids == ("s3", "s0")
        expected = rows[epoch % 3, [3, 0]].astype(np.float32)  # s3 is the fourth listed segment
        assert batch.inputs.features.tolist() == expected.tolist()
        assert batch.targets["label"].tolist() == [0, 0]


def test_stored_mixup_targets_replace_the_labels(tmp_path):
    rows, mixed = np.zeros((2, 4, 5)), np.random.default_rng(0).random((2, 4, 4))
    clips = FeatureClips(corpus(), stored(tmp_path / "f", rows, targets={"tags": mixed}), sizes=SIZES)
    (batch,) = clips.batches([[Key(1, 1, -1), Key(2, 2, -1)]], CPU)
    expected = mixed.astype(np.float16).astype(np.float32)[[1, 0], [1, 3]]
    assert batch.targets["tags"].tolist() == expected.tolist()
    assert batch.targets["label"].tolist() == [1, 0]


def test_segments_without_labels(tmp_path, rows):
    """As in prediction of a split."""
    bare = replace(corpus(), segments=tuple(replace(segment, targets={}) for segment in corpus().segments))
    clips = FeatureClips(bare, stored(tmp_path / "f", rows), sizes=SIZES)
    (batch,) = clips.batches([[Key(0, 0, 1)]], CPU)
    assert batch.targets == {}


def test_features_of_other_segments_are_refused(tmp_path, rows):
    features = stored(tmp_path / "f", rows)
    assert features.kept(segments()).tolist() == [True, True, False, True]
    for others in (segments()[:3], segments()[::-1], (*segments()[:3], replace(segments()[3], start=0.5))):
        with pytest.raises(DataError, match="features of other segments: remove the folder"):
            features.kept(others)


@pytest.mark.parametrize("text", [None, "", '{"segments": '])
def test_incomplete_features_are_refused(tmp_path, rows, text):
    folder = stored(tmp_path / "f", rows).folder
    (folder / "made.json").unlink() if text is None else (folder / "made.json").write_text(text)
    with pytest.raises(DataError, match="features are missing or incomplete"):
        StoredFeatures(folder).kept(segments())


def test_digest_distinguishes_tables_by_their_ids():
    columns = FileColumns(
        ids=np.array([b"s0", b"s1"]), files=np.array([b"0.wav", b"1.wav"]), folders=(Path(),), folder=np.zeros(2, int),
        labels="label", classes=3, targets=np.zeros(2, np.uint16),
    )  # fmt: skip
    kept = Segments(columns)
    assert digest(kept) == digest(kept.take(np.array([0, 1]))) != digest(kept.take(np.array([1, 0])))
    strange = Segment(id="caf\udce9", recording=Recording(id="x", path=Path("x")))
    assert digest([strange]) != digest(kept)


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("rows.npy", b"", "not a NumPy array"),
        ("rows.npy", np.zeros((6, 5), np.int64), "int64 with 2 axes"),
        ("rows.npy", np.zeros((3, 3, 5), np.float16), "shape .* for 4 segments"),
        ("rows.npy", np.zeros((5, 5), np.float16), "does not divide 5 clips into 4 segments"),
        ("first.npy", np.array([0, 2, 1, 3, 6]), "does not divide 6 clips"),
        ("first.npy", np.array([0, 2, 6]), "does not divide 6 clips"),
        ("first.npy", np.array([0, 2, 3, 3, 2**60]), "does not divide 6 clips"),
        ("kept.npy", np.zeros(4), "float64 with 1 axes"),
        ("kept.npy", np.zeros(3, bool), "3 segments, expected 4"),
        ("made.json", b"[1]", "expected settings"),
        ("lost-0.json", b"[1]", "not a table of errors"),
    ],
)
def test_damaged_features_name_the_file(tmp_path, rows, file, content, reason):
    features = stored(tmp_path / "f", rows)
    if isinstance(content, bytes):
        (features.folder / file).write_bytes(content)
    else:
        np.save(features.folder / file, content)
    with pytest.raises(DataError, match=rf"\.(npy|json): .*{reason}.*: remove the folder"):
        features.kept(segments()), features.errors(), features.rows()


def test_a_torn_array_is_refused(tmp_path, rows):
    features = stored(tmp_path / "f", rows)
    path = features.folder / "rows.npy"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"rows.npy: not a NumPy array"):
        features.rows()
