"""Video and audiovisual networks: gradients, missing audio, AV-sync, boxes, sliding windows."""

from dataclasses import replace

import pytest
import torch

from slowfast_cli.models.architecture import from_dict
from slowfast_cli.models.heads import pool
from slowfast_cli.models.recognizer import Recognizer
from slowfast_cli.models.spec import Lateral, Net, Pathway, keep_taps, with_width
from slowfast_cli.models.zoo import VARIANTS
from slowfast_cli.nn.nonlocal_block import NonLocal
from slowfast_cli.nn.roi_align import roi_align

VIDEO = [name for name, net in VARIANTS.items() if "frames" in net.signals]
AUDIOVISUAL = [name for name in VIDEO if "logmel" in VARIANTS[name].signals]


def signals(net, clips=2, *, frames=32, side=64, paired=False):
    tensors = {"frames": torch.randn(clips, 3, frames, side, side)}
    if "logmel" in net.signals:
        tensors["logmel"] = torch.randn(clips * (2 if paired else 1), 1, frames * 4, 40)
        tensors["has_audio"] = torch.ones(clips)
    return tensors


def with_active_branches(model):
    """Set the norms that are initialized to zero to one, so that their branches contribute."""
    for module in model.modules():
        for name in ("c_norm", "norm"):
            if isinstance(norm := getattr(module, name, None), torch.nn.Module) and hasattr(norm, "weight"):
                torch.nn.init.ones_(norm.weight)
    return model


def test_variants_are_found():
    assert len(VIDEO) > 40
    assert len(AUDIOVISUAL) > 20


@pytest.mark.parametrize("variant", VIDEO)
def test_every_parameter_gets_a_gradient(variant):
    """With audio dropped too: a parameter without a gradient would make DDP wait."""
    torch.manual_seed(0)
    net = with_width(VARIANTS[variant], 16)  # 2 Fast channels: a single one may be negative everywhere
    net = replace(net, pathways={name: replace(path, depth=_shallow(path)) for name, path in net.pathways.items()})
    stages = tuple(net.sync_laterals())
    model = with_active_branches(Recognizer(net, {"label": 5}, sync=stages)).train()
    boxes = torch.tensor([[0.0, 4, 4, 40, 50], [1.0, 0, 8, 60, 60]]) if net.regions != "none" else None
    frames = 16 if "16x4" in variant else 32
    inputs = signals(net, frames=frames, side=32, paired=bool(stages))
    outputs = model(inputs, boxes)
    assert outputs["label"].shape == (2, 5)
    assert set(outputs) == {
        "label",
        *(f"{kind}_{stage}" for stage in stages for kind in ("video", "audio", "valid")),
    }
    torch.stack([(value * torch.randn_like(value)).sum() for value in outputs.values()]).sum().backward()
    without_gradient = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum()]
    assert not without_gradient
    if "has_audio" in inputs:
        model.zero_grad(set_to_none=True)
        sum(value.sum() for value in model({**inputs, "has_audio": torch.zeros(2)}, boxes).values()).backward()
        assert all(parameter.grad is not None for parameter in model.parameters())


def _shallow(path):
    """Limit the depth to 2 bottlenecks per stage, or up to the last non-local block."""
    return tuple(
        min(depth, max([2, *(block + 1 for block in blocks)]))
        for depth, blocks in zip(path.depth, path.attend, strict=True)
    )


@pytest.mark.parametrize("variant", ["avslowfast-4x16-r50", "avslowfast-4x16-r50-a-f-s", "avslowfast-4x16-r50-pool5"])
def test_video_features_without_audio_equal_a_video_network(variant):
    """DropPathway: without audio, video features equal those of the same weights without an audio pathway."""
    torch.manual_seed(0)
    net = keep_taps(with_width(VARIANTS[variant], 8), ())
    model = with_active_branches(Recognizer(net, {"label": 5})).eval()
    video_net = replace(
        net,
        pathways={name: path for name, path in net.pathways.items() if name != "audio"},
        laterals={key: lateral for key, lateral in net.laterals.items() if lateral.src != "audio"},
    )
    video_model = Recognizer(video_net, {"label": 5}).eval()
    state = model.state_dict()
    video_model.load_state_dict(
        {name: state[name] for name in video_model.state_dict() if not name.startswith("heads.")}, strict=False
    )
    inputs = signals(net)
    with torch.inference_mode():
        with_audio, without_audio = model.trunk(inputs), model.trunk({**inputs, "has_audio": torch.zeros(2)})
        want = video_model.trunk({"frames": inputs["frames"]})
    assert not without_audio["audio"].any()
    for name, value in want.items():
        assert torch.equal(without_audio[name], value)
    if net.laterals and any(lateral.src == "audio" for lateral in net.laterals.values()):
        assert not torch.allclose(with_audio["slow"], want["slow"])
    assert with_audio["audio"].any()


def test_a_clip_without_audio_does_not_change_the_others():
    net = keep_taps(with_width(VARIANTS["avslowfast-4x16-r50"], 8), ())
    model = with_active_branches(Recognizer(net, {"label": 5})).eval()
    inputs = signals(net, 3)
    with torch.inference_mode():
        whole = model(inputs)["label"]
        mixed = model({**inputs, "has_audio": torch.tensor([1.0, 0.0, 1.0])})["label"]
        none = model({**inputs, "has_audio": torch.zeros(3)})["label"]
    torch.testing.assert_close(mixed[[0, 2]], whole[[0, 2]])
    torch.testing.assert_close(mixed[1], none[1])
    assert not torch.allclose(mixed[1], whole[1])


def test_audio_can_be_dropped_at_the_laterals_only():
    net = keep_taps(with_width(VARIANTS["avslowfast-4x16-r50"], 8), ())
    kept = replace(net, pathways={**net.pathways, "audio": replace(net.pathways["audio"], absent="laterals")})
    model = with_active_branches(Recognizer(kept, {"label": 5})).eval()
    with torch.inference_mode():
        features = model.trunk({**signals(net), "has_audio": torch.zeros(2)})
    assert features["audio"].any()


def test_sync_negatives_do_not_change_the_logits():
    torch.manual_seed(0)
    net = with_width(VARIANTS["avslowfast-4x16-r50"], 8)
    model = with_active_branches(Recognizer(net, {"label": 5}, sync=("res3", "res5"))).eval()
    inputs = signals(net, paired=True)
    with torch.inference_mode():
        paired = model(inputs)
        single = model({**inputs, "logmel": inputs["logmel"][:2]})
    torch.testing.assert_close(paired["label"], single["label"])
    assert set(single) == {"label"}
    assert paired["video_res3"].shape == (2, 64)
    assert paired["audio_res5"].shape == (4, 64)
    torch.testing.assert_close(paired["audio_res5"].norm(dim=1), torch.full((4,), 0.5))


def test_comparisons_are_invalid_after_audio_fusion():
    net = with_width(VARIANTS["avslowfast-4x16-r50-res234"], 8)
    model = Recognizer(net, {"label": 5}, sync=("res2", "res3", "res5")).eval()
    has_audio = torch.tensor([1.0, 0.0])
    outputs = model({**signals(net, paired=True), "has_audio": has_audio})
    assert outputs["valid_res2"].tolist() == [1, 1]
    assert outputs["valid_res3"].tolist() == outputs["valid_res5"].tolist() == [0, 1]
    late = with_width(VARIANTS["avslowfast-4x16-r50-sync"], 8)
    outputs = Recognizer(late, {}, sync=("res3", "res5"))({**signals(late, paired=True), "has_audio": has_audio})
    assert outputs["valid_res5"].tolist() == [1, 1]


def test_sync_at_a_stage_without_a_lateral_is_refused():
    with pytest.raises(ValueError, match="no audio-to-video lateral after res2; this network has one after res3"):
        Recognizer(with_width(VARIANTS["avslowfast-4x16-r50"], 8), {"label": 2}, sync=("res2",))


def test_a_new_non_local_block_is_the_identity():
    torch.manual_seed(0)
    with_nl, without = (with_width(VARIANTS[name], 8) for name in ("slowfast-8x8-r50-nl", "slowfast-8x8-r50"))
    without = replace(without, laterals=with_nl.laterals)
    plain = Recognizer(without, {"label": 5}).eval()
    extended = Recognizer(with_nl, {"label": 5}).eval()
    extended.load_state_dict(plain.state_dict(), strict=False)
    inputs = signals(with_nl, 1)
    with torch.inference_mode():
        torch.testing.assert_close(extended(inputs)["label"], plain(inputs)["label"])


def test_non_local_block_equals_its_definition():
    torch.manual_seed(0)
    block = NonLocal(4, (1, 1, 1)).eval()
    torch.nn.init.ones_(block.norm.weight)
    x = torch.randn(1, 4, 2, 3, 3)
    with torch.inference_mode():
        got = block(x)
        theta, phi, g = (conv(x).flatten(2)[0] for conv in (block.theta, block.phi, block.g))
        attended = torch.stack([(theta[:, i] @ phi / phi.shape[1]) @ g.T for i in range(18)], 1).reshape(1, 2, 2, 3, 3)
        torch.testing.assert_close(got, x + block.norm(block.out(attended)))


def test_larger_frames_are_classified_at_several_positions():
    net = replace(with_width(VARIANTS["slowfast-4x16-r50"], 8), window=2)
    model = Recognizer(net, {"label": 5}).eval()
    with torch.inference_mode():
        assert model(signals(net, side=64))["label"].shape == (2, 5)
        wide = model({"frames": torch.randn(2, 3, 32, 96, 128)})["label"]
    assert wide.shape == (2, 2 * 3, 5)
    x = torch.randn(2, 3, 4, 3, 4)
    got = pool(x, 2)
    torch.testing.assert_close(got[:, 1], x[..., 0:2, 1:3].mean((2, 3, 4)))
    assert pool(x, 7).shape == (2, 1, 3)


def test_detectors_require_boxes():
    detector = Recognizer(with_width(VARIANTS["slowfast-4x16-r50-ava"], 8), {"label": 5}).eval()
    inputs = signals(detector.trunk.net)
    with pytest.raises(ValueError, match="boxes: missing"):
        detector(inputs)
    with pytest.raises(ValueError, match="boxes: given"):
        Recognizer(with_width(VARIANTS["slowfast-4x16-r50"], 8), {"label": 5})(inputs, torch.zeros(1, 5))
    with torch.inference_mode():
        logits = detector(inputs, torch.tensor([[1.0, 0, 0, 63, 63], [0.0, 5, 5, 20, 30], [1.0, 0, 0, 63, 63]]))[
            "label"
        ]
        none = detector(inputs, torch.zeros(0, 5))["label"]
    assert none.shape == (0, 5)
    torch.testing.assert_close(logits[0], logits[2])
    assert not torch.allclose(logits[0], logits[1])


def slow_roi_align(feature, box, scale, size, aligned):
    """RoIAlign of one box, sample by sample, as He et al. define it."""
    x1, y1, x2, y2 = (float(v) * scale - (0.5 if aligned else 0) for v in box)
    width, height = (x2 - x1, y2 - y1) if aligned else (max(x2 - x1, 1.0), max(y2 - y1, 1.0))
    C, H, W = feature.shape
    out = torch.zeros(C, size, size)
    ny, nx = -int(-height / size // 1), -int(-width / size // 1)
    for i in range(size):
        for j in range(size):
            for a in range(ny):
                for b in range(nx):
                    y = y1 + (i + (a + 0.5) / ny) * height / size
                    x = x1 + (j + (b + 0.5) / nx) * width / size
                    if y < -1 or y > H or x < -1 or x > W:
                        continue
                    y, x = min(max(y, 0), H - 1), min(max(x, 0), W - 1)
                    y0, x0 = int(y), int(x)
                    y1_, x1_ = min(y0 + 1, H - 1), min(x0 + 1, W - 1)
                    dy, dx = y - y0, x - x0
                    out[:, i, j] += (
                        feature[:, y0, x0] * (1 - dy) * (1 - dx) + feature[:, y0, x1_] * (1 - dy) * dx
                        + feature[:, y1_, x0] * dy * (1 - dx) + feature[:, y1_, x1_] * dy * dx
                    ) / (ny * nx)  # fmt: skip
    return out


@pytest.mark.parametrize("aligned", [True, False])
def test_roi_align_equals_its_definition(aligned):
    torch.manual_seed(0)
    feature = torch.randn(2, 3, 9, 12)
    boxes = torch.tensor([
        [0, 3.0, 5, 100, 90], [1, -30, -10, 60, 40], [0, 150, 100, 230, 160], [1, 20, 20, 20, 20], [0, 0, 0, 192, 144],
        [1, 33, 17, 35, 18],
    ])  # fmt: skip
    got = roi_align(feature, boxes, scale=1 / 16, size=7, aligned=aligned)
    for row, box in zip(got, boxes, strict=True):
        want = slow_roi_align(feature[int(box[0])], box[1:], 1 / 16, 7, aligned)
        torch.testing.assert_close(row, want, atol=1e-5, rtol=1e-5)
    assert got[3].any() == (not aligned)
    double, some = feature.double().requires_grad_(), boxes[:2].double()
    assert torch.autograd.gradcheck(lambda x: roi_align(x, some, scale=1 / 16, size=3, aligned=aligned), double)


def test_a_net_survives_json():
    import json
    from dataclasses import asdict

    for net in VARIANTS.values():
        assert from_dict(json.loads(json.dumps(asdict(net)))) == net


def test_inconsistent_networks_are_refused():
    slow, fast = Pathway(reads="frames", stem="space", stride=8), Pathway(reads="frames", stem="space", width=8)
    with pytest.raises(ValueError, match="cannot add 256 channels to the 64 of slow"):
        Net(
            pathways={"slow": slow, "fast": replace(fast, width=32)},
            laterals={"f2s": Lateral(src="fast", dst="slow", after=("stem",), kind="time-to-channel", join="sum")},
        )
    with pytest.raises(ValueError, match=r"time stride of slow \(8\) is no multiple of that of fast \(3\)"):
        Net(pathways={"slow": slow, "fast": replace(fast, stride=3)}, laterals={"f2s": Lateral(src="fast", dst="slow")})


def test_time_to_channel_packs_consecutive_frames():
    from slowfast_cli.models.fusion import TimeSample, TimeToChannel

    x = torch.arange(8.0).reshape(1, 1, 8, 1, 1)
    slow = torch.zeros(1, 1, 2, 1, 1)
    assert TimeToChannel(4)(x, slow).squeeze().tolist() == [[0, 4], [1, 5], [2, 6], [3, 7]]
    assert TimeSample(4)(x, slow).squeeze().tolist() == [0, 4]


@pytest.mark.parametrize("variant", ["slowfast-small", "avslowfast-small"])
def test_the_small_networks_have_two_million_parameters_and_one_position(variant):
    """Counted with 400 classes; a training crop of 112 pixels is one window of the last map."""
    net = replace(VARIANTS[variant], window=4)
    model = Recognizer(net, {"label": 400}, sync=tuple(net.sync_laterals())).eval()
    assert sum(parameter.numel() for parameter in model.parameters()) < 2e6
    inputs = {"frames": torch.randn(1, 3, 16, 112, 112), "logmel": torch.randn(1, 1, 128, 80)}
    with torch.inference_mode():
        last, _ = model.trunk.run({name: inputs[name] for name in net.signals})
    assert last["slow"].shape[2:] == (4, 4, 4)
    assert last["fast"].shape[2:] == (16, 4, 4)
