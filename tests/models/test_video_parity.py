"""Video and audiovisual networks: logits, probabilities, intermediates and one training step of the references."""

import re
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import golden
import numpy as np
import pytest
import torch
import yaml

from slowfast_cli.models.fusion import join
from slowfast_cli.models.heads import pooled
from slowfast_cli.models.recognizer import Recognizer
from slowfast_cli.models.spec import STAGES
from slowfast_cli.models.zoo import VARIANTS
from slowfast_cli.nn.roi_align import roi_align
from slowfast_cli.tasks.avsync import Sync, distinct
from slowfast_cli.tasks.classify import Classify
from slowfast_cli.tasks.task import Task
from slowfast_cli.types import Batch
from slowfast_cli.weights.file import put
from slowfast_cli.weights.foreign import pyslowfast
from slowfast_cli.weights.foreign.pyslowfast_names import ours

COMPARED = ("res3", "res4", "res5")
KNOWN = {  # which network of the zoo each is, but for the size it was cropped to
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
    """One reference model, converted, and what it said."""

    name: str
    told: dict
    found: pyslowfast.Converted
    model: Recognizer
    frames: torch.Tensor
    outputs: dict[str, np.ndarray]

    @property
    def signals(self):
        heard = {"logmel": golden.sounds(self.told)[:, :1]} if "audio" in self.told["input"] else {}
        return {"frames": self.frames, **heard}

    @property
    def boxes(self):
        return torch.from_numpy(self.outputs["input/boxes"]) if "input/boxes" in self.outputs else None

    @cached_property
    def answer(self):
        """Logits, and every intermediate by our name for it: those of Non-Local blocks as ``slow_res3.attend1``."""
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
    told, state, frames, outputs = golden.model(name)
    found = pyslowfast.convert(state, yaml.safe_dump(told["settings"]))
    with torch.device("meta"):  # nothing need be drawn that is replaced
        model = Recognizer(found.net, found.heads, sync=COMPARED if name.startswith("avslowfast") else ()).eval()
    came = put(model.to_empty(device="cpu"), found.state)
    assert not came.fresh
    assert not came.unused
    assert not found.unexpected
    assert len(came.loaded) == sum(not key.endswith("num_batches_tracked") for key in state)
    return Case(name=name, told=told, found=found, model=model, frames=frames, outputs=outputs)


@pytest.fixture(scope="module", params=golden.VIDEO)
def case(request):
    return build(request.param)


def close(ours, theirs, *, relative=1e-5):
    """Whether the largest difference is so small beside the largest value."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= relative * np.abs(theirs).max()


def test_there_are_thirteen_golden_models():
    assert len(golden.VIDEO) == 13


def test_parameters_and_settings(case):
    assert sum(parameter.numel() for parameter in case.model.parameters()) == case.told["param_count"]
    assert not case.found.notes  # nothing had to be taken for granted
    if case.name in KNOWN:
        crop = case.told["settings"]["DATA"].get("CROP_SIZE", case.told["settings"]["DATA"]["TRAIN_CROP_SIZE"])
        window = None if case.found.net.regions != "none" else crop // 32
        assert case.found.net == replace(VARIANTS[KNOWN[case.name]], window=window)
    video = case.found.video
    assert (video["frames"], video["step"]) == (
        case.told["settings"]["DATA"]["NUM_FRAMES"],
        8 if "slow_8" in case.name else 2,
    )
    assert case.found.sigmoid == ("ava" in case.name.split("_") or "charades" in case.name)


def test_logits_and_probabilities(case):
    logits, _ = case.answer
    for kind in ("logits", "logits_fp64"):
        want = case.outputs[f"{kind}/head.projection"]  # (N, 1, H', W', classes), or (boxes, classes)
        close(logits, want.reshape(logits.shape))
    chances = logits.sigmoid() if case.found.sigmoid else logits.softmax(-1)
    chances = chances.mean(1) if chances.ndim == 3 else chances
    for kind in ("output", "output_fp64"):
        assert np.abs(chances.numpy() - case.outputs[f"{kind}/class"]).max() <= 1e-5


def test_intermediates(case):
    _, maps = case.answer
    with torch.inference_mode():
        got = {key: value.numpy() for key, value in stages_of(case, maps).items() if key in case.told["stages"]}
    assert set(got) == set(case.told["stages"])
    for key, value in got.items():
        told = case.told["stages"][key]
        assert value.size == np.prod(told["shape"])
        assert value.mean() == pytest.approx(told["mean"], abs=1e-4 * told["std"]), key
        assert value.std() == pytest.approx(told["std"], rel=1e-4), key
        for kind, picked in (("first64", value.reshape(-1)[:64]), ("spread64", golden.spread64(value))):
            assert np.abs(picked - case.outputs[f"stage/{key}/{kind}"]).max() <= 1e-4 * told["std"], key


def stages_of(case, maps):
    """Our intermediates by the names of PySlowFast's modules."""
    net, got = case.found.net, {}
    for number, path in enumerate(net.pathways):
        for at, stage in enumerate(STAGES, 1):
            got[f"s{at}.pathway{number}"] = maps[f"{path}_{stage}"]
            if number:  # what gives goes on unchanged
                got[f"s{at}_fuse.pathway{number}"] = maps[f"{path}_{stage}"]
        last = maps[f"{path}_res5"]
        got[f"head.pathway{number}_avgpool"] = pooled(last, net.window).transpose(1, 2)
        if case.boxes is not None:
            bins = roi_align(last.mean(2), case.boxes, scale=1 / 16, size=7, aligned=net.regions == "aligned")
            got[f"head.s{number}_tpool"], got[f"head.s{number}_roi"] = last.mean(2), bins
            got[f"head.s{number}_spool"] = bins.flatten(2).amax(2)
    for name, value in maps.items():
        if found := re.fullmatch(r"slow_(res\d)\.attend(\d+)", name):
            got[f"s{STAGES.index(found[1]) + 1}.pathway0_nonlocal{found[2]}"] = value
    return got | joined(net, maps)


def joined(net, maps):
    """What the slow pathway is after each stage's laterals, and the sound that is added."""
    got = {}
    for key, lateral in net.laterals.items():
        for at, stage in enumerate(STAGES, 1):
            if (brought := maps.get(f"{key}_{stage}")) is None:
                continue
            joins = stage in lateral.after or lateral.join == "concat"  # sound is only compared where it is tapped
            into = maps[f"{key}_{stage}_into"]
            got[f"s{at}_fuse.pathway0"] = join(into, brought, lateral.join) if joins else into
            if key == "a2s":
                got[f"s{at}_fuse.audio_after_convs"] = brought
    return got


@dataclass
class Step:
    """One training step, and what the reference found."""

    model: Recognizer
    losses: dict[str, torch.Tensor]
    ungated: dict[str, torch.Tensor]
    logits: np.ndarray
    truth: dict
    stored: dict[str, np.ndarray]
    suffix: str


def step(case, tag, dtype):
    """Forward, sound kept, dropped as the reference does it, or dropped at the head too."""
    net = case.found.net
    if tag == "drop":
        net = replace(net, pathways={**net.pathways, "audio": replace(net.pathways["audio"], absent="laterals")})
    with torch.device("meta"):
        model = Recognizer(net, case.found.heads, sync=COMPARED).to(dtype).train()
    put(model.to_empty(device="cpu"), case.found.state)
    frames, audio, labels = golden.training_batch(case.told)
    logmel = torch.cat([audio[:, :1], audio[:, 1:]])
    truth = case.told["train_mode"][tag]
    assert distinct(logmel).tolist() == truth["audio_mask"]
    heard = torch.full((len(frames),), float(tag == "keep"), dtype=dtype)
    signals = {"frames": frames.to(dtype), "logmel": logmel.to(dtype), "has_audio": heard}
    batch = Batch(signals=signals, targets={"label": labels}, ids=tuple("abcd"))
    outputs = {}
    model.register_forward_hook(lambda _, __, y: outputs.update(y))
    compare = Sync(stages=COMPARED)
    losses = Task((Classify(labels=("label",)), compare)).loss(model, batch)
    counted = {name: torch.ones_like(value) for name, value in outputs.items() if name.startswith("counts_")}
    return Step(
        model=model,
        losses=losses,
        ungated=compare.losses({**outputs, **counted}, batch),
        logits=outputs["label"].detach().numpy(),
        truth=truth,
        stored={
            name.removeprefix(f"train_mode/{tag}/"): value
            for name, value in case.outputs.items()
            if name.startswith(f"train_mode/{tag}/")
        },
        suffix="_fp64" if dtype == torch.float64 else "",
    )


def require_losses(step):
    """Cross-entropy, the comparisons as they are gated and as they would be, and the sum."""
    truth, loss = step.truth, {name: value.item() for name, value in step.losses.items()}
    close(step.logits, step.stored[f"logits{step.suffix}"], relative=1e-6 if step.suffix else 1e-4)
    assert loss["label"] == pytest.approx(truth["cross_entropy"], abs=2e-5)
    for stage in COMPARED:
        name, theirs = f"sync_{stage}", f"s{STAGES.index(stage) + 1}"
        assert loss[name] == pytest.approx(truth[f"avs{step.suffix}"][theirs], abs=2e-5)
        assert step.ungated[name].item() == pytest.approx(truth[f"avs_before_gate{step.suffix}"][theirs], abs=2e-5)
    assert sum(loss.values()) == pytest.approx(truth[f"total{step.suffix}"], abs=2e-5)


def require_norms(step):
    """Running statistics after the one step."""
    state, paths = step.model.state_dict(), list(step.model.trunk.net.pathways)
    after = {name: value for name, value in step.stored.items() if name.startswith("after/")}
    assert len(after) >= 18
    for name, value in after.items():
        got = state[ours(name.removeprefix("after/"), paths)].numpy()
        np.testing.assert_allclose(got, value, rtol=1e-4, atol=1e-5)


def require_gradients(step):
    """Their norms, and sixteen values of each."""
    sum(step.losses.values()).backward()
    paths, parameters = list(step.model.trunk.net.pathways), dict(step.model.named_parameters())
    assert len(step.truth["grad_norm_fp64"]) >= 14
    for name, norm in step.truth["grad_norm_fp64"].items():
        gradient = parameters[ours(name, paths)].grad.numpy()
        assert np.sqrt(np.square(gradient).sum()) == pytest.approx(norm, rel=1e-6, abs=1e-12)
        want = step.stored[f"grad16_fp64/{name}"]
        # The comparison of sound and pictures is in float32 whatever the network is in: single values feel it.
        assert np.abs(gradient.reshape(-1)[:16] - want).max() <= 2e-6 * max(np.abs(want).max(), 1e-12), name


@pytest.fixture(scope="module")
def audiovisual():
    return build("avslowfast_4x16_r50")


@pytest.mark.parametrize("tag", ["drop", "drop_head"])
def test_a_training_step_without_sound(audiovisual, tag):
    found = step(audiovisual, tag, torch.float32)
    require_losses(found)
    require_norms(found)


def test_a_training_step_and_its_gradients(audiovisual):
    found = step(audiovisual, "keep", torch.float64)
    require_losses(found)
    require_norms(found)
    require_gradients(found)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in golden.VIDEO if name.startswith("avslowfast")])
def test_every_training_step_and_its_gradients(name):
    case = build(name)
    for tag in ("keep", "drop", "drop_head"):
        found = step(case, tag, torch.float64)
        require_losses(found)
        require_norms(found)
        require_gradients(found)
