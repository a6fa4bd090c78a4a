"""The corpus of a recipe: where it lies, its splits and its label sets."""

import functools
import os
import shlex
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np

from slowfast_cli.build.task import task_spec
from slowfast_cli.corpora.lists import held_out
from slowfast_cli.corpora.registry import CORPORA, DatasetEntry
from slowfast_cli.corpora.segments import Segments
from slowfast_cli.data.stored_features import digest
from slowfast_cli.recipe.load import load
from slowfast_cli.recipe.schema import Recipe
from slowfast_cli.settings import FrontEnd
from slowfast_cli.storage import remote
from slowfast_cli.types import AbsentError, Corpus, DataError, Segment, Target, UsageError, did_you_mean

T = TypeVar("T")
SplitRole = Literal["train", "val", "test"]


def datasets() -> Mapping[str, DatasetEntry]:
    """All data sets by name."""
    return CORPORA


def dataset_entry(name: str) -> DatasetEntry:
    """Look up a data set.

    Raises:
        UsageError: There is none of that name.
    """
    if name not in CORPORA:
        raise UsageError(
            f"{name}: no such data set{did_you_mean(name, CORPORA) or ';'} `slowfast data ls` lists them all"
        )
    return CORPORA[name]


def corpus_root(recipe: Recipe) -> Path:
    """Folder of the corpus: `data.root`, or its name below $SLOWFAST_DATA or ``data``."""
    default = remote.local_path(os.environ.get("SLOWFAST_DATA", "data")) / recipe.data.corpus
    return mirrored(recipe.data.root or default)


def require_root(recipe: Recipe) -> None:
    """Raise `DataError` if the corpus is not where the recipe says."""
    root = corpus_root(recipe)
    if not root.exists():
        raise dataset_entry(recipe.data.corpus).info.not_found(root)


def extract_command(recipe: Recipe) -> str:
    """The command that extracts the log-mels that the recipe reads."""
    stored, data = recipe.frontend.settings(), recipe.data
    default = load(dataset_entry(data.corpus).info.recipe).frontend.settings()
    words = ["slowfast", "extract", "--dataset", data.corpus]
    words += ["--root", remote.display(data.root)] if data.root else []
    words += ["--out", remote.display(data.shards)] if data.shards else []
    words += [f"frontend.{name}={value}" for name, value in stored.items() if value != default.get(name)]
    return shlex.join(words)


@functools.lru_cache(maxsize=32)
def mirrored(folder: Path) -> Path:
    """The folder; a remote one is listed once per process, see `slowfast_cli.storage.remote`."""
    return remote.mirror(folder)


def shards_folder(recipe: Recipe) -> Path:
    """Folder of the shards of this corpus and front end: `data.shards`, or a name made of the settings."""
    if recipe.data.shards:
        return recipe.data.shards
    front_end = recipe.frontend
    settings = f"{front_end.rate}hz-{front_end.window_ms:g}ms-{front_end.hop_ms:g}ms-{front_end.mels}mel"
    basic = {"rate", "window_ms", "hop_ms", "mels"}
    for field in fields(FrontEnd):
        value = getattr(front_end, field.name)
        if field.name not in basic and value != field.default:
            settings += f"-{field.name}{value if isinstance(value, str) else format(value, 'g')}"
    root = corpus_root(recipe).absolute()
    # The root's name is part of it: two folders of sounds beside each other are two data sets.
    name = root.name if root.name == recipe.data.corpus else f"{root.name}-{recipe.data.corpus}"
    return root.parent / "shards" / name / settings


@functools.lru_cache(maxsize=8)
def _read(name: str, root: Path, split: str, labels: tuple[str, ...], labeled: bool = True) -> Corpus:
    entry = dataset_entry(name)
    read = entry.reader(labels) if labeled else entry.read_unlabeled
    return read(root, split)


def _read_split(recipe: Recipe, split: str) -> Corpus:
    labeled = not task_spec(recipe).has_objective
    return _read(recipe.data.corpus, corpus_root(recipe), split, recipe.data.labels, labeled)


def _read_fold(recipe: Recipe, role: SplitRole) -> Corpus:
    """Read all splits of own data, and return one of `data.folds` parts, or the others for ``train``."""
    info = dataset_entry(recipe.data.corpus).info
    if info.heads:
        raise UsageError(f"data.folds: {info.name} has official splits: set it to 0")
    splits = [_read_split(recipe, split) for split in info.all_splits]
    segments = {segment.id: segment for corpus in splits for segment in corpus.segments}
    labels = next(iter(splits[0].classes), "")
    strata = {segment.recording.id: str(segment.targets.get(labels)) for segment in segments.values()}
    chosen = held_out(strata, 1 / recipe.data.folds, part=(recipe.data.fold or 1) - 1)
    kept = tuple(s for s in segments.values() if (s.recording.id in chosen) == (role != "train"))
    note = f"fold {recipe.data.fold} of {recipe.data.folds} is held out"
    return replace(splits[0], split=role, segments=kept, note=note)


def read_corpus(recipe: Recipe, role: SplitRole) -> Corpus:
    """Read a split of the recipe's corpus, with the label sets that the task needs.

    Raises:
        DataError: The corpus is not there.
        UsageError: `data.labels` names a label set that it does not have.
    """
    spec = task_spec(recipe)
    corpus = _read_fold(recipe, role) if recipe.data.folds else _read_split(recipe, recipe.split(role))
    if spec.label_sets is not None:
        return replace_label_sets(corpus, spec.label_sets, spec.target)
    if not recipe.data.labels:
        return corpus
    if unknown := set(recipe.data.labels) - set(corpus.classes):
        raise UsageError(
            f"data.labels: {', '.join(sorted(unknown))}: {corpus.name} has the label sets {', '.join(corpus.classes)}"
        )
    return select_label_sets(corpus, frozenset(recipe.data.labels))


def read_all_splits(recipe: Recipe) -> tuple[list[Corpus], list[DataError]]:
    """Read every split; also return the errors of those that could not be read, see `require_lists`.

    Raises:
        DataError: None could be read; an error in a list is raised rather than that of a list that is absent.
    """
    corpora, errors = list[Corpus](), list[DataError]()
    for split in dataset_entry(recipe.data.corpus).info.all_splits:
        try:
            corpora.append(_read(recipe.data.corpus, corpus_root(recipe), split, recipe.data.labels))
        except DataError as error:
            errors.append(error)
    if not corpora:
        raise next((error for error in errors if not isinstance(error, AbsentError)), errors[0])
    return corpora, errors


def require_lists(errors: Sequence[DataError]) -> None:
    """Refuse splits that were skipped for another reason than that they do not exist; raise `DataError`."""
    if damaged := [error for error in errors if not isinstance(error, AbsentError)]:
        raise DataError(f"a split was skipped: {damaged[0].brief}")


def segments_hash(corpus: Corpus) -> str:
    """Hash of the segments of a split: equal for splits of the same files."""
    return digest(corpus.segments)


def validates_on_test(recipe: Recipe) -> bool:
    """Whether validation and test are the same segments, as listed."""
    val, test = (read_corpus(recipe, role) for role in ("val", "test"))
    return segments_hash(val) == segments_hash(test)


def class_of_each(corpus: Corpus) -> np.ndarray:
    """Class index of each segment in the first label set, (N,).

    Raises:
        UsageError: A segment has no or several classes.
    """
    labels = next(iter(corpus.classes), "")
    targets = [segment.targets.get(labels) for segment in corpus.segments]
    if not all(isinstance(target, int) for target in targets):
        raise UsageError(f"data.balanced: {corpus.name} {corpus.split}: needs one class a segment: set it to false")
    return np.array(targets)


def examples(corpus: Corpus, labels: str) -> Counter[int]:
    """Number of segments of each class of a label set, by class index."""
    targets = (segment.targets.get(labels, ()) for segment in corpus.segments)
    return Counter(index for target in targets for index in (target if isinstance(target, tuple) else (target,)))


def class_counts(corpus: Corpus) -> dict[str, int]:
    """Number of classes by label set."""
    return {labels: len(names) for labels, names in corpus.classes.items()}


def head_sizes(recipe: Recipe) -> dict[str, int]:
    """Number of classes by label set, without reading the corpus where the registry knows them."""
    spec = task_spec(recipe)
    if spec.label_sets is not None:
        return {labels: len(names) for labels, names in spec.label_sets.items()}
    sizes = dict(dataset_entry(recipe.data.corpus).info.heads) or class_counts(read_corpus(recipe, "train"))
    return {name: size for name, size in sizes.items() if not recipe.data.labels or name in recipe.data.labels}


def select_label_sets(corpus: Corpus, selected: frozenset[str]) -> Corpus:
    """Keep some of the label sets of a corpus."""

    def keep(values: Mapping[str, T]) -> dict[str, T]:
        return {labels: value for labels, value in values.items() if labels in selected}

    if selected == corpus.classes.keys():
        return corpus
    segments = Segments.of(corpus.segments).map(functools.partial(_keep_targets, selected))
    return replace(
        corpus,
        segments=segments,
        classes=keep(corpus.classes),
        tail=keep(corpus.tail),
        scored=keep(corpus.scored),
    )


def _keep_targets(selected: frozenset[str], segment: Segment) -> Segment:
    targets = {labels: target for labels, target in segment.targets.items() if labels in selected}
    return replace(segment, targets=targets, spans=tuple(span for span in segment.spans if span.labels in selected))


def replace_label_sets(
    corpus: Corpus, classes: Mapping[str, tuple[str, ...]], target: Callable[[str], Mapping[str, Target]]
) -> Corpus:
    """Replace the label sets of a corpus by others, whose targets are a function of the segment's id."""
    segments = Segments.of(corpus.segments).map(functools.partial(_with_targets, target))
    return replace(corpus, segments=segments, classes=classes, tail={}, scored={}, subsets={})


def _with_targets(target: Callable[[str], Mapping[str, Target]], segment: Segment) -> Segment:
    return replace(segment, targets=target(segment.id), spans=())
