"""`slowfast extract` of 60 recordings on one core: its stages, the disk's floor, and the same by librosa and numpy.

    python tests/benchmarks/extract_path.py

Recordings of 10 s at 44.1 kHz, as wav, flac, ogg and mp3, to the log-mel of VGG-Sound at 16 kHz. Stages are timed
alone; the whole is the real stage, manifest and checksums included. The other side is `librosa.load`, librosa's
spectrogram with the mel filters kept, and a float16 array in a file of its own.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from statistics import median

import librosa
import machine
import numpy as np
import soundfile as sf
import torch
from front_end import reference

from slowfast_cli.features.logmel import LogMel
from slowfast_cli.media import audio
from slowfast_cli.settings import FrontEnd
from slowfast_cli.shards.writer import ShardSpec, ShardWriter
from slowfast_cli.stages.bench import timing
from slowfast_cli.stages.extract.run import extract
from slowfast_cli.types import Corpus, Recording, Segment

DATA = Path(__file__).parents[1] / "assets"
FILES, SECONDS, RATE, ROUNDS = 60, 10, 44100, 3
CPU = torch.device("cpu")


def fill(folder: Path) -> list[Recording]:
    """Write the recordings."""
    sound = np.tile(audio.read(Recording(id="rain", path=DATA / "rain.wav"), rate=RATE), 4)
    found = []
    for number in range(FILES):
        path = folder / f"{number:03}.{('wav', 'flac', 'ogg', 'mp3')[number % 4]}"
        sf.write(path, sound[number * 1000 :][: SECONDS * RATE], RATE)
        found.append(Recording(id=path.name, path=path))
    return found


def clocked(work) -> float:
    """Seconds that it takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def theirs(recordings: list[Recording], out: Path, filters: np.ndarray) -> None:
    """The same by librosa and numpy."""
    out.mkdir(exist_ok=True)
    for each in recordings:
        samples, _ = librosa.load(each.path, sr=16000)
        np.save(out / f"{each.id}.npy", reference(samples, FrontEnd(), filters).astype(np.float16))


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    made = FrontEnd()
    log_mel = LogMel(made)
    filters = librosa.filters.mel(sr=16000, n_fft=made.fft, n_mels=made.mels, htk=True, norm=None)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recordings = fill(folder)
        corpus = Corpus(
            name="made",
            split="all",
            segments=tuple(Segment(id=each.id, recording=each) for each in recordings),
            classes={},
        )

        def ours() -> None:
            shutil.rmtree(folder / "out", ignore_errors=True)
            list(extract([corpus], folder / "out", front_end=made))

        theirs(recordings[:4], folder / "npy", filters)
        ours()
        turns = [(clocked(ours), clocked(lambda: theirs(recordings, folder / "npy", filters))) for _ in range(ROUNDS)]
        native = clocked(lambda: [audio.read(each, rate=RATE) for each in recordings])
        sounds: list[np.ndarray] = []
        both = clocked(lambda: sounds.extend(audio.read(each, rate=16000) for each in recordings))
        rows: list[np.ndarray] = []
        features = clocked(lambda: rows.extend(log_mel(torch.from_numpy(each)[None])[0, 0].numpy() for each in sounds))
        making = ShardSpec(front_end=made.settings(), mels=made.mels, dtype="float16", source="made", version="0")

        def write() -> None:
            with ShardWriter(folder / "part.tmp", making) as writer:
                for each, found in zip(recordings, rows, strict=True):
                    writer.append(found)
                    writer.keep(each.id, SECONDS)
                writer.finish("shard-00000.h5", [])

        stored = sum(each.size for each in rows) * 2
        read = sum(each.path.stat().st_size for each in recordings)
        memory = machine.bandwidth(CPU)
        print(f"{FILES} recordings of {SECONDS} s, one of {timing.machine()}")
        stages = {
            "read and decode": machine.Stage(took=native, floor=2 * read / memory, why="bytes of the files, copied"),
            "resample": machine.Stage(took=both - native),
            "features": machine.Stage(
                took=features,
                floor=machine.seconds(
                    lambda: torch.fft.rfft(torch.zeros(64, made.fft, dtype=torch.float64)), device=CPU
                )
                * sum(map(len, rows))
                / 64,
                why="the bare float64 transforms",
            ),
            "write": machine.Stage(took=clocked(write), floor=2 * stored / memory, why="bytes of the rows, copied"),
        }
        machine.show("stages", stages)
        whole, other = (median(side) for side in zip(*turns, strict=True))
        ratio = median(b / a for a, b in turns)
        print(f"slowfast extract {whole:.2f} s ({FILES * SECONDS / whole:.0f}x real time), librosa {other:.2f} s: ")
        print(f"  {ratio:.2f}x as fast")


if __name__ == "__main__":
    main()
