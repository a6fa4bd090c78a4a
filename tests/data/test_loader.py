"""Order of clips, their partition over processes, and worker processes."""

import multiprocessing
import os
import signal
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch

from slowfast_cli.build.clips import workers_of
from slowfast_cli.data.audio_clips import DecodedSamples, SoundReader
from slowfast_cli.data.clips import Clips, Key
from slowfast_cli.data.loader import (
    DeviceCopier,
    Share,
    _record_stream,
    batches,
    collate,
    eval_keys,
    require_clips,
    to,
    training_keys,
)
from slowfast_cli.recipe.load import load
from slowfast_cli.settings import FrontEnd
from slowfast_cli.types import Batch, Clip, DataError, Inputs, Recording, Segment, SlowFastError

CPU = torch.device("cpu")
PLAN = {"batch": 12, "micro_batches": 2, "epochs": 3, "first_step": 0, "seed": 5}


def keys(clips=50, share=None, **plan):
    return list(training_keys(clips, **{**PLAN, **plan}, share=share or Share()))


@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("parts", [1, 2])
def test_ranks_split_each_global_batch(world, parts):
    one = keys(micro_batches=1)
    assert len(one) == 3 * (50 // 12)
    ranks = [keys(micro_batches=parts, share=Share(rank=rank, world=world)) for rank in range(world)]
    for step, whole in enumerate(one):
        combined = [key for rank in ranks for part in rank[step * parts : (step + 1) * parts] for key in part]
        assert len(combined) == len(set(combined)) == 12
        assert set(combined) == set(whole)
    assert {len(part) for rank in ranks for part in rank} == {12 // parts // world}


def test_each_epoch_is_a_different_permutation():
    epochs = [keys(48)[first : first + 8] for first in (0, 8, 16)]
    orders = [[key.segment for part in epoch for key in part] for epoch in epochs]
    for number, order in enumerate(orders):
        assert sorted(order) == list(range(48))
        assert {key.epoch for part in epochs[number] for key in part} == {number}
    assert len({tuple(order) for order in orders}) == 3
    assert all(key.view == -1 for part in epochs[0] for key in part)
    assert keys(48) == keys(48)
    assert keys(48, seed=6) != keys(48)


def test_each_epoch_drops_other_clips():
    left_out = [
        set(range(50)) - {key.segment for part in keys(50)[first : first + 8] for key in part} for first in (0, 8, 16)
    ]
    assert all(len(clips) == 2 for clips in left_out)
    assert len(set.union(*left_out)) > 2


@pytest.mark.parametrize("first", [0, 1, 3, 4, 5, 11, 12])
def test_resuming_continues_the_same_order(first):
    assert keys(first_step=first) == keys()[2 * first :]


@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("clips", [1, 2, 7])
def test_each_view_is_predicted_once(world, clips):
    counts = Counter(
        key
        for rank in range(world)
        for part in eval_keys([3] * clips, batch=4, share=Share(rank=rank, world=world))
        for key in part
    )
    assert counts == Counter(Key(0, segment, view) for segment in range(clips) for view in range(3))


@pytest.mark.parametrize(("world", "parts"), [(1, 1), (2, 1), (2, 3)])
def test_two_crops_of_a_recording_are_in_the_same_micro_batch(world, parts):
    """The loss compares them; the order of the first crops is that of a run with one crop."""
    for rank in range(world):
        share = Share(rank=rank, world=world)
        one, two = (keys(micro_batches=parts, share=share, crops=crops) for crops in (1, 2))
        assert len(one) == len(two)
        for single, double in zip(one, two, strict=True):
            assert double[: len(single)] == single
            assert double[len(single) :] == [key._replace(view=-2) for key in single]


def test_a_split_smaller_than_a_batch_is_refused():
    require_clips(8, 8, "train")
    with pytest.raises(DataError, match=r"split train: 7 segments do not fill a batch of 8: set optim\.batch"):
        require_clips(7, 8, "train")


def test_collate_stacks_inputs_targets_and_ids():
    clips = [
        Clip(inputs=Inputs(logmel=np.full((1, 2, 3), i, np.float32)), targets={"verb": i, "noun": -i}, id=str(i))
        for i in range(3)
    ]
    batch = collate(clips)
    assert batch.inputs.logmel.shape == (3, 1, 2, 3)
    assert (batch.inputs.logmel[2] == 2).all()
    assert batch.targets["noun"].tolist() == [0, -1, -2]
    assert (batch.ids, len(batch)) == (("0", "1", "2"), 3)
    bare = collate([Clip(inputs=Inputs(features=np.zeros(1)), targets={}, id="a")])
    assert bare.targets == {}


@pytest.fixture(scope="module")
def four(tmp_path_factory):
    folder = tmp_path_factory.mktemp("loader")
    paths = [tiny.write(folder / f"{i}.wav", tiny.sound("rain.wav", 0.5, skip=0.1 * i)) for i in range(4)]
    segments = [
        Segment(id=path.name, recording=Recording(id=path.name, path=path), targets={"label": i})
        for i, path in enumerate(paths)
    ]
    return Clips(segments, SoundReader(store=DecodedSamples(FrontEnd()), seconds=0.2, views=1))


@pytest.mark.thorough
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_give_the_same_batches_as_the_main_process(four, method, monkeypatch):
    expected = list(batches(four, keys(4, batch=4, micro_batches=2), workers=0, device=CPU))
    before = multiprocessing.get_start_method(allow_none=True)
    multiprocessing.set_start_method(method, force=True)
    try:
        parallel = list(batches(four, keys(4, batch=4, micro_batches=2), workers=2, device=CPU))
    finally:
        multiprocessing.set_start_method(before, force=True)
    assert len(parallel) == len(expected) == 6
    for one, two in zip(parallel, expected, strict=True):
        assert one.ids == two.ids
        assert torch.equal(one.targets["label"], two.targets["label"])
        for name, value in one.inputs.present.items():
            assert torch.equal(value, two.inputs.present[name])


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_in_a_worker_is_raised_without_its_traceback(four, tmp_path, workers):
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"no sound in here")
    segment = Segment(id="x", recording=Recording(id="x", path=broken), targets={"label": 0})
    clips = Clips([*four.segments, segment], four.reader)
    read = batches(clips, eval_keys([1] * 5, batch=4, share=Share()), workers=workers, device=CPU)
    assert next(read).ids == tuple(segment.id for segment in four.segments)
    with pytest.raises(DataError) as error:
        next(read)
    assert f"none of the 1 recordings of a batch can be read, such as {broken}: not a media file" in str(error.value)
    assert "Traceback" not in str(error.value)


@pytest.mark.parametrize("workers", [0, 1])
def test_unreadable_recordings_are_skipped_and_reported(four, tmp_path, workers):
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"no sound in here")
    segment = Segment(id="x", recording=Recording(id="x", path=broken), targets={"label": 0})
    clips = Clips([four.segments[0], segment, *four.segments[1:]], four.reader)
    unreadable = []
    first, second, third = eval_keys([1, 2, 1, 1, 1], batch=2, share=Share())
    read = list(
        batches(clips, [first, second, third, [Key(0, 1, 0)]], workers=workers, device=CPU, unreadable=unreadable)
    )
    assert [batch.ids for batch in read] == [("0.wav",), ("1.wav",), ("2.wav", "3.wav")]
    assert [[failure.id for failure in batch.broken] for batch in read] == [["x"], ["x"], []]
    assert [(failure.id, failure.path) for failure in unreadable] == [("x", broken)]
    assert "not a media file" in unreadable[0].reason


def test_reading_does_not_advance_the_default_generator(four):
    """Otherwise the first step of a process would draw other augmentations than the same step within a run."""
    torch.manual_seed(1)
    before = torch.get_rng_state()
    for workers in (0, 1):
        next(batches(four, eval_keys([1] * 4, batch=4, share=Share()), workers=workers, device=CPU))
    assert torch.equal(torch.get_rng_state(), before)


def test_one_worker_per_available_core(monkeypatch):
    recipe = load("vggsound")
    for cores, world, count in ((1, 1, 1), (3, 1, 3), (64, 1, 8), (64, 16, 4), (2, 4, 1)):
        monkeypatch.setattr("os.sched_getaffinity", lambda pid, cores=cores: set(range(cores)), raising=False)
        monkeypatch.setenv("LOCAL_WORLD_SIZE", str(world))
        assert workers_of(recipe) == count
    assert workers_of(load("vggsound", ["data.workers=3"])) == 3


@pytest.mark.cuda
def test_asynchronous_copies_are_complete_when_used():
    """The device is kept busy, so that a missing synchronization would read incomplete data."""
    copied, device = DeviceCopier(torch.device("cuda")), torch.device("cuda")
    busy = torch.randn(4096, 4096, device=device)
    for number in range(8):
        signals = {"x": torch.full((1 << 22,), float(number)), "sizes": torch.tensor([[2, 3]])}
        sent = Batch(inputs=Inputs(**signals), targets={}, ids=("a",)).pin_memory()
        for _ in range(4):
            busy = busy @ busy / 4096
        there = copied(sent)
        assert there.inputs.features.is_cuda
        assert there.inputs.frame_sizes.tolist() == [[2, 3]]
        assert (there.inputs.features.min().item(), there.inputs.features.max().item()) == (number, number)


def test_frame_sizes_stay_on_the_host():
    sent = Batch(
        inputs=Inputs(frames=torch.zeros(1, 3, 1, 2, 3), frame_sizes=torch.tensor([[2, 3]])), targets={}, ids=("a",)
    )
    there = to(sent, torch.device("meta"))
    assert (there.inputs.frames.is_meta, there.inputs.frame_sizes.tolist()) == (True, [[2, 3]])
    assert _record_stream(there.inputs.frame_sizes, None).tolist() == [[2, 3]]


class _BurstsError(Exception):
    """An exception that cannot say what it is, and that cannot be pickled."""

    def __init__(self, first, second):
        super().__init__(first, second)
        self.handle = lambda: second

    def __str__(self):
        raise RuntimeError("no text")


class _Failing:
    def __init__(self, act):
        self.act = act

    def read(self, segment, key):
        return self.act()

    def read_each(self, keys):
        return (self.read(*key) for key in keys)

    def count(self, segment):
        return 1


FOUR = tuple(Segment(id=f"s{row}", recording=Recording(id=f"s{row}", path=Path("x.wav"))) for row in range(4))
FOUR_KEYS = [[Key(0, row, 0)] for row in range(4)]


def _burst():
    raise _BurstsError(1, 2)


def _die():
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_of_any_kind_ends_the_reading_and_its_workers(workers):
    clips = Clips(FOUR, _Failing(_burst))
    with pytest.raises(RuntimeError, match="_BurstsError: _BurstsError; reading "):
        list(batches(clips, FOUR_KEYS, workers=workers, device=CPU))
    assert not multiprocessing.active_children()


def test_a_worker_that_was_killed_is_an_error_in_words():
    clips = Clips(FOUR, _Failing(_die))
    with pytest.raises(SlowFastError, match="a process that reads data was killed"):
        list(batches(clips, FOUR_KEYS, workers=1, device=CPU))
    assert not multiprocessing.active_children()


def _several_lines():
    raise DataError("first line\nsecond line")


def test_errors_of_several_lines_arrive_whole():
    with pytest.raises(DataError, match="first line\nsecond line"):
        list(batches(Clips(FOUR, _Failing(_several_lines)), FOUR_KEYS, workers=1, device=CPU))
