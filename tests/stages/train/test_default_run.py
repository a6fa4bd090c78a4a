"""Which folder a run without --run has: the same for the same recipe, a new one for another."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import tiny

from slowfast_cli.recipe.load import load, to_yaml
from slowfast_cli.stages.train.default_run import DefaultRun, fitted
from slowfast_cli.stages.train.run_folder import folder_for, lines
from slowfast_cli.types import WeightsError

SOUNDS = "data.root=my_sounds"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def claim(name, *words, fresh=False):
    run, _ = DefaultRun(name, words).claim(load(name, words), fresh=fresh)
    return run.folder.as_posix()


def found(name, *words):
    folder = DefaultRun(name, words).find(load(name, words))
    return folder and folder.as_posix()


def test_own_data_gives_its_name():
    assert claim("folder", SOUNDS) == "runs/folder/my_sounds-1"
    assert claim("folder", "data.root=other/my_sounds") == "runs/folder/my_sounds-2"
    assert claim("folder", "data.root=noise.d") == "runs/folder/noise.d-1"
    assert claim("folder", "data.corpus=csv", "data.root=lists/calls of birds.csv") == "runs/folder/calls_of_birds-1"
    assert claim("folder", "data.root=/") == "runs/folder/folder-1"
    assert claim("folder", f"data.root={'x' * 200}") == f"runs/folder/{'x' * 60}-1"
    assert claim("simclr", SOUNDS) == "runs/simclr/my_sounds-1"


def test_other_data_gives_default_and_numbers():
    Path("runs/esc10/default/evaluation").mkdir(parents=True)  # of other weights
    assert claim("esc10") == "runs/esc10/default"
    assert claim("esc10", "seed=1") == "runs/esc10/1"
    assert claim("esc10", "data.fold=2", "seed=1") == "runs/esc10/2"
    assert claim("hares/esc50", "seed=1") == "runs/hares/esc50/1"


def test_the_same_recipe_is_the_same_run():
    first = claim("folder", SOUNDS, "optim.lr=0.01", "seed=3")
    assert claim("folder", "seed=3", SOUNDS, "optim.lr=1e-2") == first
    assert claim("folder", "seed=3", "data.root=./my_sounds/", "optim.lr=0.010", "data.workers=3") == first
    assert claim("folder", SOUNDS, "optim.lr=0.01", "seed=4") == "runs/folder/my_sounds-2"
    assert claim("folder", SOUNDS, "optim.lr=0.01", "seed=3", fresh=True) == first
    assert found("folder", SOUNDS, "optim.lr=0.01", "seed=3") == first  # not the one that was moved aside
    assert found("folder", SOUNDS) is None


def test_where_the_data_of_a_known_data_set_lies_is_no_part_of_the_run():
    assert claim("esc10", "seed=1") == claim("esc10", "seed=1", "data.root=elsewhere", "schedule.checkpoint_steps=7")


def test_folders_named_by_overrides_are_found(tmp_path):
    words = ["seed=1", SOUNDS]
    recipe = load("folder", words)
    old = tmp_path / folder_for("folder", recipe, words)
    assert old.name == "data.root=my_sounds,seed=1"
    old.mkdir(parents=True)
    (old / "recipe.yaml").write_text(to_yaml(recipe))
    assert claim("folder", *words) == f"runs/folder/{old.name}"


@pytest.mark.parametrize("text", ["", "a: [", "data: 3", "metric: [1]", "data: {corpus: gone}"])
def test_a_damaged_run_is_not_taken_and_its_name_neither(tmp_path, text):
    (tmp_path / "runs" / "esc10" / "1").mkdir(parents=True)
    (tmp_path / "runs" / "esc10" / "1" / "recipe.yaml").write_text(text)
    (tmp_path / "runs" / "esc10" / "2").touch()
    assert claim("esc10", "seed=1") == "runs/esc10/3"


def test_commands_that_start_at_once_get_folders_of_their_own():
    with ThreadPoolExecutor(6) as pool:
        folders = list(pool.map(lambda seed: claim("esc10", f"seed={seed}"), range(1, 7)))
    assert sorted(folders) == [f"runs/esc10/{number}" for number in range(1, 7)]
    assert [found("esc10", f"seed={seed}") for seed in range(1, 7)] == folders


def test_a_run_that_is_not_there_names_the_nearest():
    claim("esc10", "seed=1")
    claim("esc10", "seed=2", "optim.lr=0.5", "optim.batch=8")
    with pytest.raises(WeightsError) as caught:
        DefaultRun("esc10", ["seed=3"]).require(load("esc10", ["seed=3"]))
    assert "the nearest is runs/esc10/1 (seed: 1 there, 3 now); runs that are there: runs/esc10/" in str(caught.value)


def test_commands_find_the_run_and_keep_its_log(sounds, tmp_path):
    words = [f"data.root={sounds}", *tiny.WORDS]
    first = tiny.good("train", "folder", *words)
    run = tmp_path / "runs" / "folder" / "folder-1"
    assert [path.name for path in run.parent.iterdir() if not path.name.startswith(".")] == ["folder-1"]
    again = tiny.good("train", "folder", *reversed(words))
    assert "already finished" in again.err
    logged = (run / "log.txt").read_text().splitlines()
    assert all(line[4] == "-" and line[19] == "Z" for line in logged)
    assert [line[21:] for line in logged] == (first.err + again.err).splitlines()
    done = tiny.good("evaluate", "folder", *words, "--no-plots")
    assert done.out.startswith("folder: runs/folder/folder-1/best.safetensors")


def test_a_recipe_that_is_fitted_to_its_data_is_found_as_it_was_written(tmp_path):
    """And data that has changed so much that it is fitted otherwise gives another run, which is the one to score."""
    given = load("folder", [SOUNDS, "adapt=true"])
    first, other = (
        given.model_copy(update={"optim": given.optim.model_copy(update={"batch": batch})}) for batch in (4, 8)
    )
    default = DefaultRun("folder", [SOUNDS])
    claims = [default.claim(recipe, given=given, fresh=False)[0].folder for recipe in (first, first, other)]
    assert [folder.name for folder in claims] == ["my_sounds-1", "my_sounds-1", "my_sounds-2"]
    for age, folder in enumerate(claims[1:]):
        for name in ("recipe.yaml", "given.yaml"):
            os.utime(folder / name, (1e9 + age, 1e9 + age))
    assert default.require(given) == claims[2]
    assert fitted(claims[2], load("folder", ["data.root=there", "adapt=true"])).optim.batch == 8
    assert fitted(claims[2], load("folder", ["data.root=there", "adapt=true"])).data.root == Path("there")


def test_the_log_ends_with_the_error(sounds, tmp_path):
    words = [f"data.root={sounds}", *tiny.WORDS, "optim.lr=1e9", "--run", tmp_path / "run"]
    done = tiny.slowfast("train", "folder", *words)
    assert done.code == 1
    assert (tmp_path / "run" / "log.txt").read_text().splitlines()[-1][21:] == done.err.splitlines()[-1]
    assert done.err.splitlines()[-1].startswith("error: step ")


def test_a_log_that_cannot_be_written_stops_nothing(sounds, tmp_path):
    (tmp_path / "run" / "log.txt").mkdir(parents=True)
    tiny.good("train", "folder", f"data.root={sounds}", *tiny.WORDS, "schedule.epochs=1", "--run", tmp_path / "run")


@pytest.mark.processes
def test_several_processes_train_in_one_folder(sounds, tmp_path):
    words = ["train", "folder", f"data.root={sounds}", *tiny.WORDS, "--gpus", 2]
    for _ in range(2):
        assert tiny.process(*words, cwd=tmp_path).code == 0
    (run,) = (path for path in (tmp_path / "runs" / "folder").iterdir() if path.is_dir())
    assert (run.name, lines(run / "metrics.jsonl")[-1]["step"]) == ("folder-1", 6)
