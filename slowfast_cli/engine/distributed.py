"""Several processes as one: torchrun and SLURM are recognised, everything else is one process."""

from __future__ import annotations

import gc
import os
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed, nn

from slowfast_cli.data.loader import Share
from slowfast_cli.types import SlowFastError, UsageError

TIMEOUT = timedelta(minutes=10)


def join() -> Share:
    """Join the other processes of this run, if there are any.

    torchrun sets RANK and WORLD_SIZE; under srun SLURM_PROCID and SLURM_NTASKS say the same, and MASTER_ADDR and
    MASTER_PORT, which sbatch scripts export, say where to meet.

    Raises:
        SlowFastError: The others could not be reached.
    """
    if "RANK" not in os.environ and int(os.environ.get("SLURM_NTASKS", "1")) > 1 and "SLURM_PROCID" in os.environ:
        slurm = {"RANK": "SLURM_PROCID", "WORLD_SIZE": "SLURM_NTASKS", "LOCAL_RANK": "SLURM_LOCALID"}
        os.environ.update({name: os.environ[theirs] for name, theirs in slurm.items()})
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return Share()
    if not distributed.is_initialized():
        try:
            # Tensors on the CPU go by gloo, those on a GPU by NCCL, whichever a command uses.
            backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
            distributed.init_process_group(backend, timeout=TIMEOUT)
        except (RuntimeError, ValueError) as error:
            raise SlowFastError(
                f"rank {os.environ['RANK']} of {os.environ['WORLD_SIZE']} did not meet the others at "
                f"{os.environ.get('MASTER_ADDR', '?')}:{os.environ.get('MASTER_PORT', '?')}: {error}; "
                "check that every node runs the same command and sees that address"
            ) from error
    return Share(rank=distributed.get_rank(), world=distributed.get_world_size())


def leave() -> None:
    """Leave the other processes."""
    if distributed.is_available() and distributed.is_initialized():
        gc.collect()  # a wrapped model holds the group in cycles, whose threads then abort the exit now and then
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
            chosen = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
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
