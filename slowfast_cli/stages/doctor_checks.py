"""Checks of the libraries for media, features and shards: each returns a description, or raises.

Modules are imported inside the checks, so that a missing one fails only its own checks.
"""

import importlib
import os
import tempfile
from io import BytesIO
from pathlib import Path
from typing import Any

RATE = 16000  # of the test signal, Hz
FRONT_END_TOLERANCE = 2e-4  # as in the tests against golden arrays
FORMATS = ("WAV", "FLAC", "OGG", "MP3", "AIFF")  # expected of soundfile; PyAV reads all others


def module(name: str) -> Any:
    """Import by name."""
    return importlib.import_module(name)


def sndfile() -> str:
    """Version of libsndfile and its formats."""
    soundfile = module("soundfile")
    missing = sorted(set(FORMATS) - set(soundfile.available_formats()))
    return f"{soundfile.__libsndfile_version__}" + (
        f" without {', '.join(missing)} (PyAV reads them)" if missing else f", {' '.join(FORMATS).lower()}"
    )


def ffmpeg() -> str:
    """Versions of PyAV and its FFmpeg."""
    av = module("av")
    libraries = ", ".join(
        f"{name} {'.'.join(map(str, av.library_versions[name]))}" for name in ("libavformat", "libavcodec")
    )
    return f"PyAV {av.__version__}, {libraries}"


def _tone() -> Any:
    np = module("numpy")
    return (0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE // 2) / RATE)).astype(np.float32)


def try_wav() -> str:
    """Write and read a WAV in memory."""
    soundfile, np, file = module("soundfile"), module("numpy"), BytesIO()
    soundfile.write(file, _tone(), RATE, format="WAV", subtype="PCM_16")
    file.seek(0)
    decoded, rate = soundfile.read(file, dtype="float32")
    if rate != RATE or not np.allclose(decoded, _tone(), atol=1e-4):
        raise ValueError("decoded samples differ from those written")
    return "decodes"


def try_aac() -> str:
    """Encode and decode AAC in an MP4 in memory."""
    av, np, file = module("av"), module("numpy"), BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(_tone()[None], format="fltp", layout="mono")
        frame.sample_rate = RATE
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    file.seek(0)
    with av.open(file) as container:
        decoded = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    loudness = float(np.sqrt(np.mean(decoded[RATE // 8 : RATE // 4] ** 2)))
    if not 0.3 < loudness < 0.4:  # 0.5 / sqrt(2), less what AAC loses
        raise ValueError(f"decoded tone has RMS {loudness:.2f}, expected 0.35")
    return "decodes"


def try_front_end() -> str:
    """Compare the default log-mel of noise and a tone with librosa's."""
    librosa, np, torch = module("librosa"), module("numpy"), module("torch")
    samples = (_tone() + 0.1 * np.random.default_rng(0).standard_normal(RATE // 2)).astype(np.float32)
    front_end = module("slowfast_cli.settings").FrontEnd(rate=RATE)
    ours = module("slowfast_cli.features.logmel").LogMel(front_end)(torch.from_numpy(samples)[None])[0, 0].numpy()
    mels = librosa.feature.melspectrogram(
        y=samples, sr=RATE, n_fft=front_end.fft, hop_length=front_end.hop, win_length=front_end.window, power=1.0,
        pad_mode="constant", n_mels=front_end.mels, htk=True, norm=None,
    )  # fmt: skip
    difference = float(np.abs(ours - np.log(mels + front_end.floor).T).max())
    if not difference < FRONT_END_TOLERANCE:
        raise ValueError(
            f"log-mel differs from librosa's by {difference:.1e}, expected less than {FRONT_END_TOLERANCE:g}"
        )
    return f"within {difference:.0e} of librosa's"


def try_hdf5() -> str:
    """Write and read an HDF5 file in memory."""
    h5py, np = module("h5py"), module("numpy")
    with h5py.File("doctor.h5", "w", driver="core", backing_store=False) as file:
        file["rows"] = _tone()
        if not np.array_equal(file["rows"][10:20], _tone()[10:20]):
            raise ValueError("rows read differ from those written")
    return f"{h5py.version.hdf5_version}, writes and reads"


def try_write(folder: Path) -> str:
    """Write 1 MiB to a temporary file in a folder."""
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file, not a folder")
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(bytes(2**20))
        file.flush()
        os.fsync(file.fileno())
    return f"writes to {folder}"
