"""The loop: what one step does, and that a run in pieces is the run."""

import copy
import itertools
from math import inf, nan

import pytest
import torch
from torch import nn

from slowfast_cli.engine.fit import IN_FLIGHT, LossNotFiniteError, StepConfig, fit
from slowfast_cli.engine.optim import make_optimizer
from slowfast_cli.types import Batch, Inputs

SGD = {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-3}


class Small(nn.Module):
    """A norm, dropout, two heads."""

    def __init__(self, dropout=0.0):
        super().__init__()
        self.first, self.norm, self.dropout = nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(dropout)
        self.heads = nn.ModuleDict({"verb": nn.Linear(8, 3), "noun": nn.Linear(8, 4)})

    def forward(self, signals):
        x = self.dropout(torch.relu(self.norm(self.first(signals["features"]))))
        return {name: head(x) for name, head in self.heads.items()}


def loss(model, batch):
    logits = model(batch.inputs.signals)
    return {name: nn.functional.cross_entropy(logits[name], target) for name, target in batch.targets.items()}


def data(number, size=8):
    draw = torch.Generator().manual_seed(number)
    targets = {
        "verb": torch.randint(3, (size,), generator=draw),
        "noun": torch.randint(4, (size,), generator=draw),
    }
    return Batch(
        inputs=Inputs(features=torch.randn(size, 6, generator=draw)), targets=targets, ids=tuple(map(str, range(size)))
    )


def stream(first=0, augment=0.0):
    """Batches that are augmented from the common generator, as the device does it."""
    for number in itertools.count(first):
        batch = data(number)
        yield Batch(
            inputs=Inputs(features=batch.inputs.features + augment * torch.randn(8, 6)),
            targets=batch.targets,
            ids=batch.ids,
        )


def model_of(seed=0, **options):
    torch.manual_seed(seed)
    return Small(**options)


def run(model, steps, *, optim=None, batches=None, config=None, schedule=None, scaler=None):
    optim = optim or make_optimizer(model, "sgd", **SGD)
    schedule = schedule or (lambda step: 1.0)
    return list(
        fit(
            model,
            loss,
            batches or stream(),
            optim,
            schedule,
            range(steps),
            config=config or StepConfig(),
            scaler=scaler,
        )
    )


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def test_steps_are_those_of_a_loop_written_out():
    model = model_of()
    twin = copy.deepcopy(model)
    seen = run(model, 5, schedule=lambda step: 0.5**step)
    plain = torch.optim.SGD(twin.parameters(), 0.1, 0.9, weight_decay=1e-3, nesterov=True)
    for number in range(5):
        twin.train()
        plain.param_groups[0]["lr"] = 0.1 * 0.5**number
        plain.zero_grad()
        losses = loss(twin, data(number))
        total = losses["verb"] + losses["noun"]
        total.backward()
        norm = torch.sqrt(sum((p.grad**2).sum() for p in twin.parameters()))
        plain.step()
        step = seen[number]
        assert step.number == number + 1
        assert step.lr == pytest.approx(0.1 * 0.5**number)
        assert step.losses == pytest.approx({name: value.item() for name, value in losses.items()})
        assert step.loss == pytest.approx(total.item())
        assert step.grad_norm == pytest.approx(norm.item(), rel=1e-5)
        assert (step.clips, step.data_wait <= step.seconds) == (8, True)
    for one, other in zip(model.state_dict().values(), twin.state_dict().values(), strict=True):
        torch.testing.assert_close(one, other)


def test_it_learns():
    model = model_of()
    seen = run(model, 60, batches=itertools.repeat(data(0)))
    assert seen[-1].loss < 0.1 * seen[0].loss


@pytest.mark.parametrize("bad", [nan, inf])
def test_a_loss_that_is_not_finite_stops_before_the_step(bad):
    model = model_of()
    optim = make_optimizer(model, "sgd", **SGD)
    poisoned = data(3)
    poisoned.inputs.features[2, 1] = bad
    batches = iter([data(0), data(1), poisoned, data(4)])
    steps = fit(model, loss, batches, optim, lambda step: 1.0, range(4), config=StepConfig())
    good = [next(steps), next(steps)]
    kept = copy.deepcopy(dict(model.named_parameters()))
    with pytest.raises(LossNotFiniteError, match=r"^step 3: the loss is \{'verb': nan, 'noun': nan\}"):
        next(steps)
    assert [step.number for step in good] == [1, 2]
    assert all(torch.equal(value, kept[name]) for name, value in model.named_parameters())


def test_a_gradient_that_is_not_finite_stops_before_the_step():
    """The loss of the step is finite; the next one would not be, nor what is saved in between."""

    def root(model, batch):
        losses = loss(model, batch)
        return {**losses, "noun": losses["noun"] + torch.sqrt(0 * losses["noun"].detach() + 0 * losses["noun"])}

    model = model_of()
    kept = copy.deepcopy(model)
    steps = fit(
        model, root, stream(), make_optimizer(model, "sgd", **SGD), lambda step: 1.0, range(2), config=StepConfig()
    )
    with pytest.raises(LossNotFiniteError, match=r"step 1: the gradient is nan, the loss {'verb': "):
        next(steps)
    assert all(torch.equal(one, other) for one, other in zip(model.parameters(), kept.parameters(), strict=True))


def test_parts_of_a_batch_make_the_step_of_the_whole():
    """With statistics that do not see the batch, as they are where norms are frozen."""

    class Frozen(Small):
        def train(self, mode=True):
            super().train(mode)
            self.norm.eval()
            return self

    whole = data(0, size=12)
    parts = [
        Batch(
            inputs=Inputs(features=whole.inputs.features[first : first + 3]),
            targets={name: target[first : first + 3] for name, target in whole.targets.items()},
            ids=whole.ids[first : first + 3],
        )
        for first in range(0, 12, 3)
    ]
    torch.manual_seed(0)
    one = Frozen()
    other = copy.deepcopy(one)
    (big,) = run(one, 1, batches=iter([whole]))
    (small,) = run(other, 1, batches=iter(parts), config=StepConfig(micro_batches=4))
    assert small.losses == pytest.approx(big.losses, rel=1e-5)
    assert small.grad_norm == pytest.approx(big.grad_norm, rel=1e-5)
    assert (small.clips, big.clips) == (12, 12)
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_gradients_are_clipped_together_and_reported_before():
    model, free = model_of(), model_of()
    plain = {"lr": 1.0, "momentum": 0.0, "nesterov": False, "weight_decay": 0.0}
    before = [p.detach().clone() for p in model.parameters()]
    (clipped,) = run(model, 1, optim=make_optimizer(model, "sgd", **plain), config=StepConfig(clip_norm=0.01))
    (whole,) = run(free, 1, optim=make_optimizer(free, "sgd", **plain))
    assert clipped.grad_norm == whole.grad_norm > 0.01
    moved = torch.cat([(a - b).detach().flatten() for a, b in zip(model.parameters(), before, strict=True)])
    assert moved.norm().item() == pytest.approx(0.01, rel=1e-3)
    far = torch.cat([(a - b).detach().flatten() for a, b in zip(free.parameters(), before, strict=True)])
    torch.testing.assert_close(moved / moved.norm(), far / far.norm(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("cut", [1, 2, 5])
@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_going_on_repeats_the_run_bit_for_bit(cut, name):
    """Dropout and augmentation follow from the seed and the number of the step."""
    settings = {**SGD, "nesterov": name == "sgd"}
    how = StepConfig(seed=3)
    whole = model_of(dropout=0.5)
    optim = make_optimizer(whole, name, **settings)
    seen = run(whole, 6, optim=optim, batches=stream(augment=0.1), config=how)

    first = model_of(dropout=0.5)
    optim = make_optimizer(first, name, **settings)
    run(first, cut, optim=optim, batches=stream(augment=0.1), config=how)
    state = copy.deepcopy((first.state_dict(), optim.state_dict()))

    torch.manual_seed(999)
    torch.randn(7)  # another process has drawn other numbers
    second = model_of(seed=1, dropout=0.5)
    second.load_state_dict(state[0])
    optim = make_optimizer(second, name, **settings)
    optim.load_state_dict(state[1])
    rest = list(fit(second, loss, stream(cut, augment=0.1), optim, lambda step: 1.0, range(cut, 6), config=how))
    assert [(step.number, step.losses) for step in rest] == [(step.number, step.losses) for step in seen[cut:]]
    assert same(whole, second)


def test_seeds_and_ranks_draw_differently():
    losses = {
        (seed, rank): run(model_of(dropout=0.5), 2, config=StepConfig(seed=seed, rank=rank))[-1].loss
        for seed in (0, 1)
        for rank in (0, 1)
    }
    assert len(set(losses.values())) == 4


def test_the_caller_may_stop_between_two_steps():
    model = model_of()
    steps = fit(
        model, loss, stream(), make_optimizer(model, "sgd", **SGD), lambda step: 1.0, range(9), config=StepConfig()
    )
    next(steps)
    kept = copy.deepcopy(model)
    steps.close()
    assert same(model, kept)
    assert run(model, 0) == []


def test_bfloat16_computes_in_bfloat16_and_keeps_float32():
    kinds = []

    def spy(model, batch):
        logits = model(batch.inputs.signals)
        kinds.append(logits["verb"].dtype)
        return {"verb": nn.functional.cross_entropy(logits["verb"].float(), batch.targets["verb"])}

    model = model_of()
    optim = make_optimizer(model, "sgd", **SGD)
    list(fit(model, spy, stream(), optim, lambda step: 1.0, range(1), config=StepConfig(dtype=torch.bfloat16)))
    assert kinds == [torch.bfloat16]
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def on_cuda(batch):
    return batch.map(lambda value: value.cuda())


@pytest.mark.cuda
def test_a_device_leaves_everything_as_it_was_from_a_step_on_that_is_not_finite():
    """The error comes up to two steps late, and those two have changed nothing."""
    model = model_of().cuda()
    optim = make_optimizer(model, "sgd", **SGD)
    poisoned = data(3)
    poisoned.inputs.features[2, 1] = nan
    batches = map(on_cuda, [data(0), data(1), poisoned, *map(data, range(4, 9))])
    steps = fit(model, loss, iter(batches), optim, lambda step: 1.0, range(8), config=StepConfig())
    good = [next(steps), next(steps)]
    kept = copy.deepcopy(dict(model.named_parameters()))
    late = []
    with pytest.raises(LossNotFiniteError, match=r"^step 3: the loss is \{'verb': nan, 'noun': nan\}"):
        late += [next(steps) for _ in range(6)]
    assert [step.number for step in good] == [1, 2]
    assert len(late) <= IN_FLIGHT
    assert all(torch.equal(value, kept[name]) for name, value in model.named_parameters())


@pytest.mark.cuda
@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_a_device_takes_the_steps_of_the_host(name):
    settings = {**SGD, "nesterov": name == "sgd"}
    one, other = model_of(), model_of().cuda()
    here = run(one, 5, optim=make_optimizer(one, name, **settings))
    there = run(other, 5, optim=make_optimizer(other, name, **settings), batches=map(on_cuda, stream()))
    assert [step.losses for step in there] == [pytest.approx(step.losses, rel=1e-4) for step in here]
    assert [step.grad_norm for step in there] == [pytest.approx(step.grad_norm, rel=1e-4) for step in here]
    for (key, a), b in zip(one.named_parameters(), other.parameters(), strict=True):
        if key != "first.bias":  # a norm follows: its gradient is noise around zero, which Adam makes large
            torch.testing.assert_close(a, b.cpu(), rtol=1e-4, atol=1e-5)


def odd(numbers):
    """Batches of which the seventh is shorter, as where a recording could not be read."""
    for number in numbers:
        yield on_cuda(data(number, size=5 if number == 6 else 8))


@pytest.mark.cuda
@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_a_graph_takes_the_same_steps(name):
    """Dropout draws the same numbers, the rate is each step's own, and a batch of another size is one step as well."""
    settings = {**SGD, "nesterov": name == "sgd"}
    seen, models = [], []
    for graphs in (False, True):
        model = model_of(dropout=0.5).cuda()
        optim = make_optimizer(model, name, **settings)
        how = StepConfig(seed=3, clip_norm=1.0, cuda_graphs=graphs)
        seen.append(run(model, 10, optim=optim, batches=odd(range(10)), config=how, schedule=lambda step: 0.8**step))
        models.append(model)
    one, other = seen
    assert [step.clips for step in other] == [8, 8, 8, 8, 8, 8, 5, 8, 8, 8]
    assert [step.lr for step in other] == [step.lr for step in one]
    assert [step.losses for step in other] == [pytest.approx(step.losses, rel=1e-5) for step in one]
    for a, b in zip(models[0].state_dict().values(), models[1].state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.cuda
def test_a_graph_leaves_everything_as_it_was_too():
    model = model_of().cuda()
    optim = make_optimizer(model, "sgd", **SGD)
    poisoned = data(5)
    poisoned.inputs.features[2, 1] = nan
    batches = map(on_cuda, [*map(data, range(5)), poisoned, *map(data, range(6, 10))])
    steps = fit(model, loss, iter(batches), optim, lambda step: 1.0, range(10), config=StepConfig(cuda_graphs=True))
    for _ in range(5):
        next(steps)
    kept = copy.deepcopy(dict(model.named_parameters()))
    with pytest.raises(LossNotFiniteError, match=r"^step 6: the loss is"):
        list(steps)
    assert all(torch.equal(value, kept[name]) for name, value in model.named_parameters())


def test_an_optimiser_leaves_frozen_parameters_out():
    model = model_of()
    model.norm.requires_grad_(False)
    for name in ("sgd", "adam", "adamw"):
        made = make_optimizer(model, name, **{**SGD, "nesterov": name == "sgd"})
        chosen = {id(p) for group in made.param_groups for p in group["params"]}
        assert chosen == {id(p) for p in model.parameters()} - {id(p) for p in model.norm.parameters()}
        assert made.defaults["weight_decay"] == 1e-3
        assert made.defaults.get("betas", (0.9,))[0] == made.defaults.get("momentum", 0.9) == 0.9
