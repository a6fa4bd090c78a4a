"""Shards: rows round-trip in any process; broken shards and manifests raise."""

import json
import multiprocessing
import os
import pickle
from hashlib import sha256

import h5py
import numpy as np
import pytest

from slowfast_cli.settings import FrontEnd
from slowfast_cli.shards import reader
from slowfast_cli.shards.manifest import read_manifests
from slowfast_cli.shards.reader import Shards
from slowfast_cli.shards.writer import ShardSpec, ShardWriter, publish, rewrite
from slowfast_cli.types import DataError, Failure

SPEC = ShardSpec(
    front_end=FrontEnd(mels=8).settings(), mels=8, dtype="float32", source="lists", version="0"
)  # fmt: skip
IDS = ["-a", "_b", "c d/e.wav", "\udcff\udce9", "音"]


def rows_of(id):
    seed = int.from_bytes(sha256(os.fsencode(id)).digest()[:4], "big")
    random = np.random.default_rng(seed)
    return random.normal(-4, 3, (int(random.integers(1, 900)), 8)).astype(np.float32)


def write(folder, number, ids, spec=SPEC, failures=()):
    temporary = folder / f"shard-{number:05d}.h5.1.tmp"
    with ShardWriter(temporary, spec) as writer:
        for id in ids:
            rows = rows_of(id)
            for start in range(0, len(rows), 100):
                writer.append(rows[start : start + 100])
            writer.keep(id, len(rows) / 100)
            writer.append(rows[:50])
            writer.drop()
        entry = writer.finish(f"shard-{number:05d}.h5", list(failures))
    publish(folder, temporary, entry)
    return entry


@pytest.fixture
def folder(tmp_path):
    write(tmp_path, 0, IDS[:3])
    write(tmp_path, 1, IDS[3:], failures=[Failure(id="x", path=tmp_path / "x.wav", reason="empty")])
    return tmp_path


def test_rows_round_trip(folder):
    stored = Shards(folder, SPEC.front_end)
    assert len(stored) == 5
    assert set(stored.ids()) == set(IDS)
    for id in IDS:
        rows = rows_of(id)
        assert id in stored
        assert stored.rows(id) == len(rows)
        assert stored.seconds(id) == len(rows) / 100
        assert np.array_equal(stored.read(id), rows)
        assert np.array_equal(stored.read(id, 3, 40), rows[3:43])
        assert stored.read(id, len(rows), 5).shape == (0, 8)
        assert stored.read(id, len(rows) + 9).shape == (0, 8)
    assert [failure.id for failure in stored.failures] == ["x"]
    assert stored.verify() == ()
    assert "x" not in stored
    with pytest.raises(DataError, match=r"x .*empty"):
        stored.rows("x")
    with pytest.raises(DataError, match="never extracted"):
        stored.read("nobody", 0, 1)


def test_attributes_of_a_shard(folder):
    with h5py.File(folder / "shard-00001.h5") as file:
        assert json.loads(file.attrs["front_end"]) == SPEC.front_end
        assert file.attrs["source_list"] == "lists"
        assert file["logmel"].fletcher32
        assert list(file["index/first"]) == [0, len(rows_of(IDS[3]))]
        assert file["logmel"].shape[0] == sum(file["index/rows"])


def test_the_number_of_open_files_is_limited(tmp_path, monkeypatch):
    monkeypatch.setattr(reader, "OPEN_FILES", 2)
    for number in range(5):
        write(tmp_path, number, [str(number)])
    stored = Shards(tmp_path)
    for number in [0, 1, 2, 3, 4, 0, 4, 1]:
        assert np.array_equal(stored.read(str(number)), rows_of(str(number)))
        assert len(stored._open) <= 2
    stored.close()
    assert np.array_equal(stored.read("3"), rows_of("3"))


def read_all(stored, queue):
    order = np.random.default_rng(os.getpid()).permutation(len(IDS) * 20)
    sums = {}
    for place in order:
        id = IDS[place % len(IDS)]
        sums[id] = sha256(stored.read(id).tobytes()).hexdigest()
    queue.put(sums)


@pytest.mark.thorough
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_read_identical_rows(folder, method):
    stored = Shards(folder)
    stored.read(IDS[0])  # opens a handle that child processes must not share
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    children = [context.Process(target=read_all, args=(stored, queue)) for _ in range(3 if method == "fork" else 1)]
    for child in children:
        child.start()
    expected = {id: sha256(rows_of(id).tobytes()).hexdigest() for id in IDS}
    for _ in children:
        assert queue.get(timeout=60) == expected
    for child in children:
        child.join()
    assert np.array_equal(stored.read(IDS[4]), rows_of(IDS[4]))


def test_pickling_drops_open_files(folder):
    stored = Shards(folder)
    stored.read(IDS[0])
    restored = pickle.loads(pickle.dumps(stored))
    assert np.array_equal(restored.read(IDS[0]), rows_of(IDS[0]))


def test_other_settings_are_refused(folder):
    with pytest.raises(DataError, match=r"shard-00000\.h5: made with hop_ms=10, the recipe wants hop_ms=5"):
        Shards(folder, FrontEnd(mels=8, hop_ms=5).settings())
    assert Shards(folder).settings == SPEC.front_end


def test_settings_in_the_file_are_checked(folder):
    with h5py.File(folder / "shard-00000.h5", "r+") as file:
        file.attrs["front_end"] = json.dumps(SPEC.front_end).replace('"hop_ms": 10', '"hop_ms": 20')
    text = (folder / "manifest.jsonl").read_text()
    size = read_manifests(folder)[0].bytes
    text = text.replace(f'"bytes": {size}', f'"bytes": {(folder / "shard-00000.h5").stat().st_size}')
    rewrite(folder / "manifest.jsonl", text)
    with pytest.raises(DataError, match="hop_ms=20"):
        Shards(folder).read(IDS[0])


def test_broken_shards_are_named(folder):
    path = folder / "shard-00000.h5"
    good = path.read_bytes()
    path.write_bytes(good[:-100])
    with pytest.raises(DataError, match=r"shard-00000\.h5: broken shard .*bytes.*extract"):
        Shards(folder)
    path.write_bytes(b"\0" * 64 + good[64:])
    with pytest.raises(DataError, match=r"shard-00000\.h5: broken shard"):
        Shards(folder).read(IDS[0])
    with h5py.File(folder / "shard-00001.h5") as file:
        chunk = file["logmel"].id.get_chunk_info(0)
    bad = bytearray((folder / "shard-00001.h5").read_bytes())
    bad[chunk.byte_offset + 5] ^= 0xFF
    (folder / "shard-00001.h5").write_bytes(bad)
    with pytest.raises(DataError, match=r"shard-00001\.h5: broken shard"):
        Shards(folder).read(IDS[3])
    assert Shards(folder).verify() == ("shard-00000.h5", "shard-00001.h5")
    path.unlink()
    with pytest.raises(DataError, match=r"shard-00000\.h5: broken shard"):
        Shards(folder)


def test_an_incomplete_last_line_is_ignored(folder):
    path = folder / "manifest.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    assert set(Shards(folder).ids()) == set(IDS[:3])
    write(folder, 2, ["new"])
    assert set(Shards(folder).ids()) == {*IDS[:3], "new"}


def test_a_malformed_line_raises(folder):
    path = folder / "manifest.jsonl"
    for wrong in (b"{}\n", b"[1]\n", b"not json\n", b"\xff\n"):
        good = path.read_bytes()
        path.write_bytes(wrong + good)
        with pytest.raises(DataError, match="line 1 is broken"):
            Shards(folder)
        path.write_bytes(good)


def test_an_empty_folder_raises(tmp_path):
    with pytest.raises(DataError, match="no shards there: run `slowfast extract`"):
        Shards(tmp_path)


def test_no_file_without_kept_recordings(tmp_path):
    entry = write(tmp_path, 0, [], failures=[Failure(id="x", path=tmp_path, reason="r")])
    assert entry.shard == ""
    assert not list(tmp_path.glob("shard*"))
    assert len(Shards(tmp_path)) == 0
    assert len(Shards(tmp_path).failures) == 1


def test_an_error_removes_the_temporary_file(tmp_path):
    def interrupted():
        with ShardWriter(tmp_path / "a.tmp", SPEC) as writer:
            writer.append(rows_of("a"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not list(tmp_path.iterdir())


def replace_rows(file, folder, kind):
    """Replace the rows of a shard by something else."""
    rows = file["logmel"][:]
    del file["logmel"]
    if kind == "external link":
        with h5py.File(folder / "other.h5", "w") as other:
            other["logmel"] = rows
        file["logmel"] = h5py.ExternalLink("other.h5", "logmel")
    elif kind == "soft link":
        file["other"] = rows
        file["logmel"] = h5py.SoftLink("/other")
    elif kind == "external storage":
        (folder / "raw").write_bytes(rows.tobytes())
        file.create_dataset("logmel", rows.shape, rows.dtype, external=[(str(folder / "raw"), 0, rows.nbytes)])
    elif kind == "virtual":
        layout = h5py.VirtualLayout(rows.shape, rows.dtype)
        layout[:] = h5py.VirtualSource(str(folder / "other.h5"), "logmel", rows.shape)
        file.create_virtual_dataset("logmel", layout)
    elif kind == "group":
        file.create_group("logmel")
    elif kind == "empty chunks":
        file.create_dataset("logmel", (10**9, 8), "f4", chunks=(256, 8))
    elif kind == "huge chunks":
        file.create_dataset("logmel", (10**7, 8), "f4", chunks=(10**7, 8), compression="gzip")
    else:
        file["logmel"] = {"integers": rows.astype(int), "narrow": rows[:, :4], "short": rows[:-1], "flat": rows[:, 0]}[
            kind
        ]


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("external link", "is a link"),
        ("soft link", "is a link"),
        ("external storage", "not a dataset of its own"),
        ("virtual", "not a dataset of its own"),
        ("group", "not a dataset of its own"),
        ("empty chunks", "0 bytes of rows"),
        ("huge chunks", "are larger than"),
        ("integers", "expected float16 or float32"),
        ("narrow", r"shape \(\d+, 4\), expected"),
        ("flat", r"expected float16 or float32 \(rows, 8\)"),
        ("short", r"rows, the manifest says at least"),
    ],
)
def test_rows_that_are_not_what_the_manifest_says(folder, kind, reason):
    with h5py.File(folder / "shard-00000.h5", "r+") as file:
        replace_rows(file, folder, kind)
    manifest = folder / "manifest.jsonl"
    lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    lines[0]["bytes"] = (folder / "shard-00000.h5").stat().st_size
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    stored = Shards(folder)
    with pytest.raises(DataError, match=rf"shard-00000.h5: broken shard \(.*{reason}"):
        stored.read(IDS[2])
    assert np.array_equal(stored.read(IDS[3]), rows_of(IDS[3]))
