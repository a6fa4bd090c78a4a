"""Video clips: frames at given times, with the audio of exactly the same seconds."""

import json
from pathlib import Path

import numpy as np
import pytest
import rendered
import torch

from slowfast_cli.data.audio_clips import StoredRows
from slowfast_cli.data.clips import Clips, Key
from slowfast_cli.data.loader import collate
from slowfast_cli.data.video_clips import DecodedSounds, StoredSounds, VideoReader, elsewhere
from slowfast_cli.features.logmel import LogMel
from slowfast_cli.media.video_stream import VideoStream
from slowfast_cli.settings import Frames, FrontEnd
from slowfast_cli.shards.reader import Shards
from slowfast_cli.stages.extract.run import extract
from slowfast_cli.types import Box, Corpus, Recording, Segment, Span

AV = FrontEnd(
    rate=16000, window_ms=32, hop_ms=16, mels=80, fft=512, floor=1e-8, power=2, area_norm=True, centred=False,
    mean=-7.03, std=4.66,
)  # fmt: skip
SETTINGS = Frames(frames=32, step=2, rows=128, side=64, crop=32, jitter=(64, 64))
REFERENCE = Path(__file__).parents[1] / "assets" / "reference" / "features"


@pytest.fixture(scope="module")
def numbered(tmp_path_factory):
    path = rendered.numbered(tmp_path_factory.mktemp("numbered") / "clip.mp4", frames=300, tone_hz=440)
    return Recording(id="clip", path=path)


@pytest.fixture(scope="module")
def bouncing(tmp_path_factory):
    path = tmp_path_factory.mktemp("bouncing") / "ball.mkv"
    hits = rendered.bounce(path, seconds=9, seed=3)
    return Recording(id="ball", path=path), hits


def reader(**changes):
    return VideoReader(**{"settings": SETTINGS, "views": 10, "front_end": AV, **changes})


def numbers(piece):
    return [rendered.number_of(frame) for frame in piece.inputs.frames.transpose(1, 2, 3, 0)]


def test_views_match_the_reference(numbered):
    """Frame numbers of the reference in a 10 s video at 30 frames per second."""
    cases = json.loads((REFERENCE / "avslowfast_clips.json").read_text())["cases"]
    checked = 0
    for name, case in cases.items():
        if not name.startswith("test") or name.endswith("misaligned"):
            continue
        piece = reader().read(Segment(id="a", recording=numbered), Key(0, 0, case["clip_index"]))
        assert numbers(piece) == case["frame_numbers"]
        checked += 1
    assert checked == 3


def test_centered_clips_match_pyslowfast(numbered):
    """Frames center - 32, - 30, ..., + 30 at 30 frames per second; the first and last repeat beyond the ends."""
    for second in (5, 1, 10):
        segment = Segment(id="a", recording=numbered, center=second)
        piece = reader().read(segment, Key(0, 0, 0))
        expected = [min(max(second * 30 + step, 0), 299) for step in range(-32, 32, 2)]
        assert numbers(piece) == expected


def test_training_clips_cover_the_segment_and_are_determined_by_their_key(numbered):
    segment = Segment(id="a", recording=numbered, start=1.0, stop=8.0)
    firsts = [numbers(reader().read(segment, Key(epoch, 0, -1)))[0] for epoch in range(12)]
    assert min(firsts) >= 30
    assert max(firsts) <= 30 + 7 * 30 - 64 + 1
    assert len(set(firsts)) > 8
    assert firsts[:2] == [numbers(reader().read(segment, Key(epoch, 0, -1)))[0] for epoch in range(2)]


@pytest.fixture(scope="module")
def stores(bouncing, tmp_path_factory):
    recording, _ = bouncing
    out = tmp_path_factory.mktemp("sounds") / "shards"
    corpus = Corpus(name="t", split="all", segments=(Segment(id="ball", recording=recording),), classes={})
    list(extract([corpus], out, front_end=AV, dtype="float32"))
    return {"shards": StoredSounds(StoredRows(Shards(out, AV.settings()), AV)), "media": DecodedSounds(AV)}


def logmel_of(piece):
    """Log-mel of a piece, computed if it contains samples."""
    if piece.inputs.logmel is not None:
        return piece.inputs.logmel[0]
    with torch.no_grad():
        rows = LogMel(AV)(torch.from_numpy(piece.inputs.samples)[None])[0, 0].numpy()
    return rows[piece.inputs.rows]


@pytest.mark.parametrize("source", ["shards", "media"])
def test_clicks_are_loud_when_the_ball_hits(bouncing, stores, source):
    """Each of the 128 rows is at its time in the clip: only rows at hits of the ball are loud."""
    recording, hits = bouncing
    checked = 0
    for view in range(10):
        piece = reader(sounds=stores[source]).read(Segment(id="a", recording=recording), Key(0, 0, view))
        rows = logmel_of(piece)
        assert rows.shape == (128, 80)
        loud = rows[:, 40:].max(1)
        frames = SETTINGS.seconds * 30
        # The rows of the clip span (L - 1)^2 / L of its L frames.
        at = piece.start + np.arange(128) / 127 * (frames - 1) ** 2 / frames / 30
        for hit in hits:
            if at[2] < hit < at[-4]:
                near = np.abs(at - hit) < 0.035
                assert loud[near].max() > np.median(loud) + 1
                checked += 1
        quiet = np.array([min(abs(hit - time) for hit in hits) > 0.1 for time in at + 0.016])
        assert loud[quiet].max() < loud.max() - 0.5
    assert checked > 20


def test_shards_and_media_give_the_same_rows(bouncing, stores):
    for view in (0, 4, 9):
        segment = Segment(id="a", recording=bouncing[0])
        stored, decoded = (reader(sounds=stores[name]).read(segment, Key(0, 0, view)) for name in ("shards", "media"))
        np.testing.assert_allclose(logmel_of(stored), logmel_of(decoded), atol=2e-3)


def test_rows_match_the_reference():
    """Row indices of the reference are evenly spaced over the clip, rounded down."""
    cases = json.loads((REFERENCE / "avslowfast_clips.json").read_text())["cases"]
    checked = 0
    for case in cases.values():
        for side in ("aligned", "misaligned"):
            if case["whole_track_log_mel"] and side in case:
                reference = case[side]
                length = reference["to"] - reference["from"]
                frames = 64 / 30 * case["video_fps"]
                rate = case["log_mel_rows_available"] / (case["video_frames"] / case["video_fps"])
                assert length == pytest.approx((frames - 1) ** 2 / frames / case["video_fps"] * rate, rel=1e-3)
                rows = np.floor(np.linspace(reference["from"], reference["to"], 128))
                assert np.minimum(rows, case["log_mel_rows_available"] - 1).astype(int).tolist() == reference["rows"]
                checked += 1
    assert checked >= 4


def test_audio_that_starts_late_stays_aligned(tmp_path):
    """A click stays aligned with the frames although the audio stream starts 0.4 s after the first frame."""
    path = tmp_path / "late.mkv"
    sound = np.zeros(16000 * 5, np.float32)
    sound[8000:8160] = 0.9  # 0.5 s in the audio, 0.9 s in the video
    pictures = (rendered.picture_of(number) for number in range(150))
    rendered.write(path, pictures, sound=sound, sound_at=0.4)
    settings = Frames(frames=8, step=8, rows=128, crop=32, jitter=(64, 64), side=64)
    piece = VideoReader(settings=settings, views=2, sounds=DecodedSounds(AV), front_end=AV).read(
        Segment(id="a", recording=Recording(id="late", path=path)), Key(0, 0, 0)
    )
    row = logmel_of(piece).max(1).argmax()
    assert row / 127 * 2.1 == pytest.approx(0.9 - piece.start, abs=0.06)


def test_missing_audio_is_zero_and_marked(tmp_path, stores):
    path = rendered.numbered(tmp_path / "silent.mp4", frames=90)
    segment = Segment(id="a", recording=Recording(id="silent", path=path))
    for source, keys in (("shards", {"logmel"}), ("media", {"samples", "rows"})):
        piece = reader(sounds=stores[source]).read(segment, Key(0, 0, 0))
        assert piece.inputs.has_audio == 0
        assert set(piece.inputs.present) == {"frames", "has_audio", *keys}
    assert not reader(sounds=stores["shards"]).read(segment, Key(0, 0, 0)).inputs.logmel.any()


def test_negatives_keep_the_minimum_gap():
    draw = np.random.default_rng(0)
    starts = [elsewhere(100.0, 32, 300.0, draw) for _ in range(2000)]
    assert all(abs(start - 100) >= 32 for start in starts)
    assert min(starts) < 2
    assert 298 < max(starts) <= 300
    assert sum(start < 100 for start in starts) == pytest.approx(2000 * 68 / 236, rel=0.1)
    assert elsewhere(10.0, 32, 20.0, draw) == 10.0


def test_a_clip_contains_aligned_and_negative_audio(bouncing, stores):
    segment = Segment(id="a", recording=bouncing[0])
    piece = reader(sounds=stores["shards"], gap=0.5).read(segment, Key(3, 0, -1))
    assert piece.inputs.negative.shape == piece.inputs.logmel.shape
    assert not np.allclose(piece.inputs.negative, piece.inputs.logmel)
    again = reader(sounds=stores["shards"], gap=0.5).read(segment, Key(3, 0, -1))
    np.testing.assert_array_equal(piece.inputs.negative, again.inputs.negative)


def test_training_labels_are_those_during_the_clip(numbered):
    """Charades: training uses the classes during the clip, testing all of the segment."""
    segment = Segment(
        id="a", recording=numbered, targets={"label": (0, 2, 3)}, start=0.0, stop=2.2,
        spans=(
            Span(labels="label", index=0, start=0, stop=1), Span(labels="label", index=2, start=2.0, stop=9),
            Span(labels="label", index=3, start=6, stop=9),
        ),
    )  # fmt: skip
    clips = Clips([segment], reader(), sizes={"label": 5})
    assert clips[Key(0, 0, -1)].targets["label"].tolist() == [1, 0, 1, 0, 0]
    assert clips[Key(0, 0, 1)].targets["label"].tolist() == [1, 0, 1, 1, 0]


def test_boxes_and_frames_of_different_sizes_are_batched(numbered, tmp_path):
    other = Recording(id="o", path=rendered.numbered(tmp_path / "tall.mp4", frames=90, size=(64, 128)))
    segments = [
        Segment(id="a", recording=numbered, center=1, boxes=(Box(place=(0, 0, 0.5, 1), targets=(1,)),)),
        Segment(id="b", recording=other, center=1, boxes=(
            Box(place=(0.1, 0, 0.5, 1), targets=(0, 1)), Box(place=(0.2, 0, 0.5, 1), targets=()),
        )),
    ]  # fmt: skip
    clips = Clips(segments, reader(), sizes={"label": 2})
    batch = collate([clips[Key(0, 0, 0)], clips[Key(0, 1, 0)]], clips.sizes)
    assert batch.inputs.frames.shape == (2, 3, 32, 128, 96)
    assert batch.inputs.frames.dtype == torch.uint8
    assert batch.inputs.frame_sizes.tolist() == [[64, 96], [128, 64]]
    assert batch.boxes[:, 0].tolist() == [0, 1, 1]
    assert batch.places == ((0, 0, 0.5, 1), (0.1, 0, 0.5, 1), (0.2, 0, 0.5, 1))
    assert batch.targets["label"].tolist() == [[0, 1], [1, 1], [0, 0]]


@pytest.mark.parametrize("seconds", [1.0, 2.5])
def test_audio_shorter_than_the_video_is_the_same_from_shards_and_media(seconds, tmp_path):
    """Both repeat the last row beyond the end."""
    path = tmp_path / "short.mkv"
    pictures = (rendered.picture_of(number) for number in range(180))
    rendered.write(path, pictures, sound=rendered.tone(seconds, 700))
    recording = Recording(id="short", path=path)
    corpus = Corpus(name="t", split="all", segments=(Segment(id="a", recording=recording),), classes={})
    list(extract([corpus], tmp_path / "shards", front_end=AV, dtype="float32"))
    stored = StoredSounds(StoredRows(Shards(tmp_path / "shards", AV.settings()), AV))
    for view in (0, 4, 9):
        pieces = [
            reader(sounds=source).read(corpus.segments[0], Key(0, 0, view)) for source in (stored, DecodedSounds(AV))
        ]
        np.testing.assert_allclose(logmel_of(pieces[0]), logmel_of(pieces[1]), atol=2e-3)


def test_audio_spans_videos_of_low_frame_rate():
    from slowfast_cli.data.views import rows_span

    for fps in (1, 5, 12, 24, 30, 60):
        assert 0.93 < rows_span(64 / 30, fps, 0.016) * 0.016 / (64 / 30) < 1


def test_several_clips_equal_those_read_one_by_one(numbered):
    segment = Segment(id="a", recording=numbered)
    clips = Clips([segment], reader(sounds=DecodedSounds(AV)))
    keys = [*(Key(0, 0, view) for view in range(10)), Key(0, 0, -1), Key(1, 0, -1)]
    for key, clip in zip(keys, clips.read(keys), strict=True):
        alone = clips[key]
        assert clip.view == alone.view
        for name, values in alone.inputs.present.items():
            assert np.array_equal(clip.inputs.present[name], values), name


def test_views_of_a_batch_open_the_file_once(numbered, monkeypatch):
    clips = Clips([Segment(id="a", recording=numbered)], reader())
    clips[Key(0, 0, 0)]
    opened, open_file = [], VideoStream.open
    monkeypatch.setattr(VideoStream, "open", lambda self: opened.append(1) or open_file(self))
    assert len(clips.read([Key(0, 0, view) for view in range(10)])) == 10
    assert len(opened) == 1
