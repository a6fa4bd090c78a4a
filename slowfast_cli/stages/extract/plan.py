"""What `extract` will do, cut into shards and dealt to processes: a pure function of what is asked and what is done."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from itertools import groupby
from math import ceil

from slowfast_cli.data.partition import imbalance, partition
from slowfast_cli.media.audio_source import printable
from slowfast_cli.stages.extract.worker import Job
from slowfast_cli.types import Corpus, DataError, Recording, Seconds

GUESSED_SECONDS = 10.0  # of a recording whose segments do not say where they stop
EVEN = 0.02  # by which the most that one process gets may exceed the mean
FINEST = 16  # shards are made smaller for that, but not more than so many times


def recordings(corpora: Sequence[Corpus]) -> list[Recording]:
    """The recordings of several splits, each once.

    Raises:
        DataError: One id stands for two files.
    """
    found: dict[str, Recording] = {}
    for corpus in corpora:
        for recording in corpus.recordings:
            if found.setdefault(recording.id, recording) != recording:
                raise DataError(
                    f"{corpus.name}: recording {recording.id} is {printable(recording.path)} here and "
                    f"{printable(found[recording.id].path)} in another split: give the files names of their own"
                )
    return list(found.values())


def lengths(corpora: Sequence[Corpus]) -> dict[str, Seconds]:
    """Estimated length of every recording: where its last segment stops."""
    found: dict[str, Seconds] = {}
    for segment in (segment for corpus in corpora for segment in corpus.segments):
        id, stop = segment.recording.id, segment.stop or segment.start + GUESSED_SECONDS
        found[id] = max(found.get(id, 0.0), stop)
    return found


def plan(
    pending: Sequence[Recording],
    seconds: Sequence[Seconds],
    *,
    first: int,
    shard_seconds: Seconds,
    jobs: int,
    ranks: int = 1,
) -> list[list[Job]]:
    """Cut the work into shards of about equal length, as many as workers at least, and deal them to processes.

    Args:
        pending: Recordings to store.
        seconds: Estimated length of each.
        first: Number of the first shard.
        shard_seconds: Longest shard that is wanted.
        jobs: Workers of each process.
        ranks: Processes.

    Returns:
        The shards of each process; their numbers are those of the plan, so no two processes have one in common.
    """
    workers = ranks * jobs
    shards = max(workers, ceil(sum(seconds) / shard_seconds))
    shards = ceil(shards / workers) * workers if ranks > 1 else shards
    coarsest = shards
    while True:
        groups = _cut(seconds, shards)
        loads = [sum(seconds[place] for place in group) for group in groups]
        hands = partition(loads, ranks)
        uneven = imbalance([sum(loads[number] for number in hand) for hand in hands])
        if uneven <= EVEN or shards * 2 > coarsest * FINEST or len(groups) == len(pending):
            break
        shards *= 2
    return [
        [Job(number=first + number, recordings=tuple(pending[place] for place in groups[number])) for number in hand]
        for hand in hands
    ]


def _cut(seconds: Sequence[Seconds], shards: int) -> list[range]:
    """Neighbours that go into one shard: those whose middles lie in the same stretch of the whole."""
    ends, end = [], 0.0
    for length in seconds:
        ends.append(end := end + length)
    stretch = (end or 1.0) / shards
    middles = [int((end - length / 2) / stretch) for end, length in zip(ends, seconds, strict=True)]
    found, begin = [], 0
    for _, group in groupby(middles):
        size = len(list(group))
        found.append(range(begin, begin + size))
        begin += size
    return found


def told_apart(pending: Sequence[Recording], first: int) -> str:
    """Tells one plan from another: processes that see other files, or an older state of them, must not share one."""
    hashed = sha256(str(first).encode())
    for each in pending:
        hashed.update(each.id.encode("utf-8", "surrogateescape") + b"\0")
    return hashed.hexdigest()
