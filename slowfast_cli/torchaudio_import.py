"""The only module that imports torchaudio.

With a CPU-only torch, importing torchaudio's Linux wheel fails with `OSError` because it loads a CUDA extension. The
parts used here are pure PyTorch, so the import is then repeated with a stub in place of the extension.
"""

import importlib
import sys
from types import ModuleType


def _import_torchaudio() -> ModuleType:
    try:
        return importlib.import_module("torchaudio")
    except OSError:
        for name in [name for name in sys.modules if name.split(".")[0] == "torchaudio"]:
            del sys.modules[name]
    stub = ModuleType("torchaudio._extension")
    stub.__dict__.update(_IS_TORCHAUDIO_EXT_AVAILABLE=False, _IS_RIR_AVAILABLE=False, lazy_import_sox_ext=None)
    stub.__dict__["fail_if_no_align"] = lambda function: function
    sys.modules["torchaudio._extension"] = stub
    try:
        return importlib.import_module("torchaudio")
    except (OSError, ImportError, AttributeError) as error:
        raise ImportError(
            f"torchaudio cannot be imported with this version of torch ({error}); "
            "install matching versions: pip install -c constraints.txt torch torchaudio"
        ) from error


torchaudio = _import_torchaudio()
functional = importlib.import_module("torchaudio.functional")
models = importlib.import_module("torchaudio.models")
