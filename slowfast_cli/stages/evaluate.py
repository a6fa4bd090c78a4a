"""Scoring a trained model on a split, with all that is made from its predictions."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch

from slowfast_cli.data import loader
from slowfast_cli.engine import distributed
from slowfast_cli.engine.checkpoint import write_whole
from slowfast_cli.engine.evaluate import predictions
from slowfast_cli.metrics import epic_submission, per_class
from slowfast_cli.metrics.predictions import Rows, merge, stack
from slowfast_cli.metrics.scores import score
from slowfast_cli.models.slowfast import Recogniser
from slowfast_cli.recipe.schema import Recipe
from slowfast_cli.stages import assemble
from slowfast_cli.types import Corpus, DataError, Prediction, Scores, WeightsError
from slowfast_cli.weights.file import Card, build

Tick = Callable[[int, int], None]  # views done, views in all


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """A model's predictions for a split, and their scores.

    Attributes:
        scores: None for a split without labels.
        published: The paper's, from the recipe.
        corpus: The split that was scored, without what could not be read.
        rows: Scores and targets, a row a segment; of the labelled ones, if there are any.
        tables: Per-class rows by label set.
    """

    scores: Scores | None
    published: Mapping[str, float]
    corpus: Corpus
    rows: Rows
    tables: Mapping[str, tuple[per_class.ClassRow, ...]]


def evaluate(
    recipe: Recipe, weights: Path, *, part: assemble.Part = "test", device: str = "auto", tick: Tick | None = None
) -> Evaluated:
    """Score weights on a split of the recipe's corpus.

    The front end, the clip's length and the views are those of the recipe; weights made for others are refused.

    Args:
        recipe: Names the corpus and the protocol.
        weights: A weight file.
        part: Which split.
        device: As for training.
        tick: Told of progress.

    Raises:
        DataError: The corpus is not there.
        WeightsError: The weights are for other classes or another front end.
    """
    share = distributed.join()
    at = distributed.device(device)
    card, model = build(weights)
    store = assemble.store(recipe)
    found = assemble.usable(assemble.corpus(recipe, part), store)
    _must_fit(card, recipe, found, weights)
    merged = merge(_counted(_predicted(recipe, model.to(at), found, at), recipe.data.views * len(found.segments), tick))
    gathered = distributed.gather(merged, share)
    labelled = {segment.id for segment in found.segments if segment.targets.keys() >= found.classes.keys()}
    chosen = [each for each in gathered if each.id in labelled] or gathered
    rows = stack(chosen, [segment for segment in found.segments if segment.id in labelled] or found.segments)
    return Evaluated(
        scores=score(chosen, found) if labelled else None,
        published=recipe.published,
        corpus=found,
        rows=rows,
        tables={
            labels: per_class.class_rows(rows.scores[labels], rows.targets[labels], found.classes[labels])
            for labels in rows.targets
        },
    )


def _predicted(recipe: Recipe, model: Recogniser, found: Corpus, device: torch.device) -> Iterator[Prediction]:
    clips = assemble.clips(recipe, found, assemble.store(recipe))
    unlabelled = replace(found, segments=tuple(replace(segment, targets={}) for segment in found.segments))
    clips.segments = unlabelled.segments
    keys = loader.test_keys(len(clips), recipe.data.views, batch=recipe.optim.batch, share=distributed.join())
    read = loader.batches(clips, keys, workers=assemble.workers(recipe), device=device)
    prepared = assemble.prepare(recipe, {}, device, training=False)
    dtype = assemble.DTYPES[recipe.optim.precision]
    yield from predictions(model, assemble.task(recipe).predict, map(prepared, read), dtype=dtype)


def _counted(views: Iterator[Prediction], total: int, tick: Tick | None) -> Iterator[Prediction]:
    for done, view in enumerate(views, 1):
        if tick:
            tick(done, total)
        yield view


def _must_fit(card: Card, recipe: Recipe, found: Corpus, weights: Path) -> None:
    for labels, names in found.classes.items():
        theirs = card.classes.get(labels, ())
        if theirs != names:
            at = next(
                (i for i, (a, b) in enumerate(zip(theirs, names, strict=False)) if a != b), min(len(theirs), len(names))
            )
            raise WeightsError(
                f"{weights}: made for other classes: label set {labels!r} has {len(theirs)} there, {len(names)} in "
                f"{found.name}, and they part at index {at}: evaluate with the recipe of the weights ({card.recipe})"
            )
    if card.clip_seconds != recipe.data.clip_seconds:
        raise WeightsError(
            f"{weights}: trained on clips of {card.clip_seconds:g} s, the recipe has {recipe.data.clip_seconds:g}: "
            f"evaluate with data.clip_seconds={card.clip_seconds:g}"
        )
    wanted = assemble.front_end(recipe).settings()
    differs = [
        f"{key} {card.front_end[key]:g}, the recipe has {value:g}"
        for key, value in wanted.items()
        if card.front_end[key] != value
    ]
    if differs:
        raise WeightsError(
            f"{weights}: trained with frontend.{'; frontend.'.join(differs)}: use the weights' own front end, as "
            + " ".join(
                f"frontend.{key}={card.front_end[key]:g}"
                for key, value in wanted.items()
                if card.front_end[key] != value
            )
        )


def save_predictions(evaluated: Evaluated, path: Path) -> Path:
    """Write ids, probabilities and targets as a compressed ``.npz``, for comparisons later on."""
    arrays = {f"scores_{labels}": scores for labels, scores in evaluated.rows.scores.items()}
    arrays |= {f"targets_{labels}": targets for labels, targets in evaluated.rows.targets.items()}
    classes = {f"classes_{labels}": np.array(names) for labels, names in evaluated.corpus.classes.items()}

    def write(part: Path) -> None:
        with part.open("wb") as file:
            np.savez_compressed(file, ids=np.array(evaluated.rows.ids), **arrays, **classes)  # type: ignore[arg-type]

    write_whole(path, write)
    return path


def predictions_of(run: Path, part: str) -> Path:
    """The predictions of a run for a part of its corpus, where `slowfast evaluate` leaves them.

    Args:
        run: A run folder, or the folder of its predictions.
        part: ``train``, ``val`` or ``test``.

    Raises:
        DataError: There are none.
    """
    places = [run / "predictions.npz", run / "evaluation" / part / "predictions.npz"]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise DataError(f"{places[-1]}: no predictions there: run `slowfast evaluate` on that run first")
    return found


def load_tables(path: Path, corpus: Corpus) -> dict[str, tuple[per_class.ClassRow, ...]]:
    """The per-class tables of predictions that `save_predictions` wrote.

    Raises:
        DataError: Not such a file, or of other classes.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            tables = {}
            for labels, names in corpus.classes.items():
                if tuple(file[f"classes_{labels}"].tolist()) != names:
                    raise DataError(
                        f"{path}: predictions of other classes than {corpus.name}'s: compare runs on the same corpus"
                    )
                tables[labels] = per_class.class_rows(file[f"scores_{labels}"], file[f"targets_{labels}"], names)
            return tables
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error) as error:
        raise DataError(
            f"{path}: not predictions that can be compared ({error}); run `slowfast evaluate` on that run first"
        ) from error


def write_submission(evaluated: Evaluated, path: Path) -> Path:
    """Write the EPIC-KITCHENS-100 challenge's JSON.

    Raises:
        DataError: Not verb and noun, or segments of the list are missing.
    """
    rows, corpus = evaluated.rows, evaluated.corpus
    if set(rows.scores) != {"verb", "noun"}:
        raise DataError(
            f"--submission: the challenge is EPIC-KITCHENS-100's; {corpus.name} has {', '.join(corpus.classes)}"
        )
    listed: Sequence[str] = [*(segment.id for segment in corpus.segments), *(failure.id for failure in corpus.missing)]
    plain = epic_submission.submission(rows.ids, rows.scores["verb"], rows.scores["noun"], listed)
    write_whole(path, lambda part: _dump(part, plain))
    return path


def _dump(path: Path, plain: object) -> None:
    path.write_text(json.dumps(plain), encoding="utf-8")
