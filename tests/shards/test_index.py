"""The index of shards: written once, mapped by all, and never taken for that of other manifests."""

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


def enter(folder, number, ids, *, part=0, failures=()):
    """A shard that is a name and a size, and its line in a manifest."""
    name = f"shard-{number:05d}.h5"
    (folder / name).write_bytes(b"x" * number)
    entry = Entry(
        shard=name, bytes=number, sha256=f"{number:064d}", front_end=SETTINGS, source="", ids=tuple(ids),
        rows=tuple(range(1, len(ids) + 1)), seconds=tuple(each + 0.5 for each in range(len(ids))),
        failures=tuple(failures),
    )  # fmt: skip
    with (folder / manifest_name(part)).open("a") as file:
        file.write(entry.line())


@pytest.fixture
def folder(tmp_path):
    failures = [Failure(id=id, path=tmp_path / "x.wav", reason="empty", soundless=True) for id in ("x\udcff", "b")]
    enter(tmp_path, 0, ["other"], failures=failures)
    enter(tmp_path, 1, IDS, part=3)
    return tmp_path


def right(index):
    assert index.names == ("shard-00000.h5", "shard-00001.h5")
    assert (index.sizes, index.hashes, index.front_end_of) == ((0, 1), (f"{0:064d}", f"{1:064d}"), (0, 0))
    assert index.front_ends == (SETTINGS,)
    assert [(each.id, each.reason, each.soundless) for each in index.failures] == [("x\udcff", "empty", True)]
    for number, id in enumerate(IDS):
        place = index.find(id.encode("utf-8", "surrogateescape"))
        columns = (index.shard, index.first, index.rows, index.seconds)
        assert [each[place] for each in columns] == [1, number * (number + 1) // 2, number + 1, number + 0.5]
    assert index.find(b"other") is not None
    assert [index.find(each) for each in (b"c", b"", b"zz", IDS[-1].encode() + b"er")] == [None] * 4
    assert index.contains(np.array([b"b", b"c", IDS[-1].encode() + b"er"])).tolist() == [True, False, False]
    lengths = index.lengths(np.array([b"c", b"-a", IDS[-1].encode()]))
    assert np.array_equal(lengths, [np.nan, 1.5, 4.5], equal_nan=True)
    return True


def test_the_first_reader_writes_it_and_the_others_read_no_manifest(folder, monkeypatch):
    assert index_module.build_index(folder).mapped is None
    assert right(index_module.build_index(folder))
    assert not list(folder.glob("index-*"))
    assert right(index_module.open_index(folder))
    monkeypatch.setattr(index_module, "build_index", None)
    again = index_module.open_index(folder)
    assert again.mapped is not None
    assert not again.rows.flags.owndata
    assert not again.rows.flags.writeable
    assert right(again)
    assert len(list(folder.glob("index-*"))) == 1


def test_other_manifests_are_another_index(folder):
    before = index_module.open_index(folder)
    enter(folder, 2, ["new"], part=3)
    after = index_module.open_index(folder)
    assert (before.find(b"new"), after.find(b"new") is None) == (None, False)
    assert len(list(folder.glob("index-*"))) == 2
    assert right(before)  # who has it mapped keeps it
    index_module.remove_stale(folder)
    assert list(folder.glob("index-*")) == [after.mapped]
    assert right(before)
    index_module.remove_stale(folder, all=True)
    assert not list(folder.glob("index-*"))


@pytest.mark.parametrize("file", ["ids.npy", "shard.npy", "seconds.npy", "shards.json"])
@pytest.mark.parametrize("harm", ["gone", "empty", "cut", "other", "shorter"])
def test_what_is_not_whole_is_made_anew(folder, file, harm):
    path = index_module.open_index(folder).mapped / file
    good = path.read_bytes()
    if harm == "gone":
        path.unlink()
    elif harm == "shorter" and file != "shards.json":
        np.save(path, np.load(path)[:-1])
    else:
        path.write_bytes({"empty": b"", "cut": good[:-3], "other": b"[1]", "shorter": b'{"count": 5}'}[harm])
    assert right(index_module.open_index(folder))
    assert path.read_bytes() == good


def test_a_folder_that_cannot_be_written_is_read_all_the_same(folder, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(index_module.Path, "mkdir", refuse)
    index = index_module.open_index(folder)
    assert index.mapped is None
    assert right(index)
    assert right(pickle.loads(pickle.dumps(index)))
    assert not list(folder.glob("index-*"))


def test_a_process_that_is_not_forked_gets_a_name_not_a_copy(folder):
    many = [f"recording {number}" for number in range(2000)]
    enter(folder, 2, many)
    stored = Shards(folder)
    told = pickle.dumps(stored)
    assert len(told) < 3000
    again = pickle.loads(told)
    assert (len(again), again.seconds(many[7]), again.settings) == (2006, 7.5, SETTINGS)


def test_no_manifest_is_no_index(tmp_path):
    assert index_module.open_index(tmp_path).front_ends == ()
    assert not list(tmp_path.iterdir())
    with pytest.raises(DataError, match="no shards there"):
        Shards(tmp_path / "absent")
    empty = index_module.build_index(tmp_path)
    assert (empty.find(b"a"), empty.contains(np.array([b"a"])).tolist()) == (None, [False])
    assert np.isnan(empty.lengths(np.array([b"a"]))).all()


def test_two_that_write_at_once_leave_one(folder, monkeypatch):
    index = index_module.build_index(folder)
    place = folder / f"{index_module.PREFIX}{index_module.manifest_state(folder)}"
    whole = index_module.np.save

    def overtaken(file, values, **more):
        if not place.exists():
            monkeypatch.setattr(index_module.np, "save", whole)
            index_module.open_index(folder)
        whole(file, values, **more)

    monkeypatch.setattr(index_module.np, "save", overtaken)
    monkeypatch.setattr(index_module.os, "getpid", iter((1, 2)).__next__)
    index_module._write(place, index)
    assert right(index_module.open_index(folder))
    assert sorted(path.name for path in folder.glob("index-*")) == [place.name]


def test_opening_takes_no_more_memory_for_more_recordings(tmp_path):
    held = []
    for count in (100, 20_000):
        folder = tmp_path / str(count)
        folder.mkdir()
        ids = [f"recording {number:06d}" for number in range(count)]
        enter(folder, 0, ids)
        index_module.open_index(folder)
        tracemalloc.start()
        index = index_module.open_index(folder)
        for id in ids[:: count // 50]:
            assert index.seconds[index.find(id.encode())] == int(id[-6:]) + 0.5
        assert index.find(b"a much longer id than any that is stored there") is None
        held.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert held[1] < held[0] + 20_000  # of 20,000 recordings the arrays are a megabyte
