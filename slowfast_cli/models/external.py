"""A trunk from a module of the user's: any network that says what it reads and gives one vector a clip.

>>> class Loudness(nn.Module):
...     def describe(self):
...         return {"reads": "samples", "rate": 16000, "length": 1}
...     def embed(self, signal):
...         return signal.square().mean(1, keepdim=True)
>>> isinstance(Loudness(), Embedder)
True
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from slowfast_cli.models.architecture import Baseline
from slowfast_cli.types import UsageError


@runtime_checkable
class Embedder(Protocol):
    """What a module of the user's has besides being an `torch.nn.Module`."""

    def describe(self) -> Mapping[str, Any]:
        """What it reads, and the length of what it gives.

        Returns:
            ``{"reads": "samples", "rate": 16000, "length": D}`` for samples at 16 kHz; or ``{"reads": "logmel",
            "front_end": {"rate": 16000, "window_ms": 25, "hop_ms": 10, "mels": 80}, "length": D}``, the fields of a
            recipe's ``frontend``, and optionally ``"standardise": True``.
        """

    def embed(self, signal: Tensor) -> Tensor:
        """One vector a clip.

        Shape:
            samples (B, N), from -1 to 1, or log-mels (B, 1, T, F) -> (B, D)
        """


class Embedded(nn.Module):
    """Such a module as the body of a trunk.

    Args:
        module: The user's.
        length: Of what it gives.
        name: Where it is from.
    """

    def __init__(self, module: nn.Module, length: int, name: str) -> None:
        super().__init__()
        self.module, self.length, self.name = module, length, name

    def forward(self, signal: Tensor) -> Tensor:
        """Shape: (B, N) or (B, 1, T, F) -> (B, D, 1)."""
        try:
            found_BD: Tensor = self.module.embed(signal)  # type: ignore[operator]
        except Exception as error:  # it runs whatever the user has written
            raise UsageError(f"{self.name}: embed() failed: {type(error).__name__}: {error}") from error
        if found_BD.shape != (len(signal), self.length):
            raise UsageError(
                f"{self.name}: embed() gave {tuple(found_BD.shape)} for {len(signal)} clips; right is "
                f"({len(signal)}, {self.length}), as describe() says"
            )
        return found_BD[:, :, None]


def make(factory: str) -> nn.Module:
    """Import and call it.

    Args:
        factory: ``package.module:callable``; the current folder is looked in too.

    Raises:
        UsageError: There is no such thing, it fails, or what it makes has not the two methods.
    """
    place, _, name = factory.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        found = getattr(importlib.import_module(place), name)
        module = found if isinstance(found, nn.Module) else found()
    except Exception as error:  # it runs whatever the user has written
        raise UsageError(
            f"{factory}: cannot be imported ({type(error).__name__}: {error}): name it as package.module:callable"
        ) from error
    if not isinstance(module, nn.Module) or not isinstance(module, Embedder):
        raise UsageError(
            f"{factory}: made a {type(module).__name__}; right is a torch.nn.Module with the methods describe() and "
            "embed(signal), see slowfast_cli.models.external"
        )
    return module


def describe(factory: str) -> Baseline:
    """What a module of the user's says of itself.

    Raises:
        UsageError: It cannot be imported, or says too little.
    """
    module = make(factory)
    try:
        said = dict(module.describe())  # type: ignore[operator]
        found = Baseline(kind=factory, standardise=bool(said.pop("standardise", False)), **said)
    except Exception as error:
        raise UsageError(f"{factory}: describe() does not say what is read: {type(error).__name__}: {error}") from error
    if found.reads not in ("logmel", "samples") or not isinstance(found.length, int) or found.length < 1:
        raise UsageError(
            f"{factory}: describe() says {said}: reads is samples or logmel, length the numbers that embed() gives"
        )
    if (found.rate is None) == (found.reads == "samples") or (found.reads == "logmel") != bool(found.front_end):
        raise UsageError(
            f"{factory}: describe() says {said}: samples come with a rate in Hz, a logmel with a front_end"
        )
    return found


def digest(factory: str) -> str:
    """Tells the weights of a module of the user's, and the file it is in, from others.

    Raises:
        UsageError: It cannot be imported.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # or what it draws would tell it from itself
        module = make(factory)
    told = sha256()
    file = sys.modules[factory.partition(":")[0]].__file__
    told.update(Path(file).read_bytes() if file else b"")
    for name, value in module.state_dict().items():
        told.update(name.encode())
        told.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return told.hexdigest()


def body(net: Baseline) -> nn.Module:
    """The module of a description."""
    return Embedded(make(net.kind), net.length, net.kind)
