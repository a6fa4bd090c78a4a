"""The folder of a run that the user did not name: found by its recipe, or the next free short name."""

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, TypeAlias

from slowfast_cli.build.corpus import dataset_entry
from slowfast_cli.engine import distributed
from slowfast_cli.recipe.load import check, read_stored, to_yaml
from slowfast_cli.recipe.schema import Recipe
from slowfast_cli.stages.train.run_folder import Run, differences, naming, safe_name
from slowfast_cli.storage.atomic import write_text
from slowfast_cli.storage.lock import file_lock
from slowfast_cli.storage.run_list import RUNS, changed_at, other_runs, run_folders
from slowfast_cli.types import Share, SlowFastError, WeightsError

REPLACED = re.compile(r"~\d+$")  # ends the name of a folder that --fresh moved aside
GIVEN = "given.yaml"  # the recipe as it was written, in the folder of a run that has fitted it to its data
LONGEST_NAME = 60  # characters of the name of the data


@dataclass(frozen=True)
class DefaultRun:
    """The run of a recipe below ``runs/<recipe>``.

    The same recipe, apart from fields that a resumed run may change, is always the same folder, whatever its name;
    if its data has changed so much that it is fitted to it otherwise (``adapt``), it is another run.
    A new one is called ``<data>-<number>`` where the classes are read from the data, ``default`` for another recipe
    without overrides, and ``<number>`` otherwise.
    """

    name: str  # of the recipe
    overrides: Sequence[str]

    @property
    def parent(self) -> Path:
        """The folder of the runs of the recipe."""
        return RUNS / self.name

    def find(self, recipe: Recipe) -> Path | None:
        """The folder that contains a run of the recipe, with the overrides applied; of several, the newest."""
        folders = [folder for folder in self.folders() if _changes(folder, recipe) == []]
        return max(folders, key=changed_at, default=None) if recipe.adapt else next(iter(folders), None)

    def folders(self) -> list[Path]:
        """The folders of the runs of the recipe, in the order of their numbers."""
        with suppress(OSError):  # there are none
            folders = [path for path in self.parent.iterdir() if not REPLACED.search(path.name)]
            return sorted(folders, key=lambda path: (len(path.name), path.name))
        return []

    def require(self, recipe: Recipe) -> Path:
        """Find the folder of the recipe.

        Raises:
            WeightsError: There is none; the message lists the runs that are there.
        """
        folder = self.find(recipe)
        if folder is None:
            changed = {path: changes for path in self.folders() if (changes := _changes(path, recipe))}
            near = min(changed, key=lambda path: len(changed[path]), default=None)
            diff = [f"{key}: {before} there, {now} now" for key, before, now in changed[near][:3]] if near else []
            nearest = f"; the nearest is {near} ({'; '.join(diff)})" if near else ""
            raise WeightsError(
                f"{self.parent}: no run of this recipe with these fields: train it first, or name other weights with "
                f"--weights{nearest}{other_runs('')}"
            )
        return folder

    def claim(self, recipe: Recipe, *, given: Recipe | None = None, fresh: bool) -> tuple[Run, bool]:
        """Find or create the folder; of several processes that start at once, each recipe gets its own.

        Args:
            recipe: The recipe, fitted to its data.
            given: The recipe as it was written, if that differs.
            fresh: Move an existing run aside and start over.

        Returns:
            The run, and whether there is a training state to resume from.

        Raises:
            SlowFastError: As `Run.open`.
        """
        try:
            self.parent.mkdir(parents=True, exist_ok=True)
            with file_lock(self.parent / ".lock", wait=True):
                same = (path for path in self.folders() if _changes(path, given or recipe) == _fits(path, recipe) == [])
                run = Run(next(same, None) or self._unused(recipe))
                return run, _open(run, recipe, given, fresh=fresh)
        except OSError as error:
            raise Run(self.parent).unwritable(error) from error

    def _unused(self, recipe: Recipe) -> Path:
        own = not dataset_entry(recipe.data.corpus).info.heads
        default = self.parent / "default"
        if not own and not naming(recipe, self.overrides) and _is_free(default):
            return default
        stem = f"{_data_name(recipe)}-" if own else ""
        return next(path for number in count(1) if _is_free(path := self.parent / f"{stem}{number}"))


Place: TypeAlias = Run | DefaultRun


def open_run(run: Place, recipe: Recipe, *, given: Recipe, fresh: bool, share: Share) -> tuple[Run, bool]:
    """Open the folder of a run in the first process, for all: the others may see its files later.

    Args:
        run: The run, or how to find it.
        recipe: The recipe, fitted to its data.
        given: The recipe as it was written.
        fresh: Move an existing run aside and start over.
        share: Rank and world size.

    Returns:
        The run, and whether there is a training state to resume from.

    Raises:
        SlowFastError: As `Run.open`.
    """
    opened: tuple[Run, bool] | None = None
    if share.rank == 0:
        if isinstance(run, DefaultRun):
            opened = run.claim(recipe, given=given, fresh=fresh)
        else:
            opened = run, _open(run, recipe, given, fresh=fresh)
    return distributed.gather([opened], share)[0]  # type: ignore[no-any-return]


def fitted(folder: Path, recipe: Recipe) -> Recipe:
    """The recipe as the run of a folder has fitted it to its data, with the locations and the split of the recipe."""
    if not (folder / GIVEN).is_file():
        return recipe
    stored = check(read_stored(folder / "recipe.yaml"))
    data = {name: getattr(recipe.data, name) for name in ("root", "shards", "workers", "test")}
    return stored.model_copy(update={"data": stored.data.model_copy(update=data)})


def _open(run: Run, recipe: Recipe, given: Recipe | None, *, fresh: bool) -> bool:
    resumes = run.open(recipe, fresh=fresh)
    if given is not None and differences(given, recipe):
        write_text(run.folder / GIVEN, to_yaml(given))
    return resumes


def _fits(folder: Path, recipe: Recipe) -> list[tuple[str, Any, Any]] | None:
    """The fields in which the run of a folder differs from a recipe that is fitted to its data."""
    return _changes(folder, recipe, ("recipe.yaml",))


def _changes(
    folder: Path, recipe: Recipe, names: tuple[str, ...] = (GIVEN, "recipe.yaml")
) -> list[tuple[str, Any, Any]] | None:
    """The fields in which the run of a folder differs from a recipe; None if it contains no run that can be read."""
    written = next((path for name in names if (path := folder / name).is_file()), None)
    if written is None:
        return None
    try:
        stored = check(read_stored(written))
    except SlowFastError:  # damaged, or of another version
        return None
    changes = differences(stored, recipe)
    known = bool(dataset_entry(recipe.data.corpus).info.heads)  # its root is a location only
    moved = not known and _root(stored) != _root(recipe)
    return changes + [("data.root", stored.data.root, recipe.data.root)] * moved


def _is_free(folder: Path) -> bool:
    """Whether a folder does not exist, or contains no run: `slowfast evaluate` of other weights writes there too."""
    return not folder.exists() or (folder.is_dir() and not run_folders(folder, depth=0))


def _root(recipe: Recipe) -> str:
    return os.path.abspath(recipe.data.root) if recipe.data.root else ""  # noqa: PTH100  (without symbolic links)


def _data_name(recipe: Recipe) -> str:
    root = recipe.data.root or Path(recipe.data.corpus)
    name = Path(os.path.abspath(root)).name  # noqa: PTH100
    stem = Path(name).stem if Path(name).suffix.lower() in (".csv", ".tsv") else name
    return safe_name(stem)[:LONGEST_NAME].lstrip(".") or recipe.data.corpus
