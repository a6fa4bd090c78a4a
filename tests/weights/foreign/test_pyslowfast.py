"""`slowfast weights`: foreign checkpoints are converted or refused, and no code in them is executed."""

import io
import os
import pickle

import golden
import pytest
import tiny
import torch
import yaml
from rich.console import Console

from slowfast_cli import load_model
from slowfast_cli.cli import show
from slowfast_cli.models.recognizer import Recognizer
from slowfast_cli.models.spec import with_width
from slowfast_cli.models.zoo import VARIANTS
from slowfast_cli.types import WeightsError
from slowfast_cli.weights import download
from slowfast_cli.weights.catalog import CATALOG
from slowfast_cli.weights.file import read, read_card
from slowfast_cli.weights.foreign.convert import convert as foreign_convert
from slowfast_cli.weights.resolve import weight_file

SETTINGS = {
    "AUDIO_DATA": {
        "SAMPLING_RATE": 16000, "CLIP_SECS": 0.6, "WINDOW_LENGTH": 20, "HOP_LENGTH": 10, "NUM_FREQUENCIES": 32
    },
    "SLOWFAST": {"ALPHA": 4, "BETA": 8},
}  # fmt: skip


def network(heads, width=8, variant="asf-r50"):
    torch.manual_seed(0)
    return Recognizer(with_width(VARIANTS[variant], width), heads).eval()


def checkpoint(path, model, *, cfg=SETTINGS, prefix="", **more):
    """Save a checkpoint as the reference does, with epoch and optimizer state."""
    state = {prefix + golden.pyslowfast_name(name): value for name, value in model.state_dict().items()}
    content = {"epoch": 49, "model_state": state, "optimizer_state": {"param_groups": [{"lr": 0.01}], "state": {}}}
    torch.save({**content, **({"cfg": yaml.safe_dump(cfg)} if cfg else {}), **more}, path)
    return path


def convert(source, out):
    return tiny.slowfast("weights", "convert", source, out)


def test_a_checkpoint_with_settings_is_converted_completely(tmp_path):
    model = network({"label": 7})
    out = tmp_path / "deep" / "out.safetensors"
    done = convert(checkpoint(tmp_path / "in.pyth", model), out)
    assert done.code == 0, done.err
    count = sum(not name.endswith("num_batches_tracked") for name in model.state_dict())
    assert f"loaded {count} tensors, missing 0, unexpected 0" in done.err
    assert "note" not in done.err
    assert done.out == f"{out}\n"
    card = read_card(out)
    assert (card.front_end, card.clip_seconds, card.views) == ({**tiny.FRONT_END, "window_ms": 20.0}, 0.6, 2)
    assert card.classes == {"label": tuple(f"label {number}" for number in range(7))}
    x = {"logmel": torch.randn(2, 1, 60, 32)}
    with torch.no_grad():
        assert torch.equal(load_model(out)(x)["label"], model(x)["label"])
    answer = tiny.good("predict", tiny.DATA / "rain.wav", "-w", out, "--json")
    assert answer.lines[0]["top"][0]["label"].startswith("label ")
    shown = tiny.good("weights", "show", out)
    assert "in.pyth" in shown.out
    assert "slow: width 8, stride 4; fast: width 1, stride 1" in shown.out


def test_without_settings_published_ones_are_used_with_a_note(tmp_path):
    done = convert(checkpoint(tmp_path / "a.pyth", network({"label": 309}), cfg=None), tmp_path / "a.safetensors")
    assert done.code == 0, done.err
    assert "note: alpha is not in the file: 4, as published" in done.err
    assert "note: the front end is not in the file: 16000 Hz, 20 ms window, 10 ms hop, as published" in done.err
    assert "note: Class order: that of VGG-Sound's stat.csv; undecided" in done.err
    card = read_card(tmp_path / "a.safetensors")
    assert (card.clip_seconds, card.views, len(card.classes["label"])) == (5.119, 2, 309)
    assert "people marching" in card.classes["label"]
    model = network({"verb": 97, "noun": 300})
    convert(checkpoint(tmp_path / "b.pyth", model, cfg=None), tmp_path / "b.safetensors")
    card = read_card(tmp_path / "b.safetensors")
    assert (card.front_end["rate"], card.front_end["hop_ms"], card.clip_seconds, card.views) == (24000, 5.0, 1.999, 10)
    assert (card.classes["verb"][0], card.classes["noun"][2]) == ("take", "plate")
    convert(checkpoint(tmp_path / "d.pyth", network({"label": 44}), cfg=None), tmp_path / "d.safetensors")
    card = read_card(tmp_path / "d.safetensors")
    assert (card.front_end["rate"], card.clip_seconds, card.views, card.recipe) == (24000, 1.999, 5, "epic-sounds")
    assert (card.classes["label"][13], card.classes["label"][43]) == ("background", "drink / eat")
    slow = network({"label": 309}, variant="asf-slow-r50")
    convert(checkpoint(tmp_path / "c.pyth", slow, cfg=None), tmp_path / "c.safetensors")
    assert read_card(tmp_path / "c.safetensors").front_end["hop_ms"] == 40.0  # the Slow stream alone has a longer hop


def test_without_settings_a_front_end_is_not_guessed(tmp_path):
    done = convert(checkpoint(tmp_path / "in.pyth", network({"label": 7}), cfg=None), tmp_path / "out.safetensors")
    assert "note: the front end is not in the file: 16000 Hz" in done.err  # one head: VGG-Sound's
    strange = network({"other": 5})
    done = convert(checkpoint(tmp_path / "in.pyth", strange, cfg=None), tmp_path / "none.safetensors")
    assert done.code == 4
    assert not (tmp_path / "none.safetensors").exists()


def test_prefixes_of_distributed_training_are_removed(tmp_path):
    """DistributedDataParallel puts `module.` before every name."""
    model = network({"label": 7})
    done = convert(checkpoint(tmp_path / "in.pyth", model, prefix="module."), tmp_path / "out.safetensors")
    assert done.code == 0, done.err
    assert torch.equal(
        load_model(tmp_path / "out.safetensors").heads.linears["label"][0].bias, model.heads.linears["label"][0].bias
    )


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "model._orig_mod.module."])
def test_prefixes_of_compilation_are_removed(tmp_path, prefix):
    model = network({"label": 7})
    done = convert(checkpoint(tmp_path / "in.pyth", model, prefix=prefix), tmp_path / "out.safetensors")
    assert done.code == 0, done.err
    assert torch.equal(
        load_model(tmp_path / "out.safetensors").heads.linears["label"][0].bias, model.heads.linears["label"][0].bias
    )


def test_settings_may_be_a_mapping(tmp_path):
    path = checkpoint(tmp_path / "in.pyth", network({"label": 7}))
    assert convert(path, tmp_path / "text.safetensors").code == 0
    content = torch.load(path, weights_only=True)
    torch.save({**content, "cfg": yaml.safe_load(content["cfg"])}, path)
    done = convert(path, tmp_path / "mapping.safetensors")
    assert done.code == 0, done.err
    assert "not in the file" not in done.err
    assert read_card(tmp_path / "mapping.safetensors") == read_card(tmp_path / "text.safetensors")


def test_averaged_weights_are_named(tmp_path):
    path, out = checkpoint(tmp_path / "in.pyth", network({"label": 7})), tmp_path / "out.safetensors"
    content = torch.load(path, weights_only=True)
    averaged = {name: value + 1 for name, value in content["model_state"].items()}
    bias = "heads.linears.label.0.bias"
    before = content["model_state"]["head.projection.bias"]
    torch.save({**content, "ema_state": {"decay": 0.9, "module": averaged}}, path)
    note = "weights under model_state; the averaged (EMA) weights under ema_state were not taken"
    assert note in " ".join(convert(path, out).err.split())
    assert torch.equal(read(out)[1][bias], before)
    foreign_convert(path, out, ema=True)
    assert read_card(out).notes[0] == "averaged (EMA) weights: those under ema_state, not model_state"
    assert torch.equal(read(out)[1][bias], before + 1)
    torch.save({"cfg": content["cfg"], "model_ema": averaged}, path)
    assert "averaged (EMA) weights: those under model_ema" in convert(path, tmp_path / "only.safetensors").err


def test_values_that_are_not_finite_are_not_converted(tmp_path):
    model = network({"label": 7})
    torch.nn.init.constant_(model.heads.linears["label"][0].bias, float("nan"))
    done = convert(checkpoint(tmp_path / "in.pyth", model), tmp_path / "out.safetensors")
    assert done.code == 4
    assert "7 of 7 values of heads.linears.label.0.bias are NaN or infinite" in done.err
    assert not (tmp_path / "out.safetensors").exists()


def test_missing_tensors_are_refused_and_unexpected_ones_reported(tmp_path):
    model = network({"label": 7})
    path = checkpoint(tmp_path / "in.pyth", model)
    content = torch.load(path, weights_only=True)
    torch.save({**content, "model_state": {**content["model_state"], "aux.weight": torch.ones(2)}}, path)
    done = convert(path, tmp_path / "out.safetensors")
    assert "missing 0, unexpected 1" in done.err
    assert "unexpected: aux.weight" in done.err
    assert load_model(tmp_path / "out.safetensors")
    del content["model_state"]["s4.pathway0_res2.branch2.b.weight"]
    torch.save(content, path)
    done = convert(path, tmp_path / "none.safetensors")
    assert done.code == 4
    assert (
        "1 tensors are missing, such as trunk.stages.slow_res4.2.b.weight: a truncated or foreign checkpoint"
        in done.err
    )
    assert not (tmp_path / "none.safetensors").exists()


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_pickle_that_would_run_code_is_refused_without_running_it(tmp_path):
    ran = tmp_path / "ran"
    for number, content in enumerate(
        ({"model_state": {"s1.pathway0_stem.conv.weight": Evil(ran)}}, {"model_state": {}, "cfg": Evil(ran)}, Evil(ran))
    ):
        torch.save(content, tmp_path / f"{number}.pyth")
        (tmp_path / f"{number}.pkl").write_bytes(pickle.dumps(content, 2))
        for suffix in ("pyth", "pkl"):
            done = convert(tmp_path / f"{number}.{suffix}", tmp_path / "out.safetensors")
            assert done.code == 4
            assert f"{number}.{suffix}: would run code when loaded (" in done.err
            assert len(done.err.splitlines()) == 1
    assert not ran.exists()
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty (0 bytes); download it again"),
        (b"\n <!DOCTYPE html><title>Dropbox</title>", "is a web page, not a checkpoint; download it again"),
        (None, "is truncated, its end is missing"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer"),
        (b"just text", "is truncated or not a PyTorch checkpoint"),
    ],
    ids=["empty", "web page", "truncated", "pointer", "text"],
)
def test_files_that_are_not_checkpoints_are_refused(tmp_path, content, message):
    path = checkpoint(tmp_path / "in.pyth", network({"label": 7}))
    path.write_bytes(path.read_bytes()[:-2000] if content is None else content)
    done = convert(path, tmp_path / "out.safetensors")
    assert done.code == 4
    assert done.err.startswith(f"error: {path}: ")
    assert message in done.err or (content == b"just text" and "not a PyTorch checkpoint" in done.err)
    assert not (tmp_path / "out.safetensors").exists()


HEAD = {"head.projection.weight": torch.ones(2)}


@pytest.mark.parametrize(
    "content",
    [
        {"model_state": {"conv1.weight": torch.ones(64, 3, 7, 7)}},
        {"model_state": {"s1.pathway0_stem.conv.weight": torch.ones(64, 3, 5, 7, 7), **HEAD}},
        {"model_state": {"s1.pathway0_stem.conv.weight": torch.ones(64, 1, 5, 7), **HEAD}},
        {"epoch": 3},
        [torch.ones(2)],
        torch.ones(2),
    ],
    ids=["resnet", "video", "stem only", "no tensors", "list", "tensor"],
)  # fmt: skip
def test_checkpoints_of_other_networks_are_refused(tmp_path, content):
    torch.save(content, tmp_path / "in.pyth")
    done = convert(tmp_path / "in.pyth", tmp_path / "out.safetensors")
    assert done.code == 4, done.err
    assert done.err.startswith(f"error: {tmp_path / 'in.pyth'}: ")
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.parametrize(
    "cfg",
    ["{", "just text", "[1, 2]", "AUDIO_DATA: 3", "AUDIO_DATA: {SAMPLING_RATE: fast}", "SLOWFAST: {ALPHA: many}"],
)
def test_invalid_settings_are_refused(tmp_path, cfg):
    path = checkpoint(tmp_path / "in.pyth", network({"label": 309}), cfg=None, cfg_=None)
    content = torch.load(path, weights_only=True)
    if cfg == "AUDIO_DATA: {SAMPLING_RATE: fast}":
        cfg = "AUDIO_DATA: {SAMPLING_RATE: fast, WINDOW_LENGTH: 1, HOP_LENGTH: 1, CLIP_SECS: 1}"
    torch.save({**content, "cfg": cfg}, path)
    done = convert(path, tmp_path / "out.safetensors")
    assert "defect" not in done.err
    if done.code:
        assert done.code == 4
        assert done.err.startswith(f"error: {path}: ")


def test_an_output_that_cannot_be_written(tmp_path):
    path = checkpoint(tmp_path / "in.pyth", network({"label": 7}))
    (tmp_path / "file").touch()
    done = convert(path, tmp_path / "file" / "out.safetensors")
    assert done.code == 1
    assert "cannot be written" in done.err
    assert "defect" not in done.err


def test_weights_ls_lists_the_catalog(tmp_path, monkeypatch):
    monkeypatch.setenv("SLOWFAST_CACHE", str(tmp_path))
    done = tiny.good("weights", "ls")
    assert all(name in done.out for name in CATALOG)
    assert "CC BY-NC-SA" in done.out
    assert "Apache-2.0" in done.out
    assert "CC BY-NC-SA forbids commercial use" in done.err
    lines = tiny.good("weights", "ls", "--json").lines
    assert [line["name"] for line in lines] == list(CATALOG)
    assert lines[0]["published"]["top1"] == 52.46
    assert lines[-1]["video"] == {"frames": 64, "step": 2, "crops": 0}
    assert {line["path"] for line in lines} == {None}


@pytest.mark.parametrize("width", [40, 80, 120, 160])
def test_weights_ls_fits_the_terminal(monkeypatch, width):
    """Names are not cut, so that they can be copied, and no line is wider than the terminal."""
    out = io.StringIO()
    monkeypatch.setattr(show, "out", Console(file=out, width=width, force_terminal=True, color_system=None))
    done = tiny.good("weights", "ls")
    lines = out.getvalue().splitlines()
    assert all(any(line.startswith(name) for line in lines) for name in CATALOG)
    assert len(lines) == len(CATALOG) + 1
    assert max(map(len, lines)) <= width
    assert ("not shown for lack of width" in done.err) == (width < 160)
    expected = ("Top-1 78.70", "53.77", "216", "64 frames, every 2", "16 kHz", "mAP 0.291") if width >= 120 else ()
    assert all(text in out.getvalue() for text in expected)


def test_offline_download_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("SLOWFAST_CACHE", str(tmp_path))
    done = tiny.slowfast("weights", "download", "asf-vggsound", "--offline")
    assert (done.code, done.out) == (4, "")
    assert "--offline forbids the network; drop --offline, or download https://" in done.err
    assert f"save it as {tmp_path}" in done.err
    assert "license CC BY-NC-SA" in done.err
    done = tiny.slowfast("weights", "download", "asf-vgg", "--offline")
    assert (done.code, "did you mean" in done.err) == (4, True)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "asf-epic").touch()
    done = tiny.slowfast("weights", "download", "asf-epic", "--offline")
    assert (done.code, "asf-epic: is a file in this folder" in done.err) == (4, True)


def test_a_manually_downloaded_file_is_converted_once(tmp_path, monkeypatch):
    monkeypatch.setenv("SLOWFAST_CACHE", str(tmp_path))
    entry = CATALOG["asf-vggsound"]
    checkpoint(download.target(entry).path, network({"label": 309}), cfg=None)
    path = weight_file("asf-vggsound", offline=True)
    card = read_card(path)
    assert (card.licence, card.scores["top1"]) == (entry.licence, 52.46)
    before = path.stat().st_mtime_ns
    assert weight_file("asf-vggsound", offline=True).stat().st_mtime_ns == before
    assert tiny.good("weights", "download", "asf-vggsound", "--offline").out == f"{path}\n"
    download.target(entry).path.write_bytes(b"<html>")
    os.utime(path, (0, 0))
    with pytest.raises(WeightsError, match="is a web page"):
        weight_file("asf-vggsound", offline=True)
