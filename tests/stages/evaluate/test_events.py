"""``evaluate --events``: the events of a csv data set with times are found and scored."""

import json

import numpy as np
import pytest
import tiny

from slowfast_cli.build.corpus import read_corpus
from slowfast_cli.events.merge import Merging
from slowfast_cli.recipe.load import load
from slowfast_cli.stages.evaluate.events import evaluate_events, truth_of
from slowfast_cli.types import DataError, UsageError

ROWS = """path,start,stop,split,label
a.wav,1,2,train,rain
a.wav,3,4,train,rooster
b.wav,0,1,val,rain
c.wav,1,2,test,rain
c.wav,1.5,3,test,rain
c.wav,4,5,test,rooster
d.wav,0,2,test,rooster
"""


@pytest.fixture
def recipe(tmp_path):
    for name in "abcd":
        tiny.write(tmp_path / f"{name}.wav", np.zeros(6 * 16000))
    (tmp_path / "events.csv").write_text(ROWS)
    return load("folder", ["data.corpus=csv", f"data.root={tmp_path / 'events.csv'}"])


def windows(perfect):
    """Windows of one second whose scores are the truth, or half of it."""
    times = {"c.wav": ((1, 3, 0), (4, 5, 1)), "d.wav": ((0, 2, 1),)}

    def of(recording):
        if recording.path.name == "d.wav" and not perfect:
            raise DataError("d.wav: cannot be read")
        scores = np.zeros((6, 2))
        for start, stop, index in times[recording.path.name]:
            scores[start:stop, index] = 0.9
        starts = np.arange(6.0)
        return starts, starts + 1, {"label": scores}

    return of


def test_perfect_scores_are_perfect(recipe):
    result = evaluate_events(recipe, "test", {"label": ("rain", "rooster")}, windows(True), 1.0, Merging())
    assert set(result.scores["label"].values.values()) == {1.0}
    assert [(row.name, row.events, row.detected) for row in result.scores["label"].classes] == [
        ("rain", 1, 1),
        ("rooster", 2, 2),
    ]


def test_a_recording_that_cannot_be_read_is_counted_not_scored(recipe):
    ticks = []
    result = evaluate_events(
        recipe, "test", {"label": ("rain", "rooster")}, windows(False), 1.0, Merging(), lambda *tick: ticks.append(tick)
    )
    assert (result.recordings, len(result.detected), result.missing) == (2, 1, ["d.wav: cannot be read"])
    assert result.scores["label"].classes[1].events == 1
    assert ticks == [(1, 2)]


def test_touching_truth_events_are_one_and_whole_recordings_are_refused(recipe, tmp_path):
    rain = truth_of(read_corpus(recipe, "test"), "label")[0]
    np.testing.assert_array_equal(next(iter(rain.values())), [[1.0, 3.0]])
    (tmp_path / "whole.csv").write_text("path,split,label\na.wav,train,rain\nb.wav,test,rain\nc.wav,test,rooster\n")
    whole = load("folder", ["data.corpus=csv", f"data.root={tmp_path / 'whole.csv'}"])
    with pytest.raises(UsageError, match="has whole recordings, not events with start and end"):
        truth_of(read_corpus(whole, "test"), "label")
    with pytest.raises(DataError, match="its classes are not those of the weights"):
        evaluate_events(recipe, "test", {"label": ("rain",)}, windows(True), 1.0, Merging())


def test_the_command_writes_scores_and_events(recipe, trained_on_times, tmp_path):
    run, root = trained_on_times
    words = ["evaluate", run, f"data.root={root}", "--events", "--timeline", "1/0.5", "--out", tmp_path / "out"]
    done = tiny.good(*words)
    assert all(title in done.out for title in ("Event F1, all events", "PSDS 1 (localize)", "best F1"))
    stored = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert stored == json.loads(tiny.good(*words, "--json").out)
    assert 0 <= stored["scores"]["label"]["psds1"] <= 1
    assert (tmp_path / "out" / "events.csv").read_text().startswith("path,start,end,set,label")


@pytest.fixture(scope="module")
def trained_on_times(tmp_path_factory):
    root = tmp_path_factory.mktemp("times")
    for number in range(6):
        sound = np.concatenate([tiny.sound("rain.wav", 2.0), tiny.sound("rooster.flac", 2.0)])
        tiny.write(root / f"{number}.wav", sound)
    rows = [
        f"{number}.wav,{start},{start + 2},{split},{label}"
        for number, split in enumerate(("train", "train", "train", "train", "val", "test"))
        for start, label in ((0, "rain"), (2, "rooster"))
    ]
    (root / "events.csv").write_text("path,start,stop,split,label\n" + "\n".join(rows) + "\n")
    words = ["data.corpus=csv", f"data.root={root / 'events.csv'}", *tiny.WORDS, "data.source=media"]
    tiny.good("train", "folder", "--run", root / "run", *words)
    return root / "run", root / "events.csv"


def test_a_split_without_a_readable_event_is_an_error(recipe):
    def unreadable(recording):
        raise DataError(f"{recording.path.name}: cannot be read") if recording.path.name != "a.wav" else AssertionError

    with pytest.raises(DataError, match="none of the 2 recordings can be read"):
        evaluate_events(recipe, "test", {"label": ("rain", "rooster")}, unreadable, 1.0, Merging())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--events", "--gpus", "2"], "--gpus and --nodes: not together with --events"),
        (["--events", "--open"], "--open: not together with --events"),
        (["--timeline", "1/1"], "--timeline 1/1: is about events: add --events"),
        (["--events", "--compare", "runs/x"], "--compare: not together with --events"),
        (["--events", "--timeline", "long"], "--timeline long: expected WINDOW/HOP in seconds"),
    ],
)
def test_options_that_do_not_go_together_are_refused(trained_on_times, words, message):
    run, root = trained_on_times
    done = tiny.slowfast("evaluate", run, f"data.root={root}", *words)
    assert (done.code, message in done.err) == (2, True), done.err
