"""Extraction in several processes stores what one process stores, also if one of them dies."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tiny

from slowfast_cli.settings import FrontEnd
from slowfast_cli.shards import index
from slowfast_cli.shards.manifest import manifest_files, read_manifests
from slowfast_cli.shards.reader import Shards
from slowfast_cli.stages.extract import progress
from slowfast_cli.stages.extract import run as stage
from slowfast_cli.stages.extract.progress import Counts
from slowfast_cli.stages.extract.worker import Ended
from slowfast_cli.types import DataError, LostError, Share, SlowFastError

FRONT_END = FrontEnd(mels=32)
PROCESS = """
import os, signal, sys
from pathlib import Path
from slowfast_cli.corpora import folder
from slowfast_cli.engine import distributed
from slowfast_cli.settings import FrontEnd
from slowfast_cli.stages.extract import run as stage

root, out, dies = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
share = distributed.join()
publish_shard = stage.publish_shard

def publish_and_die(*words):
    publish_shard(*words)
    if str(share.rank) == dies:
        os.kill(os.getpid(), signal.SIGKILL)

stage.publish_shard = publish_and_die
stage.SHARD_SECONDS = 1.5
corpora = [folder.read(root, split) for split in ("train", "val")]
for event in stage.extract(corpora, out, front_end=FrontEnd(mels=32), max_missing=0.5):
    pass
if share.rank == 0:
    print(event.recordings, event.kept, len(event.failures), round(event.seconds, 3))
distributed.leave()
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Seventeen recordings of uneven lengths, one of them broken."""
    root = tmp_path_factory.mktemp("uneven") / "sounds"
    for number in range(17):
        samples = tiny.sound("rain.wav", 0.4 + 0.13 * (number * 7 % 11), skip=0.2 * number)
        tiny.write(root / ("val" if number > 12 else "train") / "ab"[number % 2] / f"{number:02d}.wav", samples)
    (root / "train" / "a" / "04.wav").write_bytes(b"broken")
    return root


@pytest.fixture(scope="module")
def whole(root, tmp_path_factory):
    """Shards stored by one process."""
    out = tmp_path_factory.mktemp("whole") / "shards"
    tiny.good("extract", "--dataset", "folder", "--root", root, "--out", out, "-j", 1, *tiny.FRONT)
    return out


def same(out, whole):
    """Assert equal rows, bit by bit, each recording once, and equal tables."""
    one, other = Shards(whole), Shards(out)
    stored = [id for each in read_manifests(out) for id in each.ids]
    assert sorted(stored) == sorted(one.ids())
    assert other.verify() == ()
    for id in one.ids():
        assert np.array_equal(one.read(id), other.read(id)), id
    for name in ("failures.csv", "missing.csv"):
        assert (out / name).read_text() == (whole / name).read_text()
    named = {each.shard for each in read_manifests(out) if each.shard}
    assert {path.name for path in out.iterdir()} == {
        *named, *(path.name for path in manifest_files(out)), ".lock", "failures.csv", "missing.csv",
        f"index-{index.manifest_state(out)}",
    }  # fmt: skip


def run(count, root, out, dies=-1):
    script = out.parent / "process.py"
    script.write_text(PROCESS)
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
    command = [sys.executable, *(torchrun if count > 1 else []), str(script), str(root), str(out), str(dies)]
    return subprocess.run(command, env=tiny.environment(), capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.processes
@pytest.mark.parametrize("more", [[], pytest.param(["-j", 2], marks=pytest.mark.slow)])
def test_three_processes_store_what_one_does(root, whole, tmp_path, more):
    out = tmp_path / "shards"
    command = ["extract", "--dataset", "folder", "--root", root, "--out", out, "--gpus", 3, *tiny.FRONT]
    done = tiny.process(*command, *(more or ["-j", 1]))
    assert done.code == 0, done.err
    same(out, whole)
    names = [path.name for path in manifest_files(out)]
    assert names == ["manifest.jsonl", "manifest-00001.jsonl", "manifest-00002.jsonl"]
    assert done.err.count("stored 16 recordings (0 were stored before)") == 1  # printed by rank 0 only
    assert done.err.count("failed: 1, such as ") == 1
    with (out / "failures.csv").open(newline="") as file:
        assert [row["id"] for row in csv.DictReader(file)] == ["train/a/04.wav"]
    before = {path: path.stat().st_mtime_ns for path in out.glob("*.h5")}
    repeated = tiny.good("extract", "--dataset", "folder", "--root", root, "--out", out, "-j", 1, *tiny.FRONT)
    assert "stored 0 recordings (16 were stored before)" in repeated.err
    assert {path: path.stat().st_mtime_ns for path in out.glob("*.h5")} == before


@pytest.mark.processes
def test_what_a_process_that_died_has_finished_counts(root, whole, tmp_path):
    """A restart with another number of processes stores the rest."""
    out = tmp_path / "shards"
    died = run(3, root, out, dies=1)
    assert died.returncode != 0
    done = [id for each in read_manifests(out) for id in each.ids]
    assert 0 < len(done) < 16
    assert (out / "manifest-00001.jsonl").is_file()
    names = {each.shard: (out / each.shard).stat().st_mtime_ns for each in read_manifests(out) if each.shard}
    on = run(2, root, out)
    assert on.returncode == 0, on.stderr
    recordings, kept, failed, seconds = on.stdout.split()
    assert (int(recordings) + int(kept), int(kept), int(failed)) == (16, len(done), 1)
    stored = sum(length for each in read_manifests(out) for length in each.seconds)
    known = sum(
        length for each in read_manifests(out) for id, length in zip(each.ids, each.seconds, strict=True) if id in done
    )
    assert float(seconds) == pytest.approx(stored - known, abs=0.01)
    same(out, whole)
    assert names == {name: (out / name).stat().st_mtime_ns for name in names}


@pytest.mark.processes
def test_one_process_mends_what_three_have_stored(root, whole, tmp_path):
    out = tmp_path / "shards"
    done = run(3, root, out)
    assert done.returncode == 0, done.stderr
    entries = read_manifests(out)
    gone = next(each.shard for each in reversed(entries) if each.shard)
    (out / gone).unlink()
    (out / "shard-00077.h5").write_bytes(b"unlisted")
    done = run(1, root, out)
    assert done.returncode == 0, done.stderr
    same(out, whole)
    assert [json.loads(line)["shard"] for path in manifest_files(out) for line in path.read_text().splitlines()] == [
        each.shard for each in read_manifests(out)
    ]
    others = FrontEnd(mels=64)
    with pytest.raises(DataError, match=r"made with mels=32, this run wants mels=64"):
        list(stage.extract(corpora(root), out, front_end=others))
    list(stage.extract(corpora(root), out, front_end=others, fresh=True, max_missing=1))
    assert [path.name for path in manifest_files(out)] == ["manifest.jsonl"]
    assert Shards(out).settings["mels"] == 64


def corpora(root):
    from slowfast_cli.corpora import folder

    return [folder.read(root, split) for split in ("train", "val")]


@pytest.mark.processes
def test_a_folder_that_is_taken_stops_all_of_them(root, tmp_path):
    out = tmp_path / "shards"
    running = stage.extract(corpora(root), out, front_end=FRONT_END)
    next(running)
    command = ["extract", "--dataset", "folder", "--root", root, "--out", out, "--gpus", 3, "-j", 1, *tiny.FRONT]
    done = tiny.process(*command, "--max-restarts", 2)
    assert done.code == 1
    assert done.err.count(f"another `slowfast extract` (process {os.getpid()}) writes there") == 1
    assert done.err.count("error:") == 1
    running.close()


@pytest.fixture
def counts(monkeypatch):
    """Counts of rank 0 of three, and the statuses published by the other ranks."""
    statuses = {}
    monkeypatch.setattr(progress.distributed, "read_status", lambda share: dict(statuses))
    monkeypatch.setattr(progress, "STATUS_INTERVAL", 0.0)
    return Counts({"a": 2.0}, total=5, kept=1, expected=9.0, share=Share(rank=0, world=3)), statuses


def status(**more):
    return {"recordings": 1, "failed": 0, "seconds": 3.0, "stored": 3.0, "more": -1.0, **more}


def test_progress_is_that_of_all(counts):
    counted, statuses = counts
    statuses |= {1: status(), 2: status(failed=1, stored=0.0)}
    assert counted.add(Ended(id="a", seconds=2.5, failed=False))
    progress = counted.progress()
    assert (progress.recordings, progress.total, progress.kept, progress.failures, progress.seconds) == (
        3,
        5,
        1,
        1,
        6.0,
    )
    assert progress.expected == 9.0 + 0.5 - 2.0
    waiting = counted.wait()
    next(waiting)
    statuses |= {1: status(problem=""), 2: status(recordings=3, problem="")}
    assert next(waiting).recordings == 5
    assert list(waiting) == []
    assert counted.all_done()


def test_a_process_that_fails_or_is_silent_is_an_error(counts, monkeypatch):
    counted, statuses = counts
    statuses[1] = status(problem="")
    monkeypatch.setattr(progress, "STATUS_TIMEOUT", 0.0)
    with pytest.raises(LostError, match=r"no status from processes \[2\]"):
        list(counted.wait())
    statuses[2] = status(problem="disk full")
    with pytest.raises(SlowFastError, match="process 2 of 3: disk full"):
        list(counted.wait())


def test_processes_that_see_other_things_do_not_share_a_plan(monkeypatch, tmp_path):
    monkeypatch.setattr(stage.distributed, "gather", lambda values, share: [*values, "else"])
    with pytest.raises(DataError, match="ranks disagree on the remaining recordings"):
        stage.require_one_plan(tmp_path, "this", Share(rank=0, world=2))


@pytest.fixture
def many(root, tmp_path):
    """Enough recordings to act on the processes while they store them."""
    for number in range(300):
        path = tmp_path / "many" / "train" / "a" / f"{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((root / "train" / "b" / "01.wav").read_bytes())
    return tmp_path / "many"


@pytest.mark.slow
def test_a_killed_process_is_started_again(many, tmp_path):
    """--fresh applies to the first start only: a restart keeps finished shards."""
    out = tmp_path / "shards"
    command = ["extract", "--dataset", "folder", "--root", many, "--out", out, "--gpus", 2, "-j", 1, "--fresh"]
    child = tiny.start(*command, "--max-restarts", 1)
    while child.poll() is None and not manifest_files(out):
        time.sleep(0.01)
    kept = [id for each in read_manifests(out) for id in each.ids]
    os.kill(tiny.ranks(child.pid)[1], signal.SIGKILL)
    _, err = child.communicate(timeout=120)
    assert child.returncode == 0, err
    stored = [id for each in read_manifests(out) for id in each.ids]
    assert len(kept) > 0
    assert len(stored) == len(set(stored)) == 300
    assert int(re.search(r"\((\d+) were stored before\)", err)[1]) >= len(kept)
    assert Shards(out).verify() == ()
    assert not list(out.glob("*.tmp"))


@pytest.mark.slow
def test_ctrl_c_stops_all_of_them(many, tmp_path):
    out = tmp_path / "shards"
    child = tiny.start("extract", "--dataset", "folder", "--root", many, "--out", out, "--gpus", 2, "-j", 1)
    while child.poll() is None and not list(out.glob("*.tmp")):
        pass
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=60)
    assert child.returncode == 130
    assert "re-run the command to resume" in err
    assert "Traceback" not in err
