"""Resolve a weights argument to a weight file."""

from pathlib import Path

from slowfast_cli.storage import remote
from slowfast_cli.storage.run_list import other_runs
from slowfast_cli.types import WeightsError
from slowfast_cli.weights import catalog, hub
from slowfast_cli.weights.download import Progress, download
from slowfast_cli.weights.file import DEFAULT, run_weights
from slowfast_cli.weights.foreign.convert import convert


def weight_file(word: str | None, *, offline: bool = False, progress: Progress | None = None) -> Path:
    """Find a weight file; official weights are downloaded and converted first if necessary.

    Args:
        word: Path or URL of a weight file or run folder, a catalog name, or ``hf://owner/name``; None or ``default``
            for the bundled model.
        offline: Do not use the network.
        progress: Callback for the download.

    Raises:
        WeightsError: The file does not exist, the name is unknown, or the download or the conversion fails.
    """
    if word is None or (word == "default" and not Path(word).exists()):
        return DEFAULT
    if word.startswith(hub.PREFIX):
        return hub.download(word, offline=offline)
    path = remote.download(remote.local_path(word))
    if path.is_dir():
        return run_weights(path)
    if path.exists():
        return path
    if path.suffix or len(path.parts) > 1:
        raise WeightsError(
            f"{word}: no such weights: train them first, or use a name of `slowfast weights ls`{other_runs(word)}"
        )
    entry = catalog.find(word, other_runs(word))
    source = download(entry, offline=offline, progress=progress)
    converted = source.with_name(f"{entry.name}.safetensors")
    if not converted.is_file() or converted.stat().st_mtime < source.stat().st_mtime:
        convert(source, converted, entry=entry)
    return converted
