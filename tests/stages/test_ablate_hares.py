"""A table whose rows are pretrained trunks, scored by a suite: nothing is frozen while data is missing."""

import json
import shutil

import pytest
import tiny
import tiny_tasks

from slowfast_cli.build.corpus import _read
from slowfast_cli.recipe.load import override, read
from slowfast_cli.stages import ablate
from slowfast_cli.stages.hares import benchmark
from slowfast_cli.types import DataError

ROW = "SF NF-ResNet50"
WORDS = [
    "data.corpus=folder", "data.train=train", "data.val=val", "data.test=val", "data.clip_seconds=0.4",
    "data.workers=0",
    "optim.batch=4", "optim.precision=fp32", "schedule.steps=2", "schedule.warmup_steps=1", "pretext.hidden=16",
    "pretext.layers=1", "pretext.out=8", "model.width=8",
]  # fmt: skip
TASKS = ["tut18", "esc50", "birdsong"]
FEW = [f"{task}.{word}" for task in TASKS for word in ("data.workers=0", "probe.crops=1", "optim.batch=4")]
FEW += [f"{task}.{word}" for task in TASKS for word in ("schedule.steps=3", "schedule.warmup_steps=1")]


@pytest.fixture
def source(tmp_path, monkeypatch):
    """Unlabelled sounds to pretrain on, and the data of one task of the suite."""
    for number in range(10):
        tiny.write(tmp_path / "sounds" / f"{number}.wav", tiny.sound("rain.wav", 0.6, skip=0.2 * number))
    tiny_tasks.make(tmp_path / "whole", "tut18", "esc50", "birdsong")
    shutil.copytree(tmp_path / "whole" / "esc50", tmp_path / "data" / "esc50")
    monkeypatch.setenv("SLOWFAST_DATA", str(tmp_path / "data"))
    _read.cache_clear()
    return override(read("hares"), [*WORDS, f"data.root={tmp_path / 'sounds'}"])


def row(source, folder):
    events = list(ablate.ablate(source, "9", folder, only=[ROW], words=FEW, device="cpu"))
    (finished,) = [event for event in events if isinstance(event, ablate.RowFinished)]
    return finished.row.ours, events


@pytest.mark.thorough
def test_a_row_goes_on_when_more_data_is_there(source, tmp_path):
    ours, events = row(source, tmp_path / "out")
    assert {"esc50"} == ours.keys() & {*benchmark.domains(benchmark.suite_of(benchmark.check(source)))["hares"]}
    assert "hares" not in ours
    assert len([event for event in events if isinstance(event, benchmark.TaskMissing)]) == 11
    steps = [event for event in events if type(event).__name__ == "Step"]
    assert len(steps) == 2  # the pretraining; a support vector machine takes none
    shutil.copytree(tmp_path / "whole" / "tut18", tmp_path / "data" / "tut18")
    again, events = row(source, tmp_path / "out")
    assert again["esc50"] == ours["esc50"]
    assert 0 <= again["tut18"] <= 100
    assert len([event for event in events if type(event).__name__ == "Step"]) == 3  # of the probe alone
    table = json.loads((tmp_path / "out" / "table.json").read_text())
    assert table["rows"][0]["published"]["hares"] == 72.9


def test_broken_data_of_a_task_is_an_error_and_the_rest_is_kept(source, tmp_path):
    shutil.copytree(tmp_path / "whole" / "birdsong", tmp_path / "data" / "birdsong")
    for path in (tmp_path / "data" / "birdsong").rglob("*.csv"):
        path.write_text("nothing,of,the,sort\n1,2,3,4\n")
    with pytest.raises(DataError, match="birdsong: "):
        row(source, tmp_path / "out")
    results = {path.parent.name for path in (tmp_path / "out").rglob("result.json")}
    assert results == {"esc50"}
