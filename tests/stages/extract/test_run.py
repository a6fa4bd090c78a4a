"""Extracting: the same rows whatever interrupts it, and failures that never stop it."""

import csv
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import soundfile
import torch

from slowfast_cli.corpora import folder as folder_reader
from slowfast_cli.features.logmel import LogMel
from slowfast_cli.media import audio
from slowfast_cli.settings import FrontEnd
from slowfast_cli.shards import index as index_module
from slowfast_cli.shards.manifest import read_manifests
from slowfast_cli.shards.reader import Shards
from slowfast_cli.stages.data.check import Report, check
from slowfast_cli.stages.extract import run as stage
from slowfast_cli.stages.extract import worker as extract_worker
from slowfast_cli.stages.extract.run import Progress, Summary, extract
from slowfast_cli.types import Corpus, DataError, Failure, Recording, Segment, SlowFastError

SOUNDS = Path(__file__).parents[2] / "assets"
FRONT_END = FrontEnd(mels=32)


def corpus_of(paths, missing=()):
    segments = tuple(
        Segment(id=path.name, recording=Recording(id=path.name, path=path), targets={"label": 0}) for path in paths
    )
    return Corpus(name="t", split="all", segments=segments, classes={"label": ("a",)}, missing=tuple(missing))


def sounds():
    return sorted(path for path in SOUNDS.iterdir() if path.is_file() and path.suffix != ".md")


def run(corpora, out, **options):
    return list(extract(corpora, out, **{"front_end": FRONT_END, **options}))


def contents(out):
    stored = Shards(out)
    return {id: stored.read(id) for id in stored.ids()}


def same(one, other):
    assert one.keys() == other.keys()
    for id, rows in one.items():
        assert np.array_equal(rows, other[id]), id


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr(stage, "SHARD_SECONDS", 15.0)


@pytest.fixture
def many(tmp_path):
    """Twelve short recordings."""
    paths = []
    for index in range(12):
        samples, rate = soundfile.read(SOUNDS / "rain.wav")
        paths.append(tmp_path / "media" / f"{index:02d}.wav")
        paths[-1].parent.mkdir(exist_ok=True)
        soundfile.write(paths[-1], samples[index * 1000 :], rate)
    return corpus_of(paths)


def test_rows_are_the_log_mel_of_the_recordings(tmp_path):
    events = run([corpus_of(sounds())], tmp_path, dtype="float32")
    summary = events[-1]
    assert isinstance(summary, Summary)
    assert (summary.recordings, summary.kept, summary.lost, summary.missing) == (6, 0, 0, 0)
    assert summary.bytes == sum(path.stat().st_size for path in tmp_path.glob("*.h5"))
    stored = Shards(tmp_path, FRONT_END.settings())
    total = 0.0
    for path in sounds():
        samples = audio.read(Recording(id="x", path=path), rate=FRONT_END.rate)
        with torch.no_grad():
            wanted = LogMel(FRONT_END)(torch.from_numpy(samples)[None])[0, 0].numpy()
        assert stored.read(path.name).shape == wanted.shape
        assert np.abs(stored.read(path.name) - wanted).max() < 1e-4
        assert stored.seconds(path.name) == len(samples) / FRONT_END.rate
        total += stored.seconds(path.name)
    assert summary.seconds == pytest.approx(total)
    last = [event for event in events if isinstance(event, Progress)][-1]
    assert (last.recordings, last.total, last.failures) == (6, 6, 0)
    assert last.seconds == pytest.approx(last.expected) == pytest.approx(total)


def test_float16_costs_at_most_half_a_step(tmp_path):
    front_end = FrontEnd()
    for dtype in ("float16", "float32"):
        run([corpus_of(sounds())], tmp_path / dtype, dtype=dtype, front_end=front_end)
    half, full = contents(tmp_path / "float16"), contents(tmp_path / "float32")
    worst = max(np.abs(half[id] - full[id]).max() for id in full)
    mean = np.mean([np.abs(half[id] - full[id]).mean() for id in full])
    print(f"float16 against float32 log-mel: largest error {worst:.5f}, mean {mean:.5f}")
    assert worst <= 2**-8 + 2e-4  # the log of the floor is -13.8: steps of 2^-7 between 8 and 16; float32 spectra
    assert mean < 2e-3


@pytest.mark.thorough
@pytest.mark.parametrize("jobs", [1, 2])
def test_changed_files_are_extracted_anew(tmp_path, many, jobs):
    paths = [recording.path for recording in many.recordings]
    good = [path.read_bytes() for path in paths]
    paths[0].write_bytes(b"broken")
    first = run([many], tmp_path / "out", jobs=jobs)[-1]
    assert (first.recordings, first.changed, first.lost) == (11, 0, 1)
    before = contents(tmp_path / "out")
    paths[0].write_bytes(good[0])  # repaired
    paths[1].write_bytes(good[5])  # replaced
    paths[2].write_bytes(b"broken since")
    second = run([many], tmp_path / "out", jobs=jobs)[-1]
    assert (second.recordings, second.kept, second.changed, second.lost) == (2, 9, 3, 1)
    after = contents(tmp_path / "out")
    assert after.keys() == {*before, "00.wav"} - {"02.wav"}
    assert np.array_equal(after["01.wav"], before["05.wav"])
    assert np.array_equal(after["03.wav"], before["03.wav"])
    third = run([many], tmp_path / "out", jobs=jobs)[-1]
    assert (third.recordings, third.kept, third.changed, third.lost) == (0, 11, 0, 1)


@pytest.mark.thorough
def test_two_workers_store_what_one_does(tmp_path, many, small_shards):
    broken = many.segments[3].recording.path
    broken.write_bytes(b"broken")
    run([many], tmp_path / "one")
    events = run([many], tmp_path / "two", jobs=2)
    same(contents(tmp_path / "one"), contents(tmp_path / "two"))
    assert events[-1].recordings == 11
    assert [each.id for each in events[-1].failures] == ["03.wav"]
    assert not list((tmp_path / "two").glob("*.tmp"))


def test_again_redoes_nothing(tmp_path, many, small_shards):
    run([many], tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("shard*")}
    assert len(before) > 3
    summary = run([many], tmp_path / "out")[-1]
    assert (summary.recordings, summary.kept) == (0, 12)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("shard*")} == before
    more = replace(many, split="b", segments=corpus_of(sounds()).segments)
    summary = run([many, more], tmp_path / "out")[-1]
    assert (summary.recordings, summary.kept) == (6, 12)
    summary = run([many], tmp_path / "out", fresh=True)[-1]
    assert (summary.recordings, summary.kept) == (12, 0)
    assert set(Shards(tmp_path / "out").ids()) == {segment.id for segment in many.segments}


def test_its_end_leaves_an_index_for_those_who_read(tmp_path, many, small_shards, monkeypatch):
    run([many], tmp_path / "out")
    (first,) = (tmp_path / "out").glob("index-*")
    run([many], tmp_path / "out")
    assert list((tmp_path / "out").glob("index-*")) == [first]
    monkeypatch.setattr(index_module, "build_index", None)
    assert len(Shards(tmp_path / "out")) == 12
    monkeypatch.undo()
    run([many], tmp_path / "out", fresh=True)
    (second,) = (tmp_path / "out").glob("index-*")
    assert second != first


def test_fresh_removes_only_its_own(tmp_path, many):
    (tmp_path / "out").mkdir()
    for name in ("notes.txt", "mine.h5", "other.tmp"):
        (tmp_path / "out" / name).write_text("keep")
    run([many], tmp_path / "out")
    run([many], tmp_path / "out", fresh=True)
    assert all((tmp_path / "out" / name).read_text() == "keep" for name in ("notes.txt", "mine.h5", "other.tmp"))


@pytest.mark.parametrize("steps", [1, 3, 9, 14])
def test_stopping_loses_the_shard_in_hand_only(tmp_path, many, small_shards, steps):
    run([many], tmp_path / "whole")
    events = extract([many], tmp_path / "out", front_end=FRONT_END)
    for _ in range(steps):
        next(events)
    events.close()
    assert not list((tmp_path / "out").glob("*.tmp"))
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("shard*")}
    run([many], tmp_path / "out")
    assert all(path.stat().st_mtime_ns == mtime for path, mtime in kept.items())
    same(contents(tmp_path / "whole"), contents(tmp_path / "out"))


CHILD = """
import sys
from pathlib import Path
from slowfast_cli.corpora import folder
from slowfast_cli.settings import FrontEnd
from slowfast_cli.stages.extract import run as stage
if __name__ == "__main__":
    stage.SHARD_SECONDS = 30.0
    root, out, jobs = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    print("begun", flush=True)
    for event in stage.extract([folder.read(root, "train")], out, front_end=FrontEnd(mels=32), jobs=jobs):
        pass
"""


@pytest.mark.thorough
@pytest.mark.parametrize("jobs", [1, 2])
def test_sigkill_then_resume_gives_the_same(tmp_path, jobs):
    root, out = tmp_path / "media", tmp_path / "out"
    samples, rate = soundfile.read(SOUNDS / "rain.wav")
    for index in range(40):
        path = root / "train" / "rain" / f"{index:02d}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.tile(np.roll(samples, index * 999), 2), rate)
    (root / "val" / "rain").mkdir(parents=True)
    shutil.copyfile(SOUNDS / "dog.ogg", root / "val" / "rain" / "dog.ogg")
    script = tmp_path / "child.py"
    script.write_text(CHILD)
    child = subprocess.Popen([sys.executable, script, root, out, str(jobs)], start_new_session=True)
    deadline = time.monotonic() + 60
    manifest = out / "manifest.jsonl"
    while not (manifest.exists() and manifest.stat().st_size) and time.monotonic() < deadline and child.poll() is None:
        time.sleep(0.002)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    done = read_manifests(out)
    assert 0 < len(done) < 14
    before = {each.shard: (out / each.shard).stat().st_mtime_ns for each in done}
    corpus = folder_reader.read(root, "train")
    deadline = time.monotonic() + 30
    while True:  # workers notice that their parent is gone when they next speak to it
        try:
            summary = run([corpus], out)[-1]
            break
        except SlowFastError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    assert summary.kept == sum(len(each.ids) for each in done) > 0
    assert summary.recordings + summary.kept == 40
    assert before == {name: (out / name).stat().st_mtime_ns for name in before}
    run([corpus], tmp_path / "whole")
    same(contents(tmp_path / "whole"), contents(out))
    assert Shards(out).verify() == ()
    assert {path.name for path in out.iterdir()} == {
        *(each.shard for each in read_manifests(out)), ".lock", "manifest.jsonl", "failures.csv", "missing.csv",
        f"index-{index_module.manifest_state(out)}",
    }  # fmt: skip


def test_leftovers_and_orphans_are_cleaned(tmp_path, many, small_shards):
    out = tmp_path / "out"
    run([many], out)
    (out / "shard-00099.h5").write_bytes(b"published, but not in the manifest")
    (out / "shard-00100.h5.77.tmp").write_bytes(b"half")
    with (out / "manifest.jsonl").open("a") as file:
        file.write('{"shard": "shard-00099.h5", "byt')
    assert run([many], out)[-1].recordings == 0
    assert not (out / "shard-00099.h5").exists()
    assert not list(out.glob("*.tmp"))
    assert len(Shards(out)) == 12


def test_a_shard_that_vanished_or_shrank_is_made_again(tmp_path, many, small_shards):
    out = tmp_path / "out"
    run([many], out)
    whole = contents(out)
    first, second, *_ = sorted(out.glob("shard*"))
    first.unlink()
    second.write_bytes(second.read_bytes()[:-1])
    with pytest.raises(DataError):
        Shards(out)
    assert run([many], out)[-1].recordings > 0
    same(whole, contents(out))


def test_failures_are_listed_and_stop_nothing(tmp_path, many):
    media = tmp_path / "media"
    paths = {name: media / name for name in ("empty.wav", "text.mp3", "cut.wav", "mute.wav", "nan.wav", "cut.mp4")}
    paths["empty.wav"].touch()
    paths["text.mp3"].write_text("no sound" * 99)
    paths["cut.wav"].write_bytes((SOUNDS / "rain.wav").read_bytes()[:80000])
    paths["cut.mp4"].write_bytes((SOUNDS / "clock.mp4").read_bytes()[:20000])
    soundfile.write(paths["mute.wav"], np.zeros(16000), 16000)
    soundfile.write(paths["nan.wav"], np.full(16000, np.nan), 16000, subtype="FLOAT")
    gone = media / "gone.wav"
    corpus = corpus_of([*(segment.recording.path for segment in many.segments), *paths.values(), gone])
    summary = run([corpus], tmp_path / "out", max_missing=0.5)[-1]
    assert (summary.recordings, summary.lost) == (12, 7)
    with (tmp_path / "out" / "failures.csv").open(newline="") as file:
        table = {row["id"]: row for row in csv.DictReader(file)}
    assert table.keys() == {*paths, "gone.wav"}
    for name, reason in [("empty.wav", "empty"), ("cut.wav", "truncated"), ("mute.wav", "silent"), ("nan.wav", "NaN")]:
        assert reason in table[name]["reason"]
        assert table[name]["path"] == str(paths[name])
    summary = run([corpus], tmp_path / "out", max_missing=0.5)[-1]
    assert (summary.recordings, summary.lost) == (0, 7)
    shutil.copyfile(SOUNDS / "rain.wav", gone)
    assert run([corpus], tmp_path / "out", max_missing=0.5)[-1].lost == 7
    assert run([corpus], tmp_path / "out", max_missing=0.5, retry=True)[-1].lost == 6
    assert "gone.wav" in Shards(tmp_path / "out")


def test_too_much_missing_is_an_error_after_everything_is_written(tmp_path, many):
    gone = [Failure(id=f"g{index}", path=Path(f"g{index}.wav"), reason="not on disk") for index in range(3)]
    corpus = replace(many, missing=tuple(gone))
    assert run([corpus], tmp_path / "a", max_missing=0.25)[-1].missing == 3
    events = extract([corpus], tmp_path / "b", front_end=FRONT_END, max_missing=0.15)
    with pytest.raises(DataError, match=r"of 15 listed segments 3 are missing and 0 failed \(20%\)") as error:
        list(events)
    assert error.value.code == 3
    assert len(Shards(tmp_path / "b")) == 12
    assert len((tmp_path / "b" / "missing.csv").read_text().splitlines()) == 4


def test_a_second_run_says_so_and_stops(tmp_path, many):
    first = extract([many], tmp_path / "out", front_end=FRONT_END)
    next(first)
    with pytest.raises(SlowFastError, match=rf"another `slowfast extract` \(process {os.getpid()}\)"):
        run([many], tmp_path / "out")
    first.close()
    run([many], tmp_path / "out")


def test_another_front_end_is_refused(tmp_path, many):
    run([many], tmp_path / "out")
    other = replace(FRONT_END, hop_ms=5)
    with pytest.raises(DataError, match=r"made with hop_ms=10, this run wants hop_ms=5.*--fresh"):
        run([many], tmp_path / "out", front_end=other)
    assert run([many], tmp_path / "out", front_end=other, fresh=True)[-1].recordings == 12


def test_a_folder_that_cannot_be_written(tmp_path, many, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot be written"):
        run([many], tmp_path / "file")
    (tmp_path / "read-only").mkdir(mode=0o555)
    if os.geteuid() == 0:  # root may write anywhere: let the system call refuse

        def refuse(*_):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(DataError, match=r"cannot be written .*Permission denied.*--out"):
        run([many], tmp_path / "read-only")


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_full_disk_stops_with_what_is_done_kept(tmp_path, many, small_shards, jobs):
    run([many], tmp_path / "whole")
    events = extract([many], tmp_path / "out", front_end=FRONT_END, jobs=jobs)
    next(events)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    long = many.segments[-1].recording.path
    samples, rate = soundfile.read(SOUNDS / "rain.wav")
    soundfile.write(long, np.tile(samples, 60), rate)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, limits[1]))
        with pytest.raises(DataError, match=r"failed .*free disk space.*re-run"):
            list(events)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list((tmp_path / "out").glob("*.tmp"))
    soundfile.write(long, samples[11000:], rate)
    run([many], tmp_path / "out")
    same(contents(tmp_path / "whole"), contents(tmp_path / "out"))


def test_a_decoder_that_crashes_costs_its_recording_only(tmp_path, many, small_shards, monkeypatch):
    class Pipe:
        def recv(self):
            raise EOFError

    class Process:
        exitcode = -signal.SIGSEGV

        def join(self):
            pass

    recordings = many.recordings[:3]
    worker = object.__new__(extract_worker._Worker)
    worker.pipe, worker.process, worker.recording_id = Pipe(), Process(), recordings[1].id
    worker.job = extract_worker.Job(number=4, recordings=recordings)
    spec = extract_worker.ShardSpec(front_end={}, mels=1, dtype="float16", source="", version="")
    work = extract_worker.Work(folder=tmp_path, front_end=FRONT_END, spec=spec, device="cpu")
    repeated = []
    message = extract_worker._receive(worker, work, repeated.append)
    assert [failure.id for failure in message.entry.failures] == [recordings[1].id]
    assert repeated[0].recordings == (recordings[0], recordings[2])
    Process.exitcode = -signal.SIGKILL
    worker.job = repeated[0]
    with pytest.raises(SlowFastError, match="exit code -9"):
        extract_worker._receive(worker, work, repeated.append)


def test_one_id_for_two_files_is_an_error(tmp_path, many):
    other = replace(many, split="b", segments=corpus_of([SOUNDS / "rain.wav"]).segments)
    clash = replace(other.segments[0], recording=Recording(id="00.wav", path=SOUNDS / "rain.wav"))
    with pytest.raises(DataError, match=r"recording 00\.wav"):
        run([many, replace(other, segments=(clash,))], tmp_path / "out")


def test_names_that_are_not_utf8(tmp_path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xe9.wav"))
    shutil.copyfile(SOUNDS / "rain.wav", path)
    bad = path.with_name(path.name.replace(".wav", ".mp3"))
    bad.write_bytes(b"nothing" * 100)
    summary = run([corpus_of([path, bad])], tmp_path / "out", max_missing=1)[-1]
    assert (summary.recordings, summary.lost) == (1, 1)
    assert path.name in Shards(tmp_path / "out")
    assert (tmp_path / "out" / "failures.csv").read_bytes().decode()


def test_shards_tell_where_they_come_from(tmp_path, many):
    run([many], tmp_path / "out")
    entry = read_manifests(tmp_path / "out")[0]
    assert entry.source == stage.source_hash([many])
    assert entry.source != stage.source_hash([replace(many, split="b")])
    assert json.loads((tmp_path / "out" / "manifest.jsonl").read_text())["front_end"] == FRONT_END.settings()


def test_check_decodes_for_real(tmp_path, many):
    media = tmp_path / "media"
    soundfile.write(media / "mute.wav", np.zeros(16000), 16000)
    soundfile.write(media / "short.wav", np.full(160, 0.1), 16000)
    (media / "broken.wav").write_bytes(b"broken")
    paths = [*sounds(), media / "mute.wav", media / "short.wav", media / "broken.wav"]
    gone = Failure(id="gone", path=media / "gone.wav", reason="not on disk")
    *each, report = check(corpus_of(paths, [gone]), min_seconds=1, jobs=2)
    assert [one.id for one in each] == [path.name for path in paths]
    assert isinstance(report, Report)
    assert report.states == {"ok": 6, "silent": 1, "too short": 1, "unreadable": 1}
    assert (report.listed, report.found, report.recordings) == (10, 9, 9)
    assert {failure.id for failure in report.failures} == {"mute.wav", "short.wav", "broken.wav", "gone"}
    late = replace(corpus_of([SOUNDS / "rain.wav"]).segments[0], start=7.0)
    checked, _ = check(replace(many, segments=(late,)))
    assert checked.state == "too short"
    assert "starts at 7.00 s" in checked.reason


def spectra(out):
    return {entry.spectra for entry in read_manifests(out)}


def test_shards_say_how_their_spectra_were_computed(tmp_path):
    corpora = [corpus_of(sounds()[:3])]
    summaries = [
        run(corpora, tmp_path / name, **options)[-1]
        for name, options in {"fast": {}, "exact": {"exact": True}, "wide": {"dtype": "float32"}}.items()
    ]
    assert [done.spectra for done in summaries] == [("float32",), ("float64",), ("float64",)]
    with h5py.File(tmp_path / "fast" / "shard-00000.h5") as file:
        assert file.attrs["spectra"] == "float32"
    fast, exact = contents(tmp_path / "fast"), contents(tmp_path / "exact")
    for id, rows in exact.items():
        assert np.abs(fast[id].astype(np.float32) - rows.astype(np.float32)).max() <= 0.0079  # one step of float16


def test_a_folder_is_continued_in_the_precision_of_its_shards(tmp_path):
    first, all_of_them = [corpus_of(sounds()[:2])], [corpus_of(sounds()[:4])]
    run(first, tmp_path / "exact", exact=True)
    run(all_of_them, tmp_path / "exact")
    assert spectra(tmp_path / "exact") == {"float64"}
    run(first, tmp_path / "fast")
    with pytest.raises(DataError, match="spectra in float32, this run wants float64"):
        run(all_of_them, tmp_path / "fast", exact=True)
    run(all_of_them, tmp_path / "fast", exact=True, fresh=True)
    assert spectra(tmp_path / "fast") == {"float64"}


def test_lines_of_earlier_manifests_mean_float64(tmp_path):
    run([corpus_of(sounds()[:2])], tmp_path)
    manifest = tmp_path / "manifest.jsonl"
    line = json.loads(manifest.read_text())
    del line["spectra"]
    manifest.write_text(json.dumps(line) + "\n")
    assert spectra(tmp_path) == {"float64"}
