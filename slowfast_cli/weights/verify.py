"""Check downloaded and other weight files."""

from slowfast_cli.storage.atomic import file_hash
from slowfast_cli.types import WeightsError
from slowfast_cli.weights.catalog import CATALOG
from slowfast_cli.weights.download import recorded_hash, target
from slowfast_cli.weights.file import build
from slowfast_cli.weights.resolve import weight_file


def cached_names() -> list[str]:
    """Names of the official weights in the cache."""
    return [name for name, entry in CATALOG.items() if target(entry).path.is_file()]


def problem(name: str) -> str:
    """Describe what is wrong with weights; empty if they are good.

    Args:
        name: A catalog name, whose download is compared with its recorded SHA-256; or a weight file or run folder,
            whose header and tensors are read.
    """
    try:
        if name in CATALOG:
            file = target(CATALOG[name])
            if not file.path.is_file():
                return "not downloaded"
            recorded, actual = recorded_hash(file), file_hash(file.path)
            if recorded and recorded != actual:
                return f"changed since its download: SHA-256 {actual}, recorded {recorded}"
        build(weight_file(name, offline=True))
    except WeightsError as error:
        return str(error)
    return ""
