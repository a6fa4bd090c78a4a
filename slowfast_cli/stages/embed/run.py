"""``slowfast embed``: the features of many items, written as they are finished, resumed, in several processes."""

import csv
import io
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from threading import Event as Flag

import torch

from slowfast_cli.data.partition import partition
from slowfast_cli.engine import distributed
from slowfast_cli.stages.embed.batching import Finished, Rows
from slowfast_cli.stages.embed.embedder import Embedder
from slowfast_cli.stages.embed.items import Item
from slowfast_cli.stages.embed.store import INDEX, LOCK, Entry, Output, Spool, Writer
from slowfast_cli.storage.atomic import make_folder, write_text
from slowfast_cli.storage.lock import file_lock, lock_holder
from slowfast_cli.types import Share, SlowFastError

MOST_ITEMS = 8  # in a group, whose windows share forward passes
MOST_BYTES = 8 << 20  # of the files of a group: a group is what an interruption loses
SECOND = 32_000  # bytes that a second of a stretch counts
MOST_THREADS = 8  # each needs memory for a batch and its activations
AHEAD = 2  # groups per thread
INDEX_COLUMNS = ("name", "source", "file", "rows", "start", "end")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of an item."""

    item: Item
    entry: Entry | None = None  # None: it could not be used
    reason: str = ""  # why not
    kept: bool = False  # finished by an earlier run


def embed(items: Sequence[Item], embedder: Embedder, output: Output) -> Iterator[Outcome]:
    """Write the features of items, or resume doing so; several processes share the work.

    Groups of items depend on the list alone, so that an interrupted run ends with the files of an uninterrupted one,
    in any number of processes.

    Args:
        items: All items, the same in all processes.
        embedder: Computes the features.
        output: Where they go.

    Yields:
        Each item of this process; the first process also yields those that an earlier run finished.

    Raises:
        UsageError: The folder has features of other settings.
        SlowFastError: Another process writes to the folder.
    """
    share = distributed.join()
    with ExitStack() as stack:
        _open(items, output, share, stack)
        done = output.finished(items)
        embedder.expect((len(items) - len(done)) // share.world)
        distributed.barrier(share)  # all have read what was finished before anybody goes on
        if share.rank == 0:
            yield from (Outcome(item=item, entry=done[item.name], kept=True) for item in items if item.name in done)
        todo = [group for group in groups(items) if any(item.name not in done for item in group)]
        mine = [todo[number] for number in partition([1.0] * len(todo), share.world)[share.rank]]
        yield from _run(mine, embedder, Writer(output, share.rank), done, threads=_threads(len(items)))
        distributed.barrier(share)
        if share.rank == 0:
            finish(items, output)


def finish(items: Sequence[Item], output: Output) -> None:
    """Write the index, and the table if one is wanted."""
    entries = output.finished(items)
    if output.table:
        output.write_table(items, entries)
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(INDEX_COLUMNS)
    for entry in (entries[item.name] for item in items if item.name in entries):
        file = output.table_path.name if output.table else entry.file
        rows.writerow([entry.name, entry.source, file, entry.rows, entry.start[0], entry.end[-1]])
    write_text(output.folder / INDEX, text.getvalue().encode("utf-8", "replace").decode())


def groups(items: Sequence[Item]) -> list[list[Item]]:
    """Consecutive items whose windows share forward passes: few and short ones."""
    parts, size = [list[Item]()], 0
    for item in items:
        size += _bytes(item)
        if parts[-1] and (len(parts[-1]) == MOST_ITEMS or size > MOST_BYTES):
            parts.append([])
            size = _bytes(item)
        parts[-1].append(item)
    return [part for part in parts if part]


def _bytes(item: Item) -> int:
    if item.stop is not None:
        return round((item.stop - item.start) * SECOND)
    return item.version[0] if item.version else 0


def _open(items: Sequence[Item], output: Output, share: Share, stack: ExitStack) -> None:
    problem: SlowFastError | None = None
    if share.rank == 0:
        try:
            output.require()
            path = make_folder(output.folder) / LOCK
            if not stack.enter_context(file_lock(path)):
                raise SlowFastError(
                    f"--out {output.folder}: process {lock_holder(path)} writes to it: wait for its end"
                )
            output.open(items)
        except SlowFastError as error:
            problem = error
        except OSError as error:
            problem = SlowFastError(f"{output.folder}: cannot be written: {error.strerror or error}")
    distributed.fail_together(problem, share)


def _threads(items: int) -> int:
    return max(1, min(torch.get_num_threads(), MOST_THREADS, items))


def _run(
    todo: Sequence[list[Item]], embedder: Embedder, writer: Writer, done: dict[str, Entry], *, threads: int
) -> Iterator[Outcome]:
    """Work on several groups concurrently in threads; decoding, FFTs and the forward pass release the GIL."""
    stop, pending = Flag(), deque[Future[list[Outcome]]]()
    share = max(1, torch.get_num_threads() // threads)
    pool = ThreadPoolExecutor(threads, "embed", torch.set_num_threads, (share,))
    try:
        for group in todo:
            pending.append(pool.submit(_group, group, embedder, writer, done, stop))
            while len(pending) > AHEAD * threads:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()
    finally:  # also if the consumer closes the generator, or on an interrupt
        stop.set()
        pool.shutdown(cancel_futures=True)


def _group(
    items: Sequence[Item], embedder: Embedder, writer: Writer, done: dict[str, Entry], stop: Flag
) -> list[Outcome]:
    """Embed a group, and store the items that are not finished yet."""
    outcomes = list[Outcome]()
    spool: Spool | None = None
    try:
        for event in () if stop.is_set() else embedder.group(items):
            if stop.is_set():
                break
            item = items[event.item]
            if isinstance(event, Rows):
                spool = spool or writer.spool()
                spool.add(event)
                continue
            if not isinstance(event, Finished):
                outcomes.append(Outcome(item=item, reason=event.reason))
            elif spool is not None and item.name not in done:
                outcomes.append(Outcome(item=item, entry=writer.store(item, spool, event.note)))
            if spool is not None:
                spool.close()
            spool = None
    finally:
        if spool is not None:
            spool.close()
    return outcomes
