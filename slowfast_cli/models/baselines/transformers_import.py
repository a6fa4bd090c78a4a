"""Lazy import of transformers, for the networks that use it.

transformers imports torchaudio if it is installed, so the guard around torchaudio runs first.
"""

import importlib
from typing import Any

from slowfast_cli.types import UsageError


def import_transformers(kind: str) -> Any:
    """Import transformers for a network; raise `UsageError` if it is not installed or fails to import."""
    importlib.import_module("slowfast_cli.torchaudio_import")
    try:
        return importlib.import_module("transformers")
    except ImportError as error:
        raise UsageError(
            f"the network {kind} needs transformers ({error}): pip install 'slowfast-cli[baselines]'"
        ) from error
