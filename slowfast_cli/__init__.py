"""Audio and video recognition with Slow-Fast networks: features, training, scores next to the paper's, predictions."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slowfast_cli.api import evaluate as evaluate
    from slowfast_cli.api import extract as extract
    from slowfast_cli.api import load_recipe as load_recipe
    from slowfast_cli.api import log_mel as log_mel
    from slowfast_cli.api import read_audio as read_audio
    from slowfast_cli.api import read_frames as read_frames
    from slowfast_cli.api import train as train
    from slowfast_cli.settings import FrontEnd as FrontEnd
    from slowfast_cli.stages.embed.embedder import Embedder as Embedder
    from slowfast_cli.stages.predict.predictor import Predictor as Predictor
    from slowfast_cli.weights.file import load_model as load_model

__version__ = "0.1.0"
# Where each name is defined: torch is imported when one is used, not before (PEP 562).
_API = {
    "Embedder": "stages.embed.embedder",
    "FrontEnd": "settings",
    "Predictor": "stages.predict.predictor",
    "evaluate": "api",
    "extract": "api",
    "load_model": "weights.file",
    "load_recipe": "api",
    "log_mel": "api",
    "read_audio": "api",
    "read_frames": "api",
    "train": "api",
}
__all__ = ["Embedder", "FrontEnd", "Predictor", "__version__", "evaluate", "extract", "load_model", "load_recipe"]
__all__ += ["log_mel", "read_audio", "read_frames", "train"]


def __getattr__(name: str) -> Any:
    if name in _API:
        return getattr(importlib.import_module(f"slowfast_cli.{_API[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
