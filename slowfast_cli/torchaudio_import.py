"""The one place that imports torchaudio.

torchaudio's Linux wheel loads a CUDA extension at import, which fails with `OSError` beside a CPU-only torch although
the parts used here are pure PyTorch. A stand-in takes the extension's place for the import, and only then.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType


def _import_torchaudio() -> ModuleType:
    try:
        return importlib.import_module("torchaudio")
    except OSError:
        for name in [name for name in sys.modules if name.split(".")[0] == "torchaudio"]:
            del sys.modules[name]
    stand_in = ModuleType("torchaudio._extension")
    stand_in.__dict__.update(_IS_TORCHAUDIO_EXT_AVAILABLE=False, _IS_RIR_AVAILABLE=False, lazy_import_sox_ext=None)
    stand_in.__dict__["fail_if_no_align"] = lambda function: function
    sys.modules["torchaudio._extension"] = stand_in
    try:
        return importlib.import_module("torchaudio")
    except (OSError, ImportError, AttributeError) as error:
        raise ImportError(
            f"torchaudio does not import beside this torch ({error}); "
            "install matching versions: pip install -c constraints.txt torch torchaudio"
        ) from error


torchaudio = _import_torchaudio()
functional = importlib.import_module("torchaudio.functional")
models = importlib.import_module("torchaudio.models")
