"""Reading one training clip of a 10-minute recording: shards against a loader that reads the whole recording.

    python tests/benchmarks/clip_reading.py

The other side is what the reference does: read all samples of the video from HDF5, cut, compute the log-mel.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from statistics import median

import h5py
import numpy as np
import soundfile as sf
import torch
from front_end import reference

from slowfast_cli.data.audio_clips import SoundReader, StoredRows
from slowfast_cli.data.clips import Clips, Key
from slowfast_cli.settings import FrontEnd
from slowfast_cli.shards.reader import Shards
from slowfast_cli.stages.extract.run import extract
from slowfast_cli.types import Corpus, Recording, Segment

MINUTES, CLIPS, ROUNDS = 10, 20, 7


def main() -> None:
    """Print the ratio."""
    torch.set_num_threads(1)
    front_end = FrontEnd(rate=24000, window_ms=10, hop_ms=5)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        samples = (0.1 * np.random.default_rng(0).standard_normal(MINUTES * 60 * 24000)).astype(np.float32)
        sf.write(folder / "long.wav", samples, 24000, subtype="FLOAT")
        with h5py.File(folder / "whole.h5", "w") as file:
            file["P01_01"] = samples
        recording = Recording(id="P01_01", path=folder / "long.wav")
        starts = np.random.default_rng(1).uniform(0, MINUTES * 60 - 3, CLIPS)
        segments = tuple(Segment(id=str(i), recording=recording, start=s, stop=s + 2.5) for i, s in enumerate(starts))
        corpus = Corpus(name="b", split="train", segments=segments, classes={})
        for _ in extract([corpus], folder / "shards", front_end=front_end):
            pass
        store = StoredRows(Shards(folder / "shards", front_end.settings()), front_end)
        clips = Clips(segments, SoundReader(store=store, seconds=1.999, views=1))

        def ours(index: int, epoch: int) -> None:
            clips[Key(epoch, index, -1)]

        def theirs(index: int, epoch: int) -> None:
            with h5py.File(folder / "whole.h5") as file:
                whole = file["P01_01"][()]
            first = int(starts[index] * 24000)
            reference(whole[first : first + 47975], front_end)

        times: dict[str, list[float]] = {"shards": [], "whole recording": []}
        for round_ in range(ROUNDS):
            for side, read in (("shards", ours), ("whole recording", theirs)):
                began = time.perf_counter()
                for index in range(CLIPS):
                    read(index, round_)
                times[side].append((time.perf_counter() - began) / CLIPS)
        ratio = median(b / a for a, b in zip(times["shards"], times["whole recording"], strict=True))
        for side, spent in times.items():
            print(f"{side:16} {1e3 * median(spent):8.3f} ms a clip")
        print(f"shards are {ratio:.0f}x as fast")


if __name__ == "__main__":
    main()
