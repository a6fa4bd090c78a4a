"""Files elsewhere: the paths that stand for them, what is fetched when, and what is brought back."""

import doctest
import os
import stat
import uuid

import fsspec
import pytest

from slowfast_cli import remote
from slowfast_cli.types import DataError


@pytest.fixture
def bucket(tmp_path, monkeypatch):
    """A folder in memory of its own, and a cache of its own; the URL of the folder."""
    monkeypatch.setenv("SLOWFAST_CACHE", str(tmp_path / "cache"))
    name = uuid.uuid4().hex
    yield f"memory://{name}"
    memory = fsspec.filesystem("memory")
    if memory.exists(f"/{name}"):
        memory.rm(f"/{name}", recursive=True)


def put(url, data):
    with fsspec.open(url, "wb") as file:
        file.write(data)


def get(url):
    with fsspec.open(url, "rb") as file:
        return file.read()


def fetches(monkeypatch):
    """Names of the files that are read from elsewhere."""
    seen, opened = [], type(fsspec.filesystem("memory"))._open
    monkeypatch.setattr(
        type(fsspec.filesystem("memory")),
        "_open",
        lambda self, path, *w, **k: seen.append(path) or opened(self, path, *w, **k),
    )
    return seen


def test_a_url_stands_for_a_path_and_back(bucket):
    assert doctest.testmod(remote).failed == 0
    for url in ("s3://bucket/a/b.csv", "gs://x/y", "memory://m/n", "file:///tmp/z"):
        assert remote.url(remote.place(url)) == url
        assert remote.named(remote.place(url)) == url
    assert remote.place("s3://b/a").parent == remote.place("s3://b")
    assert remote.url(remote.place("sounds")) is None
    assert remote.named(remote.place("/sounds")) == "/sounds"
    with pytest.raises(DataError, match=r"s3://a/\.\./b: leads out of itself"):
        remote.place("s3://a/../b")


def test_paths_that_are_only_here_ask_for_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "_system", pytest.fail)
    assert remote.listed(tmp_path) == remote.fetched(tmp_path) == remote.here(tmp_path) == tmp_path
    remote.push(tmp_path)


def test_lists_come_at_once_and_others_when_they_are_asked_for(bucket, monkeypatch):
    put(f"{bucket}/lists/train.csv", b"a,0\n")
    put(f"{bucket}/clips/a.wav", b"x" * 1000)
    folder = remote.listed(remote.place(bucket))
    assert (folder / "lists/train.csv").read_bytes() == b"a,0\n"
    clip = folder / "clips/a.wav"
    assert (clip.is_file(), clip.stat().st_size, stat.S_IMODE(clip.stat().st_mode)) == (True, 1000, remote.ABSENT)
    seen = fetches(monkeypatch)
    assert remote.here(clip).read_bytes() == b"x" * 1000
    assert os.access(clip, os.R_OK)
    remote.here(clip)
    remote.listed(folder)
    assert len(seen) == 1
    assert not list(folder.rglob(".*.part"))


def test_what_has_changed_there_is_fetched_again(bucket):
    put(f"{bucket}/list.csv", b"old")
    folder = remote.listed(remote.place(bucket))
    put(f"{bucket}/list.csv", b"new")
    assert (remote.listed(folder) / "list.csv").read_bytes() == b"new"
    put(f"{bucket}/state.pt", b"1")
    assert (remote.fetched(folder) / "state.pt").read_bytes() == b"1"
    put(f"{bucket}/state.pt", b"2")
    assert (remote.fetched(folder) / "state.pt").read_bytes() == b"2"


def test_what_is_removed_or_moved_is_so_there_too(bucket):
    put(f"{bucket}/run/state.pt", b"1")
    folder = remote.fetched(remote.place(f"{bucket}/run"))
    remote.move(folder, folder.with_name("run~1"))
    assert get(f"{bucket}/run~1/state.pt") == b"1"
    assert not folder.exists()
    assert not fsspec.filesystem("memory").exists(f"{bucket}/run/state.pt")
    other = folder.with_name("run~1") / "state.pt"
    remote.remove(other)
    remote.remove(other)
    assert not other.exists()
    assert not fsspec.filesystem("memory").exists(f"{bucket}/run~1/state.pt")


def test_a_whole_folder_comes_and_goes_back(bucket):
    put(f"{bucket}/run/state.pt", b"1" * 10)
    folder = remote.fetched(remote.place(f"{bucket}/run"))
    assert (folder / "state.pt").read_bytes() == b"1" * 10
    (folder / "state.pt").write_bytes(b"2" * 20)
    (folder / "evaluation").mkdir()
    (folder / "evaluation" / "table.csv").write_bytes(b"t")
    (folder / ".lock").write_bytes(b"")
    remote.push(folder)
    assert get(f"{bucket}/run/state.pt") == b"2" * 20
    assert get(f"{bucket}/run/evaluation/table.csv") == b"t"
    memory = fsspec.filesystem("memory")
    assert sorted(name.rsplit("/run/")[1] for name in memory.find(f"{bucket}/run")) == [
        "evaluation/table.csv",
        "state.pt",
    ]


def test_only_what_changed_is_sent(bucket, monkeypatch):
    folder = remote.fetched(remote.place(f"{bucket}/new"))
    (folder / "a").write_bytes(b"a")
    (folder / "b").write_bytes(b"b")
    remote.push(folder)
    sent = []
    monkeypatch.setattr(remote, "_send", lambda path: sent.append(path.name))
    (folder / "b").write_bytes(b"bb")
    remote.push(folder)
    assert sent == ["b"]
    remote.push(folder / "a")
    assert sent == ["b"]


def test_what_cannot_be_reached_says_which_url_and_what_to_do(bucket):
    with pytest.raises(DataError, match=r"nothere://x/y: nothing here reads such URLs .*slowfast\[remote\]"):
        remote.listed(remote.place("nothere://x/y"))
    with pytest.raises(DataError, match=rf"{bucket}/gone.wav: cannot be fetched"):
        remote.here(remote.place(f"{bucket}/gone.wav"))
    assert not list(remote.place(bucket).rglob("*gone*"))
