"""Exported files in the place of weights."""

import json
from pathlib import Path

import torch
from torch import Tensor, nn

from slowfast_cli.inference.choose import AUTO, SUFFIXES
from slowfast_cli.inference.convert import arrays
from slowfast_cli.inference.network import EngineChoice
from slowfast_cli.inference.program import Program
from slowfast_cli.types import Signals, UsageError
from slowfast_cli.weights.file import KEY, Card, parse_card


class ProgramNetwork(nn.Module):
    """A program that is called as the network that it was converted from."""

    def __init__(self, program: Program) -> None:
        super().__init__()
        self._program = program
        self.place = nn.Parameter(torch.zeros(0), requires_grad=False)  # says that it is on a CPU

    def forward(self, signals: Signals, boxes: Tensor | None = None) -> dict[str, Tensor]:
        """Return the outputs by name."""
        inputs = {name: signals[name] for name in self._program.metadata.inputs}
        outputs = self._program.run(arrays(inputs), torch.get_num_threads())
        return {name: torch.from_numpy(value) for name, value in outputs.items()}


def is_exported(path: Path) -> bool:
    """Whether a file is one that `slowfast export` writes, by its suffix."""
    return path.suffix in SUFFIXES


def open_exported(path: Path, choice: EngineChoice, device: torch.device) -> tuple[Program, Card]:
    """Load an exported file, and the card of its weights.

    Raises:
        UsageError: Its engine is not installed, or another one, a GPU or a precision is asked for that it has not.
        WeightsError: It cannot be loaded.
    """
    engine = SUFFIXES[path.suffix]
    engine.require(str(path))
    if choice.engine not in (AUTO, engine.name):
        raise UsageError(f"--engine {choice.engine}: {path} is for {engine.title}: leave the option out")
    if choice.precision not in engine.precisions or device.type != "cpu":
        raise UsageError(f"{path}: computes in its own precision, on a CPU: leave --precision and --device out")
    program = engine.read(path, choice.precision)
    return program, parse_card(path, {KEY: json.dumps(program.metadata.card)})
