"""On-device frame transforms: crops equal resizing and cropping whole frames; boxes follow the crops."""

import pytest
import torch
from torch.nn import functional as f

from slowfast_cli.features.frames import Crop, boxes_to_crop, crop_frames, eval_crop, random_crop, short_side
from slowfast_cli.settings import Frames

SETTINGS = Frames(crop=32, jitter=(36, 48), side=40)


def padded(clips):
    """Batch clips (3, T, h, w) of several sizes, with arbitrary values in the padding."""
    sizes = torch.tensor([clip.shape[2:] for clip in clips])
    height, width = sizes.amax(0).tolist()
    batch = torch.full((len(clips), *clips[0].shape[:2], height, width), 255, dtype=torch.uint8)
    for row, clip in enumerate(clips):
        batch[row, :, :, : clip.shape[2], : clip.shape[3]] = clip
    return batch, sizes


def naive_crop(clip, crop, row, settings):
    """Resize the whole frames, crop, mirror and normalize."""
    frames = clip.float().transpose(0, 1)
    height, width = crop.resized[row].tolist()
    resized = f.interpolate(frames, (height, width), mode="bilinear", align_corners=False)
    top, left = crop.corner[row].tolist()
    patch = resized[:, :, top : top + crop.size[0], left : left + crop.size[1]]
    patch = patch.flip(3) if crop.flipped[row] else patch
    return ((patch / 255 - settings.mean) / settings.std).transpose(0, 1)


@pytest.fixture
def clips():
    torch.manual_seed(0)
    return [torch.randint(0, 256, (3, 2, *size), dtype=torch.uint8) for size in ((50, 70), (90, 40), (48, 48))]


def test_training_crops_equal_resizing_and_cropping(clips):
    batch, sizes = padded(clips)
    flips = set()
    for seed in range(8):
        torch.manual_seed(seed)
        crop = random_crop(sizes, SETTINGS)
        got = crop_frames(batch, sizes, crop, SETTINGS)
        assert got.shape == (3, 3, 2, 32, 32)
        for row, clip in enumerate(clips):
            torch.testing.assert_close(got[row], naive_crop(clip, crop, row, SETTINGS), atol=2e-4, rtol=0)
        flips |= set(crop.flipped.tolist())
    assert flips == {True, False}


def test_random_crops_cover_all_sizes_positions_and_flips():
    sizes = torch.tensor([[60, 80]] * 4000)
    torch.manual_seed(0)
    crop = random_crop(sizes, SETTINGS)
    short = crop.resized.amin(1)
    assert set(short.tolist()) == set(range(36, 49))
    assert torch.equal(crop.resized, short_side(sizes, short))
    margin = crop.resized - 32
    assert (crop.corner >= 0).all()
    assert (crop.corner <= margin).all()
    assert (crop.corner == margin).any(0).all()
    assert (crop.corner == 0).any(0).all()
    assert 0.45 < crop.flipped.float().mean() < 0.55
    torch.manual_seed(0)
    assert not random_crop(sizes, Frames(crop=32, jitter=(36, 48), flip=False)).flipped.any()


@pytest.mark.parametrize(("size", "corners"), [((50, 80), [0, 12, 24]), ((96, 40), [0, 28, 56])])
def test_three_crops_span_the_long_side(clips, size, corners):
    """As in PySlowFast, the middle crop is rounded up."""
    clip = torch.randint(0, 256, (3, 2, *size), dtype=torch.uint8)
    batch, sizes = padded([clip])
    axis = int(size[1] > size[0])
    for number, corner in enumerate(corners):
        crop = eval_crop(sizes, SETTINGS, number)
        assert crop.corner[0, axis] == corner
        assert crop.corner[0, 1 - axis] == 0
        got = crop_frames(batch, sizes, crop, SETTINGS)
        torch.testing.assert_close(got[0], naive_crop(clip, crop, 0, SETTINGS), atol=2e-4, rtol=0)


def test_a_single_crop_is_centered_and_zero_crops_are_the_whole_frame(clips):
    batch, sizes = padded(clips[:1])
    single = eval_crop(sizes, Frames(crop=32, jitter=(36, 48), side=40, crops=1), 0)
    assert single.corner.tolist() == [[0, 8]]
    whole = Frames(crop=32, jitter=(36, 48), side=40, crops=0)
    crop = eval_crop(sizes, whole, 0)
    assert crop.size == (40, 56)
    got = crop_frames(batch, sizes, crop, whole)
    torch.testing.assert_close(got[0], naive_crop(clips[0], crop, 0, whole), atol=2e-4, rtol=0)
    with pytest.raises(ValueError, match="whole frames of different sizes"):
        eval_crop(torch.tensor([[50, 70], [90, 40]]), whole, 0)


def test_boxes_follow_the_crop():
    """A white rectangle in a black frame stays inside its box, whatever the crop."""
    place = (0.25, 0.3, 0.5, 0.7)
    clip = torch.zeros(3, 1, 100, 160, dtype=torch.uint8)
    clip[:, :, 30:70, 40:80] = 255
    sizes = torch.tensor([[100, 160]])
    settings = Frames(crop=80, jitter=(90, 110), mean=0, std=1)
    visible = 0
    for seed in range(20):
        torch.manual_seed(seed)
        crop = random_crop(sizes, settings)
        mask = crop_frames(clip[None], sizes, crop, settings)[0, 0, 0] > 0.5
        _, x1, y1, x2, y2 = boxes_to_crop(torch.tensor([[0.0, *place]]), crop)[0].tolist()
        rows, columns = mask.any(1).nonzero().flatten(), mask.any(0).nonzero().flatten()
        if not len(rows):
            continue
        visible += 1
        extent = (float(columns[0]), float(rows[0]), float(columns[-1]), float(rows[-1]))
        assert max(abs(a - b) for a, b in zip((x1, y1, x2, y2), extent, strict=True)) <= 1.5
    assert visible > 15


def test_boxes_are_clipped_and_keep_their_batch_index():
    crop = Crop(
        resized=torch.tensor([[100, 200], [100, 200]]), corner=torch.tensor([[10, 20], [0, 100]]),
        flipped=torch.tensor([False, True]), size=(80, 80),
    )  # fmt: skip
    got = boxes_to_crop(torch.tensor([[0.0, 0, 0, 1, 1], [1.0, 0.5, 0.5, 0.6, 0.6]]), crop)
    torch.testing.assert_close(got, torch.tensor([[0.0, 0, 0, 79, 79], [1, 59, 50, 79, 60]]))


def test_settings_survive_json():
    import json

    assert Frames.from_settings(json.loads(json.dumps(SETTINGS.settings()))) == SETTINGS
    with pytest.raises(ValueError, match="jitter"):
        Frames(crop=224, jitter=(200, 256))
    assert Frames().seconds == pytest.approx(64 / 30)


def test_colors_are_ordered_as_the_network_reads_them(clips):
    batch, sizes = padded(clips)
    crop = eval_crop(sizes, SETTINGS, 0)
    rgb, bgr = (
        crop_frames(batch, sizes, crop, Frames(crop=32, jitter=(36, 48), side=40, channels=channels))
        for channels in ("rgb", "bgr")
    )
    torch.testing.assert_close(bgr, rgb.flip(1), rtol=0, atol=0)
    assert not torch.equal(bgr, rgb)


def test_settings_of_earlier_weights_are_those_of_now():
    plain = Frames().settings()
    assert {"channels", "bounds"}.isdisjoint(plain)
    assert Frames.from_settings(plain) == Frames()
    other = Frames(channels="bgr", bounds="segment")
    assert Frames.from_settings(other.settings()) == other
