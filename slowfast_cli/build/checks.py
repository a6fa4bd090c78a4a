"""Checks that a recipe, a corpus, a weight file and the processes of a run go together."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from slowfast_cli.build.corpus import class_of_each, corpus_root
from slowfast_cli.build.network import architecture
from slowfast_cli.build.schedule import micro_batches
from slowfast_cli.build.scores import score_predictions
from slowfast_cli.build.task import metric_name, sync_stages, task_spec
from slowfast_cli.corpora.media_files import media_below, subfolders
from slowfast_cli.corpora.segments import Segments
from slowfast_cli.recipe.schema import Recipe
from slowfast_cli.settings import Frames
from slowfast_cli.storage import remote
from slowfast_cli.tasks.avsync import BELONGS, label_set
from slowfast_cli.tasks.task import PRETEXT_TOP1
from slowfast_cli.types import (
    AUDIO_SUFFIXES,
    Corpus,
    DataError,
    Prediction,
    Share,
    UsageError,
    WeightsError,
    did_you_mean,
)
from slowfast_cli.weights.file import Card

# Of the frames, these must be as in training; the others only change the views.
FRAME_FIELDS = ("frames", "step", "fps", "mean", "std", "channels", "sampling")
OF_DENSE = "step"  # a field of them that has no effect where a clip is the whole segment


def require_fit(card: Card, recipe: Recipe, corpus: Corpus, weights: Path) -> None:
    """Refuse weights that were trained with other classes, clips or input settings.

    Raises:
        WeightsError: They were; the text names the difference and the fields to set.
    """
    for labels, names in corpus.classes.items():
        theirs = card.classes.get(labels, ())
        if theirs != names:
            pairs = enumerate(zip(theirs, names, strict=False))
            first = next((i for i, (a, b) in pairs if a != b), min(len(theirs), len(names)))
            one, other = (repr(of[first]) if first < len(of) else "none" for of in (theirs, names))
            raise WeightsError(
                f"{weights}: trained with other classes: label set {labels!r} has {len(theirs)} there, {len(names)} in "
                f"{corpus.name}, and class {first} is {one} there, {other} here: evaluate on the data that the weights "
                f"were trained on{f', by recipe {card.recipe}' if card.recipe else ''}"
            )
    frames = recipe.video
    seconds = frames.seconds if frames else recipe.data.clip_seconds
    reads_audio, reads_frames = "logmel" in card.net.signals, "frames" in card.net.signals
    if card.clip_seconds != seconds and not (frames and reads_frames):  # of frames it follows from fields below
        remedy = "" if frames else f": evaluate with data.clip_seconds={card.clip_seconds:g}"
        raise WeightsError(
            f"{weights}: trained on clips of {card.clip_seconds:g} s, the recipe has {seconds:g}{remedy}"
        )
    if reads_audio:
        _require_same(weights, "frontend", vars(card.log_mel()), vars(recipe.frontend))
    if frames is None:
        if reads_frames:
            raise WeightsError(f"{weights}: reads frames, but the recipe has no `video` section: use its own recipe")
        return
    names_ = (*(FRAME_FIELDS if reads_frames else ()), *(("rows",) if reads_audio else ()))
    trained, wanted = {**vars(Frames()), **card.video}, vars(frames)
    uniform = trained["sampling"] == frames.sampling == "uniform"
    compared = [name for name in names_ if not (uniform and name == OF_DENSE)]
    _require_same(weights, "video", trained, {name: wanted[name] for name in compared})


def _require_same(weights: Path, section: str, trained: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    names = [name for name in wanted if trained.get(name) != wanted[name]]
    if names:
        differences = "; ".join(
            f"{section}.{name} {_text(trained.get(name))}, the recipe has {_text(wanted[name])}" for name in names
        )
        raise WeightsError(
            f"{weights}: trained with {differences}: use the settings of the weights, "
            + " ".join(f"{section}.{name}={_text(trained.get(name))}" for name in names)
        )


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def require_kind(recipe: Recipe, corpus: Corpus) -> None:
    """Refuse a task that does not go with the labels of a corpus.

    Raises:
        DataError: The corpus has no classes, and the task needs some.
        UsageError: The corpus has several classes per segment and the task one, or the reverse.
    """
    spec = task_spec(recipe)
    if spec.label_sets is not None:
        return
    if not corpus.classes:
        raise DataError(
            f"{corpus.name} {corpus.split}: its {len(corpus.segments)} files have no classes, and task {recipe.task} "
            f"needs some: put the files into one folder per class{_above(recipe)}, or pretrain with a task that needs "
            "none"
        )
    sample = Segments.of(corpus.segments).sample()
    several = any(isinstance(target, tuple) for segment in sample for target in segment.targets.values())
    labeled = any(segment.targets for segment in sample)
    if labeled and not spec.boxes and several != spec.multi_label:
        kind, task = ("any number of classes", "multilabel") if several else ("one class", "classify")
        raise UsageError(f"task: {recipe.task}: {corpus.name} has {kind} per segment: set task: {task}")


def _above(recipe: Recipe) -> str:
    """Propose the folder above if `data.root` is one of several folders of media, such as that of a class."""
    root = corpus_root(recipe).absolute()
    beside = [folder for folder in subfolders(root.parent) if any(media_below(folder))]
    if recipe.data.corpus != "folder" or len(beside) < 2:
        return ""
    return f" (if {root.name} is a class: data.root={shlex.quote(remote.display(root.parent))})"


def require_trainable(recipe: Recipe, train: Corpus, val: Corpus) -> str:
    """Refuse corpora that cannot be trained on; return the metric, see `choose_metric`.

    Raises:
        UsageError: The recipe does not go with the corpus.
        DataError: Labels or classes are missing.
    """
    if not val.segments:
        raise DataError(f"{val.name} {val.split}: has no segments to validate on: add some, or set data.val=train")
    _require_frames(recipe, train)
    require_labels(recipe, train)
    require_kind(recipe, train)
    metric = choose_metric(recipe, val)
    require_loss_weights(recipe, train)
    if recipe.data.balanced:
        class_of_each(train)
    if recipe.data.unknown and all(recipe.data.unknown not in names for names in train.classes.values()):
        raise UsageError(f"data.unknown: {train.name} has no class {recipe.data.unknown!r}")
    if train.classes != val.classes:
        raise DataError(f"{val.name}: the classes of {train.split} and {val.split} differ: use one class list for both")
    if not task_spec(recipe).multi_label:
        single = [labels for labels, names in train.classes.items() if len(names) < 2]
        if single:
            raise DataError(
                f"{train.name} {train.split}: label set {single[0]} has one class only "
                f"({', '.join(train.classes[single[0]])}): add recordings of another class, or choose label sets with "
                "data.labels"
            )
    return metric


def _require_frames(recipe: Recipe, corpus: Corpus) -> None:
    """Refuse files that are sounds by their names, for a network that reads frames; raise `DataError`."""
    if recipe.video is None or "frames" not in architecture(recipe).signals:
        return
    sample = Segments.of(corpus.segments).sample()
    if sample and all(segment.recording.path.suffix.lower() in AUDIO_SUFFIXES for segment in sample):
        raise DataError(
            f"{sample[0].recording.path}: a sound, and {recipe.model.variant or recipe.model.init} reads frames: train "
            "sounds with recipe folder, or name a folder of videos"
        )


def require_labels(recipe: Recipe, corpus: Corpus) -> None:
    """Refuse a split without labels, for a task that needs them.

    Raises:
        DataError: A segment lacks a label of some set.
    """
    spec = task_spec(recipe)
    if spec.has_objective or spec.boxes:
        return
    sample = Segments.of(corpus.segments).sample()
    bare = next((segment.id for segment in sample if segment.targets.keys() != corpus.classes.keys()), None)
    if bare is not None:
        raise DataError(
            f"{corpus.name} {corpus.split}: {bare} lacks a label of some set ({', '.join(corpus.classes)}), so it "
            "cannot be trained on: set data.train to a labeled split"
        )


def require_loss_weights(recipe: Recipe, corpus: Corpus) -> None:
    """Refuse weights of losses that the task does not have; raise `UsageError`."""
    unknown = sorted(recipe.optim.loss_weights.keys() - corpus.classes.keys())
    if unknown:
        raise UsageError(
            f"optim.loss_weights: {', '.join(unknown)}: {corpus.name} has the label sets "
            f"{', '.join(corpus.classes) or '(none)'}"
        )


def choose_metric(recipe: Recipe, corpus: Corpus) -> str:
    """The score by which the best weights are kept: the recipe's, or the task's that this corpus has.

    Of several label sets, the default is the score over all of them, or that of the first.

    Raises:
        UsageError: The metric is not among the scores of the corpus.
    """
    metric, spec, net = metric_name(recipe), task_spec(recipe), architecture(recipe)
    blank = {labels: np.zeros(len(names), np.float32) for labels, names in corpus.classes.items()}
    for stage in sync_stages(recipe):
        value = 0 if net.no_audio_upstream(stage) else np.nan
        blank[label_set(stage)] = np.full(len(BELONGS), value, np.float32)
    if spec.has_objective:
        blank[PRETEXT_TOP1] = np.zeros(1, np.float32)
    names: list[str] = []
    for segments in (corpus.segments[:50], corpus.segments):  # subsets are only known from the segments
        guesses = [
            Prediction(id=segment.id, scores=blank, place=place)
            for segment in segments
            for place in ([box.place for box in segment.boxes] if spec.boxes else [None])
        ]
        if guesses:
            part = Corpus(**{**vars(corpus), "segments": segments})
            names = list(score_predictions(recipe, guesses, part).values)
        if metric in names:
            return metric
    if recipe.metric is None:
        of_all = f"all_{metric}"
        found = next((name for name in (of_all, *names) if name in names and name.endswith(f"_{metric}")), None)
        if found is not None:
            return found
    near = did_you_mean(metric, names)
    raise UsageError(
        f"metric: task {recipe.task} on {corpus.name} has no {metric!r}{near}; choose one of {', '.join(names)}"
    )


def refuse_probe(name: str, recipe: Recipe) -> None:
    """Raise `UsageError` for a task of a suite (``probe``): its network is the trunk that the suite scores."""
    if recipe.probe:
        command = f"slowfast evaluate recipes/hares.yaml --weights WEIGHTS --tasks {name.rpartition('/')[2]}"
        raise UsageError(f"{name}: is a probe of a trained trunk: run `{command}`")


def require_processes(recipe: Recipe, share: Share, device: torch.device) -> None:
    """Refuse a batch that is not divisible among the processes, and options that need a GPU.

    Raises:
        UsageError: The text names the field to change.
    """
    optim, count = recipe.optim, micro_batches(recipe, share.world)
    if optim.bn_batch_size and optim.batch % (optim.bn_batch_size * share.world):
        raise UsageError(
            f"optim.bn_batch_size: optim.batch={optim.batch} is not divisible by {share.world} processes x "
            f"{optim.bn_batch_size} clips: set optim.batch to a multiple of both, or optim.bn_batch_size=null"
        )
    if optim.batch % (count * share.world):
        raise UsageError(
            f"optim.batch={optim.batch} is not divisible by {share.world} processes x {count} micro-batches"
        )
    if optim.cuda_graphs and (share.world > 1 or device.type != "cuda"):
        where = f"{share.world} processes" if share.world > 1 else device.type
        raise UsageError(f"optim.cuda_graphs: needs a single process on a GPU, and this is {where}: set it to false")
    if optim.sync_bn and share.world > 1 and device.type != "cuda":
        raise UsageError(f"optim.sync_bn: needs CUDA, and this is {device.type}: set it to false")
