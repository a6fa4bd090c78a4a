"""What is found on disks: each broken file is reported by name, stops nothing else, and never shows a traceback."""

import csv
import os
import shutil
from contextlib import suppress
from pathlib import Path

import h5py
import numpy as np
import pytest
import soundfile
import tiny
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slowfast_cli.models.spec import with_width
from slowfast_cli.models.zoo import VARIANTS
from slowfast_cli.shards.reader import Shards
from slowfast_cli.stages.predict.predictor import Failed, FilePrediction, Predictor, Timeline
from slowfast_cli.types import DataError
from slowfast_cli.weights.file import Card, save


def truncated(path, source, share=0.3):
    content = (tiny.DATA / source).read_bytes()
    path.write_bytes(content[: int(share * len(content))])


def eight_channels(path):
    soundfile.write(path, np.stack([tiny.sound("rain.wav", 0.7)] * 8, axis=1), 16000, subtype="PCM_16")


def not_numbers(path):
    samples = tiny.sound("rain.wav", 0.7).copy()
    samples[5000] = np.nan
    soundfile.write(path, samples, 16000, subtype="FLOAT")


def without_sound(path):
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 32
        for _ in range(5):
            container.mux(stream.encode(av.VideoFrame(32, 32, "yuv420p")))
        container.mux(stream.encode(None))


# What works, however odd, and what is reported, with words of the report.
ODD = {
    "one-sample.wav": lambda path: tiny.write(path, np.array([0.5], np.float32)),
    "eight-channels.wav": eight_channels,
    "studio.wav": lambda path: tiny.write(path, tiny.sound("rain.wav", 0.7, rate=192000), 192000),
    "telephone.wav": lambda path: tiny.write(path, tiny.sound("rain.wav", 0.7, rate=4000), 4000),
    "is-ogg.wav": lambda path: shutil.copyfile(tiny.DATA / "dog.ogg", path),
    "is-mp4.mp3": lambda path: shutil.copyfile(tiny.DATA / "clock.mp4", path),
    os.fsdecode(b"latin\xe9.wav"): lambda path: shutil.copyfile(tiny.DATA / "rain.wav", path),
    "new\nline, 'quotes' [and] %s {braces}.wav": lambda path: shutil.copyfile(tiny.DATA / "rain.wav", path),
}  # fmt: skip
BROKEN = {
    "zero-byte.wav": (lambda path: path.touch(), "empty file (0 bytes)"),
    "header-only.wav": (lambda path: path.write_bytes((tiny.DATA / "rain.wav").read_bytes()[:44]), ""),
    "text.flac": (lambda path: path.write_text("This is no sound.\n" * 50), "not a media file"),
    "cut.mp4": (lambda path: truncated(path, "clock.mp4"), ""),
    "cut-early.ogg": (lambda path: truncated(path, "dog.ogg", 0.01), ""),
    "nan.wav": (not_numbers, "NaN"),
    "text.mp3": (lambda path: path.write_text("This is no sound.\n" * 50), "not a media file"),
    "silent-film.mp4": (without_sound, "no audio stream"),
    "folder.wav": (lambda path: path.mkdir(), "is a folder, expected a recording"),
    "loop.wav": (lambda path: path.symlink_to(path), "cannot be read"),
    "dangling.wav": (lambda path: path.symlink_to("nowhere.wav"), "cannot be read"),
}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    net = with_width(VARIANTS["asf-r50"], 8)
    card = Card(net=net, classes={"label": ("a", "b")}, front_end=tiny.FRONT_END, clip_seconds=0.6, views=2)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save(path, card.model().state_dict(), card)
    return path


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile") / "train" / "things"
    folder.mkdir(parents=True)
    for name, make in ODD.items():
        make(folder / name)
    for name, (make, _) in BROKEN.items():
        make(folder / name)
    return folder


@pytest.mark.parametrize("timeline", [None, Timeline(window=0.5, hop=0.5)], ids=["whole", "timeline"])
def test_predicting(weights, hostile, timeline):
    predictor = Predictor(weights, "cpu")
    for name in ODD:
        answers = list(predictor.files([hostile / name], timeline))
        assert all(isinstance(answer, FilePrediction) for answer in answers), (name, answers)
        for answer in answers:
            assert np.isfinite(answer.scores["label"]).all()
            assert answer.scores["label"].sum() == pytest.approx(1, abs=1e-5)
    for name, (_, reason) in BROKEN.items():
        *_, failed = predictor.files([hostile / name], timeline)
        assert isinstance(failed, Failed), name
        assert reason in failed.reason
        assert name in failed.reason


def test_predicting_from_the_command_line(weights, hostile):
    paths = sorted(hostile.iterdir())
    done = tiny.slowfast("predict", *paths, "-w", weights, "--json")
    assert done.code == 3
    assert len(done.lines) == len(ODD)
    errors = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == len(BROKEN) + 1
    assert errors[-1] == f"error: {len(BROKEN)} of {len(paths)} files could not be used"
    assert "Traceback" not in done.err
    assert "defect" not in done.err


def test_extracting(hostile, tmp_path):
    root = tmp_path / "corpus"
    shutil.copytree(hostile.parents[1], root, symlinks=True, ignore=shutil.ignore_patterns("loop.wav", "dangling.wav"))
    (root / "val" / "things").mkdir(parents=True)
    shutil.copyfile(tiny.DATA / "rain.wav", root / "val" / "things" / "fine.wav")
    words = ["--dataset", "folder", "--root", root, "-j", "2", "--out", tmp_path / "out", *tiny.FRONT]
    done = tiny.slowfast("extract", *words)
    assert done.code == 3
    assert "more than --max-missing 25%" in done.err
    assert "Traceback" not in done.err
    stored = {Path(id).name for id in Shards(tmp_path / "out").ids()}
    assert stored == {*ODD, "fine.wav"}
    with (tmp_path / "out" / "failures.csv").open(encoding="utf-8", newline="") as file:
        failed = {Path(row["id"]).name: row["reason"] for row in csv.DictReader(file)}
    assert set(failed) == set(BROKEN) - {"folder.wav", "loop.wav", "dangling.wav"}
    for name, reason in failed.items():
        assert BROKEN[name][1] in reason
    assert tiny.slowfast("extract", *words, "--max-missing", "0.9").code == 0


CONTENTS = [(tiny.DATA / name).read_bytes() for name in ("dog.ogg", "rain.wav", "sneeze.mp3", "rooster.flac")]
CONTENTS += [(tiny.DATA / name).read_bytes() for name in ("clock.mp4", "helicopter.mkv")]


@pytest.mark.thorough
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
@given(
    content=st.sampled_from(CONTENTS),
    edits=st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=16)), min_size=1, max_size=6),
    keep=st.floats(0.01, 1),
    early=st.booleans(),
)
def test_any_damage_gives_an_answer_or_a_failure(weights, tmp_path, content, edits, keep, early):
    data = bytearray(content)
    for place, patch in edits:
        at = int(place * (min(len(data), 2000) if early else len(data) - 1))
        data[at : at + len(patch)] = patch
    path = tmp_path / "damaged.wav"
    path.write_bytes(data[: max(1, int(keep * len(data)))])
    predictor = Predictor(weights, "cpu")
    for timeline in (None, Timeline(window=1.0, hop=1.0)):
        for answer in predictor.files([path], timeline):
            assert isinstance(answer, FilePrediction | Failed)
            if isinstance(answer, FilePrediction):
                assert np.isfinite(answer.scores["label"]).all()
            else:
                assert str(path) in answer.reason


def corpus(sounds, tmp_path):
    root = tmp_path / "folder"
    root.symlink_to(sounds)
    shutil.copytree(sounds.parent / "shards", tmp_path / "shards")
    (shards,) = (tmp_path / "shards" / "folder").glob("*-10ms-32mel")
    return root, shards


def flip(path, share):
    content = bytearray(path.read_bytes())
    content[int(share * len(content))] ^= 0xFF
    path.write_bytes(content)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_shard_with_a_flipped_byte_stops_training_by_name(sounds, tmp_path, workers):
    root, folder = corpus(sounds, tmp_path)
    shard = max(folder.glob("*.h5"))
    with h5py.File(shard) as file:
        offset = file["logmel"].id.get_chunk_info(0).byte_offset
    flip(shard, (offset + 50) / shard.stat().st_size)
    words = [f"data.root={root}", *tiny.WORDS, f"data.workers={workers}"]
    done = tiny.slowfast("train", "folder", *words, "--run", tmp_path / "run")
    assert done.code == 3
    assert f"{shard}: broken shard (" in done.err
    assert "remove it and run `slowfast extract` again" in done.err
    assert "Traceback" not in done.err
    shard.unlink()
    extract = ["extract", "--dataset", "folder", "--root", root, "-j", "1", *tiny.FRONT]
    tiny.good(*extract)
    tiny.good("train", "folder", *words, "--smoke")


@pytest.mark.parametrize("damage", ["truncated", "gone", "no manifest", "torn manifest"])
def test_shards_that_are_damaged_are_refused_before_training(sounds, tmp_path, damage):
    root, folder = corpus(sounds, tmp_path)
    shard = max(folder.glob("*.h5"))
    if damage == "truncated":
        shard.write_bytes(shard.read_bytes()[:-100])
    elif damage == "gone":
        shard.unlink()
    elif damage == "no manifest":
        (folder / "manifest.jsonl").unlink()
    else:
        (folder / "manifest.jsonl").write_text('{"shard": "shard-00000.h5"}\n')
    done = tiny.slowfast("train", "folder", f"data.root={root}", *tiny.WORDS, "--run", tmp_path / "run")
    assert done.code == 3
    assert str(folder) in done.err
    assert "slowfast extract" in done.err
    assert not (tmp_path / "run").exists()


def test_shards_of_another_front_end_are_refused(sounds, tmp_path):
    root, folder = corpus(sounds, tmp_path)
    words = [f"data.root={root}", *tiny.WORDS, "frontend.window_ms=25"]
    done = tiny.slowfast("train", "folder", *words, "--run", tmp_path / "run")
    assert done.code == 3
    assert "no log-mels here; made with other settings: 16000hz-20ms-10ms-32mel" in done.err
    done = tiny.slowfast("train", "folder", *words, f"data.shards={folder}", "--run", tmp_path / "run")
    assert done.code == 3
    assert "made with window_ms=20, the recipe wants window_ms=25" in done.err.replace(".0", "")
    done = tiny.slowfast(
        "extract", "--dataset", "folder", "--root", root, "--out", folder, "-j", "1", "frontend.mels=8"
    )
    assert done.code == 3
    assert "mels=32" in done.err
    assert "mels=8" in done.err
    Shards(folder)  # still there


@pytest.mark.parametrize("below", ["out", "deep/out"])
def test_output_folders_that_cannot_be_made(sounds, tmp_path, below):
    (tmp_path / "file").touch()
    out = tmp_path / "file" / below
    done = tiny.slowfast("extract", "--dataset", "folder", "--root", sounds, "--out", out, "-j", "1", *tiny.FRONT)
    assert done.code == 3
    assert str(tmp_path / "file") in done.err
    assert "cannot be written" in done.err
    assert "defect" not in done.err


def test_a_corpus_that_is_one_class_or_one_file(tmp_path):
    tiny.write(tmp_path / "one" / "train" / "rain" / "a.wav", tiny.sound("rain.wav", 1))
    tiny.write(tmp_path / "one" / "val" / "rain" / "b.wav", tiny.sound("rain.wav", 1))
    words = [f"data.root={tmp_path / 'one'}", *tiny.WORDS, "data.source=media"]
    done = tiny.slowfast("train", "folder", *words, "--run", tmp_path / "run")
    assert (done.code, "label set label has one class only (rain)" in done.err) == (3, True)
    tiny.write(tmp_path / "one" / "val" / "dog" / "c.wav", tiny.sound("rain.wav", 1))
    done = tiny.slowfast("train", "folder", *words, "--run", tmp_path / "run")
    assert (done.code, "1 segments do not fill a batch of 4" in done.err) == (3, True)
    done = tiny.slowfast("train", "folder", *words, "optim.batch=1", "augment.mix=0", "--run", tmp_path / "run")
    assert "only in val, so never learned: dog (label)" in done.err
    assert "Traceback" not in done.err
    assert "defect" not in done.err


def test_damaged_shards_are_data_errors_everywhere(sounds, tmp_path):
    """Whatever byte is hit, reading gives the rows or a `DataError`, never something else."""
    _, folder = corpus(sounds, tmp_path)
    shard = max(folder.glob("*.h5"))
    whole = shard.read_bytes()
    expected = {id: Shards(folder).read(id) for id in Shards(folder).ids()}
    draw = np.random.default_rng(0)
    for _ in range(60):
        content = bytearray(whole)
        content[int(draw.integers(len(content) if draw.random() < 0.5 else 4000))] ^= int(draw.integers(1, 256))
        shard.write_bytes(content)
        stored = Shards(folder)
        for id, rows in expected.items():
            with suppress(DataError):
                np.testing.assert_array_equal(stored.read(id), rows)
        stored.close()
