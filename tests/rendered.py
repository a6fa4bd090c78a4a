"""Small videos with known content, rendered when a test wants them: what is seen when, and what is heard when.

Everything is a function of the arguments: the same call renders the same pictures and sound. A few KB a second.
"""

import os
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

RATE = 16000  # Hz of all sound here
BITS = 16  # of a frame's number: a picture of 4 x 4 blocks, white for 1
TICK = Fraction(1, 90000)  # of frames that are given their times
os.environ.setdefault("SVT_LOG", "1")  # the AV1 encoder prints errors only
BLOCK = 1024  # samples encoded at a time


def write(
    path: Path,
    pictures: Iterable[np.ndarray],
    *,
    fps: float = 30,
    times: Sequence[float] | None = None,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    bframes: int = 2,
    gop: int = 30,
    options: dict[str, str] | None = None,
    container: dict[str, str] | None = None,
    sound: np.ndarray | None = None,
    sound_at: float = 0.0,
    sound_codec: str | None = None,
) -> Path:
    """Encode RGB pictures, and mono sound at `RATE` beside them.

    Args:
        path: Its suffix is the container.
        pictures: (H, W, 3) uint8, sizes even.
        fps: Of a constant rate.
        times: When each picture begins to be shown, instead of a constant rate.
        codec: FFmpeg's name of the encoder.
        pix_fmt: Of the stored pictures.
        bframes: Maximum number of consecutive B-frames.
        gop: Frames from a keyframe to the next, none between.
        options: More of them for the encoder.
        container: Options of the container's writer.
        sound: Samples from -1 to 1.
        sound_at: When the first one is heard.
        sound_codec: aac, but pcm_s16le in Matroska.
    """
    rate = Fraction(fps).limit_denominator(1001)
    with av.open(str(path), "w", container_options=container or {}) as out:
        video = out.add_stream(codec, rate=rate, options=_options(codec, bframes, gop) | (options or {}))
        video.pix_fmt = pix_fmt
        video.codec_context.gop_size = gop
        video.codec_context.thread_count = 1
        if times is not None:
            video.codec_context.time_base = TICK
        if codec in ("mpeg4", "mpeg2video"):
            video.codec_context.max_b_frames = bframes
        audio = None
        if sound is not None:
            audio = out.add_stream(
                sound_codec or ("pcm_s16le" if path.suffix in (".mkv", ".avi", ".mov") else "aac"),
                rate=RATE,
                layout="mono",
            )
        for index, pixels in enumerate(pictures):
            if not index:
                video.height, video.width = pixels.shape[:2]
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            frame.pts = index if times is None else round(times[index] / TICK)
            frame.time_base = 1 / rate if times is None else TICK
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        if audio is not None:
            _encode_sound(out, audio, sound, round(sound_at * RATE))
    return path


def _options(codec: str, bframes: int, gop: int) -> dict[str, str]:
    if codec == "libx264":
        return {
            "preset": "veryfast",
            "crf": "20",
            "x264-params": f"keyint={gop}:min-keyint={gop}:scenecut=0:bframes={bframes}:b-adapt=0:threads=1",
        }
    if codec == "libx265":
        quiet = "log-level=none:pools=none:frame-threads=1"
        return {"preset": "ultrafast", "x265-params": f"{quiet}:keyint={gop}:scenecut=0:bframes={bframes}:b-adapt=0"}
    if codec == "libsvtav1":
        return {"preset": "8", "crf": "30", "svtav1-params": "lp=1"}
    return {}


def _encode_sound(out, audio, sound: np.ndarray, at: int) -> None:
    samples = (np.clip(sound, -1, 1) * 32767).astype(np.int16)
    for start in range(0, len(samples), BLOCK):
        frame = av.AudioFrame.from_ndarray(samples[None, start : start + BLOCK], format="s16", layout="mono")
        frame.rate = RATE
        frame.pts = at + start
        frame.time_base = Fraction(1, RATE)
        out.mux(audio.encode(frame))
    out.mux(audio.encode(None))


def picture_of(number: int, size: tuple[int, int] = (96, 64)) -> np.ndarray:
    """The picture that says a number, width and height as given."""
    width, height = size
    bits = np.array([number >> bit & 1 for bit in range(BITS)], np.uint8).reshape(4, 4)
    grey = np.kron(bits, np.ones((height // 4, width // 4), np.uint8)) * 200 + 30
    return np.repeat(grey[:, :, None], 3, axis=2)


def number_of(pixels: np.ndarray) -> int:
    """The number that a picture (H, W, 3) says, after any coding and scaling."""
    height, width = pixels.shape[:2]
    number = 0
    for bit in range(BITS):
        row, column = divmod(bit, 4)
        middle = pixels[
            int((row + 0.3) * height / 4) : int((row + 0.7) * height / 4) + 1,
            int((column + 0.3) * width / 4) : int((column + 0.7) * width / 4) + 1,
        ]
        number |= int(middle.mean() > 128) << bit
    return number


def tone(seconds: float, hz: float, *, loudness: float = 0.3) -> np.ndarray:
    """Samples of a steady tone."""
    return (loudness * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def numbered(
    path: Path,
    *,
    fps: float = 30,
    frames: int = 90,
    size: tuple[int, int] = (96, 64),
    tone_hz: float | None = None,
    first: int = 0,
    **how,
) -> Path:
    """A video whose frames say their numbers from `first` on; `number_of` reads them. More arguments: `write`."""
    times = how.get("times")
    seconds = frames / fps if times is None else times[-1] + 1 / fps
    if tone_hz is not None:
        how["sound"] = tone(seconds, tone_hz)
    return write(path, (picture_of(first + index, size) for index in range(frames)), fps=fps, **how)


def folder(
    path: Path, *, fps: float = 10, frames: int = 30, name: str = "frame_{:06d}.png", first: int = 1, quality: str = "2"
) -> Path:
    """A folder of numbered pictures, JPEG or PNG by `name`, which is filled with numbers from `first` on."""
    path.mkdir()
    for index in range(frames):
        (path / name.format(first + index)).write_bytes(
            coded(picture_of(index), png=name.endswith("png"), quality=quality)
        )
    return path


def coded(pixels: np.ndarray, *, png: bool, quality: str = "2") -> bytes:
    """A picture as the content of a PNG or JPEG file."""
    context = av.CodecContext.create("png" if png else "mjpeg", "w")
    context.height, context.width = pixels.shape[:2]
    context.pix_fmt, context.time_base = "rgb24" if png else "yuvj420p", Fraction(1, 25)
    context.options = {} if png else {"qmin": quality, "qmax": quality}
    frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
    if not png:
        frame = frame.reformat(format="yuvj420p", dst_color_range=2)
    return b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode(None)])


def bounce(
    path: Path,
    *,
    seconds: float,
    seed: int,
    clicks: bool = True,
    gaps: Sequence[tuple[float, float]] = ((0.25, 0.7),),
    turn: float = 2.5,
    size: int = 64,
    fps: float = 30,
    **how,
) -> tuple[float, ...]:
    """A ball that flies straight from one wall to another, and clicks whenever it hits one.

    Hits come at irregular times, so that only the right sound fits the pictures: ``gaps`` apart, each pair of least and
    most seconds in its turn for about ``turn`` seconds.

    Returns:
        When it hits, in seconds.
    """
    draw = np.random.default_rng(seed)
    times, places = [-draw.uniform(0, 0.3)], [_on_wall(draw, 0)]
    side, first = 0, draw.uniform(0, len(gaps)) if len(gaps) > 1 else 0
    while times[-1] < seconds:
        side = (side + draw.integers(1, 4)) % 4
        least, most = gaps[int(first + max(times[-1], 0) / turn) % len(gaps)]
        times.append(times[-1] + draw.uniform(least, most))
        places.append(_on_wall(draw, side))
    hits = tuple(float(time) for time in times if 0 <= time < seconds)
    sound = np.zeros(round(seconds * RATE), np.float32)
    for hit in hits if clicks else ():
        start = round(hit * RATE)
        ring = np.arange(min(480, len(sound) - start)) / RATE
        sound[start : start + len(ring)] += (
            0.8 * np.exp(-ring / 0.006) * np.sin(2 * np.pi * 2500 * ring) + 0.1 * draw.normal(size=len(ring))
        ).astype(np.float32)
    shown = np.arange(round(seconds * fps)) / fps
    x, y = (np.interp(shown, times, [place[axis] for place in places]) for axis in (0, 1))
    write(path, (_ball(size, *place) for place in zip(x, y, strict=True)), fps=fps, sound=sound, **how)
    return hits


def _on_wall(draw: np.random.Generator, side: int) -> tuple[float, float]:
    along = draw.uniform(0.15, 0.85)
    return ((along, 0.0), (1.0, along), (along, 1.0), (0.0, along))[side]


def _ball(size: int, x: float, y: float) -> np.ndarray:
    radius = size / 10
    rows, columns = np.mgrid[:size, :size]
    across, down = radius + x * (size - 1 - 2 * radius), radius + y * (size - 1 - 2 * radius)
    inside = np.clip(radius + 0.5 - np.hypot(columns - across, rows - down), 0, 1)[:, :, None]
    return (inside * np.array([250, 220, 60]) + (1 - inside) * np.array([20, 30, 60])).astype(np.uint8)


def drift(
    path: Path, *, leftwards: bool, seed: int, seconds: float = 3.0, size: int = 96, fps: float = 30, **how
) -> Path:
    """A ball that moves left or right and enters again at the other side: no single picture shows the direction."""
    draw = np.random.default_rng(seed)
    start, height, speed = draw.uniform(0, 1), draw.uniform(0.1, 0.9), draw.uniform(0.4, 0.9)  # widths a second
    shown = start + (-1 if leftwards else 1) * speed * np.arange(round(seconds * fps)) / fps
    return write(path, (_ball(size, x, height) for x in shown % 1), fps=fps, **how)


def bars(
    path: Path,
    colours: Sequence[tuple[int, int, int]],
    *,
    each: float = 1.0,
    fps: float = 30,
    size: tuple[int, int] = (96, 64),
    tone_hz: float | None = None,
    **how,
) -> tuple[float, ...]:
    """A picture all of one RGB colour, then all of the next.

    Returns:
        When each colour begins, in seconds.
    """
    frames = round(each * fps)
    pictures = (np.full((size[1], size[0], 3), colour, np.uint8) for colour in colours for _ in range(frames))
    sound = None if tone_hz is None else tone(len(colours) * frames / fps, tone_hz)
    write(path, pictures, fps=fps, sound=sound, **how)
    return tuple(index * frames / fps for index in range(len(colours)))


def beeps(
    path: Path, *, pitch_hz: float, seconds: float = 2.0, seed: int = 0, size: int = 64, fps: float = 30, **how
) -> tuple[float, ...]:
    """Beeps of 0.1 s beside a picture that never changes and is the same whatever the pitch: only the sound tells.

    Returns:
        When each beep begins, in seconds.
    """
    draw = np.random.default_rng(seed)
    starts = np.cumsum(draw.uniform(0.15, 0.35, size=round(seconds / 0.15)))
    starts = starts[starts < seconds - 0.1]
    sound = 0.01 * draw.normal(size=round(seconds * RATE)).astype(np.float32)
    for start in (round(each * RATE) for each in starts):
        sound[start : start + RATE // 10] += tone(0.1, pitch_hz) * np.hanning(RATE // 10).astype(np.float32)
    still = _ball(size, 0.5, 0.5)
    write(path, (still for _ in range(round(seconds * fps))), fps=fps, sound=sound, **how)
    return tuple(float(each) for each in starts)


def glow(
    path: Path, *, seconds: float, seed: int, turn: float = 2.5, size: int = 48, fps: float = 30, **how
) -> tuple[float, ...]:
    """A picture that is dark or bright for ``turn`` seconds each, and hums low or high with it.

    Returns:
        Its brightness from 0 to 1 in each turn.
    """
    draw = np.random.default_rng(seed)
    turns = int(np.ceil(seconds / turn)) + 1
    levels = draw.permutation(np.linspace(0, 1, turns)) + draw.uniform(-0.05, 0.05, turns)
    first = draw.uniform(0, turn)

    def level(at: np.ndarray) -> np.ndarray:
        return levels[((at + first) // turn).astype(int)].clip(0, 1)

    hz = 200 * 16 ** level(np.arange(round(seconds * RATE)) / RATE)
    sound = 0.3 * np.sin(2 * np.pi * np.cumsum(hz) / RATE) + 0.003 * draw.normal(size=len(hz))
    noise = draw.integers(0, 30, (size, size, 3))
    pictures = (np.uint8((noise + 220 * each).clip(0, 255)) for each in level(np.arange(round(seconds * fps)) / fps))
    write(path, pictures, fps=fps, sound=sound.astype(np.float32), **how)
    return tuple(float(each) for each in levels)


# Arguments of `numbered` for 100 frames, by file name.
IRREGULAR = list(np.cumsum(np.random.default_rng(3).uniform(0.012, 0.09, 100)))
CODECS = {
    "h264.mp4": {},
    "no-b.mp4": {"bframes": 0, "gop": 12},
    "pyramid.mp4": {"bframes": 7, "gop": 48, "options": {"preset": "slow"}},
    "open-gop.mp4": {"options": {"x264-params": "keyint=25:min-keyint=25:open-gop=1:bframes=3:b-adapt=0:scenecut=0"}},
    "h264.mkv": {},
    "30000-1001.mkv": {"fps": 30000 / 1001},
    "irregular.mp4": {"times": IRREGULAR},
    "irregular.mkv": {"times": IRREGULAR},
    "irregular.ts": {"times": IRREGULAR},
    "from-5s.mkv": {"times": [5 + i / 25 for i in range(100)]},
    "h265.mp4": {"codec": "libx265"},
    "h265.mkv": {"codec": "libx265", "bframes": 4},
    "av1.mp4": {"codec": "libsvtav1"},
    "av1.webm": {"codec": "libsvtav1"},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"cpu-used": "8", "deadline": "realtime"}},
    "h264.mov": {"fps": 50},
    "h264.ts": {"tone_hz": 300},
    "h264.flv": {},
    "h264.avi": {},
    "mpeg4.avi": {"codec": "mpeg4"},
    "mpeg2.mpg": {"codec": "mpeg2video"},
    "mpeg2.ts": {"codec": "mpeg2video"},
    "wmv.wmv": {"codec": "msmpeg4v2", "bframes": 0},
    "lossless.mkv": {"codec": "ffv1", "gop": 1},
    "gbr.mkv": {"codec": "libx264rgb", "pix_fmt": "rgb24"},
    "interlaced.mp4": {"options": {"flags": "+ilme+ildct", "x264-params": "interlaced=1:threads=1"}},
    "fragmented.mp4": {"container": {"movflags": "frag_keyframe+empty_moov"}},
    "stream-ends-late.mkv": {"tone_hz": 200, "sound_at": 2.0},
}
