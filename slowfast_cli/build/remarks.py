"""What a user should know about own data before work on it begins; official data sets are known."""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from math import inf
from operator import itemgetter

from slowfast_cli.build.adapt import median_and_longest, sample
from slowfast_cli.build.clips import usable
from slowfast_cli.build.corpus import dataset_entry, examples, read_corpus, segments_hash
from slowfast_cli.data.audio_clips import DecodedSamples, Store
from slowfast_cli.media.audio import probe
from slowfast_cli.recipe.optimization import Schedule
from slowfast_cli.recipe.schema import Recipe
from slowfast_cli.types import BrokenMediaError, Corpus, Failure
from slowfast_cli.weights.file import Loaded

FEW = 20  # training examples of a class
IMBALANCE = 20  # times the rarest class
SHOWN = 5  # names in a line
FOLDS = "train with --folds 5 to score each file once"


def _warmup(plan: Schedule) -> list[str]:
    field = "warmup_steps" if plan.warmup_steps else "warmup_epochs"
    if max(plan.warmup_epochs / (plan.epochs or inf), plan.warmup_steps / (plan.steps or inf)) < 1:
        return []
    return [f"the warm-up is as long as the training, so little is learned: set schedule.{field}=0"]


def remarks(recipe: Recipe, corpora: Sequence[Corpus]) -> list[str]:
    """Describe splits: what is read as what, what is not used, rare and absent classes, and equal splits.

    Args:
        recipe: Recipe whose corpus they are.
        corpora: Splits, training first.

    Returns:
        One line each; for official data sets only the notes of their readers.
    """
    if _is_official(recipe):
        return [f"{corpus.split}: {corpus.note}" for corpus in corpora if corpus.note]
    lines = [*dict.fromkeys(corpus.note for corpus in corpora if corpus.note)]
    lines += _unused([failure for corpus in corpora for failure in corpus.missing])
    for labels, names in corpora[0].classes.items():
        counts = [examples(corpus, labels) for corpus in corpora]
        lines += _rare(recipe, labels, {names[index]: count for index, count in counts[0].items()})
        for corpus, count in zip(corpora[1:], counts[1:], strict=True):
            if unknown := [names[index] for index in sorted(count.keys() - counts[0].keys())]:
                lines.append(f"only in {corpus.split}, so never learned: {_some(unknown)} ({labels})")
            if absent := [names[index] for index in sorted(counts[0].keys() - count.keys())]:
                lines.append(f"not in {corpus.split}, so never scored: {_some(absent)} ({labels}){_folds(recipe)}")
    return [*lines, *_same_files(recipe, corpora)]


def training_remarks(
    recipe: Recipe, train: Corpus, val: Corpus, store: Store | None, init: Loaded | None
) -> tuple[str, ...]:
    """Describe the splits of a training, the test split of own data included, its clips and its initial weights."""
    test = () if _is_official(recipe) else (usable(recipe, read_corpus(recipe, "test"), store),)
    lines = [*remarks(recipe, (train, val, *test)), *_padding(recipe, train, store), *_rates(recipe, train, store)]
    lines += _warmup(recipe.schedule)
    for corpus in (val, *test):
        if init and init.trained_on == segments_hash(corpus):
            lines.append(
                f"the initial weights {recipe.model.init} were trained on the segments of {corpus.split}, so its "
                f"scores say nothing of new data: set model.init to other weights, or to null"
            )
    return tuple(lines)


def _padding(recipe: Recipe, corpus: Corpus, store: Store | None) -> list[str]:
    """Say that most clips of own data are padded, judged by a sample of them."""
    clip = recipe.data.clip_seconds
    if _is_official(recipe) or store is None or clip is None:
        return []
    median, _ = median_and_longest(corpus, store) or (clip, clip)
    if median >= clip / 2:
        return []
    shorter = f"half of the segments are shorter than {median:.2g} s, padded to {clip:g} s"
    return [f"{shorter}: try data.clip_seconds={median:.2g}"]


def _rates(recipe: Recipe, corpus: Corpus, store: Store | None) -> list[str]:
    """Say that own recordings are sampled below the front end's rate, judged by a sample of them."""
    if _is_official(recipe) or not isinstance(store, DecodedSamples):
        return []
    rates = {}
    for segment in sample(corpus):
        with suppress(BrokenMediaError):  # reported when it is read
            rates[segment.id] = probe(segment.recording).rate
    low = {name: rate for name, rate in rates.items() if rate < store.front_end.rate}
    if not low:
        return []
    name, rate = min(low.items(), key=itemgetter(1))
    some = f"{len(low)} of {len(rates)} recordings ({name}: {rate} Hz)"
    return [
        f"sampled below frontend.rate={store.front_end.rate}: {some}, which have nothing above {rate / 2:g} Hz. "
        f"If classes differ in rate, the network learns the rate: "
        f"set frontend.rate={rate} model.init=null"
    ]


def _is_official(recipe: Recipe) -> bool:
    return bool(dataset_entry(recipe.data.corpus).info.heads)


def _unused(failures: Sequence[Failure]) -> list[str]:
    """One line with the most frequent reasons, each with an example."""
    unique = {(failure.id, failure.path): failure for failure in failures}  # val and test may be the same
    if not unique:
        return []
    examples = {failure.reason: failure.id for failure in reversed(unique.values())}
    reasons = Counter(failure.reason for failure in unique.values()).most_common()
    parts = [f"{count:,} ({examples[reason]}: {reason})" for reason, count in reasons[:3]]
    more = [f"{sum(count for _, count in reasons[3:]):,} for other reasons"] if len(reasons) > 3 else []
    return [f"not used: {', '.join((*parts, *more))}"]


def _rare(recipe: Recipe, labels: str, counts: dict[str, int]) -> list[str]:
    lines = []
    if few := [f"{name} ({count})" for name, count in counts.items() if count < FEW]:
        lines.append(f"fewer than {FEW} training examples: {_some(few)} ({labels}){_folds(recipe)}")
    if counts and max(counts.values()) > IMBALANCE * min(counts.values()):
        most, least = max(counts, key=counts.__getitem__), min(counts, key=counts.__getitem__)
        remedy = "" if recipe.data.balanced else ", and set data.balanced=true"
        lines.append(
            f"{most} has {counts[most]:,} training examples and {least} {counts[least]:,}, more than {IMBALANCE} to 1 "
            f"({labels}): judge by the scores of each class{remedy}"
        )
    return lines


def _folds(recipe: Recipe) -> str:
    return "" if recipe.data.folds else f": {FOLDS}"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _same_files(recipe: Recipe, corpora: Sequence[Corpus]) -> list[str]:
    """Say that splits are the same files: as there are too few for three parts, or as the recipe says so."""
    names: dict[str, list[str]] = {}
    for corpus in filter(lambda corpus: len(corpus.segments), corpora):
        names.setdefault(segments_hash(corpus), []).append(corpus.split)
    best = "; with keep=best, evaluate scores the epoch that is best on them: keep=last avoids it"
    lines, best = [], best if recipe.keep == "best" else ""
    for splits in names.values():
        different, train = sorted(set(splits)), recipe.data.train
        if splits.count(train) > 1:
            lines.append(f"{train} is validated or tested on: set data.val and data.test to other splits")
        elif len(different) > 1:
            kind = "training" if train in different else "validation"
            lines.append(f"{' and '.join(different)} are the same files, so scores are those of {kind}{best}")
    return lines
