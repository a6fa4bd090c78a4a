"""Networks that see, and that see and hear: gradients everywhere, sound left out, sound compared, boxes, positions."""

from dataclasses import replace

import pytest
import torch

from slowfast_cli.models.architecture import from_plain
from slowfast_cli.models.heads import pooled
from slowfast_cli.models.recognizer import Recognizer
from slowfast_cli.models.spec import Lateral, Net, Pathway, compared_at, narrowed
from slowfast_cli.models.zoo import VARIANTS
from slowfast_cli.nn.nonlocal_block import NonLocal
from slowfast_cli.nn.roi_align import roi_align

SEEING = [name for name, net in VARIANTS.items() if "frames" in net.signals]
HEARING = [name for name in SEEING if "logmel" in VARIANTS[name].signals]


def signals(net, clips=2, *, frames=32, side=64, paired=False):
    found = {"frames": torch.randn(clips, 3, frames, side, side)}
    if "logmel" in net.signals:
        found["logmel"] = torch.randn(clips * (2 if paired else 1), 1, frames * 4, 40)
        found["has_audio"] = torch.ones(clips)
    return found


def awake(model):
    """Norms that are zero by design at the start would hide their branches."""
    for module in model.modules():
        for name in ("c_norm", "norm"):
            if isinstance(norm := getattr(module, name, None), torch.nn.Module) and hasattr(norm, "weight"):
                torch.nn.init.ones_(norm.weight)
    return model


def test_there_are_some():
    assert len(SEEING) > 40
    assert len(HEARING) > 20


@pytest.mark.parametrize("variant", SEEING)
def test_every_parameter_gets_a_gradient(variant):
    """With the sound dropped as well: what is left out must not leave a process waiting for its gradient."""
    torch.manual_seed(0)
    net = narrowed(VARIANTS[variant], 16)  # 2 channels of the Fast stream: one alone may be negative throughout
    net = replace(net, pathways={name: replace(path, depth=_shallow(path)) for name, path in net.pathways.items()})
    stages = tuple(net.sync())
    model = awake(Recognizer(net, {"label": 5}, sync=stages)).train()
    boxes = torch.tensor([[0.0, 4, 4, 40, 50], [1.0, 0, 8, 60, 60]]) if net.regions != "none" else None
    frames = 16 if "16x4" in variant else 32
    given = signals(net, frames=frames, side=32, paired=bool(stages))
    outputs = model(given, boxes)
    assert outputs["label"].shape == (2, 5)
    assert set(outputs) == {
        "label",
        *(f"{word}_{stage}" for stage in stages for word in ("seen", "heard", "counts")),
    }
    torch.stack([(value * torch.randn_like(value)).sum() for value in outputs.values()]).sum().backward()
    silent = [name for name, each in model.named_parameters() if each.grad is None or not each.grad.abs().sum()]
    assert not silent
    if "has_audio" in given:
        model.zero_grad(set_to_none=True)
        sum(value.sum() for value in model({**given, "has_audio": torch.zeros(2)}, boxes).values()).backward()
        assert all(each.grad is not None for each in model.parameters())


def _shallow(path):
    """At most 2 bottlenecks a stage, or as many as Non-Local blocks stand among."""
    return tuple(
        min(depth, max([2, *(at + 1 for at in where)])) for depth, where in zip(path.depth, path.attend, strict=True)
    )


@pytest.mark.parametrize("variant", ["avslowfast-4x16-r50", "avslowfast-4x16-r50-a-f-s", "avslowfast-4x16-r50-pool5"])
def test_without_sound_the_pictures_are_as_if_there_were_none(variant):
    """DropPathway: what the visual pathways give is exactly what the same weights give without an audio pathway."""
    torch.manual_seed(0)
    net = compared_at(narrowed(VARIANTS[variant], 8), ())
    model = awake(Recognizer(net, {"label": 5})).eval()
    alone = replace(
        net,
        pathways={name: path for name, path in net.pathways.items() if name != "audio"},
        laterals={key: each for key, each in net.laterals.items() if each.src != "audio"},
    )
    twin = Recognizer(alone, {"label": 5}).eval()
    known = model.state_dict()
    twin.load_state_dict(
        {name: known[name] for name in twin.state_dict() if not name.startswith("heads.")}, strict=False
    )
    given = signals(net)
    with torch.inference_mode():
        loud, silent = model.trunk(given), model.trunk({**given, "has_audio": torch.zeros(2)})
        want = twin.trunk({"frames": given["frames"]})
    assert not silent["audio"].any()
    for name, value in want.items():
        assert torch.equal(silent[name], value)
    if net.laterals and any(each.src == "audio" for each in net.laterals.values()):
        assert not torch.allclose(loud["slow"], want["slow"])
    assert loud["audio"].any()


def test_one_clip_without_sound_leaves_the_others_alone():
    net = compared_at(narrowed(VARIANTS["avslowfast-4x16-r50"], 8), ())
    model = awake(Recognizer(net, {"label": 5})).eval()
    given = signals(net, 3)
    with torch.inference_mode():
        whole = model(given)["label"]
        mixed = model({**given, "has_audio": torch.tensor([1.0, 0.0, 1.0])})["label"]
        none = model({**given, "has_audio": torch.zeros(3)})["label"]
    torch.testing.assert_close(mixed[[0, 2]], whole[[0, 2]])
    torch.testing.assert_close(mixed[1], none[1])
    assert not torch.allclose(mixed[1], whole[1])


def test_the_fork_keeps_the_sound_at_the_head():
    net = compared_at(narrowed(VARIANTS["avslowfast-4x16-r50"], 8), ())
    kept = replace(net, pathways={**net.pathways, "audio": replace(net.pathways["audio"], absent="laterals")})
    model = awake(Recognizer(kept, {"label": 5})).eval()
    with torch.inference_mode():
        features = model.trunk({**signals(net), "has_audio": torch.zeros(2)})
    assert features["audio"].any()


def test_more_sounds_than_frames_go_nowhere_but_to_the_comparison():
    torch.manual_seed(0)
    net = narrowed(VARIANTS["avslowfast-4x16-r50"], 8)
    model = awake(Recognizer(net, {"label": 5}, sync=("res3", "res5"))).eval()
    given = signals(net, paired=True)
    with torch.inference_mode():
        both = model(given)
        alone = model({**given, "logmel": given["logmel"][:2]})
    torch.testing.assert_close(both["label"], alone["label"])
    assert set(alone) == {"label"}
    assert both["seen_res3"].shape == (2, 64)
    assert both["heard_res5"].shape == (4, 64)
    torch.testing.assert_close(both["heard_res5"].norm(dim=1), torch.full((4,), 0.5))


def test_what_counts_has_not_heard_its_sound():
    net = narrowed(VARIANTS["avslowfast-4x16-r50-res234"], 8)
    model = Recognizer(net, {"label": 5}, sync=("res2", "res3", "res5")).eval()
    heard = torch.tensor([1.0, 0.0])
    outputs = model({**signals(net, paired=True), "has_audio": heard})
    assert outputs["counts_res2"].tolist() == [1, 1]
    assert outputs["counts_res3"].tolist() == outputs["counts_res5"].tolist() == [0, 1]
    late = narrowed(VARIANTS["avslowfast-4x16-r50-sync"], 8)
    outputs = Recognizer(late, {}, sync=("res3", "res5"))({**signals(late, paired=True), "has_audio": heard})
    assert outputs["counts_res5"].tolist() == [1, 1]


def test_unknown_comparisons_are_refused():
    with pytest.raises(ValueError, match="no lateral brings sound to pictures after res2; there is one after res3"):
        Recognizer(narrowed(VARIANTS["avslowfast-4x16-r50"], 8), {"label": 2}, sync=("res2",))


def test_a_fresh_non_local_block_changes_nothing():
    torch.manual_seed(0)
    with_nl, without = (narrowed(VARIANTS[name], 8) for name in ("slowfast-8x8-r50-nl", "slowfast-8x8-r50"))
    without = replace(without, laterals=with_nl.laterals)
    plain = Recognizer(without, {"label": 5}).eval()
    grown = Recognizer(with_nl, {"label": 5}).eval()
    grown.load_state_dict(plain.state_dict(), strict=False)
    given = signals(with_nl, 1)
    with torch.inference_mode():
        torch.testing.assert_close(grown(given)["label"], plain(given)["label"])


def test_a_non_local_block_is_a_dot_product_over_positions():
    torch.manual_seed(0)
    block = NonLocal(4, (1, 1, 1)).eval()
    torch.nn.init.ones_(block.norm.weight)
    x = torch.randn(1, 4, 2, 3, 3)
    with torch.inference_mode():
        got = block(x)
        theta, phi, g = (conv(x).flatten(2)[0] for conv in (block.theta, block.phi, block.g))
        looked = torch.stack([(theta[:, i] @ phi / phi.shape[1]) @ g.T for i in range(18)], 1).reshape(1, 2, 2, 3, 3)
        torch.testing.assert_close(got, x + block.norm(block.out(looked)))


def test_larger_frames_are_classified_at_several_positions():
    net = replace(narrowed(VARIANTS["slowfast-4x16-r50"], 8), window=2)
    model = Recognizer(net, {"label": 5}).eval()
    with torch.inference_mode():
        assert model(signals(net, side=64))["label"].shape == (2, 5)
        wide = model({"frames": torch.randn(2, 3, 32, 96, 128)})["label"]
    assert wide.shape == (2, 2 * 3, 5)
    x = torch.randn(2, 3, 4, 3, 4)
    got = pooled(x, 2)
    torch.testing.assert_close(got[:, 1], x[..., 0:2, 1:3].mean((2, 3, 4)))
    assert pooled(x, 7).shape == (2, 1, 3)


def test_boxes_are_asked_for_where_they_are_classified():
    detector = Recognizer(narrowed(VARIANTS["slowfast-4x16-r50-ava"], 8), {"label": 5}).eval()
    given = signals(detector.trunk.net)
    with pytest.raises(ValueError, match="boxes: missing"):
        detector(given)
    with pytest.raises(ValueError, match="boxes: given"):
        Recognizer(narrowed(VARIANTS["slowfast-4x16-r50"], 8), {"label": 5})(given, torch.zeros(1, 5))
    with torch.inference_mode():
        logits = detector(given, torch.tensor([[1.0, 0, 0, 63, 63], [0.0, 5, 5, 20, 30], [1.0, 0, 0, 63, 63]]))["label"]
        none = detector(given, torch.zeros(0, 5))["label"]
    assert none.shape == (0, 5)
    torch.testing.assert_close(logits[0], logits[2])
    assert not torch.allclose(logits[0], logits[1])


def slow_roi_align(feature, box, scale, size, aligned):
    """Sample by sample, as He et al. describe it."""
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
def test_roi_align_is_its_definition(aligned):
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


def test_a_network_survives_its_own_description():
    import json
    from dataclasses import asdict

    for net in VARIANTS.values():
        assert from_plain(json.loads(json.dumps(asdict(net)))) == net


def test_networks_that_do_not_fit_are_refused():
    slow, fast = Pathway(reads="frames", stem="space", stride=8), Pathway(reads="frames", stem="space", width=8)
    with pytest.raises(ValueError, match="brings 256 channels, and slow has 64 to add them to"):
        Net(
            pathways={"slow": slow, "fast": replace(fast, width=32)},
            laterals={"f2s": Lateral(src="fast", dst="slow", after=("stem",), kind="time-to-channel", join="sum")},
        )
    with pytest.raises(ValueError, match="strides of the pathways do not fit"):
        Net(pathways={"slow": slow, "fast": replace(fast, stride=3)}, laterals={"f2s": Lateral(src="fast", dst="slow")})


def test_time_to_channel_packs_consecutive_frames():
    from slowfast_cli.models.fusion import TimeSample, TimeToChannel

    x = torch.arange(8.0).reshape(1, 1, 8, 1, 1)
    slow = torch.zeros(1, 1, 2, 1, 1)
    assert TimeToChannel(4)(x, slow).squeeze().tolist() == [[0, 4], [1, 5], [2, 6], [3, 7]]
    assert TimeSample(4)(x, slow).squeeze().tolist() == [0, 4]
