"""The index of shards: written once, mapped by all processes, and invalidated by changed manifests."""

import pickle
import tracemalloc

import numpy as np
import pytest

from slowfast_cli.settings import FrontEnd
from slowfast_cli.shards import index as index_module
from slowfast_cli.shards.manifest import Entry, manifest_name
from slowfast_cli.shards.reader import Shards
from slowfast_cli.types import DataError, Failure

SETTINGS = FrontEnd(mels=8).settings()
IDS = ("b", "-a", "\udcff\udce9", "音", "long enough to set the width")


def add_shard(folder, number, ids, *, part=0, failures=()):
    """Write a fake shard and its line in a manifest."""
    name = f"shard-{number:05d}.h5"
    (folder / name).write_bytes(b"x" * number)
    entry = Entry(
        shard=name, bytes=number, sha256=f"{number:064d}", front_end=SETTINGS, source="", ids=tuple(ids),
        rows=tuple(range(1, len(ids) + 1)), seconds=tuple(row + 0.5 for row in range(len(ids))),
        failures=tuple(failures),
    )  # fmt: skip
    with (folder / manifest_name(part)).open("a") as file:
        file.write(entry.line())


@pytest.fixture
def folder(tmp_path):
    failures = [Failure(id=id, path=tmp_path / "x.wav", reason="empty", soundless=True) for id in ("x\udcff", "b")]
    add_shard(tmp_path, 0, ["other"], failures=failures)
    add_shard(tmp_path, 1, IDS, part=3)
    return tmp_path


def check_index(index):
    assert index.names == ("shard-00000.h5", "shard-00001.h5")
    assert (index.sizes, index.hashes, index.front_end_of) == ((0, 1), (f"{0:064d}", f"{1:064d}"), (0, 0))
    assert index.front_ends == (SETTINGS,)
    assert [(failure.id, failure.reason, failure.soundless) for failure in index.failures] == [
        ("x\udcff", "empty", True)
    ]
    for number, id in enumerate(IDS):
        place = index.find(id.encode("utf-8", "surrogateescape"))
        columns = (index.shard, index.first, index.rows, index.seconds)
        assert [column[place] for column in columns] == [1, number * (number + 1) // 2, number + 1, number + 0.5]
    assert index.find(b"other") is not None
    assert [index.find(id) for id in (b"c", b"", b"zz", IDS[-1].encode() + b"er")] == [None] * 4
    assert index.contains(np.array([b"b", b"c", IDS[-1].encode() + b"er"])).tolist() == [True, False, False]
    lengths = index.lengths(np.array([b"c", b"-a", IDS[-1].encode()]))
    assert np.array_equal(lengths, [np.nan, 1.5, 4.5], equal_nan=True)
    return True


def test_the_first_reader_writes_the_index(folder, monkeypatch):
    assert index_module.build_index(folder).mapped is None
    assert check_index(index_module.build_index(folder))
    assert not list(folder.glob("index-*"))
    assert check_index(index_module.open_index(folder))
    monkeypatch.setattr(index_module, "build_index", None)
    mapped = index_module.open_index(folder)
    assert mapped.mapped is not None
    assert not mapped.rows.flags.owndata
    assert not mapped.rows.flags.writeable
    assert check_index(mapped)
    assert len(list(folder.glob("index-*"))) == 1


def test_changed_manifests_invalidate_the_index(folder):
    before = index_module.open_index(folder)
    add_shard(folder, 2, ["new"], part=3)
    after = index_module.open_index(folder)
    assert (before.find(b"new"), after.find(b"new") is None) == (None, False)
    assert len(list(folder.glob("index-*"))) == 2
    assert check_index(before)  # processes that mapped it keep it
    index_module.remove_stale(folder)
    assert list(folder.glob("index-*")) == [after.mapped]
    assert check_index(before)
    index_module.remove_stale(folder, all=True)
    assert not list(folder.glob("index-*"))


@pytest.mark.parametrize("file", ["ids.npy", "shard.npy", "seconds.npy", "shards.json"])
@pytest.mark.parametrize("harm", ["gone", "empty", "cut", "other", "shorter"])
def test_a_broken_index_is_rebuilt(folder, file, harm):
    path = index_module.open_index(folder).mapped / file
    good = path.read_bytes()
    if harm == "gone":
        path.unlink()
    elif harm == "shorter" and file != "shards.json":
        np.save(path, np.load(path)[:-1])
    else:
        path.write_bytes({"empty": b"", "cut": good[:-3], "other": b"[1]", "shorter": b'{"count": 5}'}[harm])
    assert check_index(index_module.open_index(folder))
    assert path.read_bytes() == good


def test_a_read_only_folder(folder, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(index_module.Path, "mkdir", refuse)
    index = index_module.open_index(folder)
    assert index.mapped is None
    assert check_index(index)
    assert check_index(pickle.loads(pickle.dumps(index)))
    assert not list(folder.glob("index-*"))


def test_pickling_does_not_copy_the_index(folder):
    many = [f"recording {number}" for number in range(2000)]
    add_shard(folder, 2, many)
    stored = Shards(folder)
    pickled = pickle.dumps(stored)
    assert len(pickled) < 3000
    restored = pickle.loads(pickled)
    assert (len(restored), restored.seconds(many[7]), restored.settings) == (2006, 7.5, SETTINGS)


def test_no_manifest(tmp_path):
    assert index_module.open_index(tmp_path).front_ends == ()
    assert not list(tmp_path.iterdir())
    with pytest.raises(DataError, match="no shards there"):
        Shards(tmp_path / "absent")
    empty = index_module.build_index(tmp_path)
    assert (empty.find(b"a"), empty.contains(np.array([b"a"])).tolist()) == (None, [False])
    assert np.isnan(empty.lengths(np.array([b"a"]))).all()


def test_concurrent_writers(folder, monkeypatch):
    index = index_module.build_index(folder)
    place = folder / f"{index_module.PREFIX}{index_module.manifest_state(folder)}"
    save = index_module.np.save

    def overtaken(file, values, **more):
        if not place.exists():
            monkeypatch.setattr(index_module.np, "save", save)
            index_module.open_index(folder)
        save(file, values, **more)

    monkeypatch.setattr(index_module.np, "save", overtaken)
    monkeypatch.setattr(index_module.os, "getpid", iter((1, 2)).__next__)
    index_module._write(place, index)
    assert check_index(index_module.open_index(folder))
    assert sorted(path.name for path in folder.glob("index-*")) == [place.name]


def test_memory_of_opening_is_constant(tmp_path):
    memory = []
    for count in (100, 20_000):
        folder = tmp_path / str(count)
        folder.mkdir()
        ids = [f"recording {number:06d}" for number in range(count)]
        add_shard(folder, 0, ids)
        index_module.open_index(folder)
        tracemalloc.start()
        index = index_module.open_index(folder)
        for id in ids[:: count // 50]:
            assert index.seconds[index.find(id.encode())] == int(id[-6:]) + 0.5
        assert index.find(b"a much longer id than any that is stored there") is None
        memory.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert memory[1] < memory[0] + 20_000  # the arrays of 20,000 recordings have 1 MB
