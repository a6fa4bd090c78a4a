"""PyTorch's own exported programs, ``.pt2``: what `torch.export.load` reads in another program."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from slowfast_cli.inference.program import KEY, Metadata, parse_metadata
from slowfast_cli.types import WeightsError, text_of

if TYPE_CHECKING:
    from slowfast_cli.inference.convert import Exported


class TorchProgram:
    """A program that `torch.export` wrote; its threads are those of the calling thread."""

    metadata: Metadata

    def __init__(self, path: Path) -> None:
        import torch  # noqa: PLC0415  (other engines need none)

        extra = {KEY: ""}
        try:
            self._module = torch.export.load(path, extra_files=extra).module()
        except (RuntimeError, OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise WeightsError(f"{path}: torch cannot load it ({text_of(error)}): export it again") from error
        self.metadata = parse_metadata(path, extra[KEY])

    def run(self, inputs: Mapping[str, np.ndarray], threads: int = 1) -> dict[str, np.ndarray]:
        """See `slowfast_cli.inference.program.Program`."""
        import torch  # noqa: PLC0415

        with torch.inference_mode():
            outputs = self._module(*(torch.from_numpy(inputs[name]) for name in self.metadata.inputs))
        return {name: value.numpy() for name, value in zip(self.metadata.outputs, outputs, strict=True)}


def read(path: Path, precision: str) -> TorchProgram:
    """Load a program; it computes in the precision that it was written with."""
    return TorchProgram(path)


def write(exported: Exported, path: Path, metadata: Metadata) -> None:
    """Write a program."""
    import torch  # noqa: PLC0415

    torch.export.save(exported.program, path, extra_files={KEY: metadata.text()})
