"""Probabilities of sounds by a program with the front end inside; without torch."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from slowfast_cli.inference.program import Metadata, Program
from slowfast_cli.settings import FrontEnd
from slowfast_cli.types import WeightsError

SAMPLES, FRAMES = "samples", "valid_frames"  # names of the inputs


class ProgramScorer:
    """Scores sounds with a program that reads samples and returns probabilities.

    Raises:
        WeightsError: The program has no front end inside, or its metadata is incomplete.
    """

    def __init__(self, path: Path, program: Program, threads: int = 1) -> None:
        self._program, self._threads = program, threads
        metadata = program.metadata
        if not metadata.front_end:
            raise WeightsError(f"{path}: has no front end: export it with --with-front-end")
        self.card = SoundCard(path, metadata)
        (self._length,) = metadata.inputs[SAMPLES]

    def __call__(self, sounds: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """See `slowfast_cli.stages.predict.audio.SoundScorer`."""
        inputs: dict[str, np.ndarray] = {
            SAMPLES: np.stack([np.pad(sound, (0, self._length - len(sound))) for sound in sounds]).astype(np.float32)
        }
        if FRAMES in self._program.metadata.inputs:
            inputs[FRAMES] = np.array([self.card.front_end.frames(len(sound)) for sound in sounds], np.int64)
        return self._program.run(inputs, self._threads)


class SoundCard:
    """What a program's metadata says about sounds and classes."""

    def __init__(self, path: Path, metadata: Metadata) -> None:
        card = metadata.card
        try:
            self.front_end = FrontEnd(**card["front_end"])
            self.classes: Mapping[str, Sequence[str]] = card["classes"]
            self.clip_seconds, self.views = float(card["clip_seconds"]), int(card["views"])
            self.sigmoid = bool(card["sigmoid"])
            self.unknown, self.threshold = str(card["unknown"]), float(card["threshold"])
        except (KeyError, TypeError, ValueError) as error:
            raise WeightsError(f"{path}: its metadata does not describe a network for sounds ({error!r})") from error
