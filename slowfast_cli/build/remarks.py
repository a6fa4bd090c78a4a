"""What a user should know about own data before work on it begins; official data sets are known."""

from collections import Counter
from collections.abc import Iterable, Sequence

from slowfast_cli.build.adapt import median_and_longest
from slowfast_cli.build.corpus import dataset_entry, read_corpus, segments_hash
from slowfast_cli.data.audio_clips import Store
from slowfast_cli.recipe.schema import Recipe
from slowfast_cli.types import Corpus, Failure

FEW = 20  # training examples of a class
IMBALANCE = 20  # times the rarest class
SHOWN = 5  # names in a line


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
        counts = [_counts(corpus, labels) for corpus in corpora]
        lines += _rare(labels, {names[index]: count for index, count in counts[0].items()})
        for corpus, count in zip(corpora[1:], counts[1:], strict=True):
            if unknown := [names[index] for index in sorted(count.keys() - counts[0].keys())]:
                lines.append(f"only in {corpus.split}, so never learned: {_some(unknown)} ({labels})")
            if absent := [names[index] for index in sorted(counts[0].keys() - count.keys())]:
                lines.append(f"not in {corpus.split}, so never scored: {_some(absent)} ({labels})")
    best = "; with keep=best, evaluate scores the epoch that is best on them: keep=last avoids it"
    return [*lines, *(line + best * (recipe.keep == "best") for line in _same_files(corpora[1:]))]


def training_remarks(recipe: Recipe, train: Corpus, val: Corpus, store: Store | None) -> tuple[str, ...]:
    """Describe the splits of a training, the test split of own data included, and the length of its clips."""
    test = () if _is_official(recipe) else (read_corpus(recipe, "test"),)
    return (*remarks(recipe, (train, val, *test)), *_padding(recipe, train, store))


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


def _counts(corpus: Corpus, labels: str) -> Counter[int]:
    """Number of segments of each class."""
    targets = (segment.targets.get(labels, ()) for segment in corpus.segments)
    return Counter(index for target in targets for index in (target if isinstance(target, tuple) else (target,)))


def _rare(labels: str, counts: dict[str, int]) -> list[str]:
    lines = []
    if few := [f"{name} ({count})" for name, count in counts.items() if count < FEW]:
        lines.append(f"fewer than {FEW} training examples: {_some(few)} ({labels}): scores are rough")
    if counts and max(counts.values()) > IMBALANCE * min(counts.values()):
        most, least = max(counts, key=counts.__getitem__), min(counts, key=counts.__getitem__)
        lines.append(
            f"{most} has {counts[most]:,} training examples and {least} {counts[least]:,}, more than {IMBALANCE} to 1 "
            f"({labels}): judge by the scores of each class"
        )
    return lines


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _same_files(corpora: Iterable[Corpus]) -> list[str]:
    """Say that splits are the same files, as there are too few for three parts."""
    names: dict[str, list[str]] = {}
    for corpus in corpora:
        names.setdefault(segments_hash(corpus), []).append(corpus.split)
    alike = [sorted(set(splits)) for splits in names.values() if len(set(splits)) > 1]
    return [f"{' and '.join(splits)} are the same files, so scores are those of validation" for splits in alike]
