"""`slowfast extract` on one core beside a plain script of torchaudio, soxr and h5py, in turn in one process.

    pip install soxr
    python tests/benchmarks/extract_plain.py [ESC-10 folder]

Recordings of 10 s at 44.1 kHz (wav, flac, mp3) and, where the folder is given, a quarter of ESC-10 (ogg, 5 s), to the
log-mel of VGG-Sound at 16 kHz, stored as float16. The script reads with soundfile, resamples with soxr (HQ), transforms
with torchaudio's MelSpectrogram (float32) and writes a data set a recording; slowfast also writes checksums, manifest
and index. Times are CPU time of this process, which other processes disturb less than the clock.
"""

from __future__ import annotations

import importlib
import shutil
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import h5py
import machine
import numpy as np
import soundfile as sf
import soxr
import torch

from slowfast_cli.media import audio
from slowfast_cli.settings import FrontEnd
from slowfast_cli.stages.extract.run import extract
from slowfast_cli.torchaudio_import import torchaudio
from slowfast_cli.types import Corpus, Recording, Segment

ASSETS = Path(__file__).parents[1] / "assets"
FILES, SECONDS, RATE, ROUNDS = 100, 10, 44100, 3


def plain(files: list[Path], out: Path) -> None:
    """The script."""
    transforms = importlib.import_module(f"{torchaudio.__name__}.transforms")
    mel = transforms.MelSpectrogram(
        16000, n_fft=2048, win_length=320, hop_length=160, n_mels=128, power=1.0, pad_mode="constant"
    )
    with h5py.File(out, "w") as file:
        for number, path in enumerate(files):
            samples, rate = sf.read(path, dtype="float32", always_2d=True)
            mono = soxr.resample(samples.mean(1), rate, 16000)
            rows = torch.log(mel(torch.from_numpy(mono)) + 1e-6).T.numpy()
            file.create_dataset(str(number), data=rows.astype(np.float16))


def ours(files: list[Path], out: Path, *, exact: bool) -> None:
    """The command's stage."""
    shutil.rmtree(out, ignore_errors=True)
    segments = tuple(Segment(id=path.name, recording=Recording(id=path.name, path=path)) for path in files)
    list(
        extract([Corpus(name="x", split="all", segments=segments, classes={})], out, front_end=FrontEnd(), exact=exact)
    )


def main() -> None:
    """Print the ratios."""
    torch.set_num_threads(1)
    sound = np.tile(audio.read(Recording(id="rain", path=ASSETS / "rain.wav"), rate=RATE), 4)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sets = {kind: [folder / f"{number}.{kind}" for number in range(FILES)] for kind in ("wav", "flac", "mp3")}
        for files in sets.values():
            for number, path in enumerate(files):
                sf.write(path, sound[number * 1000 :][: SECONDS * RATE], RATE)
        if len(sys.argv) > 1:
            sets = {"ESC-10": sorted(Path(sys.argv[1]).rglob("*.ogg"))[::4], **sets}
        for title, files in sets.items():
            sides = {
                "slowfast": lambda files=files: ours(files, folder / "out", exact=False),
                "slowfast --exact": lambda files=files: ours(files, folder / "exact", exact=True),
                "plain": lambda files=files: plain(files, folder / "plain.h5"),
            }
            spent = machine.alternate(sides, ROUNDS, time.process_time)
            theirs = spent["plain"]
            for side in ("slowfast", "slowfast --exact"):
                ratio = median(other / own for other, own in zip(theirs, spent[side], strict=True))
                each = 1e3 * median(spent[side]) / len(files)
                print(f"{title:8} {side:18} {each:6.2f} ms a file, plain takes {ratio:.2f}x", flush=True)


if __name__ == "__main__":
    main()
