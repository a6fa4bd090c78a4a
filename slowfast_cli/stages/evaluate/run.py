"""Score trained weights on a split, alone or in an ensemble."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

import numpy as np
from torch import nn

from slowfast_cli.build.checks import require_fit, require_kind
from slowfast_cli.build.clips import build_clips, eval_batch, load_batches, open_store, usable
from slowfast_cli.build.corpus import SplitRole, read_corpus, segments_hash
from slowfast_cli.build.init_weights import reorder_heads
from slowfast_cli.build.schedule import DTYPES
from slowfast_cli.build.scores import sync_accuracy, with_sync, without_sync
from slowfast_cli.build.task import build_task, task_spec
from slowfast_cli.build.transforms import eval_transform
from slowfast_cli.corpora.segments import Segments, concat
from slowfast_cli.data import loader
from slowfast_cli.engine import distributed
from slowfast_cli.engine.evaluate import predictions
from slowfast_cli.inference.choose import EAGER
from slowfast_cli.inference.network import DTYPES as ENGINE_DTYPES
from slowfast_cli.inference.network import EngineChoice, Network, Source
from slowfast_cli.metrics import per_class
from slowfast_cli.metrics.ensemble import late_fusion
from slowfast_cli.metrics.interval import top1_intervals
from slowfast_cli.metrics.predictions import Rows, labeled_segments, merge, stack, without_class
from slowfast_cli.metrics.topk import check_finite
from slowfast_cli.models.folding import prepare_for_inference
from slowfast_cli.recipe.schema import Recipe
from slowfast_cli.stages.evaluate.ensemble import EnsembleMember, common_corpus
from slowfast_cli.types import Batch, Corpus, DataError, Failure, Prediction, Scores, Segment, UsageError
from slowfast_cli.weights.file import Card, build, read_card

Tick = Callable[[int, int], None]  # views done, views in all
BY_TORCH = EngineChoice(engine=EAGER.name)
MODALITIES = {frozenset({"logmel"}): "a", frozenset({"frames"}): "v"}  # of a network, by its signals


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """Predictions of a model for a split, and their scores."""

    scores: Scores | None  # None for a split without labels
    published: Mapping[str, float]  # the paper's scores, from the recipe
    corpus: Corpus  # the scored split, without unreadable segments
    rows: Rows  # scores and targets of the labeled segments, or of all if none is labeled; one row per segment or box
    tables: Mapping[str, tuple[per_class.ClassRow, ...]]  # per-class scores by label set
    without_audio: int = 0  # segments without audio of an audiovisual model, scored by their frames
    trained_on: bool = False  # the weights, or some of an ensemble, were trained on exactly these segments
    modalities: Mapping[str, Rows] = field(default_factory=dict)
    """Of an ensemble of one network of sound and one of frames: the rows of each, ``a`` and ``v``."""
    unredacted: tuple[Rows, Corpus] | None = None
    """Rows and segments with those of the class that is not scored; None without such a class."""

    @property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """95 % intervals of the top-1 accuracies, in percent."""
        return top1_intervals(self.scores, self.corpus.classes) if self.scores else {}


def evaluate(
    recipe: Recipe,
    weights: Path,
    *,
    split: SplitRole = "test",
    device: str = "auto",
    tick: Tick | None = None,
    ensemble: Sequence[EnsembleMember] = (),
    choice: EngineChoice = BY_TORCH,
    redact: str | None = None,
) -> Evaluated:
    """Score weights on a split of the recipe's corpus.

    Front end, clip length and views are those of the recipe; weights trained with others are refused.

    Args:
        recipe: Defines the corpus and the protocol.
        weights: A weight file.
        split: Role of the split.
        device: As for training.
        tick: Called with the progress.
        choice: Inference engine; its precision is that of the recipe.
        ensemble: Other runs on the same corpus; label sets that several runs predict are averaged as the recipe says,
            after the views of each run are merged.
        redact: Class whose segments are not scored, as background in the EPIC-SOUNDS challenge; it can be predicted,
            and its segments are, for a submission.

    Raises:
        DataError: The corpus is missing or unreadable, no class is `redact`, or another run has a different corpus, see
            `slowfast_cli.stages.evaluate.ensemble.common_corpus`.
        WeightsError: The weights have other classes or another front end.
    """
    for member in (EnsembleMember(recipe=recipe, weights=weights), *ensemble):
        check_weights(member.recipe, member.weights, split)
    first = _predict(recipe, weights, split, device, tick, choice, redact)
    rest = [_predict(member.recipe, member.weights, split, device, tick, choice, redact) for member in ensemble]
    listed = common_corpus(first.corpus, [member.corpus for member in rest])
    fused = late_fusion([member.predictions for member in (first, *rest)], recipe.data.fusion)
    corpus = without_class(listed, redact) if redact else listed
    labeled = labeled_segments(corpus)
    ids = {segment.id for segment in labeled}
    predicted = [prediction for prediction in fused if prediction.id in ids] or fused
    runs = {MODALITIES.get(run.signals, ""): run for run in (first, *rest)} if labeled and len(rest) == 1 else {}
    rows = stack(predicted, labeled or corpus.segments) if corpus.classes else Rows(ids=(), scores={}, targets={})
    return Evaluated(
        scores=with_sync(predicted, corpus, first.sync) if labeled or not corpus.classes else None,
        published=recipe.published,
        corpus=corpus,
        rows=rows,
        tables=per_class.tables(rows, corpus) if labeled else {},
        without_audio=_in_corpus(corpus, first.without_audio.union(*(member.without_audio for member in rest))),
        trained_on=any(member.trained_on for member in (first, *rest)),
        modalities={
            name: stack([prediction for prediction in run.predictions if prediction.id in ids], labeled)
            for name, run in runs.items()
            if runs.keys() == set(MODALITIES.values())
        },
        unredacted=(stack(fused, listed.segments), listed) if redact else None,
    )


def _in_corpus(corpus: Corpus, ids: frozenset[str]) -> int:
    return len(ids.intersection(segment.id for segment in corpus.segments)) if ids else 0


def check_weights(recipe: Recipe, weights: Path, split: SplitRole) -> Corpus:
    """Refuse weights that do not go with the recipe's corpus, by their card alone, before any network runs.

    Returns:
        The split, as listed.

    Raises:
        DataError: The corpus or its shards are missing.
        UsageError: The recipe's task has no classes, or not those of the corpus.
        WeightsError: The weights have other classes or another front end.
    """
    if task_spec(recipe).has_objective:
        raise UsageError(
            f"task: {recipe.task}: a trunk pretrained without labels has no classes: score it with `slowfast evaluate "
            f"recipes/hares.yaml --weights {weights}`, or train a classifier on it with `slowfast finetune`"
        )
    card = read_card(weights)
    recipe = _fitted(recipe, card)
    open_store(recipe)
    corpus = read_corpus(recipe, split)
    require_fit(reorder_heads({}, card, corpus.classes), recipe, corpus, weights)
    require_kind(recipe, corpus)
    return corpus


def _fitted(recipe: Recipe, card: Card) -> Recipe:
    """The recipe with the clips that training has fitted to its data."""
    if not recipe.adapt or not recipe.data.clip_seconds:
        return recipe
    data = recipe.data.model_copy(update={"clip_seconds": card.clip_seconds, "views": card.views})
    return recipe.model_copy(update={"data": data})


@dataclass(frozen=True, kw_only=True)
class _Predicted:
    signals: frozenset[str]
    corpus: Corpus
    predictions: list[Prediction]
    sync: dict[str, float]
    without_audio: frozenset[str]  # ids
    trained_on: bool


def _predict(
    recipe: Recipe,
    weights: Path,
    split: SplitRole,
    device: str,
    tick: Tick | None,
    choice: EngineChoice,
    redact: str | None,
) -> _Predicted:
    share = distributed.join()
    at = distributed.device(device)
    spec = task_spec(recipe)
    card, model = build(weights)
    recipe = _fitted(recipe, card)
    source = open_store(recipe)
    corpus = usable(recipe, read_corpus(recipe, split), source)
    if card.classes != corpus.classes:  # perhaps the same classes in another order
        state = model.state_dict()
        card = reorder_heads(state, card, corpus.classes)
        model.load_state_dict(state)
    trained_on = bool(card.trained_on) and card.trained_on == segments_hash(corpus)
    if redact:
        without_class(corpus, redact)  # raises before the prediction
    clips = build_clips(recipe, corpus, source)
    if not spec.label_sets:
        clips.segments = Segments.of(clips.segments).map(_without_targets)
    counts = clips.counts()
    keys = loader.eval_keys(counts, batch=eval_batch(recipe), share=share)
    monitor = _Monitor(total=sum(counts), tick=tick)
    batches = monitor.watch(load_batches(recipe, clips, keys, at, unreadable=monitor.unreadable))
    views = chain.from_iterable(map(eval_transform(recipe, at), batches))
    task, dtype = build_task(recipe, corpus.classes), DTYPES[recipe.optim.precision]
    network = _network(prepare_for_inference(model, at), weights, card, choice, recipe.optim.precision)
    network.expect(sum(counts) // share.world)
    merged = merge(predictions(network, task.predict, views, dtype=dtype), recipe.data.merge)
    gathered = distributed.gather(merged, share)
    broken = {failure.id: failure for failure in distributed.gather(list(monitor.broken.values()), share)}
    predicted = {prediction.id for prediction in gathered}
    corpus = _without_lost(corpus, {id_: failure for id_, failure in broken.items() if id_ not in predicted})
    scored = without_sync(recipe, gathered)
    for labels in scored[0].scores if scored else ():
        check_finite(np.stack([prediction.scores[labels] for prediction in scored]), f"{weights}: {labels}")
    return _Predicted(
        signals=card.net.signals,
        corpus=corpus,
        predictions=scored,
        sync=sync_accuracy(recipe, gathered),
        without_audio=frozenset(distributed.gather(sorted(monitor.without_audio), share)),
        trained_on=trained_on,
    )


def _network(module: nn.Module, weights: Path, card: Card, choice: EngineChoice, precision: str) -> Network:
    """The network of an engine; its outputs depend on the order of the classes too."""
    source = Source(weights=weights, net=card.net, depends_on={"classes": card.classes})
    own = precision if precision in ENGINE_DTYPES else "fp32"  # float16 is the autocast's
    return Network(module, source, replace(choice, precision=own))


def _without_lost(corpus: Corpus, lost: Mapping[str, Failure]) -> Corpus:
    """The corpus without segments that could not be read.

    Raises:
        DataError: No segment is left.
    """
    if not lost:
        return corpus
    kept = tuple(segment for segment in corpus.segments if segment.id not in lost)
    if not kept:
        raise DataError(f"none of the {len(lost)} segments can be read, as {next(iter(lost.values())).reason}")
    return replace(corpus, segments=kept, missing=concat(corpus.missing, tuple(lost.values())))


def _without_targets(segment: Segment) -> Segment:
    return replace(segment, targets={})


class _Monitor:
    """Counts the views read, and collects segments that are broken or have no audio."""

    def __init__(self, total: int, tick: Tick | None) -> None:
        self.total, self.tick, self.done = total, tick, 0
        self.broken: dict[str, Failure] = {}
        self.unreadable: list[Failure] = []
        self.without_audio: set[str] = set()

    def watch(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        for batch in batches:
            self.broken |= {failure.id: failure for failure in batch.broken}
            if (has_audio := batch.inputs.has_audio) is not None:
                self.without_audio |= {
                    id_ for id_, present in zip(batch.ids, has_audio.tolist(), strict=True) if not present
                }
            yield batch
            self.done += len(batch) + len(batch.broken)
            if self.tick:
                self.tick(self.done + len(self.unreadable), self.total)
        self.broken |= {failure.id: failure for failure in self.unreadable}
