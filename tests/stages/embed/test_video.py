"""``slowfast embed`` on video: clips as prediction reads them, and the frames, crops and pooling of presets."""

import json
from dataclasses import replace

import av
import av.filter
import numpy as np
import pytest
import rendered
import tiny
import torch
from torch.nn import functional as f

from slowfast_cli.media.video import probe, stream
from slowfast_cli.models.spec import with_width
from slowfast_cli.models.zoo import VARIANTS
from slowfast_cli.settings import Frames, FrontEnd
from slowfast_cli.stages.embed.embedder import Embedder
from slowfast_cli.stages.embed.items import Item
from slowfast_cli.stages.embed.network import TrunkFeatures
from slowfast_cli.stages.embed.video import Gathered, PresetWindows
from slowfast_cli.stages.embed.window import Window
from slowfast_cli.stages.embed.windows import PRESETS, Preset, Row
from slowfast_cli.types import Inputs, Recording
from slowfast_cli.weights.file import Card, build, save

SEEN = Frames(frames=32, step=2, fps=30, crop=32, jitter=(32, 40), side=48, crops=3, rows=64)
FRONT_END = FrontEnd(rate=16000, window_ms=32, hop_ms=16, mels=16, fft=512)


def card_of(variant, **more):
    net = with_width(VARIANTS[variant], 8)
    front_end = FRONT_END.settings() if "logmel" in net.signals else {}
    fields = {"net": net, "classes": {"label": ("a", "b")}, "front_end": front_end, "clip_seconds": SEEN.seconds}
    return Card(**{**fields, "views": 10, "video": SEEN.settings(), **more})


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    for name, variant in (("seen", "slowfast-8x8-r50"), ("both", "avslowfast-4x16-r50")):
        torch.manual_seed(0)
        card = card_of(variant)
        save(folder / f"{name}.safetensors", card.model().state_dict(), card)
    return folder


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """Frame n shows its number."""
    return rendered.numbered(tmp_path_factory.mktemp("video") / "v.mp4", frames=100, fps=30, size=(96, 64))


def numbers(window):
    """The numbers that the frames of a window show, read at the size that they are stored at."""
    return [rendered.number_of(frame) for frame in window.inputs.frames.transpose(1, 2, 3, 0)]


def windows(preset, path, window=None):
    item = Item(name="v", recording=Recording(id="v", path=path))
    return list(PresetWindows(preset=preset, window=window).read(0, item))


def test_a_preset_reads_the_frames_that_it_names(video):
    hero = windows(PRESETS["moment-detr"], video)
    assert [(window.start, window.end) for window in hero] == [(0.0, 2.0), (2.0, pytest.approx(100 / 30))]
    assert numbers(hero[0]) == [*range(0, 60, 2), 59, 59]
    # The last second is 90 to 119, of which the video has ten frames: the last one stands for the others.
    assert numbers(hero[1]) == [min(60 + step, 99) for step in [*range(0, 60, 2), 59, 59]]
    ego4d = windows(PRESETS["ego4d"], video)
    assert [numbers(window) for window in ego4d] == [list(range(s, s + 32)) for s in (0, 16, 32, 48, 64, 68)]
    vidsitu = windows(PRESETS["vidsitu"], video)
    assert numbers(vidsitu[0]) == [max(step, 0) for step in range(-2, 62, 2)]
    assert numbers(vidsitu[2]) == [min(step, 99) for step in range(118, 182, 2)]


def test_frames_of_another_rate_are_those_on_screen(tmp_path):
    video = rendered.numbered(tmp_path / "v.mp4", frames=120, fps=60, size=(96, 64))
    # FFmpeg's filter fps=30 keeps frames 0, 2, 4 ...; a clip of 2 s spans 64 frames at 60 fps.
    (hero,) = windows(PRESETS["moment-detr"], video)
    positions = [min(int(step), 59) for step in np.linspace(0, 127, 32)]
    assert numbers(hero) == [2 * position for position in positions]
    first, *_ = windows(PRESETS["ego4d"], video)
    assert numbers(first) == [int(step) for step in np.linspace(0, 63, 32)]


def filtered(path):
    """The numbers of the frames that FFmpeg's filter fps=30 returns."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        graph = av.filter.Graph()
        source, rate, sink = graph.add_buffer(template=stream), graph.add("fps", "fps=30"), graph.add("buffersink")
        source.link_to(rate)
        rate.link_to(sink)
        graph.configure()
        numbers = []
        for frame in [*container.decode(stream), None]:
            source.push(frame)
            while True:
                try:
                    numbers.append(rendered.number_of(sink.pull().to_ndarray(format="rgb24")))
                except (BlockingIOError, EOFError):
                    break
        return numbers


@pytest.mark.parametrize("fps", [12, 24, 25, 30000 / 1001, 50, 60])
def test_positions_are_those_of_the_filter_of_ffmpeg(tmp_path, fps):
    path = rendered.numbered(tmp_path / "v.mp4", frames=70, fps=fps, size=(96, 64))
    expected = filtered(path)
    count = round(probe(Recording(id="v", path=path)).seconds * 30)
    assert count == len(expected)
    frames = Gathered(stream(Recording(id="v", path=path)))
    row = Row(start=0.0, end=1.0, positions=tuple(range(count)))
    assert [rendered.number_of(frame) for frame in frames.of(row)] == expected


def test_frames_are_dropped_once_no_row_needs_them():
    opened = []

    def decoded():
        for number in range(9000):
            opened.append(number)
            yield number / 30, lambda number=number: np.full((1, 1, 3), number % 256, np.uint8)

    frames = Gathered(decoded())
    for row in PRESETS["ego4d"].rows(_length(9000), None):
        first = round(row.start * 30)
        assert [int(frame[0, 0, 0]) for frame in frames.of(row)] == [(first + step) % 256 for step in range(32)]
        assert len(frames._frames) < 100
    frames = Gathered(decoded())
    for row in PRESETS["hero"].rows(_length(9000), 0.3):
        frames.of(row)
        assert len(frames._frames) < 100
    assert len(frames.of(Row(start=299.0, end=300.0, positions=(8999,)))) == 1


def _length(frames):
    from slowfast_cli.stages.embed.windows import VideoLength

    return VideoLength(frames=frames, fps=30, seconds=frames / 30)


@pytest.mark.parametrize("name", ["hero", "ego4d", "actionformer-epic", "vidsitu"])
def test_a_preset_crops_and_pools_as_its_tool_does(weights, name):
    """Against resizing whole frames, cropping, the unfolded trunk, and a 7 x 7 average pooling."""
    preset, (_, model) = PRESETS[name], build(weights / "seen.safetensors")
    pixels = np.random.default_rng(0).integers(0, 255, (3, 32, 60, 90), np.uint8)
    network = TrunkFeatures(model, frames=SEEN, preset=preset)
    features = network([Window(item=0, row=0, views=1, start=0, end=1, inputs=Inputs(frames=pixels))])
    whole = torch.from_numpy(pixels).permute(1, 0, 2, 3).float()
    side, width = preset.side, preset.side * 90 // 60
    size = (side, side) if preset.squeezed else (side, width)
    resized = f.interpolate(whole, size, mode="bilinear", align_corners=False)
    left = 0 if preset.squeezed else (width - side) // 2
    x = (resized[..., left : left + side] / 255 - 0.45) / 0.225
    x = (x.flip(1) if preset.bgr else x).permute(1, 0, 2, 3)[None]
    with torch.inference_mode():
        last, _ = model.trunk.run({"frames": x})
    assert last["slow"].shape[-2:] == (side // 32, side // 32)
    pooled = [f.avg_pool3d(map_, (map_.shape[2], 7, 7), 1).flatten(2).mean(2) for map_ in last.values()]
    np.testing.assert_allclose(features, torch.cat(pooled, dim=1), rtol=1e-4, atol=1e-5)
    if side == 256:  # not the average of the map
        plain = torch.cat([map_.flatten(2).mean(2) for map_ in last.values()], dim=1)
        assert not np.allclose(features, plain, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("margin", "left"), [("floor", 56), ("round", 56), ("ceil", 57)])
def test_the_margin_of_a_crop_is_rounded_as_the_tool_does(weights, margin, left):
    """The long side is 337: 56.5 pixels remain on each side of 224."""
    _, model = build(weights / "seen.safetensors")
    preset = Preset(network="", key="x", format="npz", dtype="float32", rows=PRESETS["hero"].rows, margin=margin)
    pixels = np.zeros((3, 1, 224, 337), np.uint8)
    pixels[:] = np.arange(337) % 256
    network = TrunkFeatures(model, frames=SEEN, preset=preset)
    from slowfast_cli.data.loader import collate
    from slowfast_cli.types import Clip

    batch = collate([Clip(inputs=Inputs(frames=pixels), targets={}, id="x", view=0)])
    cropped = network.signals(batch)["frames"]
    assert torch.round((cropped[0, 0, 0, 0, 0] * 0.225 + 0.45) * 255).item() == left


def test_files_of_a_preset_are_those_of_its_tool(weights, video, tmp_path):
    words = ["embed", video, "-w", weights / "seen.safetensors"]
    done = tiny.good(*words, "--preset", "moment-detr", "--out", tmp_path / "hero", "--json")
    assert "SlowFast 8x8 R50, Kinetics-400" in done.err
    (line,) = done.lines
    assert (line["rows"], line["features"], line["file"]) == (2, 256 + 32, str(tmp_path / "hero" / "v.npz"))
    with np.load(tmp_path / "hero" / "v.npz") as stored:
        assert (stored["features"].dtype, stored["features"].shape) == (np.float16, (2, 288))
        features, settings = stored["features"], json.loads(str(stored["settings"]))
    expected = {
        "fps": 30.0,
        "side": 224,
        "crop": "center",
        "channels": "RGB",
        "preset": "moment-detr",
        "layer": "pooled",
    }
    assert {name: settings[name] for name in expected} == expected
    whole = Embedder(weights / "seen.safetensors", preset="moment-detr")(video)
    np.testing.assert_allclose(whole.features, features, rtol=2e-3, atol=1e-4)
    tiny.good(*words, "--preset", "vidsitu", "--out", tmp_path / "vidsitu")
    assert np.load(tmp_path / "vidsitu" / "v_feats.npy").shape == (5, 288)


def test_a_whole_video_is_the_average_of_its_views_and_windows_are_clips(weights, video):
    embedder = Embedder(weights / "seen.safetensors")
    whole = embedder(video)
    assert (whole.features.shape, whole.start.tolist()) == ((1, 288), [0.0])
    reads = [window.inputs.frames for window in embedder.reader.read(0, _item(video))]
    assert len(reads) == 2  # 100 frames are two clips of 64
    network = TrunkFeatures(build(weights / "seen.safetensors")[1], frames=replace(SEEN, crops=1))
    each = [network([Window(item=0, row=0, views=1, start=0, end=1, inputs=Inputs(frames=one))]) for one in reads]
    np.testing.assert_allclose(whole.features, torch.cat(each).mean(0, keepdim=True), rtol=1e-4, atol=1e-5)
    sliding = Embedder(weights / "seen.safetensors", window=2.0, hop=1.0)(video)
    assert sliding.start.tolist() == [0.0, 1.0, 2.0]
    assert sliding.end.round(3).tolist() == [2.0, 3.0, 3.333]


def _item(path):
    return Item(name="v", recording=Recording(id="v", path=path))


def test_a_network_of_sound_and_frames_joins_three_pathways(weights, tmp_path):
    loud = tmp_path / "loud.mp4"
    rendered.bounce(loud, seconds=3, seed=1, size=64, clicks=True)
    mute = rendered.numbered(tmp_path / "mute.mp4", frames=90, size=(64, 64))
    embedder = Embedder(weights / "both.safetensors")
    assert embedder.settings()["pathways"] == ["slow", "fast", "audio"]
    for path in (loud, mute):
        features = embedder(path).features
        assert features.shape == (1, sum(embedder.card.net.features().values()))
        assert np.isfinite(features).all()
    words = ["embed", loud, "-w", weights / "both.safetensors", "--preset", "ego4d", "--out", tmp_path / "f"]
    done = tiny.slowfast(*words)
    assert (done.code, "is for networks that read frames only" in done.err) == (2, True)


def test_a_network_of_shorter_clips_is_refused_by_a_preset(tmp_path, video):
    card = card_of("slowfast-8x8-r50", video=replace(SEEN, frames=16).settings())
    save(tmp_path / "w.safetensors", card.model().state_dict(), card)
    words = ["embed", video, "-w", tmp_path / "w.safetensors", "--preset", "ego4d", "--out", tmp_path / "f"]
    done = tiny.slowfast(*words)
    assert (done.code, "has clips of 32 frames" in done.err) == (2, True)


def test_a_sound_file_is_refused_by_a_network_of_frames(weights, tmp_path):
    sound = tiny.write(tmp_path / "a.wav", tiny.sound("rain.wav", 1))
    words = ["embed", sound, "-w", weights / "seen.safetensors", "--out", tmp_path / "f"]
    for more in ([], ["--preset", "ego4d"]):
        done = tiny.slowfast(*words[:-1], tmp_path / f"f{len(more)}", *more)
        assert (done.code, "a.wav" in done.err) == (3, True)
