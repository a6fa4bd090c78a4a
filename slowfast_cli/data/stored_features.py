"""Features that a frozen trunk gave before: of random training clips, or of every test clip, as arrays on disk.

On disk, one folder a split: ``rows.npy`` (crops, N, D) or (clips, D) float16; ``first.npy`` (N + 1,), the first test
clip of each segment; ``seen.npy`` (N,), how many of its clips are done; ``kept.npy`` (N,), which segments could be
read, and ``lost-*.json``, why the others could not; ``targets-<labels>.npy`` (crops, N, classes) where clips were
mixed; ``begun.json``, what is being made, and ``made.json``, the same when it is complete.

Shapes: N segments, D features, B batch.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch

from slowfast_cli.corpora.segments import Segments
from slowfast_cli.data.clips import Key, multi_hot
from slowfast_cli.types import Batch, Corpus, DataError, Inputs, Segment

MADE = "made.json"


@dataclass(frozen=True)
class StoredFeatures:
    """The features of one split.

    Attributes:
        folder: Where they are.
    """

    folder: Path

    @cached_property
    def made(self) -> dict[str, Any]:
        """What made them.

        Raises:
            DataError: They are not there, or not all.
        """
        try:
            found: dict[str, Any] = json.loads((self.folder / MADE).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(
                f"{self.folder}: no features of this split, or not all of them: compute them again"
            ) from error
        return found

    def array(self, name: str) -> np.ndarray:
        """One of the arrays, mapped from its file."""
        array: np.ndarray = np.load(self.folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        return array

    def lost(self) -> dict[str, str]:
        """Why segments have no features, by id."""
        found: dict[str, str] = {}
        for path in sorted(self.folder.glob("lost-*.json")):
            found |= json.loads(path.read_text(encoding="utf-8"))
        return found

    def kept(self, segments: Sequence[Segment]) -> np.ndarray:
        """Which of the segments have features: (N,) bool.

        Raises:
            DataError: They were made of other segments.
        """
        if digest(segments) != self.made["segments"]:
            raise DataError(
                f"{self.folder}: features of other segments: remove the folder, they are then computed again"
            )
        return np.array(self.array("kept"))


def digest(segments: Sequence[Segment]) -> str:
    """Tells one list of segments from another."""
    ids = Segments.of(segments).file_ids
    if ids is not None:  # whole files: their ids suffice
        return sha256(ids.tobytes()).hexdigest()
    text = "".join(f"{segment.id}\0{segment.start}\0{segment.stop}\n" for segment in segments)
    return sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


class FeatureClips:
    """Stored features as clips: `slowfast_cli.data.loader.batches` without a decoder.

    Args:
        found: The split, without the segments that have none.
        stored: Its features.
        sizes: Number of classes by label set.
    """

    def __init__(self, found: Corpus, stored: StoredFeatures, *, sizes: Mapping[str, int]) -> None:
        self.segments, self.sizes = found.segments, dict(sizes)
        self._places = np.flatnonzero(stored.array("kept"))
        self._rows = stored.array("rows")
        self._first = stored.array("first") if self._rows.ndim == 2 else None
        mixed = [labels for labels in sizes if (stored.folder / f"targets-{labels}.npy").is_file()]
        self._mixed = {labels: stored.array(f"targets-{labels}") for labels in mixed}

    def __len__(self) -> int:
        return len(self.segments)

    def counts(self) -> list[int]:
        """Test clips of each segment; of training clips none."""
        if self._first is None:
            return [0] * len(self)
        counts: list[int] = np.diff(self._first)[self._places].tolist()
        return counts

    def batches(self, keys: Iterable[Sequence[Key]], device: torch.device) -> Iterator[Batch]:
        """Batches of ``features`` (B, D), and the targets that go with them."""
        for batch in keys:
            numbers = [key.segment for key in batch]
            places = self._places[numbers]
            if self._first is None:
                crops = np.array([key.epoch % len(self._rows) for key in batch])
                rows_BD, mixed = self._rows[crops, places], {k: v[crops, places] for k, v in self._mixed.items()}
            else:
                rows_BD, mixed = self._rows[self._first[places] + np.array([key.view for key in batch])], {}
            segments = [self.segments[number] for number in numbers]
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
        found = [segment.targets[labels] for segment in segments]
        return torch.from_numpy(
            np.stack(
                [multi_hot(each, self.sizes[labels]) if isinstance(each, tuple) else np.array(each) for each in found]
            )
        )
