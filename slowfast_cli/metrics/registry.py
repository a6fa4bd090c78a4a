"""Registry of metrics: title, digits, unit and direction.

A metric that is not listed by its full name follows its last word: ``unseen_verb_top1`` follows ``top1``. A new metric
is a function in this package, its call in `slowfast_cli.metrics.scores`, and a line here.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True, kw_only=True)
class Metric:
    """Presentation and direction of a metric."""

    title: str
    digits: int = 2  # after the decimal point
    percent: bool = True  # values are in percent; otherwise from 0 to 1 or unbounded
    higher_is_better: bool = True

    def better(self, value: float, best: float | None) -> bool:
        """Whether a value improves on the best so far; NaN never does."""
        if best is None:
            return value == value  # noqa: PLR0124  (false for NaN)
        return value > best if self.higher_is_better else value < best

    def in_percent(self, value: float) -> float:
        """Convert a value to percent."""
        return value if self.percent else 100 * value


METRICS: Mapping[str, Metric] = {
    "top1": Metric(title="Top-1"),
    "top5": Metric(title="Top-5"),
    "all_top1": Metric(title="All sets Top-1"),
    "mca": Metric(title="mCA"),
    "map": Metric(title="mAP", digits=3, percent=False),
    "auc": Metric(title="AUC", digits=3, percent=False),
    "dprime": Metric(title="d'", digits=3, percent=False),
    "pretext_top1": Metric(title="Retrieval accuracy (%)"),
    "params_m": Metric(title="Params (M)", percent=False, higher_is_better=False),
    "gflops": Metric(title="GFLOPs", percent=False, higher_is_better=False),
    "step_ms": Metric(title="Step (ms)", percent=False, higher_is_better=False),
    "hares": Metric(title="HARES"),
    "audioset": Metric(title="AudioSet"),
    "tut18": Metric(title="TUT18"),
    "esc50": Metric(title="ESC-50"),
    "speech_commands_v1": Metric(title="Speech Commands v1"),
    "speech_commands_v2": Metric(title="Speech Commands v2"),
    "fluent": Metric(title="Fluent Speech Commands"),
    "voxforge": Metric(title="VoxForge"),
    "voxceleb1": Metric(title="VoxCeleb1"),
    "nsynth_pitch": Metric(title="NSynth pitch"),
    "nsynth_instrument": Metric(title="NSynth instrument"),
    "magnatagatune": Metric(title="MagnaTagATune"),
}


def find_metric(name: str) -> Metric:
    """Look up a metric by its name, or by its last word: ``verb_top1`` is titled Verb Top-1."""
    if name in METRICS:
        return METRICS[name]
    words = name.split("_")
    title = " ".join(METRICS[word].title if word in METRICS else word.capitalize() for word in words)
    return replace(METRICS.get(words[-1], Metric(title="")), title=title)


def metric_title(name: str) -> str:
    """Return the title of a metric in tables."""
    return find_metric(name).title


def format_metric(name: str, value: float | None) -> str:
    """Format a value with the digits of its metric; empty for None."""
    return "" if value is None else f"{value:.{find_metric(name).digits}f}"


def informative(names: Iterable[str], classes: Mapping[str, Sequence[str]]) -> list[str]:
    """Leave out top-5 accuracies of label sets of at most five classes, which are always 100 %.

    >>> informative(["verb_top1", "verb_top5", "noun_top5"], {"verb": "ab", "noun": "abcdef"})
    ['verb_top1', 'noun_top5']
    """
    few = [labels for labels, members in classes.items() if len(members) <= 5]
    ends = tuple("top5" if len(classes) == 1 else f"{labels}_top5" for labels in few)
    return [name for name in names if not name.endswith(ends)]
