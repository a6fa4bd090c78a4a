"""Build the predictor of files that fits a model."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torch import nn

from slowfast_cli.data.views import picked_rows
from slowfast_cli.inference.program import Program
from slowfast_cli.inference.sound_program import ProgramScorer
from slowfast_cli.stages.predict import boxes as box_lists
from slowfast_cli.stages.predict.audio import AudioPredictor, SoundScorer
from slowfast_cli.stages.predict.results import FilePredictor
from slowfast_cli.stages.predict.sound_scorer import NetworkScorer
from slowfast_cli.types import WeightsError
from slowfast_cli.weights.file import Card


def file_predictor(
    weights: Path, card: Card, model: nn.Module, boxes: box_lists.BoxList | None, program: Program | None = None
) -> FilePredictor:
    """Build what predicts one file with a model of the kind that the card describes.

    Args:
        weights: The file, for messages.
        card: Metadata of the model.
        model: Returns logits.
        boxes: Boxes to classify.
        program: An exported file's, which replaces the model if it has the front end inside.
    """
    front_end = None
    if "frames" not in card.net.signals or "logmel" in card.net.signals:
        with _header(weights, "a front end"):
            front_end = card.log_mel()
    if "frames" not in card.net.signals and front_end is not None:
        with _header(weights, "frames"):
            rows = picked_rows(card.video, front_end)
        scorer: SoundScorer = NetworkScorer(model, card, front_end, rows=rows)
        if program is not None and program.metadata.front_end:
            scorer = ProgramScorer(weights, program)
        return AudioPredictor(
            scorer, rate=front_end.rate, clip_seconds=card.clip_seconds, views=card.views, sigmoid=card.sigmoid
        )
    from slowfast_cli.stages.predict import video  # noqa: PLC0415  (not needed by audio models)

    with _header(weights, "frames"):
        settings = video.eval_frames(card)
    predictor = video.VideoPredictor(model, card, settings, front_end)
    return predictor if card.net.regions == "none" else video.Detector(predictor, boxes)


@contextmanager
def _header(weights: Path, what: str) -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{weights}: its header does not describe {what} ({error})") from error
