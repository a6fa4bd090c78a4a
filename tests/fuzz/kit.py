"""Good files of every kind, small, made once."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import golden
import h5py
import rendered
import soundfile
import tiny
import tiny_video
import torch
import yaml

from slowfast_cli.models.recognizer import Recognizer
from slowfast_cli.models.spec import with_width
from slowfast_cli.models.zoo import VARIANTS
from slowfast_cli.settings import Frames
from slowfast_cli.weights.file import Card, save

FRAMES = Frames(frames=8, step=4, fps=30, crop=32, jitter=(32, 40), side=48, crops=1, rows=32)


@dataclass(frozen=True)
class Kit:
    """Good files that cases copy."""

    media: tuple[Path, ...]
    sounds: Path  # a corpus, extracted
    run: Path  # a training on it
    stopped: Path  # the same, whose state is that of the first of its two epochs
    few: Path  # a corpus of two classes with two short recordings in each of train and test
    videos: Path  # a corpus of videos in the same folders
    video_run: Path  # a training on them
    video_weights: Path
    detector: Path  # weights that classify boxes
    epic: Path  # a corpus with all samples in one HDF5 file
    checkpoint: Path
    predictions: Path  # folder of an evaluation of the run

    def medium(self, name: str) -> Path:
        return self.media[0].parent / name

    @property
    def folders(self) -> tuple[Path, ...]:
        """Everything that no command may change."""
        made = (self.few, self.epic, self.videos, self.video_run, self.stopped, self.predictions)
        return (self.media[0].parent, self.sounds.parent, self.run, *made, tiny.DATA)


def make_kit(folder: Path, sounds: Path, run: Path) -> Kit:
    media = folder / "media"
    media.mkdir()
    samples = tiny.sound("rain.wav", 0.6)
    for name, subtype in (
        ("pcm16.wav", "PCM_16"), ("pcm24.wav", "PCM_24"), ("float.wav", "FLOAT"), ("adpcm.wav", "IMA_ADPCM"),
        ("a.flac", "PCM_16"), ("vorbis.ogg", "VORBIS"), ("opus.ogg", "OPUS"), ("a.mp3", None), ("a.aiff", "PCM_16"),
        ("a.au", "PCM_16"), ("a.w64", "PCM_16"), ("a.caf", "ALAC_16"),
    ):  # fmt: skip
        soundfile.write(media / name, samples, 16000, subtype=subtype)
    rendered.bounce(media / "a.mp4", seconds=1, seed=1, size=48)
    rendered.bounce(media / "a.mkv", seconds=1, seed=2, size=48)
    rendered.bounce(media / "a.webm", seconds=1, seed=3, size=48, codec="libvpx", sound_codec="libopus", bframes=0)
    rendered.bounce(media / "a.avi", seconds=1, seed=4, size=48, codec="mpeg4", sound_codec="mp2", bframes=0)
    rendered.bounce(media / "a.mov", seconds=1, seed=5, size=48, codec="mjpeg", pix_fmt="yuvj420p", bframes=0)
    shutil.copy(media / "a.mp4", media / "b.m4a")
    for name in ("a.png", "a.jpg"):
        (media / name).write_bytes(rendered.coded(rendered.picture_of(5), png=name.endswith("png")))
    few = folder / "few"
    for number in range(2):
        for split in ("train", "test"):
            for label in ("rain", "rooster"):
                sound = tiny.sound(tiny.CLASSES[label], 0.5, skip=0.3 * number)
                tiny.write(few / split / label / f"{label}{number}.wav", sound)
    tiny.good("evaluate", run, "--no-plots", "--out", folder / "predictions")
    return Kit(
        media=tuple(sorted(media.iterdir())),
        sounds=sounds,
        run=run,
        stopped=_stopped(folder / "stopped", run),
        few=few,
        videos=_videos(folder / "videos", media / "a.mp4"),
        video_run=_video_run(folder / "video-run", folder / "videos"),
        video_weights=_video_weights(folder / "video.safetensors", "slowfast-4x16-r50", FRAMES),
        detector=_video_weights(folder / "boxes.safetensors", "slow-r50-ava", replace(FRAMES, crops=0)),
        epic=_epic(folder / "epic"),
        checkpoint=_checkpoint(folder / "asf.pyth"),
        predictions=folder / "predictions",
    )


def _videos(root: Path, video: Path) -> Path:
    for split in ("train", "test"):
        for label in ("rain", "rooster"):
            for number in range(2):
                tiny_video.link(video, root / split / label / f"{label}{number}.mp4")
    return root


def _video_run(run: Path, root: Path) -> Path:
    tiny.good("train", "folder-video", f"data.root={root}", *tiny_video.SMALL, *tiny_video.SCRATCH, "--run", run)
    return run


def _stopped(folder: Path, run: Path) -> Path:
    shutil.copytree(run, folder, ignore=shutil.ignore_patterns("tensorboard", "*.png"))
    state = torch.load(folder / "state.pt", weights_only=True)
    torch.save({**state, "step": state["step"] // 2}, folder / "state.pt")
    (folder / "broken.csv").write_text("id,path,reason\ntrain/rain/rain-9.wav,rain-9.wav,its decoder failed\n")
    return folder


def _video_weights(path: Path, variant: str, frames: Frames) -> Path:
    torch.manual_seed(0)
    net = with_width(VARIANTS[variant], 4)
    card = Card(
        net=replace(net, window=None), classes={"label": ("run", "sit")}, front_end={}, clip_seconds=frames.seconds,
        video=frames.settings(), sigmoid=net.regions != "none",
    )  # fmt: skip
    save(path, card.model().state_dict(), card)
    return path


def _epic(root: Path) -> Path:
    tiny.make_epic(root)
    with h5py.File(root / "EPIC_audio.hdf5", "w") as file:
        file.attrs["source"] = "rendered"
        for path in (root / "audio").iterdir():
            file[path.stem] = soundfile.read(path, dtype="int16")[0]
    shutil.rmtree(root / "audio")
    return root


def _checkpoint(path: Path) -> Path:
    torch.manual_seed(0)
    model = Recognizer(with_width(VARIANTS["asf-r50"], 4), {"label": 7})
    cfg = {"AUDIO_DATA": {"SAMPLING_RATE": 16000, "CLIP_SECS": 0.6, "NUM_FREQUENCIES": 32}, "SLOWFAST": {"ALPHA": 4}}
    state = {golden.pyslowfast_name(name): value for name, value in model.state_dict().items()}
    torch.save({"epoch": 4, "model_state": state, "cfg": yaml.safe_dump(cfg)}, path)
    return path
