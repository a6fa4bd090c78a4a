"""What each of many processes reads and makes: a dry run of the plans, without data.

    python tests/benchmarks/reading_plan.py [--shards 1000] [--ranks 64]

Shards of uneven sizes with recordings of uneven lengths; for an epoch of training, a pass of evaluation with as many
views as cover a recording, and an extraction: the most that a process has to do, above the mean.
"""

import argparse
from pathlib import Path

import numpy as np

from slowfast_cli.data.loader import training_keys
from slowfast_cli.data.partition import imbalance, partition
from slowfast_cli.data.views import covering
from slowfast_cli.stages.extract.plan import plan
from slowfast_cli.types import Recording, Share

RATE, CLIP_ROWS, MELS, ROW_BYTES = 100, 512, 128, 256  # rows a second; rows of a clip; float16
BATCH = 1024


def corpus(shards: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Seconds of each recording and the shard it is in: 50 to 450 recordings a shard, of 1 to 120 s."""
    draw = np.random.default_rng(seed)
    held = draw.integers(50, 450, shards)
    seconds = np.clip(draw.lognormal(2.2, 0.6, held.sum()), 1, 120)
    return seconds, np.repeat(np.arange(shards), held)


def training(seconds: np.ndarray, shard: np.ndarray, ranks: int) -> list[tuple[int, int, int]]:
    """Clips, bytes and shards of each process in an epoch."""
    rows = np.minimum(seconds * RATE, CLIP_ROWS).astype(int)
    found = []
    for rank in range(ranks):
        keys = training_keys(
            len(seconds),
            batch=BATCH,
            micro_batches=1,
            epochs=1,
            first_step=0,
            seed=0,
            share=Share(rank=rank, world=ranks),
        )
        read = np.array([key.segment for batch in keys for key in batch])
        found.append((len(read), int(rows[read].sum()) * ROW_BYTES, len(np.unique(shard[read]))))
    return found


def testing(seconds: np.ndarray, shard: np.ndarray, ranks: int) -> list[tuple[int, int, int]]:
    """The same of an evaluation: every view of every recording once."""
    rows = np.minimum(seconds * RATE, CLIP_ROWS).astype(int)
    counts = views(seconds)
    found = []
    for hand in partition(counts.tolist(), ranks):  # which is what `eval_keys` does in each process
        read = np.repeat(hand, counts[hand])
        found.append((len(read), int(rows[read].sum()) * ROW_BYTES, len(np.unique(shard[read]))))
    return found


def views(seconds: np.ndarray) -> np.ndarray:
    """As many as cover each recording."""
    return np.array([len(covering(int(length * RATE), CLIP_ROWS)) for length in seconds])


def extraction(seconds: np.ndarray, ranks: int, jobs: int = 4) -> list[tuple[float, int]]:
    """Seconds of sound and shards of each process."""
    pending = [Recording(id=str(number), path=Path(f"{number}.wav")) for number in range(len(seconds))]
    plans = plan(pending, seconds.tolist(), first=0, shard_seconds=2560.0, jobs=jobs, ranks=ranks)
    return [(sum(seconds[int(each.id)] for job in hand for each in job.recordings), len(hand)) for hand in plans]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=int, default=1000)
    parser.add_argument("--ranks", type=int, default=64)
    words = parser.parse_args()
    seconds, shard = corpus(words.shards)
    print(f"{words.shards} shards, {len(seconds):,} recordings, {seconds.sum() / 3600:,.0f} h, {words.ranks} processes")
    for name, found, columns in (
        ("training", training(seconds, shard, words.ranks), ("clips", "bytes", "shards")),
        ("evaluation", testing(seconds, shard, words.ranks), ("views", "bytes", "shards")),
        ("extraction", extraction(seconds, words.ranks), ("seconds", "shards")),
    ):
        for number, column in enumerate(columns):
            loads = [each[number] for each in found]
            print(
                f"{name:11} {column:8} {min(loads):>16,.0f} to {max(loads):>16,.0f}, mean {np.mean(loads):>16,.1f}: "
                f"most above the mean {imbalance(loads):.2%}"
            )


if __name__ == "__main__":
    main()
