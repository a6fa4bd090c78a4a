"""The one place that imports transformers, and only when a network of it is built.

It imports torchaudio where that is installed, so the guard around torchaudio goes first.
"""

from __future__ import annotations

import importlib
from typing import Any

from slowfast_cli.types import UsageError


def imported(kind: str) -> Any:
    """The package.

    Args:
        kind: The network that needs it, for the message.

    Raises:
        UsageError: It is not installed, or does not import.
    """
    importlib.import_module("slowfast_cli.torchaudio_import")
    try:
        return importlib.import_module("transformers")
    except ImportError as error:
        raise UsageError(
            f"the network {kind} is built by transformers, which cannot be imported ({error}); install it: "
            "pip install 'slowfast[baselines]'"
        ) from error
