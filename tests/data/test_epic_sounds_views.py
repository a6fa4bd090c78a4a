"""The five views of EPIC-SOUNDS against those of the official loader."""

import json
from dataclasses import dataclass
from pathlib import Path

import golden
import numpy as np
import pytest

from slowfast_cli.corpora.lists import parse_time
from slowfast_cli.data.audio_clips import SoundReader
from slowfast_cli.data.clips import Key
from slowfast_cli.data.views import clip_samples
from slowfast_cli.recipe.load import load
from slowfast_cli.types import Inputs, Recording, Segment

OFFICIAL = json.loads((golden.REFERENCE / "features" / "epic_sounds_views.json").read_text())
RECIPE = load("epic-sounds")


@dataclass
class Cuts:
    """A store that remembers what is read."""

    front_end = RECIPE.frontend

    def samples(self, recording):
        return 10**9

    def read(self, recording, where, clip, *, silence):
        self.cut, self.clip = where, clip
        return Inputs(samples=np.zeros(1, np.float32))


@pytest.mark.parametrize("row", OFFICIAL["rows"], ids=lambda row: row["start"])
def test_views_are_the_loaders(row):
    """The loader truncates times to samples; ours are exact, so at most one sample later."""
    store = Cuts()
    reader = SoundReader(store=store, seconds=RECIPE.data.clip_seconds, views=RECIPE.data.views)
    start, stop = parse_time(row["start"], ""), parse_time(row["stop"], "")
    segment = Segment(id="a", recording=Recording(id="a", path=Path("a.wav")), start=start, stop=stop)
    assert reader.count(segment) == len(row["slices"]) == 5
    for view, (first, end) in enumerate(row["slices"]):
        reader.read(segment, Key(segment=0, view=view, epoch=0))
        assert store.cut.first - first in (0, 1)
        assert abs(store.cut.first + store.cut.count - end) <= 1
        assert store.front_end.frames(store.cut.count) == row["spectrogram_frames"]
        assert store.front_end.frames(store.clip - 1) - row["spectrogram_frames"] == row["frames_padded"]
    assert store.clip == OFFICIAL["clip_samples"] == clip_samples(1.999, 24000)
