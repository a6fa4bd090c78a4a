"""Checkpoints of PySlowFast, PyTorchVideo and Caffe2 become weight files with identical outputs.

Names are translated from ours to theirs, independently of the package, which translates in the other direction.
"""

import re
from dataclasses import replace

import golden
import numpy as np
import pytest
import tiny
import torch
import yaml

from slowfast_cli import load_model
from slowfast_cli.models.recognizer import Recognizer
from slowfast_cli.models.spec import with_width
from slowfast_cli.models.zoo import VARIANTS
from slowfast_cli.recipe.load import load
from slowfast_cli.settings import Frames
from slowfast_cli.types import UsageError, WeightsError
from slowfast_cli.weights import download
from slowfast_cli.weights.catalog import CATALOG
from slowfast_cli.weights.catalog_entry import network
from slowfast_cli.weights.file import read_card
from slowfast_cli.weights.foreign import convert as stage
from slowfast_cli.weights.resolve import weight_file

STAGES = ("stem", "res2", "res3", "res4", "res5")
BOXES = torch.tensor([[0, 3.0, 5, 50, 60], [1, 0, 0, 63, 63], [0, 20, 20, 22, 21]])


def network_of(net, classes, width=16):
    """Build a narrow network with plausible BatchNorm statistics."""
    torch.manual_seed(0)
    model = Recognizer(with_width(net, width), {"label": classes}).eval()
    for name, value in model.state_dict().items():
        if name.endswith("running_var"):
            value.copy_(1 + 0.1 * torch.rand_like(value))
        elif name.endswith("running_mean"):
            value.copy_(0.1 * torch.randn_like(value))
        elif "norm.weight" in name:
            value.copy_((0.25 if ".c_norm" in name else 1) + 0.1 * torch.randn_like(value))
        elif name.endswith(("theta.weight", "phi.weight")):  # the attention product grows cubically with the input
            value.mul_(0.02)
    return model


def state_of(model):
    return {name: value for name, value in model.state_dict().items() if not name.endswith("num_batches_tracked")}


def caffe2_name(name):
    """``trunk.stages.fast_res2.0.a.weight`` is ``t_res2_0_branch2a_w``."""
    *path, leaf = name.split(".")
    norm = path[-1].endswith("norm")
    end = {"weight": "s" if norm else "w", "bias": "b", "running_mean": "rm", "running_var": "riv"}[leaf]
    if path[0] == "heads":
        return f"pred_{end}"
    if path[1] == "laterals":
        stage = path[2].partition("_")[2]
        last = {"res2": 2, "res3": 3, "res4": 5}  # R50
        start = "t_pool1_subsample" if stage == "stem" else f"t_{stage}_{last[stage]}_branch2c_bn_subsample"
        return f"{start}{'_bn' if norm else ''}_{end}"
    which, _, stage = path[2].partition("_")
    side = "t_" if which == "fast" else ""
    if stage == "stem":
        return f"{side}res_conv1_bn_{end}" if norm else f"{side}conv1_{end}"
    if path[3].startswith("attend"):
        part = "bn" if norm else path[4]
        return f"nonlocal_conv{stage[-1]}_{path[3].removeprefix('attend')}_{part}_{end}"
    branch = "branch1" if path[4] == "shortcut" else f"branch2{path[4][0]}"
    return f"{side}{stage}_{path[3]}_{branch}{'_bn' if norm else ''}_{end}"


def hub_name(name, *, two, detects=False):
    """``trunk.stages.slow_res2.0.a.weight`` is ``blocks.1.res_blocks.0.branch2.conv_a.weight``."""
    *path, leaf = name.split(".")
    if path[0] == "heads":
        return f"detection_head.proj.{leaf}" if detects else f"blocks.{6 if two else 5}.proj.{leaf}"
    which, _, stage = path[2].partition("_")
    start = f"{'model.' if detects else ''}blocks.{STAGES.index(stage)}."
    if path[1] == "laterals":
        return f"{start}multipathway_fusion.{'norm' if path[3] == 'norm' else 'conv_fast_to_slow'}.{leaf}"
    start += f"multipathway_blocks.{('slow', 'fast').index(which)}." if two else ""
    if stage == "stem":
        return f"{start}{path[3]}.{leaf}"
    start += f"res_blocks.{path[3]}."
    if path[4] == "shortcut":
        return f"{start}branch1_{path[5]}.{leaf}"
    letter, _, norm = path[4].partition("_")
    return f"{start}branch2.{norm or 'conv'}_{letter}.{leaf}"


@pytest.fixture
def caffe2(python2):
    return lambda path, model: write_caffe2(path, model, python2)


def write_caffe2(path, model, python2):
    blobs = {caffe2_name(name): value.numpy() for name, value in state_of(model).items()}
    assert len(blobs) == len(state_of(model))
    momentum = {f"{name}_momentum": np.zeros(2, np.float32) for name in blobs if not name.endswith(("_rm", "_riv"))}
    rest = {"lr": np.zeros(1, np.float32), "model_iter": np.array([7], np.int64)}
    path.write_bytes(python2({**blobs, **momentum, **rest}, "!!python/object/new:AttrDict\ndictitems: {}\n"))
    return path


def hub(path, model, *, prefix=""):
    two, detects = len(model.trunk.net.pathways) > 1, model.trunk.net.regions != "none"
    state = {prefix + hub_name(name, two=two, detects=detects): value for name, value in model.state_dict().items()}
    assert len(state) == len(model.state_dict())
    torch.save({"model_state": state}, path)
    return path


def answer(model, frames=8):
    torch.manual_seed(1)
    x, boxes = torch.randn(2, 3, frames, 64, 64), BOXES if model.trunk.net.regions != "none" else None
    with torch.inference_mode():
        return model({"frames": x}, boxes=boxes)["label"]


def same(path, model, frames=8):
    """Check that the file gives bit-identical outputs to the original network."""
    expected = answer(model, frames)
    assert expected.std() > 1e-3
    assert torch.equal(answer(load_model(path), frames), expected)


PYTORCHVIDEO = {
    "slow-r50": ("slow-r50", 400, (8, 8)),
    "slowfast-4x16-r50": ("slowfast-4x16-r50", 400, (32, 2)),
    "slowfast-8x8-r50": ("slowfast-8x8-r50", 400, (32, 2)),
    "slowfast-8x8-r101-all": ("slowfast-8x8-r101-all", 400, (32, 2)),
    "slowfast-16x8-r101": ("slowfast-16x8-r101", 400, (64, 2)),
    "slow-r50-ava": ("slow-r50-ava", 80, (4, 16)),
    "slowfast-8x8-r50-ava": ("slowfast-8x8-r50-ava", 80, (32, 2)),
}


@pytest.mark.parametrize(
    ("case", "prefix"),
    [*((case, "") for case in PYTORCHVIDEO), ("slowfast-8x8-r50", "model."), ("slow-r50-ava", "module.model.")],
)
def test_pytorchvideo_checkpoints(tmp_path, case, prefix):
    variant, classes, clip = PYTORCHVIDEO[case]
    net = VARIANTS[variant] if classes == 400 else replace(VARIANTS[variant], regions="unaligned")
    model = network_of(net, classes)
    converted = stage.convert(hub(tmp_path / "x.pyth", model, prefix=prefix), tmp_path / "x.safetensors")
    assert not converted.result.unused
    card = read_card(converted.path)
    assert replace(card.net, window=net.window) == model.trunk.net
    assert (card.video["frames"], card.video["step"], card.video["crops"]) == (*clip, 3 if classes == 400 else 0)
    assert (card.sigmoid, card.views, card.front_end) == (classes == 80, 1 if classes == 80 else 10, {})
    assert card.clip_seconds == pytest.approx(clip[0] * clip[1] / 30)
    assert card.recipe == ("ava" if classes == 80 else "kinetics")
    assert [note.partition(" ")[0] for note in card.notes] == (["alpha"] if "fast" in case else []) + ["frames"]
    same(converted.path, model)


@pytest.mark.parametrize(
    ("variant", "classes", "frames"),
    [("slow-r50", 400, 8), ("slowfast-4x16-r50", 400, 16), ("slowfast-8x8-r50", 400, 8)],
)
def test_caffe2_checkpoints(tmp_path, caffe2, variant, classes, frames):
    model = network_of(VARIANTS[variant], classes)
    done = tiny.good("weights", "convert", caffe2(tmp_path / "x.pkl", model), tmp_path / "x.safetensors")
    assert f"loaded {len(state_of(model))} tensors, missing 0, unexpected 0" in done.err
    card = read_card(tmp_path / "x.safetensors")
    assert card.net == model.trunk.net
    assert card.classes["label"][0] == "abseiling"
    assert card.classes["label"][399] == "zumba"
    same(tmp_path / "x.safetensors", model, frames)


def test_caffe2_detector_with_non_local_blocks(tmp_path, caffe2):
    """80 classes identify AVA, whose models pool keys over two frames and use unaligned RoIAlign."""
    base = VARIANTS["slowfast-8x8-r50-nl"]
    slow = replace(base.pathways["slow"], attend_pool=(2, 2, 2))
    paths = {"slow": slow, "fast": base.pathways["fast"]}
    paths = {key: replace(path, halve_space=("res3", "res4"), dilated=("res5",)) for key, path in paths.items()}
    lateral = replace(base.laterals["f2s"], kernel=7)
    net = replace(base, pathways=paths, laterals={"f2s": lateral}, regions="unaligned", window=None)
    model = network_of(net, 80)
    names = {caffe2_name(name) for name in state_of(model)}
    assert {"nonlocal_conv3_1_theta_w", "nonlocal_conv4_5_out_b", "nonlocal_conv3_3_bn_riv", "pred_b"} <= names
    assert {"t_pool1_subsample_w", "t_res2_2_branch2c_bn_subsample_bn_s", "res_conv1_bn_rm", "t_conv1_w"} <= names
    converted = stage.convert(caffe2(tmp_path / "x.pkl", model), tmp_path / "x.safetensors")
    assert converted.card.net == model.trunk.net
    assert converted.card.sigmoid
    assert converted.card.classes["label"][:2] == ("bend/bow (at the waist)", "crawl")
    same(converted.path, model)


def pyslowfast(path, model, settings, **more):
    state = {golden.pyslowfast_name(name): value for name, value in model.state_dict().items()}
    torch.save({"epoch": 195, "model_state": state, "cfg": yaml.safe_dump(settings), **more}, path)
    return path


def test_settings_in_the_file_take_precedence(tmp_path):
    """PySlowFast's own files are complete: nothing is assumed."""
    net = replace(VARIANTS["slowfast-8x8-r50-ava"], window=None)
    settings = {
        "SLOWFAST": {"ALPHA": 4},
        "DETECTION": {"ENABLE": True, "ALIGNED": True},
        "DATA": {
            "NUM_FRAMES": 16, "SAMPLING_RATE": 4, "TRAIN_CROP_SIZE": 112, "TEST_CROP_SIZE": 128,
            "TRAIN_JITTER_SCALES": [128, 160], "MEAN": [0.5, 0.5, 0.5], "STD": [0.2, 0.2, 0.2],
        },
    }  # fmt: skip
    model = network_of(net, 80)
    converted = stage.convert(pyslowfast(tmp_path / "x.pyth", model, settings), tmp_path / "x.safetensors")
    assert (converted.card.net, converted.card.notes) == (model.trunk.net, ())
    assert converted.card.video == {
        "frames": 16, "step": 4, "fps": 30.0, "crop": 112, "jitter": [128, 160], "flip": True, "side": 128, "crops": 0,
        "rows": 128, "mean": 0.5, "std": 0.2,
    }  # fmt: skip
    same(converted.path, model)
    # A variant is used only for what the file lacks, and refused if it contradicts the file.
    with pytest.raises(
        WeightsError, match=r"x\.pyth: is not slowfast-8x8-r50-ava: slow.width is 16, expected 64; omit --variant"
    ):
        stage.convert(tmp_path / "x.pyth", tmp_path / "y.safetensors", variant="slowfast-8x8-r50-ava")


@pytest.mark.parametrize(
    "data",
    [
        {"NUM_FRAMES": "many"},
        {"MEAN": 3},
        {"TRAIN_JITTER_SCALES": [256]},
        {"STD": ["x", "y"]},
        {"TEST_CROP_SIZE": None},
    ],
)
def test_invalid_settings_are_refused(tmp_path, data):
    path = pyslowfast(tmp_path / "x.pyth", network_of(VARIANTS["slow-r50"], 400), {"DATA": data})
    (name,) = data
    with pytest.raises(WeightsError, match=rf"x\.pyth: the checkpoint's cfg has DATA\.{name}: "):
        stage.convert(path, tmp_path / "x.safetensors")


@pytest.mark.thorough
def test_an_audiovisual_checkpoint_keeps_its_sync_projections(tmp_path):
    meta, state, _, _ = golden.model(golden.SOUNDS)
    settings = meta["settings"]
    torch.save({"model_state": state, "cfg": yaml.safe_dump(settings)}, tmp_path / "x.pyth")
    card = stage.convert(tmp_path / "x.pyth", tmp_path / "x.safetensors").card
    assert (card.sync, card.recipe, card.notes) == (("res3", "res4", "res5"), "kinetics-av", ())
    assert card.front_end["hop_ms"] * card.video["rows"] / 1000 == pytest.approx(card.clip_seconds, rel=0.05)
    back = load_model(tmp_path / "x.safetensors")
    assert back.card == card
    assert sum(parameter.numel() for parameter in back.parameters()) == meta["param_count"]
    frames, logmel = torch.randn(1, 3, 32, 64, 64), torch.randn(2, 1, 128, 80)
    with torch.inference_mode():
        outputs = back({"frames": frames, "logmel": logmel})
    assert {"label", "video_res3", "audio_res5", "valid_res4"} <= set(outputs)
    assert outputs["audio_res3"].shape == (2, 64)


@pytest.mark.parametrize(
    ("variant", "clip", "rows"),
    [("slow-r50", (8, 8), 128), ("slowfast-16x8-r50", (64, 2), 128), ("slowfast-4x16-r50", (32, 2), 128)],
)
def test_a_variant_supplies_what_the_file_lacks(tmp_path, monkeypatch, variant, clip, rows):
    monkeypatch.setitem(VARIANTS, variant, with_width(VARIANTS[variant], 16))
    model = network_of(VARIANTS[variant], 400)
    path = hub(tmp_path / "x.pyth", model)
    done = tiny.good("weights", "convert", path, tmp_path / "x.safetensors", "--variant", variant)
    card = read_card(tmp_path / "x.safetensors")
    assert card.net == model.trunk.net
    assert (card.video["frames"], card.video["step"], card.video["rows"]) == (*clip, rows)
    assert "alpha" not in done.err
    done = tiny.slowfast("weights", "convert", path, tmp_path / "y.safetensors", "--variant", "slowfast-8x8-r101")
    assert (done.code, (tmp_path / "y.safetensors").exists()) == (4, False)
    assert f"error: {path}: is not slowfast-8x8-r101: " in done.err


def test_an_unknown_variant(tmp_path):
    with pytest.raises(
        UsageError, match=r"--variant slowfast-8x8: no such network; did you mean 'slowfast-8x8-r\d+.*'"
    ):
        stage.convert(tmp_path / "x.pyth", tmp_path / "x.safetensors", variant="slowfast-8x8")
    done = tiny.slowfast("weights", "convert", "x", "y", "--variant", "nothing")
    assert (done.code, "`slowfast recipes variants` lists them" in done.err) == (2, True)


def test_other_networks_are_refused(tmp_path):
    """I3D has the same names, but alternating temporal kernels."""
    model = network_of(VARIANTS["slow-r50"], 400)
    state = {golden.pyslowfast_name(name): value for name, value in model.state_dict().items()}
    state["s3.pathway0_res1.branch2.a.weight"] = torch.zeros(32, 128, 3, 1, 1)
    torch.save({"model_state": state}, tmp_path / "x.pyth")
    with pytest.raises(
        WeightsError, match="not a network of the SlowFast family: res3 has temporal kernels 1, 3, 1, 1, as I3D"
    ):
        stage.convert(tmp_path / "x.pyth", tmp_path / "x.safetensors")
    gone = {name: value for name, value in state.items() if not name.startswith("s5.")}
    torch.save({"model_state": {**gone, "s9.pathway7_res0.branch2.a.weight": torch.zeros(1)}}, tmp_path / "x.pyth")
    with pytest.raises(WeightsError, match="family: pathway 0 has no bottleneck in res5"):
        stage.convert(tmp_path / "x.pyth", tmp_path / "x.safetensors")
    torch.save({"model_state": {**state, "s2.pathway0_res0.branch2.a.weight": torch.zeros(3)}}, tmp_path / "x.pyth")
    with pytest.raises(WeightsError, match="not a network of the SlowFast family"):
        stage.convert(tmp_path / "x.pyth", tmp_path / "x.safetensors")


def narrow_entry(monkeypatch, name):
    """Narrow the network of a catalog entry for the test; return both."""
    entry = CATALOG[name]
    monkeypatch.setitem(VARIANTS, entry.variant, with_width(VARIANTS[entry.variant], 16))
    return entry, network(entry)


@pytest.mark.parametrize(
    "name",
    [
        "slow-4x16-r50-kinetics400-caffe2",
        "slowfast-8x8-r50-kinetics400-hub",
        "slowfast-16x8-r101-kinetics400",
        "slowfast-8x8-r50-charades",
        "slow-4x16-r50-ava-caffe2",
        "slowfast-8x8-r50-ava",
    ],
)
def test_official_weights_by_name(tmp_path, monkeypatch, caffe2, name):
    monkeypatch.setenv("SLOWFAST_CACHE", str(tmp_path))
    entry, net = narrow_entry(monkeypatch, name)
    model = network_of(net, entry.heads["label"])
    write = caffe2 if name.endswith("caffe2") else hub
    write(download.target(entry).path, model)
    path = weight_file(name, offline=True)
    card = read_card(path)
    assert replace(card.net, window=net.window) == model.trunk.net == net
    assert (card.source, card.licence, card.scores) == (entry.url, "Apache-2.0", dict(entry.published))
    assert {key: card.video[key] for key in entry.video} == dict(entry.video)
    assert (card.clip_seconds, card.views, card.sigmoid) == (entry.clip_seconds, entry.views, entry.sigmoid)
    assert card.notes == (entry.note,)
    same(path, model)
    shown = tiny.good("weights", "show", name, "--offline").out
    frames = f"{entry.frames}, every {entry.video['step']} of {entry.video.get('fps', 30):g} a second; short side 256, "
    assert re.search(re.escape(frames) + ("whole" if entry.dataset == "ava" else "3 crops"), shown)
    assert ("unaligned RoIAlign" in shown) == (entry.dataset == "ava")
    assert ("any number at once (sigmoid)" in shown) == entry.sigmoid
    assert "front end" not in shown


def test_the_weights_of_epic_kitchens(tmp_path, monkeypatch):
    """Two heads, colors in the order of OpenCV: converted with all that prediction needs."""
    monkeypatch.setenv("SLOWFAST_CACHE", str(tmp_path))
    entry, net = narrow_entry(monkeypatch, "slowfast-8x8-r50-epic")
    torch.manual_seed(0)
    model = Recognizer(net, dict(entry.heads)).eval()
    state = {golden.pyslowfast_name(name): value for name, value in model.state_dict().items()}
    assert {name for name in state if name.startswith("head.")} == {
        f"head.projection_{labels}.{leaf}" for labels in ("verb", "noun") for leaf in ("weight", "bias")
    }
    cfg = {
        "DATA": {"NUM_FRAMES": 32, "SAMPLING_RATE": 2, "TRAIN_JITTER_SCALES": [256, 320], "TRAIN_CROP_SIZE": 224,
                 "TEST_CROP_SIZE": 256, "MEAN": [0.45, 0.45, 0.45], "STD": [0.225, 0.225, 0.225]},
        "SLOWFAST": {"ALPHA": 4, "BETA_INV": 8}, "MODEL": {"NUM_CLASSES": [97, 300]},
    }  # fmt: skip
    torch.save({"epoch": 30, "model_state": state, "cfg": yaml.safe_dump(cfg)}, download.target(entry).path)
    card = read_card(weight_file(entry.name, offline=True))
    recipe = load("epic-video")
    assert Frames.from_settings(card.video) == recipe.video
    assert (card.recipe, card.views, card.licence) == ("epic-video", 10, "CC BY-NC-SA 4.0")
    assert (len(card.classes["verb"]), card.classes["verb"][0], card.classes["noun"][2]) == (97, "take", "plate")
    assert (card.net, card.clip_seconds) == (net, recipe.video.seconds)
    clip = {"frames": torch.randn(1, 3, 32, 256, 256)}
    with torch.no_grad():
        ours, theirs = load_model(weight_file(entry.name, offline=True))(clip), model(clip)
    for labels, size in entry.heads.items():
        assert ours[labels].shape == (1, 4, size)  # 7 x 7 windows on a map of 8 x 8
        torch.testing.assert_close(ours[labels], theirs[labels], rtol=0, atol=0)
    assert "short side 256, 1 crop, BGR" in tiny.good("weights", "show", entry.name, "--offline").out
    torch.save({"model_state": state}, tmp_path / "bare.pyth")
    bare = stage.convert(tmp_path / "bare.pyth", tmp_path / "bare.safetensors").card
    assert Frames.from_settings(bare.video) == recipe.video


def test_a_file_that_is_not_the_named_weights_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("SLOWFAST_CACHE", str(tmp_path))
    entry, net = narrow_entry(monkeypatch, "slow-8x8-r50-kinetics400-hub")
    hub(download.target(entry).path, network_of(net, 7))
    with pytest.raises(
        WeightsError,
        match=r"is not slow-8x8-r50-kinetics400-hub: it has classes \{'label': 7\}, expected \{'label': 400\}",
    ):
        weight_file(entry.name, offline=True)
    hub(download.target(entry).path, network_of(with_width(net, 8), 400, width=8))
    assert (
        read_card(weight_file(entry.name, offline=True)).notes[-1] == "not as published: slow.width is 8, expected 16"
    )


def test_a_detector_takes_boxes(tmp_path):
    net = replace(VARIANTS["slowfast-4x16-r50-ava"], regions="unaligned", window=None)
    model = network_of(net, 80)
    path = stage.convert(hub(tmp_path / "x.pyth", model), tmp_path / "x.safetensors").path
    back, x = load_model(path), {"frames": torch.randn(2, 3, 16, 64, 96)}
    with torch.inference_mode():
        assert back(x, boxes=BOXES)["label"].shape == (3, 80)
        assert back(x, boxes=BOXES[:0])["label"].shape == (0, 80)
        one = back(x, boxes=BOXES[:1])["label"]
        torch.testing.assert_close(one, back(x, boxes=BOXES)["label"][:1])
    with pytest.raises(ValueError, match="boxes: missing"):
        back(x)
    whole = load_model(
        stage.convert(hub(tmp_path / "y.pyth", network_of(VARIANTS["slow-r50"], 400)), tmp_path / "y.safetensors").path
    )
    with pytest.raises(ValueError, match="boxes: given"):
        whole(x, boxes=BOXES)
