"""Predictions as plain values: the fields of `predict --json`, documented in docs/reference/formats.md."""

from collections.abc import Collection, Sequence
from typing import Any

from slowfast_cli.stages.predict.results import FilePrediction
from slowfast_cli.stages.predict.top import Top
from slowfast_cli.storage.remote import display
from slowfast_cli.types import finite


def plain(
    prediction: FilePrediction, labels: str, lines: Sequence[Top], unknown: Collection[str] = ()
) -> dict[str, Any]:
    """Convert the best classes of one label set to values for JSON.

    Args:
        prediction: Of a file, a window or a box.
        labels: The label set.
        lines: Its best classes, the best first.
        unknown: Label sets of which the prediction is none of the classes; these get ``"unknown": true``.
    """
    values: dict[str, Any] = {
        "path": display(prediction.path).encode("utf-8", "replace").decode(),
        "start": round(prediction.start, 3),
        "end": round(prediction.end, 3),
    }
    if prediction.box is not None and prediction.time is not None:
        values["time"] = round(prediction.time, 3)
        values["box"] = [round(side, 6) for side in prediction.box.place]
        values["box_score"] = prediction.box.score
    values["set"] = labels
    values["top"] = [{"label": line.label, "index": line.index, "score": round(line.score, 6)} for line in lines]
    if labels in unknown:
        values["unknown"] = True
    cleaned: dict[str, Any] = finite(values)  # a pair of indices becomes a list
    return cleaned
