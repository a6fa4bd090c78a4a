"""Probes of a pretrained trunk: a classifier trained on its frozen features (HARES Sec. 2.1 and App. A)."""

import json
import warnings
from collections.abc import Generator, Mapping, Sequence
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


def probe(
    recipe: Recipe, folder: Path, *, made_by: Settings, device: str = "auto", tick: Tick | None = None
) -> Generator[loop.Event, None, Scores]:
    """Train and score the probe of a task; an interrupted probe is resumed.

    Args:
        recipe: Of the task; ``model`` and ``frontend`` are the trunk's.
        folder: Of features, run and weights.
        made_by: Identifies the trunk.
        device: As for training.
        tick: Called with the number of features computed.

    Returns:
        Scores on the test split; the mean over the folds if there are folds.

    Raises:
        SlowFastError: The recipe, its data or its trunk cannot be used.
    """
    settings = recipe.probe
    if settings is None:
        raise UsageError("probe: the recipe has no such section, which configures classifiers on frozen features")
    if settings.kind == "svm":
        return _svm(recipe, settings, folder, made_by, device, tick)
    settings_json = json.dumps(score_settings(recipe, made_by), sort_keys=True)
    run = Run(folder / f"run-{sha256(settings_json.encode()).hexdigest()[:8]}")  # one run per trunk and settings
    if settings.features == "cached":
        trunk = frozen_model(recipe).trunk
        for part in SPLITS:
            out = folder / "features" / recipe.split(part)
            embed(recipe, trunk, part, out, made_by=made_by, device=device, tick=tick)
        recipe = on_features(recipe, folder / "features")
    yield from loop.train(recipe, run, name=folder.name, device=device)
    scores = evaluate(recipe, run.last, device=device).scores
    if scores is None:
        raise UsageError(f"{recipe.data.corpus} {recipe.split('test')}: no labels to score against")
    return scores


def frozen_model(recipe: Recipe) -> Recognizer:
    """The recipe's network with its initial weights, in evaluation mode."""
    torch.manual_seed(recipe.seed)
    model = build_recognizer(recipe, {})
    if recipe.model.init:
        start_from(model, recipe.model.init, {})
    return model.eval()


def score_settings(recipe: Recipe, made_by: Settings) -> dict[str, Any]:
    """All settings that a score depends on; without those that only affect speed.

    Args:
        recipe: Of the task.
        made_by: Identifies the trunk.
    """
    plain = recipe.model_dump(mode="json", exclude={"published", "measured", "tables", "suite"})
    for name in ("compile", "cuda_graphs", "activation_checkpointing"):
        plain["optim"].pop(name)
    for name in ("shards", "workers"):
        plain["data"].pop(name)
    plain["schedule"].pop("checkpoint_steps")
    plain["data"]["root"] = str(corpus_root(recipe).absolute())
    return {**plain, "model": {**plain["model"], "init": None}, **made_by}


def on_features(recipe: Recipe, folder: Path) -> Recipe:
    """The recipe with stored features as its data, without augmentation."""
    return _with_data(recipe, source="features", shards=folder).model_copy(update={"augment": Augment()})


def _svm(recipe: Recipe, settings: Probe, folder: Path, made_by: Settings, device: str, tick: Tick | None) -> Scores:
    """Score a linear SVM as the mean over the folds, with the C that is best on the first fold (HARES App. A).

    Features are standardized with mean and deviation of the training clips.
    """
    folds = [_with_data(recipe, fold=fold) for fold in settings.folds]
    whole = _with_data(recipe, train="all", test="all") if folds else recipe
    trunk = frozen_model(recipe).trunk
    data = {}
    for part in SPLITS:
        stored = embed(whole, trunk, part, folder / "features" / part, made_by=made_by, device=device, tick=tick)
        data[part] = _load(whole, part, stored)
    share = distributed.join()
    own = _accuracies(recipe, settings, folds or [recipe], data) if share.rank == 0 else []
    (cost, accuracies), *_ = distributed.gather(own, share)
    values = {"top1": float(np.mean(accuracies)), "c": cost}
    values |= {f"fold{fold}_top1": value for fold, value in zip(settings.folds, accuracies, strict=False)}
    return Scores(values=values, found=len(data["test"][1]), listed=read_corpus(whole, "test").listed)


def _accuracies(
    recipe: Recipe, settings: Probe, folds: Sequence[Recipe], data: Mapping[SplitRole, tuple[np.ndarray, list[str]]]
) -> list[tuple[float, list[float]]]:
    """The C that is best on the first fold, and the accuracies of all folds with it; fits run in parallel."""
    rows = [{part: _rows(fold, part, *data[part]) for part in SPLITS} for fold in folds]
    run = Parallel(n_jobs=-1, prefer="threads")  # liblinear releases the GIL
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of the largest C, which is scored without convergence
        first = run(delayed(_accuracy)(cost, rows[0]["train"], rows[0]["test"], recipe.seed) for cost in settings.costs)
        best = int(np.argmax(first))
        cost = settings.costs[best]
        rest = run(delayed(_accuracy)(cost, fold["train"], fold["test"], recipe.seed) for fold in rows[1:])
    return [(cost, [first[best], *rest])]


def _with_data(recipe: Recipe, **data: Any) -> Recipe:
    return recipe.model_copy(update={"data": recipe.data.model_copy(update=data)})


def _load(recipe: Recipe, part: SplitRole, stored: StoredFeatures) -> tuple[np.ndarray, list[str]]:
    """Features (crops, S, D), and the ids of the segments."""
    corpus = usable(recipe, read_corpus(recipe, part), None)
    kept = np.flatnonzero(stored.kept(corpus.segments))
    rows, first = stored.rows()
    rows_NSD = rows[:, kept] if first is None else rows[None, first[kept]]
    return rows_NSD.astype(np.float32), [corpus.segments[index].id for index in kept.tolist()]


def _rows(recipe: Recipe, part: SplitRole, rows_NSD: np.ndarray, ids: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Features (M, D) and classes (M,) of a fold, one row per clip."""
    corpus = read_corpus(recipe, part)
    (labels,) = corpus.classes
    classes = {segment.id: segment.targets[labels] for segment in corpus.segments}
    indices = [index for index, id_ in enumerate(ids) if id_ in classes]
    targets_S = np.array([classes[ids[index]] for index in indices])
    return rows_NSD[:, indices].reshape(-1, rows_NSD.shape[2]), np.tile(targets_S, len(rows_NSD))


def _accuracy(
    cost: float, train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray], seed: int
) -> float:
    """Accuracy on the test clips, in percent."""
    model = make_pipeline(StandardScaler(), LinearSVC(C=cost, dual="auto", random_state=seed))
    model.fit(*train)
    return 100 * float(model.score(*test))
