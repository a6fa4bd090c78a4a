"""Trunks from user code: any module that describes its input and returns one feature vector per clip.

>>> class Loudness(nn.Module):
...     def describe(self):
...         return {"reads": "samples", "rate": 16000, "length": 1}
...     def embed(self, signal):
...         return signal.square().mean(1, keepdim=True)
>>> isinstance(Loudness(), Embedder)
True
"""

import importlib
import sys
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from slowfast_cli.models.architecture import Baseline
from slowfast_cli.types import UsageError, text_of

TRUST = "--trust"  # option of the command line
_TRUSTED: set[str] = set()


@runtime_checkable
class Embedder(Protocol):
    """Interface of a user-defined `torch.nn.Module`."""

    def describe(self) -> Mapping[str, Any]:
        """Describe the input signal and the length of the feature.

        Returns:
            ``{"reads": "samples", "rate": 16000, "length": D}`` for samples at 16 kHz; or ``{"reads": "logmel",
            "front_end": {"rate": 16000, "window_ms": 25, "hop_ms": 10, "mels": 80}, "length": D}``, the fields of a
            recipe's ``frontend``, and optionally ``"standardise": True``.
        """

    def embed(self, signal: Tensor) -> Tensor:
        """Return one feature vector per clip: samples (B, N), from -1 to 1, or log-mels (B, 1, T, F) -> (B, D)."""


class EmbedderBody(nn.Module):
    """Body of a trunk that calls `Embedder.embed` and checks the output's shape; ``name`` is for error messages."""

    def __init__(self, module: nn.Module, length: int, name: str) -> None:
        super().__init__()
        self.module, self.length, self.name = module, length, name

    def forward(self, signal: Tensor) -> Tensor:
        """Shape: (B, N) or (B, 1, T, F) -> (B, D, 1)."""
        try:
            feature_BD: Tensor = self.module.embed(signal)  # type: ignore[operator]
        except Exception as error:  # user code may raise anything
            raise UsageError(f"{self.name}: embed() failed: {type(error).__name__}: {text_of(error)}") from error
        if feature_BD.shape != (len(signal), self.length):
            raise UsageError(
                f"{self.name}: embed() returned shape {tuple(feature_BD.shape)}, expected {(len(signal), self.length)}"
            )
        return feature_BD[:, :, None]


def trust(factory: str) -> None:
    """Allow the import of a user-defined module, which runs its code."""
    _TRUSTED.add(factory)


def _require_trusted(factory: str) -> None:
    """Refuse to import what only a recipe, a run folder or a weight file names.

    The user allows it by typing it on the command line (which worker processes inherit), by ``--trust``, or by `trust`.
    """
    typed = {text for word in sys.argv[1:] for text in (word, word.partition("=")[2])}
    if factory not in typed | _TRUSTED and TRUST not in sys.argv:
        raise UsageError(
            f"{factory}: is Python code that a recipe or weight file names, and importing it runs it: read it first, "
            f"then allow it with {TRUST}, or type model.variant={factory}"
        )


def load_module(factory: str) -> nn.Module:
    """Import a user-defined module, calling the object unless it is a module already.

    Args:
        factory: ``package.module:callable``, importable from the current folder too.

    Raises:
        UsageError: The user has not named it (see `trust`), the import or the call fails, or the result is no module
            with the two methods of `Embedder`.
    """
    _require_trusted(factory)
    module_name, _, name = factory.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        target = getattr(importlib.import_module(module_name), name)
        module = target if isinstance(target, nn.Module) else target()
    except Exception as error:  # user code may raise anything
        raise UsageError(
            f"{factory}: cannot be imported ({type(error).__name__}: {text_of(error)}): name it as "
            "package.module:callable"
        ) from error
    if not isinstance(module, nn.Module) or not isinstance(module, Embedder):
        raise UsageError(
            f"{factory}: returned a {type(module).__name__}, expected a torch.nn.Module with the methods describe() "
            "and embed(signal), see slowfast_cli.models.external"
        )
    return module


def describe(factory: str) -> Baseline:
    """Import a user-defined module and convert its `Embedder.describe` to a network description.

    Raises:
        UsageError: The import fails, or the description is incomplete or inconsistent.
    """
    module = load_module(factory)
    try:
        description = dict(module.describe())  # type: ignore[operator]
        net = Baseline(kind=factory, standardise=bool(description.pop("standardise", False)), **description)
    except Exception as error:
        raise UsageError(
            f"{factory}: describe() returned no valid description: {type(error).__name__}: {text_of(error)}"
        ) from error
    if net.reads not in ("logmel", "samples") or not isinstance(net.length, int) or net.length < 1:
        raise UsageError(
            f"{factory}: describe() returned {description}, expected reads to be samples or logmel, and length the "
            "size of the vectors that embed() returns"
        )
    if (net.rate is None) == (net.reads == "samples") or (net.reads == "logmel") != bool(net.front_end):
        raise UsageError(
            f"{factory}: describe() returned {description}, expected a rate in Hz with samples, or a front_end with "
            "logmel"
        )
    return net


def fingerprint(factory: str) -> str:
    """Hash the source file and the weights of a user-defined module; raise `UsageError` if the import fails."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # so that random initial weights have the same hash every time
        module = load_module(factory)
    hasher = sha256()
    file = sys.modules[factory.partition(":")[0]].__file__
    hasher.update(Path(file).read_bytes() if file else b"")
    for name, value in module.state_dict().items():
        hasher.update(name.encode())
        hasher.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return hasher.hexdigest()


def build_body(net: Baseline) -> nn.Module:
    """Build the body of a trunk from the description of a user-defined module."""
    return EmbedderBody(load_module(net.kind), net.length, net.kind)
