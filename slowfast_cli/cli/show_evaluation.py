"""Print what else an evaluation finds: remarks, the comparison of two models, and scores by VGGSounder's labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slowfast_cli.cli import show

if TYPE_CHECKING:
    from slowfast_cli.stages.evaluate.relabeled import Relabeled
    from slowfast_cli.stages.evaluate.report import Compared, MinGain
    from slowfast_cli.stages.evaluate.run import Evaluated
    from slowfast_cli.types import Corpus

COLUMNS = {
    "hit_rate@1": "Hit@1", "hit_rate@5": "Hit@5", "accuracy@1": "Acc@1", "f1@1": "F1@1", "f1@3": "F1@3",
    "jaccard@1": "Jacc@1", "auc_roc": "AUC", "auc_pr": "AP",
}  # fmt: skip


def remarks(result: Evaluated, model: str = "") -> None:
    """Print what limits the scores of a model, each line after the name of the model."""
    if result.trained_on:
        show.say(f"note: {model}the weights were trained on these very segments: the scores are no measure of new data")
    if result.without_audio:
        show.say(f"{model}without audio: {result.without_audio:,} segments, scored by their frames alone")


def missing(corpus: Corpus) -> None:
    """Print the first of the segments that were not scored, and the number of the others."""
    for failure in corpus.missing[:3]:
        show.say(f"not scored: {failure.id}: {failure.reason}")
    if len(corpus.missing) > 3:
        show.say(f"not scored: {len(corpus.missing) - 3} more")


def gains(compared: Compared, min_gain: MinGain) -> None:
    """Print the classes that one of two models does better, by label set."""
    for labels, (ours, theirs) in compared.items():
        rows = [
            [gain.name, f"{gain.better:.1f}", f"{gain.worse:.1f}", f"{sign}{gain.points:.1f}", f"{gain.ratio:.2f}x"]
            for sign, gains in (("+", ours), ("-", theirs))
            for gain in gains
        ]
        show.table(
            f"{labels}: classes that one model does better by more than {min_gain}",
            ["class", "better", "worse", "points", "times"],
            rows,
        )


def relabeled(scores: Relabeled) -> None:
    """Print a row per subset in percent, the original label first; then the modality confusion."""
    rows = [
        [subset, f"{of.clips:,}", *(f"{100 * of.values[key]:.1f}" if key in of.values else "" for key in COLUMNS)]
        for subset, of in scores.all_clips.items()
    ]
    counts = f"{scores.clips:,} of {scores.clips + scores.missing:,} clips"
    show.table(f"VGGSounder ({scores.file}): {counts}, in %", ["labels", "clips", *COLUMNS.values()], rows)
    if scores.confusion:
        shares = ", ".join(f"{name} {100 * share:.2f} %" for name, share in scores.confusion.items())
        show.out.print(f"modality confusion: {shares}")
    if scores.not_annotated:
        show.say(f"VGGSounder does not label {scores.not_annotated:,} of the predicted clips")
