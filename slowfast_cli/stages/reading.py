"""Where the clips of a recipe come from, and which segments can be read at all."""

from __future__ import annotations

import os
from dataclasses import replace

from slowfast_cli.data.clips import Clips, Reader
from slowfast_cli.data.loader import require_clips
from slowfast_cli.data.sound_clips import DecodedSamples, SoundReader, Store, StoredRows
from slowfast_cli.data.video_clips import DecodedSounds, StoredSounds, VideoReader
from slowfast_cli.features.frames import WHOLE
from slowfast_cli.media.shards import Shards
from slowfast_cli.recipe.schema import Recipe
from slowfast_cli.stages import assemble
from slowfast_cli.types import Corpus, DataError, Failure, Segment


def store(recipe: Recipe) -> Store | None:
    """Where sound comes from; None for a network that hears nothing.

    Raises:
        UsageError: There is no such data set.
        DataError: There are no shards, or shards of another front end.
    """
    assemble.known(recipe.data.corpus)  # a wrong name before the data that is not there
    if "logmel" not in assemble.net(recipe).signals:
        return None
    made = assemble.front_end(recipe)
    if recipe.data.source == "media":
        return DecodedSamples(made)
    where = assemble.shards_folder(recipe)
    if not where.is_dir():
        others = sorted(path.name for path in where.parent.glob("*") if path.is_dir())
        raise DataError(
            f"{where}: no log-mels here{'; made with other settings: ' + ', '.join(others) if others else ''}: "
            f"run `slowfast extract --dataset {recipe.data.corpus}` first, or read the media with data.source=media"
        )
    return StoredRows(Shards(where, made.settings()), made)


def usable(recipe: Recipe, found: Corpus, source: Store | None) -> Corpus:
    """The corpus without what the store cannot give; that counts as missing, with the reason.

    Of video with sound everything stays: what has no sound is still seen.

    Raises:
        DataError: Nothing is left.
    """
    if source is None or "frames" in assemble.net(recipe).signals:
        return found
    reasons = {segment.id: _why_not(segment, source) for segment in found.segments}
    kept = tuple(segment for segment in found.segments if not reasons[segment.id])
    if not kept:
        where = source.shards.folder if isinstance(source, StoredRows) else found.name
        raise DataError(
            f"{where}: holds none of the {len(found.segments)} segments of {found.name} {found.split}: "
            f"run `slowfast extract --dataset {found.name}`"
        )
    missing = tuple(
        Failure(id=segment.id, path=segment.recording.path, reason=reasons[segment.id])
        for segment in found.segments
        if reasons[segment.id]
    )
    return replace(found, segments=kept, missing=found.missing + missing)


def _why_not(segment: Segment, source: Store) -> str:
    """Why a segment has no sound; empty when it has."""
    if isinstance(source, StoredRows) and segment.recording.id not in source.shards:
        failed = source.failures.get(segment.recording.id)
        return failed or "not in the shards: run `slowfast extract` again"
    if not segment.start:  # nothing to look up: a clip of its own, which has a first sample
        return ""
    try:
        ends = source.samples(segment.recording) / source.front_end.rate
    except DataError as error:
        return str(error)
    return "" if segment.start < ends else f"starts at {segment.start:g} s, and its recording ends at {ends:.2f} s"


def clips(recipe: Recipe, found: Corpus, source: Store | None) -> Clips:
    """The clips of a split; of boxes, the segments that have some."""
    segments = found.segments
    if recipe.task == "detect":
        segments = tuple(segment for segment in segments if segment.boxes)
        if not segments:
            raise DataError(f"{found.name} {found.split}: no segment has boxes to ask about: see `slowfast data ls`")
    return Clips(segments, _reader(recipe, source), views=recipe.data.views, sizes=assemble.sizes(found))


def _reader(recipe: Recipe, source: Store | None) -> Reader:
    settings = assemble.frame_settings(recipe)
    if settings is None:
        if source is None or recipe.data.clip_seconds is None:
            raise ValueError("a recipe of sound alone has a store and clips of so many seconds")
        return SoundReader(store=source, seconds=recipe.data.clip_seconds, views=recipe.data.views, seed=recipe.seed)
    sounds = None
    if source is not None:
        sounds = StoredSounds(source) if isinstance(source, StoredRows) else DecodedSounds(source.front_end)
    return VideoReader(
        settings=settings,
        views=recipe.data.views,
        seed=recipe.seed,
        pictures="frames" in assemble.net(recipe).signals,
        sounds=sounds,
        front_end=assemble.front_end(recipe),
        gap=recipe.sync.gap_seconds if recipe.sync else None,
    )


def require_batch(recipe: Recipe, found: Clips, split: str) -> None:
    """Refuse a training split that does not fill one batch.

    Raises:
        DataError: It does not.
    """
    require_clips(len(found), recipe.optim.batch, split)


def test_batch(recipe: Recipe) -> int:
    """Clips in a forward pass when testing: as many as when training, and one where whole frames differ in size."""
    if recipe.video and recipe.video.crops == WHOLE:
        return 1
    return max(1, recipe.optim.batch // assemble.parts(recipe))


def workers(recipe: Recipe) -> int:
    """Processes that read clips."""
    if recipe.data.workers is not None:
        return recipe.data.workers
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # processes that share this machine's cores
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores // here, 8))
