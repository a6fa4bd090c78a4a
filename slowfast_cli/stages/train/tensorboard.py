"""Numbers of a run for TensorBoard, where the ``track`` extra is installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

Track = Callable[[Mapping[str, float]], None]  # a line of metrics.jsonl


@contextmanager
def tracked(folder: Path, *, on: bool = True) -> Iterator[Track]:
    """Give out a function that writes the numbers of one step; without TensorBoard it does nothing.

    Args:
        folder: Of the event files.
        on: Whether to write at all.
    """
    if not on or find_spec("tensorboard") is None:
        yield lambda line: None
        return
    from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415  (takes a second, and is an extra)

    def write(line: Mapping[str, float]) -> None:
        for key, value in line.items():
            if key not in ("step", "epoch"):
                group, _, rest = key.partition("_")
                writer.add_scalar(f"{group}/{rest}" if group == "val" else f"train/{key}", value, int(line["step"]))

    with SummaryWriter(str(folder)) as writer:
        yield write
