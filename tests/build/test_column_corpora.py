"""Corpora of columns, and sounds without classes, through the stages: what can be read, trained and scored."""

from pathlib import Path

import numpy as np
import pytest
import tiny

from slowfast_cli.build import clips
from slowfast_cli.build.clips import open_store, usable
from slowfast_cli.build.corpus import _read, read_corpus, replace_label_sets, select_label_sets
from slowfast_cli.corpora import audioset, labels
from slowfast_cli.corpora.segments import FileColumns, LazyMap
from slowfast_cli.recipe.load import load
from slowfast_cli.types import DataError

SOUNDS = ("rain.wav", "rooster.flac", "helicopter.mkv")
AUDIOSET = ["data.corpus=audioset", "data.train=train", "data.val=eval", "data.test=eval", "task=multilabel"]
WORDS = [*AUDIOSET, *tiny.WORDS, "metric=map"]


@pytest.fixture(scope="module")
def tagged(tmp_path_factory):
    """Twelve segments to train, one of them gone, and eight to score; extracted."""
    root = tmp_path_factory.mktemp("corpus") / "audioset"
    mids = [row["mid"] for row in labels.table("audioset527")]
    for name, count in (("balanced_train", 12), ("eval", 8)):
        lines = ["# Segments csv", "# num_ytids", "# YTID, start_seconds, end_seconds, positive_labels"]
        for number in range(count):
            id = f"-{name[:4]}_{number:05d}"
            lines.append(f'{id}, 30.000, 40.000, "{mids[number % 3]},{mids[5]}"')
            samples = tiny.sound(SOUNDS[number % 3], 0.7 + 0.1 * (number % 4), skip=0.1 * number)
            if (name, number) != ("balanced_train", 11):
                tiny.write(root / "audios" / f"{name}_segments" / f"Y{id}.wav", samples)
        (root / f"{name}_segments.csv").write_text("\n".join(lines) + "\n")
    tiny.good("extract", "--dataset", "audioset", "--root", root, "-j", 1, "frontend.mels=32", "frontend.window_ms=20")
    return root


def no_targets(id_):
    return {}


def recipe(root, *more):
    return load("folder", [*WORDS, f"data.root={root}", *more])


def test_what_can_be_read_stays_columns(tagged, monkeypatch):
    _read.cache_clear()
    mine = recipe(tagged, "data.source=media")
    found = read_corpus(mine, "train")
    assert found.segments.file_ids is not None
    monkeypatch.setattr(FileColumns, "__getitem__", None)  # no segment is made
    assert usable(mine, found, open_store(mine)) is found
    stored = recipe(tagged, f"data.shards={tiny.shards(tagged)}")
    assert usable(stored, found, open_store(stored)) is found
    bare = replace_label_sets(found, {}, no_targets)
    assert usable(stored, bare, open_store(stored)) is bare


def test_what_is_not_in_the_shards_is_missing(tagged):
    stored = recipe(tagged, f"data.shards={tiny.shards(tagged)}")
    source = open_store(stored)
    listed = tagged / "balanced_train_segments.csv"
    media = [(Path("x"), [f"Y-bala_{number:05d}.wav".encode() for number in range(12)])]
    found = audioset.build_corpus("train", [listed], media, tagged)
    assert source.shards.contains(found.segments.file_ids).tolist() == [True] * 11 + [False]
    kept = usable(stored, found, source)
    assert kept.segments.file_ids is not None
    assert list(kept.segments) == list(found.segments)[:11]
    assert isinstance(kept.missing, LazyMap)
    assert [(each.id, each.reason) for each in kept.missing] == [("-bala_00011", clips.NOT_STORED)]
    assert kept.listed == found.listed == 12
    bare = replace_label_sets(found, {}, no_targets)
    left = usable(stored, bare, source)
    assert [(segment.id, segment.targets) for segment in left.segments] == [(each.id, {}) for each in kept.segments]
    assert list(left.missing) == list(kept.missing)
    shuffled = found.segments.take(np.array([11]))
    with pytest.raises(DataError, match="contains none of the 1 segments of audioset train"):
        usable(stored, type(found)(name="audioset", split="train", segments=shuffled, classes={}), source)


def test_targets_taken_from_columns_are_taken_when_asked_for(tagged):
    found = read_corpus(recipe(tagged), "train")
    assert select_label_sets(found, frozenset({"label"})) is found
    bare = replace_label_sets(found, {}, no_targets)
    assert bare.segments.file_ids is not None
    assert [segment.targets for segment in bare.segments] == [{}] * 11
    assert [segment.id for segment in bare.segments] == [segment.id for segment in found.segments]


@pytest.mark.thorough
def test_train_and_evaluate_on_columns(tagged, tmp_path):
    tiny.good("train", "folder", f"data.root={tagged}", *WORDS, "data.workers=1", "--run", tmp_path / "run")
    done = tiny.good(
        "evaluate", "folder", f"data.root={tagged}", *WORDS, "-w", tmp_path / "run", "--out", tmp_path / "out"
    )
    assert "8" in done.out
    with np.load(tmp_path / "out" / "predictions.npz", allow_pickle=False) as file:
        assert file["scores_label"].shape == (8, 527)
        assert (file["targets_label"].sum(axis=1) == 2).all()
    done = tiny.slowfast("train", "folder", f"data.root={tagged}", *WORDS, "task=classify", "--run", tmp_path / "other")
    assert done.code == 2
    assert "audioset has any number of classes per segment: set task: multilabel" in done.err


def test_sounds_without_class_folders_cannot_be_classified(tmp_path):
    for part in ("train", "val"):
        for number in range(6):
            tiny.write(tmp_path / "bare" / part / f"{number}.wav", tiny.sound("rain.wav", 0.8, skip=0.1 * number))
    words = [f"data.root={tmp_path / 'bare'}", *tiny.WORDS, "data.source=media"]
    done = tiny.slowfast("train", "folder", *words, "--run", tmp_path / "run")
    assert done.code == 3
    assert "folder train: its 6 files have no classes, and task classify needs some" in done.err
    assert "one folder per class" in done.err
    done = tiny.good("data", "check", "folder", "--root", tmp_path / "bare")
    assert "12" in done.out or done.out.count(" 6 ") >= 2


def test_data_check_says_what_a_reader_found(tagged, tmp_path):
    done = tiny.good("data", "check", "audioset", "--root", tagged, "-j", "1")
    assert f"skipped: {tagged}: unbalanced_train_segments.csv, the list of unbalanced, not found" in done.err
    for name, place, list_ in (
        ("a", "ff1010bird", "ff1010bird_metadata_2018.csv"),
        ("b", "warblrb10k", "warblrb10k_public_metadata.csv"),
        ("c", "BirdVox-DCASE-20k", "BirdVoxDCASE20k_csvpublic.csv"),
    ):
        for number in range(2):
            tiny.write(tmp_path / place / "wav" / f"{name}{number}.wav", tiny.sound("rooster.flac", 0.5))
        (tmp_path / place / list_).write_text(f"itemid,hasbird\n{name}0,1\n{name}1,1\n")
    done = tiny.good("data", "check", "birdsong", "--root", tmp_path, "-j", "1")
    assert "test: the papers' split is not published" in done.err
