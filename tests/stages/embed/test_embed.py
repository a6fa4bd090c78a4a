"""``slowfast embed`` on sound: features, formats, resuming, errors."""

import json
import shutil
import time

import h5py
import numpy as np
import pytest
import tiny
import torch

from slowfast_cli.data.views import clip_samples
from slowfast_cli.features.front_ends import make_front_end
from slowfast_cli.media import audio
from slowfast_cli.models.spec import with_width
from slowfast_cli.models.zoo import VARIANTS
from slowfast_cli.settings import FrontEnd
from slowfast_cli.stages.embed import run, store, writers
from slowfast_cli.stages.embed.embedder import Embedder
from slowfast_cli.stages.embed.items import file_items
from slowfast_cli.stages.embed.run import groups
from slowfast_cli.storage.lock import file_lock
from slowfast_cli.types import DataError, Recording, UsageError, WeightsError
from slowfast_cli.weights.file import Card, build, save

RATE = 16000
FORMATS = ["npz", "npy", "hdf5", "parquet", "pt"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A small Auditory SlowFast whose clips of 0.5 s are padded with their last frame."""
    net = with_width(VARIANTS["asf-r50"], 8)
    card = Card(net=net, classes={"label": ("a", "b")}, front_end=tiny.FRONT_END, clip_seconds=0.5, views=2)
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    save(path, card.model().state_dict(), card)
    return path


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    """Nine recordings of 0.3 to 1.5 s in two folders."""
    root = tmp_path_factory.mktemp("sounds")
    for number in range(9):
        folder = root / ("a" if number % 2 else "b")
        name = ("rain.wav", "rooster.flac", "helicopter.mkv")[number % 3]
        tiny.write(folder / f"{number}.wav", tiny.sound(name, 0.3 + 0.15 * number, skip=0.1 * number))
    return root


def contents(folder):
    """The bytes of every file of features, and of the index."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    kept = [path for path in paths if not path.name.startswith(("finished-", ".lock"))]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in kept}


def directly(path, weights, spans):
    """Features of some spans of samples of a file, by the unfolded trunk."""
    card, model = build(weights)
    front_end = FrontEnd(**card.front_end)
    clip = clip_samples(card.clip_seconds, front_end.rate) - 1
    samples = audio.read(Recording(id="x", path=path), rate=front_end.rate)
    rows = []
    for first, stop in spans:
        piece = samples[first : min(stop, first + clip)]
        logmel = make_front_end(front_end)(torch.from_numpy(np.pad(piece, (0, clip - len(piece))))[None])
        last = front_end.frames(len(piece)) - 1
        logmel[:, :, last + 1 :] = logmel[:, :, last : last + 1]
        with torch.inference_mode():
            features = model.trunk({"logmel": logmel})
        rows.append(torch.cat([features["slow"], features["fast"]], dim=1)[0].numpy())
    return np.stack(rows)


def test_a_short_file_is_the_pooled_features_of_the_trunk(sounds, weights):
    path = sounds / "b" / "0.wav"
    embedding = Embedder(weights)(path)
    expected = directly(path, weights, [(0, round(0.3 * RATE))])
    np.testing.assert_allclose(embedding.features, expected, rtol=1e-5, atol=1e-6)
    assert (embedding.start.tolist(), embedding.end.tolist()) == ([0.0], [0.3])


def test_a_long_file_is_the_average_of_the_views_of_an_evaluation(sounds, weights):
    path = sounds / "b" / "6.wav"  # 1.2 s: two views
    size, clip = round(1.2 * RATE), round(0.5 * RATE)
    expected = directly(path, weights, [(0, size), (size - clip, size)]).mean(0)
    np.testing.assert_allclose(Embedder(weights)(path).features[0], expected, rtol=1e-5, atol=1e-6)


def test_windows_cover_the_file_and_the_last_one_is_shorter(sounds, weights):
    path = sounds / "b" / "6.wav"
    embedding = Embedder(weights, window=0.5, hop=0.25)(path)
    spans = [(0.0, 0.5), (0.25, 0.75), (0.5, 1.0), (0.75, 1.2)]
    assert list(zip(embedding.start, embedding.end, strict=True)) == spans
    expected = directly(path, weights, [(round(a * RATE), round(b * RATE)) for a, b in spans])
    np.testing.assert_allclose(embedding.features, expected, rtol=1e-5, atol=1e-6)


def test_windows_of_the_detection_preset_start_as_long_as_the_recording_lasts(sounds, weights):
    path = sounds / "b" / "6.wav"
    embedding = Embedder(weights, preset="epic-sounds-c10")(path)
    np.testing.assert_allclose(embedding.start, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0], atol=1e-9)
    np.testing.assert_allclose(embedding.end, [1.0, 1.2, 1.2, 1.2, 1.2, 1.2], atol=1e-9)
    expected = directly(path, weights, [(round(0.8 * RATE), 10**9), (RATE, 10**9)])
    np.testing.assert_allclose(embedding.features[-2:], expected, rtol=1e-5, atol=1e-6)


def test_the_file_of_the_detection_preset(sounds, weights, tmp_path):
    path = sounds / "b" / "6.wav"
    done = tiny.good("embed", path, "-w", weights, "--preset", "epic-sounds-c10", "--out", tmp_path)
    assert "come from Auditory SlowFast R50, EPIC-SOUNDS, clips of 0.999 s at 24 kHz" in done.err
    with np.load(tmp_path / "6.npz") as file:
        features, settings = file["feats"], json.loads(str(file["settings"]))
        assert {*file} == {"feats", "start", "end", "settings"}
    assert (features.dtype, features.shape) == (np.float32, (6, 256 + 32))
    slow = Embedder(weights, layer="slow_res5", preset="epic-sounds-c10")(path).features
    np.testing.assert_allclose(features[:, :256], slow, rtol=1e-5, atol=1e-6)
    assert (settings["preset"], settings["window_s"], settings["hop_s"]) == ("epic-sounds-c10", 1.0, 0.2)
    assert settings["pathways"] == ["slow", "fast"]
    assert "row i is the window from 0.2 i to 0.2 i + 1 s" in settings["note"]


def test_the_detection_preset_names_files_by_the_video_alone(weights, tmp_path):
    root, words = tmp_path / "epic", ["-w", weights, "--preset", "epic-sounds-c10"]
    for place in ("P01/videos/P01_12.wav", "P02/videos/P02_03.wav"):
        tiny.write(root / place, tiny.sound("rain.wav", 0.5))
    tiny.good("embed", root, *words, "--out", tmp_path / "feats")
    assert sorted(path.name for path in (tmp_path / "feats").rglob("*.npz")) == ["P01_12.npz", "P02_03.npz"]
    tiny.write(root / "audio" / "P01_12.wav", tiny.sound("rain.wav", 0.5))
    done = tiny.slowfast("embed", root, *words, "--out", tmp_path / "twice")
    assert (done.code, "both are P01_12, and the preset's files have no folders" in done.err) == (2, True), done.err


def test_the_detection_preset_reads_whole_videos_of_a_data_set_from_hdf5(weights, tmp_path):
    shutil.copytree(tiny.DATA / "lists" / "epic_sounds", root := tmp_path / "epic")
    videos = {"P01_101": 0.5, "P12_102": 1.1}
    with h5py.File(root / "EPIC_audio.hdf5", "w") as file:
        for video, seconds in videos.items():
            file[video] = tiny.sound("rain.wav", seconds, rate=24000)
    words = ["-w", weights, "--preset", "epic-sounds-c10", "--out", tmp_path / "feats"]
    tiny.good("embed", "--dataset", "epic-sounds", "--root", root, "--split", "detection-test", *words)
    for video, seconds in videos.items():
        with np.load(tmp_path / "feats" / f"{video}.npz") as file:
            assert len(file["feats"]) == len(np.arange(0, seconds - 1e-9, 0.2))
    for source in (root, root / "EPIC_audio.hdf5"):
        done = tiny.slowfast("embed", source, *words)
        assert (done.code, f"--dataset epic-sounds --root {root}" in done.err) == (2, True), done.err
    done = tiny.slowfast("embed", "--dataset", "epic-sounds", "--root", root, "--split", "nope", *words)
    assert (done.code, "--split nope: expected train, val, test, validation" in done.err) == (2, True), done.err


@pytest.mark.parametrize("seconds", [0.1, 0.2, 0.21, 0.999, 1.0, 1.001, 2.4])
def test_rows_of_the_detection_preset_start_inside_the_recording(weights, tmp_path, seconds):
    path = tiny.write(tmp_path / "x.wav", tiny.sound("rain.wav", seconds))
    embedding = Embedder(weights, preset="epic-sounds-c10")(path)
    expected = [start for start in 0.2 * np.arange(20) if start < seconds - 1e-9]
    np.testing.assert_allclose(embedding.start, expected, atol=1e-9)
    np.testing.assert_allclose(embedding.end, np.minimum(np.array(expected) + 1, seconds), atol=1e-9)


@pytest.mark.parametrize(
    ("layer", "width"), [("pooled", 256 + 32), ("res4", 128 + 16), ("slow_res4", 128), ("f2s_res2", 8)]
)
def test_features_of_any_stage_are_the_averages_of_its_maps(sounds, weights, layer, width):
    path = sounds / "b" / "0.wav"
    embedder = Embedder(weights, layer=layer)
    features = embedder(path).features
    assert features.shape == (1, width)
    assert embedder.settings()["layer"] == layer


def test_stages_are_joined_in_the_order_of_the_pathways(sounds, weights):
    path = sounds / "b" / "0.wav"
    both, slow, fast = (Embedder(weights, layer=name)(path).features for name in ("res4", "slow_res4", "fast_res4"))
    np.testing.assert_array_equal(both, np.concatenate([slow, fast], axis=1))


def test_files_of_a_batch_do_not_depend_on_each_other(sounds, weights, tmp_path):
    tiny.good("embed", sounds, "-w", weights, "--out", tmp_path / "f")
    embedder = Embedder(weights)
    for path in sorted(sounds.rglob("*.wav")):
        with np.load((tmp_path / "f" / path.relative_to(sounds)).with_suffix(".npz")) as stored:
            np.testing.assert_allclose(stored["features"], embedder(path).features, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_returns_what_was_written(sounds, weights, tmp_path, name):
    words = ["embed", sounds, "-w", weights, "--window", "0.5", "--format", name]
    tiny.good(*words, "--out", tmp_path / "files")
    tiny.good(*words, "--out", tmp_path / "table", "--table")
    suffix = writers.FORMATS[name].suffix
    embedder, rows = Embedder(weights, window=0.5), []
    paths = sorted(sounds.rglob("*.wav"))
    for path in paths:
        expected = embedder(path)
        stored = writers.read_table(
            (tmp_path / "files" / path.relative_to(sounds)).with_suffix(suffix), name, "features"
        )
        assert (stored.features.dtype, stored.file) == (np.float32, None)
        np.testing.assert_allclose(stored.features, expected.features, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(stored.start, expected.start)
        np.testing.assert_array_equal(stored.end, expected.end)
        rows.append(stored.features)
    table = writers.read_table(tmp_path / "table" / f"features{suffix}", name, "features")
    np.testing.assert_array_equal(table.features, np.concatenate(rows))
    np.testing.assert_array_equal(table.file, np.repeat(np.arange(9), [len(part) for part in rows]))
    assert not list((tmp_path / "table").glob("rows-*"))


def test_files_say_what_their_features_depend_on(sounds, weights, tmp_path):
    words = ["embed", sounds / "b" / "0.wav", "-w", weights, "--window", "0.5"]
    for name in FORMATS:
        tiny.good(*words, "--format", name, "--out", tmp_path / name)
    with np.load(tmp_path / "npz" / "0.npz") as file:
        settings = json.loads(str(file["settings"]))
    assert settings["weights_sha256"] == store.sha256(weights.read_bytes()).hexdigest()
    assert (settings["rate"], settings["window_s"], settings["hop_s"], settings["layer"]) == (RATE, 0.5, 0.5, "pooled")
    assert settings["source"].endswith("b/0.wav")
    with h5py.File(tmp_path / "hdf5" / "0.h5") as file:
        assert file.attrs["weights_sha256"] == settings["weights_sha256"]
    import pyarrow.parquet as pq

    assert pq.read_schema(tmp_path / "parquet" / "0.parquet").metadata[b"window_s"] == b"0.5"
    beside = json.loads((tmp_path / "npy" / "0.npy.json").read_text())
    assert (beside["start"], beside["end"], beside["network"]) == ([0.0], [0.3], settings["network"])


@pytest.mark.parametrize("table", [[], ["--table"]])
@pytest.mark.parametrize("killed_after", [1, 5])
def test_an_interrupted_run_ends_with_the_bytes_of_an_uninterrupted_one(
    sounds, weights, tmp_path, monkeypatch, table, killed_after
):
    monkeypatch.setattr(run, "MOST_ITEMS", 3)
    words = ["embed", sounds, "-w", weights, "--window", "0.5", *table, "--out"]
    tiny.good(*words, tmp_path / "whole")
    real, calls = store.Writer.store, []

    def dies(*arguments):
        calls.append(1)
        if len(calls) > killed_after:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(store.Writer, "store", dies)
    stopped = tiny.slowfast(*words, tmp_path / "parts")
    assert (stopped.code, "re-run the command to resume" in stopped.err) == (130, True)
    journal = tmp_path / "parts" / "finished-0.jsonl"
    assert len(journal.read_text().splitlines()) == killed_after
    with journal.open("a") as file:  # a line, and rows, that the interruption cut
        file.write('{"name": "cut')
    if table:
        with (tmp_path / "parts" / "rows-0.bin").open("ab") as file:
            file.write(b"cut")
    monkeypatch.setattr(store.Writer, "store", real)
    done = tiny.good(*words, tmp_path / "parts")
    assert f"{killed_after} of 9 files were finished before" in done.err
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")


@pytest.mark.parametrize("table", [[], ["--table"]])
def test_a_second_run_computes_only_what_has_changed(sounds, weights, tmp_path, table):
    folder = shutil.copytree(sounds, tmp_path / "in")
    words = ["embed", folder, "-w", weights, *table, "--out", tmp_path / "f", "--json"]
    first = tiny.good(*words)
    assert len(first.lines) == 9
    again = tiny.good(*words)
    assert ("9 of 9 files were finished before" in again.err, again.lines) == (True, first.lines)
    tiny.write(folder / "b" / "0.wav", tiny.sound("rain.wav", 0.9))
    tiny.write(folder / "b" / "new.wav", tiny.sound("rain.wav", 0.4))
    third = tiny.good(*words)
    assert [line["rows"] for line in third.lines] == [1] * 10
    fresh = tiny.good(*words[:-3], "--out", tmp_path / "g", "--json")
    assert fresh.code == 0
    assert contents(tmp_path / "f") == contents(tmp_path / "g")


def test_a_broken_file_is_reported_and_the_others_are_written(sounds, weights, tmp_path):
    folder = shutil.copytree(sounds, tmp_path / "in")
    (folder / "b" / "0.wav").write_bytes(b"RIFF1234WAVEnothing")
    done = tiny.slowfast("embed", folder, tmp_path / "absent.wav", "-w", weights, "--table", "--out", tmp_path / "f")
    assert (done.code, "0.wav" in done.err, "absent.wav" in done.err) == (3, True, True)
    assert "2 of 10 files could not be used" in done.err
    with np.load(tmp_path / "f" / "features.npz") as stored:
        assert len(stored["files"]) == 8
    shutil.copy(sounds / "b" / "0.wav", folder / "b")
    tiny.write(tmp_path / "absent.wav", tiny.sound("rain.wav", 0.4))
    tiny.good("embed", folder, tmp_path / "absent.wav", "-w", weights, "--table", "--out", tmp_path / "f")
    with np.load(tmp_path / "f" / "features.npz") as stored:
        assert len(stored["files"]) == 10


def test_segments_of_a_data_set_are_embedded_by_their_ids(weights, tmp_path):
    tiny.make_epic(tmp_path / "epic")
    words = ["--dataset", "epic", "--root", tmp_path / "epic", "--split", "val", "-w", weights]
    done = tiny.good("embed", *words, "--out", tmp_path / "f", "--json")
    assert [line["source"] for line in done.lines][:2] == ["P01_01_0", "P01_01_1"]
    with np.load(tmp_path / "f" / "P01_01_1.npz") as stored:
        assert (stored["start"].tolist(), stored["end"].round(6).tolist()) == ([0.9], [1.4])
        expected = directly(tmp_path / "epic" / "audio" / "P01_01.wav", weights, [(14400, 22400)])
        np.testing.assert_allclose(stored["features"], expected, rtol=1e-4, atol=1e-5)


def test_groups_have_few_and_short_files(tmp_path, monkeypatch):
    for number in range(7):
        (tmp_path / f"{number}.wav").write_bytes(bytes(10 if number != 4 else 100))
    items = file_items(sorted(tmp_path.glob("*.wav")))
    monkeypatch.setattr(run, "MOST_ITEMS", 3)
    monkeypatch.setattr(run, "MOST_BYTES", 50)
    assert [[item.name for item in group] for group in groups(items)] == [["0", "1", "2"], ["3"], ["4"], ["5", "6"]]


def test_names_keep_the_suffix_only_where_two_files_share_a_stem(tmp_path):
    names = ["a/x.wav", "a/x.ogg", "b/x.wav", "y.wav"]
    assert [item.name for item in file_items([tmp_path / name for name in names])] == [
        "a/x.wav",
        "a/x.ogg",
        "b/x",
        "y",
    ]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--hop", "1"], 2, "needs --window"),
        (["--window", "0"], 2, "0 < hop <= window"),
        (["--window", "1", "--hop", "2"], 2, "0 < hop <= window"),
        (["--layer", "slow_res9"], 2, "did you mean 'slow_res"),
        (["--preset", "hero2"], 2, "did you mean 'hero'"),
        (["--preset", "hero"], 2, "is for networks that read frames only"),
        (["--preset", "epic-sounds-c10", "--window", "2"], 2, "has its own windows"),
        (["--format", "nps"], 2, "did you mean 'np"),
        (["--dtype", "int8"], 2, "float16 or float32"),
        (["--precision", "fp8"], 2, "fp32 or bf16"),
        (["--dataset", "esc50"], 2, "either files or folders, or --dataset"),
        (["--device", "tpu0"], 2, "--device tpu0"),
        (["-w", "absent.safetensors"], 4, "no such weights"),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(sounds, tmp_path, words, code, message):
    done = tiny.slowfast("embed", sounds, "--out", tmp_path / "f", *words)
    assert (done.code, message in done.err, len(done.err.splitlines())) == (code, True, 1), done.err
    assert not (tmp_path / "f").exists()


def test_a_folder_of_other_files_or_settings_is_refused(sounds, weights, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    done = tiny.slowfast("embed", sounds, "-w", weights, "--out", tmp_path / "mine")
    assert (done.code, "has no features" in done.err) == (2, True)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]
    tiny.good("embed", sounds, "-w", weights, "--out", tmp_path / "f")
    before = contents(tmp_path / "f")
    done = tiny.slowfast("embed", sounds, "-w", weights, "--layer", "res4", "--out", tmp_path / "f")
    assert (done.code, "other settings" in done.err, contents(tmp_path / "f") == before) == (2, True, True)
    assert tiny.slowfast("embed", sounds, "-w", weights).code == 2


def test_a_package_that_is_missing_is_named(sounds, tmp_path, monkeypatch):
    monkeypatch.setattr(writers.importlib.util, "find_spec", lambda name: None)
    done = tiny.slowfast("embed", sounds, "--format", "parquet", "--out", tmp_path / "f")
    assert (done.code, "pip install 'slowfast-cli[parquet]'" in done.err) == (2, True)


def test_half_precision_refuses_features_beyond_its_range(sounds, weights, tmp_path):
    card, model = build(weights)
    state = model.state_dict()
    state["trunk.stages.fast_res5.2.c_norm.bias"] += 1e5
    save(tmp_path / "large.safetensors", state, card)
    words = ["embed", sounds, "-w", tmp_path / "large.safetensors", "--out", tmp_path / "f"]
    done = tiny.slowfast(*words, "--dtype", "float16")
    assert (done.code, "add --dtype float32" in done.err) == (2, True)
    tiny.good("embed", sounds, "-w", weights, "--dtype", "float16", "--out", tmp_path / "g")
    with np.load(tmp_path / "g" / "b" / "0.npz") as stored:
        assert stored["features"].dtype == np.float16


def test_a_damaged_file_of_features_is_a_data_error(tmp_path):
    for name in FORMATS:
        path = tmp_path / f"x{writers.FORMATS[name].suffix}"
        path.write_bytes(b"nothing")
        with pytest.raises(DataError, match="slowfast embed"):
            writers.read_table(path, name, "features")


def test_the_python_interface_refuses_what_is_not_one_path(weights, tmp_path):
    embedder = Embedder(weights)
    with pytest.raises(UsageError, match="path of one file"):
        embedder(["a.wav"])
    with pytest.raises(DataError, match="nothere"):
        embedder(tmp_path / "nothere.wav")
    with pytest.raises(WeightsError):
        Embedder("nothere.safetensors")


@pytest.mark.processes
@pytest.mark.parametrize("table", [[], ["--table"]])
def test_two_processes_write_what_one_does(sounds, weights, tmp_path, table):
    words = ["embed", sounds, "-w", weights, "--window", "0.5", *table, "--json", "--out"]
    one = tiny.process(*words, tmp_path / "one")
    two = tiny.process(*words, tmp_path / "two", "--gpus", 2)
    assert (one.code, two.code) == (0, 0), two.err
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    paths = [[line["source"] for line in done.lines] for done in (one, two)]
    assert paths[0] == paths[1] == sorted(paths[0], key=str)
    assert two.err.count("9 files, ") == 1
    again = tiny.process(*words, tmp_path / "two")
    assert "9 of 9 files were finished before" in again.err


@pytest.mark.processes
@pytest.mark.parametrize("table", [[], ["--table"]])
def test_a_killed_run_ends_with_the_bytes_of_an_uninterrupted_one(weights, tmp_path, table):
    for number in range(30):
        tiny.write(tmp_path / "in" / f"{number:02d}.wav", tiny.sound("rain.wav", 8, skip=0.05 * number))
    words = ["embed", tmp_path / "in", "-w", weights, "--window", "0.5", "--hop", "0.1", *table, "--out"]
    journal = tmp_path / "parts" / "finished-0.jsonl"
    with tiny.start(*words, tmp_path / "parts") as child:
        while child.poll() is None and not (journal.is_file() and len(journal.read_text().splitlines()) >= 3):
            time.sleep(0.005)
        child.kill()
        child.communicate()
    finished = len(journal.read_text().splitlines())
    assert 3 <= finished < 30
    done = tiny.process(*words, tmp_path / "parts")
    assert f"{finished} of 30 files were finished before" in done.err
    assert tiny.process(*words, tmp_path / "whole").code == 0
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")


def test_a_folder_that_cannot_be_written_is_one_line(sounds, weights, tmp_path):
    (tmp_path / "file").write_text("x")
    done = tiny.slowfast("embed", sounds, "-w", weights, "--out", tmp_path / "file" / "f")
    assert (done.code, "cannot be written" in done.err, len(done.err.splitlines())) == (1, True, 1)
    done = tiny.slowfast("embed", sounds, "-w", weights, "--out", tmp_path / "file")
    assert (done.code, (tmp_path / "file").read_text()) == (2, "x")


def test_another_run_in_the_same_folder_is_refused(sounds, weights, tmp_path):
    tiny.good("embed", sounds, "-w", weights, "--out", tmp_path / "f")
    with file_lock(tmp_path / "f" / ".lock") as obtained:
        assert obtained
        done = tiny.slowfast("embed", sounds, "-w", weights, "--out", tmp_path / "f")
    assert (done.code, "writes to it" in done.err) == (1, True)


def test_a_truncated_file_is_embedded_with_a_note(weights, tmp_path):
    whole = (tiny.DATA / "rooster.flac").read_bytes()
    (tmp_path / "cut.flac").write_bytes(whole[: len(whole) * 2 // 3])
    done = tiny.good("embed", tmp_path / "cut.flac", "-w", weights, "--out", tmp_path / "f")
    assert "note: " in done.err
    assert "truncated" in done.err
