"""The Python API: what the commands do, as functions that return values and print nothing.

Every name is importable from ``slowfast_cli``; torch is imported when a name is used first. Errors are those of
`slowfast_cli.errors`: `UsageError`, `DataError`, `WeightsError`, all subclasses of `SlowFastError`.

Shapes: N samples, T frames in time, F mel bands, H height, W width.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from slowfast_cli.build.checks import refuse_probe
from slowfast_cli.build.corpus import dataset_entry, read_all_splits, shards_folder
from slowfast_cli.features.front_ends import make_front_end
from slowfast_cli.media import audio, video
from slowfast_cli.models import external
from slowfast_cli.recipe.load import load, read
from slowfast_cli.recipe.schema import Recipe
from slowfast_cli.settings import FrontEnd
from slowfast_cli.stages.evaluate.run import Evaluated
from slowfast_cli.stages.evaluate.run import evaluate as evaluate_weights
from slowfast_cli.stages.extract.progress import Summary
from slowfast_cli.stages.extract.run import extract as extract_corpora
from slowfast_cli.stages.train.default_run import DefaultRun, fitted
from slowfast_cli.stages.train.loop import Scored, Started
from slowfast_cli.stages.train.loop import train as train_recipe
from slowfast_cli.stages.train.run_folder import Run
from slowfast_cli.storage.remote import local_path
from slowfast_cli.types import DataError, Recording, Scores, Seconds, SlowFastError
from slowfast_cli.weights.file import run_weights
from slowfast_cli.weights.resolve import weight_file


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A finished training."""

    run: Path
    """The run folder."""
    weights: Path
    """The weights to use: the best on the validation split, or the last, as the recipe says."""
    scores: Scores | None
    """Scores of the last validation; None if the run was complete before."""


def read_audio(
    path: str | Path, rate: int = 16000, *, start: Seconds = 0.0, seconds: Seconds | None = None
) -> np.ndarray:
    """Read the audio of a sound or video file, mixed to mono and resampled.

    Args:
        path: Any file that libsndfile or FFmpeg decodes.
        rate: Sampling rate of the result, Hz.
        start: Start in seconds.
        seconds: Length; to the end by default.

    Returns:
        (N,) float32, full scale 1.

    Raises:
        DataError: The file cannot be read, or has no audio.
    """
    if start < 0 or (seconds is not None and seconds < 0):
        raise DataError(f"{path}: start={start}, seconds={seconds}: expected 0 or more")
    count = None if seconds is None else round(seconds * rate)
    return audio.read(_recording(path), rate=rate, first=round(start * rate), count=count)


def read_frames(
    path: str | Path, count: int, *, start: Seconds = 0.0, seconds: Seconds | None = None, short_side: int | None = None
) -> tuple[np.ndarray, tuple[Seconds, ...]]:
    """Read frames of a video at times spread evenly over a stretch, both ends included.

    Args:
        path: A video file, or a folder of images.
        count: Number of frames.
        start: Start in seconds.
        seconds: Length; to the end by default.
        short_side: Resize larger frames to this short side, pixels.

    Returns:
        (T, H, W, 3) uint8 RGB, and the presentation time of each frame in seconds.

    Raises:
        DataError: The file cannot be read, or has no video.
    """
    recording = _recording(path)
    span = video.probe(recording).seconds - start if seconds is None else seconds
    frames = video.read(recording, start=start, span=max(span, 0.0), count=count, short_side=short_side)
    return frames.pixels, frames.times


def log_mel(samples: np.ndarray, front_end: FrontEnd | Mapping[str, Any] | None = None) -> np.ndarray:
    """Compute log-mel spectrograms with the front end that training uses.

    Args:
        samples: (N,) or (clips, N) at the front end's rate, full scale 1.
        front_end: The settings, or a mapping of them such as ``card.front_end``; `FrontEnd()` by default.

    Returns:
        (T, F) or (clips, T, F) float32, with ``front_end.frames(N)`` frames of ``front_end.mels`` bands.

    Raises:
        DataError: The samples are integers, or have another number of dimensions.
    """
    samples = np.asarray(samples)
    if samples.ndim not in (1, 2) or samples.dtype.kind != "f":
        raise DataError(
            f"samples: {samples.dtype} of shape {samples.shape}: expected floats with full scale 1, of shape (N,) or "
            "(clips, N)"
        )
    settings = front_end if isinstance(front_end, FrontEnd) else FrontEnd(**(front_end or {}))
    transform = make_front_end(settings)
    batch = torch.from_numpy(np.atleast_2d(samples.astype(np.float32)))
    with torch.inference_mode():
        rows: np.ndarray = transform(batch)[:, 0].numpy()
    return rows if samples.ndim == 2 else rows[0]


def extract(
    dataset: str,
    *overrides: str,
    root: str | Path | None = None,
    jobs: int = 1,
    device: str = "cpu",
    fresh: bool = False,
) -> Summary:
    """Store the log-mels of a data set in HDF5 shards, or resume doing so, as ``slowfast extract``.

    Args:
        dataset: A data set's name, whose recipe gives the front end.
        overrides: Fields of the recipe, such as ``frontend.mels=64``.
        root: Folder of the data set.
        jobs: Worker processes; with several, a script must start them below ``if __name__ == "__main__":``.
        device: Where log-mels are computed.
        fresh: Remove existing shards and start over.

    Raises:
        SlowFastError: The data set is unknown, missing, or too much of it cannot be read.
    """
    where = [f"data.root={root}"] if root else []
    recipe = load_recipe(dataset_entry(dataset).info.recipe, f"data.corpus={dataset}", *overrides, *where)
    events = extract_corpora(
        read_all_splits(recipe)[0],
        shards_folder(recipe),
        front_end=recipe.frontend,
        jobs=jobs,
        device=device,
        fresh=fresh,
    )
    summary = [event for event in events if isinstance(event, Summary)]
    if not summary:
        raise SlowFastError(f"{dataset}: the extraction ended without a summary")
    return summary[-1]


def train(
    recipe: str | Path, *overrides: str, run: str | Path | None = None, fresh: bool = False, device: str = "auto"
) -> Trained:
    """Train a recipe, or resume its run, as ``slowfast train``.

    Args:
        recipe: A bundled recipe's name, or a YAML file.
        overrides: Fields to change, such as ``optim.lr=0.02``.
        run: The run folder; by default that of this recipe below ``runs/<recipe>``, or the next free name there.
        fresh: Move an existing run aside and start over.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        SlowFastError: A mistake in the recipe, the data, the weights or the run folder.
    """
    checked, name = load_recipe(recipe, *overrides), read(str(recipe)).name
    refuse_probe(name, checked)
    place = Run(local_path(run)) if run else DefaultRun(name, overrides)
    folder, scores = Path(), None
    for event in train_recipe(checked, place, name=name, fresh=fresh, device=device):
        scores = event.scores if isinstance(event, Scored) else scores
        folder = event.run if isinstance(event, Started) else folder
    return Trained(run=folder, weights=run_weights(folder), scores=scores)


def evaluate(recipe: str | Path, *overrides: str, weights: str | Path | None = None, device: str = "auto") -> Evaluated:
    """Score weights on the test split of a recipe, as ``slowfast evaluate``.

    Args:
        recipe: A bundled recipe's name, or a YAML file; for a run folder its ``recipe.yaml``, with the folder as
            ``weights``.
        overrides: Fields to change; ``data.test=val`` scores another split.
        weights: A weight file, a run folder or a catalog name; by default the run of the same recipe and overrides.
        device: As for `train`.

    Returns:
        ``scores.values`` by metric, ``published`` beside them, ``rows`` with the probabilities (segments, classes).

    Raises:
        SlowFastError: The corpus or the weights are missing, or do not go together.
    """
    checked = load_recipe(recipe, *overrides)
    if not weights:
        weights = DefaultRun(read(str(recipe)).name, overrides).require(checked)
        checked = fitted(weights, checked)
    return evaluate_weights(checked, weight_file(str(weights)), device=device)


def load_recipe(recipe: str | Path, *overrides: str) -> Recipe:
    """Read a bundled recipe or a YAML file, with fields changed; a Python module in ``overrides`` may be imported.

    Raises:
        UsageError: The recipe has mistakes, one line each.
    """
    for word in overrides:
        external.trust(word.partition("=")[2])
    return load(str(recipe), overrides)


def _recording(path: str | Path) -> Recording:
    return Recording(id=str(path), path=Path(path))
