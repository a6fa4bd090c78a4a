"""From a module in float32 to an exported program with a free batch, which every engine's file is written from."""

import copy
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock

import numpy as np
import torch
from torch import Tensor, nn

from slowfast_cli.inference.program import Metadata, Program
from slowfast_cli.models.architecture import Architecture
from slowfast_cli.types import Signals, SlowFastError, text_of

MOST_CLIPS = 1 << 16  # in a batch
TRACING = Lock()  # torch.export keeps its state in globals: two traces at a time break each other
TOLERANCE = 1e-4  # largest difference from PyTorch in float32, of outputs up to 1; in proportion above


class ConversionError(SlowFastError):
    """An engine cannot take a network, or its answers differ."""


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A program of `torch.export`."""

    program: torch.export.ExportedProgram
    inputs: Mapping[str, tuple[int, ...]]  # shapes without the batch
    outputs: tuple[str, ...]


class _ByPosition(nn.Module):
    """A module of named inputs and outputs as a function of tensors, which is what engines know."""

    def __init__(self, module: nn.Module, inputs: tuple[str, ...]) -> None:
        super().__init__()
        self.module, self.inputs = module, inputs

    def forward(self, *values: Tensor) -> tuple[Tensor, ...]:
        outputs: dict[str, Tensor] = self.module(dict(zip(self.inputs, values, strict=True)))
        return tuple(outputs.values())


def obstacle(net: Architecture) -> str:
    """Why no engine can take a network; empty if one may."""
    if net.regions != "none":
        return "it classifies boxes, and the samples of RoIAlign depend on the sizes of the boxes"
    return ""


def export_program(module: nn.Module, signals: Signals) -> Exported:
    """Trace a module ``module(signals) -> {name: tensor}`` on a copy, so that others may run it meanwhile.

    Args:
        module: In eval mode, on a CPU.
        signals: Inputs of some clips, of which only the batch may change later.

    Raises:
        ConversionError: The module cannot be traced.
    """
    names = tuple(signals)
    by_position = _ByPosition(copy.deepcopy(module), names).requires_grad_(False)
    values = tuple(value[:1].detach().clone().expand(2, *value.shape[1:]).contiguous() for value in signals.values())
    batch = torch.export.Dim("batch", min=1, max=MOST_CLIPS)
    try:
        with TRACING, warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            shapes = (tuple({0: batch} for _ in values),)
            program = torch.export.export(by_position, values, dynamic_shapes=shapes, strict=False)
            outputs = tuple(module(signals))
    except Exception as error:  # torch raises dozens of kinds
        raise ConversionError(f"torch.export cannot trace it ({text_of(error)})") from error
    inputs = {name: tuple(value.shape[1:]) for name, value in signals.items()}
    return Exported(program=program, inputs=inputs, outputs=outputs)


def arrays(signals: Signals) -> dict[str, np.ndarray]:
    """Tensors on a CPU as arrays."""
    return {name: value.detach().numpy() for name, value in signals.items()}


def difference(outputs: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> float:
    """Largest difference between the outputs of a program and those of PyTorch, in proportion to values above 1."""
    return max(
        float(np.max(np.abs(outputs[name] - values), initial=0.0) / max(1.0, float(np.abs(values).max(initial=0.0))))
        for name, values in expected.items()
    )


def require_parity(program: Program, inputs: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> float:
    """Largest difference from PyTorch; raise `ConversionError` if it is above `TOLERANCE` or not a number."""
    found = difference(program.run(inputs), expected)
    if not found <= TOLERANCE:
        raise ConversionError(f"its answers differ from PyTorch's by {found:.1e}, expected at most {TOLERANCE:.0e}")
    return found


def describe(exported: Exported, **fields: object) -> Metadata:
    """Metadata of an exported program."""
    return Metadata(inputs=exported.inputs, outputs=exported.outputs, **fields)  # type: ignore[arg-type]
