"""Prediction with models that read frames, with or without audio: whole videos, a timeline, or boxes.

Clips are read, and transformed on the device, by the code of training and evaluation; only the center crop of each clip
is used, where an evaluation may use several crops.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice
from pathlib import Path
from typing import Literal

import numpy as np
from torch import nn

from slowfast_cli.build.transforms import eval_crops, log_mels
from slowfast_cli.data.clips import Key
from slowfast_cli.data.loader import collate, to
from slowfast_cli.data.video_clips import DecodedSounds, VideoReader
from slowfast_cli.data.views import frame_seconds, span, stretch_clips, uniform_times, windows
from slowfast_cli.media import audio, video
from slowfast_cli.media.audio_decoders import open_audio
from slowfast_cli.media.frame_selection import SNAP, displayed, select_frames
from slowfast_cli.media.video_stream import NoVideoError
from slowfast_cli.metrics.predictions import merge
from slowfast_cli.settings import WHOLE, Frames, FrontEnd
from slowfast_cli.stages.predict.boxes import BoxList
from slowfast_cli.stages.predict.results import MOST_VIEWS, FilePrediction, Timeline
from slowfast_cli.tasks.classify import Classify
from slowfast_cli.tasks.multilabel import MultiLabel
from slowfast_cli.tasks.task import Task
from slowfast_cli.types import Box, Clip, DataError, Inputs, Prediction, Recording, Seconds, Segment
from slowfast_cli.weights.file import Card

AHEAD = 64  # clips whose frames are chosen, and decoded in one pass
BATCH = 8  # clips in one forward pass on a GPU; on a CPU more than one at a time is no faster
MOST_WINDOWS = 1_000_000  # of a timeline
TICKS = 1_000_000  # per second: windows are computed in integers
EVERY_SECOND = Timeline(window=1.0, hop=1.0)  # of a detector without boxes
FULL = Box(place=(0.0, 0.0, 1.0, 1.0))
HALF = 0.5  # seconds before and after its moment that the prediction for a box covers


def eval_frames(card: Card) -> Frames:
    """Frame settings for prediction: the center crop, or the whole frame for a model that classifies boxes.

    Raises:
        KeyError: The card lacks a required field.
        TypeError: The card has an unknown field.
        ValueError: The fields are inconsistent.
    """
    settings = replace(Frames.from_settings(dict(card.video)), bounds="recording")  # files are read whole
    if card.net.regions != "none":
        return replace(settings, crops=WHOLE)
    return replace(settings, crops=min(settings.crops, 1))


class VideoPredictor:
    """Predicts videos with a model that reads frames, with or without audio.

    Args:
        model: The model, on its device.
        card: Its metadata.
        settings: Frames that it reads.
        front_end: Log-mel settings; None if it reads no audio.
    """

    def __init__(self, model: nn.Module, card: Card, settings: Frames, front_end: FrontEnd | None) -> None:
        self._device = next(model.parameters()).device
        self._model = model
        self._batch = 1 if self._device.type == "cpu" else BATCH
        self._settings = settings
        self._views = min(card.views, MOST_VIEWS)
        self._reads_audio = front_end is not None
        front_end = front_end or FrontEnd()
        sounds = DecodedSounds(front_end, partial=True) if self._reads_audio else None
        self._reader = VideoReader(settings=settings, views=1, sounds=sounds, front_end=front_end, partial=True)
        self._log_mels = log_mels(front_end, self._device)
        kind = MultiLabel if card.sigmoid else Classify
        self._task = Task((kind(labels=tuple(card.classes)),))
        self._merge: Literal["mean", "max"] = "max" if card.sigmoid else "mean"

    def predict(self, path: Path, timeline: Timeline | None) -> Iterator[FilePrediction]:
        """See `slowfast_cli.stages.predict.results.FilePredictor`."""
        recording = Recording(id=str(path), path=path)
        probe = self.probe(recording)
        note = self.truncation(recording, probe)
        stretches = [(0.0, probe.seconds)] if timeline is None else timeline_windows(probe, timeline)
        segments = (
            Segment(id=str(number), recording=recording, start=start, stop=stop)
            for number, stretch in enumerate(stretches)
            for start, stop in stretch_clips(stretch, probe.seconds, self._settings, self._views)
        )
        predictions = self.predict_segments(path, segments)
        for number, views in groupby(predictions, key=lambda prediction: int(prediction.id)):
            (merged,) = merge(views, self._merge)
            start, end = stretches[number]
            yield FilePrediction(
                path=path, start=start, end=end, scores=merged.scores, note=note, has_audio=self.has_audio(probe)
            )

    def probe(self, recording: Recording) -> video.VideoProbe:
        """Length, size and frame rate of a video.

        Raises:
            DataError: The file is not a video; if it has audio only, the message says which weights to use.
        """
        try:
            return video.probe(recording)
        except NoVideoError as error:
            try:
                with open_audio(recording):
                    pass
            except DataError:
                raise error from None
            raise DataError(
                f"{error}; this model reads frames, but the file has audio only: use weights for audio, see "
                "`slowfast weights ls`"
            ) from error

    def has_audio(self, probe: video.VideoProbe) -> bool:
        """False if the model reads audio and the video has none."""
        return probe.has_audio or not self._reads_audio

    def truncation(self, recording: Recording, probe: video.VideoProbe) -> str:
        """What a truncated file lacks of the frames, or of the audio if the model reads it; empty for a whole file."""
        return probe.truncated or (audio.truncation(recording) if self._reads_audio and probe.has_audio else "")

    def predict_segments(self, path: Path, segments: Iterable[Segment]) -> Iterator[Prediction]:
        """Probabilities of segments of one clip each, or of their boxes, in order; read a batch at a time."""
        clips = self._clips(segments)
        while taken := list(islice(clips, self._batch)):
            batch = to(collate(taken), self._device)
            batch = replace(batch, inputs=self._log_mels(batch.inputs))
            for view in eval_crops(batch, self._settings):
                yield from self._task.predict(self._model, view)

    def _clips(self, segments: Iterable[Segment]) -> Iterator[Clip]:
        waiting = iter(segments)
        while taken := list(islice(waiting, AHEAD)):
            pieces = self._reader.read_each((segment, Key(0, row, 0)) for row, segment in enumerate(taken))
            for segment, piece in zip(taken, pieces, strict=True):
                yield Clip(inputs=piece.inputs, targets={}, id=segment.id, view=0, boxes=segment.boxes)

    @property
    def clip_seconds(self) -> Seconds:
        """Length of a clip."""
        return self._settings.seconds

    @property
    def short_side(self) -> int:
        """Shorter side of the frames that are read, pixels."""
        return self._settings.side

    @property
    def reads_audio(self) -> bool:
        """Whether the model reads audio too."""
        return self._reads_audio

    def predict_frames(
        self, frames: Sequence[tuple[Seconds, np.ndarray]], seconds: Seconds
    ) -> Mapping[str, np.ndarray]:
        """Probabilities (classes,) by label set of decoded frames.

        Args:
            frames: Times from the start of the stretch, and pixels (H, W, 3), uint8; at most one before the start.
            seconds: Length of the stretch.
        """
        fps = (len(frames) - 1) / (frames[-1][0] - frames[0][0]) if len(frames) > 1 else self._settings.fps
        length = span(self._settings.seconds, fps, None)
        predictions = []
        for start, stop in stretch_clips((0.0, seconds), seconds, self._settings, self._views):
            if self._settings.sampling == "uniform":
                chosen = displayed(frames, uniform_times(start, stop, self._settings).tolist())
            else:
                chosen = select_frames(frames, start=start, span=length, count=self._settings.frames, snap=SNAP)
            pixels = np.stack([pixels for _, pixels in chosen]).transpose(3, 0, 1, 2)
            clip = Clip(inputs=Inputs(frames=pixels), targets={}, id="live", view=0)
            for view in eval_crops(to(collate([clip]), self._device), self._settings):
                predictions += self._task.predict(self._model, view)
        (merged,) = merge(predictions, self._merge)
        return merged.scores


def timeline_windows(probe: video.VideoProbe, timeline: Timeline) -> list[tuple[Seconds, Seconds]]:
    """Start and end of each window of a timeline; the hop is at least one frame."""
    hop = max(timeline.hop, frame_seconds(probe.fps))
    if probe.seconds > MOST_WINDOWS * hop:
        raise DataError(f"{probe.seconds:.0f} s of video in windows every {hop:g} s: expected at most {MOST_WINDOWS}")
    size, window, step = (round(length * TICKS) for length in (probe.seconds, max(timeline.window, hop), hop))
    return [(first / TICKS, min(first + window, size) / TICKS) for first in windows(size, window, step)]


@dataclass(frozen=True, kw_only=True)
class Moment:
    """A clip around which boxes are classified."""

    time: Seconds  # center of the clip
    start: Seconds  # of the stretch that the predictions cover
    end: Seconds
    boxes: tuple[Box, ...]


class Detector:
    """Predicts the classes of boxes in videos.

    Args:
        predictor: Runs the model.
        boxes: Boxes and times; None predicts the whole frame in every window of a timeline.
    """

    def __init__(self, predictor: VideoPredictor, boxes: BoxList | None) -> None:
        self._predictor = predictor
        self._boxes = boxes

    def predict(self, path: Path, timeline: Timeline | None) -> Iterator[FilePrediction]:
        """See `slowfast_cli.stages.predict.results.FilePredictor`."""
        recording = Recording(id=str(path), path=path)
        probe = self._predictor.probe(recording)
        note = self._predictor.truncation(recording, probe)
        moments = self._moments(path, probe, timeline or EVERY_SECOND)
        segments = (
            Segment(id=str(number), recording=recording, center=moment.time, boxes=moment.boxes)
            for number, moment in enumerate(moments)
        )
        for prediction in self._predictor.predict_segments(path, segments):
            moment = moments[int(prediction.id)]
            yield FilePrediction(
                path=path,
                start=moment.start,
                end=moment.end,
                scores=prediction.scores,
                time=moment.time,
                box=next(box for box in moment.boxes if box.place == prediction.place),
                note=note,
                has_audio=self._predictor.has_audio(probe),
            )

    def _moments(self, path: Path, probe: video.VideoProbe, timeline: Timeline) -> Sequence[Moment]:
        if self._boxes is None:
            return [
                Moment(time=(start + end) / 2, start=start, end=end, boxes=(FULL,))
                for start, end in timeline_windows(probe, timeline)
            ]
        by_time = self._boxes.of(path, size=(probe.width, probe.height), length=probe.seconds)
        return [
            Moment(time=time, start=max(time - HALF, 0.0), end=min(time + HALF, probe.seconds), boxes=boxes)
            for time, boxes in by_time.items()
        ]
