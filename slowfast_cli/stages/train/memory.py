"""Memory of a training, estimated without running a step, and the largest batch that fits."""

import sys
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from slowfast_cli.build.schedule import micro_batch_size
from slowfast_cli.build.task import task_spec
from slowfast_cli.build.trial_step import TrialStep
from slowfast_cli.engine import distributed
from slowfast_cli.recipe.schema import Recipe
from slowfast_cli.types import UsageError

STEPS = 2  # of an estimate: the first creates the state of the optimizer
SAMPLES = 2  # of a bin of RoIAlign, which depends on the boxes: fake tensors have no values
MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True, kw_only=True)
class Device:
    """What the process and the allocator of a kind of device take on top of the tensors."""

    fixed: int  # bytes: libraries, kernels
    factor: float  # fragmentation and workspaces, in tensor bytes
    share: float  # of the free memory that a training may take


# CPU: measured on 2 to 64 clips of four recipes (glibc, one thread), 1.4 to 1.6 times the tensors and 0.3 to 0.5 GB.
DEVICES = {
    "cpu": Device(fixed=500 * 2**20, factor=1.6, share=0.7),
    "cuda": Device(fixed=600 * 2**20, factor=1.15, share=0.9),
}


class _LiveTensors(TorchDispatchMode):
    """Counts the bytes of the storages that are alive, and their peak."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak: int = 0
        self._live = 0
        self._storages: set[int] = set()

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default:
            return SAMPLES
        result = func(*args, **(kwargs or {}))
        for value in tree_leaves(result):
            if isinstance(value, torch.Tensor):
                self._add(value.untyped_storage())
        return result

    def _add(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key not in self._storages:
            self._storages.add(key)
            self._live += size
            self.peak = max(self.peak, self._live)
            weakref.finalize(storage, self._remove, key, size)

    def _remove(self, key: int, size: int) -> None:
        self._storages.discard(key)
        self._live -= size


def tensor_bytes(recipe: Recipe, clips: int) -> int:
    """Peak bytes of all tensors of training steps on a micro-batch: parameters, gradients, activations, optimizer.

    The step runs on fake tensors, which have shapes but no data.
    """
    live = _LiveTensors()
    with FakeTensorMode(), live:
        step = TrialStep(recipe, clips, torch.device("cpu"))
        ema = [value.clone() for value in step.model.state_dict().values()] if recipe.optim.ema else []
        for _ in range(STEPS):
            step.backward(step.forward())
            step.update()
        ema.clear()
    return live.peak


def training_bytes(recipe: Recipe, device: str = "auto", processes: int = 1) -> int:
    """Estimate the peak memory of one training process on its device, without its data workers, in bytes.

    Args:
        recipe: What would be trained.
        device: ``auto``, ``cpu``, ``cuda``; the kind matters.
        processes: That share a batch.
    """
    return _with_overhead(tensor_bytes(recipe, micro_batch_size(recipe, processes)), distributed.device(device).type)


def _with_overhead(tensors: float, device: str) -> int:
    costs = DEVICES[device]
    return round(costs.fixed + costs.factor * tensors)


def largest_batch(recipe: Recipe, at: torch.device, *, most: int, processes: int = 1) -> int:
    """Find the largest power of two of clips that fits into the free memory as one micro-batch per process.

    Memory is linear in the clips: two sizes are estimated.

    Args:
        recipe: What would be trained.
        at: Device.
        most: Upper bound, such as the clips of the training split.
        processes: That share the batch.

    Returns:
        The batch of all processes together.

    Raises:
        UsageError: Not even the smallest batch fits.
    """
    least = 2 if task_spec(recipe).has_objective else 1  # batch norms of projectors need two
    small, large = (tensor_bytes(recipe, clips) for clips in (least, 2 * least))
    per_clip = max(large - small, 1) / least
    free = free_bytes(at) * DEVICES[at.type].share / (processes if at.type == "cpu" else 1)
    room = (free - DEVICES[at.type].fixed) / DEVICES[at.type].factor
    fits = int(least + (room - small) / per_clip)
    if fits < least:
        need = _with_overhead(small, at.type)
        raise UsageError(
            f"--batch auto: a micro-batch of {least} needs about {need / 2**30:.1f} GiB, and {free / 2**30:.1f} "
            "GiB may be used: set optim.activation_checkpointing=true or optim.precision=bf16, shorten "
            "data.clip_seconds, lower video.crop or video.frames, or choose a smaller network (model.variant)"
        )
    clips = min(fits, max(most // processes, least))
    return processes * (1 << clips.bit_length() - 1)


def free_bytes(at: torch.device) -> int:
    """Free memory of a device, bytes; of a CPU also below the limit of the container.

    Raises:
        UsageError: The operating system does not say it.
    """
    if at.type == "cuda":
        return int(torch.cuda.mem_get_info(at)[0])
    available = list(_available())
    if not available:
        raise UsageError(f"--batch auto: {sys.platform} does not say how much memory is free: set optim.batch=N")
    return min(available)


def _available() -> Iterator[int]:
    if MEMINFO.is_file():
        values = dict(line.split(":", 1) for line in MEMINFO.read_text().splitlines() if ":" in line)
        yield int(values["MemAvailable"].split()[0]) * 1024
    limit, used = CGROUP / "memory.max", CGROUP / "memory.current"
    if limit.is_file() and used.is_file() and (most := limit.read_text().strip()) != "max":
        yield max(0, int(most) - int(used.read_text()))
