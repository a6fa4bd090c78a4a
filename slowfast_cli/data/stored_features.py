"""Stored features of a frozen trunk, of random training crops or of all test clips.

One folder per split contains ``rows.npy``, (crops, N, D) or (clips, D) float16; ``first.npy`` (N + 1,), index of the
first test clip of each segment; ``seen.npy`` (N,), number of finished clips; ``kept.npy`` (N,), readable segments, and
``lost-*.json``, errors of the others; ``targets-<labels>.npy`` (crops, N, classes) after mixup; ``begun.json``, the
settings, and ``made.json``, the settings once the features are complete.

Shapes: N segments, D features, B batch.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch

from slowfast_cli.corpora.lists import label_file
from slowfast_cli.corpora.segments import Segments
from slowfast_cli.data.clips import Key, multi_hot
from slowfast_cli.types import Batch, Corpus, DataError, Inputs, Segment, text_of

METADATA = "made.json"
# Kind of type and number of axes of each array.
KINDS = {
    "rows": {("f", 2), ("f", 3)},
    "first": {("i", 1)},
    "seen": {("i", 1)},
    "kept": {("b", 1)},
    "targets": {("f", 3)},
}


@dataclass(frozen=True)
class StoredFeatures:
    """The features of one split, in a folder."""

    folder: Path

    @cached_property
    def metadata(self) -> dict[str, Any]:
        """Settings of the features, and their ``length``; raise `DataError` if they are missing or incomplete."""
        try:
            metadata = json.loads((self.folder / METADATA).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise DataError(f"{self.folder}: features are missing or incomplete: compute them again") from error
        if not isinstance(metadata, dict) or not isinstance(metadata.get("segments"), str):
            raise self._broken(METADATA, "expected settings with the hash of the segments")
        return metadata

    def _broken(self, name: str, reason: str) -> DataError:
        return DataError(f"{self.folder / name}: {reason}: remove the folder to compute the features again")

    def array(self, name: str) -> np.ndarray:
        """Memory-map one of the arrays; raise `DataError` if it is damaged or of another type than it is written in."""
        kinds = KINDS["targets" if name.startswith("targets-") else name]
        try:
            array: np.ndarray = np.load(self.folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        except Exception as error:  # of a damaged header, NumPy raises anything
            raise self._broken(f"{name}.npy", f"not a NumPy array ({text_of(error)})") from error
        if (array.dtype.kind, array.ndim) not in kinds:
            raise self._broken(f"{name}.npy", f"{array.dtype} with {array.ndim} axes")
        return array

    def rows(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Features of training clips (crops, N, D), or of test clips (clips, D) and the first of each segment (N + 1,).

        Raises:
            DataError: An array is damaged, or they do not go together.
        """
        rows, count = self.array("rows"), len(self.array("kept"))
        if rows.ndim == 3:
            if rows.shape[1] != count or not len(rows):
                raise self._broken("rows.npy", f"shape {rows.shape} for {count} segments")
            return rows, None
        first = self.array("first")
        if len(first) != count + 1 or first[0] != 0 or first[-1] > len(rows) or (np.diff(first) < 0).any():
            raise self._broken("first.npy", f"does not divide {len(rows)} clips into {count} segments")
        return rows, first

    def errors(self) -> dict[str, str]:
        """Read why segments have no features, by id."""
        errors: dict[str, str] = {}
        for path in sorted(self.folder.glob("lost-*.json")):
            try:
                errors |= {str(id): str(reason) for id, reason in json.loads(path.read_text(encoding="utf-8")).items()}
            except (OSError, ValueError, AttributeError, RecursionError) as error:
                raise self._broken(path.name, f"not a table of errors ({text_of(error)})") from error
        return errors

    def kept(self, segments: Sequence[Segment]) -> np.ndarray:
        """Mask of the segments with features, (N,) bool; raise `DataError` if they are of other segments."""
        if digest(segments) != self.metadata["segments"]:
            raise DataError(f"{self.folder}: features of other segments: remove the folder to compute them again")
        kept = np.array(self.array("kept"))
        if len(kept) != len(segments):
            raise self._broken("kept.npy", f"{len(kept)} segments, expected {len(segments)}")
        return kept


def digest(segments: Sequence[Segment]) -> str:
    """Hash of a list of segments."""
    ids = Segments.of(segments).file_ids
    if ids is not None:  # whole files: their ids suffice
        return sha256(ids.tobytes()).hexdigest()
    text = "".join(f"{segment.id}\0{segment.start}\0{segment.stop}\n" for segment in segments)
    return sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


class FeatureClips:
    """Batches of stored features, in place of `slowfast_cli.data.clips.Clips` and its loader.

    The corpus has no segments without features; ``stored`` is of the whole split.
    """

    def __init__(self, corpus: Corpus, stored: StoredFeatures, *, sizes: Mapping[str, int]) -> None:
        self.segments, self.sizes = corpus.segments, dict(sizes)
        self._positions = np.flatnonzero(stored.array("kept"))
        self._rows, self._first = stored.rows()
        arrays = {labels: f"targets-{label_file(labels)}" for labels in sizes}
        mixed = {labels: name for labels, name in arrays.items() if (stored.folder / f"{name}.npy").is_file()}
        self._mixed = {labels: stored.array(name) for labels, name in mixed.items()}

    def __len__(self) -> int:
        return len(self.segments)

    def counts(self) -> list[int]:
        """Number of test clips of each segment; 0 for a training split."""
        if self._first is None:
            return [0] * len(self)
        counts: list[int] = np.diff(self._first)[self._positions].tolist()
        return counts

    def batches(self, keys: Iterable[Sequence[Key]], device: torch.device) -> Iterator[Batch]:
        """Yield batches of ``features`` (B, D) and their targets."""
        for batch in keys:
            indices = [key.segment for key in batch]
            positions = self._positions[indices]
            if self._first is None:
                crops = np.array([key.epoch % len(self._rows) for key in batch])
                rows_BD, mixed = self._rows[crops, positions], {k: v[crops, positions] for k, v in self._mixed.items()}
            else:
                rows_BD, mixed = self._rows[self._first[positions] + np.array([key.view for key in batch])], {}
            segments = [self.segments[index] for index in indices]
            targets = {k: torch.from_numpy(v.astype(np.float32)) for k, v in mixed.items()}
            targets |= {
                k: self._targets(segments, k) for k in self.sizes if k not in mixed and k in segments[0].targets
            }
            whole = Batch(
                inputs=Inputs(features=torch.from_numpy(rows_BD.astype(np.float32))),
                targets=targets,
                ids=tuple(segment.id for segment in segments),
            )
            yield whole.map(lambda value: value.to(device, non_blocking=True))

    def _targets(self, segments: Sequence[Segment], labels: str) -> torch.Tensor:
        size, targets = self.sizes[labels], (segment.targets[labels] for segment in segments)
        rows = [multi_hot(target, size) if isinstance(target, tuple) else np.array(target) for target in targets]
        return torch.from_numpy(np.stack(rows))
