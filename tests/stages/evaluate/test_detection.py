"""The EPIC-SOUNDS detection challenge: weights to events, to the result file, to mAP."""

import csv
import json
import shutil
import zipfile

import golden
import h5py
import numpy as np
import pytest
import tiny

from slowfast_cli.build.corpus import read_corpus
from slowfast_cli.events.merge import Merging
from slowfast_cli.media import audio
from slowfast_cli.metrics.epic_challenge import Supervision
from slowfast_cli.recipe.load import load
from slowfast_cli.stages.evaluate import detection
from slowfast_cli.stages.evaluate.events import find_events
from slowfast_cli.stages.evaluate.supervision import Provenance
from slowfast_cli.types import DataError, Recording, UsageError

LISTS = tiny.DATA / "lists" / "epic_sounds"
METRICS = golden.REFERENCE / "metrics"
PREDICTIONS = METRICS / "epic_sounds_detection_predictions.json"
OFFICIAL = json.loads((METRICS / "epic_sounds_detection.json").read_text())["results"]
MADE_BY = Provenance(supervision=Supervision(), t_mod=0)
COLUMNS = (LISTS / "EPIC_Sounds_validation.csv").read_text().splitlines()[0]
RAIN, ROOSTER, BACKGROUND = (5, "water"), (34, "ceramic / wood collision"), (13, "background")
SHORT = [*tiny.EPIC_WORDS, "~model.init", "~model.freeze_bn", "frontend.rate=16000", "data.source=media"]
SHORT += ["schedule.drop_at=[1]", "data.clip_seconds=0.6"]


def row(video, number, start, stop, kind):
    """A row of the official lists."""
    times = [f"00:00:{second:06.3f}" for second in (start, stop)]
    samples = [round(24000 * second) for second in (start, stop)]
    participant = video.partition("_")[0]
    return ",".join(map(str, [f"{video}_{number}", participant, video, *times, *samples, "made", kind[1], kind[0]]))


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Videos with rain and a rooster in turns, of 8 s, and one of a clock; lists as published."""
    root = tmp_path_factory.mktemp("sounds") / "epic"
    turns = [(0, 2, RAIN), (2, 4, ROOSTER), (4, 6, RAIN), (6, 8, ROOSTER)]
    rows = {"train": [], "validation": []}
    for video, split in (("P01_01", "train"), ("P02_01", "train"), ("P01_11", "validation"), ("P12_102", None)):
        parts = [tiny.sound("rain.wav" if kind == RAIN else "rooster.flac", 2.0) for *_, kind in turns]
        tiny.write(root / "audio" / f"{video}.wav", np.concatenate(parts))
        if split:
            rows[split] += [row(video, number, *turn) for number, turn in enumerate(turns)]
    for video in ("P01_12", "P01_101"):
        place = root / video[:3] / "videos" / f"{video}.MP4"
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(tiny.DATA / "clock.mp4", place)
    rows["validation"] += [row("P01_12", 0, 0.5, 2.5, BACKGROUND), row("P01_12", 1, 1.0, 3.0, RAIN)]
    for split, lines in rows.items():
        (root / f"EPIC_Sounds_{split}.csv").write_text("\n".join([COLUMNS, *lines]) + "\n")
    (root / "EPIC_Sounds_detection_test_videos.csv").write_text("video_id\nP01_101\nP12_102\n")
    return root


@pytest.fixture(scope="module")
def run(root, tmp_path_factory):
    """A small network, trained by the recipe."""
    run = tmp_path_factory.mktemp("runs") / "run"
    tiny.good("train", "epic-sounds", f"data.root={root}", *SHORT, "--run", run)
    return run


def test_weights_to_events_to_the_result_file_to_map(root, run, tmp_path):
    words = ["evaluate", run, f"data.root={root}", "--events", "--threshold", "0.02"]  # the recipe has the windows
    done = tiny.good(*words, "--submission", tmp_path / "val.json", "--out", tmp_path / "out")
    assert "events: windows of 1 s, 0.2 s apart; threshold 0.02, low 1, smooth 0 s" in done.err
    assert "interaction_map_at_01" in done.out
    assert "average precision of each class" in done.out
    assert "results for 2 of 2 videos" in done.err
    plain = json.loads((tmp_path / "val.json").read_text())
    assert (list(plain["results"]), plain["sls_td"], plain["t_mod"]) == (["P01_11", "P01_12"], 3, 0)
    assert (tmp_path / "val.json").read_text().startswith('{\n    "version": "0.1"')
    events = [event for events in plain["results"].values() for event in events]
    with (tmp_path / "out" / "events.csv").open(newline="") as file:
        assert [int(line["index"]) for line in csv.DictReader(file)] == [event["interaction"] for event in events]
    stored = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert stored.pop("settings")["windows"] == "1/0.2"
    again = tiny.good(
        "evaluate", "epic-sounds", f"data.root={root}", "--events", "--detections", tmp_path / "val.json", "--json"
    )
    assert again.lines == [stored]
    assert [line["name"] for line in stored["classes"]] == ["water", "ceramic / wood collision"]
    assert [line["events"] for line in stored["classes"]] == [3, 2]
    assert (stored["detections"], stored["videos"], len(events) > 0) == (len(events), 2, True)
    assert stored["scores"]["interaction_map_avg"] > 0
    once = tiny.good(*words, "--submission", tmp_path / "val.json", "--out", tmp_path / "out", "--json")  # overwrites
    assert once.lines == [stored]


def test_a_submission_of_the_test_videos(root, run, tmp_path):
    words = ["evaluate", run, f"data.root={root}", "data.test=detection-test", "--events", "--threshold", "0.02"]
    done = tiny.good(*words, "--submission", tmp_path / "test.zip", "--out", tmp_path / "out")
    assert "no labels, so no scores" in done.err
    assert done.out == ""
    with zipfile.ZipFile(tmp_path / "test.zip") as archive:
        assert archive.namelist() == ["test.json"]
        assert list(json.loads(archive.read("test.json"))["results"]) == ["P01_101", "P12_102"]
    check = ["evaluate", "epic-sounds", f"data.root={root}", "data.test=detection-test", "--events", "--detections"]
    assert "results for 2 of 2 videos" in tiny.good(*check, tmp_path / "test.zip").err
    recognition = tiny.slowfast(
        *(word for word in words if word not in ("--events", "--threshold", "0.02")),
        "--no-plots",
        "--submission",
        tmp_path / "x.json",
        "--out",
        tmp_path / "recognition",
    )
    assert (recognition.code, "for the challenge of detection: add --events" in recognition.err) == (3, True)
    done = tiny.slowfast(*words, "--submission", tmp_path / "out" / "scores.json")
    assert (done.code, "is not a file that --submission wrote" in done.err) == (2, True)


def test_a_submission_needs_every_video(root, run, tmp_path):
    part = shutil.copytree(root, tmp_path / "part")
    (part / "audio" / "P12_102.wav").write_bytes(b"RIFF1234WAVEnothing")
    words = ["evaluate", run, f"data.root={part}", "data.test=detection-test", "--events", "--out", tmp_path / "out"]
    words += ["--submission", tmp_path / "x.json"]
    done = tiny.slowfast(*words)
    assert (done.code, "1 of 2 videos have no result, such as P12_102" in done.err) == (3, True), done.err
    assert "not in the submission: " in done.err
    assert (tmp_path / "out" / "events.csv").is_file()
    (part / "audio" / "P12_102.wav").unlink()
    done = tiny.slowfast(*words)
    assert (done.code, "P12_102" in done.err, (tmp_path / "x.json").exists()) == (3, True, False)


def golden_root(folder):
    shutil.copyfile(METRICS / "epic_sounds_detection_groundtruth.csv", folder / "EPIC_Sounds_validation.csv")
    return folder


def test_a_result_file_is_scored_as_the_evaluator_does(tmp_path):
    words = ["evaluate", "epic-sounds", f"data.root={golden_root(tmp_path)}", "--events", "--detections"]
    (plain,) = tiny.good(*words, PREDICTIONS, "--json", "--out", tmp_path / "out").lines
    assert json.loads((tmp_path / "out" / "scores.json").read_text()) == plain
    values = list(plain["scores"].values())
    np.testing.assert_allclose(
        values, [100 * value for value in [*OFFICIAL["map"], OFFICIAL["average_map"]]], atol=1e-7
    )
    np.testing.assert_allclose(np.transpose([line["ap"] for line in plain["classes"]]), OFFICIAL["ap"], atol=1e-9)
    assert plain["detections"] - plain["ignored"] == OFFICIAL["predictions_kept"]
    assert (plain["without_result"], plain["not_in_split"], plain["unusable"]) == ([], ["P93_06"], 0)
    shown = tiny.good(*words, PREDICTIONS)
    assert all(text in shown.out for text in ("interaction_map_at_05", "30.94", "interaction_map_avg", "38.55"))


def test_videos_without_result_and_of_other_splits_are_named(tmp_path):
    recipe = load("epic-sounds", [f"data.root={golden_root(tmp_path)}"])
    truth = detection.read_truth(recipe, "test", "--detections")
    plain = json.loads(PREDICTIONS.read_text())
    best = detection.score_results(plain, truth, "x").scores.average
    first, *_ = plain["results"]
    moved = {**plain, "results": {"P99_09" if name == first else name: own for name, own in plain["results"].items()}}
    result = detection.score_results(moved, truth, "x")
    assert (result.without_result, result.not_in_split) == ([first], ["P93_06", "P99_09"])
    assert result.scores.average < best
    path = tmp_path / "moved.json"
    path.write_text(json.dumps(moved))
    done = tiny.good("evaluate", "epic-sounds", f"data.root={tmp_path}", "--events", "--detections", path)
    assert f"no result, so that their events count as missed: 1 videos, such as {first}" in done.err
    assert "not in the split, so that their detections count as wrong: 2 videos, such as P93_06, P99_09" in done.err


def test_perfect_scores_are_perfect(root):
    recipe = load("epic-sounds", [f"data.root={root}"])
    truth = detection.read_truth(recipe, "test", "--events")
    corpus = detection.read_complete(recipe, "test", truth)
    spans = detection.spans_of(truth, "label")

    def windows(recording):
        starts = np.arange(0, 8, 0.5)
        scores = np.zeros((16, 44))
        for index, of_class in enumerate(spans):
            for start, stop in of_class.get(recording.id, ()):
                scores[round(2 * start) : round(2 * stop), index] = 0.9
        return starts, starts + 0.5, {"label": scores}

    split_events = find_events(corpus, ["label"], windows, 0.5, Merging())
    plain = json.loads(detection.submission(split_events.files, truth, MADE_BY))
    result = detection.score_results(plain, truth, "x")
    assert set(result.scores.maps) == {1.0}
    assert result.ignored == 1  # background
    other = Provenance(supervision=Supervision(td=4), t_mod=2)
    stated = json.loads(detection.submission(split_events.files, truth, other))
    assert (stated["sls_td"], stated["t_mod"], stated["results"]) == (4, 2, plain["results"])


def test_the_rules_of_the_recipe_are_the_default_of_the_options(root, run, tmp_path):
    words = ["evaluate", run, f"data.root={root}", "--events", "--out", tmp_path / "out"]
    rules = ["events.low=0.5", "events.max_gap=0.4", "events.score=max", "events.threshold=1.0"]
    done = tiny.good(*words, *rules, "--submission", tmp_path / "val.json")
    assert "threshold 1, low 0.5, smooth 0 s, max gap 0.4 s, min length 0 s, score: max" in done.err
    assert "warning: 0 detections" in done.err
    options = ["--threshold", "water=0.9", "--low", "1", "--event-score", "mean", "--timeline", "2.0/1.0"]
    done = tiny.good(*words, *rules, *options)
    assert "windows of 2 s, 1 s apart; threshold 1, others for 1 classes, low 1, smooth 0 s, max gap 0.4 s" in done.err
    with pytest.raises(UsageError, match=r"events\.window: 1.0 with events.hop 2.0: set both"):
        load("epic-sounds", ["events.hop=2.0"])
    with pytest.raises(UsageError, match=r"events\.window: None with events.hop 0.2: set both"):
        load("epic-sounds", ["events.window=null"])


def test_sound_inside_hdf5_gives_the_events_of_the_same_sound_in_files(root, run, tmp_path):
    packed = tmp_path / "packed"
    packed.mkdir()
    shutil.copyfile(root / "EPIC_Sounds_validation.csv", packed / "EPIC_Sounds_validation.csv")
    recordings = [
        Recording(id=place.stem, path=place) for place in (root / "audio/P01_11.wav", root / "P01/videos/P01_12.MP4")
    ]
    with h5py.File(packed / "EPIC_audio.hdf5", "w") as file:
        for recording in recordings:
            file[recording.id] = audio.read(recording, rate=24000)
    answers = []
    for place in (root, packed):
        words = ["evaluate", run, f"data.root={place}", "--events", "--threshold", "0.02", "--out", tmp_path / "out"]
        tiny.good(*words, "--submission", tmp_path / "x.json")
        answers.append(json.loads((tmp_path / "x.json").read_text())["results"])
    ours, inside = (
        {video: [event["interaction"] for event in events] for video, events in answer.items()} for answer in answers
    )
    assert (list(inside), len(inside["P01_11"]) > 0) == (["P01_11", "P01_12"], True)
    assert abs(len(inside["P01_11"]) - len(ours["P01_11"])) <= 0.1 * len(ours["P01_11"])  # 16 to 24 kHz and back


def test_detections_without_length_count_as_wrong(tmp_path):
    words = ["evaluate", "epic-sounds", f"data.root={golden_root(tmp_path)}", "--events", "--detections"]
    plain, path = json.loads(PREDICTIONS.read_text()), tmp_path / "x.json"
    video, events = next((video, events) for video, events in plain["results"].items() if events)
    bad = [{**events[0], "score": 2.0, "segment": segment} for segment in ([9.0, 9.0], [9.0, 3.0])]
    (tmp_path / "best.json").write_text(json.dumps(plain))
    path.write_text(json.dumps({**plain, "results": {**plain["results"], video: [*bad, *events]}}))
    (best,) = tiny.good(*words, tmp_path / "best.json", "--json").lines
    (worse,) = tiny.good(*words, path, "--json").lines
    assert (best["without_length"], worse["without_length"]) == (0, 2)
    assert worse["detections"] == best["detections"] + 2
    assert worse["scores"]["interaction_map_avg"] < best["scores"]["interaction_map_avg"]
    assert "no length, so that they count as wrong: 2 detections" in tiny.good(*words, path).err


def test_a_redacted_class_is_in_the_submission(root, run, tmp_path):
    words = ["evaluate", run, f"data.root={root}", "--no-plots", "--redact", "background", "--out", tmp_path / "out"]
    (plain,) = tiny.good(*words, "--submission", tmp_path / "x.json", "--json").lines
    assert (plain["found"], plain["listed"]) == (5, 5)
    assert len(json.loads((tmp_path / "x.json").read_text())["results"]) == 6


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a result file"),
        (b"\xff", "not a result file"),
        (b'{"results": {"P01_101": [], "P01_101": []}}', "'P01_101' is there twice"),
        (b"[" * 100_000, "not a result file"),
        (b"[]", "expected an object with version"),
    ],
)
def test_a_damaged_result_file_is_an_error(tmp_path, content, message):
    path = golden_root(tmp_path) / "x.json"
    path.write_bytes(content)
    done = tiny.slowfast("evaluate", "epic-sounds", f"data.root={tmp_path}", "--events", "--detections", path)
    assert (done.code, message in done.err) == (3, True), done.err


def test_zip_files_without_the_document_are_errors(tmp_path):
    path = tmp_path / "x.zip"
    with pytest.raises(DataError, match="cannot be read"):
        detection.read_results(path)
    path.write_bytes(b"PK")
    with pytest.raises(DataError, match=r"expected JSON, or a zip file with test.json"):
        detection.read_results(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("other.json", "{}")
    with pytest.raises(DataError, match=r"test.json"):
        detection.read_results(path)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--detections", "x.json"], "--detections x.json: is about events: add --events"),
        (["--events", "--detections", "x.json", "-w", "w"], "--detections x.json: not together with --weights"),
        (["--events", "--detections", "x.json", "--threshold", "0.1"], "not together with options that merge windows"),
        (["--events", "--detections", "x.json", "--timeline", "1/1"], "not together with --timeline"),
        (["--events", "--detections", "x.json", "--submission", "y.json"], "not together with --submission"),
        (["--events", "--redact", "background"], "--redact: not together with --events"),
    ],
)
def test_options_that_do_not_go_together_are_refused(words, message):
    done = tiny.slowfast("evaluate", "epic-sounds", *words)
    assert (done.code, message in done.err) == (2, True), done.err


def test_other_data_sets_have_no_such_challenge(sounds, tmp_path):
    recipe = load("folder", [f"data.root={sounds}"])
    with pytest.raises(UsageError, match="--detections: is EPIC-SOUNDS' detection challenge, and this is folder"):
        detection.read_truth(recipe, "test", "--detections")
    assert read_corpus(recipe, "test").name == "folder"
