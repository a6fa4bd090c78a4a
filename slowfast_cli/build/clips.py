"""Clips of a recipe: the audio source, the segments that can be read, the readers, and batches on the device."""

import os
import shlex
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from slowfast_cli.build.corpus import (
    class_counts,
    corpus_root,
    dataset_entry,
    extract_command,
    mirrored,
    require_root,
    shards_folder,
)
from slowfast_cli.build.network import architecture
from slowfast_cli.build.schedule import micro_batch_size
from slowfast_cli.build.task import task_spec
from slowfast_cli.cores import usable_cores
from slowfast_cli.corpora.segments import LazyMap, Segments, concat
from slowfast_cli.data import loader
from slowfast_cli.data.audio_clips import DecodedSamples, SoundReader, Store, StoredRows
from slowfast_cli.data.clips import Clips, Key, Reader
from slowfast_cli.data.loader import require_clips
from slowfast_cli.data.stored_features import FeatureClips, StoredFeatures
from slowfast_cli.data.video_clips import DecodedSounds, StoredSounds, VideoReader
from slowfast_cli.recipe.schema import Recipe
from slowfast_cli.settings import WHOLE
from slowfast_cli.shards.reader import Shards
from slowfast_cli.storage import remote
from slowfast_cli.types import AUDIO_SUFFIXES, Batch, Corpus, DataError, Failure, Recording, Segment

DEFAULT_WORKERS = 8  # upper bound where nothing was measured
TOLERANCE = 0.01  # seconds: lengths are rounded to samples
SAMPLE = 64  # segments whose length is looked at
NO_FRAMES = "no frames: only its audio is there"
NOT_STORED = "not in the shards: run `slowfast extract` again"


def open_store(recipe: Recipe) -> Store | None:
    """Open the source of the audio; None for a network that reads none.

    Raises:
        UsageError: There is no such data set.
        DataError: There are no shards, or they were made with other settings.
    """
    dataset_entry(recipe.data.corpus)  # report a wrong name before missing data
    reads, front_end = architecture(recipe).signals, recipe.frontend
    if not {"logmel", "samples"} & reads:
        return None
    if recipe.data.source == "media" or "samples" in reads:  # shards hold log-mels
        return DecodedSamples(front_end)
    folder = mirrored(shards_folder(recipe))
    if not folder.is_dir():
        others = sorted(path.name for path in folder.parent.glob("*") if path.is_dir())
        made_with = f"; made with other settings: {', '.join(others)}" if others else ""
        require_root(recipe)
        raise DataError(
            f"{remote.display(folder)}: no log-mels here{made_with}: "
            f"run `{extract_command(recipe)}` first, or read the media with data.source=media"
        )
    return StoredRows(Shards(folder, front_end.settings()), front_end)


def usable(recipe: Recipe, corpus: Corpus, store: Store | None) -> Corpus:
    """Move the segments that cannot be read from the corpus to its missing ones, with the reason.

    Video keeps all segments with frames: without audio it is recognized by its frames.

    Raises:
        DataError: No segment is left.
    """
    segments = Segments.of(corpus.segments)
    if recipe.data.source == "features":
        stored = stored_features(recipe, corpus)
        readable, reasons = stored.kept(segments), stored.errors()
        return _drop(corpus, readable, partial(_failure, reasons, "could not be read"))
    if "frames" in architecture(recipe).signals:
        return _with_frames(corpus)
    if store is None:
        return corpus
    if segments.file_ids is not None:
        if not isinstance(store, StoredRows):
            return corpus
        readable = store.shards.contains(segments.file_ids)
        corpus = _drop(corpus, readable, partial(_failure, store.failures, NOT_STORED))
    else:
        problems = {row: reason for row in _doubtful(segments, store) if (reason := _problem(segments[row], store))}
        readable = np.ones(len(segments), bool)
        readable[list(problems)] = False
        by_id = {segments[row].id: reason for row, reason in problems.items()}
        corpus = _drop(corpus, readable, partial(_failure, by_id, NOT_STORED))
    if corpus.listed and not corpus.segments:
        where = corpus_root(recipe)
        command = shlex.join(["slowfast", "data", "check", corpus.name, "--root", remote.display(where)])
        if isinstance(store, StoredRows):
            where, command = store.shards.folder, extract_command(recipe)
        reason = f" ({corpus.missing[0].reason})" if corpus.missing else ""
        raise DataError(
            f"{remote.display(where)}: contains none of the {corpus.listed} segments of {corpus.name} {corpus.split}"
            f"{reason}: run `{command}`"
        )
    return corpus


def _with_frames(corpus: Corpus) -> Corpus:
    """Leave out recordings of which only the audio is there, unless that is all of them."""
    segments = Segments.of(corpus.segments)
    if segments.file_ids is not None:
        return corpus
    shown = np.array([not _only_audio(segment.recording) for segment in segments], bool)
    return _drop(corpus, shown, partial(_failure, {}, NO_FRAMES)) if shown.any() else corpus


def _only_audio(recording: Recording) -> bool:
    packed = recording.dataset is not None and recording.sound is None
    return packed or recording.path.suffix.lower() in AUDIO_SUFFIXES


def _drop(corpus: Corpus, readable: np.ndarray, failure: partial[Failure]) -> Corpus:
    if readable.all():
        return corpus
    segments = Segments.of(corpus.segments)
    missing = LazyMap(segments.take(~readable), failure)
    return replace(corpus, segments=segments.take(readable), missing=concat(corpus.missing, missing))


def _failure(reasons: dict[str, str], default: str, segment: Segment) -> Failure:
    reason = reasons.get(segment.id) or reasons.get(segment.recording.id, default)
    return Failure(id=segment.id, path=segment.recording.path, reason=reason)


def _doubtful(segments: Segments, store: Store) -> list[int]:
    """Indices of the segments that have to be checked one by one, which is ten times slower than all at once."""
    starts = np.array([segment.start for segment in segments])
    if isinstance(store, StoredRows):
        lengths = store.shards.lengths([segment.recording.id for segment in segments])
        doubtful = ~(starts < lengths - TOLERANCE)
    else:
        doubtful = starts > 0  # a whole file has a first sample
    return [int(row) for row in np.flatnonzero(doubtful)]


def _problem(segment: Segment, store: Store) -> str:
    """Why a segment has no audio; empty if it has."""
    if isinstance(store, StoredRows) and segment.recording.id not in store.shards:
        return store.failures.get(segment.recording.id) or NOT_STORED
    if not segment.start:
        return ""
    try:
        end = store.samples(segment.recording) / store.front_end.rate
    except DataError as error:
        return str(error)
    return "" if segment.start < end else f"starts at {segment.start:g} s, but its recording ends at {end:.2f} s"


def stored_features(recipe: Recipe, corpus: Corpus) -> StoredFeatures:
    """Open the stored features of a split."""
    return StoredFeatures(remote.download(shards_folder(recipe) / corpus.split))


def build_clips(recipe: Recipe, corpus: Corpus, store: Store | None) -> Clips | FeatureClips:
    """Make the clips of a split: from media or shards, or from stored features."""
    if recipe.data.source == "features":
        return FeatureClips(corpus, stored_features(recipe, corpus), sizes=class_counts(corpus))
    return media_clips(recipe, corpus, store)


def media_clips(recipe: Recipe, corpus: Corpus, store: Store | None) -> Clips:
    """Make the clips of a split from media or shards; of a task on boxes, those of segments that have some."""
    segments = corpus.segments
    if task_spec(recipe).boxes:
        segments = tuple(segment for segment in segments if segment.boxes)
        if not segments:
            raise DataError(f"{corpus.name} {corpus.split}: no segment has boxes to classify: see `slowfast data ls`")
    return Clips(segments, _reader(recipe, store), sizes=class_counts(corpus))


def _reader(recipe: Recipe, store: Store | None) -> Reader:
    settings = recipe.video
    if settings is None:
        if store is None or recipe.data.clip_seconds is None:
            raise ValueError("an audio recipe needs a store and data.clip_seconds")
        return SoundReader(
            store=store,
            seconds=recipe.data.clip_seconds,
            views=recipe.data.views or None,
            seed=recipe.seed,
            silence=recipe.data.pad == "silence",
        )
    sounds = None
    if store is not None:
        sounds = StoredSounds(store) if isinstance(store, StoredRows) else DecodedSounds(store.front_end)
    return VideoReader(
        settings=settings,
        views=stated_views(recipe),
        seed=recipe.seed,
        pictures="frames" in architecture(recipe).signals,
        sounds=sounds,
        front_end=recipe.frontend,
        gap=recipe.sync.gap_seconds if recipe.sync else None,
    )


def load_batches(
    recipe: Recipe,
    clips: Clips | FeatureClips,
    keys: Iterator[list[Key]] | list[list[Key]],
    device: torch.device,
    *,
    unreadable: list[Failure] | None = None,
    workers: int | None = None,
) -> Iterator[Batch]:
    """Load batches of clips onto the device, see `slowfast_cli.data.loader.batches`."""
    if isinstance(clips, FeatureClips):
        return clips.batches(keys, device)
    workers = workers_of(recipe) if workers is None else workers
    return loader.batches(clips, keys, workers=workers, device=device, unreadable=unreadable)


def require_batch(recipe: Recipe, clips: Clips | FeatureClips, split: str) -> None:
    """Refuse a training split that is smaller than one batch.

    Raises:
        DataError: It has fewer segments than `optim.batch`.
    """
    require_clips(len(clips), recipe.optim.batch, split)


def stated_views(recipe: Recipe) -> int:
    """Views that a weight file states; one where as many are taken as cover a segment."""
    return recipe.data.views or 1


def eval_batch(recipe: Recipe) -> int:
    """Clips in a test batch: as many as in a micro-batch; one where whole frames differ in size."""
    if recipe.video and recipe.video.crops == WHOLE:
        return 1
    return micro_batch_size(recipe) * task_spec(recipe).views_per_segment


def workers_of(recipe: Recipe) -> int:
    """Processes that read clips: as the recipe says, or one per core up to a bound."""
    return recipe.data.workers if recipe.data.workers is not None else min(cores(), DEFAULT_WORKERS)


def cores() -> int:
    """Cores available to this process, shared evenly among the processes of the run on this machine."""
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return max(1, usable_cores() // processes)
