"""Remote corpora, shards and runs: extraction, training, resuming and scoring by URL."""

import uuid

import fsspec
import pytest
import tiny

from slowfast_cli.build.corpus import mirrored
from slowfast_cli.engine.checkpoint import load_state
from slowfast_cli.stages.train.run_folder import lines
from slowfast_cli.storage import remote


@pytest.fixture
def memory():
    return fsspec.filesystem("memory")


@pytest.fixture
def bucket(tmp_path, monkeypatch, memory):
    """Sounds in class folders, in memory; the URL of the folder above them."""
    monkeypatch.setenv("SLOWFAST_CACHE", str(tmp_path / "cache"))
    mirrored.cache_clear()
    name = uuid.uuid4().hex
    here = tiny.make_folder(tmp_path / "sounds")
    memory.put(f"{here}/", f"/{name}/sounds", recursive=True)
    yield f"memory://{name}"
    mirrored.cache_clear()
    memory.rm(f"/{name}", recursive=True)


def forget(tmp_path, times=[]):  # noqa: B006
    """Another machine, which has nothing of it yet."""
    times.append(None)
    (tmp_path / "cache").rename(tmp_path / f"cache-{len(times)}")
    mirrored.cache_clear()


def names(memory, url):
    root = url.removeprefix("memory://")
    return sorted(name.removeprefix(f"/{root}/") for name in memory.find(f"/{root}"))


def test_the_whole_path_by_url(bucket, tmp_path, memory):
    root, run = f"{bucket}/sounds", f"{bucket}/runs/optim.batch=4"
    done = tiny.good("extract", "--dataset", "folder", "--root", root, "-j", 1, *tiny.FRONT)
    shards = f"{bucket}/shards/sounds-folder/{remote.local_path(done.err.split('shards: ')[1].split()[0]).name}"
    assert f"done: {shards}" in done.err
    assert {"manifest.jsonl", "shard-00000.h5", "failures.csv", "missing.csv"} <= set(names(memory, shards))

    forget(tmp_path)
    words = ["train", "folder", f"data.root={root}", *tiny.WORDS, "--run", run]
    done = tiny.good(*words)
    assert f"done: {run}" in done.err
    there = names(memory, run)
    assert {"last.safetensors", "state.pt", "metrics.jsonl", "recipe.yaml"} <= set(there)
    assert not [name for name in there if name.startswith(".") or "/." in name]
    with fsspec.open(f"{run}/recipe.yaml", "rt") as file:
        assert f"root: {root}" in file.read()
    sounds = [path for path in remote.local_path(root).rglob("*.wav") if remote.NOTES not in path.parts]
    assert sounds
    assert all(remote._is_placeholder(path) for path in sounds), "the log-mels are read, not the sounds"

    forget(tmp_path)
    assert "already finished" in tiny.good(*words).err
    done = tiny.good("evaluate", run)
    assert f"done: {run}/evaluation/test" in done.err
    assert "evaluation/test/classes-label.csv" in names(memory, run)
    forget(tmp_path)
    assert "rain" in tiny.good("predict", tiny.DATA / "rain.wav", "-w", run).out
    forget(tmp_path)
    assert "rain" in tiny.good("predict", tiny.DATA / "rain.wav", "-w", f"{run}/last.safetensors").out


@pytest.mark.thorough
def test_a_run_elsewhere_goes_on_where_it_was_stopped(bucket, tmp_path, memory):
    root, run = f"{bucket}/sounds", f"{bucket}/runs/two"
    tiny.good("extract", "--dataset", "folder", "--root", root, "-j", 1, *tiny.FRONT)
    words = ["train", "folder", f"data.root={root}", *tiny.WORDS, "--run", run]
    tiny.good(*words, "schedule.epochs=1", "schedule.checkpoint_steps=1")
    folder = remote.local_path(run)
    assert load_state(folder / "state.pt")["step"] == 3
    text = (folder / "recipe.yaml").read_text()
    (folder / "recipe.yaml").write_text(text.replace("epochs: 1", "epochs: 2"))
    remote.upload(folder)
    forget(tmp_path)
    done = tiny.good(*words, "schedule.checkpoint_steps=1")
    assert "resuming at step 3 of 6" in done.err
    assert [line["step"] for line in lines(folder / "metrics.jsonl") if "loss" in line] == [1, 2, 3, 4, 5, 6]
    tiny.good(*words, "--fresh")
    assert {name.split("/")[0] for name in names(memory, f"{bucket}/runs")} == {"two", "two~1"}


def test_a_url_that_cannot_be_reached_is_an_error_of_the_data(tmp_path, monkeypatch):
    monkeypatch.setenv("SLOWFAST_CACHE", str(tmp_path))
    done = tiny.slowfast("train", "folder", "data.root=nothere://bucket/sounds", *tiny.WORDS)
    assert done.code == 3
    assert "error: nothere://bucket/sounds: no file system for this URL" in done.err
