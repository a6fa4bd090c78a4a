"""Positions and contents of clips match the reference code row by row."""

import doctest
import json
from dataclasses import replace

import golden
import numpy as np
import pytest
import soundfile
import torch

from slowfast_cli.build import transforms
from slowfast_cli.data import views
from slowfast_cli.data.audio_clips import DecodedSamples, SoundReader, StoredRows
from slowfast_cli.data.clips import Clips, Key
from slowfast_cli.data.loader import collate
from slowfast_cli.data.views import clip_samples, covering, cut, spread, windows
from slowfast_cli.features.logmel import LogMel
from slowfast_cli.media import audio
from slowfast_cli.recipe.load import load
from slowfast_cli.settings import FrontEnd
from slowfast_cli.shards.reader import Shards
from slowfast_cli.stages.extract.run import extract
from slowfast_cli.types import Corpus, Recording, Segment

ROWS = json.loads((golden.REFERENCE / "features" / "crop_index.json").read_text())["rows"]
FRONT_ENDS = {
    ("vggsound", "frames_slowfast"): FrontEnd(),
    ("vggsound", "frames_slow"): FrontEnd(hop_ms=40),
    ("epic", "frames_slowfast"): FrontEnd(rate=24000, window_ms=10, hop_ms=5),
    ("epic", "frames_slow"): FrontEnd(rate=24000, window_ms=10, hop_ms=20),
}
SECONDS = {"vggsound": 5.119, "epic": 1.999}
RATES = {"vggsound": 16000, "epic": 24000}


def name(row):
    return f"{row['loader']}-{row['start_sample']}-{row['audio_size']}"


def segment_of(row, folder):
    recording = Recording(id=name(row), path=folder / f"{name(row)}.wav")
    rate, start, size = RATES[row["loader"]], row["start_sample"], row["audio_size"]
    if row["loader"] == "vggsound":  # whole files
        return Segment(id=name(row), recording=recording)
    return Segment(id=name(row), recording=recording, start=start / rate, stop=(start + size) / rate)


def clips_of(row, store, folder):
    reader = SoundReader(store=store, seconds=SECONDS[row["loader"]], views=row["num_clips"])
    return Clips([segment_of(row, folder)], reader)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Noise of each length in the golden rows, as a file and as float32 shards of each front end."""
    folder = tmp_path_factory.mktemp("golden")
    generator = np.random.default_rng(0)
    segments = {name(row): (row["loader"], segment_of(row, folder)) for row in ROWS}
    for row in ROWS:
        path = folder / f"{name(row)}.wav"
        if not path.exists():
            samples = 0.1 * generator.standard_normal(row["start_sample"] + row["audio_size"]).astype(np.float32)
            soundfile.write(path, samples, RATES[row["loader"]], subtype="FLOAT")
    for (loader, kind), front_end in FRONT_ENDS.items():
        chosen = tuple(segment for dataset, segment in segments.values() if dataset == loader)
        corpus = Corpus(name="golden", split="all", segments=chosen, classes={})
        list(extract([corpus], folder / f"{loader}-{kind}", front_end=front_end, dtype="float32"))
    return folder


def test_docstring_examples():
    assert doctest.testmod(views).attempted >= 7
    assert doctest.testmod(views).failed == 0


def test_golden_rows_are_complete():
    assert len(ROWS) == 48
    assert {row["clip_size"] for row in ROWS} == {clip_samples(5.119, 16000), clip_samples(1.999, 24000)}
    assert any(row["shorter_than_crop"] for row in ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{name(row)}-{row['clip_idx']}of{row['num_clips']}")
def test_positions_match_the_reference(row):
    start = spread(row["audio_size"], row["clip_size"], row["num_clips"])[row["clip_idx"]]
    assert row["start_sample"] + start == row["start"]
    assert row["end"] == pytest.approx(row["start"] + row["clip_size"] - 1, abs=1e-6)
    where = cut(row["start_sample"], row["audio_size"], row["clip_size"], start)
    first, end = row["slice"]
    assert (where.first, where.count) == (first, row["samples_used"])
    assert where.first + where.count == min(end, row["start_sample"] + row["audio_size"])
    for kind in ("frames_slowfast", "frames_slow"):
        front_end = FRONT_ENDS[row["loader"], kind]
        assert front_end.frames(where.count) == row[kind]["before_padding"]
        assert front_end.frames(row["clip_size"] - 1) == row[kind]["after"]


@pytest.mark.parametrize("kind", ["frames_slowfast", "frames_slow"])
def test_clips_from_media_match_the_reference(recordings, kind):
    """Every golden row gives the log-mel of its slice, with the last frame repeated."""
    recipes = {"vggsound": load("vggsound"), "epic": load("epic")}
    for row in ROWS:
        front_end = FRONT_ENDS[row["loader"], kind]
        recipe = recipes[row["loader"]]
        settings = replace(recipe.frontend, hop_ms=front_end.hop_ms)
        prepared = transforms.eval_transform(recipe.model_copy(update={"frontend": settings}), torch.device("cpu"))
        clips = clips_of(row, DecodedSamples(front_end), recordings)
        (batch,) = prepared(collate([clips[Key(0, 0, row["clip_idx"])]]))
        (actual,) = batch.inputs.logmel[:, 0]
        recording = clips.segments[0].recording
        samples = audio.read(recording, rate=front_end.rate, first=row["slice"][0], count=row["samples_used"])
        with torch.no_grad():
            (expected,) = LogMel(front_end)(torch.from_numpy(samples)[None])[:, 0]
        assert len(expected) == row[kind]["before_padding"]
        assert len(actual) == row[kind]["after"]
        torch.testing.assert_close(actual[: len(expected)], expected, atol=1e-5, rtol=0)
        assert (actual[len(expected) :] == actual[len(expected) - 1]).all()


@pytest.mark.parametrize("kind", ["frames_slowfast", "frames_slow"])
def test_clips_from_shards_match_the_reference_within_half_a_row(recordings, kind):
    for row in ROWS:
        front_end = FRONT_ENDS[row["loader"], kind]
        shards = Shards(recordings / f"{row['loader']}-{kind}", front_end.settings())
        clip = clips_of(row, StoredRows(shards, front_end), recordings)[Key(0, 0, row["clip_idx"])]
        (actual,) = clip.inputs.logmel
        true = row[kind]["before_padding"]
        first = round(row["slice"][0] / front_end.hop)
        assert abs(first * front_end.hop - row["slice"][0]) <= front_end.hop / 2
        assert len(actual) == row[kind]["after"]
        np.testing.assert_array_equal(actual[:true], shards.read(name(row), first, true))
        assert (actual[true:] == actual[true - 1]).all()


def test_media_and_shards_agree_inside_a_clip(recordings):
    """For clips that start at a row; at their ends only the shards include the audio beyond."""
    agreed = 0
    for row in ROWS:
        front_end = FRONT_ENDS[row["loader"], "frames_slowfast"]
        if row["slice"][0] % front_end.hop:
            continue
        shards = Shards(recordings / f"{row['loader']}-frames_slowfast")
        stored = clips_of(row, StoredRows(shards, front_end), recordings)[Key(0, 0, row["clip_idx"])]
        decoded = clips_of(row, DecodedSamples(front_end), recordings)[Key(0, 0, row["clip_idx"])]
        with torch.no_grad():
            (expected,) = LogMel(front_end)(torch.from_numpy(decoded.inputs.samples)[None])[:, 0].numpy()
        inside = slice(2, int(decoded.inputs.valid_frames) - 2)
        np.testing.assert_allclose(stored.inputs.logmel[0][inside], expected[inside], atol=2e-4)
        agreed += 1
    assert agreed >= 20


def test_windows_cover_everything():
    for size in (1, 39, 40, 41, 100, 101, 119, 120, 121):
        for window, hop in ((40, 20), (40, 40), (40, 13), (1, 1)):
            starts = windows(size, window, hop)
            assert starts[0] == 0
            assert starts[-1] + window >= size
            assert all(start + window - hop < size for start in starts[1:])
            covered = np.zeros(size, bool)
            for start in starts:
                covered[start : start + window] = True
            assert covered.all()


def test_covering_clips_are_consecutive():
    for clip in (1, 7, 10, 40):
        for size in range(1, 130):
            starts = covering(size, clip)
            assert starts == [float(clip * number) for number in range(len(starts))]
            rest = size - clip * len(starts)
            assert rest < max(clip / 100, 1)  # dropped
            assert rest > -clip or size < clip
            assert len(starts) == 1 or size - starts[-1] >= clip / 100
