"""What own data is said to lack, before and after training on it."""

import pytest
import soundfile
import tiny

from slowfast_cli.build import remarks
from slowfast_cli.cli import show
from slowfast_cli.recipe.load import load
from slowfast_cli.settings import FrontEnd
from slowfast_cli.stages.extract.estimate import Estimate, estimate
from slowfast_cli.types import Corpus, Recording

CLASSES = ("rain", "rooster")
WORDS = [*tiny.WORDS, "data.source=media", "optim.batch=4", "augment.mix=0"]


@pytest.fixture
def few(tmp_path):
    """Five short clips of two classes, without split folders."""
    for label, name in (("rain", "rain.wav"), ("rooster", "rooster.flac")):
        for number in range(5):
            clip = tiny.sound(name, 0.3, skip=0.1 * number)
            tiny.write(tmp_path / "few" / label / f"{number}.wav", clip)
    return tmp_path / "few"


def test_training_says_what_is_the_same_and_what_is_padded(few, tmp_path):
    words = [f"data.root={few}", *WORDS, "data.clip_seconds=2"]
    for command in (["train", "folder", "--dry-run"], ["train", "folder", "--run", tmp_path / "run"]):
        done = tiny.good(*command, *words)
        assert "test and val are the same files" in done.err or "val and test are the same files" in done.err
        assert "keep=last avoids it" in done.err
        assert "half of the segments are shorter than 0.3 s, padded to 2 s: try data.clip_seconds=0.3" in done.err
    tested = tiny.good("evaluate", "folder", *words, "-w", tmp_path / "run", "--no-plots", "--out", tmp_path / "out")
    assert "trained on these very segments" not in tested.err
    seen = ["data.test=train", "-w", tmp_path / "run", "--no-plots", "--out", tmp_path / "out"]
    assert "trained on these very segments" in tiny.good("evaluate", "folder", *words, *seen).err


def test_low_rates_equal_parts_and_known_weights_are_said_before_training(few, tmp_path):
    words = [f"data.root={few}", *WORDS, "adapt=false"]
    tiny.good("train", "folder", "--run", tmp_path / "run", *words)
    for path in sorted((few / "rain").iterdir()):
        samples, _ = soundfile.read(path)
        soundfile.write(path, samples[::2], 8000)
    said = tiny.good(
        "finetune",
        "folder",
        "--weights",
        tmp_path / "run",
        *words,
        "data.val=train",
        "frontend.rate=16000",
        "--dry-run",
    ).err
    assert "sampled below frontend.rate=16000: 4 of 8 recordings (rain/" in said
    assert "set frontend.rate=8000 model.init=null" in said
    assert "train is validated or tested on: set data.val" in said
    assert "were trained on the segments of train" in said
    assert "set data.balanced=true" not in said


@pytest.mark.parametrize(("field", "unit"), [("warmup_steps", "steps"), ("warmup_epochs", "epochs")])
def test_a_warm_up_as_long_as_the_training_names_its_field(few, tmp_path, field, unit):
    words = [f"data.root={few}", *WORDS, "adapt=false", "schedule.warmup_steps=0", "schedule.warmup_epochs=0"]
    words += ["schedule.steps=null", "schedule.epochs=null", f"schedule.{unit}=2"]
    done = tiny.good("train", "folder", "--run", tmp_path / "run", *words, f"schedule.{field}=99")
    assert f"little is learned: set schedule.{field}=0" in done.err


def test_extraction_and_check_say_that_splits_are_the_same(few):
    for command in (["extract", "--dataset", "folder", "-j", 1], ["data", "check", "folder"]):
        assert "are the same files, so scores are those of validation" in tiny.good(*command, "--root", few).err


def test_rare_and_absent_classes_are_named(tmp_path):
    counts = {"train": {"rain": 42, "rooster": 2, "wind": 1}, "val": {"rain": 1, "owl": 1}}
    for split, classes in counts.items():
        for label, count in classes.items():
            for number in range(count):
                tiny.write(tmp_path / split / label / f"{number}.wav", tiny.sound("rain.wav", 0.3, skip=0.1 * number))
    (tmp_path / "train" / "rain" / "notes.xyz").write_text("?")
    err = tiny.good("extract", "--dataset", "folder", "-j", 1, "--root", tmp_path).err
    for line in (
        "not used: 1 (train/rain/notes.xyz: its suffix is not one of audio or video)",
        "fewer than 20 training examples: rooster (2), wind (1) (label)",
        "rain has 42 training examples and wind 1, more than 20 to 1 (label)",
        "only in val, so never learned: owl (label)",
        "not in val, so never scored: rooster, wind (label)",
        "MB of disk",
    ):
        assert line in err
    assert "MB of disk" not in tiny.good("extract", "--dataset", "folder", "-j", 1, "--root", tmp_path).err


def test_a_split_that_cannot_be_read_is_an_error_at_the_end(few, tmp_path):
    rows = [f"few/{label}/{number}.wav,0,1,train,{label}" for label in CLASSES for number in range(5)]
    (tmp_path / "list.csv").write_text("\n".join(["path,start,stop,split,kind", *rows, "few/rain/0.wav,2,2,val,rain"]))
    for command in (["extract", "--dataset", "csv", "-j", 1], ["data", "check", "csv"]):
        done = tiny.slowfast(*command, "--root", tmp_path / "list.csv")
        assert done.code == 3
        assert "no row of split 'val' can be used" in done.err


def test_bad_rows_are_counted_by_reason(few, tmp_path):
    rows = [f"few/{label}/{number}.wav,0,1,{label}" for label in CLASSES for number in range(5)]
    rows += [",0,1,rain", ",0,1,rain", "few/rain/0.wav,2,1,rain"]
    (tmp_path / "list.csv").write_text("\n".join(["path,start,stop,kind", *rows]))
    done = tiny.slowfast("data", "check", "csv", "--root", tmp_path / "list.csv")
    assert "not used: 2 (row 12: empty path: name a file), 1 (row 14: stop 1.0 s is not after start 2.0 s)" in done.err
    assert f"{tmp_path / 'list.csv'}: row 14: stop 1.0 s" in done.err


def test_splits_without_segments_are_not_called_the_same():
    empty = [Corpus(name="csv", split=split, segments=(), classes={}) for split in ("val", "test")]
    assert remarks._same_files(load("folder"), empty) == []


def test_a_full_disk_is_said_before_the_extraction(few, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("slowfast_cli.stages.extract.estimate.free_bytes", lambda folder: 100)
    words = ["extract", "--dataset", "folder", "-j", 1, "--root", few, "--out", tmp_path / "shards"]
    done = tiny.slowfast(*words)
    assert (done.code, "8 of 10 recordings need 0.0 GB, the disk has 0.0 GB free" in done.err) == (3, True)
    paths = sorted(few.rglob("*.wav"))
    recordings = [Recording(id=path.name, path=path) for path in paths]
    settings = {"dtype": "float16", "out": tmp_path}
    monkeypatch.undo()
    needed = estimate(recordings, FrontEnd(), **settings).bytes
    monkeypatch.setattr("slowfast_cli.stages.extract.estimate.free_bytes", lambda folder: round(0.9 * needed))
    show.needs(estimate(recordings, FrontEnd(), **settings), 2)
    printed = capsys.readouterr().err
    assert "the disk may become full before the end" in printed
    assert "less than 5 s in 2 processes" in printed


def test_the_time_of_an_extraction_counts_processes_that_have_work():
    needs = Estimate(seconds=1000, bytes=1, elapsed=120, free=2, recordings=4)
    assert (needs.processes(64), needs.processes(2)) == (4, 2)
    assert (needs.duration(64), needs.duration(1)) == (120 / 4 + 3, 120)


def test_data_without_validation_or_with_one_class_is_refused(few):
    words = ["train", "folder", f"data.root={few}", *WORDS]
    for path in [*(few / "rooster").iterdir()]:
        path.unlink()
    done = tiny.slowfast(*words, "--dry-run")
    assert (done.code, "label set label has one class only (rain)" in done.err) == (3, True)
    tiny.write(few / "rooster" / "0.wav", tiny.sound("rooster.flac", 0.5))
    for path in sorted((few / "rain").iterdir())[1:]:
        path.unlink()
    done = tiny.slowfast(*words, "--dry-run")
    assert done.code == 3
    assert "no segments to validate on" in done.err


def test_the_metric_of_several_label_sets_is_one_that_they_have(few, tmp_path):
    rows = ["path,kind,place"]
    rows += [f"few/{label}/{number}.wav,{label},{number % 2}x" for label in CLASSES for number in range(5)]
    (tmp_path / "list.csv").write_text("\n".join(rows) + "\n")
    words = ["data.corpus=csv", f"data.root={tmp_path / 'list.csv'}", *WORDS]
    done = tiny.good("train", "folder", "--dry-run", *words)
    assert "all_top1" in done.out
    assert "labels: kind, place" in done.err
