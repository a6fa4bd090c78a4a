"""Lazy import of transformers, for the networks that use it.

transformers imports torchaudio if it is installed, so the guard around torchaudio runs first.
"""

import importlib
from typing import Any

from slowfast_cli.types import UsageError


def import_transformers(kind: str) -> Any:
    """Import transformers.

    Args:
        kind: The network that needs it, for the error message.

    Raises:
        UsageError: It is not installed or fails to import.
    """
    importlib.import_module("slowfast_cli.torchaudio_import")
    try:
        return importlib.import_module("transformers")
    except ImportError as error:
        raise UsageError(
            f"the network {kind} needs transformers, which cannot be imported ({error}); install it: "
            "pip install 'slowfast[baselines]'"
        ) from error
