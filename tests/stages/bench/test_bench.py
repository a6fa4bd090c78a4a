"""`slowfast bench` on real sound: every setting is measured, and what cannot be read is named."""

import json

import pytest
import tiny
import torch

from slowfast_cli.recipe.load import load
from slowfast_cli.stages.bench import data, step
from slowfast_cli.types import DataError

SMALL = ["model.width=8", "data.clip_seconds=0.3", "optim.batch=2"]


def rows(done):
    return [json.loads(line) for line in done.out.splitlines()]


def test_steps_are_timed_for_each_combination():
    done = tiny.good(
        "bench", "step", "vggsound", *SMALL, "--batch", "2,4", "--precision", "bf16", "--steps", "2", "--json"
    )
    found = rows(done)
    assert [(row["batch"], row["precision"], row["mode"]) for row in found] == [
        ("2", "bf16", "eager"),
        ("4", "bf16", "eager"),
    ]
    for row in found:
        assert row["clips_per_second"] == pytest.approx(int(row["batch"]) * 1e3 / row["p50_ms"], rel=0.9)
        assert list(row["stages_ms"]) == ["forward", "backward", "optimizer"]
        assert row["memory_bytes"] > 100e6
        assert "cores of" in row["machine"]


def test_a_step_on_data_says_what_it_waits(sounds):
    words = [f"data.root={sounds}", *tiny.WORDS, "data.source=media"]
    done = tiny.good("bench", "step", "folder", *words, "--data", "--steps", "2")
    assert "data wait" in done.out
    assert "on its data" in done.err


def test_micro_batches_are_accumulated():
    recipe = load("vggsound", [*SMALL, "optim.batch=4", "optim.grad_accum_steps=2"])
    timing = step.bench_step(recipe, "cpu", steps=2)
    assert (timing.clips, timing.settings["batch"]) == (4, "4")


def test_a_setting_that_does_not_fit_is_reported_and_the_others_go_on(monkeypatch):
    fit = step.fit

    def out_of_memory(*args, **words):
        if words["config"].dtype == torch.bfloat16:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried")
        return fit(*args, **words)

    monkeypatch.setattr(step, "fit", out_of_memory)
    done = tiny.good("bench", "step", "vggsound", *SMALL, "--precision", "bf16,fp32", "--steps", "2", "--json")
    assert [row["problem"] for row in rows(done)] == ["out of memory", ""]


def test_a_folder_is_read_as_training_would(sounds):
    done = tiny.good("bench", "data", sounds, "--workers", "0", "--seconds", "0.1", "--batch", "4", "--json")
    (row,) = rows(done)
    assert row["workers"] == "0"
    assert row["clips_per_second"] > 0
    assert list(row["stages_ms"]) == ["read", "stack", "transfer", "transform"]


def test_a_damaged_file_is_named_and_the_others_are_read(sounds, tmp_path):
    for path in [*sounds.rglob("*.wav")][:3]:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "bad.wav").write_text("no sound")
    source = data.of_folder(tmp_path, data.media_files(tmp_path), load("folder", []))
    (timing,) = data.bench_data(source, "cpu", batch=2, workers=[0], seconds=0.1)
    assert timing.problem.startswith("1 of 4 files cannot be read, such as ")
    assert "bad.wav" in timing.problem
    assert timing.rate > 0
    for good in tmp_path.glob("*"):
        good.write_text("no sound")
    with pytest.raises(DataError, match="no file can be read, such as "):
        next(data.bench_data(source, "cpu", batch=1, workers=[0], seconds=0.1))


def test_a_batch_of_damaged_files_is_passed_over(sounds, tmp_path):
    (tmp_path / "a.wav").write_bytes(next(sounds.rglob("*.wav")).read_bytes())
    (tmp_path / "bad.wav").write_text("no sound")
    source = data.of_folder(tmp_path, data.media_files(tmp_path), load("folder", []))
    (timing,) = data.bench_data(source, "cpu", batch=1, workers=[0], seconds=0.1)
    assert timing.rate > 0


def test_a_recipe_reads_its_training_split(sounds):
    words = [f"data.root={sounds}", *tiny.WORDS, "data.source=media"]
    done = tiny.good("bench", "data", "folder", *words, "--workers", "0", "--seconds", "0.1")
    assert "folder train: 12 files or segments, as folder reads them" in done.err


def test_the_recipe_follows_the_kind_of_most_files(tmp_path):
    for name in ("a.mp4", "b.mp4", "c.wav"):
        (tmp_path / name).touch()
    assert data.recipe_for(data.media_files(tmp_path)) == "folder-video"
    (tmp_path / "a.mp4").unlink()
    assert data.recipe_for(data.media_files(tmp_path)) == "folder"
    (tmp_path / "b.mp4").unlink()
    with pytest.raises(DataError, match="contains no videos, such as"):
        data.of_folder(tmp_path, data.media_files(tmp_path), load("folder-video", []))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["step", "vggsound", "--batch", "0"], "--batch '0': expected whole numbers from 1 up, separated by commas"),
        (["step", "vggsound", "--mode", "fast"], "--mode fast: choose from eager, compiled, graphs, compiled+graphs"),
        (["step", "vggsound", "--precision", "fp8"], "optim.precision"),
        (["data", "vggsound", "--recipe", "esc10"], "--recipe esc10: is for a folder of media, and vggsound is none"),
        (["data", "vggsound", "--workers", "two"], "--workers 'two': expected whole numbers from 0 up"),
    ],
)
def test_wrong_options_are_refused(words, message):
    done = tiny.slowfast("bench", *words)
    assert (done.code, message in done.err) == (2, True), done.err
