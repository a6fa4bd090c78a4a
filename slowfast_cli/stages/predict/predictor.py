"""Prediction of media files: the public `Predictor`, expansion of file arguments, top-k classes.

`slowfast_cli.stages.predict.audio` predicts with models that read audio only, `slowfast_cli.stages.predict.video` with
models that read frames, with or without audio.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from slowfast_cli.engine import distributed
from slowfast_cli.inference.choose import AUTO
from slowfast_cli.inference.exported import ProgramNetwork, is_exported, open_exported
from slowfast_cli.inference.network import DTYPES, EngineChoice, Network, Source
from slowfast_cli.media.audio_source import printable
from slowfast_cli.models.folding import prepare_for_inference
from slowfast_cli.stages.predict import boxes as box_lists
from slowfast_cli.stages.predict.audio import AudioPredictor
from slowfast_cli.stages.predict.file_predictor import file_predictor
from slowfast_cli.stages.predict.parallel import predict_parallel
from slowfast_cli.stages.predict.results import Failed, FilePrediction, Timeline
from slowfast_cli.stages.predict.top import Top, tops, unknown_sets
from slowfast_cli.types import MEDIA_SUFFIXES, VIDEO_SUFFIXES, DataError, Recording, UsageError, WeightsError
from slowfast_cli.weights.file import Card, build
from slowfast_cli.weights.resolve import weight_file

GPU_THREADS = 4  # videos at a time on a GPU: one is computed while others are decoded; each needs memory
if TYPE_CHECKING:
    from slowfast_cli.stages.predict.video import VideoPredictor

PRECISIONS = tuple(DTYPES)


class Predictor:
    """A trained model that predicts the classes of files.

    Examples:
        >>> predictor = Predictor()
        >>> (prediction,) = predictor("tests/assets/dog.ogg")
        >>> predictor.top(prediction, 1)["label"][0].label
        'dog'

    Args:
        weights: A weight file, a run folder or a catalog name; None for the bundled model. A `Path` is not looked up.
        device: ``auto``, ``cpu``, ``cuda``.
        precision: ``fp32``, or ``bf16``, which is faster and changes scores slightly.
        engine: ``auto``, ``torch``, ``onnx`` or ``openvino``, see `slowfast_cli.inference.network.Network`.
        boxes: A list of boxes and times, for a model that classifies boxes, see
            `slowfast_cli.stages.predict.boxes.read`; None classifies the whole frame.

    Raises:
        WeightsError: The file is missing, not a weight file, or its header is inconsistent.
        UsageError: Boxes were given for a model that classifies none.
        DataError: The list of boxes is inconsistent.
    """

    card: Card
    """Metadata of the weights."""
    weights: Path
    """The weight file."""

    def __init__(
        self,
        weights: str | Path | None = None,
        device: str = "auto",
        *,
        precision: str = "fp32",
        engine: str = AUTO,
        boxes: Path | None = None,
    ) -> None:
        if not (isinstance(weights, Path) and weights.is_file()):
            weights = weight_file(str(weights) if weights else None)
        self.weights = weights
        self._boxes = None if boxes is None else box_lists.read(boxes)
        at = distributed.device(device)
        self._at = at
        choice = EngineChoice(engine=engine, precision=precision)
        program = None
        if is_exported(weights):
            program, self.card = open_exported(weights, choice, at)
            self._model: nn.Module = ProgramNetwork(program)
        else:
            self.card, model = build(weights)
            source = Source(weights=weights, net=self.card.net)
            self._model = Network(prepare_for_inference(model, at), source, choice)
        if boxes is not None and not self.detects:
            raise UsageError(
                f"--boxes {printable(boxes)}: {printable(weights)} classifies whole clips, not boxes: leave it out, or "
                "use weights for boxes, such as AVA's (`slowfast weights ls`)"
            )
        if not self.card.classes:
            raise WeightsError(
                f"{weights}: has no classes (it was trained without labels): finetune it first, with "
                "`slowfast finetune RECIPE --weights ...`"
            )
        if "features" in self.card.net.signals:
            raise WeightsError(f"{weights}: is a probe on the features of a trunk: finetune the trunk instead")
        self._predictor = file_predictor(weights, self.card, self._model, self._boxes, program)

    def __call__(self, path: str | Path, timeline: Timeline | None = None) -> list[FilePrediction]:
        """Predict one file: as a whole, by windows of a timeline, or by its boxes.

        Args:
            path: A sound, video or folder of images, as the network reads.
            timeline: Length and distance of the windows, in seconds.

        Returns:
            One prediction of the whole file; or one for each window or box, with ``start`` and ``end`` (seconds) or
            ``time`` and ``box``. ``scores`` maps label sets to probabilities (classes,), in the order of
            ``card.classes``.

        Raises:
            DataError: The file cannot be used.
            UsageError: ``path`` is not one path.
        """
        if not isinstance(path, str | Path):
            raise UsageError(f"expected the path of one file, got a {type(path).__name__}: call it once per file")
        predictions = list(self.files([Path(path)], timeline))
        for prediction in predictions:
            if isinstance(prediction, Failed):
                raise DataError(prediction.reason)
        return [prediction for prediction in predictions if isinstance(prediction, FilePrediction)]

    def windows(self, recording: Recording, timeline: Timeline) -> list[FilePrediction]:
        """Predict each window of a recording; its audio may be in another file than its frames.

        Raises:
            DataError: The recording cannot be read, or its audio is inside an HDF5 file and the model reads frames too.
        """
        if isinstance(self._predictor, AudioPredictor):
            return [self._finite(prediction) for prediction in self._predictor.windows(recording, timeline)]
        if recording.dataset is not None and "logmel" in self.card.net.signals:
            raise DataError(
                f"{recording.id}: its sound is in {printable(recording.sound or recording.path)}: windows of frames "
                "and sound need both in one file: use videos with sound"
            )
        return self(recording.path, timeline)

    def top(self, prediction: FilePrediction, k: int = 5) -> dict[str, list[Top]]:
        """The k best classes of a prediction by label set."""
        return tops(prediction, self.card, k)

    def unknown(self, prediction: FilePrediction) -> frozenset[str]:
        """The label sets of which a prediction is none of the classes."""
        return unknown_sets(prediction, self.card)

    @property
    def network(self) -> nn.Module:
        """The network, as its engine runs it."""
        return self._model

    @property
    def device(self) -> torch.device:
        """Device of the network."""
        return self._at

    @property
    def reads_frames(self) -> bool:
        """Whether the model reads frames, so that files must be videos."""
        return "frames" in self.card.net.signals

    @property
    def rate(self) -> int:
        """Sampling rate of the audio that the model reads, Hz.

        Raises:
            UsageError: It reads frames.
        """
        return self._audio.rate

    def predict_samples(self, samples_N: np.ndarray) -> dict[str, np.ndarray]:
        """Probabilities (classes,) by label set of mono float32 samples at `rate`.

        Raises:
            UsageError: The model reads frames.
            WeightsError: The model has diverged: a probability is not finite.
        """
        scores = {labels: rows[0] for labels, rows in self._audio.scores([samples_N]).items()}
        if not all(map(_finite, scores.values())):
            raise WeightsError(
                f"{printable(self.weights)}: no number for samples: these weights have diverged; use others"
            )
        return scores

    @property
    def frames(self) -> "VideoPredictor":
        """Predicts decoded frames.

        Raises:
            UsageError: The model reads no frames, or audio or boxes too.
        """
        from slowfast_cli.stages.predict.video import VideoPredictor  # noqa: PLC0415  (not needed by audio models)

        if not isinstance(self._predictor, VideoPredictor) or self._predictor.reads_audio:
            raise UsageError(f"{printable(self.weights)}: expected weights of frames only, without boxes or audio")
        return self._predictor

    @property
    def _audio(self) -> AudioPredictor:
        if not isinstance(self._predictor, AudioPredictor):
            raise UsageError(f"{printable(self.weights)}: reads frames, expected weights that read audio only")
        return self._predictor

    @property
    def is_exported(self) -> bool:
        """Whether the model is a file of `slowfast export`."""
        return isinstance(self._model, ProgramNetwork)

    @property
    def detects(self) -> bool:
        """Whether the model classifies boxes."""
        return self.card.net.regions != "none"

    @property
    def suffixes(self) -> frozenset[str]:
        """Suffixes of the files in a folder that are predicted."""
        return VIDEO_SUFFIXES if self.reads_frames else MEDIA_SUFFIXES

    def check(self, paths: Sequence[Path | Failed]) -> None:
        """Refuse several files if the box list does not say which file each box belongs to.

        Raises:
            UsageError: There are several files, and the list has no column of the file.
        """
        if self._boxes is not None and not self._boxes.names_videos and len(paths) > 1:
            raise UsageError(
                f"--boxes {printable(self._boxes.path)}: does not say which of {len(paths)} files each box is about: "
                "add a column 'path', or name one file"
            )

    def files(
        self, paths: Iterable[Path | Failed], timeline: Timeline | None = None
    ) -> Iterator[FilePrediction | Failed]:
        """Predict each file, in order; a file that fails yields `Failed`, and the others continue.

        Whole files, and windows and boxes of videos, are predicted concurrently, a bounded number of files ahead of the
        consumer.
        """
        # One file does not count: whoever calls this for each of many does not say how many.
        files = len(paths) if timeline is None and isinstance(paths, Sequence) else 0
        if files > 1 and isinstance(self._model, Network):
            self._model.expect(files * self.card.views)
        for result in self._files(paths, timeline):
            yield self._finite(result) if isinstance(result, FilePrediction) else result

    def _finite(self, prediction: FilePrediction) -> FilePrediction:
        """The prediction; raise `WeightsError` if a probability is not finite."""
        if not all(map(_finite, prediction.scores.values())):
            raise WeightsError(
                f"{printable(self.weights)}: no number for {printable(prediction.path)}: these weights have diverged; "
                "use others"
            )
        return prediction

    def _files(self, paths: Iterable[Path | Failed], timeline: Timeline | None) -> Iterator[FilePrediction | Failed]:
        if timeline is None and isinstance(self._predictor, AudioPredictor):
            yield from predict_parallel(paths, self._predictor.predict_files, threads=torch.get_num_threads())
            return
        if self.reads_frames:
            threads = torch.get_num_threads() if self._at.type == "cpu" else min(GPU_THREADS, torch.get_num_threads())
            yield from predict_parallel(paths, partial(self._each, timeline=timeline), threads=threads, most_files=1)
            return
        for path in paths:
            yield from [path] if isinstance(path, Failed) else self._each([path], timeline)

    def _each(self, paths: Sequence[Path], timeline: Timeline | None) -> Iterator[FilePrediction | Failed]:
        for path in paths:
            try:
                yield from self._predictor.predict(path, timeline)
            except DataError as error:
                yield Failed.of(path, error)


def _finite(scores: np.ndarray) -> bool:
    return bool(np.isfinite(scores).all())
