"""Features computed once: those of the very clips, each where it belongs, and again only where something changed."""

import math
from collections import Counter
from dataclasses import replace
from itertools import chain

import numpy as np
import pytest
import tiny
import torch

from slowfast_cli.build import transforms
from slowfast_cli.build.clips import build_clips, media_clips, open_store, usable
from slowfast_cli.build.corpus import _read, read_corpus
from slowfast_cli.build.network import architecture
from slowfast_cli.data.clips import Key
from slowfast_cli.data.loader import Share, collate
from slowfast_cli.data.stored_features import FeatureClips, StoredFeatures
from slowfast_cli.recipe.load import load
from slowfast_cli.stages.hares import features as stage
from slowfast_cli.stages.hares.features import embed
from slowfast_cli.stages.hares.probe import frozen_model, on_features
from slowfast_cli.types import DataError, SlowFastError

CPU = torch.device("cpu")
LENGTHS = {"train": [0.3, 0.7, 1.0], "test": [0.2, 0.5, 0.52, 1.0, 1.3]}  # seconds; clips are of 0.5 s
WORDS = [
    "data.corpus=folder", "data.clip_seconds=0.5", "data.views=0", "data.workers=0", "frontend.mels=32",
    "model.variant=sf-nf-r50", "model.width=8", "optim.batch=4", "probe.crops=3",
]  # fmt: skip


@pytest.fixture
def root(tmp_path):
    """Two classes, recordings of several lengths."""
    for part, lengths in LENGTHS.items():
        for number, seconds in enumerate(lengths):
            samples = tiny.sound(("rain.wav", "rooster.flac")[number % 2], seconds, skip=0.3 * number)
            tiny.write(tmp_path / "sounds" / part / "ab"[number % 2] / f"{number}.wav", samples)
    return tmp_path / "sounds"


def recipe_of(root, *more):
    return load("hares/tut18", [*WORDS, f"data.root={root}", *more])


def embedded(recipe, folder, part="test", made_by=None, **options):
    return embed(recipe, frozen_model(recipe).trunk, part, folder, made_by=made_by or {}, device="cpu", **options)


def features(recipe, part, keys):
    """What the trunk makes of clips, one after the other."""
    source = open_store(recipe)
    found = usable(recipe, read_corpus(recipe, part), source)
    clips, trunk = media_clips(recipe, found, source), frozen_model(recipe).trunk
    rows = []
    for key in keys:
        (batch,) = transforms.eval_transform(recipe, CPU)(collate([clips[key]], clips.sizes))
        with torch.inference_mode():
            rows.append(torch.cat(list(trunk(batch.inputs.signals).values()), dim=1)[0].numpy())
    return np.stack(rows)


def close(found, wanted):
    """Within what float16 can hold."""
    np.testing.assert_allclose(found, wanted, rtol=2e-3, atol=2e-3 * np.abs(wanted).max())
    return True


def test_all_clips_that_cover_a_segment_are_kept_in_order(root, tmp_path):
    """One after the other, but for a rest of less than a hundredth of a clip."""
    recipe = recipe_of(root)
    ticks = []
    stored = embedded(recipe, tmp_path / "features", tick=lambda done, total: ticks.append((done, total)))
    counts = [1, 1, 2, 2, 3]
    assert stored.array("first").tolist() == np.cumsum([0, *order(root, counts)]).tolist()
    keys = [Key(0, index, view) for index, count in enumerate(order(root, counts)) for view in range(count)]
    rows = stored.array("rows")
    assert rows.shape == (9, stored.metadata["length"]) == (9, sum(architecture(recipe).features().values()))
    assert rows.dtype == np.float16
    assert close(rows, features(recipe, "test", keys))
    assert len({row.tobytes() for row in rows}) == 9
    assert stored.array("kept").all()
    assert ticks[-1] == (9, 9)


def order(root, counts):
    """Numbers by the names of the files, in the order of the corpus: class by class."""
    found = read_corpus(recipe_of(root), "test")
    return [counts[int(segment.id.split("/")[-1].split(".")[0])] for segment in found.segments]


def test_so_many_views_are_those_of_every_segment(root, tmp_path):
    recipe = recipe_of(root, "data.views=2")
    stored = embedded(recipe, tmp_path / "features")
    assert np.diff(stored.array("first")).tolist() == [2] * 5
    assert close(stored.array("rows"), features(recipe, "test", [Key(0, n, v) for n in range(5) for v in range(2)]))


def test_crops_are_cut_anew_and_follow_from_the_seed(root, tmp_path):
    recipe = recipe_of(root)
    stored = embedded(recipe, tmp_path / "one", "train")
    rows = stored.array("rows")
    assert rows.shape[:2] == (3, 3)
    assert close(rows[2], features(recipe, "train", [Key(2, n, -1) for n in range(3)]))
    longer = [n for n, segment in enumerate(read_corpus(recipe, "train").segments) if "0.wav" not in segment.id]
    assert all(not np.array_equal(rows[0, n], rows[1, n]) for n in longer)
    again = embedded(recipe, tmp_path / "two", "train").array("rows")
    assert np.array_equal(rows, again)
    other = embedded(recipe_of(root, "seed=1"), tmp_path / "three", "train").array("rows")
    assert not np.array_equal(rows, other)


def test_augmentation_is_that_of_training_only(root, tmp_path):
    plain, loud = recipe_of(root), recipe_of(root, "augment.gain_db=9", "augment.freq_masks=2", "augment.freq_width=9")
    test = [embedded(recipe, tmp_path / f"test{n}").array("rows") for n, recipe in enumerate((plain, loud))]
    assert np.array_equal(*test)
    train = [embedded(recipe, tmp_path / f"train{n}", "train").array("rows") for n, recipe in enumerate((plain, loud))]
    assert not np.array_equal(*train)
    again = embedded(loud, tmp_path / "again", "train").array("rows")
    assert np.array_equal(train[1], again)


def test_mixed_clips_keep_mixed_targets(root, tmp_path):
    recipe = recipe_of(root, "augment.mix=5", "augment.mix_other=2", "probe.crops=8")
    stored = embedded(recipe, tmp_path / "features" / "train", "train")
    targets = stored.array("targets-label")
    assert targets.shape == (8, 3, 2)
    np.testing.assert_allclose(targets.astype(np.float32).sum(2), 1, atol=1e-3)
    found = read_corpus(recipe, "train")
    own = targets[:, np.arange(3), [segment.targets["label"] for segment in found.segments]]
    assert ((own > 0.2) & (own < 1)).any()
    assert own.mean() > 0.6
    # The test clips are what they are, and so are their targets.
    tested = embedded(recipe, tmp_path / "features" / "test", "test")
    assert not (tested.folder / "targets-label.npy").exists()
    clips = FeatureClips(found, stored, sizes={"label": 2})
    (batch,) = clips.batches([[Key(9, 2, -1), Key(4, 0, -1)]], CPU)
    np.testing.assert_array_equal(batch.targets["label"], targets[[1, 4], [2, 0]].astype(np.float32))
    np.testing.assert_array_equal(batch.inputs.features, stored.array("rows")[[1, 4], [2, 0]].astype(np.float32))


def test_what_cannot_be_read_is_missing_and_the_rest_is_in_its_place(root, tmp_path):
    wanted = {segment.id: segment for segment in read_corpus(recipe_of(root), "test").segments}
    (root / "test" / "a" / "2.wav").write_bytes(b"RIFF, but no sound at all")
    (root / "test" / "b" / "1.wav").write_bytes(b"")
    recipe = recipe_of(root)
    ticks = []
    stored = embedded(recipe, tmp_path / "features" / "test", tick=lambda done, total: ticks.append((done, total)))
    listed = read_corpus(recipe, "test")
    lost = {"test/a/2.wav", "test/b/1.wav"}
    assert set(wanted) == {segment.id for segment in listed.segments}
    assert [segment.id for segment, kept in zip(listed.segments, stored.array("kept"), strict=True) if not kept] == [
        segment.id for segment in listed.segments if segment.id in lost
    ]
    assert ticks[-1][0] == ticks[-1][1]
    embedded(recipe, tmp_path / "features" / "train", "train")
    left = on_features(recipe, tmp_path / "features")
    found = usable(left, listed, None)
    reasons = {each.id: each.reason for each in found.missing}
    assert reasons.keys() == lost
    assert "empty file" in reasons["test/b/1.wav"]
    assert "not a media file" in reasons["test/a/2.wav"]
    assert (len(found.segments), found.listed) == (3, 5)
    clips = build_clips(left, found, None)
    assert clips.counts() == [order(root, [1, 1, 2, 2, 3])[n] for n in np.flatnonzero(stored.array("kept"))]
    for index, segment in enumerate(found.segments):
        last = clips.counts()[index] - 1
        (batch,) = clips.batches([[Key(0, index, last)]], CPU)
        place = [each.id for each in listed.segments].index(segment.id)
        assert batch.ids == (segment.id,)
        assert batch.targets["label"].tolist() == [segment.targets["label"]]
        assert close(batch.inputs.features.numpy(), features(recipe, "test", [Key(0, place, last)]))


def test_nothing_can_be_read(root, tmp_path):
    for path in (root / "test").rglob("*.wav"):
        path.write_bytes(b"no sound")
    with pytest.raises(DataError, match="folder test: none of the 5 segments can be read"):
        embedded(recipe_of(root), tmp_path / "features")
    with pytest.raises(DataError, match="features are missing or incomplete"):
        _ = StoredFeatures(tmp_path / "features").metadata


def test_segments_that_are_not_in_the_shards_are_missing_too(root, tmp_path):
    """Of shards it is known beforehand; the list that the features are about stays whole."""
    tiny.good("extract", "--dataset", "folder", "--root", root, "-j", 1, *FRONT)
    recipe = recipe_of(root, "data.source=shards")
    late = tiny.write(root / "test" / "b" / "late.wav", tiny.sound("rain.wav", 0.6))
    _read.cache_clear()
    stored = embedded(recipe, tmp_path / "features" / "test")
    embedded(recipe, tmp_path / "features" / "train", "train")
    listed = read_corpus(recipe, "test")
    assert [segment.recording.path == late for segment in listed.segments] == (~stored.array("kept")).tolist()
    found = usable(on_features(recipe, tmp_path / "features"), listed, None)
    assert len(found.segments) == 5
    assert [each.path for each in found.missing] == [late]


FRONT = ["frontend.window_ms=25", "frontend.hop_ms=10", "frontend.mels=32", "frontend.floor=1e-6"]


def test_what_is_there_is_not_computed_again(root, tmp_path, monkeypatch):
    made = {"trunk": "one"}
    stored = embedded(recipe_of(root), tmp_path / "features", made_by=made)
    rows = np.array(stored.array("rows"))
    read = []
    batches = stage.loader.batches
    monkeypatch.setattr(stage.loader, "batches", lambda *a, **options: read.append(1) or batches(*a, **options))
    for same in ([], ["optim.lr=1", "schedule.steps=7", "model.hidden=5", "data.workers=0"]):
        embedded(recipe_of(root, *same), tmp_path / "features", made_by=made)
    assert read == []
    others = [["frontend.mels=40"], ["data.clip_seconds=0.4"], ["data.views=1"], ["data.pad=last"], ["model.width=16"]]
    others += [["seed=1"], ["model.variant=sf-r50-ln"]]
    for number, other in enumerate(others, 1):
        embedded(recipe_of(root, *other), tmp_path / "features", made_by=made)
        assert len(read) == number, other
    embedded(recipe_of(root), tmp_path / "features", made_by={"trunk": "two"})
    assert len(read) == len(others) + 1
    (tmp_path / "features" / "made.json").write_text("{")  # it was interrupted
    again = embedded(recipe_of(root), tmp_path / "features", made_by=made)
    assert len(read) == len(others) + 2
    assert np.array_equal(again.array("rows"), rows)
    tiny.write(root / "test" / "a" / "new.wav", tiny.sound("rain.wav", 0.5))
    _read.cache_clear()
    embedded(recipe_of(root), tmp_path / "features", made_by=made)
    assert len(read) == len(others) + 3


@pytest.mark.processes
def test_three_processes_write_into_the_same_arrays(root, tmp_path):
    """All clips of a segment are one process's; test clips are those of one process, and so is what they are worth."""
    words = [*(word for word in WORDS if "variant" not in word and "batch" not in word), f"data.root={root}"]
    words += ["optim.batch=3", "schedule.steps=2", "schedule.warmup_steps=0"]
    command = ["evaluate", "hares", "-w", "random:sf-nf-r50", "--tasks", "tut18", *words]
    one = tiny.good(*command, "--out", tmp_path / "one")
    three = tiny.process(*command, "--out", tmp_path / "three", "--gpus", 3)
    assert (three.code, three.out) == (0, one.out.replace("/one", "/three")), three.err
    mine, theirs = (tmp_path / name / "tut18" / "features" for name in ("one", "three"))
    for split in LENGTHS:
        there = StoredFeatures(theirs / split)
        assert there.array("seen").tolist() == StoredFeatures(mine / split).array("seen").tolist()
        assert there.array("kept").all()
        assert close(there.array("rows"), StoredFeatures(mine / split).array("rows"))
        assert sorted(path.name for path in (theirs / split).glob("lost-*")) == [f"lost-{n}.json" for n in range(3)]


@pytest.mark.parametrize("crops", [0, 3])
def test_clips_are_dealt_once_by_how_many_are_left(crops):
    counts = [1, 1, 2, 2, 3, 5, 7, 1] if not crops else [crops] * 8
    seen = [0, 1, 0, 2, 1, 0, 0, 0]
    plans = [stage.ReadPlan(counts, crops, np.array(seen), 5, Share(rank=rank, world=3)) for rank in range(3)]
    keys = [[key for batch in plan.batches(2) for key in batch] for plan in plans]
    assert [len(mine) for mine in keys] == [plan.count for plan in plans]
    assert len({key for mine in keys for key in mine}) == sum(map(len, keys)) == sum(counts) - sum(seen)
    owners = [{key.segment for key in mine} for mine in keys]
    assert sum(map(len, owners)) == len(set.union(*owners))  # a segment is one process's
    whole = stage.ReadPlan(counts, crops, np.array(seen), 5, Share())
    assert Counter(key for batch in whole.batches(2) for key in batch) == Counter(chain.from_iterable(keys))


def test_a_file_system_that_loses_features_is_noticed(tmp_path):
    np.save(tmp_path / "seen.npy", np.array([1, 2, 0]))
    stage.require_all(tmp_path, 3)
    with pytest.raises(SlowFastError, match=r"4 features were written and 3 are there.*--nodes 1"):
        stage.require_all(tmp_path, 4)


def test_an_interrupted_computation_goes_on_where_it_stopped(root, tmp_path, monkeypatch):
    recipe = recipe_of(root, "optim.batch=2")
    whole = np.array(embedded(recipe, tmp_path / "whole").array("rows"))

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embedded(recipe, tmp_path / "parts", tick=stop)
    assert not (tmp_path / "parts" / "made.json").is_file()
    first = np.load(tmp_path / "parts" / "seen.npy").sum()
    ticks = []
    stored = embedded(recipe, tmp_path / "parts", tick=lambda done, total: ticks.append((done, total)))
    assert 0 < first < len(whole)
    assert ticks[-1] == (len(whole) - first,) * 2
    np.testing.assert_array_equal(stored.array("rows"), whole)
    with pytest.raises(KeyboardInterrupt):
        embedded(recipe_of(root, "optim.batch=2", "seed=1"), tmp_path / "parts", tick=stop)  # another: from the start
    assert np.load(tmp_path / "parts" / "seen.npy").sum() == first


def test_silence_fills_up_what_is_too_short(root, tmp_path):
    recipe = recipe_of(root)
    short = next(n for n, each in enumerate(read_corpus(recipe, "test").segments) if "0.wav" in each.id)
    found = [
        embedded(recipe_of(root, f"data.pad={pad}"), tmp_path / pad).array("rows")[short] for pad in ("silence", "last")
    ]
    assert not np.array_equal(*found)
    front_end = replace(recipe.frontend)
    clips = media_clips(recipe, read_corpus(recipe, "test"), open_store(recipe))
    (batch,) = transforms.eval_transform(recipe, CPU)(collate([clips[Key(0, short, 0)]], clips.sizes))
    rest = batch.inputs.logmel[0, 0, 22:]
    torch.testing.assert_close(rest, torch.full_like(rest, math.log(front_end.floor)))
