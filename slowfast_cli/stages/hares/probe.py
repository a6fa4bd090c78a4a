"""Classifiers on frozen features: how one task says what a pretrained trunk is worth (HARES Sec. 2.1 and App. A)."""

from __future__ import annotations

import json
import warnings
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.utils.parallel import Parallel, delayed

from slowfast_cli.build.clips import usable
from slowfast_cli.build.corpus import SplitRole, corpus_root, read_corpus
from slowfast_cli.build.init_weights import start_from
from slowfast_cli.build.network import build_recognizer
from slowfast_cli.data.stored_features import StoredFeatures
from slowfast_cli.engine import distributed
from slowfast_cli.models.recognizer import Recognizer
from slowfast_cli.recipe.schema import Probe, Recipe
from slowfast_cli.settings import Augment
from slowfast_cli.stages.evaluate.run import evaluate
from slowfast_cli.stages.hares.features import Tick, embed
from slowfast_cli.stages.train import loop
from slowfast_cli.stages.train.run_folder import Run
from slowfast_cli.types import Scores, Settings, UsageError

SPLITS: tuple[SplitRole, ...] = ("train", "test")


@dataclass(frozen=True, kw_only=True)
class Probed:
    """What a probe found.

    Attributes:
        scores: On the test split; the mean of the folds where there are some.
    """

    scores: Scores


def probe(
    recipe: Recipe, folder: Path, *, made_by: Settings, device: str = "auto", tick: Tick | None = None
) -> Generator[loop.Event, None, Probed]:
    """Learn a task on the frozen features of a trunk, and score it.

    Args:
        recipe: Of the task; ``model`` and ``frontend`` are the trunk's.
        folder: Features, the run and its weights go there; what is there is gone on with.
        made_by: What tells this trunk from others.
        device: As for training.
        tick: Told how many features are computed.

    Raises:
        SlowFastError: Anything the user can mend.
    """
    settings = _settings(recipe)
    if settings.kind == "svm":
        return _by_svm(recipe, settings, folder, made_by, device, tick)
    run = Run(folder / f"run-{_digest(settled(recipe, made_by))}")  # of other weights or settings: another run
    if settings.features == "cached":
        trunk = frozen(recipe).trunk
        for part in SPLITS:
            embed(
                recipe, trunk, part, folder / "features" / recipe.split(part), made_by=made_by, device=device, tick=tick
            )
        recipe = on_features(recipe, folder / "features")
    yield from loop.train(recipe, run, name=folder.name, device=device)
    found = evaluate(recipe, run.last, device=device)
    if found.scores is None:
        raise UsageError(f"{recipe.data.corpus} {recipe.split('test')}: no labels to score against")
    return Probed(scores=found.scores)


def _settings(recipe: Recipe) -> Probe:
    if recipe.probe is None:
        raise UsageError(
            "probe: the recipe has no such section: it says how classifiers are learned on frozen features"
        )
    return recipe.probe


def frozen(recipe: Recipe) -> Recognizer:
    """The recipe's network with the weights it starts from, to be read only."""
    torch.manual_seed(recipe.seed)
    model = build_recognizer(recipe, {})
    if recipe.model.init:
        start_from(model, recipe.model.init, {})
    return model.eval()


def settled(recipe: Recipe, made_by: Settings) -> dict[str, Any]:
    """What a score depends on; how its data is read does not matter.

    Args:
        recipe: Of the task.
        made_by: What tells its trunk from others.
    """
    plain = recipe.model_dump(mode="json", exclude={"published", "measured", "tables", "suite"})
    for name in ("compile", "cuda_graphs", "activation_checkpointing"):
        plain["optim"].pop(name)
    for name in ("shards", "workers"):
        plain["data"].pop(name)
    plain["schedule"].pop("checkpoint_steps")
    plain["data"]["root"] = str(corpus_root(recipe).absolute())
    return {**plain, "model": {**plain["model"], "init": None}, **made_by}


def _digest(plain: Mapping[str, Any]) -> str:
    return sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:8]


def on_features(recipe: Recipe, folder: Path) -> Recipe:
    """The same task on stored features: nothing is left to augment."""
    data = recipe.data.model_copy(update={"source": "features", "shards": folder})
    return recipe.model_copy(update={"data": data, "augment": Augment()})


def _by_svm(recipe: Recipe, settings: Probe, folder: Path, made_by: Settings, device: str, tick: Tick | None) -> Probed:
    """A linear support vector machine, its C chosen on the first fold (HARES App. A); the mean over the folds.

    Features are brought to mean 0 and deviation 1 first, by those that are learned from.
    """
    folds = [_at(recipe, fold=fold) for fold in settings.folds]
    whole = _at(recipe, train="all", test="all") if folds else recipe
    trunk = frozen(recipe).trunk
    held = {
        part: _held(
            whole,
            part,
            embed(whole, trunk, part, folder / "features" / part, made_by=made_by, device=device, tick=tick),
        )
        for part in SPLITS
    }
    share = distributed.join()
    found = _accuracies(recipe, settings, folds or [recipe], held) if share.rank == 0 else []
    (chosen, scores), *_ = distributed.gather(found, share)
    tested = read_corpus(whole, "test")
    values = {"top1": float(np.mean(scores)), "c": chosen}
    values |= {f"fold{fold}_top1": value for fold, value in zip(settings.folds, scores, strict=False)}
    return Probed(scores=Scores(values=values, found=len(held["test"][1]), listed=tested.listed))


def _accuracies(
    recipe: Recipe, settings: Probe, folds: Sequence[Recipe], held: Mapping[SplitRole, tuple[np.ndarray, list[str]]]
) -> list[tuple[float, list[float]]]:
    """The C that does best on the first fold, and the accuracies of all with it; as many fits at once as cores."""
    rows = [{part: _rows(fold, part, *held[part]) for part in SPLITS} for fold in folds]
    run = Parallel(n_jobs=-1, prefer="threads")  # liblinear lets other threads run
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of the largest C: its score then is what it is
        first = run(delayed(_accuracy)(cost, rows[0]["train"], rows[0]["test"], recipe.seed) for cost in settings.costs)
        best = int(np.argmax(first))
        chosen = settings.costs[best]
        rest = run(delayed(_accuracy)(chosen, each["train"], each["test"], recipe.seed) for each in rows[1:])
    return [(chosen, [first[best], *rest])]


def _at(recipe: Recipe, **data: Any) -> Recipe:
    return recipe.model_copy(update={"data": recipe.data.model_copy(update=data)})


def _held(recipe: Recipe, part: SplitRole, stored: StoredFeatures) -> tuple[np.ndarray, list[str]]:
    """Features (crops, S, D), and the ids of the segments."""
    found = usable(recipe, read_corpus(recipe, part), None)
    kept = np.flatnonzero(stored.kept(found.segments))
    rows = stored.array("rows")
    rows_NSD = rows[:, kept] if rows.ndim == 3 else rows[None, stored.array("first")[kept]]
    return rows_NSD.astype(np.float32), [found.segments[place].id for place in kept.tolist()]


def _rows(recipe: Recipe, part: SplitRole, rows_NSD: np.ndarray, ids: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Those of a fold: features (M, D) and classes (M,), a row a clip."""
    found = read_corpus(recipe, part)
    (labels,) = found.classes
    classes = {segment.id: segment.targets[labels] for segment in found.segments}
    places = [place for place, id_ in enumerate(ids) if id_ in classes]
    targets_S = np.array([classes[ids[place]] for place in places])
    return rows_NSD[:, places].reshape(-1, rows_NSD.shape[2]), np.tile(targets_S, len(rows_NSD))


def _accuracy(
    cost: float, train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray], seed: int
) -> float:
    """Percent of the test clips that are right."""
    machine = make_pipeline(StandardScaler(), LinearSVC(C=cost, dual="auto", random_state=seed))
    machine.fit(*train)
    return 100 * float(machine.score(*test))
