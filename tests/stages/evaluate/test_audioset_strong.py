"""The recipe `audioset-strong` from its lists to tagging and event scores, on made clips in the documented layout."""

import json

import numpy as np
import pytest
import tiny

from slowfast_cli.build.corpus import read_corpus
from slowfast_cli.corpora import labels
from slowfast_cli.recipe.load import load
from slowfast_cli.stages.evaluate.events import truth_of

HEADER = "segment_id\tstart_time_seconds\tend_time_seconds\tlabel\n"
RAIN, CROWING, SILENCE = "/m/06mb1", "/m/07qn5dc", "/m/028v0c"
SMALL = [
    "data.source=media", "data.workers=0", "data.views=2", "data.clip_seconds=0.6", "model.width=8", "~model.init",
    "frontend.mels=32", "optim.batch=4", "~optim.lr_batch", "schedule.epochs=2", "~schedule.warmup_epochs",
    "~schedule.validate_every",
]  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Clips of rain, then a rooster; in eval one without an event of the classes of train."""
    root = tmp_path_factory.mktemp("strong")
    for split, folder, count in (("train", "balanced_train_segments", 6), ("eval", "eval_segments", 3)):
        rows = []
        for number in range(count):
            video = f"-{split}-{number}".ljust(11, "x")
            sound = np.concatenate([tiny.sound("rain.wav", 1.5), tiny.sound("rooster.flac", 1.5)])
            path = root / "audios" / folder / f"Y{video}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            tiny.write(path, sound)
            events = [(0.0, 1.0, RAIN), (0.9, 1.5, RAIN), (1.5, 3.0, CROWING)]
            for start, stop, mid in [(0.0, 3.0, SILENCE)] if (split, number) == ("eval", 2) else events:
                rows.append(f"{video}_{1000 * number}\t{start:.3f}\t{stop:.3f}\t{mid}\n")
        (root / f"audioset_{split}_strong.tsv").write_text(HEADER + "".join(rows))
    return root


@pytest.fixture(scope="module")
def trained(root, tmp_path_factory):
    run = tmp_path_factory.mktemp("run") / "run"
    tiny.good("train", "audioset-strong", f"data.root={root}", *SMALL, "--run", run)
    return run


def test_events_of_spans_that_touch_are_one(root):
    corpus = read_corpus(load("audioset-strong", [f"data.root={root}"]), "val")
    truth = truth_of(corpus, "label")
    index = {row["mid"]: int(row["index"]) for row in labels.table("audioset_strong447")}
    assert {number for number, of_class in enumerate(truth) if of_class} == {index[RAIN], index[CROWING]}
    ids = [segment.id for segment in corpus.segments[:2]]
    assert {id_: spans.tolist() for id_, spans in truth[index[RAIN]].items()} == {id_: [[0.0, 1.5]] for id_ in ids}
    assert len(corpus.segments) == 3


def test_training_tells_and_clips_are_tagged(root, trained):
    lines = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert losses[-1] < losses[0]
    found = json.loads(tiny.good("evaluate", trained, f"data.root={root}", "--json", "--no-plots").out)
    assert (found["found"], found["listed"]) == (3, 3)
    assert 0 <= found["scores"]["map"] <= 1


def test_events_are_scored_and_a_clip_without_events_counts_as_audio(root, trained, tmp_path):
    words = ["evaluate", trained, f"data.root={root}", "--events", "--timeline", "0.6/0.3", "--out", tmp_path / "out"]
    found = json.loads(tiny.good(*words, "--json").out)
    assert (found["recordings"], found["scored"]) == (3, 3)
    scores = found["scores"]["label"]
    assert [(row["name"], row["events"]) for row in found["classes"]["label"]] == [
        ("Crowing, cock-a-doodle-doo", 2), ("Rain", 2),
    ]  # fmt: skip
    assert 0 <= scores["psds1"] <= scores["psds1_macro"] <= 1
    assert "PSDS 1, mean of classes" in tiny.good(*words).out


def test_the_data_are_checked(root):
    done = tiny.good("data", "check", "audioset-strong", "--root", root, "-j", "1")
    assert "eval: events left out, of classes that train does not have: 1" in done.out + done.err
