"""TensorBoard event files of a run, if the ``track`` extra is installed."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

Log = Callable[[Mapping[str, float]], None]  # takes a line of metrics.jsonl


@contextmanager
def tensorboard(folder: Path, *, on: bool = True) -> Iterator[Log]:
    """Yield a function that logs the values of one step; it does nothing without TensorBoard.

    Args:
        folder: Folder of the event files.
        on: Whether to write at all.
    """
    if not on or find_spec("tensorboard") is None:
        yield lambda line: None
        return
    from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415  (an extra, and slow to import)

    def write(line: Mapping[str, float]) -> None:
        for key, value in line.items():
            if key not in ("step", "epoch"):
                group, _, rest = key.partition("_")
                writer.add_scalar(f"{group}/{rest}" if group == "val" else f"train/{key}", value, int(line["step"]))

    with SummaryWriter(str(folder)) as writer:
        yield write
