"""Scoring a trained model on a split, with all that is made from its predictions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from slowfast_cli.build.checks import require_fit, require_kind
from slowfast_cli.build.clips import build_clips, eval_batch, load_batches, open_store, usable
from slowfast_cli.build.corpus import SplitRole, read_corpus
from slowfast_cli.build.schedule import DTYPES
from slowfast_cli.build.scores import sync_accuracy, with_sync, without_sync
from slowfast_cli.build.task import build_task, task_spec
from slowfast_cli.build.transforms import eval_transform
from slowfast_cli.corpora.segments import Segments, concat
from slowfast_cli.data import loader
from slowfast_cli.engine import distributed
from slowfast_cli.engine.evaluate import predictions
from slowfast_cli.metrics import per_class
from slowfast_cli.metrics.ensemble import late_fusion
from slowfast_cli.metrics.predictions import Rows, labeled_segments, merge, stack
from slowfast_cli.models.folding import prepare_for_inference
from slowfast_cli.recipe.load import check, read
from slowfast_cli.recipe.schema import Recipe
from slowfast_cli.types import Batch, Corpus, DataError, Failure, Prediction, Scores, Segment, UsageError, WeightsError
from slowfast_cli.weights.file import build, newest

Tick = Callable[[int, int], None]  # views done, views in all


@dataclass(frozen=True, kw_only=True)
class Beside:
    """Another finished run, whose probabilities are averaged with those of the first: late ensembling.

    Attributes:
        recipe: Its own.
        weights: Its weight file.
    """

    recipe: Recipe
    weights: Path


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """A model's predictions for a split, and their scores.

    Attributes:
        scores: None for a split without labels.
        published: The paper's, from the recipe.
        corpus: The split that was scored, without what could not be read.
        rows: Scores and targets, a row a segment or a box; of the labelled ones, if there are any.
        tables: Per-class rows by label set.
        silent: Segments without sound, of a model that hears and sees; they were scored by what is seen.
    """

    scores: Scores | None
    published: Mapping[str, float]
    corpus: Corpus
    rows: Rows
    tables: Mapping[str, tuple[per_class.ClassRow, ...]]
    without_audio: int = 0


def finished(run: str, first: Recipe) -> Beside:
    """Another run, as `evaluate` takes it: its own recipe, the data where the first one has it.

    Raises:
        WeightsError: It is no folder of a finished run.
        DataError: It is about another corpus.
    """
    folder = Path(run)
    if not (folder / "recipe.yaml").is_file():
        raise WeightsError(f"--ensemble {run}: no folder of a finished run: it holds recipe.yaml and last.safetensors")
    recipe = check(read(str(folder / "recipe.yaml")))
    if recipe.data.corpus != first.data.corpus:
        raise DataError(
            f"--ensemble {run}: that run is about {recipe.data.corpus}, this one about {first.data.corpus}: name runs on "
            "the same data set"
        )
    data = recipe.data.model_copy(update={"root": first.data.root, "test": first.data.test, "val": first.data.val})
    return Beside(recipe=recipe.model_copy(update={"data": data}), weights=newest(folder))


def evaluate(
    recipe: Recipe,
    weights: Path,
    *,
    part: SplitRole = "test",
    device: str = "auto",
    tick: Tick | None = None,
    beside: Sequence[Beside] = (),
) -> Evaluated:
    """Score weights on a split of the recipe's corpus.

    The front end, the clip's length and the views are those of the recipe; weights made for others are refused.

    Args:
        recipe: Names the corpus and the protocol.
        weights: A weight file.
        part: Which split.
        device: As for training.
        tick: Called with the progress.
        beside: Other runs on the same corpus: label sets that several predict are averaged, others stand side by side.

    Raises:
        DataError: The corpus is not there, or that of another run is another one.
        WeightsError: The weights are for other classes or another front end.
    """
    first = _predicted(recipe, weights, part, device, tick)
    rest = [_predicted(each.recipe, each.weights, part, device, tick) for each in beside]
    found = _joined(first.corpus, [each.corpus for each in rest])
    plain = late_fusion([each.predictions for each in (first, *rest)])
    known = labeled_segments(found)
    ids = {segment.id for segment in known}
    chosen = [each for each in plain if each.id in ids] or plain
    rows = stack(chosen, known or found.segments) if found.classes else Rows(ids=(), scores={}, targets={})
    return Evaluated(
        scores=with_sync(chosen, found, first.sync) if known or not found.classes else None,
        published=recipe.published,
        corpus=found,
        rows=rows,
        tables=per_class.tables(rows, found) if known else {},
        without_audio=first.without_audio,
    )


@dataclass(frozen=True, kw_only=True)
class _Predicted:
    corpus: Corpus
    predictions: list[Prediction]
    sync: dict[str, float]
    without_audio: int


def _predicted(recipe: Recipe, weights: Path, part: SplitRole, device: str, tick: Tick | None) -> _Predicted:
    share = distributed.join()
    at = distributed.device(device)
    spec = task_spec(recipe)
    if spec.pretext:
        raise UsageError(
            f"task: {recipe.task}: a trunk pretrained without labels knows no classes: score it by "
            f"`slowfast evaluate recipes/hares.yaml --weights {weights}`, or train classes on it by `slowfast finetune`"
        )
    card, model = build(weights, trusted=recipe.model.variant)
    source = open_store(recipe)
    found = usable(recipe, read_corpus(recipe, part), source)
    require_fit(card, recipe, found, weights)
    require_kind(recipe, found)
    clips = build_clips(recipe, found, source)
    if not spec.label_sets:
        clips.segments = Segments.of(clips.segments).map(_unlabelled)
    counts = clips.counts()
    keys = loader.eval_keys(counts, batch=eval_batch(recipe), share=share)
    told = _Told(total=sum(counts), tick=tick)
    read = told.counted(load_batches(recipe, clips, keys, at, unreadable=told.unreadable))
    views = chain.from_iterable(map(eval_transform(recipe, at), read))
    task, dtype = build_task(recipe, found.classes), DTYPES[recipe.optim.precision]
    merged = merge(predictions(prepare_for_inference(model, at), task.predict, views, dtype=dtype), recipe.data.merge)
    gathered = distributed.gather(merged, share)
    broken = {each.id: each for each in distributed.gather(list(told.broken.values()), share)}
    seen = {each.id for each in gathered}
    lost = {id_: each for id_, each in broken.items() if id_ not in seen}
    if lost and not gathered:
        raise DataError(f"none of the {len(lost)} segments can be read, as {next(iter(lost.values())).reason}")
    if lost:
        kept = tuple(segment for segment in found.segments if segment.id not in lost)
        found = replace(found, segments=kept, missing=concat(found.missing, tuple(lost.values())))
    return _Predicted(
        corpus=found,
        predictions=without_sync(recipe, gathered),
        sync=sync_accuracy(recipe, gathered),
        without_audio=len(set(distributed.gather(sorted(told.without_audio), share))),
    )


def _unlabelled(segment: Segment) -> Segment:
    return replace(segment, targets={})


class _Told:
    """Counts views as they are read, and keeps what was broken or had no sound."""

    def __init__(self, total: int, tick: Tick | None) -> None:
        self.total, self.tick, self.done = total, tick, 0
        self.broken: dict[str, Failure] = {}
        self.unreadable: list[Failure] = []
        self.without_audio: set[str] = set()

    def counted(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        for batch in batches:
            self.broken |= {each.id: each for each in batch.broken}
            if (has_audio := batch.inputs.has_audio) is not None:
                self.without_audio |= {
                    id_ for id_, given in zip(batch.ids, has_audio.tolist(), strict=True) if not given
                }
            yield batch
            self.done += len(batch) + len(batch.broken)
            if self.tick:
                self.tick(self.done + len(self.unreadable), self.total)
        self.broken |= {each.id: each for each in self.unreadable}


def _joined(first: Corpus, rest: Sequence[Corpus]) -> Corpus:
    """The corpus of several runs: the labels of all, and the segments that all could read."""
    for other in rest:
        if (other.name, other.split) != (first.name, first.split):
            raise DataError(
                f"--ensemble: that run is about {other.name} {other.split}, this one about {first.name} {first.split}: "
                "name runs on the same split"
            )
        theirs = {segment.id: segment.targets for segment in other.segments}
        segments = tuple(
            replace(segment, targets={**segment.targets, **theirs[segment.id]})
            for segment in first.segments
            if segment.id in theirs
        )
        lost = [each for each in other.missing if each.id not in {known.id for known in first.missing}]
        first = replace(
            first, segments=segments, classes={**first.classes, **other.classes}, missing=(*first.missing, *lost)
        )
    return first
