"""Load batches of clips onto the device: order, worker processes, copy.

The order of a training run depends only on its seed, so a resumed run continues it exactly. Each rank takes its part of
every global batch, so any number of processes trains on the same batches.
"""

import gc
import signal
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from slowfast_cli.data.clips import Clips, Key, multi_hot
from slowfast_cli.data.partition import partition
from slowfast_cli.types import (
    Batch,
    BrokenMediaError,
    Clip,
    DataError,
    Failure,
    Inputs,
    Seconds,
    Share,
    SlowFastError,
    text_of,
)

T = TypeVar("T")
PREFETCH = 4  # batches prefetched per worker; 2, 4 and 8 are equally fast


def training_keys(
    clips: int | np.ndarray,
    *,
    batch: int,
    micro_batches: int,
    epochs: int,
    first_step: int,
    seed: int,
    share: Share,
    crops: int = 1,
) -> Iterator[list[Key]]:
    """Yield the micro-batches of a training run; each epoch is a new permutation, its last partial batch is dropped.

    ``clips`` is their number, or the class of each: an epoch then has as many clips, but equally many of each class.
    ``batch`` counts the clips of a step over all processes; ``first_step`` is not 0 when resuming; ``crops`` is the
    number of random crops of each clip in a batch.
    """
    count = clips if isinstance(clips, int) else len(clips)
    steps = count // batch
    size = batch // micro_batches // share.world
    for step in range(first_step, epochs * steps):
        epoch, number = divmod(step, steps)
        if step == first_step or number == 0:
            order = _order(np.random.default_rng((seed, epoch)), clips)
        whole = order[number * batch : (number + 1) * batch]
        mine = whole.reshape(micro_batches, share.world, size)[:, share.rank]
        yield from ([Key(epoch, int(index), -1 - crop) for crop in range(crops) for index in part] for part in mine)


def _order(rng: np.random.Generator, clips: int | np.ndarray) -> np.ndarray:
    """Return the clips of an epoch."""
    if isinstance(clips, int):
        return rng.permutation(clips)
    members = [np.flatnonzero(clips == index) for index in np.unique(clips)]
    quota = -(-len(clips) // len(members))
    return rng.permutation(np.concatenate([np.resize(rng.permutation(rows), quota) for rows in members]))[: len(clips)]


def eval_keys(counts: Sequence[int], *, batch: int, share: Share) -> list[list[Key]]:
    """Return this process's batches of an evaluation, which reads every view (``counts`` by segment) once."""
    own = partition(counts, share.world)[share.rank]  # all views of a segment on one rank, which merges them
    keys = [Key(0, index, view) for index in own for view in range(counts[index])]
    return [keys[first : first + batch] for first in range(0, len(keys), batch)]


def collate(clips: Sequence[Clip], sizes: Mapping[str, int] | None = None, broken: Sequence[Failure] = ()) -> Batch:
    """Stack at least one clip on the CPU; frames and samples of different sizes are zero-padded.

    ``sizes`` are the numbers of classes by label set, for boxes; ``broken`` are recordings that could not be read.
    """
    fields = [clip.inputs.present for clip in clips]
    stacked = {name: torch.from_numpy(_pad_and_stack([arrays[name] for arrays in fields])) for name in fields[0]}
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


def _pad_and_stack(arrays: Sequence[np.ndarray]) -> np.ndarray:
    if len({array.shape for array in arrays}) == 1:
        return np.stack(arrays)
    largest = tuple(max(sizes) for sizes in zip(*(array.shape for array in arrays), strict=True))
    stacked = np.zeros((len(arrays), *largest), arrays[0].dtype)
    for row, array in enumerate(arrays):
        stacked[row][tuple(slice(size) for size in array.shape)] = array
    return stacked


class _BatchDataset:
    """Dataset of whole batches that returns errors as values: not every exception survives the way out of a worker."""

    def __init__(self, clips: Clips) -> None:
        self._clips = clips

    def __len__(self) -> int:
        return len(self._clips)

    def __getitem__(self, keys: list[Key]) -> Batch | tuple[Failure, ...] | Exception:
        broken: list[Failure] = []
        try:
            try:
                clips = self._clips.read(keys)
            except BrokenMediaError:  # one by one, to find out which
                clips, broken = self._read_intact(keys)
            if not clips:
                return tuple(broken)
            return collate(clips, self._clips.sizes, broken)
        except SlowFastError as error:
            return type(error)(str(error))
        except MemoryError as error:
            return MemoryError(text_of(error))
        except Exception as error:
            names = ", ".join(sorted({self._clips.segments[key.segment].id for key in keys})[:3])
            return RuntimeError(f"{type(error).__name__}: {text_of(error)}; reading {names}\n{traceback.format_exc()}")

    def _read_intact(self, keys: list[Key]) -> tuple[list[Clip], list[Failure]]:
        clips: list[Clip] = []
        broken: list[Failure] = []
        for key in keys:
            try:
                clips.append(self._clips[key])
            except BrokenMediaError as error:
                segment = self._clips.segments[key.segment]
                broken.append(Failure(id=segment.id, path=segment.recording.path, reason=str(error)))
        return clips, broken


def _identity(batch: Any) -> Any:  # a lambda cannot be pickled for spawned workers
    return batch


def batches(
    clips: Clips,
    keys: Iterator[list[Key]] | list[list[Key]],
    *,
    workers: int,
    device: torch.device,
    unreadable: list[Failure] | None = None,
) -> Iterator[Batch]:
    """Read batches in worker processes and move them to the device.

    Clips whose recording is broken are left out and reported in `Batch.broken`.

    Args:
        clips: Data set of clips.
        keys: Keys of each batch, in order.
        workers: Number of worker processes; 0 reads in this process.
        device: Device of the batches.
        unreadable: Gets the failures of batches that have no readable clip; None makes such a batch an error.

    Raises:
        DataError: The shards cannot be read, or a batch has no readable clip and ``unreadable`` is None.
    """
    loader: DataLoader[Batch] = DataLoader(
        _BatchDataset(clips),  # type: ignore[arg-type]
        sampler=keys,
        batch_size=None,
        collate_fn=_identity,
        num_workers=workers,
        pin_memory=device.type == "cuda",
        prefetch_factor=PREFETCH if workers else None,
        worker_init_fn=_set_up_worker if workers else None,
        generator=torch.Generator(),  # the default generator would lose a draw in the first step of a process
    )
    to_device = DeviceCopier(device)
    for batch, data_wait in timed(_read(loader)):
        if isinstance(batch, Exception):
            raise batch
        if isinstance(batch, Batch):
            yield replace(to_device(batch), data_wait=data_wait, workers=workers)
        elif unreadable is None:
            raise DataError(
                f"none of the {len(batch)} recordings of a batch can be read, such as {batch[0].reason}; "
                "`slowfast data check` lists all broken recordings"
            )
        else:
            unreadable += batch


def _read(loader: DataLoader[Batch]) -> Iterator[Batch]:
    """Iterate over a loader; in the end its workers have ended, whatever they were doing.

    Raises:
        SlowFastError: A worker was killed from outside.
    """
    batches = iter(loader)
    workers = list(getattr(batches, "_workers", ()))
    try:
        yield from batches
    except RuntimeError as error:
        if "DataLoader worker" not in text_of(error):
            raise
        raise SlowFastError(
            f"a process that reads data was killed ({text_of(error)}), often because memory ran out: close other "
            "programs, or lower data.workers or optim.batch; the same command resumes from the last checkpoint"
        ) from error
    finally:
        if workers:
            batches._shutdown_workers()  # type: ignore[attr-defined]
        for worker in workers:
            worker.kill()  # they ignore SIGTERM


def timed(values: Iterable[T]) -> Iterator[tuple[T, Seconds]]:
    """Yield each value with the time spent waiting for it."""
    start = time.perf_counter()
    for value in values:
        yield value, time.perf_counter() - start
        start = time.perf_counter()


class DeviceCopier:
    """Copies batches to a device, on a separate CUDA stream so that copies overlap with computation."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def __call__(self, batch: Batch) -> Batch:
        """Return the batch on the device; work queued on the current stream after this call waits for the copy."""
        if self._stream is None:
            return to(batch, self._device)
        with torch.cuda.stream(self._stream):
            moved = to(batch, self._device)
        current = torch.cuda.current_stream(self._device)
        current.wait_stream(self._stream)
        return moved.map(lambda value: _record_stream(value, current))


def to(batch: Batch, device: torch.device) -> Batch:
    """Move a batch to a device; frame sizes stay on the host, which computes the crops from them."""
    sizes = batch.inputs.frame_sizes
    moved = replace(batch, inputs=replace(batch.inputs, frame_sizes=None)).map(
        lambda value: value.to(device, non_blocking=True)
    )
    return replace(moved, inputs=replace(moved.inputs, frame_sizes=sizes))


def _record_stream(value: Tensor, stream: torch.cuda.Stream) -> Tensor:
    """Keep the allocator from reusing the tensor's memory before the stream has finished with it."""
    if value.is_cuda:
        value.record_stream(stream)
    return value


def _set_up_worker(worker: int) -> None:
    torch.set_num_threads(1)
    gc.freeze()  # garbage collection would write to, and so copy, the memory pages shared with the parent
    # Ctrl-C and the scheduler signal the whole process group: the main process ends the run between two steps and then
    # stops its workers.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def require_clips(clips: int, batch: int, split: str) -> None:
    """Refuse a training split that does not fill one batch; raise `DataError` if ``clips`` is less than ``batch``."""
    if clips < batch:
        raise DataError(
            f"split {split}: {clips} segments do not fill a batch of {batch}: set optim.batch to {clips} or less"
        )
