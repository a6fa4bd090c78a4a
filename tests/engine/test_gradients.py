"""Gradients of a batch in parts: a contrast over all of them is that of the whole, in one process and in two."""

import copy
import itertools
import json
import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
import torch
from torch import nn

from slowfast_cli.engine.fit import StepConfig, fit
from slowfast_cli.engine.gradients import contrasted, summed
from slowfast_cli.engine.optim import make_optimizer
from slowfast_cli.models.recognizer import Recognizer
from slowfast_cli.models.spec import with_width
from slowfast_cli.models.zoo import VARIANTS
from slowfast_cli.tasks.simclr import Projector, SimCLR
from slowfast_cli.tasks.task import Task
from slowfast_cli.types import Batch, Inputs

SCRIPT = Path(__file__).with_name("contrasts.py")
TASK = Task((SimCLR(temperature=0.5),))
OFF = torch.amp.GradScaler(enabled=False)
FP32 = {"dtype": torch.float32, "scaler": OFF}


def network(drop=0.0, dropout=0.0):
    """SlowFast NF-ResNet50, its norms none and few of its channels; a projector that may drop some."""
    torch.manual_seed(0)
    net = with_width(VARIANTS["sf-nf-r50"], 8)
    paths = {name: replace(path, drop=drop, depth=(1, 1, 1, 1)) for name, path in net.pathways.items()}
    net = replace(net, pathways=paths)
    length = sum(net.features().values())

    def objective(trunk):
        projector = Projector(length, hidden=16, layers=1, out=8)
        projector.layers.insert(1, nn.Dropout(dropout))
        return projector

    model = Recognizer(net, {}, objective=objective)
    for module in model.modules():  # as they are initialised, the blocks are passed by
        if hasattr(module, "skip_gain"):
            nn.init.constant_(module.skip_gain, 0.5)
    return model.train()


def whole(clips=8):
    draw = torch.Generator().manual_seed(1)
    sounds = torch.randn(clips, 1, 32, 32, generator=draw)
    again = sounds + 0.5 * torch.randn(clips, 1, 32, 32, generator=draw)
    return torch.cat([sounds, again]), tuple(map(str, range(clips))) * 2


def parts(count, clips=8):
    """Each holds both clips of some recordings, as training does."""
    sounds, ids = whole(clips)
    for part in range(count):
        rows = [row for row in range(2 * clips) if row % clips // (clips // count) == part]
        yield Batch(inputs=Inputs(logmel=sounds[rows]), targets={}, ids=tuple(ids[row] for row in rows))


def gradients(model):
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def test_four_parts_have_the_gradients_of_the_whole():
    model = network()
    taken = contrasted(model, TASK.losses, parts(4), 4, **FP32)
    found = gradients(model)
    model.zero_grad()
    (batch,) = parts(1)
    losses = TASK.loss(model, batch)
    losses["simclr"].backward()
    wanted = gradients(model)
    assert taken.losses["simclr"].item() == pytest.approx(losses["simclr"].item(), rel=1e-5)
    assert (taken.clips, found.keys()) == (16, wanted.keys())
    assert len(wanted) > 50
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-6 + 1e-4 * value.abs().max().item())
    model.zero_grad()
    summed(model, TASK.loss, parts(4), 4, **FP32)  # a part alone has fewer wrong answers
    apart = gradients(model)
    assert any((apart[name] - value).abs().max() > 0.05 * value.abs().max() for name, value in wanted.items())


@pytest.mark.parametrize("random", [{"drop": 0.5}, {"dropout": 0.5}], ids=str)
def test_both_passes_draw_the_same(random):
    """Stochastic depth or dropout: the second pass must draw the same random numbers as the first."""
    model = network(**random)
    seen = []
    model.register_forward_hook(lambda module, given, outputs: seen.append(outputs["embedding"].detach().clone()))
    torch.manual_seed(3)
    contrasted(model, TASK.losses, parts(4), 4, **FP32)
    assert len(seen) == 8
    for first, second in zip(seen[:4], seen[4:], strict=True):
        assert torch.equal(first, second)
    found = gradients(model)
    (again,) = parts(1)
    assert not torch.equal(torch.cat(seen[:4]), model(again.inputs.signals)["embedding"].detach())  # they do draw
    # A twin: the first passes once more, all kept for their gradients.
    model.zero_grad()
    torch.manual_seed(3)
    batches = list(parts(4))
    outputs = torch.cat([model(batch.inputs.signals)["embedding"] for batch in batches])
    ids = tuple(itertools.chain.from_iterable(batch.ids for batch in batches))
    TASK.losses({"embedding": outputs}, Batch(inputs=Inputs(), targets={}, ids=ids))["simclr"].backward()
    for name, value in gradients(model).items():
        torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-6 + 1e-4 * value.abs().max().item())


def test_what_an_output_does_not_move_stays():
    """Of several outputs the loss may leave some out."""

    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.unused = nn.Linear(3, 2), nn.Linear(3, 2)

        def forward(self, signals):
            return {"embedding": self.used(signals["features"]), "other": self.unused(signals["features"])}

    model = Two()
    batches = [Batch(inputs=Inputs(features=torch.randn(2, 3)), targets={}, ids=("a", "a")) for _ in range(2)]
    contrasted(model, lambda outputs, batch: {"a": outputs["embedding"].square().sum()}, iter(batches), 2, **FP32)
    assert model.used.weight.grad.any()
    assert not model.unused.weight.grad.any()


def test_summed_parts_are_the_mean():
    torch.manual_seed(0)
    model = nn.Linear(3, 2)

    def loss(model, batch):
        out = model(batch.inputs.features)
        return {"one": out.square().mean(), "two": out.abs().mean()}

    batches = [
        Batch(inputs=Inputs(features=torch.randn(4, 3)), targets={}, ids=tuple("abcd"), without_audio=1)
        for _ in range(3)
    ]
    taken = summed(model, loss, iter(batches), 3, **FP32)
    found = gradients(model)
    model.zero_grad()
    each = [loss(model, batch) for batch in batches]
    mean = {name: sum(one[name] for one in each) / 3 for name in each[0]}
    sum(mean.values()).backward()
    for name, value in gradients(model).items():
        torch.testing.assert_close(found[name], value)
    assert {name: value.item() for name, value in taken.losses.items()} == pytest.approx(
        {name: value.item() for name, value in mean.items()}
    )
    assert (taken.clips, taken.without_audio, taken.broken) == (12, 3, [])


def test_a_step_with_a_contrast_is_that_of_the_whole_batch():
    """Through `fit`: clipped, and with the numbers that are reported."""
    settings = {"lr": 0.1, "momentum": 0.9, "nesterov": False, "weight_decay": 0.0}
    one = network()
    two = copy.deepcopy(one)
    reported = []
    for model, count, contrast in ((one, 1, None), (two, 2, TASK.losses)):
        how = StepConfig(micro_batches=count, clip_norm=0.5, contrast=contrast)
        batches = itertools.chain(parts(count), parts(count))
        optim = make_optimizer(model, "sgd", **settings)
        reported.append(list(fit(model, TASK.loss, batches, optim, lambda step: 1.0, range(2), config=how)))
    for a, b in zip(*reported, strict=True):
        assert (a.loss, a.grad_norm) == pytest.approx((b.loss, b.grad_norm), rel=1e-3)
        assert (a.clips, b.clips) == (16, 16)
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    """What one process found, and each of two."""
    one, two = (tmp_path_factory.mktemp("contrasts") / f"{count}.json" for count in ("one", "two"))
    with pytest.MonkeyPatch.context() as patched:
        for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "SLURM_NTASKS", "SLURM_PROCID"):
            patched.delenv(name, raising=False)
        patched.setattr(sys, "argv", [str(SCRIPT), str(one)])
        runpy.run_path(str(SCRIPT), run_name="__main__")
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
        command = [sys.executable, *launcher, str(SCRIPT), str(two)]
        done = subprocess.run(command, env=tiny.environment(), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return {"one": json.loads(one.read_text()), "two": json.loads(two.read_text())}


@pytest.mark.processes
@pytest.mark.parametrize("way", ["at once", "in parts"])
def test_two_processes_contrast_as_one_does(reported, way):
    """The clips of both are compared with each other; in parts, too, that is one contrast over them all."""
    (one,), two = reported["one"], reported["two"]
    assert len(two) == 2
    assert one["in parts"]["losses"] == pytest.approx(one["at once"]["losses"], rel=1e-4)
    for rank in two:
        assert rank[way]["losses"] == pytest.approx(one["at once"]["losses"], rel=1e-4)
        assert rank[way]["norms"] == pytest.approx(one["at once"]["norms"], rel=1e-3)
        assert rank[way]["weights"] == pytest.approx(one["at once"]["weights"], rel=1e-3, abs=1e-5)
    assert two[0][way]["weights"] == two[1][way]["weights"]


@pytest.mark.thorough
def test_processes_may_have_read_different_numbers_of_clips(reported):
    (one,), two = reported["one"], reported["two"]
    assert [rank["first"] for rank in two] == [0, 3]
    assert [rank["everyone"] for rank in two] == [one["everyone"]] * 2
    # Each row is counted once by either process: the gradients of both, summed, are twice that of one.
    both = [value for rank in two for value in rank["moved"]]
    assert both == pytest.approx([2 * value for value in one["moved"]])


def test_running_statistics_are_moved_by_the_second_pass_only():
    torch.manual_seed(0)
    net = with_width(VARIANTS["sf-r50-bn"], 8)
    model = Recognizer(net, {}, objective=lambda trunk: Projector(288, hidden=8, layers=1, out=4)).train()
    norm = model.trunk.stages["fast_stem"].norm
    contrasted(model, TASK.losses, parts(2), 2, **FP32)
    found = norm.running_mean.clone()
    assert norm.momentum == 0.1
    norm.reset_running_stats()
    with torch.no_grad():
        for batch in parts(2):
            model(batch.inputs.signals)
    torch.testing.assert_close(found, norm.running_mean)


@pytest.mark.cuda
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradient_caching_on_a_gpu(dtype):
    model = network(drop=0.5).cuda()
    seen = []
    model.register_forward_hook(lambda module, given, outputs: seen.append(outputs["embedding"].detach().clone()))
    moved = (batch.map(lambda value: value.cuda()) for batch in parts(4))
    taken = contrasted(model, TASK.losses, moved, 4, dtype=dtype, scaler=OFF)
    assert taken.losses["simclr"].isfinite()
    assert all(torch.equal(a, b) for a, b in zip(seen[:4], seen[4:], strict=True))
    assert all(value.isfinite().all() for value in gradients(model).values())
