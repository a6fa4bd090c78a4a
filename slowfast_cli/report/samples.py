"""Small pictures and sounds of a segment, for a report: a spectrogram or frames, and a player."""

import io
from collections.abc import Sequence
from contextlib import suppress

import av
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
FRAMES, GAP = 4, 4  # of a video: side by side, pixels between them
FPS, SHORT_SIDE = 8, 112  # of its player: frames per second, pixels
SIZE = (480, 128)  # of a spectrogram, pixels


def sample(segment: Segment, title: str, lines: Sequence[str] = ()) -> Sample:
    """Describe a segment by its pictures and its sound; what cannot be read is left out."""
    start, stop = segment.start, segment.stop
    pictures, sound, movie = list[Picture](), "", ""
    try:
        whole = audio.probe(segment.recording).seconds
        end = min(whole if stop is None else stop, start + LONGEST)
        samples = _read(segment, start, end)
        pictures.append(Picture(url=_spectrogram(samples), caption=f"{start:.1f} to {end:.1f} s, up to 8 kHz"))
        sound = _player(samples)
    except DataError:
        lines = [*lines, "no sound"]
    try:
        if segment.recording.dataset is None or segment.recording.sound is not None:
            length = video.probe(segment.recording).seconds
            span = min((length if stop is None else stop) - start, LONGEST)
            frames = video.read(
                segment.recording, start=start, span=span, count=max(round(span * FPS), FRAMES), short_side=SHORT_SIDE
            )
            pictures.insert(
                0, Picture(url=_strip(frames.pixels), caption=f"frames of {start:.1f} to {start + span:.1f} s")
            )
            with suppress(av.error.FFmpegError, ValueError):  # an FFmpeg without this encoder
                movie = _movie(frames.pixels)
    except DataError:
        pass
    return Sample(title=title, lines=lines, pictures=pictures, sound=sound, movie=movie)


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


def _strip(pixels_THWC: np.ndarray) -> str:
    """A few frames side by side."""
    chosen = pixels_THWC[np.linspace(0, len(pixels_THWC) - 1, FRAMES).round().astype(int)]
    gap = np.full((chosen.shape[1], GAP, 3), 255, np.uint8)
    parts = [part for frame in chosen for part in (frame, gap)][:-1]
    return _jpeg(Image.fromarray(np.concatenate(parts, axis=1)))


def _movie(pixels_THWC: np.ndarray) -> str:
    """A small video without sound."""
    out = io.BytesIO()
    height, width = (size // 2 * 2 for size in pixels_THWC.shape[1:3])  # the encoder needs even sizes
    with av.open(out, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "28", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for pixels in pixels_THWC[:, :height, :width]:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")))
        container.mux(stream.encode())
    return data_url(out.getvalue(), "video/mp4")


def _jpeg(image: Image.Image) -> str:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=80)
    return data_url(out.getvalue(), "image/jpeg")
