"""Audio clips: determined by their key, and within their recording."""

import pickle

import numpy as np
import pytest
import tiny
import torch

from slowfast_cli.build import transforms
from slowfast_cli.data import audio_clips as module
from slowfast_cli.data.audio_clips import DecodedSamples, SoundReader, StoredRows
from slowfast_cli.data.clips import Clips, Key
from slowfast_cli.data.loader import collate
from slowfast_cli.features.logmel import LogMel
from slowfast_cli.media import audio
from slowfast_cli.recipe.load import load
from slowfast_cli.settings import FrontEnd
from slowfast_cli.shards.reader import Shards
from slowfast_cli.stages.extract.run import extract
from slowfast_cli.types import BrokenMediaError, Corpus, DataError, Inputs, Recording, Segment

FRONT_END = FrontEnd(mels=32)
RATE = FRONT_END.rate


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    path = tmp_path_factory.mktemp("clips") / "rain.wav"
    return Recording(id="rain", path=tiny.write(path, tiny.sound("rain.wav", 2)))


@pytest.fixture(scope="module", params=["shards", "media"])
def store(request, recording):
    if request.param == "media":
        return DecodedSamples(FRONT_END)
    out = recording.path.parent / "shards"
    corpus = Corpus(name="t", split="all", segments=(Segment(id="rain", recording=recording),), classes={})
    list(extract([corpus], out, front_end=FRONT_END, dtype="float32"))
    return StoredRows(Shards(out, FRONT_END.settings()), FRONT_END)


def make(segments, store, *, seconds=1.0, views=2, seed=0):
    return Clips(segments, SoundReader(store=store, seconds=seconds, views=views, seed=seed))


def logmel(clip):
    """Log-mel of a clip after the device transform."""
    prepared = transforms.eval_transform(load("folder", [*tiny.FRONT]), torch.device("cpu"))
    (batch,) = prepared(collate([clip]))
    return batch.inputs.logmel[0, 0].numpy()


def test_short_segments_are_padded_with_their_last_frame(recording, store):
    short = Segment(id="a", recording=recording, start=0.5, stop=0.7, targets={"label": 3})
    clip = make([short], store)[Key(0, 0, 1)]
    rows = logmel(clip)
    assert rows.shape == (100, 32)
    assert (rows[20:] == rows[20]).all()
    assert not (rows[19] == rows[20]).all()
    assert (clip.id, clip.view, clip.targets) == ("a", 1, {"label": 3})


def test_short_segments_are_optionally_padded_with_silence(recording, store):
    """Equal to zero-padding the samples: the last windows with audio extend into the zeros."""
    short = Segment(id="a", recording=recording, start=0.5, stop=0.7)
    filled = Clips([short], SoundReader(store=store, seconds=1.0, views=1, silence=True))[Key(0, 0, 0)]
    rows, repeated = logmel(filled), logmel(make([short], store)[Key(0, 0, 0)])
    assert rows.shape == (100, 32)
    np.testing.assert_allclose(rows[22:], FRONT_END.silence, rtol=1e-6)
    np.testing.assert_array_equal(rows[:19], repeated[:19])
    assert (repeated[22:] > FRONT_END.silence + 1).any()
    if isinstance(store, DecodedSamples):
        whole = np.zeros(RATE - 1, np.float32)
        whole[: round(0.2 * RATE)] = audio.read(recording, rate=RATE, first=RATE // 2, count=round(0.2 * RATE))
        with torch.no_grad():
            expected = LogMel(FRONT_END)(torch.from_numpy(whole)[None])[0, 0].numpy()
        np.testing.assert_array_equal(rows, expected)
    long = Segment(id="a", recording=recording)
    same = [
        logmel(Clips([long], SoundReader(store=store, seconds=1.0, views=2, silence=silence))[Key(0, 0, 1)])
        for silence in (False, True)
    ]
    np.testing.assert_array_equal(*same)


@pytest.mark.parametrize(
    ("start", "stop", "starts"),
    [
        (0.0, None, [0.0, 0.6, 1.2, 1.8]),  # of 2 s
        (0.0, 1.805, [0.0, 0.6, 1.2]),  # a rest of 5 ms is dropped
        (0.0, 1.81, [0.0, 0.6, 1.2, 1.8]),
        (0.5, 1.1, [0.5]),
        (0.5, 0.6, [0.5]),
        (0.5, 9.0, [0.5, 1.1, 1.7]),  # truncated at the end of the recording
    ],
)
def test_consecutive_clips_cover_a_segment(recording, store, start, stop, starts):
    """HARES App. A; a rest shorter than 1 % of a clip is dropped."""
    segment = Segment(id="a", recording=recording, start=start, stop=stop)
    reader = SoundReader(store=store, seconds=0.6, views=None)
    assert reader.count(segment) == len(starts)
    pieces = [reader.read(segment, Key(0, 0, view)) for view in range(len(starts))]
    assert [piece.start for piece in pieces] == pytest.approx(starts)
    ends = [piece.stop for piece in pieces]
    assert ends[:-1] == pytest.approx(starts[1:], abs=1.1 / RATE)
    assert ends[-1] <= min(2.0, stop or 2.0) + 1e-9
    assert Clips([segment, segment], reader).counts() == [len(starts)] * 2
    with pytest.raises(IndexError):
        reader.read(segment, Key(0, 0, len(starts)))


def test_an_unreadable_recording_counts_as_one_clip(tmp_path):
    """Reading it then reports the error."""
    broken = Recording(id="a", path=tmp_path / "broken.wav")
    broken.path.write_bytes(b"no sound")
    reader = SoundReader(store=DecodedSamples(FRONT_END), seconds=0.6, views=None)
    assert reader.count(Segment(id="a", recording=broken)) == 1
    with pytest.raises(BrokenMediaError, match=r"broken\.wav: not a media file"):
        reader.read(Segment(id="a", recording=broken), Key(0, 0, 0))


def test_the_second_crop_of_an_epoch_is_independent_of_the_first(recording, store):
    clips = make([Segment(id="a", recording=recording), Segment(id="b", recording=recording)], store, seconds=0.3)
    reader = clips.reader
    starts = {
        (epoch, segment, view): reader.read(clips.segments[segment], Key(epoch, segment, view)).start
        for epoch in range(20)
        for segment in range(2)
        for view in (-1, -2)
    }
    assert len(set(starts.values())) > 70  # of 80; starts in shards are rounded to rows
    for key, start in starts.items():
        assert reader.read(clips.segments[key[1]], Key(*key)).start == start
        assert 0 <= start <= 1.7
    first, second = (np.array([start for key, start in starts.items() if key[2] == view]) for view in (-1, -2))
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.4
    assert clips[Key(0, 0, -2)].view == 0


@pytest.mark.parametrize("view", [0, 1, -1])
def test_a_segment_that_stops_past_the_end_is_truncated(recording, store, view):
    """`P29_05_563` of EPIC-KITCHENS-100: training crops, too, stay within the audio."""
    over = Segment(id="a", recording=recording, start=1.0, stop=9.0)
    ends = Segment(id="a", recording=recording, start=1.0, stop=2.0)
    for epoch in range(5):
        expected = logmel(make([ends], store, seconds=0.5)[Key(epoch, 0, view)])
        np.testing.assert_array_equal(logmel(make([over], store, seconds=0.5)[Key(epoch, 0, view)]), expected)


@pytest.mark.parametrize("stop", [None, 9.0])
def test_a_segment_that_starts_past_the_end_is_one_frame(recording, store, stop):
    """`slowfast data check` reports it; it must not stop a long training run."""
    past = Segment(id="a", recording=recording, start=3.0, stop=stop)
    for view in (0, 1, -1):
        rows = logmel(make([past], store)[Key(0, 0, view)])
        assert rows.shape == (100, 32)
        assert (rows == rows[0]).all()


def test_random_crops_are_uniform_and_determined_by_their_key(recording):
    starts = []

    class Spy:
        front_end = FRONT_END

        def samples(self, recording):
            return 2 * RATE

        def read(self, recording, where, clip, *, silence):
            starts.append(where.first)
            assert where.count == clip - 1 == RATE - 1
            return Inputs()

    clips = make([Segment(id=str(i), recording=recording) for i in range(4)], Spy())
    for epoch in range(250):
        for segment in range(4):
            clips[Key(epoch, segment, -1)]
    assert min(starts) >= 0
    assert max(starts) <= RATE
    counts, _ = np.histogram(starts, bins=10, range=(0, RATE))
    assert counts.min() > 60  # of 100
    assert len(set(starts)) > 900
    again, other = starts.copy(), []
    starts.clear()
    for epoch in range(250):
        for segment in range(4):
            clips[Key(epoch, segment, -1)]
    assert starts == again
    starts = other
    make([Segment(id="a", recording=recording)], Spy(), seed=1)[Key(0, 0, -1)]
    assert other[0] != again[0]


def test_the_same_key_gives_the_same_clip(recording, store):
    clips = make([Segment(id="a", recording=recording)], store, seconds=0.3)
    for key in (Key(0, 0, -1), Key(7, 0, -1), Key(0, 0, 1)):
        one, two = clips[key], pickle.loads(pickle.dumps(clips))[key]
        for name, value in one.inputs.present.items():
            np.testing.assert_array_equal(value, two.inputs.present[name])


def test_media_of_another_rate_are_resampled(tmp_path):
    path = tiny.write(tmp_path / "high.wav", tiny.sound("rain.wav", 1, rate=44100), 44100)
    recording = Recording(id="high", path=path)
    clip = make([Segment(id="a", recording=recording)], DecodedSamples(FRONT_END), seconds=0.5)[Key(0, 0, 0)]
    np.testing.assert_array_equal(clip.inputs.samples, audio.read(recording, rate=RATE, count=RATE // 2 - 1))


def test_clips_at_the_end_of_a_recording_stay_within_its_rows(recording, store):
    """Rounding to rows must not exceed the last row."""
    last = 2 * RATE
    for start in (last - 1, last - 79, last - 81, last - 161, last - RATE, 81, 79):
        segment = Segment(id="a", recording=recording, start=start / RATE, stop=last / RATE)
        clip = make([segment], store, seconds=0.4, views=3)[Key(0, 0, 2)]
        assert logmel(clip).shape == (40, 32)


def test_a_missing_recording_is_named_in_the_error(tmp_path):
    gone = Segment(id="a", recording=Recording(id="a", path=tmp_path / "gone.wav"), stop=1.0)
    with pytest.raises(DataError, match=r"gone\.wav: cannot be read: No such file"):
        make([gone], DecodedSamples(FRONT_END))[Key(0, 0, 0)]


def test_recordings_are_probed_once(recording, monkeypatch):
    """An epoch of training from media opens each file once, not twice."""
    probed = []
    probe = audio.probe
    monkeypatch.setattr(module.audio, "probe", lambda recording: probed.append(recording.id) or probe(recording))
    once = Recording(id="once", path=recording.path)
    clips = make(
        [Segment(id="a", recording=once), Segment(id="b", recording=once, stop=1.5)], DecodedSamples(FRONT_END)
    )
    for epoch in range(3):
        for segment in (0, 1):
            clips[Key(epoch, segment, -1)]
    assert probed == ["once"]


def test_the_device_transform_matches_the_front_end(recording):
    clips = make([Segment(id="a", recording=recording)], DecodedSamples(FRONT_END), seconds=0.5)
    clip = clips[Key(0, 0, 1)]
    with torch.no_grad():
        expected = LogMel(FRONT_END)(torch.from_numpy(clip.inputs.samples)[None])[0, 0].numpy()
    np.testing.assert_array_equal(logmel(clip), expected)
