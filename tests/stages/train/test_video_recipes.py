"""Every recipe about video, from its annotation lists to its scores, on small clips: train, go on, evaluate."""

import json

import pytest
import tiny
import tiny_video

from slowfast_cli.build.clips import build_clips, open_store
from slowfast_cli.build.corpus import read_corpus
from slowfast_cli.recipe.load import bundled, check, read

VIDEO = [name for name in bundled() if check(read(name)).video]
SPARE = {  # what the small corpora cannot fill, or what a row needs
    "kinetics-sounds": ["optim.batch=2"],
    "charades-av": ["model.variant=avslowfast-16x8-r101", "optim.batch=2"],
    "epic55-av": ["model.variant=avslowfast-8x8-r50"],
    "epic-av": ["model.variant=avslowfast-8x8-r50"],
    "ava": ["data.val=val", "optim.batch=2", "model.variant=slowfast-4x16-r50-ava"],
    "ava-av": ["data.val=val", "optim.batch=2"],
    "ave": ["video.step=4", "data.test=val"],  # clips of a second; scored as in training
}
METRICS = {"charades-av": "val_map", "ava": "val_challenge_map", "ava-av": "val_map"}
METRICS |= {"epic-video": "val_action_top1", "epic-av": "val_unseen_joint_action_top5"}


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return tiny_video.render(tmp_path_factory.mktemp("clips") / "rendered")


@pytest.fixture(scope="module")
def corpora(clips, tmp_path_factory):
    made = {}

    def root(name):
        maker = tiny_video.MAKERS[name]
        if maker not in made:
            made[maker] = maker(tmp_path_factory.mktemp(maker.__name__) / "root", clips)
        return made[maker]

    return root


def words(name, root, *more):
    compared = ["sync.gap_seconds=0.1"] if check(read(name)).sync else []
    return [name, *tiny_video.SMALL, *tiny_video.SCRATCH, *compared, *SPARE.get(name, []), f"data.root={root}", *more]


def test_every_recipe_has_a_corpus():
    assert set(VIDEO) == set(tiny_video.MAKERS)


@pytest.mark.parametrize("name", VIDEO)
def test_a_recipe_runs_from_its_lists_to_its_scores(name, corpora, tmp_path):
    run = tmp_path / "run"
    done = tiny.good("train", *words(name, corpora(name)), "--run", run)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    steps = [line for line in lines if "loss" in line]
    assert steps
    assert all(line["loss"] == line["loss"] and line["loss"] > 0 for line in steps)
    scored = lines[-1]
    assert METRICS.get(name, "val_top1") in scored
    if check(read(name)).sync:
        # Where sound joins at res3, later stages have heard it: comparing there would say nothing.
        stages = ("res3", "res4", "res5") if name == "kinetics-ssl" else ("res3",)
        assert {key for key in scored if key.startswith("val_sync")} == {f"val_sync_{stage}" for stage in stages}
        assert {"loss_sync_res3", "loss_sync_res5"} <= steps[0].keys()
    mute = name == "kinetics-audio"  # what has no sound cannot be heard
    assert ("skipped an unreadable segment" in done.err) == mute
    reported = tiny.good("evaluate", *words(name, corpora(name)), "--weights", run, "--json", "--no-plots")
    found = json.loads(reported.out)
    for metric, value in found["scores"].items():
        if f"val_{metric}" in scored and scored[f"val_{metric}"] is not None:
            assert value == pytest.approx(scored[f"val_{metric}"], abs=1e-4), metric
    assert found["listed"] - found["found"] == mute
    hears = "logmel" in str((run / "recipe.yaml").read_text()) or "av" in name
    if hears and name in ("kinetics-av", "ava-av", "charades-av", "epic55-av", "epic-av"):
        assert ("without audio" in reported.err) == (name != "ava-av")


@pytest.mark.thorough
def test_a_stopped_run_goes_on_as_if_it_had_not_been(corpora, tmp_path):
    """Random crops, dropped sound, wrong sounds and their curriculum follow from the seed and the step alone."""
    base = words("kinetics-av", corpora("kinetics-av"), "schedule.epochs=3", "optim.batch=2", "model.drop_pathway=0.5")
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    tiny.good("train", *base, "--run", whole)
    from slowfast_cli.recipe.load import load
    from slowfast_cli.stages.train.loop import Step, train
    from slowfast_cli.stages.train.run_folder import Run

    events = train(load(base[0], base[1:]), Run(parted), name="kinetics-av")
    for event in events:
        if isinstance(event, Step) and event.number == 5:
            break
    events.close()
    tiny.good("train", *base, "--run", parted)
    assert (whole / "last.safetensors").read_bytes() == (parted / "last.safetensors").read_bytes()


def test_the_sound_is_dropped_by_the_step_alone(corpora):
    import torch

    from slowfast_cli.build import transforms
    from slowfast_cli.data import loader
    from slowfast_cli.recipe.load import load

    recipe = load("kinetics-av", [*words("kinetics-av", corpora("kinetics-av"))[1:], "model.drop_pathway=0.8"])
    source = open_store(recipe)
    clips = build_clips(recipe, read_corpus(recipe, "train"), source)
    batch = loader.collate([clips[loader.Key(0, index, -1)] for index in range(4)])
    assert batch.inputs.has_audio.tolist() == [1, 1, 1, 0]
    prepared = transforms.training_transform(recipe, torch.device("cpu"))
    heard = [
        prepared(batch, transforms.Progress(step=step, share=0.0)).inputs.has_audio.tolist() for step in range(200)
    ]
    repeated = [
        prepared(batch, transforms.Progress(step=step, share=0.0)).inputs.has_audio.tolist() for step in range(200)
    ]
    assert heard == repeated
    assert {tuple(each) for each in heard} == {(0, 0, 0, 0), (1, 1, 1, 0)}
    assert 0.7 < sum(not any(each) for each in heard) / 200 < 0.9


def test_wrong_sounds_become_hard_halfway(corpora):
    import torch

    from slowfast_cli.build import transforms
    from slowfast_cli.data import loader
    from slowfast_cli.recipe.load import load

    recipe = load("kinetics-av", [*words("kinetics-av", corpora("kinetics-av"))[1:], "sync.gap_seconds=0.1"])
    clips = build_clips(recipe, read_corpus(recipe, "train"), open_store(recipe))
    batch = loader.collate([clips[loader.Key(0, index, -1)] for index in range(4)])
    prepared = transforms.training_transform(recipe, torch.device("cpu"))
    (plain, *_) = transforms.eval_transform(recipe, torch.device("cpu"))(batch)
    own = plain.inputs.logmel[4:]
    easy, hard = (prepared(batch, transforms.Progress(step=0, share=done)).inputs.logmel[4:] for done in (0.0, 0.5))
    torch.testing.assert_close(easy, own[[1, 2, 3, 0]])
    torch.testing.assert_close(hard, own[[1, 2, 0, 3]])
    assert not torch.allclose(own[0], plain.inputs.logmel[0])


def test_broken_videos_are_counted_and_never_replaced(clips, tmp_path):
    root = tiny_video.kinetics(tmp_path / "root", clips)
    victims = [sorted((root / split).rglob("*.mp4"))[0] for split in ("train", "val")]
    for victim in victims:
        victim.unlink()
        victim.write_bytes(b"no video at all" * 100)
    run = tmp_path / "run"
    tiny.good("train", *words("kinetics", root), "--run", run)
    reported = (run / "broken.csv").read_text()
    assert victims[0].name in reported
    assert reported.count("\n") == 2
    found = json.loads(tiny.good("evaluate", *words("kinetics", root), "--weights", run, "--json", "--no-plots").out)
    assert (found["found"], found["listed"]) == (3, 4)


@pytest.mark.thorough
def test_two_runs_are_one_opinion(corpora, tmp_path):
    """Late ensembling: the mean of two runs' probabilities; and verbs of one with nouns of another."""
    import numpy as np

    root = corpora("kinetics")
    for name in ("kinetics", "kinetics-audio"):
        tiny.good("train", *words(name, root), "--run", tmp_path / name)
    seen, heard = tmp_path / "kinetics", tmp_path / "kinetics-audio"
    parts = []
    for each in (seen, heard):
        tiny.good("evaluate", each, "--no-plots")
        parts.append(np.load(each / "evaluation" / "test" / "predictions.npz"))
    tiny.good("evaluate", seen, "--ensemble", heard, "--no-plots", "--out", tmp_path / "both")
    both = np.load(next((tmp_path / "both").rglob("predictions.npz")))
    assert len(both["ids"]) == 3  # one has no sound
    rows = [[part["ids"].tolist().index(each) for each in both["ids"]] for part in parts]
    means = sum(part["scores_label"][row] for part, row in zip(parts, rows, strict=True)) / 2
    np.testing.assert_allclose(both["scores_label"], means, atol=1e-6)

    root = corpora("epic55-av")
    for labels in ("verb", "noun"):
        plain = [word for word in words("epic55-av", root, f"data.labels=[{labels}]") if "sync" not in word]
        compared = ["sync=null"] if labels == "verb" else ["sync.gap_seconds=0.1"]
        tiny.good("train", *plain, *compared, "--run", tmp_path / labels)
    for one, other in (("verb", "noun"), ("noun", "verb")):  # one of them compares sounds as well
        done = tiny.good("evaluate", tmp_path / one, "--ensemble", tmp_path / other, "--no-plots", "--json")
        assert {"verb_top1", "noun_top1", "action_top1"} <= json.loads(done.out)["scores"].keys()
    done = tiny.slowfast("evaluate", seen, "--ensemble", tmp_path / "noun", "--no-plots")
    assert done.code == 3
    assert "that run is about epic55" in done.err


@pytest.mark.thorough
def test_folds_are_trained_and_averaged(corpora, tmp_path):
    row = ["model.variant=avslowfast-8x8-r50-late"]
    out = tmp_path / "table"
    reported = tiny.good("ablate", *words("ucf101", corpora("ucf101"), *row), "--table", "8", "--out", out, "--json")
    (found,) = json.loads(reported.out)["rows"]
    folds = [json.loads((out / "avslowfast-8x8" / f"fold-{fold}" / "scores.json").read_text()) for fold in (1, 2, 3)]
    assert found["ours"]["top1"] == pytest.approx(sum(fold["top1"] for fold in folds) / 3)


def test_a_detector_starts_from_a_classifier(corpora, tmp_path):
    """The head is initialized; the copied tensors are reported."""
    tiny.good("train", *words("kinetics", corpora("kinetics")), "--run", tmp_path / "kinetics")
    done = tiny.good(
        "train", *[word for word in words("ava", corpora("ava")) if word != "~model.init"],
        f"model.init={tmp_path / 'kinetics'}", "--run", tmp_path / "ava",
    )  # fmt: skip
    assert "fresh 2 (heads.linears.label.0.weight, heads.linears.label.0.bias)" in done.err


def test_a_probe_leaves_its_trunk_alone(corpora, tmp_path):
    from slowfast_cli.weights.file import read as weights

    pre = [*words("kinetics-ssl", corpora("kinetics-ssl")), "model.variant=avslowfast-8x8-r50-sync"]
    tiny.good("train", *pre, "--run", tmp_path / "ssl")
    probe = [word for word in words("ucf101", corpora("ucf101")) if word not in ("~model.init", "~model.freeze_trunk")]
    tiny.good("train", *probe, f"model.init={tmp_path / 'ssl'}", "--run", tmp_path / "probe")
    before, after = (weights(tmp_path / run / "last.safetensors")[1] for run in ("ssl", "probe"))
    trunk = [name for name in after if name.startswith("trunk.")]
    assert len(trunk) > 300
    assert all((before[name] == after[name]).all() for name in trunk)
    assert after["heads.linears.label.0.weight"].any()


def test_sound_is_extracted_and_a_video_without_is_no_failure(corpora, tmp_path):
    """Shards in place of the videos' own sound: the same clips, and the same scores within what float16 keeps."""
    root, out = corpora("kinetics-av"), tmp_path / "shards"
    done = tiny.good("extract", "--recipe", "kinetics-av", "--root", root, "--out", out, "--max-missing", 0, "-j", 1)
    assert "without audio: 3 segments, recognized by their frames alone" in done.err
    assert "failed" not in done.err
    stored = [f"data.shards={out}", "data.source=shards"]
    tiny.good("train", *words("kinetics-av", root), *stored, "--run", tmp_path / "run")
    scores = []
    for source in (stored, []):
        reported = tiny.good(
            "evaluate", *words("kinetics-av", root), *source, "--weights", tmp_path / "run", "--json", "--no-plots"
        )
        scores.append(json.loads(reported.out)["scores"])
        assert "without audio: 1 segments" in reported.err
    assert scores[0]["map"] == pytest.approx(scores[1]["map"], abs=0.01)


def test_a_film_that_is_broken_is_a_missing_one_even_alone_in_its_batch(clips, tmp_path):
    root = tiny_video.ava(tmp_path / "root", clips)
    tiny.good("train", *words("ava", root), "--run", tmp_path / "run")
    rows = (root / "annotations" / "ava_val_v2.2.csv").read_text()
    (root / "annotations" / "ava_val_v2.2.csv").write_text(rows + rows.replace("1j20qq1JyX4", "brokenfilm0"))
    found = root / "annotations" / "ava_val_predicted_boxes.csv"
    found.write_text(found.read_text() + found.read_text().replace("1j20qq1JyX4", "brokenfilm0"))
    (root / "videos_15min" / "brokenfilm0.mp4").write_bytes(b"nothing" * 500)
    done = tiny.good("evaluate", *words("ava", root), "--weights", tmp_path / "run", "--json", "--no-plots")
    reported = json.loads(done.out)
    assert (reported["found"], reported["listed"]) == (2, 4)
    (root / "videos_15min" / "1j20qq1JyX4.mp4").unlink()
    (root / "videos_15min" / "1j20qq1JyX4.mp4").write_bytes(b"nothing" * 500)
    done = tiny.slowfast("evaluate", *words("ava", root), "--weights", tmp_path / "run", "--json", "--no-plots")
    assert done.code == 3
    assert "1j20qq1JyX4.mp4" in done.err


def test_a_run_that_counts_steps_is_finished_with_the_last(corpora, tmp_path):
    base = [*words("kinetics", corpora("kinetics")), "schedule.epochs=null", "schedule.steps=3"]
    tiny.good("train", *base, "--run", tmp_path / "run")
    before = (tmp_path / "run" / "metrics.jsonl").read_text()
    assert "already finished, after 3 steps" in tiny.good("train", *base, "--run", tmp_path / "run").err
    assert (tmp_path / "run" / "metrics.jsonl").read_text() == before


def test_choosing_label_sets_changes_nothing_else(corpora):
    from slowfast_cli.recipe.load import load

    for name in ("charades-av", "ava", "kinetics"):
        whole, chosen = (
            read_corpus(load(name, [*words(name, corpora(name))[1:], *more]), "val")
            for more in ([], ["data.labels=[label]"])
        )
        assert chosen == whole


@pytest.mark.parametrize(
    ("name", "words_of", "reported"),
    [
        ("kinetics", ["task=multilabel", "metric=map"], "has one class per segment: set task: classify"),
        ("charades-av", ["task=classify"], "has any number of classes per segment: set task: multilabel"),
        ("kinetics-av", ["metric=sync_res5"], "on kinetics400 has no 'sync_res5'"),
        ("kinetics", ["task=detect"], "networks for boxes end in -ava"),
        ("kinetics", ["sync.stages=[res3]"], "fuses audio into video after no stage"),
        ("kinetics", ["augment.mix=0.5"], "mixes audio only"),
        ("kinetics", ["data.clip_seconds=2"], "is for audio alone"),
        ("kinetics", ["model.drop_pathway=0.5"], "does not read both frames and audio"),
        ("kinetics", ["model.freeze_trunk=true"], "needs a trained trunk"),
        ("vggsound", ["model.variant=slowfast-4x16-r50"], "reads frames: add a `video` section"),
        ("kinetics-audio", ["task=rotation"], "needs frames, but audio-r50 reads logmel"),
        ("kinetics", ["video.jitter=[20,36]"], "from video.crop"),
        ("kinetics", ["data.labels=[verb]"], "has the label sets label"),
    ],
)
def test_what_does_not_go_together_is_refused(name, words_of, reported, corpora, tmp_path):
    base = words(name, corpora(name)) if name != "vggsound" else [name]
    done = tiny.slowfast("train", *base, *words_of, "--run", tmp_path / "run")
    assert done.code == 2
    assert reported in done.err


def test_a_segment_past_the_end_of_its_video_is_missing(clips, tmp_path):
    rows = ["path,start,stop,split,label", "a.mp4,0,2,train,x", "b.mp4,0,2,train,y"]
    rows += ["a.mp4,0,2,val,x", "b.mp4,20,22,val,y"]
    (clips / "segments.csv").write_text("\n".join(rows) + "\n")
    base = [*words("folder-video", clips / "segments.csv"), "data.corpus=csv", "optim.batch=2"]
    tiny.good("train", *base, "--run", tmp_path / "run")
    done = tiny.good("evaluate", *base, "--weights", tmp_path / "run", "--json", "--no-plots")
    assert (json.loads(done.out)["found"], json.loads(done.out)["listed"]) == (1, 2)
    assert "starts at 20 s, but the video ends at 3.00 s" in done.err


def test_other_crops_and_sides_may_be_tested(corpora, tmp_path):
    base = words("kinetics", corpora("kinetics"))
    tiny.good("train", *base, "--run", tmp_path / "run")
    tiny.good("evaluate", *base, "video.crops=1", "video.side=40", "--weights", tmp_path / "run", "--no-plots")
    done = tiny.slowfast("evaluate", *base, "video.step=4", "--weights", tmp_path / "run", "--no-plots")
    assert done.code == 4


def test_official_weights_in_recipes_are_in_the_catalog():
    import re

    from slowfast_cli.weights.catalog import CATALOG

    names = {name for path in bundled().values() for name in re.findall(r"--weights ([\w-]+)\b(?!/)", path.read_text())}
    assert {name for name in names if "-" in name} <= CATALOG.keys()


def test_non_local_blocks_start_from_the_twin_without(corpora, tmp_path):
    """They are new, and nothing else is (AV App. A.4)."""
    base = words("kinetics", corpora("kinetics"))
    tiny.good("train", *base, "model.variant=slowfast-8x8-r50", "--run", tmp_path / "plain")
    grown = [word for word in base if word != "~model.init"]
    done = tiny.good(
        "train", *grown, "model.variant=slowfast-8x8-r50-nl", f"model.init={tmp_path / 'plain'}",
        "--run", tmp_path / "grown",
    )  # fmt: skip
    assert "fresh 60 (trunk.stages.slow_res3.attend1" in done.err
    other = tiny.slowfast(
        "train", *grown, "model.variant=slowfast-4x16-r50", f"model.init={tmp_path / 'plain'}", "--run", tmp_path / "no"
    )
    assert other.code == 4
    assert "another network" in other.err
