"""NSynth reader, on notes of the official test list."""

import json
import shutil
from pathlib import Path

import pytest

from slowfast_cli.corpora import labels, nsynth
from slowfast_cli.types import DataError

LIST = Path(__file__).parents[1] / "assets" / "lists" / "nsynth" / "examples.json"
NOTES = json.loads(LIST.read_text())


@pytest.fixture(params=["", "nsynth"])
def top(request, tmp_path):
    for folder in ("nsynth-train", "nsynth-valid", "nsynth-test"):
        top = tmp_path / request.param / folder
        (top / "audio").mkdir(parents=True)
        shutil.copyfile(LIST, top / "examples.json")
        for name in NOTES:
            (top / "audio" / f"{name}.wav").touch()
    return tmp_path / request.param


@pytest.mark.parametrize("block", [1 << 20, 100, 7])
def test_families_and_pitches(top, tmp_path, monkeypatch, block):
    monkeypatch.setattr(nsynth, "BLOCK", block)
    families = nsynth.read_instrument(tmp_path, "test")
    pitches = nsynth.read_pitch(tmp_path, "test")
    assert families.classes["label"] == labels.names("nsynth_families")
    assert len(families.classes["label"]) == 11
    assert pitches.classes["label"] == tuple(str(pitch) for pitch in range(128))
    for corpus, field in ((families, "instrument_family"), (pitches, "pitch")):
        assert [segment.id for segment in corpus.segments] == list(NOTES)
        assert [segment.targets["label"] for segment in corpus.segments] == [note[field] for note in NOTES.values()]
        assert corpus.segments[0].recording.path == top / "nsynth-test" / "audio" / f"{next(iter(NOTES))}.wav"
    for segment in families.segments:
        assert families.classes["label"][segment.targets["label"]] == NOTES[segment.id]["instrument_family_str"]
        assert f"-{pitches.classes['label'][NOTES[segment.id]['pitch']].zfill(3)}-" in segment.id


def test_missing_notes_and_the_name_of_val(top, tmp_path):
    note = next(iter(NOTES))
    (top / "nsynth-valid" / "audio" / f"{note}.wav").unlink()
    corpus = nsynth.read_pitch(tmp_path, "val")
    assert len(corpus.segments) == 5
    assert [(failure.id, failure.path, failure.reason) for failure in corpus.missing] == [
        (note, top / "nsynth-valid" / "audio" / f"{note}.wav", "not on disk")
    ]
    shutil.rmtree(top / "nsynth-train" / "audio")
    assert len(nsynth.read_pitch(tmp_path, "train").missing) == 6


def test_on_one_line(top, tmp_path):
    before = nsynth.read_pitch(tmp_path, "test")
    (top / "nsynth-test" / "examples.json").write_text("\ufeff" + json.dumps(NOTES), encoding="utf-8")
    assert list(nsynth.read_pitch(tmp_path, "test").segments) == list(before.segments)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (LIST.read_text()[:-40], "truncated"),
        ("[1, 2]", "not a JSON object of notes"),
        ("", "not a JSON object of notes"),
        ('{"a-1": 3}', "a-1: pitch None is not from 0 to 127"),
        ('{"a-1": {"pitch": 128}}', "a-1: pitch 128 is not from 0 to 127"),
        ('{"a-1": {"pitch": "12"}}', "a-1: pitch '12' is not"),
    ],
)
def test_errors_name_the_note(top, tmp_path, text, reason):
    (top / "nsynth-test" / "examples.json").write_text(text)
    with pytest.raises(DataError, match=reason):
        nsynth.read_pitch(tmp_path, "test")


def test_another_order_of_families(top, tmp_path):
    note = {**NOTES["brass_acoustic_006-088-075"], "instrument_family": 2}
    (top / "nsynth-test" / "examples.json").write_text(json.dumps({"x": note}))
    with pytest.raises(DataError, match="x: instrument_family 2 is named 'brass', expected 'flute'"):
        nsynth.read_instrument(tmp_path, "test")
    assert len(nsynth.read_pitch(tmp_path, "test").missing) == 1


@pytest.mark.parametrize("read", [nsynth.read_instrument, nsynth.read_pitch])
def test_missing_data_set(tmp_path, read):
    with pytest.raises(DataError, match="contains none of the expected files"):
        read(tmp_path, "train")
    with pytest.raises(DataError, match="no split 'valid'"):
        read(tmp_path, "valid")
