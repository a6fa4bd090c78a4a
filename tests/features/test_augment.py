"""Augmentation of log-mels and samples."""

import pytest
import torch

from slowfast_cli.features.augment import augment_logmel, mixup, roll_and_stretch, shift_bands, time_warp
from slowfast_cli.settings import Augment


def test_default_settings_change_nothing():
    x = torch.randn(3, 1, 50, 20)
    torch.testing.assert_close(augment_logmel(x, Augment()), x)


def test_masks_are_filled_with_the_mean_and_have_random_widths():
    torch.manual_seed(0)
    x = torch.randn(400, 1, 60, 40) + 3
    y = augment_logmel(x, Augment(freq_masks=1, freq_width=10))
    unchanged = torch.isclose(y, x, atol=1e-5)
    columns = (~unchanged).any(dim=2)[:, 0].sum(1)  # masked bands of each clip
    assert columns.max() == 10
    assert columns.min() == 0
    assert len(set(columns.tolist())) > 8  # drawn per clip
    masked = y[~unchanged].view(-1)
    means = x.mean(dim=(1, 2, 3), keepdim=True).expand_as(x)[~unchanged]
    torch.testing.assert_close(masked, means, atol=1e-5, rtol=0)


def test_time_masks_span_all_bands():
    torch.manual_seed(1)
    x = torch.randn(50, 1, 60, 40)
    changed = ~torch.isclose(augment_logmel(x, Augment(time_masks=1, time_width=25)), x, atol=1e-5)
    rows = changed.any(dim=3)[:, 0]
    assert changed.float().mean(dim=3)[:, 0][rows].min() > 0.9  # a value may equal the mean
    assert 15 < rows.sum(1).max() <= 25


def test_time_warp_keeps_the_ends():
    torch.manual_seed(2)
    ramp = torch.arange(100.0).view(1, 1, 100, 1).repeat(64, 1, 1, 6)
    warped = time_warp(ramp, 5)
    torch.testing.assert_close(warped[:, :, [0, -1]], ramp[:, :, [0, -1]], atol=1e-3, rtol=0)
    moved = (warped - ramp).abs().amax(dim=(1, 2, 3))
    assert 3 < moved.max() <= 5.01
    assert (warped.diff(dim=2) > 0).all()  # monotone in time


def test_clips_too_short_to_warp_are_unchanged():
    x = torch.randn(2, 1, 9, 4)
    assert torch.equal(time_warp(x, 5), x)


def test_rolling_keeps_every_frame():
    x = torch.randn(8, 1, 30, 5)
    y = roll_and_stretch(x, roll=True, stretch=0)
    assert not torch.equal(x, y)
    torch.testing.assert_close(x.sort(dim=2).values, y.sort(dim=2).values)


def test_stretching_keeps_order_and_speed():
    torch.manual_seed(4)
    ramp = torch.arange(100.0).view(1, 1, 100, 1).repeat(200, 1, 1, 2)
    y = roll_and_stretch(ramp, roll=False, stretch=0.2)[:, 0, :, 0]
    assert (y[:, 0] == 0).all()
    speeds = y[:, 50] / 50
    assert 0.8 <= speeds.min() < 0.85
    assert 1.15 < speeds.max() <= 1.2


def test_shifting_moves_bands_and_repeats_the_edge():
    torch.manual_seed(5)
    ramp = torch.arange(10.0).view(1, 1, 1, 10).repeat(100, 1, 3, 1)
    y = shift_bands(ramp, 2)[:, 0, 0]
    assert {tuple(row.tolist()) for row in y} == {
        tuple(min(max(band + by, 0), 9) for band in map(float, range(10))) for by in range(-2, 3)
    }


def test_gain_shifts_all_bins_equally():
    x = torch.randn(64, 1, 30, 5)
    moved = (augment_logmel(x, Augment(gain_db=6)) - x).flatten(1)
    assert moved.std(dim=1).max() < 1e-5
    assert 0.5 < moved.abs().max() <= 6 * 0.1151293 + 1e-4


def test_mixup_adds_magnitudes_and_targets():
    torch.manual_seed(3)
    x = torch.randn(16, 1, 10, 4)
    mixed, soft = mixup(x, {"label": torch.arange(16) % 3}, {"label": 3}, 0.5)
    torch.testing.assert_close(soft["label"].sum(1), torch.ones(16))
    assert (soft["label"].max(1).values >= 0.5).all()
    share = soft["label"].gather(1, (torch.arange(16) % 3)[:, None])[:, 0]
    for row in range(16):  # each row is its share of itself plus the rest of another row
        rest = mixed[row].exp() - share[row].clamp(max=1) * x[row].exp()
        others = [(rest - (1 - share[row]) * x[other].exp()).abs().max() < 1e-3 for other in range(16)]
        assert any(others) or share[row] == 1 or soft["label"][row].max() == 1


def test_mixup_of_samples_with_an_unfolded_share():
    """HARES draws the share of the first clip from Beta(5, 2), so it may be the smaller one."""
    torch.manual_seed(3)
    x, multi_hot, classes = torch.randn(2000, 6), (torch.rand(2000, 5) < 0.3).float(), torch.arange(2000) % 3
    targets = {"which": torch.eye(2000), "tags": multi_hot, "label": classes}
    mixed, soft = mixup(x, targets, {"which": 2000, "tags": 5, "label": 3}, 5, 2)
    which = soft["which"]  # shares of all clips in each mixed clip
    assert ((which > 0).sum(1) <= 2).all()
    torch.testing.assert_close(mixed, which @ x, atol=1e-5, rtol=0)
    torch.testing.assert_close(soft["tags"], which @ multi_hot, atol=1e-5, rtol=0)
    torch.testing.assert_close(
        soft["label"], which @ torch.nn.functional.one_hot(classes, 3).float(), atol=1e-5, rtol=0
    )
    shares = which.diagonal()[(which > 0).sum(1) == 2]  # without clips mixed with themselves
    assert len(shares) > 1990
    assert shares.mean().item() == pytest.approx(5 / 7, abs=0.015)
    assert shares.std().item() == pytest.approx((5 * 2 / (7**2 * 8)) ** 0.5, abs=0.01)
    assert (shares < 0.5).float().mean().item() == pytest.approx(7 / 64, abs=0.025)


def test_mixup_of_multi_label_targets():
    torch.manual_seed(1)
    x = torch.zeros(200, 1, 2, 3) + torch.arange(200.0)[:, None, None, None] / 50
    multi_hot = torch.eye(200)
    mixed, soft = mixup(x, {"tags": multi_hot}, {"tags": 200}, 5, 2)
    expected = (soft["tags"] @ x[:, 0, 0, 0].exp()).log()
    torch.testing.assert_close(mixed, expected[:, None, None, None].expand_as(x), atol=1e-4, rtol=0)
    own = soft["tags"].diagonal()
    assert own.mean().item() == pytest.approx(5 / 7, abs=0.04)
    assert own.min() < 0.5


@pytest.mark.cuda
def test_augmentation_runs_on_cuda():
    x = torch.randn(8, 1, 512, 128, device="cuda")
    y = augment_logmel(x, Augment(freq_masks=2, time_masks=2, warp=5, roll=True, gain_db=3))
    assert y.is_cuda
    assert y.isfinite().all()
