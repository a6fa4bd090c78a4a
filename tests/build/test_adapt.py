"""A recipe with `adapt` fits itself to own data; folds, balanced epochs and the class for everything else."""

import numpy as np
import pytest
import tiny

from slowfast_cli.build.adapt import adapted, changes
from slowfast_cli.build.clips import open_store, usable
from slowfast_cli.build.corpus import read_corpus
from slowfast_cli.data.loader import training_keys
from slowfast_cli.recipe.load import load
from slowfast_cli.stages.predict.predictor import Predictor
from slowfast_cli.types import Share

SECONDS = 0.6


@pytest.fixture
def make(tmp_path):
    """Write class folders; the arguments are the numbers of recordings by class."""

    def of(**counts):
        for label, count in counts.items():
            for number in range(count):
                clip = tiny.sound("rain.wav", SECONDS, skip=0.05 * number)
                tiny.write(tmp_path / "own" / label / f"{number}.wav", clip)
        return tmp_path / "own"

    return of


def fitted(root, *words):
    given = load("folder", [f"data.root={root}", *words])
    store = open_store(given)
    return given, adapted(given, usable(given, read_corpus(given, "train"), store), store)


def test_clips_batch_and_length_follow_the_data(make):
    given, recipe = fitted(make(a=10, b=10))
    assert (recipe.data.clip_seconds, recipe.data.views, recipe.optim.batch) == (SECONDS, 1, 4)
    assert recipe.augment.time_width < given.augment.time_width
    assert (recipe.keep, recipe.schedule.patience, recipe.data.balanced) == ("best", 8, False)
    (line,) = changes(given, recipe)
    assert f"data.clip_seconds={SECONDS}" in line
    given, recipe = fitted(make(a=10, b=10), "adapt=false")
    assert (recipe == given, changes(given, recipe)) == (True, [])


def test_an_epoch_has_several_batches(make):
    assert fitted(make(a=10, b=40))[1].optim.batch == 8


def test_with_few_files_the_last_weights_count_though_one_cannot_be_read(make):
    root = make(a=5, b=5)
    assert fitted(root)[1].keep == "last"
    held_out = read_corpus(load("folder", [f"data.root={root}"]), "val").segments[0].recording.path
    held_out.write_bytes(b"no sound")
    recipe = fitted(root)[1]
    assert (recipe.keep, recipe.schedule.patience) == ("last", 0)


def test_unbalanced_classes_are_drawn_equally(make):
    assert fitted(make(a=40, b=10))[1].data.balanced
    classes = np.array([0] * 30 + [1] * 6)
    keys = training_keys(classes, batch=12, micro_batches=1, epochs=2, first_step=0, seed=0, share=Share())
    drawn = np.array([[key[1] for key in batch] for batch in keys]).reshape(2, -1)
    for epoch in drawn:
        assert np.bincount(classes[epoch]).tolist() == [18, 18]


def test_every_file_is_tested_in_one_fold(make):
    root = make(a=11, b=7)
    tested = []
    for fold in range(1, 6):
        recipe = load("folder", [f"data.root={root}", "data.folds=5", f"data.fold={fold}"])
        train, test = ({segment.id for segment in read_corpus(recipe, role).segments} for role in ("train", "test"))
        assert (len(train | test), train & test) == (18, set())
        tested += test
    assert len(tested) == len(set(tested)) == 18
    assert tiny.slowfast("train", "folder", f"data.root={root}", "data.folds=5", "data.fold=6", "--dry-run").code == 2


def test_a_training_ends_with_its_test_score(make, tmp_path):
    words = [f"data.root={make(a=10, b=10)}", "model.width=null", "schedule.steps=8", "data.workers=0"]
    done = tiny.good("train", "folder", *words, "--run", tmp_path / "run")
    assert "set from the data: " in done.err
    assert "test: " in done.err
    assert "95 % interval" in done.err
    assert f"next: slowfast predict FILE --weights {tmp_path / 'run'}" in done.err


def test_the_bundled_model_answers_none_of_its_classes(tmp_path):
    tone = 0.3 * np.sin(2 * np.pi * 1000 * np.arange(5 * 16000) / 16000)
    path = tiny.write(tmp_path / "tone.wav", tone.astype(np.float32))
    predictor = Predictor()
    assert predictor.unknown(predictor(path)[0]) == {"label"}
    assert "other" not in [line.label for line in predictor.top(predictor(path)[0], 20)["label"]]
    assert '"unknown": true' in tiny.good("predict", path, "--json").out
    assert "none of the 12" in tiny.good("predict", path).out
    assert predictor.unknown(predictor(tiny.DATA / "dog.ogg")[0]) == frozenset()
