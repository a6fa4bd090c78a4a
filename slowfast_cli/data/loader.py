"""Clips to batches on the device: the order, the worker processes, the copy.

The order of a training run is a pure function of its seed, so that it resumes where it stopped, and rank r of n takes
its part of every global batch, so that n processes see what one would.
"""

from __future__ import annotations

import gc
import signal
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from slowfast_cli.data.clips import Clips, Key, multi_hot
from slowfast_cli.data.partition import partition
from slowfast_cli.types import Batch, BrokenMediaError, Clip, DataError, Failure, Inputs, Seconds, Share, SlowFastError

T = TypeVar("T")
PREFETCH = 4  # batches that each worker is ahead; 2, 4 and 8 were measured to give the same (training_input.py)


def training_keys(
    clips: int, *, batch: int, micro_batches: int, epochs: int, first_step: int, seed: int, share: Share, crops: int = 1
) -> Iterator[list[Key]]:
    """Batches of a whole training run, shuffled anew each epoch; what does not fill a last batch is left out.

    Args:
        clips: In an epoch.
        batch: Of one optimiser step, over all processes.
        micro_batches: Micro-batches of a step.
        epochs: In all.
        first_step: Where a resumed run goes on.
        seed: Of the order.
        share: The part of each batch that is this process's.
        crops: Random clips of each segment in a batch.
    """
    steps = clips // batch
    size = batch // micro_batches // share.world
    for step in range(first_step, epochs * steps):
        epoch, number = divmod(step, steps)
        if step == first_step or number == 0:
            order = np.random.default_rng((seed, epoch)).permutation(clips)
        whole = order[number * batch : (number + 1) * batch]
        mine = whole.reshape(micro_batches, share.world, size)[:, share.rank]
        yield from ([Key(epoch, int(index), -1 - crop) for crop in range(crops) for index in part] for part in mine)


def eval_keys(counts: Sequence[int], *, batch: int, share: Share) -> list[list[Key]]:
    """Batches that hold every view of every segment once, over all processes.

    Args:
        counts: Views of each segment.
        batch: Clips in a batch.
        share: This process's.
    """
    own = partition(counts, share.world)[share.rank]  # all views of a segment to one process, which merges them
    mine = [Key(0, index, view) for index in own for view in range(counts[index])]
    return [mine[first : first + batch] for first in range(0, len(mine), batch)]


def collate(clips: Sequence[Clip], sizes: Mapping[str, int] | None = None, broken: Sequence[Failure] = ()) -> Batch:
    """Stack clips on the CPU; frames and samples of different sizes are zero-padded.

    Args:
        clips: At least one.
        sizes: Number of classes by label set, for the targets of boxes.
        broken: Recordings that could not be read.
    """
    fields = [clip.inputs.present for clip in clips]
    stacked = {name: torch.from_numpy(_stacked([arrays[name] for arrays in fields])) for name in fields[0]}
    if "frames" in stacked:
        stacked["frame_sizes"] = torch.tensor([arrays["frames"].shape[2:] for arrays in fields])
    targets: dict[str, Tensor] = {
        labels: torch.from_numpy(np.stack([clip.targets[labels] for clip in clips])) for labels in clips[0].targets
    }
    batch = Batch(
        inputs=Inputs(**stacked),
        targets=targets,
        ids=tuple(clip.id for clip in clips),
        broken=tuple(broken),
        without_audio=sum(not arrays.get("has_audio", True) for arrays in fields),
    )
    boxes = [(row, box) for row, clip in enumerate(clips) for box in clip.boxes]
    if not boxes:
        return batch
    multi_hot_targets = {
        labels: torch.from_numpy(np.stack([multi_hot(box.targets, size) for _, box in boxes]))
        for labels, size in (sizes or {}).items()
    }
    places = tuple(box.place for _, box in boxes)
    rows = [(float(row), *place) for (row, _), place in zip(boxes, places, strict=True)]
    return replace(batch, targets=multi_hot_targets, boxes=torch.tensor(rows), places=places)


def _stacked(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """One array of all, zeros beyond the ends of the smaller ones."""
    if len({array.shape for array in arrays}) == 1:
        return np.stack(arrays)
    most = tuple(max(sizes) for sizes in zip(*(array.shape for array in arrays), strict=True))
    whole = np.zeros((len(arrays), *most), arrays[0].dtype)
    for row, array in enumerate(arrays):
        whole[row][tuple(slice(size) for size in array.shape)] = array
    return whole


class _Told:
    """Reads a batch of clips at a time; an error of the data comes back whole, not as a worker's traceback."""

    def __init__(self, clips: Clips) -> None:
        self._clips = clips

    def __len__(self) -> int:
        return len(self._clips)

    def __getitem__(self, keys: list[Key]) -> Batch | tuple[Failure, ...] | SlowFastError:
        clips: list[Clip] = []
        broken: list[Failure] = []
        try:
            for key in keys:
                try:
                    clips.append(self._clips[key])
                except BrokenMediaError as error:
                    segment = self._clips.segments[key.segment]
                    broken.append(Failure(id=segment.id, path=segment.recording.path, reason=str(error)))
            if not clips:
                return tuple(broken)
            return collate(clips, self._clips.sizes, broken)
        except SlowFastError as error:
            return type(error)(str(error))


def _as_it_is(batch: Any) -> Any:
    return batch


def batches(
    clips: Clips,
    keys: Iterator[list[Key]] | list[list[Key]],
    *,
    workers: int,
    device: torch.device,
    unreadable: list[Failure] | None = None,
) -> Iterator[Batch]:
    """Read batches in the background and move them to the device.

    Args:
        clips: What to read from.
        keys: The batches, in order.
        workers: Processes that read; 0 reads in this one.
        device: Where the batches go.
        unreadable: Where recordings are noted of batches of which nothing can be read; None: such a batch is an error.

    Raises:
        DataError: A clip that cannot be read, other than for its own recording; or a whole batch of such.
    """
    loader: DataLoader[Batch] = DataLoader(
        _Told(clips),  # type: ignore[arg-type]
        sampler=keys,
        batch_size=None,
        collate_fn=_as_it_is,
        num_workers=workers,
        pin_memory=device.type == "cuda",
        prefetch_factor=PREFETCH if workers else None,
        worker_init_fn=_set_up_worker if workers else None,
        generator=torch.Generator(),  # or it draws from the common one, in the first step of a process only
    )
    copied = Copies(device)
    for batch, data_wait in timed(loader):
        if isinstance(batch, SlowFastError):
            raise batch
        if isinstance(batch, Batch):
            yield replace(copied(batch), data_wait=data_wait, workers=workers)
        elif unreadable is None:
            raise DataError(
                f"none of the {len(batch)} recordings of a batch can be read, as {batch[0].reason}; "
                "`slowfast data check` finds them all"
            )
        else:
            unreadable += batch


def timed(values: Iterable[T]) -> Iterator[tuple[T, Seconds]]:
    """Each value, and how long it was waited for."""
    asked = time.perf_counter()
    for value in values:
        yield value, time.perf_counter() - asked
        asked = time.perf_counter()


class Copies:
    """Copies batches to a device, on a stream of its own: the work that is queued there before goes on meanwhile.

    Args:
        device: Where to.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def __call__(self, batch: Batch) -> Batch:
        """The batch on the device; what is queued there after this call waits for it."""
        if self._stream is None:
            return to(batch, self._device)
        with torch.cuda.stream(self._stream):
            moved = to(batch, self._device)
        user = torch.cuda.current_stream(self._device)
        user.wait_stream(self._stream)
        return moved.map(lambda value: _used_by(user, value))


def to(batch: Batch, device: torch.device) -> Batch:
    """Move a batch to a device; the sizes of the frames stay on the host, which computes the crops."""
    sizes = batch.inputs.frame_sizes
    moved = replace(batch, inputs=replace(batch.inputs, frame_sizes=None)).map(
        lambda value: value.to(device, non_blocking=True)
    )
    return replace(moved, inputs=replace(moved.inputs, frame_sizes=sizes))


def _used_by(stream: torch.cuda.Stream, value: Tensor) -> Tensor:
    """The same value, whose memory on a device is not given away before a stream is done with it."""
    if value.is_cuda:
        value.record_stream(stream)
    return value


def _set_up_worker(worker: int) -> None:
    torch.set_num_threads(1)
    gc.freeze()  # or a collection would write into, and so copy, every object that the parent has
    # Ctrl-C, and what a scheduler sends, go to the whole process group: the main process ends the run between two
    # steps, and its workers with it.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def require_clips(clips: int, batch: int, split: str) -> None:
    """Refuse a training split that does not fill one batch.

    Raises:
        DataError: It does not.
    """
    if clips < batch:
        raise DataError(
            f"split {split}: {clips} segments do not fill a batch of {batch}: set optim.batch to at most {clips}"
        )
