"""SimCLR: its loss against loops, and what is reported."""

from math import exp, log

import pytest
import torch

from slowfast_cli.tasks.byol import Byol
from slowfast_cli.tasks.simclr import POSITIVE, Projector, SimCLR, gathered, positives, positives_of
from slowfast_cli.types import Batch, Inputs

CPU = torch.device("cpu")
IDS = ("a", "b", "c", "b", "d", "a", "c")  # d is alone: its twin could not be read


def embedded(ids, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(len(ids), 5, generator=draw), dim=1).requires_grad_()


def asked(ids):
    return Batch(inputs=Inputs(), targets={}, ids=tuple(ids))


def losses(rows, ids, temperature):
    """One loss a clip that has a twin, as the paper writes it."""
    found = []
    for i, id_ in enumerate(ids):
        others = [j for j in range(len(ids)) if j != i]
        for j in others:
            if ids[j] == id_:
                near = {k: exp(float(rows[i] @ rows[k]) / temperature) for k in others}
                found.append(-log(near[j] / sum(near.values())))
    return found


@pytest.mark.parametrize("temperature", [0.1, 1.0])
@pytest.mark.parametrize("ids", [IDS, "abab", "aabb", "abb"], ids="".join)
def test_the_loss_is_its_definition(ids, temperature):
    rows = embedded(ids)
    wanted = losses(rows.detach(), ids, temperature)
    found = SimCLR(temperature=temperature).losses({"embedding": rows}, asked(ids))["simclr"]
    assert found.item() == pytest.approx(sum(wanted) / len(wanted), rel=1e-5)


def test_a_clip_without_its_twin_is_still_a_wrong_answer():
    rows = embedded(IDS)
    SimCLR().losses({"embedding": rows}, asked(IDS))["simclr"].backward()
    assert rows.grad.isfinite().all()
    assert rows.grad[4].abs().max() > 0
    without = [place for place in range(7) if place != 4]
    fewer = losses(rows.detach()[without], [IDS[place] for place in without], 0.1)
    whole = losses(rows.detach(), IDS, 0.1)
    assert all(one < more for one, more in zip(fewer, whole, strict=True))


@pytest.mark.parametrize("ids", ["abc", "a"])
def test_nobody_has_a_twin(ids):
    rows = embedded(ids)
    found = SimCLR().losses({"embedding": rows}, asked(ids))["simclr"]
    found.backward()
    assert found.item() == 0
    assert not rows.grad.any()


def test_reported_is_whether_the_nearest_is_the_twin():
    rows = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.05, 0.95]])
    rows = torch.nn.functional.normalize(rows, dim=1)
    reported = SimCLR().scores({"embedding": rows}, asked("abacbd"))["pretext_top1"]
    # Both b are nearest to d.
    assert reported[:, 0].tolist() == [1, 0, 1, 0, 0, 0]
    again = SimCLR().scores({"embedding": rows[[0, 2, 1, 5]]}, asked("aabb"))["pretext_top1"]
    assert again[:, 0].tolist() == [1, 1, 1, 1]
    alone = SimCLR().scores({"embedding": rows[[0, 2, 1]]}, asked("aab"))["pretext_top1"]
    assert alone[:, 0].tolist() == [1, 1, 0]


def test_twins_are_found():
    for ids in (IDS, "abcdeabcde", "aabbcc", "abccba"):
        positive, paired = positives_of(asked(ids), CPU)
        reported = Batch(inputs=Inputs(), targets={POSITIVE: torch.tensor(positives(ids))}, ids=())
        assert [value.tolist() for value in positives_of(reported, CPU)] == [positive.tolist(), paired.tolist()]
        for place, id_ in enumerate(ids):
            other = [each for each in range(len(ids)) if each != place and ids[each] == id_]
            assert paired[place] == len(other)
            if other:
                assert positive[place] == other[0]


def test_byol_finds_its_views_by_the_same_function(monkeypatch):
    seen = []
    monkeypatch.setattr(
        "slowfast_cli.tasks.byol.positives_of",
        lambda batch, device: seen.append(batch.ids) or positives_of(batch, device),
    )
    rows = {"byol_predicted": embedded("abab"), "byol_slow": embedded("abab", seed=1)}
    Byol().losses(rows, asked("abab"))
    assert seen == [tuple("abab")]


def test_one_process_gathers_nothing():
    rows = embedded("ab")
    everyone, first = gathered(rows)
    assert everyone is rows
    assert first == 0


class Trunk(torch.nn.Module):
    def forward(self, signals):
        return {"fast": signals["features"], "slow": 2 * signals["features"]}


def test_the_projector_joins_the_streams_and_ends_on_the_sphere():
    projector = Projector(6, hidden=8, layers=3, out=4)
    assert [layer.out_features for layer in projector.layers if hasattr(layer, "out_features")] == [8, 8, 8, 4]
    x = torch.randn(5, 3)
    found = projector(Trunk(), {"features": x})["embedding"]
    raw = projector.layers(torch.cat([x, 2 * x], dim=1))
    torch.testing.assert_close(found, raw / raw.norm(dim=1, keepdim=True))
    assert len(Projector(6, hidden=8, layers=0, out=4).layers) == 1
