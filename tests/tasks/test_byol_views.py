"""BYOL-A's augmentation against torch's own interpolation, clip by clip, and plain arithmetic."""

import pytest
import torch
from torch.nn import functional as f

from slowfast_cli.tasks import byol
from slowfast_cli.tasks.byol import TwoViews, log_mixup_exp, random_resize_crop, standardized


def clips(count=3, frames=24, bands=16, seed=0):
    return torch.randn(count, 1, frames, bands, generator=torch.Generator().manual_seed(seed))


def test_mixing_adds_energies():
    a, b = clips(seed=1), clips(seed=2)
    share = torch.tensor([0.0, 0.2, 0.4])
    found = log_mixup_exp(a, b, share)
    torch.testing.assert_close(found[0], a[0])
    for row in (1, 2):
        want = ((1 - share[row]) * a[row].exp() + share[row] * b[row].exp()).log()
        torch.testing.assert_close(found[row], want)


@pytest.mark.parametrize("seed", range(4))
def test_a_stretch_is_what_torch_makes_of_it(seed, monkeypatch):
    kept, draw = [], byol._ranges

    def recording(*arguments):
        kept.append(draw(*arguments))
        return kept[-1]

    monkeypatch.setattr(byol, "_ranges", recording)
    torch.manual_seed(seed)
    x = clips(count=8)
    found = random_resize_crop(x, canvas=1.5, scale=(0.6, 1.5))
    (starts, frames), (lows, bands) = kept
    area = f.pad(x, (0, 0, 6, 6))
    for row in range(8):
        cut = area[row, :, starts[row] : starts[row] + frames[row], lows[row] : lows[row] + bands[row]]
        assert cut.shape[1:] == (frames[row], bands[row])
        want = f.interpolate(cut[None], (24, 16), mode="bicubic", align_corners=True)[0]
        torch.testing.assert_close(found[row], want, rtol=1e-4, atol=1e-4)


def test_stretches_are_of_the_sizes_that_were_asked_for():
    torch.manual_seed(0)
    first, length = byol._ranges(4000, 100, 150, (0.6, 1.5), torch.device("cpu"))
    assert (length.min(), length.max()) == (60, 149)
    assert first.min() == 0
    assert (first + length).max() == 150
    first, length = byol._ranges(4000, 64, 64, (0.6, 1.5), torch.device("cpu"))
    assert length.max() == 64
    assert (length == 64).float().mean() == pytest.approx(0.5 / 0.9, abs=0.03)  # drawn larger, cut to the area
    assert not first[length == 64].any()


def test_whole_clips_come_back():
    x = clips()
    torch.testing.assert_close(random_resize_crop(x, canvas=1.0, scale=(1.0, 1.0)), x)


def test_views_are_two_of_each_and_normal():
    torch.manual_seed(0)
    views = TwoViews()
    x = 5 + 3 * clips(count=6)
    found = views(x)
    assert found.shape == (12, 1, 24, 16)
    assert found.mean().item() == pytest.approx(0, abs=1e-5)
    assert found.std().item() == pytest.approx(1, abs=1e-5)
    assert not torch.allclose(found[:6], found[6:])
    assert not torch.allclose(found[:6], views(x)[:6])


def test_mean_and_deviation_are_those_of_all_clips_until_they_are_settled():
    views = TwoViews(settled=9)
    batches = [2 + 3 * clips(count=count, seed=count) for count in (2, 4, 5)]
    for batch in batches:
        views(batch)
    every = torch.cat(batches).double()
    assert views.mean.item() == pytest.approx(every.mean().item())
    assert (views.square - views.mean**2).sqrt().item() == pytest.approx(every.std(correction=0).item())
    views(100 + clips())
    assert views.mean.item() == pytest.approx(every.mean().item())
    restored = TwoViews(settled=9)
    restored.load_state_dict(views.state_dict())
    assert restored.mean == views.mean
    assert restored.seen == 11


def test_past_clips_are_mixed_in_and_the_oldest_are_forgotten():
    torch.manual_seed(0)
    whole = {"canvas": 1.0, "scale": (1.0, 1.0)}
    views = TwoViews(memory=5, **whole)
    x = clips(count=3)
    alone = views(x)  # nothing is remembered yet
    torch.testing.assert_close(alone[:3], alone[3:])
    assert len(views.past) == 3
    views(clips(count=4, seed=1))
    assert len(views.past) == 5
    mixed = views(x)
    assert not torch.allclose(mixed[:3], mixed[3:])
    views(clips(count=2, frames=30))  # of another length: they mix with nothing
    assert views.past.shape == (2, 1, 30, 16)


def test_standardized():
    found = standardized(7 + 2 * clips())
    assert found.mean().item() == pytest.approx(0, abs=1e-6)
    assert found.std().item() == pytest.approx(1)
    assert not standardized(torch.full((2, 1, 4, 4), 3.0)).any()
