"""Small pictures and sounds of a segment, for a report: a spectrogram or frames, and a player."""

import io
from collections.abc import Sequence

import numpy as np
import soundfile
import torch
from matplotlib import colormaps
from PIL import Image

from slowfast_cli.features.logmel import LogMel
from slowfast_cli.media import audio, video
from slowfast_cli.report.page import Picture, Sample, data_url
from slowfast_cli.settings import FrontEnd
from slowfast_cli.types import DataError, Seconds, Segment

FRONT_END = FrontEnd(mels=64, hop_ms=20)
LONGEST: Seconds = 10.0
"""Of a segment in a report, from its start."""
FRAMES, SHORT_SIDE = 4, 112  # of a video: number, and pixels
SIZE = (480, 128)  # of a spectrogram, pixels


def sample(segment: Segment, title: str, lines: Sequence[str] = ()) -> Sample:
    """Describe a segment by its pictures and its sound; what cannot be read is left out."""
    start, stop = segment.start, segment.stop
    pictures, sound = list[Picture](), ""
    try:
        whole = audio.probe(segment.recording).seconds
        end = min(whole if stop is None else stop, start + LONGEST)
        samples = _read(segment, start, end)
        pictures.append(Picture(url=_spectrogram(samples), caption=f"{start:.1f} to {end:.1f} s, up to 8 kHz"))
        sound = _player(samples)
    except DataError:
        lines = [*lines, "no sound"]
    try:
        if segment.recording.dataset is None:
            pictures.insert(0, Picture(url=_frames(segment, start, stop), caption="frames"))
    except DataError:
        pass
    return Sample(title=title, lines=lines, pictures=pictures, sound=sound)


def _read(segment: Segment, start: Seconds, end: Seconds) -> np.ndarray:
    rate = FRONT_END.rate
    return audio.read(
        segment.recording, rate=rate, first=round(start * rate), count=max(round((end - start) * rate), 1)
    )


def _spectrogram(samples: np.ndarray) -> str:
    with torch.inference_mode():
        rows_TF = LogMel(FRONT_END)(torch.from_numpy(samples)[None])[0, 0].numpy()
    low, high = np.percentile(rows_TF, (5, 99.5))
    scaled = np.clip((rows_TF.T[::-1] - low) / max(high - low, 1e-6), 0, 1)
    pixels = (colormaps["magma"](scaled)[:, :, :3] * 255).astype(np.uint8)
    return _jpeg(Image.fromarray(pixels).resize(SIZE))


def _player(samples: np.ndarray) -> str:
    out = io.BytesIO()
    soundfile.write(out, np.clip(samples, -1, 1), FRONT_END.rate, format="OGG", subtype="VORBIS")
    return data_url(out.getvalue(), "audio/ogg")


def _frames(segment: Segment, start: Seconds, stop: Seconds | None) -> str:
    length = video.probe(segment.recording).seconds
    span = max((length if stop is None else stop) - start, 0.0)
    frames = video.read(segment.recording, start=start, span=span, count=FRAMES, short_side=SHORT_SIDE)
    return _jpeg(Image.fromarray(np.concatenate(list(frames.pixels), axis=1)))


def _jpeg(image: Image.Image) -> str:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=80)
    return data_url(out.getvalue(), "image/jpeg")
