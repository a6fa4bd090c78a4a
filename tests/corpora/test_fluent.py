"""Fluent Speech Commands reader, on the official first row and synthetic rows."""

import shutil
from pathlib import Path

import pytest

from slowfast_cli.corpora import fluent
from slowfast_cli.types import DataError

GENUINE = Path(__file__).parents[1] / "assets" / "lists" / "fluent" / "test_data.csv"
HEADER = ",path,speakerId,transcription,action,object,location"
ROWS = (
    '0, wavs/speakers/a1B/x-1.wav ,a1B, "Turn it up, please" ,increase, volume,none ',
    "1,wavs/speakers/a1B/x-2.wav,a1B,Switch language to Chinese,change language,Chinese,none",
    "2,wavs/speakers/c2D/x-1.wav,c2D,Bring me my shoes,bring,shoes,none",
)


@pytest.fixture(params=["", "fluent_speech_commands_dataset"])
def top(request, tmp_path):
    top = tmp_path / request.param
    (top / "data").mkdir(parents=True)
    (top / "data" / "train_data.csv").write_text("\ufeff" + "\r\n".join([HEADER, *ROWS]), encoding="utf-8", newline="")
    (top / "data" / "valid_data.csv").write_text(f"{HEADER}\n{ROWS[2]}\n")
    shutil.copyfile(GENUINE, top / "data" / "test_data.csv")
    for speaker, name in (("a1B", "x-1"), ("a1B", "x-2"), ("c2D", "x-1")):
        (top / "wavs" / "speakers" / speaker).mkdir(parents=True, exist_ok=True)
        (top / "wavs" / "speakers" / speaker / f"{name}.wav").touch()
    return top


def label_names(corpus, segment):
    return [corpus.classes[slot][segment.targets[slot]] for slot in ("action", "object", "location")]


def test_slot_classes():
    classes = fluent.slot_classes()
    assert [len(names) for names in classes.values()] == [6, 14, 4]
    assert all(list(names) == sorted(names) for names in classes.values())
    assert classes["object"][:4] == ("Chinese", "English", "German", "Korean")


def test_blanks_around_values_are_ignored(top, tmp_path):
    corpus = fluent.read(tmp_path, "train")
    assert [label_names(corpus, segment) for segment in corpus.segments] == [
        ["increase", "volume", "none"],
        ["change language", "Chinese", "none"],
        ["bring", "shoes", "none"],
    ]
    assert [segment.id for segment in corpus.segments] == ["a1B/x-1", "a1B/x-2", "c2D/x-1"]
    assert corpus.segments[0].recording.path == top / "wavs" / "speakers" / "a1B" / "x-1.wav"
    assert [segment.group for segment in corpus.segments] == ["a1B", "a1B", "c2D"]
    assert len(fluent.read(tmp_path, "val").segments) == 1


def test_the_official_row(top, tmp_path):
    (failure,) = fluent.read(tmp_path, "test").missing
    assert failure.id == "4BrX8aDqK2cLZRYl/cbdf5700-452c-11e9-b1e4-e5985dca719e"
    assert failure.reason == "not on disk"
    failure.path.parent.mkdir()
    failure.path.touch()
    corpus = fluent.read(tmp_path, "test")
    assert label_names(corpus, corpus.segments[0]) == ["activate", "lights", "none"]
    assert corpus.segments[0].group == "4BrX8aDqK2cLZRYl"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            f"{HEADER}\n0,wavs/speakers/a/x.wav,a,Hm,activate,lights,attic\n",
            "location: 'attic' is not one of the 4",
        ),
        (
            f"{HEADER}\n0,wavs/speakers/a/x.wav,a,Hm,activate,Lights,none\n",
            "row 2: object: 'Lights' is not one of the 14",
        ),
        (f"{HEADER}\n0,wavs/speakers/a/x.wav,a,Up, please,activate,lights,none\n", "row 2: 8 columns, expected 7"),
        ("path,action,object\nx.wav,bring,shoes\n", "row 2: no column location, speakerId"),
        (f"{HEADER}\n{ROWS[1]}\n{ROWS[1]}\n", "a1B/x-2 is listed twice"),
    ],
)
def test_errors_name_the_row(top, tmp_path, text, reason):
    (top / "data" / "train_data.csv").write_text(text)
    with pytest.raises(DataError, match=reason):
        fluent.read(tmp_path, "train")


def test_missing_data_set(tmp_path):
    with pytest.raises(DataError, match="contains none of the expected files"):
        fluent.read(tmp_path, "train")
    with pytest.raises(DataError, match="no split 'valid'"):
        fluent.read(tmp_path, "valid")
