"""Members of an ensemble or of a comparison, and the segments that all of them predict."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from slowfast_cli.build.init_weights import with_protocol_of_weights
from slowfast_cli.recipe.files import Source
from slowfast_cli.recipe.load import check, override, read, read_stored
from slowfast_cli.recipe.schema import Recipe
from slowfast_cli.storage.run_list import other_runs
from slowfast_cli.types import Corpus, DataError, UsageError, WeightsError
from slowfast_cli.weights.catalog import CATALOG
from slowfast_cli.weights.file import read_card, run_weights
from slowfast_cli.weights.resolve import weight_file


@dataclass(frozen=True, kw_only=True)
class EnsembleMember:
    """Another model, whose scores are averaged with those of the first (late ensembling)."""

    recipe: Recipe
    weights: Path


@dataclass(frozen=True, kw_only=True)
class NamedRecipe:
    """The recipe that the command line names, and the fields that it sets."""

    source: Source  # as read
    overrides: Sequence[str] = ()

    @property
    def recipe(self) -> Recipe:
        """The recipe with its overrides; raise `UsageError` if it has mistakes."""
        return check(override(self.source, self.overrides))


def is_official(word: str) -> bool:
    """Whether a word names weights of the catalog, and no file or folder."""
    return word in CATALOG and not Path(word).exists()


def ensemble_member(
    word: str, first: NamedRecipe, *, option: str = "--ensemble", offline: bool = False
) -> EnsembleMember:
    """A finished run, or official weights with their settings, and the data paths of the named recipe.

    Official weights are scored by the named recipe if both read frames or both do not, otherwise by their own; network,
    front end, frames and views are those of the weights, except where an override of the named recipe sets them.

    Args:
        word: A run folder, or a name of the catalog.
        first: The named recipe.
        option: That names the word, for messages.
        offline: Do not download official weights.

    Raises:
        WeightsError: The folder is not a finished run, or the weights cannot be had.
        DataError: The model was trained on another corpus.
    """
    named = first.recipe
    if not is_official(word):
        return finished_run(word, named, option)
    weights = weight_file(word, offline=offline)
    card = read_card(weights)
    if not card.recipe or bool(card.video) == (named.video is not None):
        recipe = with_protocol_of_weights(first.source, first.overrides, weights)
        return EnsembleMember(recipe=recipe, weights=weights)
    return _member(word, with_protocol_of_weights(read(card.recipe), (), weights), weights, named, option)


def require_distinct(words: Sequence[str], weights: Sequence[Path], option: str) -> None:
    """Raise `UsageError` if two words name the same weight file."""
    seen: dict[Path, str] = {}
    for word, path in zip(words, weights, strict=True):
        if (other := seen.get(path.resolve())) is not None:
            raise UsageError(f"{option} {word}: the same weights as {other}: name them once")
        seen[path.resolve()] = word


def finished_run(run: str, first: Recipe, option: str = "--ensemble") -> EnsembleMember:
    """A finished run with its own recipe, and the data paths of the first run.

    Args:
        run: Its folder.
        first: Recipe of the first run.
        option: That names the run, for messages.

    Raises:
        WeightsError: The folder is not a finished run.
        DataError: The run was trained on another corpus.
    """
    folder = Path(run)
    if not (folder / "recipe.yaml").is_file():
        raise WeightsError(
            f"{option} {run}: not a finished run: expected recipe.yaml and last.safetensors there{other_runs(run)}"
        )
    return _member(run, check(read_stored(folder / "recipe.yaml")), run_weights(folder), first, option)


def _member(word: str, recipe: Recipe, weights: Path, first: Recipe, option: str) -> EnsembleMember:
    if recipe.data.corpus != first.data.corpus:
        raise DataError(
            f"{option} {word}: that run is about {recipe.data.corpus}, this one about {first.data.corpus}: name runs "
            "on the same data set"
        )
    data = recipe.data.model_copy(update={"root": first.data.root, "test": first.data.test, "val": first.data.val})
    return EnsembleMember(recipe=recipe.model_copy(update={"data": data}), weights=weights)


def common_corpus(first: Corpus, rest: Sequence[Corpus], option: str = "--ensemble") -> Corpus:
    """The segments that all runs could read, with the labels of all runs; the others are missing.

    Raises:
        DataError: The runs differ in data set, split, list of segments, classes or labels; or share no segment. The
            message names the option.
    """
    for other in rest:
        _require_same_list(first, other, option)
        theirs = {segment.id: segment.targets for segment in other.segments}
        segments = tuple(
            replace(segment, targets={**segment.targets, **theirs[segment.id]})
            for segment in first.segments
            if segment.id in theirs
        )
        missing = {failure.id for failure in first.missing}
        lost = [failure for failure in other.missing if failure.id not in missing]
        if not segments:
            reasons = "; ".join(dict.fromkeys(failure.reason for failure in (*first.missing, *lost)))
            raise DataError(f"{option}: no segment of {first.name} {first.split} is read by all runs: {reasons}")
        first = replace(
            first, segments=segments, classes={**first.classes, **other.classes}, missing=(*first.missing, *lost)
        )
    return first


def _require_same_list(first: Corpus, other: Corpus, option: str) -> None:
    """Refuse runs that do not predict the same classes of the same segments; raise `DataError`."""
    if (other.name, other.split) != (first.name, first.split):
        raise DataError(
            f"{option}: that run is about {other.name} {other.split}, this one about {first.name} {first.split}: "
            "name runs on the same split"
        )
    shared = [labels for labels in first.classes if labels in other.classes]
    for labels in shared:
        if first.classes[labels] != other.classes[labels]:
            raise DataError(
                f"{option}: label set {labels} has {len(other.classes[labels])} classes in that run and "
                f"{len(first.classes[labels])} in this one, or in another order: name runs with the same class list"
            )
    ours = {segment.id: segment.targets for segment in first.segments}
    theirs = {segment.id: segment.targets for segment in other.segments}
    listed, known = ({*ids, *(lost.id for lost in corpus.missing)} for ids, corpus in ((ours, first), (theirs, other)))
    if apart := listed ^ known:
        raise DataError(
            f"{option}: {len(apart)} segments of {first.name} {first.split} are in the list of one run only, such as "
            f"{min(apart)!r}: evaluate both with the same annotation list"
        )
    for id_, targets in ours.items():
        if any(theirs.get(id_, targets).get(labels) != targets.get(labels) for labels in shared):
            raise DataError(
                f"{option}: {id_!r} of {first.name} {first.split} has other labels in that run: evaluate both with "
                "the same annotation list"
            )
