"""`slowfast embed` on a folder with a folder for each class: clips a second, and accuracy of retrieval.

    python tests/benchmarks/embed.py FOLDER [WEIGHTS]

Clips a second are those of the command without the start of Python, the best of three. Accuracy: the nearest other clip
by cosine similarity has the same class.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from slowfast_cli.stages.embed.embedder import Embedder
from slowfast_cli.stages.embed.items import file_items
from slowfast_cli.stages.embed.run import embed
from slowfast_cli.stages.embed.store import Output
from slowfast_cli.stages.predict.sources import sources
from slowfast_cli.stages.search import read_index

ROUNDS = 3


def main() -> None:
    """Print the figures."""
    folder, weights = sys.argv[1], (sys.argv[2] if len(sys.argv) > 2 else None)
    embedder = Embedder(weights)
    items = file_items([path for path in sources([folder], None, embedder.suffixes) if isinstance(path, Path)])
    times = []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as name:
            out = Path(name) / "features"
            output = Output(
                folder=out, format="npz", key="features", dtype="float32", table=True, settings=embedder.settings()
            )
            began = time.perf_counter()
            outcomes = list(embed(items, embedder, output))
            times.append(time.perf_counter() - began)
            index = read_index(out)
    print(f"{len(outcomes)} clips in {min(times):.2f} s: {len(outcomes) / min(times):.0f} clips a second, ", end="")
    print(f"{torch.get_num_threads()} threads")
    labels = np.array([Path(source).parent.name for source in index.sources])
    neighbors = index.nearest(index.features, 2)
    found = [
        next(match.source for match in matches if match.source != source)
        for source, matches in zip(index.sources, neighbors, strict=True)
    ]
    right = np.array([Path(source).parent.name for source in found]) == labels
    print(f"retrieval: {right.mean():.1%} of {len(right)} nearest neighbors have the same class")
    for label in dict.fromkeys(labels.tolist()):
        print(f"  {label}: {right[labels == label].mean():.1%}")


if __name__ == "__main__":
    main()
