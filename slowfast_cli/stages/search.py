"""``slowfast search``: nearest neighbors of a recording among the features that ``slowfast embed`` wrote."""

import csv
import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from slowfast_cli.stages.embed.embedder import Embedder
from slowfast_cli.stages.embed.store import INDEX, SETTINGS
from slowfast_cli.stages.embed.writers import Stored, read_table
from slowfast_cli.storage.atomic import file_hash
from slowfast_cli.types import DataError, Seconds, UsageError, WeightsError
from slowfast_cli.weights.resolve import weight_file

METRICS = ("cosine", "euclidean")
BACKENDS = ("sklearn", "faiss")


@dataclass(frozen=True, kw_only=True)
class Match:
    """A row of the index near the query."""

    source: str  # path of the recording, or id of the segment
    start: Seconds
    end: Seconds
    score: float  # cosine similarity, or minus the Euclidean distance


@dataclass(frozen=True, kw_only=True)
class Index:
    """The features of a folder. Shapes: N rows, D features."""

    folder: Path
    settings: Mapping[str, Any]
    features: np.ndarray
    """(N, D) float32."""
    start: np.ndarray
    """(N,)"""
    end: np.ndarray
    """(N,)"""
    sources: list[str]
    """(N,)"""

    def embedder(self, weights: str | None = None, device: str = "auto", *, offline: bool = False) -> Embedder:
        """The embedder that computes comparable features of a query.

        Args:
            weights: The weights of the index; by default those that it names.
            device: ``auto``, ``cpu``, ``cuda``.
            offline: Do not use the network.

        Raises:
            WeightsError: The weights are not those of the index, or are not there.
        """
        path = weight_file(weights or self.settings["weights"], offline=offline)
        if file_hash(path) != self.settings["weights_sha256"]:
            raise WeightsError(
                f"{path}: are not the weights that {self.folder} was made with ({SETTINGS}): give those with --weights"
            )
        sliding = self.settings["preset"] is None and self.settings["window_s"] is not None
        return Embedder(
            path,
            device,
            layer=self.settings["layer"],
            window=self.settings["window_s"] if sliding else None,
            hop=self.settings["hop_s"] if sliding else None,
            preset=self.settings["preset"],
            precision=self.settings["precision"],
        )

    def nearest(
        self, queries_QD: np.ndarray, k: int, *, metric: str = "cosine", backend: str = "sklearn"
    ) -> list[list[Match]]:
        """The k rows nearest to each query, the nearest first; exact.

        Args:
            queries_QD: Features of queries.
            k: Number of rows; at most all.
            metric: ``cosine`` or ``euclidean``.
            backend: ``sklearn`` or ``faiss``, which is faster on large indices.

        Raises:
            UsageError: There is no such metric or backend, or its package is not installed.
        """
        require(metric, backend)
        k = min(k, len(self.features))
        scores_QK, rows_QK = (_faiss if backend == "faiss" else _sklearn)(self.features, queries_QD, k, metric)
        return [
            [
                Match(
                    source=self.sources[row],
                    start=float(self.start[row]),
                    end=float(self.end[row]),
                    score=float(score),
                )
                for score, row in zip(scores_K, rows_K, strict=True)
            ]
            for scores_K, rows_K in zip(scores_QK, rows_QK, strict=True)
        ]


def require(metric: str, backend: str) -> None:
    """Raise `UsageError` if there is no such metric or backend, or its package is not installed."""
    if metric not in METRICS:
        raise UsageError(f"--metric {metric}: expected {' or '.join(METRICS)}")
    if backend not in BACKENDS:
        raise UsageError(f"--backend {backend}: expected {' or '.join(BACKENDS)}")
    if backend == "faiss" and importlib.util.find_spec("faiss") is None:
        raise UsageError("--backend faiss: needs faiss: pip install 'slowfast-cli[search]', or use --backend sklearn")


def read_index(folder: Path) -> Index:
    """Read the features that ``slowfast embed`` wrote to a folder: files or a table.

    Raises:
        DataError: The folder has no features, or they are damaged or incomplete.
    """
    try:
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        with (folder / INDEX).open(encoding="utf-8", newline="") as lines:
            listed = list(csv.DictReader(lines))
        name, key = settings["format"], settings["key"]
        files = list(dict.fromkeys(row["file"] for row in listed))
        sources = [row["source"] for row in listed for _ in range(int(row["rows"]))]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{folder}: no finished features here: write them with `slowfast embed SOURCE... --out {folder}`"
        ) from error
    if not listed:
        raise DataError(f"{folder}: has no rows: no file could be embedded")
    parts: list[Stored] = [read_table(folder / file, name, key) for file in files]
    features = np.concatenate([part.features.astype(np.float32) for part in parts])
    if len(features) != len(sources):
        raise DataError(f"{folder}: {len(features)} rows, but {INDEX} lists {len(sources)}: run `slowfast embed` again")
    return Index(
        folder=folder,
        settings=settings,
        features=features,
        start=np.concatenate([part.start for part in parts]),
        end=np.concatenate([part.end for part in parts]),
        sources=sources,
    )


def _sklearn(features_ND: np.ndarray, queries_QD: np.ndarray, k: int, metric: str) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.neighbors import NearestNeighbors  # noqa: PLC0415  (takes a second)

    search = NearestNeighbors(n_neighbors=k, algorithm="brute", metric=metric).fit(features_ND)
    distances_QK, rows_QK = search.kneighbors(queries_QD)
    return (1 - distances_QK if metric == "cosine" else -distances_QK), rows_QK


def _faiss(features_ND: np.ndarray, queries_QD: np.ndarray, k: int, metric: str) -> tuple[np.ndarray, np.ndarray]:
    import faiss  # noqa: PLC0415  (an extra)

    width = features_ND.shape[1]
    if metric == "cosine":
        index: Any = faiss.IndexFlatIP(width)
        index.add(_unit(features_ND))
        scores_QK, rows_QK = index.search(_unit(queries_QD), k)
        return scores_QK, rows_QK
    index = faiss.IndexFlatL2(width)
    index.add(np.ascontiguousarray(features_ND, np.float32))
    squares_QK, rows_QK = index.search(np.ascontiguousarray(queries_QD, np.float32), k)
    return -np.sqrt(np.maximum(squares_QK, 0)), rows_QK


def _unit(rows_ND: np.ndarray) -> np.ndarray:
    norms_N1 = np.linalg.norm(rows_ND, axis=1, keepdims=True)
    return np.ascontiguousarray(rows_ND / np.maximum(norms_N1, 1e-12), np.float32)
