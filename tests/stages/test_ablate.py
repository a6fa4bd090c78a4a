"""A paper's table: rows are trained once, scored, and printed beside what was published."""

import csv
import json
import shutil

import pytest
import tiny
import yaml

from slowfast_cli.recipe.load import bundled

TABLE = {
    "1": {
        "Slow & Fast": {"published": {"params_m": 26.88, "top1": 52.46}},
        "Fast_only": {"set": {"model.variant": "asf-fast-r50", "model.width": 4}, "published": {"top1": 41.44}},
    }
}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory, sounds):
    """A recipe of one's own, with a table of two rows."""
    path = tmp_path_factory.mktemp("recipes") / "mine.yaml"
    values = yaml.safe_load(bundled()["folder"].read_text())
    values["data"] |= {"root": str(sounds), "clip_seconds": 0.6, "workers": 0, "views": 1}
    values["adapt"] = False
    values["data"]["source"] = "shards"
    values["frontend"] = {"mels": 32}
    values["model"] = {"variant": "asf-r50", "width": 8}
    values["optim"] |= {"batch": 4, "ema": 0.5}
    values["schedule"] = {"epochs": 1}
    values["keep"] = "best"
    path.write_text(yaml.safe_dump({**values, "tables": TABLE}, sort_keys=False))
    return path


@pytest.fixture(scope="module")
def done(recipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ablation") / "table-1"
    return folder, tiny.good("ablate", recipe, "--out", folder)


def cells(text):
    return [
        [cell.strip() for cell in line.strip("│┃").replace("┃", "│").split("│")]
        for line in text.splitlines()
        if "│" in line or "┃" in line
    ]


def test_rows_are_trained_scored_and_printed(done):
    folder, reported = done
    assert "Slow & Fast: training: " in reported.err
    assert "Fast_only: training: " in reported.err
    assert f"done: {folder} (report.html, table.md, table.csv, table.tex, table.json)" in reported.err
    header, first, second = cells(reported.out)
    assert header == ["", "Params (M)", "Params (M) (paper)", "GFLOPs", "Top-1", "Top-1 (paper)"]
    assert (first[0], first[2], first[5]) == ("Slow & Fast", "26.88", "52.46")
    assert (second[0], second[2], second[5]) == ("Fast_only", "", "41.44")
    for name in ("slow-fast", "fast-only"):
        assert (folder / name / "last.safetensors").is_file()
        assert json.loads((folder / name / "result.json").read_text())["top1"] >= 0


def test_the_table_is_written_in_four_ways(done, recipe):
    folder, reported = done
    plain = json.loads((folder / "table.json").read_text())
    assert plain["title"] == "mine, table 1"
    assert [row["name"] for row in plain["rows"]] == list(TABLE["1"])
    ours = plain["rows"][0]["ours"]
    assert {"params_m", "gflops", "top1", "top5", "map", "auc", "dprime"} == set(ours)
    assert plain["rows"][0]["published"] == {"params_m": 26.88, "top1": 52.46}
    with (folder / "table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["row"] for row in rows] == list(TABLE["1"])
    assert float(rows[0]["Top-1"]) == pytest.approx(ours["top1"], abs=0.005)
    markdown = (folder / "table.md").read_text().splitlines()
    assert markdown[0] == "**mine, table 1**"
    assert [cell.strip() for cell in markdown[4].strip("|").split("|")] == cells(reported.out)[1]
    latex = (folder / "table.tex").read_text()
    assert r"Slow \& Fast & " in latex
    assert r"Fast\_only & " in latex
    assert latex.count(r"\\") == 3
    again = tiny.good("ablate", recipe, "--out", folder, "--json")
    assert again.lines == [plain]


def test_finished_rows_are_not_touched_again(done, recipe):
    folder, reported = done
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")}
    again = tiny.good("ablate", recipe, "--out", folder)
    assert again.err.count("already finished") == 2
    assert again.out == reported.out
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")}


def test_a_row_is_gone_on_with_where_it_stopped(done, recipe, tmp_path):
    folder, reported = done
    shutil.copytree(folder, tmp_path / "table")
    (tmp_path / "table" / "fast-only" / "result.json").unlink()
    again = tiny.good("ablate", recipe, "--out", tmp_path / "table")
    assert "already finished, after 3 steps" in again.err
    assert again.out == reported.out


def test_numbers_of_another_recipe_are_not_passed_off(done, recipe):
    """The same folder, other settings: what is there was made otherwise."""
    folder, _ = done
    again = tiny.slowfast("ablate", recipe, "optim.lr=0.123", "--out", folder)
    assert again.code == 2
    assert "a run of another recipe (optim.lr: 0.001 there, 0.123 now)" in again.err
    assert again.out == ""


def test_one_row_alone(done, recipe, tmp_path):
    folder, _ = done
    shutil.copytree(folder, tmp_path / "table")
    one = tiny.good("ablate", recipe, "--out", tmp_path / "table", "--row", "Fast_only")
    assert [row[0] for row in cells(one.out)[1:]] == ["Fast_only"]
    for words in ([], ["--dry-run"]):
        wrong = tiny.slowfast("ablate", recipe, "--out", tmp_path / "table", "--row", "Slow", *words)
        assert wrong.code == 2
        assert "--row Slow: table 1 has the rows Slow & Fast, Fast_only" in wrong.err


def test_a_dry_run_needs_no_data(tmp_path, monkeypatch):
    """Parameters and GFLOPs of every row against the paper's."""
    monkeypatch.chdir(tmp_path)
    reported = tiny.good("ablate", "epic", "--table", "2", "--dry-run", "--row", "Fast", "--row", "Slow-Fast", "--json")
    (plain,) = reported.lines
    rows = {row["name"]: row for row in plain["rows"]}
    assert set(rows) == {"Fast", "Slow-Fast"}
    for row in rows.values():
        assert int(row["ours"]["params_m"] * 100) / 100 == row["published"]["params_m"]
        assert row["ours"]["gflops"] > 0
    assert list(tmp_path.iterdir()) == []


def test_tables_that_are_not_there(recipe):
    for words, reported in (
        (["epic", "--table", "3", "--dry-run"], "epic.yaml: --table 3: no such table; expected one of 2"),
        (["folder", "--dry-run"], "folder.yaml: has no tables"),
        (["folder", "--table", "1", "--dry-run"], "folder.yaml: --table 1: no such table; the recipe has none"),
        (["vggsound", "--dry-run"], "vggsound.yaml: --table: expected one of "),
    ):
        done = tiny.slowfast("ablate", *words)
        assert (done.code, done.out) == (2, "")
        assert reported in done.err


def test_a_row_that_does_not_hold_together_is_found_before_any_is_trained(recipe, tmp_path):
    values = yaml.safe_load(recipe.read_text())
    values["tables"]["1"]["Wrong"] = {"set": {"model.widht": 4}}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(values))
    done = tiny.slowfast("ablate", tmp_path / "mine.yaml", "--out", tmp_path / "out")
    assert done.code == 2
    assert "model.widht: no such field; did you mean 'width'?" in done.err
    assert not (tmp_path / "out").exists()


def test_results_on_a_split_without_labels(kitchen, recipe, tmp_path):
    values = yaml.safe_load(bundled()["epic"].read_text())
    values["tables"] = {"1": {"Row": {}}}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    words = [f"data.root={kitchen}", *tiny.EPIC_WORDS, *tiny.EPIC_SCRATCH, "schedule.epochs=1", "data.test=test"]
    done = tiny.slowfast("ablate", tmp_path / "mine.yaml", *words, "--out", tmp_path / "out")
    assert done.code == 3
    assert "epic test: has no labels: set data.test to a labeled split" in done.err
    assert not list((tmp_path / "out").rglob("*"))  # said before the row is trained


@pytest.mark.processes
def test_two_processes_make_the_table_together(recipe, tmp_path):
    """One process writes and prints; a finished row is reported and not trained again."""
    command = ["ablate", recipe, "--out", tmp_path / "table", "--row", "Fast_only", "--gpus", 2, "--json"]
    first = tiny.process(*command)
    assert first.code == 0, first.err
    assert first.err.count("Fast_only: training: ") == 1
    (made,) = first.lines
    result = tmp_path / "table" / "fast-only" / "result.json"
    assert json.loads(result.read_text())["top1"] >= 0
    before = result.stat().st_mtime_ns
    again = tiny.good(*command[:-3], "--json")
    assert again.lines == [made]
    assert (result.stat().st_mtime_ns, "Fast_only: already finished" in again.err) == (before, True)
