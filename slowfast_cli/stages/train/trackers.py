"""Experiment trackers of a training: TensorBoard, Weights & Biases, MLflow; each from the ``track`` extra."""

import json
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from slowfast_cli.recipe.load import flat
from slowfast_cli.recipe.schema import Recipe
from slowfast_cli.storage.atomic import write_text
from slowfast_cli.types import UsageError, text_of

IDS = "trackers.json"  # in the run folder: ids of the run at the trackers, so that a resumed run continues there
PROJECT = "slowfast"
LONGEST = 500  # characters of a parameter that MLflow stores
NOT_SCALARS = ("step", "epoch")


@dataclass(frozen=True, kw_only=True)
class TrackedRun:
    """What a tracker has to know about a run."""

    folder: Path
    name: str
    config: Mapping[str, Any]
    """Fields of the recipe by dotted name."""
    id: str
    """The same when the run is resumed."""


class Tracker(Protocol):
    """Receives scalars and files of one run."""

    def log(self, scalars: Mapping[str, float], step: int) -> None:
        """Log the values of a step, by names such as ``train/loss`` and ``val/top1``."""

    def add_file(self, path: Path) -> None:
        """Log a picture or a page at the end of the run."""

    def close(self, *, finished: bool) -> None:
        """End the run: it is finished, or was interrupted or failed."""


class TensorBoard:
    """Event files in ``<run>/tensorboard``."""

    def __init__(self, run: TrackedRun) -> None:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415  (an extra, and slow to import)

        self._writer = SummaryWriter(str(run.folder / "tensorboard"))
        self._writer.add_text("recipe", "```yaml\n" + "\n".join(f"{k}: {v}" for k, v in run.config.items()) + "\n```")
        self._step = 0

    def log(self, scalars: Mapping[str, float], step: int) -> None:
        """See `Tracker`."""
        self._step = step
        for name, value in scalars.items():
            self._writer.add_scalar(name, value, step)

    def add_file(self, path: Path) -> None:
        """Add a picture; TensorBoard shows no pages."""
        if path.suffix == ".png":
            import numpy as np  # noqa: PLC0415
            from PIL import Image  # noqa: PLC0415

            with Image.open(path) as image:
                self._writer.add_image(path.stem, np.asarray(image.convert("RGB")), self._step, dataformats="HWC")

    def close(self, *, finished: bool) -> None:
        """See `Tracker`."""
        self._writer.close()


class WeightsAndBiases:
    """A run of W&B; ``WANDB_MODE=offline`` stores it in ``<run>/wandb`` without a network."""

    def __init__(self, run: TrackedRun) -> None:
        import wandb  # noqa: PLC0415  (an extra)

        self._wandb = wandb
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT), name=run.name, id=run.id, resume="allow",
            dir=str(run.folder), config=dict(run.config), settings=wandb.Settings(silent=True),
        )  # fmt: skip

    def log(self, scalars: Mapping[str, float], step: int) -> None:
        """See `Tracker`."""
        self._run.log({**scalars, "step": step})

    def add_file(self, path: Path) -> None:
        """See `Tracker`."""
        if path.suffix == ".png":
            self._run.log({path.stem: self._wandb.Image(str(path))})
        else:
            self._run.log({path.stem: self._wandb.Html(str(path), inject=False)})

    def close(self, *, finished: bool) -> None:
        """See `Tracker`."""
        self._run.finish(exit_code=0 if finished else 1)


class MLflow:
    """A run of MLflow, in the store of ``MLFLOW_TRACKING_URI`` or else in ``mlflow.db`` in the current folder."""

    def __init__(self, run: TrackedRun) -> None:
        import mlflow  # noqa: PLC0415  (an extra)

        self._client = mlflow.MlflowClient()
        experiment = self._client.get_experiment_by_name(PROJECT)
        experiment_id = experiment.experiment_id if experiment else self._client.create_experiment(PROJECT)
        found = self._client.search_runs([experiment_id], f"tags.slowfast_id = '{run.id}'", max_results=1)
        if found:
            self._id = found[0].info.run_id
            self._client.set_terminated(self._id, "RUNNING")
        else:
            tags = {"slowfast_id": run.id, "folder": str(run.folder)}
            self._id = self._client.create_run(experiment_id, run_name=run.name, tags=tags).info.run_id
            for name, value in run.config.items():
                self._client.log_param(self._id, name, str(value)[:LONGEST])

    def log(self, scalars: Mapping[str, float], step: int) -> None:
        """See `Tracker`."""
        for name, value in scalars.items():
            self._client.log_metric(self._id, name, value, step=step)

    def add_file(self, path: Path) -> None:
        """See `Tracker`."""
        self._client.log_artifact(self._id, str(path))

    def close(self, *, finished: bool) -> None:
        """See `Tracker`."""
        self._client.set_terminated(self._id, "FINISHED" if finished else "KILLED")


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A tracker that can be chosen."""

    start: Callable[[TrackedRun], Tracker]
    package: str


TRACKERS: Mapping[str, Kind] = {
    "tensorboard": Kind(start=TensorBoard, package="tensorboard"),
    "wandb": Kind(start=WeightsAndBiases, package="wandb"),
    "mlflow": Kind(start=MLflow, package="mlflow"),
}


def installed() -> tuple[str, ...]:
    """The trackers of a run that names none: TensorBoard, if it is installed."""
    return ("tensorboard",) if find_spec("tensorboard") else ()


def require(names: Sequence[str]) -> None:
    """Raise `UsageError` for a tracker that is unknown or not installed."""
    for name in names:
        if name not in TRACKERS:
            raise UsageError(f"--track {name}: expected some of {', '.join(TRACKERS)}, separated by commas, or none")
        if find_spec(TRACKERS[name].package) is None:
            raise UsageError(f"--track {name}: needs {TRACKERS[name].package}: pip install 'slowfast-cli[track]'")


@contextmanager
def tracking(names: Sequence[str], folder: Path, recipe: Recipe) -> Iterator[Callable[[Mapping[str, float]], None]]:
    """Yield a function that logs a line of ``metrics.jsonl``; log pictures and report of the folder at the end.

    Args:
        names: Trackers, see `TRACKERS`.
        folder: The run folder.
        recipe: Its recipe.
    """
    if not names:
        yield lambda line: None
        return
    config = dict(flat(recipe.model_dump(mode="json")))
    run = TrackedRun(folder=folder, name=f"{folder.parent.name}/{folder.name}", config=config, id=_run_id(folder))
    trackers = dict[str, Tracker]()
    for name in names:
        _try(trackers, name, lambda name=name: trackers.update({name: TRACKERS[name].start(run)}))  # type: ignore[misc]

    def write(line: Mapping[str, float]) -> None:
        values = {key: value for key, value in line.items() if key not in NOT_SCALARS and value is not None}
        scalars = {_scalar_name(key): value for key, value in values.items()}
        for name, tracker in list(trackers.items()):
            _try(trackers, name, partial(tracker.log, scalars, int(line["step"])))

    finished = False
    try:
        yield write
        finished = True
        for path in (path for path in (folder / "curves.png", folder / "report.html") if path.is_file()):
            for name, tracker in list(trackers.items()):
                _try(trackers, name, partial(tracker.add_file, path))
    finally:
        for name, tracker in list(trackers.items()):
            _try(trackers, name, partial(tracker.close, finished=finished))


def _try(trackers: dict[str, Tracker], name: str, act: Callable[[], None]) -> None:
    """Run a call of a tracker; one that fails is left out from then on, with a warning: training continues."""
    try:
        act()
    except Exception as error:
        trackers.pop(name, None)
        warnings.warn(f"--track {name}: {text_of(error)}; the run continues without it", stacklevel=2)


def _scalar_name(key: str) -> str:
    """Group names as trackers do.

    >>> _scalar_name("val_top1"), _scalar_name("loss")
    ('val/top1', 'train/loss')
    """
    return f"val/{key.removeprefix('val_')}" if key.startswith("val_") else f"train/{key}"


def _run_id(folder: Path) -> str:
    path = folder / IDS
    with suppress(OSError, ValueError, KeyError, TypeError):
        return str(json.loads(path.read_text(encoding="utf-8"))["id"])
    new = uuid4().hex[:16]
    write_text(path, json.dumps({"id": new}))
    return new
