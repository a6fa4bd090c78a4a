"""The script and the notebook in `examples/` run to the end and give what they promise."""

import csv
import shutil
import subprocess
from pathlib import Path

import nbformat
import pytest
from docs.page import ROOT
from docs.run import make_environment
from docs.setups import repo
from nbclient import NotebookClient

EXAMPLES = ROOT / "examples"


def run_pipeline(folder, environment, *words):
    done = subprocess.run(
        [EXAMPLES / "pipeline.sh", *words],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=900,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def predicted(folder):
    with (folder / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {Path(row["path"]).name: row["label"] for row in rows if row["rank"] == "1"}


@pytest.mark.thorough
def test_the_pipeline_trains_once_and_predicts_the_files_it_is_given(tmp_path):
    environment = make_environment(tmp_path)
    run_pipeline(tmp_path, environment)
    assert predicted(tmp_path) == {"strum.flac": "guitar"}
    assert list((tmp_path / "runs" / "my_sounds" / "evaluation" / "test").glob("*.png"))

    shutil.copy(ROOT / "tests" / "assets" / "new" / "strum.flac", tmp_path / "a new one.flac")
    output = run_pipeline(tmp_path, environment, "my_sounds", "a new one.flac", "my_sounds/drum/bd_808.flac")
    assert "epoch " not in output  # the run is finished
    assert predicted(tmp_path) == {"a new one.flac": "guitar", "bd_808.flac": "drum"}


@pytest.mark.thorough
def test_the_notebook_runs_and_is_stored_without_outputs(tmp_path, monkeypatch):
    notebook = nbformat.read(EXAMPLES / "first_hour.ipynb", as_version=4)
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells)
    repo(tmp_path)  # the notebook searches the checkout from its folder upwards
    for name, value in make_environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")  # the kernel is on this machine
    NotebookClient(notebook, timeout=900, resources={"metadata": {"path": tmp_path}}).execute()
    (confusion,) = [cell.outputs[-1]["data"]["text/plain"] for cell in notebook.cells if "confusion  #" in cell.source]
    assert confusion.startswith("array([[")
    printed = "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", []))
    assert "guitar" in printed
    assert "dog " in printed
