"""Runs listed and compared, finished, unfinished and damaged ones; errors that name the runs that are there."""

import json
import os

import pytest
import tiny

from slowfast_cli.recipe.load import load, to_yaml
from slowfast_cli.storage.run_list import other_runs, run_folders


def record(step, epoch=None, **values):
    return json.dumps({"step": step, "epoch": step / 10 if epoch is None else epoch, **values}) + "\n"


def steps(count):
    return "".join(record(step, loss=1.0) for step in range(1, count + 1))


FINISHED = (
    steps(10) + record(10, 1, val_top1=60.0, val_top5=90.0) + steps(20) + record(20, 2, val_top1=50.0, val_top5=95.0)
)


def make(folder, *words, metrics=FINISHED, recipe="esc10"):
    folder.mkdir(parents=True)
    (folder / "recipe.yaml").write_text(to_yaml(load(recipe, ["schedule.epochs=2", "keep=best", *words])))
    if metrics:
        (folder / "metrics.jsonl").write_text(metrics)
    return folder


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Runs of all states, the last the newest."""
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "runs"
    make(root / "esc10" / "default")
    make(root / "esc10" / "1", "seed=1", "optim.lr=0.5", metrics=steps(7))
    make(root / "esc10" / "2", "seed=2", metrics="")
    make(root / "esc10" / "table-1" / "row", "keep=last")
    make(root / "cut", metrics=FINISHED + '{"step": 2')
    (make(root / "bad recipe") / "recipe.yaml").write_text("data: [")
    make(root / "bad metrics", metrics="\0\0\n{}\n")
    (make(root / "no recipe") / "recipe.yaml").unlink()
    (root / "empty").mkdir()
    for age, folder in enumerate(sorted(run_folders(root), reverse=True)):
        for path in folder.iterdir():
            os.utime(path, (1e9 - age, 1e9 - age))
    return root


def test_every_run_is_listed(runs):
    done = tiny.good("runs", "ls")
    rows = {line.split("  ")[0]: line for line in done.out.splitlines()[1:]}
    assert list(rows) == [
        "runs/no recipe", "runs/esc10/table-1/row", "runs/esc10/default", "runs/esc10/2", "runs/esc10/1", "runs/cut",
        "runs/bad recipe", "runs/bad metrics",
    ]  # fmt: skip
    assert "20 of 20  Top-1 60.00" in rows["runs/esc10/default"]
    assert "7 of 20   -" in rows["runs/esc10/1"]
    assert "0 of ?    -" in rows["runs/esc10/2"]
    assert all("damaged" in rows[f"runs/{name}"] for name in ("no recipe", "bad recipe", "bad metrics"))
    assert "damaged: runs/bad metrics/metrics.jsonl: line 1" in done.err
    assert "damaged: runs/bad recipe/recipe.yaml: not YAML" in done.err
    listed = {run["run"]: run for run in json.loads(tiny.good("runs", "ls", "--json").out)}
    assert {name: run["status"] for name, run in listed.items()}["runs/cut"] == "finished"
    assert listed["runs/esc10/1"]["status"] == "unfinished"
    assert listed["runs/esc10/default"]["recipe"] == "esc10"
    assert (listed["runs/esc10/default"]["metric"], listed["runs/esc10/default"]["score"]) == ("top1", 60.0)
    assert [run["run"] for run in json.loads(tiny.good("runs", "ls", "runs/esc10/1", "--json").out)] == ["runs/esc10/1"]


def test_a_real_run_is_finished(trained):
    (run,) = json.loads(tiny.good("runs", "ls", trained, "--json").out)
    assert (run["recipe"], run["steps"], run["total"], run["status"]) == ("folder", 6, 6, "finished")
    assert run["data"].startswith("folder (")


def test_a_run_that_ended_early_is_finished(tmp_path):
    metrics = "".join(steps(10) + record(10 * epoch, epoch, val_top1=60.0 - epoch) for epoch in (1, 2, 3))
    for patience, status in ((2, "finished"), (3, "unfinished")):
        run = make(tmp_path / status, "schedule.epochs=9", f"schedule.patience={patience}", metrics=metrics)
        assert json.loads(tiny.good("runs", "ls", run, "--json").out)[0]["status"] == status


def test_without_runs_nothing_is_listed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "no runs: `slowfast train RECIPE` makes one" in tiny.good("runs", "ls").err
    assert json.loads(tiny.good("runs", "ls", "--json").out) == []
    assert tiny.slowfast("runs", "ls", "gone").code == 2


def test_scores_and_fields_that_differ_are_compared(runs):
    names = "runs/esc10/default", "runs/esc10/1", "runs/esc10/table-1/row", "runs/bad recipe"
    done = tiny.good("runs", "compare", *names, "--json")
    compared = json.loads(done.out)
    assert compared["scores"] == {"top1": [60.0, None, 50.0, 50.0], "top5": [90.0, None, 95.0, 95.0]}
    assert compared["fields"] == {
        "optim.lr": [0.003, 0.5, 0.003, None],
        "seed": [0, 1, 0, None],
        "keep": ["best", "best", "last", None],
    }
    shown = tiny.good("runs", "compare", *names)
    assert "optim.lr" in shown.out
    assert "damaged: runs/bad recipe/recipe.yaml" in shown.err
    same = tiny.good("runs", "compare", "runs/esc10/default", "runs/cut")
    assert "the recipes do not differ" in same.err


@pytest.mark.parametrize(
    "words",
    [
        ["runs", "compare", "runs/esc10/1", "runs/esc10/defalt"],
        ["predict", "x.wav", "-w", "runs/esc10/defalt"],
        ["evaluate", "esc10", "-w", "runs/esc10/defalt"],
        ["evaluate", "runs/esc10/defalt"],
        ["weights", "show", "runs/esc10/defalt"],
    ],
)
def test_a_wrong_name_is_answered_with_the_runs_that_are_there(runs, words):
    done = tiny.slowfast(*words)
    assert done.code in (2, 4)
    assert "did you mean 'runs/esc10/default'?" in done.err
    assert "runs that are there: runs/no recipe, runs/esc10/table-1/row, runs/esc10/default" in done.err


def test_at_most_ten_runs_are_named(tmp_path):
    for number in range(12):
        make(tmp_path / "elsewhere" / f"run-{number}", metrics="")
    message = other_runs(str(tmp_path / "elsewhere" / "run-99"), tmp_path / "runs")
    assert message.count("elsewhere") == 11  # one is the suggestion
    assert message.endswith("and 2 more (`slowfast runs ls`)")
    assert other_runs("nothing", tmp_path / "runs") == ""
    assert other_runs("a\0b/c", tmp_path / "runs") == ""
