"""Audio and video recognition with Slow-Fast networks: features, training, scores beside the paper's, predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slowfast_cli.weights.file import load_model as load_model

__version__ = "0.1.0"
__all__ = ["__version__", "load_model"]


def __getattr__(name: str) -> Any:  # PEP 562: torch is imported when it is asked for, not before
    if name == "load_model":
        from slowfast_cli.weights.file import load_model

        return load_model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
