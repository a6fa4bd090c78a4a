"""Several processes as one: torchrun and SLURM are recognised, everything else is one process."""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from slowfast_cli.engine import slurm
from slowfast_cli.types import LostError, Share, SlowFastError, UsageError

# Longest that processes wait for each other: those that die are noticed at once, the others may be slow.
TIMEOUT = timedelta(minutes=30)
# What gloo and NCCL say when another process is gone: some of it comes as a plain RuntimeError.
GONE = ("gloo", "NCCL", "Connection closed by peer", "Connection reset by peer", "Broken pipe", "Socket Timeout")
STATUS_STORE: list[Store] = []  # where processes leave word for each other without waiting


def join() -> Share:
    """Join the other processes of this run, if there are any.

    torchrun sets RANK and WORLD_SIZE; under srun SLURM's own variables say the same, and where to meet, unless
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
            # Tensors on the CPU go by gloo, those on a GPU by NCCL, whichever a command uses.
            backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
            store, rank, world = next(iter(rendezvous("env://", timeout=TIMEOUT)))
            if os.environ.get("GROUP_WORLD_SIZE") == "1":  # torchrun's store may hold what an earlier start left
                store = PrefixStore(f"start-{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
            distributed.init_process_group(backend, timeout=TIMEOUT, store=store, rank=rank, world_size=world)
            STATUS_STORE[:] = [PrefixStore("board", store)]
        except (RuntimeError, ValueError) as error:
            raise LostError(
                f"rank {os.environ['RANK']} of {os.environ['WORLD_SIZE']} did not meet the others at "
                f"{os.environ.get('MASTER_ADDR', '?')}:{os.environ.get('MASTER_PORT', '?')}: {error}; "
                "check that every node runs the same command and sees that address"
            ) from error
    return Share(rank=distributed.get_rank(), world=distributed.get_world_size())


def leave() -> None:
    """Leave the other processes."""
    if distributed.is_available() and distributed.is_initialized():
        gc.collect()  # a wrapped model holds the group in cycles, whose threads then abort the exit now and then
        STATUS_STORE.clear()
        distributed.destroy_process_group()


def device(name: str = "auto") -> torch.device:
    """The device of this process.

    Args:
        name: ``auto`` takes this process's GPU where there is one.

    Raises:
        SlowFastError: A GPU is asked for and there is none.
    """
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise SlowFastError(
            f"--device {name}: torch {torch.__version__} sees no CUDA GPU; use --device cpu, or see `slowfast doctor`"
        )
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        chosen = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"--device {name}: want auto, cpu, cuda or cuda:N") from error
    if chosen.type == "cuda":
        if chosen.index is None:
            # A scheduler may show each process its own GPU only, which then is the first.
            chosen = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
        torch.cuda.set_device(chosen)
    return chosen


def gather(values: Sequence[Any], share: Share) -> list[Any]:
    """Every process's values in every process, in the order of the ranks."""
    if share.world == 1:
        return list(values)
    parts: list[Sequence[Any]] = [[] for _ in range(share.world)]
    distributed.all_gather_object(parts, list(values))
    return [value for part in parts for value in part]


def mean(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Each value averaged over the processes: from means over their parts of a batch, the mean over all of it."""
    stacked = torch.stack(list(values.values()))
    if distributed.is_available() and distributed.is_initialized():
        distributed.all_reduce(stacked)
        stacked /= distributed.get_world_size()
    return dict(zip(values, stacked.unbind(), strict=True))


def average_buffers(model: nn.Module, share: Share) -> None:
    """Make the batch-norm statistics those of all processes, so that each scores the model that one of them saves."""
    for buffer in model.buffers() if share.world > 1 else ():
        if buffer.is_floating_point():
            distributed.all_reduce(buffer)
            buffer.div_(share.world)


def barrier(share: Share) -> None:
    """Wait until every process is here."""
    if share.world > 1:
        distributed.barrier()


def fail_together(problem: SlowFastError | None, share: Share) -> None:
    """Raise what one process has found in all of them: none is left waiting for the others.

    Raises:
        SlowFastError: The first one's.
    """
    found = [each for each in gather([problem], share) if each is not None]
    if found:
        raise problem or found[0]


def publish_status(values: Mapping[str, Any], share: Share) -> None:
    """Leave word for the first process, which does not wait for it, in the place of the word before."""
    if STATUS_STORE:
        STATUS_STORE[0].set(str(share.rank), json.dumps(dict(values)))


def read_status(share: Share) -> dict[int, dict[str, Any]]:
    """The latest word of the other processes, by rank; of those that have left none yet, nothing."""
    found = {}
    for rank in range(1, share.world):
        if STATUS_STORE and STATUS_STORE[0].check([str(rank)]):
            found[rank] = dict(json.loads(STATUS_STORE[0].get(str(rank))))
    return found


def is_lost(error: Exception) -> bool:
    """Whether an error says that another process is gone."""
    known = isinstance(error, LostError | torch.distributed.DistError)
    return known or (isinstance(error, RuntimeError) and any(word in str(error) for word in GONE))
