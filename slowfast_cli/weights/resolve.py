"""The weight file that a word stands for: a file, a run folder, or a name of the catalogue."""

from __future__ import annotations

from pathlib import Path

from slowfast_cli.storage import remote
from slowfast_cli.types import WeightsError
from slowfast_cli.weights import catalogue
from slowfast_cli.weights.download import Progress, download
from slowfast_cli.weights.file import DEFAULT, newest
from slowfast_cli.weights.foreign.convert import convert


def weight_file(word: str | None, *, offline: bool = False, progress: Progress | None = None) -> Path:
    """Find weights, downloading and converting them first where the catalogue knows them.

    Args:
        word: A weight file or a run folder, here or a URL; a catalogue name; None for the model that comes with it all.
        offline: Do not use the network.
        progress: Told of a download.

    Raises:
        WeightsError: There are none.
    """
    if word is None:
        return DEFAULT
    path = remote.download(remote.local_path(word))
    if path.is_dir():
        return newest(path)
    if path.exists() or path.suffix or len(path.parts) > 1:
        if not path.exists():
            raise WeightsError(
                f"{word}: no such weights: train them first (a run folder is runs/<recipe>/...), "
                "or take some of `slowfast weights ls` by name"
            )
        return path
    entry = catalogue.find(word)
    source = download(entry, offline=offline, progress=progress)
    ours = source.with_name(f"{entry.name}.safetensors")
    if not ours.is_file() or ours.stat().st_mtime < source.stat().st_mtime:
        convert(source, ours, entry=entry)
    return ours
