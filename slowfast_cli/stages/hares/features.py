"""Features of a frozen trunk, computed once: of some random clips of each training segment, of every test clip."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from slowfast_cli.build.clips import eval_batch, media_clips, open_store, usable, workers_of
from slowfast_cli.build.corpus import SplitRole, corpus_root, head_sizes, read_corpus
from slowfast_cli.build.network import architecture
from slowfast_cli.build.transforms import Progress, Transform, eval_transform, training_transform
from slowfast_cli.data import loader
from slowfast_cli.data.clips import Clips, Key
from slowfast_cli.data.partition import partition
from slowfast_cli.data.stored_features import MADE, StoredFeatures, digest
from slowfast_cli.engine import distributed
from slowfast_cli.recipe.schema import Recipe
from slowfast_cli.storage.atomic import make_folder, write_text
from slowfast_cli.types import Batch, DataError, Failure, Segment, Settings, Share, SlowFastError

BEGUN = "begun.json"
Tick = Callable[[int, int], None]  # clips done, clips in all


def embed(
    recipe: Recipe,
    trunk: nn.Module,
    part: SplitRole,
    folder: Path,
    *,
    made_by: Settings,
    device: str = "auto",
    tick: Tick | None = None,
) -> StoredFeatures:
    """Compute the features of a split, unless the folder has them.

    Of the training split ``recipe.probe.crops`` random clips of each segment, augmented as the recipe says; of another
    all test clips.

    Args:
        recipe: Its data, front end and augmentation.
        trunk: Signals to features by pathway.
        part: Which split.
        folder: Where they go; of several processes each writes its own rows.
        made_by: What tells this trunk from others.
        device: As for training.
        tick: Told of progress.

    Raises:
        DataError: The corpus is not there, or nothing of it can be read.
    """
    at, share = distributed.device(device), distributed.join()
    source = open_store(recipe)
    listed = read_corpus(recipe, part)
    found = usable(recipe, listed, source)
    clips = media_clips(recipe, found, source)
    crops = recipe.probe.crops if part == "train" and recipe.probe else 0
    settings = {**made_by, "segments": digest(listed.segments), "crops": crops, **_matters(recipe)}
    if _is_there(folder, settings):
        return StoredFeatures(folder)
    counts = clips.counts() if not crops else [crops] * len(clips)
    where = _places(listed.segments, clips.segments)
    everyone = np.zeros(len(listed.segments), np.int64)
    everyone[where] = counts
    if share.rank == 0 and not _goes_on(folder, settings):
        _reserve(recipe, folder, everyone, crops)
        write_text(folder / BEGUN, json.dumps(settings))
    distributed.barrier(share)
    rows = _Rows(folder, where)
    before = int(rows.seen.sum())
    plan = _Plan(counts, crops, rows.seen[where], recipe.seed, share)
    distributed.barrier(share)  # all have seen what is done before any adds to it
    lost = _computed(recipe, trunk.to(at).eval(), clips, plan, rows, at, tick)
    if share.rank == 0:
        lost |= {failure.id: failure.reason for failure in found.missing}
    write_text(folder / f"lost-{share.rank}.json", json.dumps(lost))
    rows.flush()
    _require_all(folder, before + sum(distributed.gather([rows.written], share)))
    stored = StoredFeatures(folder)
    if share.rank == 0:
        np.save(folder / "kept.npy", (rows.seen == everyone) & (rows.seen > 0))
        if stored.array("kept").any():
            length = int(stored.array("rows").shape[-1])
            write_text(folder / MADE, json.dumps({**settings, "length": length}))
    distributed.barrier(share)
    if not stored.array("kept").any():
        raise DataError(f"{found.name} {found.split}: none of the {len(clips)} segments can be read, see `data check`")
    return stored


def _computed(
    recipe: Recipe, trunk: nn.Module, clips: Clips, plan: _Plan, rows: _Rows, at: torch.device, tick: Tick | None
) -> dict[str, str]:
    """Compute what is planned; returns why recordings could not be read, by id."""
    size = eval_batch(recipe)
    torch.manual_seed(recipe.seed * 1_000_003 + plan.share.rank)
    transform = partial(_augmented, training_transform(recipe, at)) if plan.crops else eval_transform(recipe, at)
    own, done, unreadable, lost = plan.batches(size), 0, list[Failure](), dict[str, str]()
    for whole in loader.batches(
        clips, plan.batches(size), workers=workers_of(recipe), device=at, unreadable=unreadable
    ):
        numbers = _numbers(own, clips.segments, whole)
        for batch in transform(whole):
            with torch.inference_mode():
                features_BD = torch.cat(list(trunk(batch.inputs.signals).values()), dim=1)
            rows.write(batch, [numbers[id_] for id_ in batch.ids], features_BD)
        lost |= {failure.id: failure.reason for failure in whole.broken}
        done += len(whole) + len(whole.broken)
        if tick:
            tick(done + len(unreadable), plan.count)
    return lost | {failure.id: failure.reason for failure in unreadable}


class _Plan:
    """Which clips a process reads, in which order: those that an earlier run has not read.

    All clips of a segment are one process's, which counts them.

    Args:
        counts: Clips of each segment.
        crops: Random clips of each; 0 of test clips.
        seen: Clips of each that are done.
        seed: Of the order of random clips, whose neighbours are mixed.
        share: This process's part.
    """

    def __init__(self, counts: Sequence[int], crops: int, seen: np.ndarray, seed: int, share: Share) -> None:
        self.crops, self.share = crops, share
        self._counts, self._seen, self._seed = counts, np.array(seen), seed
        left = np.array(counts) - self._seen
        own = partition(left.tolist(), share.world)[share.rank]
        self._own = np.isin(np.arange(len(counts)), own)
        self.count = int(left[own].sum())

    def batches(self, size: int) -> Iterator[list[Key]]:
        """The same each time."""
        keys = self._random() if self.crops else self._all()
        while batch := list(islice(keys, size)):
            yield batch

    def _random(self) -> Iterator[Key]:
        for crop in range(self.crops):
            order = np.random.default_rng((self._seed, crop)).permutation(len(self._counts))
            for index in order[self._own[order]].tolist():
                if self._seen[index] <= crop:
                    yield Key(crop, index, -1)

    def _all(self) -> Iterator[Key]:
        for index in np.flatnonzero(self._own).tolist():
            for view in range(int(self._seen[index]), self._counts[index]):
                yield Key(0, index, view)


def _require_all(folder: Path, count: int) -> None:
    """Refuse what some file systems make of a file that several machines write to."""
    found = int(np.load(folder / "seen.npy").sum())
    if found != count:
        raise SlowFastError(
            f"{folder}: {count:,} features were written and {found:,} are there: this file system loses what several "
            "machines write to one file (as NFS does): remove the folder, then use --nodes 1, or a folder on a "
            "parallel file system"
        )


def _numbers(own: Iterator[list[Key]], segments: Sequence[Segment], batch: Batch) -> dict[str, int]:
    """Numbers of a batch's segments, by id; batches of which nothing could be read are passed over."""
    for keys in own:
        numbers = {segments[key.segment].id: key.segment for key in keys}
        if all(id_ in numbers for id_ in batch.ids):
            return numbers
    raise ValueError(f"a batch with {batch.ids[0]} that was not asked for")


def _places(listed: Sequence[Segment], usable: Sequence[Segment]) -> np.ndarray:
    """Where the usable segments stand in the list."""
    if len(usable) == len(listed):
        return np.arange(len(listed))
    held = {segment.id for segment in usable}
    return np.array([place for place, segment in enumerate(listed) if segment.id in held])


def _matters(recipe: Recipe) -> dict[str, Any]:
    """What the features of a trunk depend on besides it."""
    return {
        "variant": recipe.model.variant,
        "width": recipe.model.width,
        "source": recipe.data.source,
        "root": str(corpus_root(recipe).absolute()),
        "clip_seconds": recipe.data.clip_seconds,
        "views": recipe.data.views,
        "pad": recipe.data.pad,
        "seed": recipe.seed,
        "front_end": recipe.frontend.settings(),
        "augment": asdict(recipe.augment),
    }


def _is_there(folder: Path, settings: dict[str, Any]) -> bool:
    try:
        made = StoredFeatures(folder).made
    except DataError:
        return False
    return all(made.get(name) == value for name, value in json.loads(json.dumps(settings)).items())


def _goes_on(folder: Path, settings: dict[str, Any]) -> bool:
    """Whether an interrupted run of the same has left something."""
    try:
        recorded = json.loads((folder / BEGUN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(recorded == json.loads(json.dumps(settings)))


def _augmented(transform: Transform, batch: Batch) -> Iterator[Batch]:
    yield transform(batch, Progress())


def _reserve(recipe: Recipe, folder: Path, counts: np.ndarray, crops: int) -> None:
    """Files of the right size, which all processes then write to."""
    shutil.rmtree(folder, ignore_errors=True)
    make_folder(folder)
    first = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)])
    length = sum(architecture(recipe).features().values())
    shape = (crops, len(counts), length) if crops else (int(first[-1]), length)
    _made(folder / "rows.npy", np.float16, shape)
    _made(folder / "seen.npy", np.int32, (len(counts),))
    np.save(folder / "first.npy", first)
    for labels, classes in head_sizes(recipe).items() if crops and recipe.augment.mix else ():
        _made(folder / f"targets-{labels}.npy", np.float16, (crops, len(counts), classes))


def _made(path: Path, kind: type[np.generic], shape: tuple[int, ...]) -> None:
    np.lib.format.open_memmap(path, mode="w+", dtype=kind, shape=shape).flush()


class _Rows:
    """Writes each clip's feature where it belongs; clips of a segment come in their order.

    Args:
        folder: Has the files.
        where: Place of each usable segment among the listed ones.

    Attributes:
        seen: How many clips of each listed segment are done, of all processes; (N,), on disk.
        written: Clips that this process has added.
    """

    def __init__(self, folder: Path, where: np.ndarray) -> None:
        self._where = where
        self._rows = np.load(folder / "rows.npy", mmap_mode="r+")
        self._first = np.load(folder / "first.npy")
        self.seen = np.load(folder / "seen.npy", mmap_mode="r+")
        self.written = 0
        self._mixed = {
            path.stem.removeprefix("targets-"): np.load(path, mmap_mode="r+") for path in folder.glob("targets-*.npy")
        }

    def write(self, batch: Batch, segments: Sequence[int], features_BD: torch.Tensor) -> None:
        """Put down one batch, and its targets where clips were mixed.

        Args:
            batch: Its clips.
            segments: Numbers of their segments.
            features_BD: Theirs.

        Raises:
            SlowFastError: Features that float16 does not hold.
        """
        found_BD = features_BD.float().cpu().numpy()
        if not np.isfinite(found_BD).all():
            raise SlowFastError(f"features of {batch.ids[0]} or others are not finite: the trunk gives no numbers")
        if not np.abs(found_BD).max() < np.finfo(np.float16).max:
            raise SlowFastError(
                f"features of {batch.ids[0]} and others reach {np.abs(found_BD).max():g}, which float16 does not hold: "
                "take probe.features=live"
            )
        places, ahead, numbers = self._where[list(segments)], Counter[int](), list[int]()
        for place in places.tolist():
            numbers.append(int(self.seen[place]) + ahead[place])
            ahead[place] += 1
        if self._rows.ndim == 3:
            self._rows[numbers, places] = found_BD
        else:
            self._rows[self._first[places] + np.array(numbers)] = found_BD
        for labels, targets in self._mixed.items():
            targets[numbers, places] = batch.targets[labels].cpu().numpy()
        for place, count in ahead.items():  # the rows are there before they count
            self.seen[place] += count
        self.written += len(segments)

    def flush(self) -> None:
        """Bring everything to the disk."""
        for array in (self._rows, self.seen, *self._mixed.values()):
            array.flush()
