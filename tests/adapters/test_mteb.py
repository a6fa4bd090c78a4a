"""The encoder for MTEB: clips of sound and of video, and a whole task."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import rendered
import tiny
import torch

from slowfast_cli.api import read_audio, read_frames
from slowfast_cli.models.spec import with_width
from slowfast_cli.models.zoo import VARIANTS
from slowfast_cli.settings import Frames
from slowfast_cli.stages.embed.embedder import Embedder
from slowfast_cli.stages.embed.network import TrunkFeatures
from slowfast_cli.stages.embed.window import Window
from slowfast_cli.types import Inputs, UsageError, WeightsError
from slowfast_cli.weights.file import Card, build, save

mteb = pytest.importorskip("mteb", reason="the extra `mteb` is not installed")
adapter = pytest.importorskip("slowfast_cli.adapters.mteb")
SEEN = Frames(frames=8, step=2, fps=30, crop=32, jitter=(32, 40), side=32, crops=3, rows=64)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    for variant in ("asf-r50", "slowfast-8x8-r50", "avslowfast-4x16-r50"):
        net = with_width(VARIANTS[variant], 8)
        seen = SEEN.settings() if "frames" in net.signals else {}
        front_end = tiny.FRONT_END if "logmel" in net.signals else {}
        card = Card(
            net=net, classes={"label": ("a", "b")}, front_end=front_end, clip_seconds=0.5, video=seen, views=2
        )  # fmt: skip
        torch.manual_seed(0)
        save(folder / f"{variant}.safetensors", card.model().state_dict(), card)
    return folder


class Rows(torch.utils.data.Dataset):
    def __init__(self, column, rows):
        self.features, self._rows = {column: None}, [{column: row} for row in rows]

    def __len__(self):
        return len(self._rows)

    def __getitem__(self, number):
        return dict(self._rows[number])


def loader(column, rows):
    return torch.utils.data.DataLoader(Rows(column, rows), batch_size=2)


def test_clips_have_the_features_of_the_same_file(weights):
    path = str(weights / "asf-r50.safetensors")
    files = [tiny.DATA / name for name in ("dog.ogg", "rooster.flac", "rain.wav")]
    rows = [{"array": read_audio(file), "sampling_rate": 16000} for file in files]
    encoder = adapter.SlowFastEncoder(path)
    features = encoder.encode(loader("audio", rows))
    expected = np.concatenate([Embedder(path)(file).features for file in files])
    np.testing.assert_allclose(features, expected, rtol=1e-3, atol=1e-3)
    similar = encoder.similarity(features, features)
    np.testing.assert_allclose(np.diag(similar), 1, atol=1e-3)
    meta = encoder.mteb_model_meta
    assert (meta.embed_dim, meta.modalities, len(meta.revision)) == (features.shape[1], ["audio"], 40)


def test_a_task_is_evaluated():
    """MTEB's mock task, with sounds in memory: MTEB decodes files with torchcodec, which needs FFmpeg's libraries."""
    from datasets import Dataset, DatasetDict
    from mteb.mocks.mock_tasks import MockAudioClassification

    class Sounds(MockAudioClassification):
        def load_data(self, **_):
            names = ("rain.wav", "rooster.flac")
            sounds = [{"array": tiny.sound(name, 1.0).tolist(), "sampling_rate": 16000} for name in names]
            parts = {"train": (sounds * 5, [1, 2] * 5), "test": (sounds, [1, 2])}
            self.dataset = DatasetDict(
                {name: Dataset.from_dict({"audio": x, "label": y}) for name, (x, y) in parts.items()}
            )
            self.data_loaded = True

    encoder = adapter.SlowFastEncoder()
    results = mteb.evaluate(encoder, Sounds(), cache=None, co2_tracker=False)
    (result,) = results.task_results
    assert result.get_score() == 1.0  # the test sounds are those of the training


class Decoder:
    """What MTEB uses of torchcodec's VideoDecoder."""

    def __init__(self, path):
        times = np.arange(0, 3, 1 / 30)
        self._pixels = np.stack([read_frames(path, 1, start=time, seconds=0.0)[0][0] for time in times])
        self.metadata = SimpleNamespace(num_frames=len(times), end_stream_seconds=3.0)

    def get_frames_at(self, indices):
        return SimpleNamespace(data=torch.from_numpy(self._pixels[indices].transpose(0, 3, 1, 2).copy()))


def test_videos_have_the_features_of_their_clips(weights, tmp_path):
    """With the interface of torchcodec's decoder in place of torchcodec."""
    paths = [tmp_path / "a.mp4", tmp_path / "b.mp4"]
    for number, path in enumerate(paths):
        rendered.bounce(path, seconds=3, seed=number, size=32)
    encoder = adapter.SlowFastEncoder(str(weights / "slowfast-8x8-r50.safetensors"))
    features = encoder.encode(loader("video", [Decoder(path) for path in paths]))
    assert features.shape == (2, 288)
    assert encoder.mteb_model_meta.modalities == ["video"]
    # 45 frames at 15 fps: two clips of 8 frames, the second one in the middle, as in evaluation.
    frames = Decoder(paths[1]).get_frames_at(np.linspace(0, 89, 45).round().astype(int)).data.numpy()
    network = TrunkFeatures(build(weights / "slowfast-8x8-r50.safetensors")[1], frames=replace(SEEN, crops=1))
    views = [
        Window(item=0, row=0, views=2, start=0, end=1, inputs=Inputs(frames=frames[at : at + 8].transpose(1, 0, 2, 3)))
        for at in (0, round((45 - 8) / 2))
    ]
    np.testing.assert_allclose(features[1], network(views).mean(0), rtol=1e-3, atol=1e-4)


def test_what_the_weights_do_not_read_is_refused(weights):
    encoder = adapter.SlowFastEncoder(str(weights / "asf-r50.safetensors"))
    with pytest.raises(UsageError, match="read audio, and the task has video"):
        encoder.encode(loader("video", [0]))
    with pytest.raises(WeightsError, match="reads them together"):
        adapter.SlowFastEncoder(str(weights / "avslowfast-4x16-r50.safetensors"))
