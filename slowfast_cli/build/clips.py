"""Where the clips of a recipe come from, and which segments can be read at all."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from slowfast_cli.build import assemble
from slowfast_cli.corpora.segments import Columns, Made, joined
from slowfast_cli.data import loader
from slowfast_cli.data.audio_clips import DecodedSamples, SoundReader, Store, StoredRows
from slowfast_cli.data.clips import Clips, Key, Reader
from slowfast_cli.data.loader import require_clips
from slowfast_cli.data.stored_features import FeatureClips, StoredFeatures
from slowfast_cli.data.video_clips import DecodedSounds, StoredSounds, VideoReader
from slowfast_cli.features.frames import WHOLE
from slowfast_cli.recipe.schema import Recipe
from slowfast_cli.shards.reader import Shards
from slowfast_cli.storage import remote
from slowfast_cli.types import Batch, Corpus, DataError, Failure, Segment

GUESS = 8  # processes that read, where nothing was measured
NEAR = 0.01  # second: lengths are rounded to samples
NOT_STORED = "not in the shards: run `slowfast extract` again"


def store(recipe: Recipe) -> Store | None:
    """Where sound comes from; None for a network that hears nothing.

    Raises:
        UsageError: There is no such data set.
        DataError: There are no shards, or shards of another front end.
    """
    assemble.known(recipe.data.corpus)  # a wrong name before the data that is not there
    reads = assemble.net(recipe).signals
    if not {"logmel", "samples"} & reads:
        return None
    made = assemble.front_end(recipe)
    if recipe.data.source == "media" or "samples" in reads:  # shards hold log-mels
        return DecodedSamples(made)
    where = assemble.listed(assemble.shards_folder(recipe))
    if not where.is_dir():
        others = sorted(path.name for path in where.parent.glob("*") if path.is_dir())
        made_with = f"; made with other settings: {', '.join(others)}" if others else ""
        raise DataError(
            f"{remote.display(where)}: no log-mels here{made_with}: "
            f"run `slowfast extract --dataset {recipe.data.corpus}` first, or read the media with data.source=media"
        )
    return StoredRows(Shards(where, made.settings()), made)


def usable(recipe: Recipe, found: Corpus, source: Store | None) -> Corpus:
    """The corpus without what the store cannot give; that counts as missing, with the reason.

    Of video with sound everything stays: what has no sound is still seen.

    Raises:
        DataError: Nothing is left.
    """
    if recipe.data.source == "features":
        return _with_features(recipe, found)
    if source is None or "frames" in assemble.net(recipe).signals:
        return found
    if isinstance(found.segments, Made):  # what they are made of decides
        under = usable(recipe, replace(found, segments=found.segments.items), source)
        return replace(under, segments=Made(under.segments, found.segments.make))
    if isinstance(found.segments, Columns):
        kept_columns, lost = _of_columns(found.segments, source)
        return _left(found, kept_columns, lost, source)
    return _of_objects(found, source)


def _of_objects(found: Corpus, source: Store) -> Corpus:
    doubted = {place: _why_not(found.segments[place], source) for place in _doubtful(found.segments, source)}
    reasons = {place: reason for place, reason in doubted.items() if reason}
    if not reasons:
        return found
    kept = tuple(segment for place, segment in enumerate(found.segments) if place not in reasons)
    gone = [(found.segments[place], reason) for place, reason in reasons.items()]
    missing = tuple(Failure(id=each.id, path=each.recording.path, reason=reason) for each, reason in gone)
    return _left(found, kept, missing, source)


def _doubtful(segments: Sequence[Segment], source: Store) -> list[int]:
    """Places of the segments that have to be looked at one by one, which takes ten times as long as all together."""
    starts = np.array([segment.start for segment in segments])
    if not isinstance(source, StoredRows):
        doubtful = starts > 0  # a clip of its own has a first sample
    else:
        doubtful = ~(starts < source.shards.lengths([segment.recording.id for segment in segments]) - NEAR)
    return [int(place) for place in np.flatnonzero(doubtful)]


def _of_columns(segments: Columns, source: Store) -> tuple[Columns, Sequence[Failure]]:
    """The same of columns, without an object for each: whole recordings, which have a beginning."""
    if not isinstance(source, StoredRows):
        return segments, ()
    there = source.shards.held(segments.ids)
    if there.all():
        return segments, ()
    return segments.take(there), Made(segments.take(~there), partial(_unstored, source.failures))


def _unstored(failures: Mapping[str, str], segment: Segment) -> Failure:
    reason = failures.get(segment.recording.id, NOT_STORED)
    return Failure(id=segment.id, path=segment.recording.path, reason=reason)


def _left(found: Corpus, kept: Sequence[Segment], lost: Sequence[Failure], source: Store) -> Corpus:
    if not kept:
        where = source.shards.folder if isinstance(source, StoredRows) else found.name
        raise DataError(
            f"{where}: holds none of the {len(found.segments)} segments of {found.name} {found.split}: "
            f"run `slowfast extract --dataset {found.name}`"
        )
    return replace(found, segments=kept, missing=joined(found.missing, lost)) if lost else found


def _with_features(recipe: Recipe, found: Corpus) -> Corpus:
    """The corpus without the segments whose features could not be computed."""
    features = stored(recipe, found)
    there = features.kept(found.segments)
    if there.all():
        return found
    lost, reasons = [found.segments[place] for place in np.flatnonzero(~there).tolist()], features.lost()
    failures = tuple(
        Failure(id=each.id, path=each.recording.path, reason=reasons.get(each.id, "could not be read")) for each in lost
    )
    kept: Sequence[Segment] = (
        found.segments.take(there)
        if isinstance(found.segments, Columns)
        else tuple(found.segments[place] for place in np.flatnonzero(there).tolist())
    )
    return replace(found, segments=kept, missing=joined(found.missing, failures))


def _why_not(segment: Segment, source: Store) -> str:
    """Why a segment has no sound; empty when it has."""
    if isinstance(source, StoredRows) and segment.recording.id not in source.shards:
        failed = source.failures.get(segment.recording.id)
        return failed or NOT_STORED
    if not segment.start:  # nothing to look up: a clip of its own, which has a first sample
        return ""
    try:
        ends = source.samples(segment.recording) / source.front_end.rate
    except DataError as error:
        return str(error)
    return "" if segment.start < ends else f"starts at {segment.start:g} s, and its recording ends at {ends:.2f} s"


def clips(recipe: Recipe, found: Corpus, source: Store | None) -> Clips | FeatureClips:
    """The clips of a split; of boxes, the segments that have some; or its stored features."""
    if recipe.data.source == "features":
        return FeatureClips(found, stored(recipe, found), sizes=assemble.sizes(found))
    return sound_clips(recipe, found, source)


def stored(recipe: Recipe, found: Corpus) -> StoredFeatures:
    """The features of a split, where the recipe says that they are kept."""
    return StoredFeatures(remote.download(assemble.shards_folder(recipe) / found.split))


def batches(
    recipe: Recipe,
    found: Clips | FeatureClips,
    keys: Iterator[list[Key]] | list[list[Key]],
    device: torch.device,
    *,
    unreadable: list[Failure] | None = None,
    workers: int | None = None,
) -> Iterator[Batch]:
    """Batches of either, on the device, read by so many processes; see `slowfast_cli.data.loader.batches`."""
    if isinstance(found, FeatureClips):
        return found.batches(keys, device)
    workers = workers_of(recipe) if workers is None else workers
    return loader.batches(found, keys, workers=workers, device=device, unreadable=unreadable)


def sound_clips(recipe: Recipe, found: Corpus, source: Store | None) -> Clips:
    """The clips of a split, read from media or shards."""
    segments = found.segments
    if recipe.task == "detect":
        segments = tuple(segment for segment in segments if segment.boxes)
        if not segments:
            raise DataError(f"{found.name} {found.split}: no segment has boxes to ask about: see `slowfast data ls`")
    return Clips(segments, _reader(recipe, source), sizes=assemble.sizes(found))


def _reader(recipe: Recipe, source: Store | None) -> Reader:
    settings = assemble.frame_settings(recipe)
    if settings is None:
        if source is None or recipe.data.clip_seconds is None:
            raise ValueError("a recipe of sound alone has a store and clips of so many seconds")
        return SoundReader(
            store=source,
            seconds=recipe.data.clip_seconds,
            views=recipe.data.views or None,
            seed=recipe.seed,
            silence=recipe.data.pad == "silence",
        )
    sounds = None
    if source is not None:
        sounds = StoredSounds(source) if isinstance(source, StoredRows) else DecodedSounds(source.front_end)
    return VideoReader(
        settings=settings,
        views=assemble.views(recipe),
        seed=recipe.seed,
        pictures="frames" in assemble.net(recipe).signals,
        sounds=sounds,
        front_end=assemble.front_end(recipe),
        gap=recipe.sync.gap_seconds if recipe.sync else None,
    )


def require_batch(recipe: Recipe, found: Clips | FeatureClips, split: str) -> None:
    """Refuse a training split that does not fill one batch.

    Raises:
        DataError: It does not.
    """
    require_clips(len(found), recipe.optim.batch, split)


def eval_batch(recipe: Recipe) -> int:
    """Clips in a forward pass when testing: as many as when training, and one where whole frames differ in size."""
    if recipe.video and recipe.video.crops == WHOLE:
        return 1
    return max(1, recipe.optim.batch // assemble.parts(recipe)) * assemble.compared(recipe)


def workers_of(recipe: Recipe) -> int:
    """Processes that read clips, as the recipe says, or a first guess."""
    return recipe.data.workers if recipe.data.workers is not None else min(cores(), GUESS)


def cores() -> int:
    """Cores that this process may use, of those that it shares with the others of its run on this machine."""
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, found // here)
