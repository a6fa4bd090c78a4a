"""Speed of reading: the data of a recipe, or any folder of sounds or videos, to batches on the device."""

import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from slowfast_cli.build.adapt import adapted
from slowfast_cli.build.clips import build_clips, media_clips, open_store, usable
from slowfast_cli.build.corpus import read_corpus
from slowfast_cli.build.network import architecture
from slowfast_cli.build.transforms import Progress, training_transform
from slowfast_cli.corpora.media_files import media_below
from slowfast_cli.data import loader
from slowfast_cli.data.audio_clips import DecodedSamples
from slowfast_cli.data.clips import Clips, Key
from slowfast_cli.data.stored_features import FeatureClips
from slowfast_cli.engine import distributed
from slowfast_cli.recipe.schema import Recipe
from slowfast_cli.stages.bench.timing import Timing, time_stages
from slowfast_cli.types import (
    VIDEO_SUFFIXES,
    Batch,
    BrokenMediaError,
    Clip,
    Corpus,
    DataError,
    Failure,
    Recording,
    Seconds,
    Segment,
    UsageError,
)

STAGE_ROUNDS = 5
MOST_SEGMENTS = 10_000  # of a folder that are read


@dataclass(frozen=True, kw_only=True)
class Source:
    """The clips of a benchmark, with the recipe that says how they are read."""

    recipe: Recipe
    clips: Clips
    name: str
    files: int


def of_recipe(recipe: Recipe) -> Source:
    """The training clips of a recipe.

    Raises:
        DataError: The data or its shards are missing.
        UsageError: The recipe reads stored features, which are in memory.
    """
    store = open_store(recipe)
    corpus = usable(recipe, read_corpus(recipe, "train"), store)
    recipe = adapted(recipe, corpus, store)
    clips = build_clips(recipe, corpus, store)
    if isinstance(clips, FeatureClips):
        raise UsageError("bench data: the recipe reads stored features, which are in memory: there is nothing to time")
    return Source(recipe=recipe, clips=clips, name=f"{corpus.name} {corpus.split}", files=len(corpus.segments))


def media_files(folder: Path) -> list[Path]:
    """The media files below a folder, as every reader of folders finds them."""
    return list(media_below(folder))


def recipe_for(media: Sequence[Path]) -> str:
    """The recipe whose way of reading suits the files of a folder: for videos if most of them are videos."""
    videos = sum(path.suffix.lower() in VIDEO_SUFFIXES for path in media)
    return "folder-video" if 2 * videos > len(media) else "folder"


def of_folder(folder: Path, media: Sequence[Path], recipe: Recipe) -> Source:
    """Random clips of the media files below a folder, read as a recipe reads them.

    Raises:
        DataError: There is no such file.
    """
    files = [path for path in media if recipe.video is None or path.suffix.lower() in VIDEO_SUFFIXES]
    if not files:
        kind = "sounds, such as .wav, .flac or .mp3" if recipe.video is None else "videos, such as .mp4 or .mkv"
        raise DataError(f"{folder}: contains no {kind}")
    segments = tuple(
        Segment(id=str(path.relative_to(folder)), recording=Recording(id=str(path), path=path))
        for path in files[:MOST_SEGMENTS]
    )
    corpus = Corpus(name=folder.name, split="train", segments=segments, classes={})
    recipe = recipe.model_copy(update={"augment": replace(recipe.augment, mix=0.0)})  # mixes labels, too
    reads_audio = {"logmel", "samples"} & architecture(recipe).signals
    store = DecodedSamples(recipe.frontend) if reads_audio else None
    return Source(recipe=recipe, clips=media_clips(recipe, corpus, store), name=str(folder), files=len(files))


def bench_data(
    source: Source, device: str, *, batch: int, workers: Sequence[int], seconds: Seconds
) -> Iterator[Timing]:
    """Time the reading of batches: with each number of workers, the first one with its stages.

    Args:
        source: What is read.
        device: ``auto``, ``cpu``, ``cuda``.
        batch: Clips.
        workers: Numbers of worker processes; 0 reads in this process.
        seconds: Length of each measurement.
    """
    at = distributed.device(device)
    stages = _stages(source, at, batch)
    for number, count in enumerate(workers):
        yield _rate(source, at, batch, count, seconds, stages if number == 0 else {})


def _rate(
    source: Source, at: torch.device, batch: int, workers: int, seconds: Seconds, stages: dict[str, Seconds]
) -> Timing:
    unreadable: list[Failure] = []
    batches = loader.batches(source.clips, _keys(source, batch), workers=workers, device=at, unreadable=unreadable)
    times: list[Seconds] = []
    clips = 0
    for _ in range(2 * workers):  # batches that were read ahead while the workers started
        next(batches)
    start = before = time.perf_counter()
    while before - start < seconds or not times:
        read = next(batches)
        now = time.perf_counter()
        times.append(now - before)
        clips, before = clips + len(read.ids), now
        unreadable += read.broken
    batches.close()  # type: ignore[attr-defined]
    failed = {failure.path: failure.reason for failure in unreadable}
    reason = next(iter(failed.values()), "")
    return Timing(
        settings={"workers": str(workers)},
        clips=round(clips / len(times)),
        seconds=tuple(times),
        stages=stages,
        problem=f"{len(failed)} of {source.files} files cannot be read, such as {reason}" if failed else "",
    )


def _keys(source: Source, batch: int) -> Iterator[list[Key]]:
    count, rng = len(source.clips), np.random.default_rng(0)
    order = itertools.chain.from_iterable(rng.permutation(count).tolist() for _ in itertools.count())
    for step in itertools.count():
        yield [Key(step, index, -1) for index in itertools.islice(order, batch)]


def _stages(source: Source, at: torch.device, batch: int) -> dict[str, Seconds]:
    """Time of reading, stacking, copying and transforming a batch in this process."""
    keys, copy = _keys(source, batch), loader.DeviceCopier(at)
    transform = training_transform(source.recipe, at)
    clips: list[Clip] = []
    batches: list[Batch] = []

    def read() -> None:
        clips.clear()
        for _ in range(2 * len(source.clips) // batch + 1):  # each clip at least once
            for key in next(keys):
                try:
                    clips.append(source.clips[key])
                except BrokenMediaError as error:  # counted where the rate is measured
                    reason = str(error)
            if clips:
                return
        raise DataError(f"{source.name}: no file can be read, such as {reason}")

    def stack() -> None:
        batches[:] = [loader.collate(clips, source.clips.sizes)]

    def transfer() -> None:
        batches[:] = map(copy, batches)

    def prepare() -> None:
        transform(batches[0], Progress())

    return time_stages({"read": read, "stack": stack, "transfer": transfer, "transform": prepare}, at, STAGE_ROUNDS)
