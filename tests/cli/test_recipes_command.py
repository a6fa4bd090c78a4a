"""`slowfast recipes`, `data` and `doctor`."""

import csv
import json

import pytest
import tiny
import yaml

from slowfast_cli.corpora.registry import CORPORA
from slowfast_cli.recipe.load import bundled, load
from slowfast_cli.stages import doctor as stage
from slowfast_cli.stages.doctor import Fact, Report


def test_ls_lists_the_recipes():
    done = tiny.good("recipes", "ls")
    assert all(name in done.out for name in bundled())
    (rows,) = tiny.good("recipes", "ls", "--json").lines
    listed = {row["name"]: row for row in rows}
    assert list(listed) == list(bundled())
    assert listed["vggsound"]["published"]["top1"] == 52.46
    assert listed["epic"]["tables"] == ["2"]


@pytest.mark.parametrize("name", list(bundled()))
def test_a_shown_recipe_is_the_recipe(name, tmp_path):
    done = tiny.good("recipes", "show", name)
    (tmp_path / "again.yaml").write_text(done.out)
    assert load(str(tmp_path / "again.yaml")) == load(name)
    assert "valid" in tiny.good("recipes", "validate", name).out


def test_show_marks_what_was_overridden():
    done = tiny.good("recipes", "show", "vggsound", "optim.lr=0.5", "~augment.warp", "data.root=/x")
    marked = [line.strip() for line in done.out.splitlines() if line.endswith("  # overridden")]
    assert marked == ["root: /x  # overridden", "warp: 0  # overridden", "lr: 0.5  # overridden"]
    plain = yaml.safe_load(done.out)
    assert (plain["optim"]["lr"], plain["augment"]["warp"]) == (0.5, 0)
    done = tiny.good("recipes", "show", "vggsound", "optim.name=adam", "data.train=train")
    assert done.out.count("# overridden") == 2  # not every field of that name


def test_cp_copies_and_overwrites_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    original = bundled()["esc10"].read_bytes()
    tiny.good("recipes", "cp", "esc10")
    assert (tmp_path / "esc10.yaml").read_bytes() == original
    (tmp_path / "esc10.yaml").write_text("mine")
    done = tiny.slowfast("recipes", "cp", "esc10", ".")
    assert (done.code, "esc10.yaml: already exists" in done.err) == (2, True)
    assert tiny.slowfast("recipes", "cp", "esc10", "-n").code == 0
    assert (tmp_path / "esc10.yaml").read_text() == "mine"
    tiny.good("recipes", "cp", "esc10", "own")
    assert (tmp_path / "own.yaml").read_bytes() == original
    done = tiny.slowfast("recipes", "cp", "esc10", "deep/own.yaml")
    assert (done.code, "deep: no such folder; create it with --make-parents" in done.err) == (2, True)
    tiny.good("recipes", "cp", "esc10", "deep/own.yaml", "--make-parents")
    assert "valid" in tiny.good("recipes", "validate", "deep/own.yaml").out
    (tmp_path / "file").touch()
    done = tiny.slowfast("recipes", "cp", "esc10", "file/own.yaml", "--make-parents")
    assert done.code != 0
    assert "defect" not in done.err


def test_validate_looks_at_every_row(tmp_path):
    values = yaml.safe_load(bundled()["esc10"].read_text())
    values["tables"] = {
        "1": {
            "Good": {},
            "Wrong net": {"set": {"model.variant": "asf-r55"}},
            "Wrong window": {"set": {"frontend.window_ms": 1000}},
        }
    }
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(values))
    done = tiny.slowfast("recipes", "validate", tmp_path / "mine.yaml", "data.corpus=esc11")
    assert done.code == 2
    assert "esc11: no such data set" in done.err
    assert "mine.yaml: tables.1.Wrong net: model.variant: 'asf-r55': no such network" in done.err
    assert "mine.yaml: tables.1.Wrong window: mine.yaml:18: frontend: at 16000 Hz" in done.err
    assert "Good" not in done.err


def test_data_ls_lists_the_data_sets():
    done = tiny.good("data", "ls")
    assert all(name in done.out for name in CORPORA)
    lines = tiny.good("data", "ls", "--json").lines
    assert [line["name"] for line in lines] == list(CORPORA)
    assert lines[0]["heads"] == {"label": 309}


def test_data_check_finds_what_is_wrong(sounds, tmp_path):
    root = tiny.make_folder(tmp_path / "folder")
    done = tiny.good("data", "check", "folder", "--root", root, "-j", "1")
    assert [line.split("│")[7].strip() for line in done.out.splitlines() if line.startswith("│")] == ["none"] * 3
    (root / "train" / "rain" / "empty.wav").touch()
    (root / "val" / "rain" / "short.wav").write_bytes((root / "val" / "rain" / "rain-4.wav").read_bytes()[:60])
    tiny.write(root / "val" / "rain" / "mute.wav", tiny.sound("rain.wav", 1) * 0)
    done = tiny.slowfast("data", "check", "folder", "--root", root, "-j", "2", "--out", tmp_path / "wrong.csv")
    assert done.code == 3
    assert "3 recordings have problems" in done.err
    with (tmp_path / "wrong.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["id"] for row in rows} == {"train/rain/empty.wav", "val/rain/short.wav", "val/rain/mute.wav"}
    assert "1 silent" in done.out
    assert "train/rain/empty.wav: empty file" in done.err
    bare = tmp_path / "bare"  # without a test split, whose part val then plays
    for part in ("train", "val"):
        (bare / part / "rain").mkdir(parents=True)
        (bare / part / "rain" / "empty.wav").touch()
    done = tiny.slowfast("data", "check", "folder", "--root", bare)
    assert "2 recordings have problems" in done.err
    done = tiny.slowfast(
        "data", "check", "folder", "--root", root, "--out", root / "train" / "rain" / "empty.wav" / "x"
    )
    assert "defect" not in done.err


@pytest.mark.parametrize("ok", [True, False])
def test_the_doctors_verdict_is_the_exit_code(monkeypatch, ok):
    fact = Fact(section="a", name="b", value="c", problem="" if ok else "is broken", remedy="" if ok else "mend it")
    monkeypatch.setattr(stage, "examine", lambda folder: Report(facts=(fact,)))
    done = tiny.slowfast("doctor")
    assert done.code == (0 if ok else 1)
    assert ("NOT READY" in done.out) is not ok
    done = tiny.slowfast("doctor", "--json")
    assert (done.code, json.loads(done.out)["ok"]) == (0 if ok else 1, ok)
