"""Frames on the device: the same pixels as resizing the whole picture and cropping it, and boxes that follow."""

import pytest
import torch
from torch.nn import functional as f

from slowfast_cli.features.frames import Cut, placed, random_cut, rotated, sampled, short_side
from slowfast_cli.features.frames import eval_crop as cut_for_testing
from slowfast_cli.settings import Frames

SETTINGS = Frames(crop=32, jitter=(36, 48), side=40)


def padded(clips):
    """A batch of clips (3, T, h, w) of several sizes, rubbish beyond their own."""
    sizes = torch.tensor([clip.shape[2:] for clip in clips])
    height, width = sizes.amax(0).tolist()
    whole = torch.full((len(clips), *clips[0].shape[:2], height, width), 255, dtype=torch.uint8)
    for row, clip in enumerate(clips):
        whole[row, :, :, : clip.shape[2], : clip.shape[3]] = clip
    return whole, sizes


def slow(clip, cut, row, settings):
    """Resize all of it, crop, mirror, normalise."""
    frames = clip.float().transpose(0, 1)
    height, width = cut.resized[row].tolist()
    resized = f.interpolate(frames, (height, width), mode="bilinear", align_corners=False)
    top, left = cut.corner[row].tolist()
    piece = resized[:, :, top : top + cut.size[0], left : left + cut.size[1]]
    piece = piece.flip(3) if cut.flipped[row] else piece
    return ((piece / 255 - settings.mean) / settings.std).transpose(0, 1)


@pytest.fixture
def clips():
    torch.manual_seed(0)
    return [torch.randint(0, 256, (3, 2, *size), dtype=torch.uint8) for size in ((50, 70), (90, 40), (48, 48))]


def test_training_pixels_are_those_of_resizing_and_cropping(clips):
    whole, sizes = padded(clips)
    flips = set()
    for seed in range(8):
        torch.manual_seed(seed)
        cut = random_cut(sizes, SETTINGS)
        got = sampled(whole, sizes, cut, SETTINGS)
        assert got.shape == (3, 3, 2, 32, 32)
        for row, clip in enumerate(clips):
            torch.testing.assert_close(got[row], slow(clip, cut, row, SETTINGS), atol=2e-4, rtol=0)
        flips |= set(cut.flipped.tolist())
    assert flips == {True, False}


def test_random_cuts_reach_every_size_place_and_side():
    sizes = torch.tensor([[60, 80]] * 4000)
    torch.manual_seed(0)
    cut = random_cut(sizes, SETTINGS)
    short = cut.resized.amin(1)
    assert set(short.tolist()) == set(range(36, 49))
    assert torch.equal(cut.resized, short_side(sizes, short))
    room = cut.resized - 32
    assert (cut.corner >= 0).all()
    assert (cut.corner <= room).all()
    assert (cut.corner == room).any(0).all()
    assert (cut.corner == 0).any(0).all()
    assert 0.45 < cut.flipped.float().mean() < 0.55
    torch.manual_seed(0)
    assert not random_cut(sizes, Frames(crop=32, jitter=(36, 48), flip=False)).flipped.any()


@pytest.mark.parametrize(("size", "corners"), [((50, 80), [0, 12, 24]), ((96, 40), [0, 28, 56])])
def test_three_crops_go_from_end_to_end(clips, size, corners):
    """As PySlowFast's: the middle one rounded up."""
    clip = torch.randint(0, 256, (3, 2, *size), dtype=torch.uint8)
    whole, sizes = padded([clip])
    along = int(size[1] > size[0])
    for number, corner in enumerate(corners):
        cut = cut_for_testing(sizes, SETTINGS, number)
        assert cut.corner[0, along] == corner
        assert cut.corner[0, 1 - along] == 0
        got = sampled(whole, sizes, cut, SETTINGS)
        torch.testing.assert_close(got[0], slow(clip, cut, 0, SETTINGS), atol=2e-4, rtol=0)


def test_a_single_crop_is_in_the_middle_and_none_is_the_whole_frame(clips):
    whole, sizes = padded(clips[:1])
    one = cut_for_testing(sizes, Frames(crop=32, jitter=(36, 48), side=40, crops=1), 0)
    assert one.corner.tolist() == [[0, 8]]
    everything = Frames(crop=32, jitter=(36, 48), side=40, crops=0)
    cut = cut_for_testing(sizes, everything, 0)
    assert cut.size == (40, 56)
    got = sampled(whole, sizes, cut, everything)
    torch.testing.assert_close(got[0], slow(clips[0], cut, 0, everything), atol=2e-4, rtol=0)
    with pytest.raises(ValueError, match="whole frames of different sizes"):
        cut_for_testing(torch.tensor([[50, 70], [90, 40]]), everything, 0)


def test_boxes_follow_the_pixels():
    """A white box in a black frame is where its box says, whatever the cut."""
    place = (0.25, 0.3, 0.5, 0.7)
    clip = torch.zeros(3, 1, 100, 160, dtype=torch.uint8)
    clip[:, :, 30:70, 40:80] = 255
    sizes = torch.tensor([[100, 160]])
    settings = Frames(crop=80, jitter=(90, 110), mean=0, std=1)
    seen = 0
    for seed in range(20):
        torch.manual_seed(seed)
        cut = random_cut(sizes, settings)
        picture = sampled(clip[None], sizes, cut, settings)[0, 0, 0] > 0.5
        _, x1, y1, x2, y2 = placed(torch.tensor([[0.0, *place]]), cut)[0].tolist()
        rows, columns = picture.any(1).nonzero().flatten(), picture.any(0).nonzero().flatten()
        if not len(rows):
            continue
        seen += 1
        found = (float(columns[0]), float(rows[0]), float(columns[-1]), float(rows[-1]))
        assert max(abs(a - b) for a, b in zip((x1, y1, x2, y2), found, strict=True)) <= 1.5
    assert seen > 15


def test_boxes_stay_inside_and_keep_their_row():
    cut = Cut(
        resized=torch.tensor([[100, 200], [100, 200]]), corner=torch.tensor([[10, 20], [0, 100]]),
        flipped=torch.tensor([False, True]), size=(80, 80),
    )  # fmt: skip
    got = placed(torch.tensor([[0.0, 0, 0, 1, 1], [1.0, 0.5, 0.5, 0.6, 0.6]]), cut)
    torch.testing.assert_close(got, torch.tensor([[0.0, 0, 0, 79, 79], [1, 59, 50, 79, 60]]))


def test_quarters_turn_counter_clockwise():
    frames = torch.arange(4.0).reshape(1, 1, 1, 2, 2).expand(4, 3, 1, 2, 2)
    got = rotated({"frames": frames}, torch.arange(4))["frames"][:, 0, 0]
    assert got.tolist() == [[[0, 1], [2, 3]], [[1, 3], [0, 2]], [[3, 2], [1, 0]], [[2, 0], [3, 1]]]


def test_settings_survive_json():
    import json

    assert Frames.from_settings(json.loads(json.dumps(SETTINGS.settings()))) == SETTINGS
    with pytest.raises(ValueError, match="jitter"):
        Frames(crop=224, jitter=(200, 256))
    assert Frames().seconds == pytest.approx(64 / 30)
