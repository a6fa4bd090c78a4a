"""What is learned of rendered clips: what only the sound tells, and which sound belongs; alone or by two processes."""

import json

import numpy as np
import pytest
import rendered
import tiny
import tiny_video

from slowfast_cli.weights.file import read as weights

SMALL = [
    "data.source=media", "data.workers=0", "data.views=1", "model.width=16", "model.dropout=0", "optim.name=adamw",
    "optim.weight_decay=1e-4", "~optim.lr_batch", "~optim.bn_batch_size", "~schedule.warmup_epochs",
    "optim.nesterov=false", "~schedule.precise_bn_batches",
    "~schedule.warmup_steps", "~schedule.drop_at", "schedule.steps=null", "schedule.shape=cosine",
    "video.frames=16", "video.crop=32", "video.jitter=[32,36]", "video.side=32", "video.crops=1", "video.rows=64",
]  # fmt: skip


def last(run):
    return json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])


@pytest.fixture(scope="module")
def beeps(tmp_path_factory):
    """Two classes that look the same to the last pixel, and beep low or high."""
    root = tmp_path_factory.mktemp("beeps")
    for part, count in (("train", 16), ("val", 12)):
        for label, hz in (("low", 400), ("high", 1600)):
            (root / part / label).mkdir(parents=True)
            for number in range(count):
                path = root / part / label / f"{part}{label}{number}.mp4"
                rendered.beeps(path, seconds=2.2, pitch_hz=hz * (0.8 + 0.1 * (number % 5)), seed=number, size=32)
    return root


@pytest.mark.thorough
def test_what_is_only_audible_is_learned_by_hearing(beeps, tmp_path):
    words = ["data.corpus=folder", f"data.root={beeps}", *SMALL, "video.step=4", "frontend.mels=20", "optim.batch=8"]
    words += ["optim.lr=0.003", "schedule.epochs=12", "schedule.validate_every=12", "sync=null"]
    tiny.good("train", "kinetics-av", *words, "model.drop_pathway=0.2", "--run", tmp_path / "both")
    seeing = ["model.variant=slowfast-4x16-r50", "model.drop_pathway=0"]
    tiny.good("train", "kinetics-av", *words, *seeing, "schedule.epochs=2", "--run", tmp_path / "seen")
    heard, seen = last(tmp_path / "both")["val_auc"], last(tmp_path / "seen")["val_auc"]
    assert heard > 0.95
    assert seen == pytest.approx(0.5, abs=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["slowfast-small", "avslowfast-small"])
def test_the_recipe_for_own_videos_learns_motion_and_sound_from_few_clips(variant, tmp_path):
    """As it is, from 12 clips of each class: a ball that moves left or right; beeps that are low or high."""
    for part, count in (("train", 12), ("val", 4), ("test", 12)):
        for number, label in enumerate(("a", "b") * count):
            path, seed = tmp_path / "root" / part / label / f"{part}{number}.mp4", len(part) * 1000 + number
            path.parent.mkdir(parents=True, exist_ok=True)
            if variant == "slowfast-small":
                rendered.drift(path, leftwards=label == "a", seed=seed)
            else:
                hz = {"a": 400, "b": 1600}[label] * (0.8 + 0.1 * (number % 5))
                rendered.beeps(path, seconds=3, pitch_hz=hz, seed=seed, size=96)
    words = [f"data.root={tmp_path / 'root'}", f"model.variant={variant}", "data.workers=0"]
    tiny.good("train", "folder-video", *words, "--run", tmp_path / "run")
    scores = json.loads(tiny.good("evaluate", tmp_path / "run", "--json", "--no-plots").out)["scores"]
    assert scores["top1"] >= 90


@pytest.mark.slow
def test_sync_is_learned_and_is_about_the_sound(tmp_path):
    """On held-out clips, the audio is distinguished from the same audio at another time; shuffled audio is not."""
    root = tmp_path / "glow"
    for part, count in (("train", 64), ("val", 64)):
        (root / part / "x").mkdir(parents=True)
        for number in range(count):
            seed = number + 1000 * (part == "val")
            rendered.glow(root / part / "x" / f"{part}{number}.mp4", seconds=9, seed=seed)
    words = [
        "data.corpus=folder",
        f"data.root={root}",
        *SMALL,
        "video.step=4",
        "frontend.mels=20",
        "frontend.hop_ms=32",
    ]
    words += ["frontend.floor=1e-4", "task=sync", "metric=sync_res4", "model.variant=avslowfast-4x16-r50-sync"]
    words += [
        "sync.gap_seconds=2",
        "optim.batch=16",
        "optim.lr=0.002",
        "schedule.epochs=20",
        "schedule.validate_every=20",
    ]
    tiny.good("train", "kinetics-ssl", *words, "--run", tmp_path / "run")
    found = last(tmp_path / "run")
    assert min(found[f"val_sync_res{stage}"] for stage in (3, 4, 5)) > 70
    assert max(found[f"val_sync_res{stage}"] for stage in (3, 4, 5)) > 80

    accuracies = []
    for shift in (7, 19, 40):
        shuffled = tmp_path / f"shuffled{shift}"
        (shuffled / "val" / "x").mkdir(parents=True)
        (shuffled / "train").symlink_to(root / "train")
        for number in range(64):  # pictures of one video, sound of another
            pictures, sound = (root / "val" / "x" / f"val{index}.mp4" for index in (number, (number + shift) % 64))
            _swapped(pictures, sound, shuffled / "val" / "x" / f"val{number}.mp4")
        words[1] = f"data.root={shuffled}"
        reported = tiny.good("evaluate", "kinetics-ssl", *words, "--weights", tmp_path / "run", "--json", "--no-plots")
        accuracies.append([json.loads(reported.out)["scores"][f"sync_res{stage}"] for stage in (3, 4, 5)])
    assert np.mean(accuracies, axis=0) == pytest.approx([50, 50, 50], abs=12)  # three deviations of 192 tosses: 11


def _swapped(pictures, sound, out):
    import av

    with av.open(str(pictures)) as seen, av.open(str(sound)) as heard, av.open(str(out), "w") as made:
        streams = {kind: made.add_stream_from_template(getattr(file.streams, kind)[0])
                   for kind, file in (("video", seen), ("audio", heard))}  # fmt: skip
        for kind, file in (("video", seen), ("audio", heard)):
            for packet in file.demux(getattr(file.streams, kind)[0]):
                if packet.dts is not None:
                    packet.stream = streams[kind]
                    made.mux(packet)


@pytest.mark.processes
def test_two_processes_drop_and_compare_as_one_does(tmp_path):
    """Batch norms see 4 clips either way, and both ranks drop the sound in the same steps."""
    clips = tiny_video.render(tmp_path / "clips")
    root = tiny_video.kinetics(tmp_path / "root", clips)
    words = [*tiny_video.SMALL, "optim.batch=8", "optim.bn_batch_size=4", "schedule.epochs=4", "model.drop_pathway=0.5"]
    words += ["video.jitter=[32,32]", "video.flip=false", "model.dropout=0", f"data.root={root}", "sync.hard_from=0.5"]
    tiny.good("train", "kinetics-av", *words, "--device", "cpu", "--run", tmp_path / "one")
    done = tiny.process("train", "kinetics-av", *words, "--device", "cpu", "--gpus", 2, "--run", tmp_path / "two")
    assert done.code == 0, done.err
    one, two = (
        [json.loads(line) for line in (tmp_path / run / "metrics.jsonl").read_text().splitlines()]
        for run in ("one", "two")
    )
    steps = [[line for line in lines if "loss" in line] for lines in (one, two)]
    assert len(steps[0]) == len(steps[1]) == 4
    for mine, theirs in zip(*steps, strict=True):
        for name in ("loss", "loss_label", "loss_sync_res3", "loss_sync_res4", "loss_sync_res5"):
            assert theirs[name] == pytest.approx(mine[name], rel=1e-4, abs=1e-6), (mine["step"], name)
    without_audio = [line["loss_sync_res4"] > 0 for line in steps[0]]  # it counts in the steps that drop the sound
    assert True in without_audio
    assert False in without_audio
    a, b = (weights(tmp_path / run / "last.safetensors")[1] for run in ("one", "two"))
    for name, value in a.items():
        if not name.endswith(("running_mean", "running_var")):
            np.testing.assert_allclose(b[name], value, atol=2e-4, err_msg=name)
