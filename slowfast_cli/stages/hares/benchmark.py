"""HARES: a pretrained trunk scored by the tasks of a suite, each by a probe of its own (arXiv:2111.12124, Table 4)."""

from __future__ import annotations

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
from slowfast_cli.stages.hares.probe import probe, settled
from slowfast_cli.stages.train import loop
from slowfast_cli.storage.atomic import make_folder, write_text
from slowfast_cli.types import DataError, Settings, UsageError, WeightsError, did_you_mean
from slowfast_cli.weights.file import read_card, require_own
from slowfast_cli.weights.resolve import weight_file

RANDOM = "random:"
RESULT = "result.json"


@dataclass(frozen=True, kw_only=True)
class Trunk:
    """What is scored.

    Attributes:
        word: As it was named: a weight file, ``random:<network>``, ``package.module:callable``.
        model: Fields of a recipe's ``model``.
        front_end: Fields of its ``frontend`` that are the trunk's own; the rest is the suite's.
        made_by: What tells it from others.
    """

    word: str
    model: Mapping[str, Any]
    front_end: Settings
    made_by: Settings


@dataclass(frozen=True, kw_only=True)
class TaskStarted:
    """A task's turn has come; ``finished`` where its score is there already."""

    task: str
    finished: bool


@dataclass(frozen=True, kw_only=True)
class TaskScored:
    """A task has its score.

    Attributes:
        task: Its name.
        metric: What the score is.
        score: In percent.
        scores: Everything that was measured.
        found: Segments scored.
        listed: Segments in the official list.
    """

    task: str
    metric: str
    score: float
    scores: Mapping[str, float]
    found: int
    listed: int


@dataclass(frozen=True, kw_only=True)
class TaskMissing:
    """A task could not be done; ``absent``: because its data is not there at all."""

    task: str
    reason: str
    absent: bool


Event = TaskStarted | TaskScored | TaskMissing | loop.Event


def trunk(word: str, *, offline: bool = False) -> Trunk:
    """The trunk that a word stands for.

    Args:
        word: A weight file, a run folder or a catalogue name; ``random:<network>`` for an untrained one;
            ``package.module:callable`` for a module of the user's.
        offline: Do not use the network.

    Raises:
        UsageError: No such network, or one that does not listen.
        WeightsError: No such weights.
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
    require_own(path, card)
    if "features" in card.net.signals:
        raise WeightsError(f"{path}: is a probe, which knows features only: score the trunk that it was learned on")
    if "frames" in card.net.signals:
        raise UsageError(f"{path}: looks at frames; the tasks of the suite are sounds: take a network that listens")
    made = sha256(path.read_bytes()).hexdigest()
    model = {"variant": None, "init": str(path)}
    return Trunk(word=word, model=model, front_end=_whole(card.front_end), made_by={"trunk": made})


def _front_end(net: Baseline) -> Settings:
    """What a network asks of the front end: all of it, as recipes have the rest; or only what its size depends on."""
    asked = _whole(net.front_end) if net.front_end else {}
    asked |= {"rate": net.rate} if net.rate else {}
    return asked | ({"mels": net.bands} if net.bands else {})


def _whole(settings: Settings) -> Settings:
    """Every field of a front end, those that are not told as they are by default."""
    return {**asdict(FrontEnd()), **settings}


def suite_of(recipe: Recipe) -> Suite:
    """The suite of a recipe.

    Raises:
        UsageError: It has none.
    """
    if recipe.suite is None:
        raise UsageError("suite: the recipe has none: recipes/hares.yaml is the one that comes with slowfast")
    return recipe.suite


def chosen(suite: Suite, tasks: Sequence[str]) -> list[str]:
    """The tasks that are asked for; all of none.

    Raises:
        UsageError: There is no such task.
    """
    known = domains(suite)["hares"]
    for task in tasks:
        if task not in known:
            raise UsageError(f"--tasks {task}: no such task{did_you_mean(task, known)}; there are {', '.join(known)}")
    return [task for task in known if not tasks or task in tasks]


def about_tasks(word: str, known: Sequence[str]) -> bool:
    """Whether an override is about the tasks' recipes and not about the suite's own: of one task, or of all probes."""
    return word.lstrip("~").split(".")[0] in (*known, "probe")


def task_recipe(task: str, scored: Trunk, words: Sequence[str], known: Sequence[str]) -> Recipe:
    """The recipe of a task, about a trunk.

    Args:
        task: Its name: that of its recipe.
        scored: The trunk.
        words: Overrides: ``key=value`` for every task, ``task.key=value`` for one.
        known: Names of all tasks.

    Raises:
        UsageError: The recipe does not hold together.
    """
    own = [word.replace(f"{task}.", "", 1) for word in words if word.lstrip("~").split(".")[0] == task]
    common = [word for word in words if word.lstrip("~").split(".")[0] not in known]
    source: Source = override(read(f"hares/{task}"), [*common, *own])
    fields = {f"model.{name}": value for name, value in scored.model.items()}
    fields |= {f"frontend.{name}": value for name, value in scored.front_end.items()}
    taken = [word for word in (*common, *own) if word.lstrip("~").partition("=")[0] in fields]
    if taken:
        raise UsageError(f"{', '.join(taken)}: {scored.word} has its own: take it out")
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
    """Score a trunk on the tasks whose data is there; a task whose score is there is not done again, only told.

    Args:
        recipe: Has the suite.
        scored: The trunk.
        folder: Each task has a folder in it.
        tasks: Those to do; all by default.
        words: Overrides of the tasks' recipes.
        device: As for training.
        tick: Makes, for a task, what is told of its features.

    Raises:
        UsageError: A task or an override that there is not.
        SlowFastError: Anything that is not the fault of one task's data.
    """
    suite = suite_of(recipe)
    known = chosen(suite, ())
    recipes = {task: task_recipe(task, scored, words, known) for task in chosen(suite, tasks)}
    for each in recipes.values():
        architecture(each)  # what does not go together is found before the first task
    for task in known:
        if task in recipes:
            yield from _task(task, recipes[task], scored, folder / task, device, tick(task) if tick else None)
        elif done := _done(folder / task / RESULT, task_recipe(task, scored, words, known), scored):
            yield TaskStarted(task=task, finished=True)
            yield done


def _task(task: str, recipe: Recipe, scored: Trunk, folder: Path, device: str, tick: Tick | None) -> Generator[Event]:
    result, wanted = folder / RESULT, settled(recipe, scored.made_by)
    done = _done(result, recipe, scored)
    if not done and not corpus_root(recipe).exists():
        yield TaskMissing(task=task, reason=f"{corpus_root(recipe)} does not exist", absent=True)
        return
    yield TaskStarted(task=task, finished=done is not None)
    if done:
        yield done
        return
    try:
        found = yield from probe(recipe, make_folder(folder), made_by=scored.made_by, device=device, tick=tick)
    except DataError as error:
        yield TaskMissing(task=task, reason=str(error), absent=False)
        return
    metric = metric_name(recipe)
    finished = TaskScored(
        task=task,
        metric=metric,
        score=find_metric(metric).in_percent(found.scores.values[metric]),
        scores=found.scores.values,
        found=found.scores.found,
        listed=found.scores.listed,
    )
    if distributed.join().rank == 0:
        write_text(result, json.dumps({"recipe": wanted, **asdict(finished)}, indent=1))
    yield finished


def _done(result: Path, recipe: Recipe, scored: Trunk) -> TaskScored | None:
    """The score of an earlier run of the same; None where there is none.

    It holds for the folder that the data was in, and goes on holding where there is no data any more.
    """
    try:
        plain = json.loads(result.read_text(encoding="utf-8"))
        then, now = plain.pop("recipe"), json.loads(json.dumps(settled(recipe, scored.made_by)))
        if not corpus_root(recipe).exists():
            now["data"]["root"] = then["data"]["root"]
        return TaskScored(**plain) if then == now else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def averages(suite: Suite, scores: Mapping[str, float]) -> dict[str, float | None]:
    """The mean of each domain, and of all tasks as ``hares``; None where a task of it is missing."""
    return {
        domain: sum(scores[task] for task in names) / len(names) if all(task in scores for task in names) else None
        for domain, names in domains(suite).items()
    }


def domains(suite: Suite) -> dict[str, tuple[str, ...]]:
    """Tasks by domain, and all of them as ``hares``."""
    return {**suite.domains, "hares": tuple(task for names in suite.domains.values() for task in names)}
