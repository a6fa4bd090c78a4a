"""Compute and store the features of a frozen trunk: random clips of training segments, all clips of test segments."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import torch
from torch import nn

from slowfast_cli.build.clips import eval_batch, media_clips, open_store, usable, workers_of
from slowfast_cli.build.corpus import SplitRole, corpus_root, head_sizes, read_corpus
from slowfast_cli.build.network import architecture
from slowfast_cli.build.transforms import Progress, eval_transform, training_transform
from slowfast_cli.corpora.lists import label_file
from slowfast_cli.data import loader
from slowfast_cli.data.clips import Clips, Key
from slowfast_cli.data.partition import partition
from slowfast_cli.data.stored_features import METADATA, StoredFeatures, digest
from slowfast_cli.engine import distributed
from slowfast_cli.recipe.schema import Recipe
from slowfast_cli.storage.atomic import make_folder, write_text
from slowfast_cli.types import Batch, DataError, Failure, Segment, Settings, Share, SlowFastError

BEGUN = "begun.json"  # settings of a computation that may be unfinished
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
    """Compute the features of a split, unless the folder has them; an interrupted computation is resumed.

    Training segments give ``recipe.probe.crops`` random clips each, augmented as in training; test segments all clips.

    Args:
        recipe: Data, front end and augmentation.
        trunk: Maps signals to features by pathway.
        part: Role of the split.
        folder: Of the features; each rank writes its own rows.
        made_by: Identifies the trunk.
        device: As for training.
        tick: Called with the progress.

    Raises:
        DataError: The corpus is missing, or none of its segments can be read.
    """
    at, share = distributed.device(device), distributed.join()
    source = open_store(recipe)
    listed = read_corpus(recipe, part)
    corpus = usable(recipe, listed, source)
    clips = media_clips(recipe, corpus, source)
    crops = recipe.probe.crops if part == "train" and recipe.probe else 0
    settings = {**made_by, "segments": digest(listed.segments), "crops": crops, **_feature_settings(recipe)}
    if _is_complete(folder, settings):
        return StoredFeatures(folder)
    counts = clips.counts() if not crops else [crops] * len(clips)
    places = _places(listed.segments, clips.segments)
    all_counts = np.zeros(len(listed.segments), np.int64)
    all_counts[places] = counts
    if share.rank == 0 and not _is_resumable(folder, settings):
        _create_arrays(recipe, folder, all_counts, crops)
        write_text(folder / BEGUN, json.dumps(settings))
    distributed.barrier(share)
    rows = _Rows(folder, places)
    before = int(rows.done.sum())
    plan = ReadPlan(counts, crops, rows.done[places], recipe.seed, share)
    distributed.barrier(share)  # all ranks have read `done` before any of them changes it
    lost = _compute(recipe, trunk.to(at).eval(), clips, plan, rows, at, tick)
    if share.rank == 0:
        lost |= {failure.id: failure.reason for failure in corpus.missing}
    write_text(folder / f"lost-{share.rank}.json", json.dumps(lost))
    rows.flush()
    require_all(folder, before + sum(distributed.gather([rows.written], share)))
    stored = StoredFeatures(folder)
    if share.rank == 0:
        np.save(folder / "kept.npy", (rows.done == all_counts) & (rows.done > 0))
        if stored.array("kept").any():
            length = int(stored.array("rows").shape[-1])
            write_text(folder / METADATA, json.dumps({**settings, "length": length}))
    distributed.barrier(share)
    if not stored.array("kept").any():
        raise DataError(
            f"{corpus.name} {corpus.split}: none of the {len(clips)} segments can be read, see `data check`"
        )
    return stored


def _compute(
    recipe: Recipe, trunk: nn.Module, clips: Clips, plan: ReadPlan, rows: _Rows, at: torch.device, tick: Tick | None
) -> dict[str, str]:
    """Compute and write the planned features; return the reasons of unreadable recordings by id."""
    size = eval_batch(recipe)
    torch.manual_seed(recipe.seed * 1_000_003 + plan.share.rank)
    augment = training_transform(recipe, at) if plan.crops else None
    transform = eval_transform(recipe, at)
    batches, done, unreadable, lost = plan.batches(size), 0, list[Failure](), dict[str, str]()
    for loaded in loader.batches(
        clips, plan.batches(size), workers=workers_of(recipe), device=at, unreadable=unreadable
    ):
        indices = _indices(batches, clips.segments, loaded)
        for batch in [augment(loaded, Progress())] if augment else transform(loaded):
            with torch.inference_mode():
                features_BD = torch.cat(list(trunk(batch.inputs.signals).values()), dim=1)
            rows.write(batch, [indices[id_] for id_ in batch.ids], features_BD)
        lost |= {failure.id: failure.reason for failure in loaded.broken}
        done += len(loaded) + len(loaded.broken)
        if tick:
            tick(done + len(unreadable), plan.count)
    return lost | {failure.id: failure.reason for failure in unreadable}


class ReadPlan:
    """Clips that a rank reads, in order, without those done by an earlier run; a segment belongs to one rank.

    Args:
        counts: Clips of each segment.
        crops: Random clips of each segment; 0 for test clips.
        done: Clips of each segment that are done.
        seed: Of the order of random clips.
        share: Rank and world size.
    """

    def __init__(self, counts: Sequence[int], crops: int, done: np.ndarray, seed: int, share: Share) -> None:
        self.crops, self.share = crops, share
        self._counts, self._done, self._seed = counts, np.array(done), seed
        remaining = np.array(counts) - self._done
        own = partition(remaining.tolist(), share.world)[share.rank]
        self._own = np.isin(np.arange(len(counts)), own)
        self.count = int(remaining[own].sum())

    def batches(self, size: int) -> Iterator[list[Key]]:
        """Keys by batch; the order is the same in every call."""
        keys = self._random_clips() if self.crops else self._all_clips()
        while batch := list(islice(keys, size)):
            yield batch

    def _random_clips(self) -> Iterator[Key]:
        for crop in range(self.crops):
            order = np.random.default_rng((self._seed, crop)).permutation(len(self._counts))
            for index in order[self._own[order]].tolist():
                if self._done[index] <= crop:
                    yield Key(crop, index, -1)

    def _all_clips(self) -> Iterator[Key]:
        for index in np.flatnonzero(self._own).tolist():
            for view in range(int(self._done[index]), self._counts[index]):
                yield Key(0, index, view)


def require_all(folder: Path, count: int) -> None:
    """Raise `SlowFastError` if the file system has lost rows, as NFS does if several machines write to one file."""
    stored = int(np.load(folder / "seen.npy").sum())
    if stored != count:
        raise SlowFastError(
            f"{folder}: {count:,} features were written and {stored:,} are there: this file system loses data that "
            "several machines write to one file (as NFS does): remove the folder, then use --nodes 1, or a folder on a "
            "parallel file system"
        )


def _indices(planned: Iterator[list[Key]], segments: Sequence[Segment], batch: Batch) -> dict[str, int]:
    """Segment indices of a batch by id; planned batches without any readable clip are skipped."""
    for keys in planned:
        indices = {segments[key.segment].id: key.segment for key in keys}
        if all(id_ in indices for id_ in batch.ids):
            return indices
    raise ValueError(f"batch with {batch.ids[0]} is not in the plan")


def _places(listed: Sequence[Segment], usable: Sequence[Segment]) -> np.ndarray:
    """Indices of the usable segments in the list."""
    if len(usable) == len(listed):
        return np.arange(len(listed))
    ids = {segment.id for segment in usable}
    return np.array([place for place, segment in enumerate(listed) if segment.id in ids])


def _feature_settings(recipe: Recipe) -> dict[str, Any]:
    """Settings, other than the trunk, that features depend on."""
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


def _is_complete(folder: Path, settings: dict[str, Any]) -> bool:
    try:
        stored = StoredFeatures(folder).metadata
    except DataError:
        return False
    return all(stored.get(name) == value for name, value in json.loads(json.dumps(settings)).items())


def _is_resumable(folder: Path, settings: dict[str, Any]) -> bool:
    """Whether the folder has an unfinished computation with equal settings."""
    try:
        recorded = json.loads((folder / BEGUN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(recorded == json.loads(json.dumps(settings)))


def _create_arrays(recipe: Recipe, folder: Path, counts: np.ndarray, crops: int) -> None:
    """Create files of the final size, which all ranks write to."""
    shutil.rmtree(folder, ignore_errors=True)
    make_folder(folder)

    def create(name: str, kind: type[np.generic], shape: tuple[int, ...]) -> None:
        np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=kind, shape=shape).flush()

    first = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)])
    length = sum(architecture(recipe).features().values())
    create("rows", np.float16, (crops, len(counts), length) if crops else (int(first[-1]), length))
    create("seen", np.int32, (len(counts),))
    np.save(folder / "first.npy", first)
    for labels, classes in head_sizes(recipe).items() if crops and recipe.augment.mix else ():
        create(f"targets-{label_file(labels)}", np.float16, (crops, len(counts), classes))


class _Rows:
    """Writes features to their rows; clips of a segment arrive in order.

    Args:
        folder: Of the arrays.
        places: Index of each usable segment among the listed segments.
    """

    def __init__(self, folder: Path, places: np.ndarray) -> None:
        self._places = places
        self._rows = np.load(folder / "rows.npy", mmap_mode="r+")
        self._first = np.load(folder / "first.npy")
        self.done = np.load(folder / "seen.npy", mmap_mode="r+")  # (N,): clips of each listed segment, of all ranks
        self.written = 0  # clips written by this rank
        self._targets = {
            unquote(path.stem.removeprefix("targets-")): np.load(path, mmap_mode="r+")
            for path in folder.glob("targets-*.npy")
        }

    def write(self, batch: Batch, segments: Sequence[int], features_BD: torch.Tensor) -> None:
        """Write the features of a batch, and its targets if clips were mixed.

        Args:
            batch: The clips.
            segments: Segment index of each clip.
            features_BD: Features of the clips.

        Raises:
            SlowFastError: The features are not finite, or exceed the range of float16.
        """
        rows_BD = features_BD.float().cpu().numpy()
        if not np.isfinite(rows_BD).all():
            raise SlowFastError(f"features of {batch.ids[0]} or others are NaN or infinite: check the trunk's weights")
        if not np.abs(rows_BD).max() < np.finfo(np.float16).max:
            raise SlowFastError(
                f"features of {batch.ids[0]} and others reach {np.abs(rows_BD).max():g}, beyond the range of float16: "
                "set probe.features=live"
            )
        places, ahead, numbers = self._places[list(segments)], Counter[int](), list[int]()
        for place in places.tolist():
            numbers.append(int(self.done[place]) + ahead[place])
            ahead[place] += 1
        if self._rows.ndim == 3:
            self._rows[numbers, places] = rows_BD
        else:
            self._rows[self._first[places] + np.array(numbers)] = rows_BD
        for labels, targets in self._targets.items():
            targets[numbers, places] = batch.targets[labels].cpu().numpy()
        for place, count in ahead.items():  # after the rows, so that an interruption loses rows rather than counts
            self.done[place] += count
        self.written += len(segments)

    def flush(self) -> None:
        """Write all arrays to disk."""
        for array in (self._rows, self.done, *self._targets.values()):
            array.flush()
