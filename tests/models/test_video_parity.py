"""Video and audiovisual networks: logits, probabilities, intermediates and a training step equal the references."""

import re
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import golden
import numpy as np
import pytest
import torch
import yaml

from slowfast_cli.models.fusion import fuse
from slowfast_cli.models.heads import pool
from slowfast_cli.models.recognizer import Recognizer
from slowfast_cli.models.spec import STAGES
from slowfast_cli.models.zoo import VARIANTS
from slowfast_cli.nn.roi_align import roi_align
from slowfast_cli.tasks.avsync import Sync, distinct
from slowfast_cli.tasks.classify import Classify
from slowfast_cli.tasks.task import Task
from slowfast_cli.types import Batch, Inputs
from slowfast_cli.weights.file import load_matching
from slowfast_cli.weights.foreign import pyslowfast
from slowfast_cli.weights.foreign.pyslowfast_names import own_name

COMPARED = ("res3", "res4", "res5")
KNOWN = {  # the variant of each reference model, up to the crop size
    "psf_ava_slowfast_32x2_r50_short": "slowfast-8x8-r50-ava",
    "psf_c2_slowfast_8x8_r101_101_101": "slowfast-8x8-r101-all",
    "psf_c2_slowfast_8x8_r101_50_50": "slowfast-8x8-r101",
    "psf_charades_slowfast_16x8_r50": "slowfast-16x8-r50",
    "psf_slow_8x8_r50": "slow-r50",
    "psf_slowfast_4x16_r50": "slowfast-4x16-r50",
    "psf_slowfast_8x8_r50": "slowfast-8x8-r50",
    "psf_slowfast_8x8_r50_full256": "slowfast-8x8-r50",
    "psf_slowfast_nln_8x8_r50": "slowfast-8x8-r50-nl-released",
    "avslowfast_4x16_r50": "avslowfast-4x16-r50",
    "avslowfast_8x8_r50": "avslowfast-8x8-r50",
}


@dataclass
class Case:
    """A reference model: its metadata, our converted copy, its input and outputs."""

    name: str
    meta: dict
    converted: pyslowfast.Checkpoint
    model: Recognizer
    frames: torch.Tensor
    outputs: dict[str, np.ndarray]

    @property
    def signals(self):
        audio = {"logmel": golden.sounds(self.meta)[:, :1]} if "audio" in self.meta["input"] else {}
        return {"frames": self.frames, **audio}

    @property
    def boxes(self):
        return torch.from_numpy(self.outputs["input/boxes"]) if "input/boxes" in self.outputs else None

    @cached_property
    def results(self):
        """Logits and all intermediates by name; outputs of non-local blocks as ``slow_res3.attend1``."""
        attended = {}
        for name, module in self.model.trunk.stages.named_modules():
            if ".attend" in name and name.count(".") == 1:
                module.register_forward_hook(lambda _, __, y, name=name: attended.update({name: y}))
        with torch.inference_mode():
            last, maps = self.model.trunk.run(self.signals, self.model.trunk.intermediates)
            (logits,) = self.model.heads(last, self.boxes).values()
        return logits, {**maps, **attended}


@lru_cache(maxsize=1)
def build(name):
    meta, state, frames, outputs = golden.model(name)
    converted = pyslowfast.convert(state, yaml.safe_dump(meta["settings"]))
    with torch.device("meta"):  # skips random initialization: all weights are replaced
        model = Recognizer(
            converted.net, converted.heads, sync=COMPARED if name.startswith("avslowfast") else ()
        ).eval()
    report = load_matching(model.to_empty(device="cpu"), converted.state)
    assert not report.fresh
    assert not report.unused
    assert not converted.unexpected
    assert len(report.loaded) == sum(not key.endswith("num_batches_tracked") for key in state)
    return Case(name=name, meta=meta, converted=converted, model=model, frames=frames, outputs=outputs)


@pytest.fixture(scope="module", params=golden.VIDEO)
def case(request):
    return build(request.param)


def assert_close(ours, theirs, *, relative=1e-5):
    """Assert that the largest difference is small relative to the largest value."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= relative * np.abs(theirs).max()


def test_there_are_thirteen_golden_models():
    assert len(golden.VIDEO) == 13


def test_parameters_and_settings(case):
    assert sum(parameter.numel() for parameter in case.model.parameters()) == case.meta["param_count"]
    assert not case.converted.notes  # no setting was assumed
    if case.name in KNOWN:
        crop = case.meta["settings"]["DATA"].get("CROP_SIZE", case.meta["settings"]["DATA"]["TRAIN_CROP_SIZE"])
        window = None if case.converted.net.regions != "none" else crop // 32
        assert case.converted.net == replace(VARIANTS[KNOWN[case.name]], window=window)
    video = case.converted.video
    assert (video["frames"], video["step"]) == (
        case.meta["settings"]["DATA"]["NUM_FRAMES"],
        8 if "slow_8" in case.name else 2,
    )
    assert case.converted.sigmoid == ("ava" in case.name.split("_") or "charades" in case.name)


def test_logits_and_probabilities(case):
    logits, _ = case.results
    for kind in ("logits", "logits_fp64"):
        want = case.outputs[f"{kind}/head.projection"]  # (N, 1, H', W', classes), or (boxes, classes)
        assert_close(logits, want.reshape(logits.shape))
    probabilities = logits.sigmoid() if case.converted.sigmoid else logits.softmax(-1)
    probabilities = probabilities.mean(1) if probabilities.ndim == 3 else probabilities
    for kind in ("output", "output_fp64"):
        assert np.abs(probabilities.numpy() - case.outputs[f"{kind}/class"]).max() <= 1e-5


def test_intermediates(case):
    _, maps = case.results
    with torch.inference_mode():
        got = {key: value.numpy() for key, value in stages_of(case, maps).items() if key in case.meta["stages"]}
    assert set(got) == set(case.meta["stages"])
    for key, value in got.items():
        stats = case.meta["stages"][key]
        assert value.size == np.prod(stats["shape"])
        assert value.mean() == pytest.approx(stats["mean"], abs=1e-4 * stats["std"]), key
        assert value.std() == pytest.approx(stats["std"], rel=1e-4), key
        for kind, picked in (("first64", value.reshape(-1)[:64]), ("spread64", golden.spread64(value))):
            assert np.abs(picked - case.outputs[f"stage/{key}/{kind}"]).max() <= 1e-4 * stats["std"], key


def stages_of(case, maps):
    """Rename our intermediates to PySlowFast's modules."""
    net, got = case.converted.net, {}
    for number, path in enumerate(net.pathways):
        for at, stage in enumerate(STAGES, 1):
            got[f"s{at}.pathway{number}"] = maps[f"{path}_{stage}"]
            if number:  # fusion leaves the source unchanged
                got[f"s{at}_fuse.pathway{number}"] = maps[f"{path}_{stage}"]
        last = maps[f"{path}_res5"]
        got[f"head.pathway{number}_avgpool"] = pool(last, net.window).transpose(1, 2)
        if case.boxes is not None:
            bins = roi_align(last.mean(2), case.boxes, scale=1 / 16, size=7, aligned=net.regions == "aligned")
            got[f"head.s{number}_tpool"], got[f"head.s{number}_roi"] = last.mean(2), bins
            got[f"head.s{number}_spool"] = bins.flatten(2).amax(2)
    for name, value in maps.items():
        if match := re.fullmatch(r"slow_(res\d)\.attend(\d+)", name):
            got[f"s{STAGES.index(match[1]) + 1}.pathway0_nonlocal{match[2]}"] = value
    return got | fused_maps(net, maps)


def fused_maps(net, maps):
    """Return the Slow pathway after each stage's laterals, and the audio that is added."""
    got = {}
    for key, lateral in net.laterals.items():
        for at, stage in enumerate(STAGES, 1):
            if (output := maps.get(f"{key}_{stage}")) is None:
                continue
            is_fused = stage in lateral.after or lateral.join == "concat"  # tapped audio is compared only
            into = maps[f"{key}_{stage}_into"]
            got[f"s{at}_fuse.pathway0"] = fuse(into, output, lateral.join) if is_fused else into
            if key == "a2s":
                got[f"s{at}_fuse.audio_after_convs"] = output
    return got


@dataclass
class Step:
    """A training step, and the reference's results."""

    model: Recognizer
    losses: dict[str, torch.Tensor]
    ungated: dict[str, torch.Tensor]
    logits: np.ndarray
    truth: dict
    stored: dict[str, np.ndarray]
    suffix: str


def step(case, tag, dtype):
    """Run a step with audio kept (``keep``), dropped at laterals (``drop``) or at the head too (``drop_head``)."""
    net = case.converted.net
    if tag == "drop":
        net = replace(net, pathways={**net.pathways, "audio": replace(net.pathways["audio"], absent="laterals")})
    with torch.device("meta"):
        model = Recognizer(net, case.converted.heads, sync=COMPARED).to(dtype).train()
    load_matching(model.to_empty(device="cpu"), case.converted.state)
    frames, audio, labels = golden.training_batch(case.meta)
    logmel = torch.cat([audio[:, :1], audio[:, 1:]])
    truth = case.meta["train_mode"][tag]
    assert distinct(logmel).tolist() == truth["audio_mask"]
    has_audio = torch.full((len(frames),), float(tag == "keep"), dtype=dtype)
    signals = {"frames": frames.to(dtype), "logmel": logmel.to(dtype), "has_audio": has_audio}
    batch = Batch(inputs=Inputs(**signals), targets={"label": labels}, ids=tuple("abcd"))
    outputs = {}
    model.register_forward_hook(lambda _, __, y: outputs.update(y))
    compare = Sync(stages=COMPARED)
    losses = Task((Classify(labels=("label",)), compare)).loss(model, batch)
    valid = {name: torch.ones_like(value) for name, value in outputs.items() if name.startswith("valid_")}
    return Step(
        model=model,
        losses=losses,
        ungated=compare.losses({**outputs, **valid}, batch),
        logits=outputs["label"].detach().numpy(),
        truth=truth,
        stored={
            name.removeprefix(f"train_mode/{tag}/"): value
            for name, value in case.outputs.items()
            if name.startswith(f"train_mode/{tag}/")
        },
        suffix="_fp64" if dtype == torch.float64 else "",
    )


def check_losses(step):
    """Check the cross-entropy, the AV-sync losses with and without gating, and the total."""
    truth, loss = step.truth, {name: value.item() for name, value in step.losses.items()}
    assert_close(step.logits, step.stored[f"logits{step.suffix}"], relative=1e-6 if step.suffix else 1e-4)
    assert loss["label"] == pytest.approx(truth["cross_entropy"], abs=2e-5)
    for stage in COMPARED:
        name, theirs = f"sync_{stage}", f"s{STAGES.index(stage) + 1}"
        assert loss[name] == pytest.approx(truth[f"avs{step.suffix}"][theirs], abs=2e-5)
        assert step.ungated[name].item() == pytest.approx(truth[f"avs_before_gate{step.suffix}"][theirs], abs=2e-5)
    assert sum(loss.values()) == pytest.approx(truth[f"total{step.suffix}"], abs=2e-5)


def check_norms(step):
    """Check the running statistics after the step."""
    state, paths = step.model.state_dict(), list(step.model.trunk.net.pathways)
    after = {name: value for name, value in step.stored.items() if name.startswith("after/")}
    assert len(after) >= 18
    for name, value in after.items():
        got = state[own_name(name.removeprefix("after/"), paths)].numpy()
        np.testing.assert_allclose(got, value, rtol=1e-4, atol=1e-5)


def check_gradients(step):
    """Check the gradients' norms and sixteen values of each."""
    sum(step.losses.values()).backward()
    paths, parameters = list(step.model.trunk.net.pathways), dict(step.model.named_parameters())
    assert len(step.truth["grad_norm_fp64"]) >= 14
    for name, norm in step.truth["grad_norm_fp64"].items():
        gradient = parameters[own_name(name, paths)].grad.numpy()
        assert np.sqrt(np.square(gradient).sum()) == pytest.approx(norm, rel=1e-6, abs=1e-12)
        want = step.stored[f"grad16_fp64/{name}"]
        # AV-sync runs in float32 whatever the network's precision, which shows in single values.
        assert np.abs(gradient.reshape(-1)[:16] - want).max() <= 2e-6 * max(np.abs(want).max(), 1e-12), name


@pytest.fixture(scope="module")
def audiovisual():
    return build("avslowfast_4x16_r50")


@pytest.mark.thorough
@pytest.mark.parametrize("tag", ["drop", "drop_head"])
def test_a_training_step_without_audio(audiovisual, tag):
    result = step(audiovisual, tag, torch.float32)
    check_losses(result)
    check_norms(result)


@pytest.mark.thorough
def test_a_training_step_and_its_gradients(audiovisual):
    result = step(audiovisual, "keep", torch.float64)
    check_losses(result)
    check_norms(result)
    check_gradients(result)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in golden.VIDEO if name.startswith("avslowfast")])
def test_every_training_step_and_its_gradients(name):
    case = build(name)
    for tag in ("keep", "drop", "drop_head"):
        result = step(case, tag, torch.float64)
        check_losses(result)
        check_norms(result)
        check_gradients(result)
