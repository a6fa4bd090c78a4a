"""Remote files: URLs as local paths, downloads on demand, and uploads."""

import doctest
import os
import stat
import subprocess
import sys
import uuid
from pathlib import Path

import fsspec
import pytest

from slowfast_cli.storage import remote
from slowfast_cli.types import DataError


@pytest.fixture
def bucket(tmp_path, monkeypatch):
    """URL of a new folder of the in-memory file system, with a new cache."""
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
    """Record the paths opened in the in-memory file system."""
    opened_paths, opened = [], type(fsspec.filesystem("memory"))._open
    monkeypatch.setattr(
        type(fsspec.filesystem("memory")),
        "_open",
        lambda self, path, *w, **k: opened_paths.append(path) or opened(self, path, *w, **k),
    )
    return opened_paths


def test_urls_and_local_paths_round_trip(bucket):
    assert doctest.testmod(remote).attempted > 0
    assert doctest.testmod(remote).failed == 0
    for url in ("s3://bucket/a/b.csv", "gs://x/y", "memory://m/n", "file:///tmp/z"):
        assert remote.url(remote.local_path(url)) == url
        assert remote.display(remote.local_path(url)) == url
    assert remote.local_path("s3://b/a").parent == remote.local_path("s3://b")
    assert remote.url(remote.local_path("sounds")) is None
    assert remote.display(remote.local_path("/sounds")) == "/sounds"
    assert remote.local_path("S3://b/a") == remote.local_path("s3://b/a/")
    for wrong in ("s3://a/../b", "s3://a//b", "zip://a::s3://b/c.zip", "s3://key:word@b/c"):
        with pytest.raises(DataError, match=r"URLs must not contain '\.\.'"):
            remote.local_path(wrong)
    with pytest.raises(DataError, match=r"s3:/b/a: neither a path nor a URL"):
        remote.local_path("s3:/b/a")


def test_local_paths_access_no_file_system(tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "_file_system", pytest.fail)
    assert remote.mirror(tmp_path) == remote.download(tmp_path) == remote.ensure_local(tmp_path) == tmp_path
    remote.upload(tmp_path)


def test_mirror_downloads_lists_and_ensure_local_the_rest(bucket, monkeypatch):
    put(f"{bucket}/lists/train.csv", b"a,0\n")
    put(f"{bucket}/clips/a.wav", b"x" * 1000)
    folder = remote.mirror(remote.local_path(bucket))
    assert (folder / "lists/train.csv").read_bytes() == b"a,0\n"
    clip = folder / "clips/a.wav"
    assert (clip.is_file(), clip.stat().st_size, stat.S_IMODE(clip.stat().st_mode)) == (True, 1000, remote.PLACEHOLDER)
    opened_paths = fetches(monkeypatch)
    assert remote.ensure_local(clip).read_bytes() == b"x" * 1000
    assert os.access(clip, os.R_OK)
    remote.ensure_local(clip)
    remote.mirror(folder)
    assert len(opened_paths) == 1
    assert not list(folder.rglob(".*.part"))


def test_remote_changes_are_downloaded_again(bucket):
    put(f"{bucket}/list.csv", b"old")
    folder = remote.mirror(remote.local_path(bucket))
    put(f"{bucket}/list.csv", b"new")
    assert (remote.mirror(folder) / "list.csv").read_bytes() == b"new"
    put(f"{bucket}/state.pt", b"1")
    assert (remote.download(folder) / "state.pt").read_bytes() == b"1"
    put(f"{bucket}/state.pt", b"2")
    assert (remote.download(folder) / "state.pt").read_bytes() == b"2"


def test_remove_and_move_apply_remotely(bucket):
    put(f"{bucket}/run/state.pt", b"1")
    folder = remote.download(remote.local_path(f"{bucket}/run"))
    remote.move(folder, folder.with_name("run~1"))
    assert get(f"{bucket}/run~1/state.pt") == b"1"
    assert not folder.exists()
    assert not fsspec.filesystem("memory").exists(f"{bucket}/run/state.pt")
    other = folder.with_name("run~1") / "state.pt"
    remote.remove(other)
    remote.remove(other)
    assert not other.exists()
    assert not fsspec.filesystem("memory").exists(f"{bucket}/run~1/state.pt")


def test_a_folder_is_downloaded_and_uploaded(bucket):
    put(f"{bucket}/run/state.pt", b"1" * 10)
    folder = remote.download(remote.local_path(f"{bucket}/run"))
    assert (folder / "state.pt").read_bytes() == b"1" * 10
    (folder / "state.pt").write_bytes(b"2" * 20)
    (folder / "evaluation").mkdir()
    (folder / "evaluation" / "table.csv").write_bytes(b"t")
    (folder / ".lock").write_bytes(b"")
    remote.upload(folder)
    assert get(f"{bucket}/run/state.pt") == b"2" * 20
    assert get(f"{bucket}/run/evaluation/table.csv") == b"t"
    memory = fsspec.filesystem("memory")
    assert sorted(name.rsplit("/run/")[1] for name in memory.find(f"{bucket}/run")) == [
        "evaluation/table.csv",
        "state.pt",
    ]


def test_only_changed_files_are_uploaded(bucket, monkeypatch):
    folder = remote.download(remote.local_path(f"{bucket}/new"))
    folder.mkdir(parents=True)
    (folder / "a").write_bytes(b"a")
    (folder / "b").write_bytes(b"b")
    remote.upload(folder)
    sent = []
    monkeypatch.setattr(remote, "_send", lambda path: sent.append(path.name))
    (folder / "b").write_bytes(b"bb")
    remote.upload(folder)
    assert sent == ["b"]
    remote.upload(folder / "a")
    assert sent == ["b"]


def test_errors_contain_the_url_and_a_remedy(bucket):
    with pytest.raises(DataError, match=r"nothere://x/y: no file system for this URL .*pip install s3fs"):
        remote.mirror(remote.local_path("nothere://x/y"))
    with pytest.raises(DataError, match=rf"{bucket}/gone.wav: cannot be fetched"):
        remote.ensure_local(remote.local_path(f"{bucket}/gone.wav"))
    assert not remote.local_path(f"{bucket}/gone.wav").exists()


def test_files_removed_remotely_are_removed_locally(bucket):
    for name in ("a.csv", "b.wav", "run/state.pt"):
        put(f"{bucket}/{name}", b"1")
    folder = remote.mirror(remote.local_path(bucket))
    remote.download(folder / "run")
    (folder / "mine.csv").write_text("not from there")
    fsspec.filesystem("memory").rm([f"{bucket}/{name}" for name in ("a.csv", "b.wav", "run/state.pt")])
    remote.mirror(folder)
    assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == ["mine.csv"]


def test_conflicting_changes_are_not_overwritten(bucket):
    put(f"{bucket}/state.pt", b"1")
    folder = remote.download(remote.local_path(bucket))
    (folder / "state.pt").write_bytes(b"22")
    put(f"{bucket}/state.pt", b"333")
    with pytest.raises(DataError, match=r"state\.pt: changed both remotely and in "):
        remote.download(folder)
    assert (folder / "state.pt").read_bytes() == b"22"


def test_processes_can_share_a_cache(tmp_path):
    """Concurrent processes list and read all files and get complete ones."""
    there = tmp_path / "there"
    there.mkdir()
    for number in range(300):
        (there / f"{number}.wav").write_bytes(bytes([number % 250]) * 100)
    script = tmp_path / "reader.py"
    script.write_text(
        "import sys\nfrom slowfast_cli.storage import remote\n"
        "folder = remote.mirror(remote.local_path(sys.argv[1]))\n"
        "for n in range(300): assert remote.ensure_local(folder / f'{n}.wav').read_bytes() == bytes([n % 250]) * 100\n"
    )
    environment = {**os.environ, "SLOWFAST_CACHE": str(tmp_path / "cache")}
    workers = [
        subprocess.Popen(
            [sys.executable, script, f"file://{there}"], env=environment, stderr=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    for reader in workers:
        _, errors = reader.communicate(timeout=60)
        assert reader.returncode == 0, errors


def test_a_failed_download_can_be_repeated(bucket, monkeypatch):
    put(f"{bucket}/a.wav", b"x" * 10)
    clip = remote.mirror(remote.local_path(bucket)) / "a.wav"
    memory = type(fsspec.filesystem("memory"))

    def broken(self, source, target):
        Path(target).write_bytes(b"xx")
        raise OSError("connection lost")

    with monkeypatch.context() as patch:
        patch.setattr(memory, "get_file", broken)
        with pytest.raises(DataError, match=r"a\.wav: cannot be fetched \(OSError: connection lost\)"):
            remote.ensure_local(clip)
    assert remote.ensure_local(clip).read_bytes() == b"x" * 10
