"""What is seen in a video, and heard with it: views spread over it, a timeline, or boxes at moments of it.

Clips are read, and prepared on the device, by what training and evaluation do it with; of each there is one crop only,
from its middle, where an evaluation may take several.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice
from math import ceil
from pathlib import Path
from typing import Literal

from slowfast_cli.build.transforms import eval_crops, log_mels
from slowfast_cli.data.clips import Clips, Key
from slowfast_cli.data.loader import collate, to
from slowfast_cli.data.video_clips import DecodedSounds, VideoReader
from slowfast_cli.data.views import video_starts, windows
from slowfast_cli.media import video
from slowfast_cli.media.audio_decoders import open_audio
from slowfast_cli.metrics.predictions import merge
from slowfast_cli.models.recognizer import Recognizer
from slowfast_cli.settings import WHOLE, Frames, FrontEnd
from slowfast_cli.stages.predict.boxes import BoxList
from slowfast_cli.stages.predict.results import MOST_VIEWS, FilePrediction, Timeline, decoding
from slowfast_cli.tasks.classify import Classify
from slowfast_cli.tasks.multilabel import MultiLabel
from slowfast_cli.tasks.task import Task
from slowfast_cli.types import Box, BrokenMediaError, DataError, Prediction, Recording, Seconds, Segment
from slowfast_cli.weights.file import Card

BATCH = 8  # clips in one forward pass of a GPU; a CPU gains nothing by more than one at a time
SINGLE = 1.5  # clips in a stretch up to which the one in its middle tells all
TICKS = 1_000_000  # a second: windows are counted in whole ones
SECONDLY = Timeline(window=1.0, hop=1.0)  # when a detector is asked about the whole picture
FULL = Box(place=(0.0, 0.0, 1.0, 1.0))
HALF = 0.5  # seconds before and after its moment that the answer for a box stands for


def tested(card: Card) -> Frames:
    """The frames that a model looks at: a crop from the middle, or the whole frame where it classifies boxes.

    Raises:
        KeyError: A field that the card lacks.
        TypeError: A field this version does not know.
        ValueError: Fields that do not hold together.
    """
    settings = Frames.from_settings(dict(card.video))
    if card.net.regions != "none":
        return replace(settings, crops=WHOLE)
    return replace(settings, crops=min(settings.crops, 1))


class VideoPredictor:
    """A model that looks at frames, with sound or without, ready for videos.

    Args:
        model: The model, on its device.
        card: What its weights say of it.
        settings: Of its frames.
        front_end: Of the log-mel that it reads; None where it hears nothing.
    """

    def __init__(self, model: Recognizer, card: Card, settings: Frames, front_end: FrontEnd | None) -> None:
        self._device = next(model.parameters()).device
        self._model = model
        self._batch = 1 if self._device.type == "cpu" else BATCH
        self._settings = settings
        self._views = card.views
        self._listens = front_end is not None
        front_end = front_end or FrontEnd()
        sounds = DecodedSounds(front_end) if self._listens else None
        self._reader = VideoReader(settings=settings, views=1, sounds=sounds, front_end=front_end)
        self._log_mels = log_mels(front_end, self._device)
        kind = MultiLabel if card.sigmoid else Classify
        self._task = Task((kind(labels=tuple(card.classes)),))
        self._merges: Literal["mean", "max"] = "max" if card.sigmoid else "mean"

    def answers(self, path: Path, timeline: Timeline | None) -> Iterator[FilePrediction]:
        """See `slowfast_cli.stages.predict.results.FilePredictor`."""
        recording = Recording(id=str(path), path=path)
        known = self.probed(recording)
        stretches = [(0.0, known.seconds)] if timeline is None else slides(known, timeline)
        segments = (
            Segment(id=str(number), recording=recording, start=start, stop=start + self._settings.seconds)
            for number, stretch in enumerate(stretches)
            for start in self._starts(stretch, known.seconds)
        )
        for number, views in groupby(self.predicted(path, segments), key=lambda each: int(each.id)):
            (merged,) = merge(views, self._merges)
            start, end = stretches[number]
            yield FilePrediction(path=path, start=start, end=end, scores=merged.scores, heard=self.hears(known))

    def probed(self, recording: Recording) -> video.VideoProbe:
        """What is known of a video.

        Raises:
            DataError: It is none, with a word on what to do where it is sound.
        """
        try:
            with decoding(recording.path):
                return video.probe(recording)
        except BrokenMediaError as error:
            try:
                with open_audio(recording):
                    pass
            except DataError:
                raise error from None
            raise DataError(
                f"{error}; this model looks at frames, and there is only sound: use a model that listens, "
                "see `slowfast weights ls`"
            ) from error

    def hears(self, known: video.VideoProbe) -> bool:
        """Whether the model misses no sound."""
        return known.has_audio or not self._listens

    def predicted(self, path: Path, segments: Iterable[Segment]) -> Iterator[Prediction]:
        """Probabilities for segments of one clip each, or for their boxes, in order; a few segments at a time."""
        waiting = iter(segments)
        while taken := list(islice(waiting, self._batch)):
            clips = Clips(taken, self._reader)
            with decoding(path):
                batch = collate([clips[Key(0, row, 0)] for row in range(len(taken))])
            batch = to(batch, self._device)
            batch = replace(batch, inputs=self._log_mels(batch.inputs))
            for view in eval_crops(batch, self._settings):
                yield from self._task.predict(self._model, view)

    def _starts(self, stretch: tuple[Seconds, Seconds], seconds: Seconds) -> list[Seconds]:
        """Where the clips of a stretch start.

        As many as it takes to cover it, but no more than the model was scored with, spread as for that. A stretch
        shorter than a clip is answered by the clip around it that still lies in the video, if one does.
        """
        (start, end), clip = stretch, self._settings.seconds
        length = end - start
        if length < clip:
            return [max(min((start + end - clip) / 2, seconds - clip), 0.0)]
        views = 1 if length <= SINGLE * clip else min(self._views, ceil(length / clip), MOST_VIEWS)
        return [start + later for later in video_starts(length - clip, views)]


def slides(known: video.VideoProbe, timeline: Timeline) -> list[tuple[Seconds, Seconds]]:
    """Where the windows of a timeline start and end; a hop is a frame at least."""
    hop = max(timeline.hop, 1 / known.fps)
    size, window, step = (round(length * TICKS) for length in (known.seconds, max(timeline.window, hop), hop))
    return [(first / TICKS, min(first + window, size) / TICKS) for first in windows(size, window, step)]


@dataclass(frozen=True, kw_only=True)
class Moment:
    """When a detector looks.

    Attributes:
        time: The middle of its clip.
        start: Of the stretch that the answer stands for.
        end: Of that.
        boxes: What it looks at.
    """

    time: Seconds
    start: Seconds
    end: Seconds
    boxes: tuple[Box, ...]


class Detector:
    """A model that classifies boxes in the picture, ready for videos.

    Args:
        viewer: The model.
        boxes: Where to look and when; None looks at the whole picture in every window of a timeline.
    """

    def __init__(self, viewer: VideoPredictor, boxes: BoxList | None) -> None:
        self._viewer = viewer
        self._boxes = boxes

    def answers(self, path: Path, timeline: Timeline | None) -> Iterator[FilePrediction]:
        """See `slowfast_cli.stages.predict.results.FilePredictor`."""
        recording = Recording(id=str(path), path=path)
        known = self._viewer.probed(recording)
        moments = self._moments(path, known, timeline or SECONDLY)
        segments = (
            Segment(id=str(number), recording=recording, center=moment.time, boxes=moment.boxes)
            for number, moment in enumerate(moments)
        )
        for each in self._viewer.predicted(path, segments):
            moment = moments[int(each.id)]
            yield FilePrediction(
                path=path,
                start=moment.start,
                end=moment.end,
                scores=each.scores,
                time=moment.time,
                box=next(box for box in moment.boxes if box.place == each.place),
                heard=self._viewer.hears(known),
            )

    def _moments(self, path: Path, known: video.VideoProbe, timeline: Timeline) -> Sequence[Moment]:
        if self._boxes is None:
            return [
                Moment(time=(start + end) / 2, start=start, end=end, boxes=(FULL,))
                for start, end in slides(known, timeline)
            ]
        found = self._boxes.of(path, size=(known.width, known.height), length=known.seconds)
        return [
            Moment(time=time, start=max(time - HALF, 0.0), end=min(time + HALF, known.seconds), boxes=boxes)
            for time, boxes in found.items()
        ]
