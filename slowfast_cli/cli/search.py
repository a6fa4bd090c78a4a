"""``slowfast search``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from slowfast_cli.cli import options

EPILOG = options.examples(
    "slowfast search query.wav features",
    "slowfast search query.wav features -k 10 --metric euclidean --json",
    "slowfast search query.wav features --backend faiss",
)


def search(
    query: Annotated[Path, typer.Argument(metavar="QUERY", help="A sound or video file.")],
    index: Annotated[Path, typer.Argument(metavar="INDEX", help="Folder of `slowfast embed --out`.")],
    top: Annotated[int, typer.Option("--top", "-k", min=1, help="Number of neighbors to print.")] = 5,
    metric: Annotated[str, typer.Option(help="cosine or euclidean.")] = "cosine",
    backend: Annotated[str, typer.Option(help="sklearn, or faiss (extra `search`); both are exact.")] = "sklearn",
    weights: Annotated[
        str | None, options.optional("The weights of the index, if they are not where they were.", "--weights", "-w")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines on stdout, the nearest first.")] = False,
    device: options.Device = "auto",
    offline: options.Offline = False,
) -> None:
    """Print the recordings, or windows of them, that are most similar to a file."""
    from slowfast_cli.cli import show
    from slowfast_cli.stages import search as stage
    from slowfast_cli.types import finite

    stage.require(metric, backend)
    read = stage.read_index(index)
    embedding = read.embedder(weights, device, offline=offline)(query)
    (matches,) = read.nearest(embedding.features.mean(0, keepdims=True), top, metric=metric, backend=backend)
    for match in matches:
        plain = {"source": match.source, "start": match.start, "end": match.end, "score": match.score}
        if as_json:
            typer.echo(json.dumps(finite(plain), ensure_ascii=False))
        else:
            typer.echo(show.printable(f"{match.score:7.3f}  {match.source}  {match.start:.2f}-{match.end:.2f} s"))
