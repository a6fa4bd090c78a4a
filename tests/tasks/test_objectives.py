"""What networks are pretrained by: each loss against loops, gradients for all that learns, and it is learned."""

from dataclasses import replace
from math import exp, log

import pytest
import torch

from slowfast_cli.models.baseline import BaselineTrunk
from slowfast_cli.models.baselines.zoo import BASELINES
from slowfast_cli.tasks import infonce, masked
from slowfast_cli.tasks.byol import Byol, ByolObjective
from slowfast_cli.tasks.cpc import Cpc, CpcObjective
from slowfast_cli.tasks.masked import Masked, MaskedObjective
from slowfast_cli.types import Batch, Inputs

TINY = {
    "byol": replace(BASELINES["byola-cnn"], length=32, bands=16),
    "cpc": replace(BASELINES["bidir-cpc"], length=32),
    "masked": replace(BASELINES["wav2vec2-base"], length=48),
}
MAKE = {
    "byol": lambda trunk: ByolObjective(trunk, hidden=64, size=16, decay=0.9),
    "cpc": lambda trunk: CpcObjective(trunk, steps=4, negatives=5),
    "masked": lambda trunk: MaskedObjective(trunk, size=16, starts=0.1, span=3, negatives=7),
}
PART = {"byol": Byol(), "cpc": Cpc(), "masked": Masked()}
LENGTH = {"cpc": 4800, "masked": 9600}
OBJECTIVES = pytest.mark.parametrize("name", TINY)


def made(name):
    torch.manual_seed(0)
    trunk = BaselineTrunk(TINY[name])
    return trunk, MAKE[name](trunk)


def halves(clips, samples, generator):
    """A tone then noise, or noise then a tone: the continuation is predictable."""
    noise = torch.randn(clips, samples, generator=generator)
    tone = torch.sin(torch.arange(samples) * 0.3)
    noise_first = torch.rand(clips, 1, generator=generator) < 0.5
    return torch.where((torch.arange(samples) < samples // 2) == noise_first, noise, tone)


def batch(name, clips=4, seed=3):
    generator = torch.Generator().manual_seed(seed)
    if name != "byol":
        return Batch(
            inputs=Inputs(samples=halves(clips, LENGTH[name], generator)),
            targets={},
            ids=tuple(str(n) for n in range(clips)),
        )
    plain = torch.randn(clips, 1, 1, 16, generator=generator).expand(-1, -1, 32, -1)
    views = [plain + 0.3 * torch.randn(clips, 1, 32, 16, generator=generator) for _ in range(2)]
    return Batch(inputs=Inputs(logmel=torch.cat(views)), targets={}, ids=tuple(str(n) for n in range(clips)) * 2)


@OBJECTIVES
def test_every_parameter_that_learns_gets_a_gradient(name):
    trunk, objective = made(name)
    both = torch.nn.ModuleDict({"trunk": trunk, "objective": objective}).train()
    asked = batch(name)
    sum(PART[name].losses(objective(trunk, asked.inputs.signals), asked).values()).backward()
    silent = [key for key, p in both.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    # The scale of the masked predictions' last norm is followed by cosines, which it moves all the same.
    assert not silent
    slow = [key for key, p in both.named_parameters() if not p.requires_grad]
    assert all(key.startswith("objective.slow_") for key in slow)
    assert bool(slow) == (name == "byol")


@pytest.mark.thorough
@OBJECTIVES
def test_it_is_learned(name):
    trunk, objective = made(name)
    learning = [p for p in (*trunk.parameters(), *objective.parameters()) if p.requires_grad]
    optimizer = torch.optim.Adam(learning, lr=2e-3)
    losses = []
    for step in range(40):
        asked = batch(name, clips=8, seed=step % 5)
        loss = sum(PART[name].losses(objective(trunk, asked.inputs.signals), asked).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if hasattr(objective, "momentum_update"):
            objective.momentum_update(trunk)
        losses.append(loss.item())
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])
    trunk.eval()
    objective.eval()
    asked = batch(name, clips=8, seed=99)
    with torch.inference_mode():
        reported = PART[name].scores(objective(trunk, asked.inputs.signals), asked)["pretext_top1"]
    assert reported.shape == (len(asked.ids), 1)
    assert 0 <= reported.min() <= reported.max() <= 1
    chance = {"byol": 1 / 15, "cpc": 1 / 6, "masked": 1 / 8}[name]
    assert reported.mean() > 1.5 * chance


def cosine(a, b):
    return float(a @ b / (a.norm() * b.norm()))


def test_byol_is_its_definition():
    generator = torch.Generator().manual_seed(1)
    predicted, slow = torch.randn(6, 5, generator=generator), torch.randn(6, 5, generator=generator)
    outputs = {"byol_predicted": predicted, "byol_slow": slow}
    ids = ("a", "b", "c", "c", "a", "b")
    asked = Batch(inputs=Inputs(), targets={}, ids=ids)
    total, reported = 0.0, []
    for row, id_ in enumerate(ids):
        (other,) = (n for n in range(6) if ids[n] == id_ and n != row)
        total += 2 - 2 * cosine(predicted[row], slow[other])
        easy_negatives = [cosine(predicted[row], slow[n]) for n in range(6) if ids[n] != id_]
        reported.append(float(cosine(predicted[row], slow[other]) > max(easy_negatives)))
    assert PART["byol"].losses(outputs, asked)["byol"].item() == pytest.approx(total / 3, rel=1e-5)
    assert PART["byol"].scores(outputs, asked)["pretext_top1"][:, 0].tolist() == reported
    assert {*reported} == {0.0, 1.0}


def test_a_clip_with_one_view_only_does_not_count():
    generator = torch.Generator().manual_seed(1)
    rows = {
        "byol_predicted": torch.randn(5, 4, generator=generator),
        "byol_slow": torch.randn(5, 4, generator=generator),
    }
    without = {name: value[[0, 1, 3, 4]] for name, value in rows.items()}
    found, want = (
        PART["byol"].losses(outputs, Batch(inputs=Inputs(), targets={}, ids=tuple(ids)))["byol"]
        for outputs, ids in ((rows, "abcab"), (without, "abab"))
    )
    torch.testing.assert_close(found, want)
    reported = PART["byol"].scores(rows, Batch(inputs=Inputs(), targets={}, ids=tuple("abcab")))["pretext_top1"]
    assert reported[2] == 0


def test_the_slow_copies_follow():
    trunk, objective = made("byol")
    before = [p.clone() for p in objective.slow_trunk.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(before, trunk.parameters(), strict=True))
    with torch.no_grad():
        for p in trunk.parameters():
            p.add_(1)
        objective.projector[0].bias.fill_(2)
        objective.slow_projector[0].bias.fill_(1)
    objective.momentum_update(trunk)
    for old, now in zip(before, objective.slow_trunk.parameters(), strict=True):
        torch.testing.assert_close(now, old + 0.1)
    torch.testing.assert_close(objective.slow_projector[0].bias, torch.full((64,), 1.1))


def test_byol_sees_no_gradient_in_the_slow_copy():
    trunk, objective = made("byol")
    outputs = objective(trunk, batch("byol").inputs.signals)
    assert outputs["byol_predicted"].requires_grad
    assert not outputs["byol_slow"].requires_grad


def info_nce(right, others):
    return -log(exp(right) / (exp(right) + sum(exp(other) for other in others)))


@pytest.fixture
def drawn(monkeypatch):
    """The wrong answers, as they are drawn."""
    kept, draw = [], infonce.draw_negatives

    def recording(*arguments):
        kept.append(draw(*arguments))
        return kept[-1]

    monkeypatch.setattr(infonce, "draw_negatives", recording)
    return kept


def test_cpc_is_its_definition(drawn):
    trunk, objective = made("cpc")
    asked = batch("cpc", clips=2)
    with torch.no_grad():
        outputs = objective(trunk, asked.inputs.signals)
        encoded = trunk.body.encode(asked.inputs.samples)
        past, future = trunk.body.contexts(encoded)
    T = encoded.shape[2]
    assert (T, len(drawn)) == (28, 8)
    total, right, questions = 0.0, [0, 0], 0
    for direction, (predictors, context) in enumerate(((objective.ahead, past), (objective.back, future))):
        for step in range(1, 5):
            for clip in range(2):
                for n in range(T - step):
                    # In the second direction time runs backwards: step n is T - 1 - n, and drawn numbers too.
                    at, way = (n, 1) if direction == 0 else (T - 1 - n, -1)
                    with torch.no_grad():
                        predicted = predictors[step - 1](context[clip, :, at])
                    answers = drawn[4 * direction + step - 1][clip, n].tolist()
                    answers = answers if direction == 0 else [T - 1 - other for other in answers]
                    assert at + way * step not in answers
                    good = float(predicted @ encoded[clip, :, at + way * step]) / 4
                    bad = [float(predicted @ encoded[clip, :, other]) / 4 for other in answers]
                    total += info_nce(good, bad)
                    right[clip] += good > max(bad)
                    questions += 1
    assert outputs["cpc_choices"].shape == (2, questions / 2, 6)
    assert PART["cpc"].losses(outputs, asked)["cpc"].item() == pytest.approx(total / questions, rel=1e-4)
    reported = PART["cpc"].scores(outputs, asked)["pretext_top1"][:, 0]
    assert reported.tolist() == pytest.approx([n / (questions / 2) for n in right], abs=1e-6)


def test_masked_is_its_definition(drawn, monkeypatch):
    trunk, objective = made("masked")
    trunk.eval()
    asked = batch("masked", clips=2)
    places = torch.tensor([[1, 2, 3, 7], [0, 5, 6, 11]])
    monkeypatch.setattr(masked, "draw_mask", lambda *sizes, **settings: places)
    body = trunk.body
    with torch.no_grad():
        outputs = objective(trunk, asked.inputs.signals)
        encoded = body.encode(asked.inputs.samples)
        normed = body.normalize(encoded)
        total, right = 0.0, [0, 0]
        for clip in range(2):
            read = body.project(normed)[clip].clone()
            for place in places[clip]:
                read[place] = objective.mask
            context = body.contextualize(read[None])[0]
            targets = [objective.target(normed[clip, place]) for place in places[clip]]
            for n, place in enumerate(places[clip]):
                answer = objective.answer(context[place])
                others = drawn[0][clip, n].tolist()
                assert n not in others
                good = cosine(answer, targets[n]) / 0.1
                bad = [cosine(answer, targets[other]) / 0.1 for other in others]
                total += info_nce(good, bad)
                right[clip] += good > max(bad)
    losses = PART["masked"].losses(outputs, asked)
    assert losses["masked"].item() == pytest.approx(total / 8, rel=1e-4)
    assert losses["energy"].item() == pytest.approx(10 * float(encoded.square().mean()), rel=1e-4)
    assert PART["masked"].scores(outputs, asked)["pretext_top1"][:, 0].tolist() == [n / 4 for n in right]


def test_the_convolutions_learn_ten_times_slower():
    trunk, objective = made("masked")
    trunk.eval()
    first = trunk.body.network.feature_extractor.conv_layers[0].conv.weight
    found = []
    for slower in (masked.CONV_GRADIENT, 1.0):
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(masked, "CONV_GRADIENT", slower)
            torch.manual_seed(1)
            outputs = objective(trunk, batch("masked").inputs.signals)
        (gradient,) = torch.autograd.grad(outputs["masked_choices"][:, :, 0].sum(), first)
        found.append(gradient)
    torch.testing.assert_close(found[0] * 10, found[1], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("steps", "starts", "span"), [(200, 0.065, 10), (40, 0.2, 7), (12, 0.065, 10)])
def test_spans_cover_as_many_steps_in_each_clip(steps, starts, span):
    torch.manual_seed(0)
    places = masked.draw_mask(5, steps, starts=starts, span=span, device=torch.device("cpu"))
    number = max(1, round(starts * steps))
    assert span * 0.5 < places.shape[1] <= number * span
    for clip in places:
        assert clip.tolist() == sorted(set(clip.tolist()))
        assert 0 <= clip.min() <= clip.max() < steps
    if steps == 200:  # most of what is masked is masked together
        together = (places.diff(dim=1) == 1).float().mean()
        assert together > 0.8


def test_half_of_the_steps_are_masked_as_in_the_paper():
    torch.manual_seed(0)
    places = masked.draw_mask(1, 5000, starts=0.065, span=10, device=torch.device("cpu"))
    assert places.shape[1] / 5000 == pytest.approx(0.49, abs=0.02)


def test_wrong_answers_are_drawn_evenly():
    torch.manual_seed(0)
    right = torch.tensor([0, 3, 4])[None, :, None]
    found = infonce.draw_negatives(right, 5, 4000)[0]
    for row, answer in enumerate((0, 3, 4)):
        counts = torch.bincount(found[row], minlength=5)
        assert counts[answer] == 0
        assert all(900 < count < 1100 for n, count in enumerate(counts.tolist()) if n != answer)


@pytest.mark.parametrize(
    ("name", "samples", "words"), [("cpc", 1000, "expected more than 4"), ("masked", 1300, "of a masked span")]
)
def test_clips_that_are_too_short_are_refused(name, samples, words):
    trunk, objective = made(name)
    with pytest.raises(ValueError, match=words):
        objective(trunk, {"samples": torch.randn(2, samples)})


@pytest.mark.parametrize(("name", "needed"), [("cpc", "bidir-cpc"), ("masked", "wav2vec2")])
def test_other_networks_are_refused(name, needed):
    with pytest.raises(ValueError, match=needed):
        MAKE[name](BaselineTrunk(TINY["byol"]))
