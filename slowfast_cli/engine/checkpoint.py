"""Training states on disk: written atomically in the background, loaded without executing pickled code."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from slowfast_cli.storage import remote
from slowfast_cli.storage.atomic import write_atomic
from slowfast_cli.types import SlowFastError


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write a training state, which consists of tensors and plain values."""
    write_atomic(path, lambda temporary: torch.save(state, temporary))


def load_state(path: Path) -> dict[str, Any]:
    """Read what `save_state` wrote; raise `SlowFastError` if the file is not a training state."""
    try:
        return dict(torch.load(remote.ensure_local(path), map_location="cpu", weights_only=True))
    except Exception as error:
        reason = str(error).strip().split("\n", 1)[0][:120] or type(error).__name__
        raise SlowFastError(f"{path}: not a training state ({reason}); start over with --fresh") from error


def restore_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load an optimizer's state; PyTorch itself checks neither the types nor the shapes.

    Raises:
        ValueError: A hyperparameter is not a number where it has to be one, or a value does not fit its parameter.
    """
    numbers = [{name for name, value in group.items() if _is_number(value)} for group in optimizer.param_groups]
    optimizer.load_state_dict(state)
    for group, names in zip(optimizer.param_groups, numbers, strict=True):
        for name in names:
            if not _is_number(group[name]):
                raise ValueError(f"{name} of the optimizer is {group[name]!r}, expected a number")
    for parameter, values in optimizer.state.items():
        for name, value in values.items():
            shape = value.shape if isinstance(value, torch.Tensor) else ()
            if not (value is None or (_is_number(value) and shape in ((), parameter.shape))):
                raise ValueError(f"{name} of the optimizer has shape {tuple(shape)}, expected {tuple(parameter.shape)}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | torch.Tensor) and not isinstance(value, bool)


def snapshot(state: Any) -> Any:
    """Copy a state to the CPU: tensors in nested dictionaries and sequences."""
    if isinstance(state, torch.Tensor):
        return state.detach().to("cpu", copy=True)
    if isinstance(state, dict):
        return {name: snapshot(value) for name, value in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(snapshot(value) for value in state)
    return state


class Saver:
    """Writes states in a background thread: training waits for the copy to the CPU, not for the disk.

    Leaving the context waits until everything is written.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._writing: Future[None] | None = None

    def save(self, path: Path, state: dict[str, Any]) -> None:
        """Write a state in the background; raise `SlowFastError` if the previous state could not be written."""
        self.wait()
        self._writing = self._thread.submit(save_state, path, snapshot(state))

    def wait(self) -> None:
        """Wait until nothing is being written; raise `SlowFastError` if the state could not be written."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def close(self) -> None:
        """Finish writing and stop the thread; raises as `wait`."""
        try:
            self.wait()
        finally:
            self._thread.shutdown()

    def __enter__(self) -> Saver:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
