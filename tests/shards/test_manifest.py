"""Manifests: every field of a line is checked before it is used."""

import json
import os

import pytest

from slowfast_cli.settings import FrontEnd
from slowfast_cli.shards.folder import changed, forget
from slowfast_cli.shards.index import build_index
from slowfast_cli.shards.manifest import MANIFEST, Entry, iter_entries, parse_entry
from slowfast_cli.types import DataError, Failure, Recording


def entry(tmp_path, number=0, ids=("a", "b"), **fields):
    values = {
        "shard": f"shard-{number:05d}.h5", "bytes": 10, "sha256": "0" * 64, "front_end": FrontEnd().settings(),
        "source": "", "ids": ids, "rows": (3,) * len(ids), "seconds": (0.5,) * len(ids), "files": ((1, 2),) * len(ids),
        "failures": (Failure(id="c", path=tmp_path / "c.wav", reason="empty"),), "failed_files": (None,), **fields,
    }  # fmt: skip
    return Entry(**values)


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("shard", "../shard-00000.h5", "a shard called"),
        ("shard", "shard-00000.h5/x", "a shard called"),
        ("shard", "", "a shard called"),
        ("shard", None, "texts"),
        ("bytes", -1, "bytes from 0"),
        ("bytes", 1e9, "bytes from 0"),
        ("bytes", 10**30, "bytes from 0"),
        ("sha256", 3, "texts"),
        ("front_end", "\n", "front-end settings"),
        ("front_end", {"mels": [1]}, "front-end settings"),
        ("front_end", {"mels": float("nan")}, "front-end settings"),
        ("ids", ["a"], "1 numbers"),
        ("ids", ["a", "a"], "every recording once"),
        ("ids", ["a", 1], "texts"),
        ("ids", ["a", "b\0"], "null"),
        ("ids", ["a", "\ud800"], "surrogates not allowed"),
        ("ids", 3, "not iterable"),
        ("rows", [3, -3], "rows from 0"),
        ("rows", [3, 2**60], "rows from 0"),
        ("rows", [3, True], "rows from 0"),
        ("rows", [3, 3.0], "rows from 0"),
        ("seconds", [1, float("nan")], "finite seconds"),
        ("seconds", [1, "1"], "finite seconds"),
        ("failures", [{"id": "c"}], "path"),
        ("failures", [{"id": 1, "path": "c", "reason": "", "soundless": False}], "texts"),
        ("failures", [{"id": "c", "path": "c", "reason": "", "soundless": 0}], "true or false"),
        ("files", [[1, 2]], "2 files"),
        ("files", [[1], [1, 2]], "size and time"),
        ("files", [[1, 2], [1, "2"]], "size and time"),
        ("spectra", "float16", "spectra in"),
        ("new", 1, "unexpected keyword"),
    ],
)
def test_impossible_values_name_the_line(tmp_path, field, value, expected):
    good = entry(tmp_path)
    assert parse_entry(good.line()) == good
    line = json.dumps({**json.loads(good.line()), field: value}) + "\n"
    (tmp_path / MANIFEST).write_text(good.line() + line)
    with pytest.raises(DataError, match=rf"manifest.jsonl: line 2 is broken \(.*{expected}.*\): run .* with --fresh"):
        list(iter_entries(tmp_path / MANIFEST))


@pytest.mark.parametrize("line", ["[" * 100_000, "3", "null", '"x"', "[]", "{}", "\xff"])
def test_lines_that_are_no_entries(tmp_path, line):
    (tmp_path / MANIFEST).write_bytes(line.encode("latin-1") + b"\n")
    with pytest.raises(DataError, match="line 1 is broken"):
        build_index(tmp_path)


def test_manifests_without_files_are_read(tmp_path):
    values = json.loads(entry(tmp_path).line())
    del values["files"], values["failed_files"]
    assert parse_entry(json.dumps(values)).files == ()


def test_of_an_id_that_occurs_twice_the_latest_shard_counts(tmp_path):
    newer = entry(tmp_path, 7, ("a",), rows=(5,))
    (tmp_path / MANIFEST).write_text(newer.line())
    (tmp_path / "manifest-00001.jsonl").write_text(entry(tmp_path, 3, ("a", "b")).line())
    index = build_index(tmp_path)
    assert index.ids.tolist() == [b"a", b"b"]
    assert (index.rows.tolist(), [index.names[shard] for shard in index.shard]) == (
        [5, 3], ["shard-00007.h5", "shard-00003.h5"],
    )  # fmt: skip


def test_changed_files_are_forgotten(tmp_path):
    recordings = [Recording(id=id, path=tmp_path / f"{id}.wav") for id in "abc"]
    for recording in recordings:
        recording.path.write_bytes(b"123")
    a, b, c = ((3, recording.path.stat().st_mtime_ns) for recording in recordings)
    stored = entry(tmp_path, files=(a, b), failed_files=(c,))
    (tmp_path / MANIFEST).write_text(stored.line())
    assert changed([stored], recordings) == set()
    assert changed([entry(tmp_path, files=(), failed_files=())], recordings) == set()
    os.utime(recordings[0].path, ns=(1, 1))
    recordings[2].path.write_bytes(b"1234")
    assert changed([stored], recordings) == {"a", "c"}
    assert forget(tmp_path, {"a", "c"}) == list(iter_entries(tmp_path / MANIFEST))
    index = build_index(tmp_path)
    assert (index.ids.tolist(), index.first.tolist(), index.failures) == ([b"b"], [3], ())
