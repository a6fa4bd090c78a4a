"""Networks from the literature: published sizes, gradients, clip lengths, and outputs against independent code."""

from dataclasses import replace

import librosa
import pytest
import torch
from torch.nn import functional as f

from slowfast_cli.models.architecture import Baseline
from slowfast_cli.models.baseline import BaselineTrunk
from slowfast_cli.models.baselines.mcdonnell_gao import with_deltas
from slowfast_cli.models.baselines.zoo import BASELINES
from slowfast_cli.torchaudio_import import models as torchaudio_models

TRANSFORMERS = {"vit", "efficientnet"}
TINY = {"byola-cnn": 16, "cnn14": 64, "mcdonnell-gao": 64, "wav2vec2": 48, "bidir-cpc": 16}
KINDS = pytest.mark.parametrize("kind", TINY)


def tiny(kind):
    net = next(net for net in BASELINES.values() if net.kind == kind)
    return replace(net, length=TINY[kind], bands=None if net.bands is None else 32)


def signal(net, batch=2, seconds=1):
    generator = torch.Generator().manual_seed(1)
    if net.reads == "samples":
        return {"samples": torch.randn(batch, int(seconds * net.rate), generator=generator)}
    return {"logmel": torch.randn(batch, 1, int(seconds * 100), net.bands or 32, generator=generator)}


def with_random_norms(body):
    """Randomize the norms' statistics and parameters and switch to eval mode."""
    torch.manual_seed(2)
    for module in body.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            if module.affine:
                torch.nn.init.normal_(module.weight, 1, 0.3)
                torch.nn.init.normal_(module.bias)
    return body.eval()


@pytest.mark.parametrize(
    ("name", "millions", "parameters"),
    [
        # HARES Table 2. It reports cnn14 71 and vit-base 86 (for images: three channels, more positions).
        ("byola-cnn", 5.3, 5_321_856),
        ("cnn14", 79.7, 79_673_824),
        ("wav2vec2-base", 94.4, 94_370_944),  # reported as 95, with the parts that only the objective needs
        ("bidir-cpc", 38.3, 38_301_696),
        # ASF Sec. 4.3 reports 3.2.
        ("mcdonnell-gao", 3.2, 3_238_428),
    ],
)
def test_parameter_counts_match_the_paper(name, millions, parameters):
    with torch.device("meta"):
        trunk = BaselineTrunk(BASELINES[name])
    got = sum(parameter.numel() for parameter in trunk.parameters())
    assert got == parameters
    assert round(got / 1e6, 1) == millions


def test_cnn14_with_527_classes_has_the_size_that_panns_report():
    with torch.device("meta"):
        trunk = BaselineTrunk(BASELINES["panns-cnn14"])
    got = sum(parameter.numel() for parameter in trunk.parameters()) + 527 * 2049
    assert round(got / 1e6, 1) == 80.8  # the released file has 80 753 615 with these


@pytest.mark.parametrize("name", [name for name, net in BASELINES.items() if net.kind not in TRANSFORMERS])
def test_feature_length_matches_the_description(name):
    net = BASELINES[name]
    with torch.device("meta"):
        got = BaselineTrunk(net).eval()({net.reads: signal(net)[net.reads].to("meta")})
    assert {key: tuple(value.shape) for key, value in got.items()} == {"audio": (2, net.features()["audio"])}


@KINDS
def test_every_parameter_gets_a_gradient(kind):
    torch.manual_seed(0)
    trunk = BaselineTrunk(tiny(kind)).train()
    feature = trunk(signal(trunk.net))["audio"]
    (feature * torch.randn_like(feature)).sum().backward()
    without_gradient = [name for name, p in trunk.named_parameters() if p.grad is None or not p.grad.abs().sum()]
    assert not without_gradient


@KINDS
@pytest.mark.parametrize("seconds", [0.4, 0.97, 1.23])
def test_clips_of_any_length(kind, seconds):
    trunk = BaselineTrunk(tiny(kind)).eval()
    with torch.inference_mode():
        assert trunk(signal(trunk.net, seconds=seconds))["audio"].isfinite().all()


def batch_normed(x, module):
    shape = (1, -1, 1, 1)
    y = (x - module.running_mean.reshape(shape)) / (module.running_var.reshape(shape) + module.eps).sqrt()
    return y if not module.affine else y * module.weight.reshape(shape) + module.bias.reshape(shape)


def test_cnn14_equals_its_definition():
    net = replace(tiny("cnn14"), standardise=False)
    body = with_random_norms(BaselineTrunk(net).body)
    x = signal(net)["logmel"]
    with torch.no_grad():
        got = body(x)
        y = batch_normed(x.permute(0, 3, 1, 2), body.norm).permute(0, 2, 3, 1)  # each band is a channel
        for at, block in enumerate(body.blocks):
            assert tuple(block.b.weight.shape) == (2 * 2**at, 2 * 2**at, 3, 3)
            y = f.conv2d(y, block.a.weight, padding=1)
            y = batch_normed(y, block.a_norm).clamp(min=0)
            y = f.conv2d(y, block.b.weight, padding=1)
            y = batch_normed(y, block.b_norm).clamp(min=0)
            if at < 5:
                T, F = y.shape[2] // 2 * 2, y.shape[3] // 2 * 2
                y = (y[:, :, 0:T:2] + y[:, :, 1:T:2])[:, :, :, :F] / 2
                y = (y[:, :, :, 0::2] + y[:, :, :, 1::2]) / 2
        over_time = y.sum(3) / y.shape[3]
        clip = over_time.max(2).values + over_time.sum(2) / over_time.shape[2]
        want = (clip @ body.layer.weight.T + body.layer.bias).clamp(min=0)
    assert body.blocks[-1].a.weight.shape[0] == net.length
    torch.testing.assert_close(got[:, :, 0], want, rtol=1e-4, atol=1e-5)


def test_byola_cnn_equals_its_definition():
    net = replace(tiny("byola-cnn"), standardise=False)
    body = with_random_norms(BaselineTrunk(net).body)
    x = signal(net)["logmel"]
    with torch.no_grad():
        got = body(x)
        y = x
        for block in body.convolutions:
            y = f.conv2d(y, block[0].weight, block[0].bias, padding=1)
            y = f.max_pool2d(batch_normed(y, block[1]).clamp(min=0), 2)
        frames = []
        for t in range(y.shape[2]):
            frame = torch.stack([y[:, :, t, band] for band in range(y.shape[3])], dim=1).flatten(1)
            hidden = (frame @ body.layers[0].weight.T + body.layers[0].bias).clamp(min=0)
            frames.append((hidden @ body.layers[3].weight.T + body.layers[3].bias).clamp(min=0))
        want = sum(frames) / len(frames) + torch.stack(frames).max(0).values
    torch.testing.assert_close(got[:, :, 0], want, rtol=1e-4, atol=1e-5)


def test_deltas_equal_librosa():
    x = signal(tiny("mcdonnell-gao"))["logmel"]
    first = librosa.feature.delta(x.numpy(), width=5, axis=2)
    second = librosa.feature.delta(first, width=5, axis=2)
    got = with_deltas(x).numpy()
    assert got.shape == (2, 3, 92, 32)
    for channel, want in enumerate((x.numpy(), first, second)):
        assert abs(got[:, channel : channel + 1] - want[:, :, 4:-4]).max() < 1e-5


def same_padded(x, stride):
    """Pad like TensorFlow's "SAME" for a kernel of 3, along time."""
    size = x.shape[2]
    total = max((-(-size // stride) - 1) * stride + 3 - size, 0)
    return f.pad(x, (1, 1, total // 2, total - total // 2))


@pytest.mark.parametrize("frames", [72, 73, 75, 41])
def test_mcdonnell_gao_equals_its_definition(frames):
    net = tiny("mcdonnell-gao")
    body = with_random_norms(BaselineTrunk(net).body)
    x = torch.randn(2, 1, frames, 32)
    with torch.no_grad():
        got = body(x)
        ends = []
        for path, half in ((body.low, slice(0, 16)), (body.high, slice(16, 32))):
            y = batch_normed(with_deltas(x)[..., half], path.stem[0])
            y = f.conv2d(same_padded(y, 2), path.stem[1].conv.weight, stride=(2, 1))
            for number, branch in enumerate(path.branches):
                step = 2 if number in (2, 4, 6) else 1
                z = batch_normed(y, branch[0]).clamp(min=0)
                z = f.conv2d(same_padded(z, step), branch[2].conv.weight, stride=(step, 1))
                z = batch_normed(z, branch[3]).clamp(min=0)
                z = f.conv2d(same_padded(z, 1), branch[5].conv.weight)
                if step == 2:
                    total = f.avg_pool2d(same_padded(y, 2), 3, (2, 1), divisor_override=1)
                    count = f.avg_pool2d(same_padded(torch.ones_like(y), 2), 3, (2, 1), divisor_override=1)
                    y = torch.cat([total / count, torch.zeros_like(total)], dim=1)
                y = y + z
            ends.append(y)
        y = batch_normed(torch.cat(ends, dim=3), body.joined[0]).clamp(min=0)
        want = batch_normed(f.conv2d(y, body.joined[2].weight), body.last_norm)
    assert got.shape == (2, 64, -(-(frames - 8) // 16), 32)
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)


def test_wav2vec2_equals_torchaudio():
    net = replace(tiny("wav2vec2"), length=768)
    body = BaselineTrunk(net).body.eval()
    theirs = torchaudio_models.wav2vec2_base().eval()
    theirs.load_state_dict(body.network.state_dict())
    samples = signal(net)["samples"]
    with torch.inference_mode():
        torch.testing.assert_close(body(samples), theirs.extract_features(samples)[0][-1].transpose(1, 2))


def test_contexts_of_cpc_are_causal_in_each_direction():
    body = BaselineTrunk(tiny("bidir-cpc")).body.eval()
    encoded = torch.randn(1, 8, 120, requires_grad=True)
    past, future = body.contexts(encoded)
    (past_gradient,) = torch.autograd.grad(past[:, :, 80].sum(), encoded, retain_graph=True)
    (future_gradient,) = torch.autograd.grad(future[:, :, 20].sum(), encoded)
    reached = past_gradient.abs().sum(1)[0].nonzero()[:, 0]
    assert (reached.min(), reached.max()) == (80 - 54, 80)  # nine kernels of 3 to 11: 54 steps back
    reached = future_gradient.abs().sum(1)[0].nonzero()[:, 0]
    assert (reached.min(), reached.max()) == (20, 20 + 54)
    assert body.encode(torch.randn(1, 16000)).shape[2] == 98  # one step per 10 ms


@pytest.mark.parametrize("kind", ["byola-cnn", "cnn14"])
def test_a_wrong_number_of_bands_is_refused(kind):
    trunk = BaselineTrunk(tiny(kind))
    with pytest.raises(ValueError, match="40 bands, this network was built for 32"):
        trunk({"logmel": torch.randn(1, 1, 64, 40)})
    with pytest.raises(ValueError, match="bands is None"):
        BaselineTrunk(Baseline(kind=kind, length=64))


def test_too_few_frames_are_refused():
    with pytest.raises(ValueError, match="8 frames, this network needs at least 9"):
        BaselineTrunk(tiny("mcdonnell-gao"))({"logmel": torch.randn(1, 1, 8, 32)})
