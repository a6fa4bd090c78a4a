"""Features of a frozen trunk, computed once: of some random clips of each training segment, of every test clip."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from slowfast_cli.data import loader
from slowfast_cli.data.clips import Key
from slowfast_cli.data.stored_features import MADE, StoredFeatures, digest
from slowfast_cli.engine import distributed
from slowfast_cli.engine.checkpoint import make_folder, write_whole
from slowfast_cli.recipe.schema import Recipe
from slowfast_cli.stages import assemble, prepare, reading
from slowfast_cli.types import Batch, DataError, Failure, Segment, Settings, SlowFastError

Tick = Callable[[int, int], None]  # clips done, clips in all


def embed(
    recipe: Recipe,
    trunk: nn.Module,
    part: assemble.Part,
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
    source = reading.store(recipe)
    listed = assemble.corpus(recipe, part)
    found = reading.usable(recipe, listed, source)
    clips = reading.sound_clips(recipe, found, source)
    crops = recipe.probe.crops if part == "train" and recipe.probe else 0
    settings = {**made_by, "segments": digest(listed.segments), "crops": crops, **_matters(recipe)}
    if _is_there(folder, settings):
        return StoredFeatures(folder)
    counts = clips.counts() if not crops else [crops] * len(clips)
    everyone = _of_all(listed.segments, clips.segments, counts)
    own = range(share.rank, len(clips), share.world)
    random = [Key(crop, index, -1) for crop in range(crops) for index in own]
    keys = random if crops else [Key(0, index, view) for index in own for view in range(counts[index])]
    size = reading.test_batch(recipe)
    parts = [keys[first : first + size] for first in range(0, len(keys), size)]
    if share.rank == 0:
        shutil.rmtree(folder, ignore_errors=True)
        _reserve(make_folder(folder), everyone, crops, sum(assemble.net(recipe).features().values()))
    distributed.barrier(share)
    rows, spare = _Rows(folder, listed.segments, everyone), list[Failure]()
    torch.manual_seed(recipe.seed * 1_000_003 + share.rank)
    prepared = partial(_augmented, prepare.training(recipe, at)) if crops else prepare.testing(recipe, at)
    trunk = trunk.to(at).eval()
    done = 0
    for whole in loader.batches(clips, parts, workers=reading.workers(recipe), device=at, spare=spare):
        for batch in prepared(whole):
            with torch.inference_mode():
                features_BD = torch.cat(list(trunk(batch.signals).values()), dim=1)
            rows.write(batch, features_BD, mixed=bool(crops and recipe.augment.mix))
        done += len(whole) + len(whole.broken)
        if tick:
            tick(done + len(spare), len(keys))
    rows.close()
    distributed.barrier(share)
    stored = StoredFeatures(folder)
    if not stored.array("kept").any():
        raise DataError(f"{found.name} {found.split}: none of the {len(clips)} segments can be read, see `data check`")
    if share.rank == 0:
        text = json.dumps({**settings, "length": int(stored.array("rows").shape[-1])})
        write_whole(folder / MADE, lambda path: _write(path, text))
    distributed.barrier(share)
    return stored


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _of_all(listed: Sequence[Segment], usable: Sequence[Segment], counts: Sequence[int]) -> Sequence[int]:
    """Clips of each segment that is listed; of those that cannot be used none."""
    if len(usable) == len(listed):
        return counts
    held = {segment.id: count for segment, count in zip(usable, counts, strict=True)}
    return [held.get(segment.id, 0) for segment in listed]


def _matters(recipe: Recipe) -> dict[str, Any]:
    """What the features of a trunk depend on besides it."""
    return {
        "variant": recipe.model.variant,
        "width": recipe.model.width,
        "source": recipe.data.source,
        "clip_seconds": recipe.data.clip_seconds,
        "views": recipe.data.views,
        "pad": recipe.data.pad,
        "seed": recipe.seed,
        "front_end": assemble.front_end(recipe).settings(),
        "augment": recipe.augment.model_dump(mode="json"),
    }


def _is_there(folder: Path, settings: dict[str, Any]) -> bool:
    try:
        made = StoredFeatures(folder).made
    except DataError:
        return False
    return all(made.get(name) == value for name, value in json.loads(json.dumps(settings)).items())


def _augmented(prepared: prepare.Training, batch: Batch) -> Iterator[Batch]:
    yield prepared(batch, 0, 0.0)


def _reserve(folder: Path, counts: Sequence[int], crops: int, length: int) -> None:
    """Files of the right size, which all processes then write to."""
    first = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)])
    shape = (crops, len(counts), length) if crops else (int(first[-1]), length)
    np.lib.format.open_memmap(folder / "rows.npy", mode="w+", dtype=np.float16, shape=shape).flush()
    np.lib.format.open_memmap(folder / "kept.npy", mode="w+", dtype=bool, shape=(len(counts),)).flush()
    np.save(folder / "first.npy", first)


class _Rows:
    """Writes each clip's feature where it belongs; clips of a segment come in their order."""

    def __init__(self, folder: Path, segments: Sequence[Segment], counts: Sequence[int]) -> None:
        self._folder, self._counts = folder, np.array(counts)
        self._rows = np.load(folder / "rows.npy", mmap_mode="r+")
        self._first = np.load(folder / "first.npy")
        self._index = {segment.id: number for number, segment in enumerate(segments)}
        self._seen = np.zeros(len(segments), np.int64)
        self._targets: dict[str, np.ndarray] = {}

    def write(self, batch: Batch, features_BD: torch.Tensor, *, mixed: bool) -> None:
        """Put down one batch, and its targets where they are not those of the corpus."""
        places = []
        for id_ in batch.ids:
            number = self._index[id_]
            at = int(self._seen[number])
            places.append((at, number) if self._rows.ndim == 3 else self._first[number] + at)
            self._seen[number] += 1
        where = tuple(np.array(places).T) if self._rows.ndim == 3 else np.array(places)
        found_BD = features_BD.float().cpu().numpy()
        if not np.abs(found_BD).max() < np.finfo(np.float16).max:
            raise SlowFastError(
                f"features of {batch.ids[0]} and others reach {np.abs(found_BD).max():g}, which float16 does not hold: "
                "take probe.features=live"
            )
        self._rows[where] = found_BD
        for labels, target_BC in batch.targets.items() if mixed else ():
            self._mixed(labels, target_BC.shape[1])[where] = target_BC.cpu().numpy()

    def _mixed(self, labels: str, classes: int) -> np.ndarray:
        if labels not in self._targets:
            path = self._folder / f"targets-{labels}.npy"
            shape = (*self._rows.shape[:2], classes)
            mode = "r+" if path.is_file() else "w+"
            self._targets[labels] = np.lib.format.open_memmap(path, mode=mode, dtype=np.float16, shape=shape)
        return self._targets[labels]

    def close(self) -> None:
        """Note which segments are whole: those of other processes are left to them."""
        kept = np.load(self._folder / "kept.npy", mmap_mode="r+")
        mine = self._seen > 0
        kept[mine] = self._seen[mine] == self._counts[mine]
        for array in (kept, self._rows, *self._targets.values()):
            array.flush()
