"""The order of clips, their split over processes, and the workers that read them."""

import multiprocessing
from collections import Counter

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
    require_clips,
    to,
    training_keys,
)
from slowfast_cli.data.loader import eval_keys as view_keys
from slowfast_cli.recipe.load import load
from slowfast_cli.settings import FrontEnd
from slowfast_cli.types import Batch, Clip, DataError, Inputs, Recording, Segment

CPU = torch.device("cpu")
PLAN = {"batch": 12, "micro_batches": 2, "epochs": 3, "first_step": 0, "seed": 5}


def keys(clips=50, share=None, **plan):
    return list(training_keys(clips, **{**PLAN, **plan}, share=share or Share()))


@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("parts", [1, 2])
def test_ranks_part_each_global_batch(world, parts):
    one = keys(micro_batches=1)
    assert len(one) == 3 * (50 // 12)
    ranks = [keys(micro_batches=parts, share=Share(rank=rank, world=world)) for rank in range(world)]
    for step, whole in enumerate(one):
        theirs = [key for rank in ranks for part in rank[step * parts : (step + 1) * parts] for key in part]
        assert len(theirs) == len(set(theirs)) == 12
        assert set(theirs) == set(whole)
    assert {len(part) for rank in ranks for part in rank} == {12 // parts // world}


def test_an_epoch_is_a_permutation_of_its_own():
    epochs = [keys(48)[first : first + 8] for first in (0, 8, 16)]
    orders = [[key.segment for part in epoch for key in part] for epoch in epochs]
    for number, order in enumerate(orders):
        assert sorted(order) == list(range(48))
        assert {key.epoch for part in epochs[number] for key in part} == {number}
    assert len({tuple(order) for order in orders}) == 3
    assert all(key.view == -1 for part in epochs[0] for key in part)
    assert keys(48) == keys(48)
    assert keys(48, seed=6) != keys(48)


def test_clips_that_do_not_fill_a_batch_are_left_out_each_time_others():
    left_out = [
        set(range(50)) - {key.segment for part in keys(50)[first : first + 8] for key in part} for first in (0, 8, 16)
    ]
    assert all(len(each) == 2 for each in left_out)
    assert len(set.union(*left_out)) > 2


@pytest.mark.parametrize("first", [0, 1, 3, 4, 5, 11, 12])
def test_going_on_is_the_rest_of_the_same_order(first):
    assert keys(first_step=first) == keys()[2 * first :]


@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("clips", [1, 2, 7])
def test_each_view_is_predicted_once(world, clips):
    seen = Counter(
        key
        for rank in range(world)
        for part in view_keys([3] * clips, batch=4, share=Share(rank=rank, world=world))
        for key in part
    )
    assert seen == Counter(Key(0, segment, view) for segment in range(clips) for view in range(3))


@pytest.mark.parametrize(("world", "parts"), [(1, 1), (2, 1), (2, 3)])
def test_two_crops_of_a_recording_are_in_the_same_part(world, parts):
    """They are compared with each other; one crop of each is read in the order that there is without the other."""
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


def test_collating_keeps_rows_together():
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


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_give_what_this_process_gives(four, method, monkeypatch):
    wanted = list(batches(four, keys(4, batch=4, micro_batches=2), workers=0, device=CPU))
    before = multiprocessing.get_start_method(allow_none=True)
    multiprocessing.set_start_method(method, force=True)
    try:
        found = list(batches(four, keys(4, batch=4, micro_batches=2), workers=2, device=CPU))
    finally:
        multiprocessing.set_start_method(before, force=True)
    assert len(found) == len(wanted) == 6
    for one, two in zip(found, wanted, strict=True):
        assert one.ids == two.ids
        assert torch.equal(one.targets["label"], two.targets["label"])
        for name, value in one.inputs.present.items():
            assert torch.equal(value, two.inputs.present[name])


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_in_a_worker_arrives_whole(four, tmp_path, workers):
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"no sound in here")
    segment = Segment(id="x", recording=Recording(id="x", path=broken), targets={"label": 0})
    clips = Clips([*four.segments, segment], four.reader)
    read = batches(clips, view_keys([1] * 5, batch=4, share=Share()), workers=workers, device=CPU)
    assert next(read).ids == tuple(each.id for each in four.segments)
    with pytest.raises(DataError) as error:
        next(read)
    assert f"none of the 1 recordings of a batch can be read, such as {broken}: not a media file" in str(error.value)
    assert "Traceback" not in str(error.value)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_recording_that_cannot_be_read_is_left_out_and_told(four, tmp_path, workers):
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"no sound in here")
    segment = Segment(id="x", recording=Recording(id="x", path=broken), targets={"label": 0})
    clips = Clips([four.segments[0], segment, *four.segments[1:]], four.reader)
    unreadable = []
    first, second, third = view_keys([1, 2, 1, 1, 1], batch=2, share=Share())
    found = list(
        batches(clips, [first, second, third, [Key(0, 1, 0)]], workers=workers, device=CPU, unreadable=unreadable)
    )
    assert [batch.ids for batch in found] == [("0.wav",), ("1.wav",), ("2.wav", "3.wav")]
    assert [[each.id for each in batch.broken] for batch in found] == [["x"], ["x"], []]
    assert [(each.id, each.path) for each in unreadable] == [("x", broken)]
    assert "not a media file" in unreadable[0].reason


def test_reading_draws_nothing_from_the_common_generator(four):
    """Or the first step of a process would augment differently from the same step in the middle of a run."""
    torch.manual_seed(1)
    before = torch.get_rng_state()
    for workers in (0, 1):
        next(batches(four, view_keys([1] * 4, batch=4, share=Share()), workers=workers, device=CPU))
    assert torch.equal(torch.get_rng_state(), before)


def test_workers_are_one_a_core_that_this_process_may_use(monkeypatch):
    recipe = load("vggsound")
    for cores, world, count in ((1, 1, 1), (3, 1, 3), (64, 1, 8), (64, 16, 4), (2, 4, 1)):
        monkeypatch.setattr("os.sched_getaffinity", lambda pid, cores=cores: set(range(cores)), raising=False)
        monkeypatch.setenv("LOCAL_WORLD_SIZE", str(world))
        assert workers_of(recipe) == count
    assert workers_of(load("vggsound", ["data.workers=3"])) == 3


@pytest.mark.cuda
def test_a_copy_beside_the_work_is_whole_when_it_is_used():
    """The device is kept busy, so that a copy that nothing waits for would be read too early."""
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


def test_sizes_of_frames_stay_where_they_are_read():
    sent = Batch(
        inputs=Inputs(frames=torch.zeros(1, 3, 1, 2, 3), frame_sizes=torch.tensor([[2, 3]])), targets={}, ids=("a",)
    )
    there = to(sent, torch.device("meta"))
    assert (there.inputs.frames.is_meta, there.inputs.frame_sizes.tolist()) == (True, [[2, 3]])
    assert _record_stream(there.inputs.frame_sizes, None).tolist() == [[2, 3]]
