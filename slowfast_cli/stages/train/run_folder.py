"""The folder of a training run: its files, and how a run is resumed, replaced or protected.

``recipe.yaml`` (resolved), ``command.txt``, ``environment.json``, ``metrics.jsonl``, ``last.safetensors``,
``best.safetensors``, ``state.pt`` (to resume from), ``log.txt``;
``given.yaml``, the recipe as it was written, if it was fitted to the data.
"""

import csv
import json
import os
import platform
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from slowfast_cli import __version__
from slowfast_cli.build.corpus import dataset_entry
from slowfast_cli.build.task import metric_name
from slowfast_cli.media.audio_source import printable
from slowfast_cli.recipe.load import check, flat, read_stored, to_yaml
from slowfast_cli.recipe.schema import Recipe
from slowfast_cli.storage import remote
from slowfast_cli.storage.atomic import remove_temporaries, write_text
from slowfast_cli.storage.lock import file_lock
from slowfast_cli.storage.run_list import RUNS
from slowfast_cli.types import DataError, Failure, SlowFastError, UsageError, finite

AS_IN_NAMES: dict[str, Any] = {"encoding": "utf-8", "errors": "surrogateescape", "newline": ""}  # of csv files
LONGEST_NAME = 120  # characters in the name of a run folder

# Fields that a resumed run may change: locations and speed, not the trained model.
MAY_CHANGE = (
    "data.root", "data.shards", "data.workers", "data.test", "optim.compile", "schedule.checkpoint_steps",
    "optim.cuda_graphs", "optim.activation_checkpointing", "published", "measured", "tables", "suite",
    "events", "challenge",
)  # fmt: skip


@dataclass(frozen=True)
class Run:
    """A run folder."""

    folder: Path

    @property
    def state(self) -> Path:
        """The training state."""
        return self.folder / "state.pt"

    @property
    def last(self) -> Path:
        """The newest weights."""
        return self.folder / "last.safetensors"

    @property
    def best(self) -> Path:
        """The weights with the best score on the validation split."""
        return self.folder / "best.safetensors"

    @property
    def metrics(self) -> Path:
        """Steps and scores, one JSON object per line."""
        return self.folder / "metrics.jsonl"

    @property
    def broken(self) -> int:
        """Number of unreadable segments in the run."""
        return len(self._broken_rows())

    def open(self, recipe: Recipe, *, fresh: bool) -> bool:
        """Create the folder, or check that it contains a run of the recipe.

        Args:
            recipe: The recipe to train.
            fresh: Move an existing run aside and start over.

        Returns:
            Whether there is a training state to resume from.

        Raises:
            UsageError: The folder contains a run of another recipe.
            SlowFastError: Another process trains in the folder, or it cannot be written.
        """
        try:
            if remote.download(self.folder).exists():
                with self.locked():  # do not move or overwrite a run in progress
                    if fresh:
                        remote.move(self.folder, _unused(self.folder))
            self.require(recipe)
            self.folder.mkdir(parents=True, exist_ok=True)
            with self.locked():
                remove_temporaries(self.folder)
            write_text(self.folder / "recipe.yaml", to_yaml(recipe))
            write_text(self.folder / "environment.json", json.dumps(environment(), indent=1))
            with (self.folder / "command.txt").open("a", encoding="utf-8", errors="surrogateescape") as file:
                file.write(f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M:%SZ} {' '.join(sys.argv)}\n")
        except OSError as error:
            raise self.unwritable(error) from error
        return self.state.is_file()

    def require(self, recipe: Recipe) -> None:
        """Raise `UsageError` if the folder contains a run of another recipe."""
        written = self.folder / "recipe.yaml"
        if not written.is_file():
            if self.state.is_file():
                raise UsageError(
                    f"{self.folder}: contains a training state, but no recipe.yaml that names its recipe: choose a "
                    "folder with --run, or move it aside and start over with --fresh"
                )
            return
        changed = differences(check(read_stored(written)), recipe)
        if changed:
            diff = "; ".join(f"{key}: {before} there, {now} now" for key, before, now in changed[:5])
            more = f" and {len(changed) - 5} more" if len(changed) > 5 else ""
            raise UsageError(
                f"{written}: a run of another recipe ({diff}{more}): choose a folder with --run, "
                "or move that run aside and start over with --fresh"
            )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the folder against a second training.

        Raises:
            SlowFastError: Another training holds the lock, or the folder cannot be written.
        """
        with ExitStack() as stack:
            try:
                obtained = stack.enter_context(file_lock(self.folder / ".lock"))
            except OSError as error:
                raise self.unwritable(error) from error
            if not obtained:
                raise SlowFastError(f"{self.folder}: another slowfast is training here; wait for it, or choose --run")
            yield

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Lock the folder, and upload what changed at the end.

        Raises:
            SlowFastError: As `locked`.
            DataError: The upload failed.
        """
        with self.locked():
            try:
                yield
            except BaseException:
                with suppress(DataError):  # report the first error
                    remote.upload(self.folder)
                raise
            remote.upload(self.folder)

    def unwritable(self, error: OSError) -> SlowFastError:
        """The error for a folder that the file system refuses to write."""
        return SlowFastError(f"{self.folder}: cannot be written ({error.strerror or error}); choose another with --run")

    def append(self, line: Mapping[str, Any]) -> None:
        """Append a line to the metrics."""
        with self.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(finite(dict(line)), allow_nan=False) + "\n")

    def note_broken(self, failures: Iterable[Failure]) -> None:
        """Add unreadable recordings to ``broken.csv``, without duplicates."""
        for failure in failures:
            rows = self._broken_rows()
            if failure.id not in {row[0] for row in rows}:
                rows.append([failure.id, printable(failure.path), failure.reason])
                with (self.folder / "broken.csv").open("w", **AS_IN_NAMES) as file:
                    csv.writer(file, lineterminator="\n").writerows([["id", "path", "reason"], *rows])

    def _broken_rows(self) -> list[list[str]]:
        """Rows of ``broken.csv`` below its header, without empty ones."""
        path = self.folder / "broken.csv"
        if not path.is_file():
            return []
        try:
            with path.open(**AS_IN_NAMES) as file:
                return [row for row in csv.reader(file) if row][1:]
        except csv.Error as error:
            raise DataError(f"{path}: not a csv file ({error}): remove it") from error

    def cut_metrics(self, step: int, *, scored: bool) -> None:
        """Remove metrics logged after the training state that is resumed; of its step, keep scores if it has them."""
        if self.metrics.is_file():
            logged = lines(self.metrics)
            kept = [
                line for line in logged if line["step"] < step or (line["step"] == step and (scored or "loss" in line))
            ]
            write_text(self.metrics, "".join(json.dumps(line) + "\n" for line in kept))


def lines(path: Path, *, scores: bool = False) -> list[dict[str, Any]]:
    """Parse a metrics file; an incomplete last line, left by a killed process, is skipped.

    Args:
        path: The file.
        scores: Only the lines of validations, and the last ones.

    Raises:
        DataError: Another line is not one that `Run.append` writes.
    """
    values: list[dict[str, Any]] = []
    texts = path.read_bytes().split(b"\n")
    for number, text in enumerate(texts, 1):
        if scores and b'"val_' not in text and number < len(texts) - 2:
            continue
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            value = None
        if _is_record(value):
            values.append(value)
        elif number < len(texts):
            raise DataError(
                f"{path}: line {number}: {text[:40]!r}, expected a JSON object of numbers with a step: remove the "
                "line, or start over with --fresh"
            )
    return values


def _is_record(value: object) -> bool:
    return (
        isinstance(value, dict)
        and type(value.get("step")) is int
        and all(number is None or isinstance(number, int | float) for number in value.values())
    )


def environment() -> dict[str, Any]:
    """Versions and hardware of a run."""
    packages = ("torch", "torchaudio", "numpy", "h5py", "soundfile", "av", "librosa", "scikit-learn", "safetensors")
    return {
        "slowfast": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "threads": torch.get_num_threads(),
        "world": int(os.environ.get("WORLD_SIZE", "1")),
        "packages": {name: metadata.version(name) for name in packages},
    }


def folder_for(name: str, recipe: Recipe, overrides: Sequence[str]) -> Path:
    """A folder named by its overrides: ``runs/<recipe>/<overrides>``.

    Args:
        name: Name of the recipe.
        recipe: The recipe, with the overrides applied.
        overrides: Words of the form ``key=value``.
    """
    words = safe_name(",".join(sorted(naming(recipe, overrides))))
    if len(words) > LONGEST_NAME:  # the hash keeps shortened names distinct
        words = f"{words[: LONGEST_NAME - 9]}-{sha256(words.encode()).hexdigest()[:8]}"
    return RUNS / name / (words or "default")


def naming(recipe: Recipe, overrides: Sequence[str]) -> list[str]:
    """The overrides that make another run; not those of fields in ``MAY_CHANGE``."""
    # The root of a known corpus is a location; where the classes are read from the data, it defines the training data.
    known = bool(dataset_entry(recipe.data.corpus).info.heads)
    ignored = {field for field in MAY_CHANGE if known or field != "data.root"}
    return [word for word in overrides if word.lstrip("~").partition("=")[0] not in ignored]


def safe_name(text: str) -> str:
    """Replace the characters of a text that the name of a folder should not have."""
    return "".join(c if c.isalnum() or c in "=.,~-" else "_" for c in text)


def differences(before: Recipe, now: Recipe, may_change: tuple[str, ...] = MAY_CHANGE) -> list[tuple[str, Any, Any]]:
    """The fields in which two recipes differ, with both values, without those that a resumed run may change."""
    one, other = ({**dict(flat(side.model_dump(mode="json"))), "metric": metric_name(side)} for side in (before, now))
    return [
        (key, one.get(key), other.get(key))
        for key in sorted(one.keys() | other.keys())
        if one.get(key) != other.get(key) and not key.startswith(may_change)
    ]


def _unused(folder: Path) -> Path:
    number = 1
    while remote.exists(path := folder.with_name(f"{folder.name}~{number}")):
        number += 1
    return path
