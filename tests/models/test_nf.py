"""SlowFast NFNets: golden outputs of the imported reference weights, parameter counts, and their components."""

import json
from dataclasses import replace

import golden
import numpy as np
import pytest
import torch

from slowfast_cli.models import count
from slowfast_cli.models.recognizer import Recognizer
from slowfast_cli.models.slowfast import SlowFast
from slowfast_cli.models.spec import with_width
from slowfast_cli.models.zoo import VARIANTS
from slowfast_cli.nn.nf import NFBlock, WSConv, same_padding
from slowfast_cli.weights.file import load_matching
from slowfast_cli.weights.foreign import haiku, load

VARIANT = {"slowfast": "sf-nfnet-f0", "slow": "slow-nfnet-f0", "fast": "fast-nfnet-f0"}
STAGE = {"stem": "stem_conv3", "res2": "nf_block", "res3": "nf_block_2", "res4": "nf_block_8"}


@pytest.fixture(scope="module", params=VARIANT)
def reference(request):
    """Metadata and outputs of the reference, and the network with its parameters, without input standardization."""
    meta, tree, outputs = golden.haiku(f"nfnet_f0_{request.param}")
    converted = haiku.convert(tree)
    assert converted.net == VARIANTS[VARIANT[request.param]]
    assert not converted.unexpected
    model = Recognizer(replace(converted.net, standardise=False), {})
    report = load_matching(model, converted.state)
    assert not report.fresh
    assert not report.unused
    return meta, outputs, model.trunk.eval()


@pytest.fixture(scope="module")
def x():
    return torch.from_numpy(golden.haiku("nfnet_f0_slowfast")[2]["input/full"]).permute(0, 3, 1, 2)


def test_features_equal_the_reference(reference, x):
    meta, outputs, trunk = reference
    with torch.inference_mode():
        features = torch.cat(list(trunk({"logmel": x}).values()), dim=1).numpy()
    for kind in ("output", "output_fp64"):
        want = outputs[f"{kind}/features"]
        assert features.shape == want.shape
        assert np.abs(features - want).max() <= 1e-5 * np.abs(want).max()
    assert count.parameters(trunk) == meta["param_count"]


def test_intermediates_equal_the_reference(reference, x):
    meta, outputs, trunk = reference
    modules = {"slow": "slow_fast_nf_net/~/NFNet_1/~/", "fast": "slow_fast_nf_net/~/NFNet/~/"}
    if len(trunk.net.pathways) == 1:
        modules = dict.fromkeys(trunk.net.pathways, "NFNet/~/")
    keep = [f"{path}_{stage}" for path in modules for stage in STAGE]
    with torch.inference_mode():
        maps = trunk.maps({"logmel": x}, keep)
    for path, module in modules.items():
        for stage, theirs in STAGE.items():
            got = maps[f"{path}_{stage}"].permute(0, 2, 3, 1).contiguous().numpy()
            assert list(got.shape) == meta["stages"][module + theirs]["shape"]
            want = outputs[f"stage/{module}{theirs}/spread64"]
            assert np.abs(golden.spread64(got) - want).max() <= 1e-4 * got.std()


def test_networks_of_other_sizes_are_recognized():
    """Our parameters, exported under the reference's names, convert back unchanged for other widths."""
    for name in VARIANT.values():
        net = with_width(VARIANTS[name], 64 if "fast" not in name else 8)
        state = Recognizer(net, {}).state_dict()
        converted = haiku.convert(
            {golden.haiku_name(net, key): golden.unturned(key, value) for key, value in state.items()}
        )
        assert {name: path.widths for name, path in converted.net.pathways.items()} == {
            name: path.widths for name, path in net.pathways.items()
        }
        assert all(torch.equal(converted.state[key], value) for key, value in state.items())


@pytest.mark.parametrize("suffix", ["npz", "npy"])
def test_parameter_trees_load_from_numpy_files(tmp_path, suffix):
    _, tree, _ = golden.haiku("nfnet_f0_fast")
    path = tmp_path / f"tree.{suffix}"
    arrays = {name: value.numpy() for name, value in tree.items()}
    if suffix == "npz":
        np.savez(path, **arrays)
    else:
        nested: dict[str, dict[str, np.ndarray]] = {}
        for name, array in arrays.items():
            module, _, leaf = name.rpartition("/")
            nested.setdefault(module, {})[leaf] = array
        np.save(path, nested, allow_pickle=True)
    state, cfg = load.load_tensors(path)
    assert cfg is None
    assert state.keys() == tree.keys()
    assert all(torch.equal(state[name], tree[name]) for name in tree)


def test_pickles_that_run_code_are_refused(tmp_path):
    from slowfast_cli.types import WeightsError

    class Evil:
        def __reduce__(self):
            return (print, ("ran",))

    np.save(tmp_path / "evil.npy", {"module": Evil()}, allow_pickle=True)
    with pytest.raises(WeightsError, match=r"would run code when loaded \((builtins|__builtin__).print\)"):
        load.load_tensors(tmp_path / "evil.npy")


# HARES Table 2, in millions, without classifiers.
@pytest.mark.parametrize(
    ("variant", "millions"),
    [("sf-r50-bn", 26), ("sf-nfnet-f0", 63), ("nfnet-f0", 68), ("resnet50-standardised", 23)],
)
def test_parameter_counts_match_the_paper(variant, millions):
    with torch.device("meta"):
        parameters = count.parameters(SlowFast(VARIANTS[variant])) / 1e6
    assert millions in (int(parameters), round(parameters))


def test_feature_lengths_match_the_released_code_and_the_table():
    assert sum(VARIANTS["sf-nfnet-f0"].features().values()) == 3456
    assert list(VARIANTS["sf-nfnet-f0"].features()) == ["fast", "slow"]
    assert sum(VARIANTS["sf-nfnet-f0-table5"].features().values()) == 1728


def test_kernels_are_standardized():
    torch.manual_seed(0)
    conv = WSConv(6, 4, (3, 1), groups=2)
    with torch.no_grad():
        conv.weight.mul_(7).add_(3)
    kernels = conv.standardized_weight()
    torch.testing.assert_close(kernels.mean((1, 2, 3)), torch.zeros(4), atol=1e-6, rtol=0)
    torch.testing.assert_close(kernels.square().sum((1, 2, 3)), torch.ones(4))


@pytest.mark.parametrize("size", [1, 2, 5, 298, 400, 401])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 2), (7, 4), (3, 1), (2, 2), (1, 1), (4, 4)])
def test_same_padding_gives_ceil_of_size_over_stride(size, kernel, stride):
    before, after = same_padding(size, kernel, stride)
    assert 0 <= after - before <= 1 or (before, after) == (0, 0)
    if kernel >= stride:
        assert (size + before + after - kernel) // stride + 1 == -(-size // stride)


def test_stochastic_depth_drops_whole_examples_in_training_only():
    torch.manual_seed(0)
    block = NFBlock(8, 8, [(1, 1), (3, 1), (1, 3)], (1, 1), kind="nfnet", group=4, beta=1.0, drop=0.5)
    torch.nn.init.ones_(block.skip_gain)
    x = torch.randn(200, 8, 6, 6)
    with torch.no_grad():
        skipped = (block.train()(x) == x).flatten(1).all(1)
        assert 60 < skipped.sum() < 140
        assert not (block.eval()(x) == x).flatten(1).all(1).any()


def test_max_pool_time():
    from slowfast_cli.models.pathway import max_pool_time

    x = torch.randn(2, 1, 11, 5)
    got = max_pool_time(x, 4)  # 11 = 4 + 4 + 3 steps
    want = torch.stack([x[:, :, :4].amax(2), x[:, :, 4:8].amax(2), x[:, :, 8:].amax(2)], dim=2)
    torch.testing.assert_close(got, want)


def test_each_clip_is_standardized_separately():
    torch.manual_seed(0)
    model = Recognizer(with_width(VARIANTS["sf-nf-r50"], 16), {"label": 3}).eval()
    x = torch.randn(3, 1, 64, 40)
    with torch.inference_mode():
        plain, louder = model({"logmel": x})["label"], model({"logmel": 5 * x + 9})["label"]
        alone = model({"logmel": x[:1]})["label"]
        silence = model({"logmel": torch.zeros(1, 1, 64, 40)})["label"]
    torch.testing.assert_close(plain, louder, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(plain[:1], alone, rtol=1e-4, atol=1e-5)
    assert silence.isfinite().all()


def test_variants_have_the_norm_they_name():
    kinds = {
        "sf-r50-bn": "BatchNorm2d",
        "sf-r50-ln": "GroupNorm",
        "sf-r50-in": "GroupNorm",
        "sf-r50-no-norm": "Identity",
    }
    for variant, kind in kinds.items():
        trunk = SlowFast(with_width(VARIANTS[variant], 8))
        norms = {type(module).__name__ for name, module in trunk.named_modules() if name.endswith("norm")}
        assert norms == {kind}
        groups = {(m.num_groups, m.num_channels) for m in trunk.modules() if isinstance(m, torch.nn.GroupNorm)}
        if variant == "sf-r50-ln":
            assert {number for number, _ in groups} == {1}
        if variant == "sf-r50-in":
            assert all(number == channels for number, channels in groups)


def test_net_survives_json():
    from slowfast_cli.models.architecture import from_dict

    net = VARIANTS["sf-nfnet-f0"]
    from dataclasses import asdict

    assert from_dict(json.loads(json.dumps(asdict(net)))) == net


@pytest.mark.cuda
def test_gpu_features_equal_the_reference(reference, x):
    _, outputs, trunk = reference
    trunk = trunk.cuda().to(memory_format=torch.channels_last)
    with torch.inference_mode(), torch.backends.cudnn.flags(allow_tf32=False):
        features = torch.cat(list(trunk({"logmel": x.cuda()}).values()), dim=1).cpu().numpy()
    trunk.cpu()
    want = outputs["output/features"]
    assert np.abs(features - want).max() <= 1e-4 * np.abs(want).max()


def test_a_parameter_tree_converts_to_a_weight_file(tmp_path):
    from slowfast_cli.weights.file import build
    from slowfast_cli.weights.foreign.convert import convert

    _, tree, _ = golden.haiku("nfnet_f0_fast")
    np.savez(tmp_path / "fast.npz", **{name: value.numpy() for name, value in tree.items()})
    result = convert(tmp_path / "fast.npz", tmp_path / "fast.safetensors")
    assert (result.card.recipe, result.card.classes, result.card.front_end["mels"]) == ("hares", {}, 80)
    assert not result.result.unused
    card, model = build(tmp_path / "fast.safetensors")
    assert card.net == VARIANTS["fast-nfnet-f0"]
    assert sum(parameter.numel() for parameter in model.parameters()) == 899_842
