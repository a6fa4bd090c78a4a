"""Communication between the processes of a run: torchrun and SLURM are detected, otherwise there is one process."""

import gc
import json
import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from slowfast_cli.engine import slurm
from slowfast_cli.types import LostError, Share, SlowFastError, UsageError, text_of

# Longest wait for another process: dead ones are detected at once, slow ones are waited for.
TIMEOUT = timedelta(minutes=30)
PATIENCE = 5.0  # seconds of waiting for another machine after which the user is informed
# Messages of gloo and NCCL when another process is gone; some are plain RuntimeErrors.
GONE = ("gloo", "NCCL", "Connection closed by peer", "Connection reset by peer", "Broken pipe", "Socket Timeout")
STATUS_STORE: list[Store] = []  # key-value store for status without collectives; empty in a single process


def join() -> Share:
    """Join the other processes of this run, if there are any.

    torchrun sets RANK and WORLD_SIZE; under srun they are derived from SLURM's variables, as is the rendezvous unless
    MASTER_ADDR and MASTER_PORT are exported.

    Raises:
        LostError: The others could not be reached.
    """
    if "RANK" not in os.environ:
        os.environ.update(slurm.ranks(os.environ))
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return Share()
    if not distributed.is_initialized():
        try:
            # gloo for tensors on the CPU, NCCL for those on a GPU.
            backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
            with announced(_waiting()):
                store, rank, world = next(iter(rendezvous("env://", timeout=TIMEOUT)))
                if os.environ.get("GROUP_WORLD_SIZE") == "1":  # torchrun's store may contain keys of an earlier start
                    store = PrefixStore(f"start-{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
                distributed.init_process_group(backend, timeout=TIMEOUT, store=store, rank=rank, world_size=world)
            STATUS_STORE[:] = [PrefixStore("board", store)]
        except (RuntimeError, ValueError) as error:
            raise LostError(
                f"rank {os.environ['RANK']} of {os.environ['WORLD_SIZE']} did not reach the others at "
                f"{os.environ.get('MASTER_ADDR', '?')}:{os.environ.get('MASTER_PORT', '?')}: {error}; "
                "check that every node runs the same command and sees that address"
            ) from error
    return Share(rank=distributed.get_rank(), world=distributed.get_world_size())


def _waiting() -> str:
    where = f"{os.environ.get('MASTER_ADDR', '?')}:{os.environ.get('MASTER_PORT', '?')}"
    return (
        f"process {os.environ['RANK']} waits for the other processes of {os.environ['WORLD_SIZE']} at {where}: start "
        "the same command on every machine (Ctrl-C ends the wait)"
    )


@contextmanager
def announced(text: str) -> Iterator[None]:
    """Print a line on stderr if the body waits for other machines for longer than `PATIENCE`."""
    timer = threading.Timer(PATIENCE, lambda: print(text, file=sys.stderr, flush=True))  # noqa: T201
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def leave() -> None:
    """Leave the other processes."""
    if distributed.is_available() and distributed.is_initialized():
        gc.collect()  # reference cycles of a wrapped model keep the group's threads, which may abort the exit
        STATUS_STORE.clear()
        distributed.destroy_process_group()


def device(name: str = "auto") -> torch.device:
    """Select the device of this process.

    Args:
        name: ``auto`` selects this process's GPU if there is one.

    Raises:
        SlowFastError: A GPU was requested and there is none.
        UsageError: There is no such device.
    """
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise SlowFastError(f"--device {name}: torch {torch.__version__} sees no CUDA GPU; use --device cpu")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        chosen = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"--device {name}: expected auto, cpu, cuda or cuda:N") from error
    if chosen.type == "cuda":
        if chosen.index is None:
            # A scheduler may show each process only its own GPU, which then has index 0.
            chosen = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
        torch.cuda.set_device(chosen)
    return chosen


def gather(values: Sequence[Any], share: Share) -> list[Any]:
    """Gather the values of all processes in all processes, in the order of ranks."""
    if share.world == 1:
        return list(values)
    parts: list[Sequence[Any]] = [[] for _ in range(share.world)]
    distributed.all_gather_object(parts, list(values))
    return [value for part in parts for value in part]


def mean(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Average each value over the processes."""
    stacked = torch.stack(list(values.values()))
    if distributed.is_available() and distributed.is_initialized():
        distributed.all_reduce(stacked)
        stacked /= distributed.get_world_size()
    return dict(zip(values, stacked.unbind(), strict=True))


def average_buffers(model: nn.Module, share: Share) -> None:
    """Average batch-norm statistics over the processes, so that all score the model that one of them saves."""
    for buffer in model.buffers() if share.world > 1 else ():
        if buffer.is_floating_point():
            distributed.all_reduce(buffer)
            buffer.div_(share.world)


def barrier(share: Share) -> None:
    """Wait for all processes."""
    if share.world > 1:
        distributed.barrier()


def fail_together(problem: SlowFastError | None, share: Share) -> None:
    """Raise this process's error, or the first of the others, in all processes, so that none waits."""
    errors = [error for error in gather([problem], share) if error is not None]
    if errors:
        raise problem or errors[0]


def publish_status(values: Mapping[str, Any], share: Share) -> None:
    """Publish this process's status for the first process, replacing the previous one."""
    if STATUS_STORE:
        STATUS_STORE[0].set(str(share.rank), json.dumps(dict(values)))


def read_status(share: Share) -> dict[int, dict[str, Any]]:
    """Read the latest status of the other processes by rank; those without one are left out."""
    status = {}
    for rank in range(1, share.world):
        if STATUS_STORE and STATUS_STORE[0].check([str(rank)]):
            status[rank] = dict(json.loads(STATUS_STORE[0].get(str(rank))))
    return status


def is_lost(error: Exception) -> bool:
    """Whether an error means that another process is gone."""
    known = isinstance(error, LostError | torch.distributed.DistError)
    return known or (isinstance(error, RuntimeError) and any(word in text_of(error) for word in GONE))
