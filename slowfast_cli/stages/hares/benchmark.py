"""HARES: score a pretrained trunk on the tasks of a suite, with one probe per task (arXiv:2111.12124, Table 4)."""

import json
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from slowfast_cli.build.corpus import corpus_root
from slowfast_cli.build.network import NETWORKS, architecture, external_architecture
from slowfast_cli.build.task import metric_name
from slowfast_cli.engine import distributed
from slowfast_cli.metrics.registry import find_metric
from slowfast_cli.models import external
from slowfast_cli.models.architecture import Baseline
from slowfast_cli.recipe.load import Source, changed, check, override, read
from slowfast_cli.recipe.schema import Recipe, Suite
from slowfast_cli.settings import FrontEnd
from slowfast_cli.stages.hares.features import Tick
from slowfast_cli.stages.hares.probe import probe, score_settings
from slowfast_cli.stages.train import loop
from slowfast_cli.storage.atomic import make_folder, write_text
from slowfast_cli.types import DataError, Settings, UsageError, WeightsError, did_you_mean
from slowfast_cli.weights.file import read_card
from slowfast_cli.weights.resolve import weight_file

RANDOM = "random:"
RESULT = "result.json"


@dataclass(frozen=True, kw_only=True)
class Trunk:
    """A pretrained network to score."""

    word: str  # as given: a weight file, ``random:<network>``, ``package.module:callable``
    model: Mapping[str, Any]  # fields of a recipe's ``model``
    front_end: Settings  # fields of a recipe's ``frontend`` that the trunk fixes; the others are the suite's
    made_by: Settings  # identifies the trunk


@dataclass(frozen=True, kw_only=True)
class TaskStarted:
    """Scoring of a task starts."""

    task: str
    finished: bool  # an earlier run has scored it


@dataclass(frozen=True, kw_only=True)
class TaskScored:
    """Score of a task."""

    task: str
    metric: str  # of `score`
    score: float  # in percent
    scores: Mapping[str, float]  # all metrics
    found: int  # scored segments
    listed: int  # segments in the official list


@dataclass(frozen=True, kw_only=True)
class TaskMissing:
    """A task that could not be scored."""

    task: str
    reason: str
    data_absent: bool  # the folder of its data does not exist


Event = TaskStarted | TaskScored | TaskMissing | loop.Event


def trunk(word: str, *, offline: bool = False) -> Trunk:
    """Find the trunk that a command-line argument names.

    Args:
        word: A weight file, a run folder or a catalog name; ``random:<network>`` for random weights;
            ``package.module:callable`` for a user-defined module.
        offline: Do not use the network.

    Raises:
        UsageError: The network does not exist, or reads frames.
        WeightsError: The weights do not exist, or belong to a probe.
    """
    if word.startswith(RANDOM):
        name = word.removeprefix(RANDOM)
        if name not in NETWORKS:
            raise UsageError(f"{word}: no such network{did_you_mean(name, list(NETWORKS))}")
        net = NETWORKS[name]
        front_end = _front_end(net) if isinstance(net, Baseline) else {}
        return Trunk(word=word, model={"variant": name, "init": None}, front_end=front_end, made_by={"trunk": word})
    if ":" in word and not Path(word).exists():
        front_end = _front_end(external_architecture(word))
        made_by: Settings = {"trunk": word, "weights": external.fingerprint(word)}
        return Trunk(word=word, model={"variant": word, "init": None}, front_end=front_end, made_by=made_by)
    path = weight_file(word, offline=offline)
    card = read_card(path)
    if "features" in card.net.signals:
        raise WeightsError(f"{path}: is a probe, which reads features only: score the trunk that it was trained on")
    if "frames" in card.net.signals:
        raise UsageError(f"{path}: reads frames, but the tasks of the suite are audio: use a network that reads audio")
    made_by = {"trunk": sha256(path.read_bytes()).hexdigest()}
    model = {"variant": None, "init": str(path)}
    return Trunk(word=word, model=model, front_end=_all_fields(card.front_end), made_by=made_by)


def _front_end(net: Baseline) -> Settings:
    """Front-end fields that a network fixes: all of them, or only those that its size depends on."""
    fields = _all_fields(net.front_end) if net.front_end else {}
    fields |= {"rate": net.rate} if net.rate else {}
    return fields | ({"mels": net.bands} if net.bands else {})


def _all_fields(settings: Settings) -> Settings:
    """Complete front-end settings with the defaults."""
    return {**asdict(FrontEnd()), **settings}


def suite_of(recipe: Recipe) -> Suite:
    """The suite of a recipe.

    Raises:
        UsageError: The recipe has no suite.
    """
    if recipe.suite is None:
        raise UsageError("suite: the recipe has none: use the bundled recipes/hares.yaml")
    return recipe.suite


def chosen(suite: Suite, tasks: Sequence[str]) -> list[str]:
    """Select tasks of a suite; an empty list selects all.

    Raises:
        UsageError: A task is not in the suite.
    """
    known = domains(suite)["hares"]
    for task in tasks:
        if task not in known:
            hint = did_you_mean(task, known)
            raise UsageError(f"--tasks {task}: no such task{hint}; expected one of {', '.join(known)}")
    return [task for task in known if not tasks or task in tasks]


def about_tasks(word: str, known: Sequence[str]) -> bool:
    """Whether an override changes recipes of tasks (of one task, or of all probes), not the suite's own recipe."""
    return word.lstrip("~").split(".")[0] in (*known, "probe")


def task_recipe(task: str, scored: Trunk, words: Sequence[str], known: Sequence[str]) -> Recipe:
    """The recipe of a task, with model and front end of a trunk.

    Args:
        task: Its name, which is that of its recipe.
        scored: The trunk.
        words: Overrides: ``key=value`` for all tasks, ``task.key=value`` for one.
        known: Names of all tasks.

    Raises:
        UsageError: The recipe is inconsistent, or an override changes a field that the trunk fixes.
    """
    own = [word.replace(f"{task}.", "", 1) for word in words if word.lstrip("~").split(".")[0] == task]
    common = [word for word in words if word.lstrip("~").split(".")[0] not in known]
    source: Source = override(read(f"hares/{task}"), [*common, *own])
    fields = {f"model.{name}": value for name, value in scored.model.items()}
    fields |= {f"frontend.{name}": value for name, value in scored.front_end.items()}
    fixed = [word for word in (*common, *own) if word.lstrip("~").partition("=")[0] in fields]
    if fixed:
        raise UsageError(f"{', '.join(fixed)}: fixed by {scored.word}: remove the override")
    return check(changed(source, fields))


def evaluate(
    recipe: Recipe,
    scored: Trunk,
    folder: Path,
    *,
    tasks: Sequence[str] = (),
    words: Sequence[str] = (),
    device: str = "auto",
    tick: Callable[[str], Tick] | None = None,
) -> Generator[Event]:
    """Score a trunk on the tasks whose data is available; scores of earlier runs are reported again.

    Args:
        recipe: Defines the suite.
        scored: The trunk.
        folder: Of the results, with one folder per task.
        tasks: Tasks to score; all by default.
        words: Overrides of the tasks' recipes.
        device: As for training.
        tick: Returns the progress callback for the features of a task.

    Raises:
        UsageError: A task or an override is unknown.
        SlowFastError: An error other than unusable data of one task.
    """
    suite = suite_of(recipe)
    known = chosen(suite, ())
    recipes = {task: task_recipe(task, scored, words, known) for task in chosen(suite, tasks)}
    for task_settings in recipes.values():
        architecture(task_settings)  # finds inconsistent recipes before the first task runs
    for task in known:
        if task in recipes:
            yield from _score(task, recipes[task], scored, folder / task, device, tick(task) if tick else None)
        elif done := _stored_score(folder / task / RESULT, task_recipe(task, scored, words, known), scored):
            yield TaskStarted(task=task, finished=True)
            yield done


def _score(task: str, recipe: Recipe, scored: Trunk, folder: Path, device: str, tick: Tick | None) -> Generator[Event]:
    result = folder / RESULT
    done = _stored_score(result, recipe, scored)
    if not done and not corpus_root(recipe).exists():
        yield TaskMissing(task=task, reason=f"{corpus_root(recipe)} does not exist", data_absent=True)
        return
    yield TaskStarted(task=task, finished=done is not None)
    if done:
        yield done
        return
    try:
        scores = yield from probe(recipe, make_folder(folder), made_by=scored.made_by, device=device, tick=tick)
    except DataError as error:
        yield TaskMissing(task=task, reason=str(error), data_absent=False)
        return
    metric = metric_name(recipe)
    finished = TaskScored(
        task=task,
        metric=metric,
        score=find_metric(metric).in_percent(scores.values[metric]),
        scores=scores.values,
        found=scores.found,
        listed=scores.listed,
    )
    if distributed.join().rank == 0:
        write_text(result, json.dumps({"recipe": score_settings(recipe, scored.made_by), **asdict(finished)}, indent=1))
    yield finished


def _stored_score(result: Path, recipe: Recipe, scored: Trunk) -> TaskScored | None:
    """The score of an earlier run with equal settings, or None; it stays valid if the data has been removed."""
    try:
        plain = json.loads(result.read_text(encoding="utf-8"))
        then, now = plain.pop("recipe"), json.loads(json.dumps(score_settings(recipe, scored.made_by)))
        if not corpus_root(recipe).exists():
            now["data"]["root"] = then["data"]["root"]
        return TaskScored(**plain) if then == now else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def averages(suite: Suite, scores: Mapping[str, float]) -> dict[str, float | None]:
    """Mean score of each domain, and of all tasks as ``hares``; None if one of its tasks is missing."""
    return {
        domain: sum(scores[task] for task in names) / len(names) if all(task in scores for task in names) else None
        for domain, names in domains(suite).items()
    }


def domains(suite: Suite) -> dict[str, tuple[str, ...]]:
    """Tasks by domain, and all of them as ``hares``."""
    return {**suite.domains, "hares": tuple(task for names in suite.domains.values() for task in names)}
