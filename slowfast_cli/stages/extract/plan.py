"""Plan of an extraction: recordings grouped into shards, shards assigned to ranks; a pure function of its arguments."""

from collections.abc import Sequence
from hashlib import sha256
from itertools import groupby
from math import ceil

from slowfast_cli.data.partition import imbalance, partition
from slowfast_cli.media.audio_source import printable
from slowfast_cli.stages.extract.worker import Job
from slowfast_cli.types import Corpus, DataError, Recording, Seconds

GUESSED_SECONDS = 10.0  # length of a recording whose segments have no end
MAX_IMBALANCE = 0.02  # by which the largest load of a rank may exceed the mean
FINEST = 16  # shards are split to reach that balance, into at most this many times their number


def recordings(corpora: Sequence[Corpus]) -> list[Recording]:
    """The recordings of several splits, without duplicates.

    Raises:
        DataError: One id names two files.
    """
    by_id: dict[str, Recording] = {}
    for corpus in corpora:
        for recording in corpus.recordings:
            if by_id.setdefault(recording.id, recording) != recording:
                raise DataError(
                    f"{corpus.name}: recording {recording.id} is {printable(recording.path)} in one split and "
                    f"{printable(by_id[recording.id].path)} in another: give each file a name of its own"
                )
    return list(by_id.values())


def lengths(corpora: Sequence[Corpus]) -> dict[str, Seconds]:
    """Estimated length of every recording: the end of its last segment."""
    ends: dict[str, Seconds] = {}
    for segment in (segment for corpus in corpora for segment in corpus.segments):
        id, stop = segment.recording.id, segment.stop or segment.start + GUESSED_SECONDS
        ends[id] = max(ends.get(id, 0.0), stop)
    return ends


def plan(
    pending: Sequence[Recording],
    seconds: Sequence[Seconds],
    *,
    first: int,
    shard_seconds: Seconds,
    jobs: int,
    ranks: int = 1,
) -> list[list[Job]]:
    """Group recordings into shards of about equal length, at least one per worker, and assign the shards to ranks.

    Args:
        pending: Recordings to store.
        seconds: Estimated length of each recording.
        first: Number of the first shard.
        shard_seconds: Longest wanted shard.
        jobs: Workers per rank.
        ranks: Number of ranks.

    Returns:
        The shards of each rank; shard numbers are unique across ranks.
    """
    workers = ranks * jobs
    shards = max(workers, ceil(sum(seconds) / shard_seconds))
    shards = ceil(shards / workers) * workers if ranks > 1 else shards
    coarsest = shards
    while True:
        groups = _split(seconds, shards)
        loads = [sum(seconds[index] for index in group) for group in groups]
        shares = partition(loads, ranks)
        excess = imbalance([sum(loads[number] for number in numbers) for numbers in shares])
        if excess <= MAX_IMBALANCE or shards * 2 > coarsest * FINEST or len(groups) == len(pending):
            break
        shards *= 2
    return [
        [Job(number=first + number, recordings=tuple(pending[index] for index in groups[number])) for number in numbers]
        for numbers in shares
    ]


def _split(seconds: Sequence[Seconds], shards: int) -> list[range]:
    """Group neighbors whose centers lie in the same of ``shards`` equal parts of the total length."""
    ends, end = [], 0.0
    for length in seconds:
        ends.append(end := end + length)
    part = (end or 1.0) / shards
    parts = [int((end - length / 2) / part) for end, length in zip(ends, seconds, strict=True)]
    groups, begin = [], 0
    for _, group in groupby(parts):
        size = len(list(group))
        groups.append(range(begin, begin + size))
        begin += size
    return groups


def plan_hash(pending: Sequence[Recording], first: int) -> str:
    """Hash of a plan's input; it differs between ranks that read different files, or an older state of them."""
    hashed = sha256(str(first).encode())
    for recording in pending:
        hashed.update(recording.id.encode("utf-8", "surrogateescape") + b"\0")
    return hashed.hexdigest()
