"""A network for prediction that an engine runs as soon as it pays: until its program is there, PyTorch answers."""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from errno import ENOSPC
from pathlib import Path
from threading import Lock

import torch
from torch import Tensor, nn

from slowfast_cli.cores import usable_cores
from slowfast_cli.inference import cache
from slowfast_cli.inference.background import in_background
from slowfast_cli.inference.choose import AUTO, EAGER, Engine, choose, slow_bf16
from slowfast_cli.inference.convert import (
    ConversionError,
    arrays,
    describe,
    export_program,
    obstacle,
    require_parity,
)
from slowfast_cli.inference.program import Program
from slowfast_cli.models.architecture import Architecture, Baseline
from slowfast_cli.models.folding import prepare_for_inference
from slowfast_cli.storage.atomic import file_hash, free_bytes
from slowfast_cli.types import Signals, SlowFastError, UsageError

# Seconds that PyTorch would still need on all cores from which on a conversion pays: it takes 4 to 11 of one core, and
# saves a sixth of the rest or more (docs/performance.md).
WORTH = 30.0
NO_SPACE = 1 << 20  # free bytes below which a program cannot have been written for lack of them
LOG = logging.getLogger(__name__)  # remarks for the user, as information: commands print them
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a network comes from."""

    weights: Path
    net: Architecture
    gives: str = "logits"
    depends_on: Mapping[str, object] = field(default_factory=dict)
    """What the outputs depend on besides the weights, as plain values."""

    def obstacle(self) -> str:
        """Why no program of it can be kept; empty if one may."""
        if isinstance(self.net, Baseline) and ":" in self.net.kind:
            return "it is a Python module, which may change while its weights do not"
        return "" if self.gives == "features" else obstacle(self.net)


@dataclass(frozen=True, kw_only=True)
class EngineChoice:
    """The engine that a command names, and the precision."""

    engine: str = AUTO
    precision: str = "fp32"


class Network(nn.Module):
    """A network in eval mode that is called as ``network(signals)`` and returns tensors by name.

    A program in the cache is used from the first clip. Otherwise an engine that the user names is waited for; with
    ``auto`` PyTorch answers, and once the clips to come would take it longer than `WORTH`, a thread converts meanwhile.

    Args:
        module: The network in float32, see `slowfast_cli.models.folding.prepare_for_inference`.
        source: Where it comes from.
        choice: Engine and precision.

    Raises:
        UsageError: The engine is not installed, or cannot take the network.
    """

    def __init__(self, module: nn.Module, source: Source, choice: EngineChoice) -> None:
        super().__init__()
        device = next(module.parameters()).device
        frames = "frames" in source.net.signals
        self._engine = choose(
            choice.engine, precision=choice.precision, on_cpu=device.type == "cpu", reads_frames=frames
        )
        self._module, self._source, self._choice = module, source, choice
        self._answers = prepare_for_inference(module, device, DTYPES[choice.precision])
        self._reason = source.obstacle()
        if self._named and self._reason:
            raise self._refusal(self._reason)
        if note := slow_bf16(self._engine, choice.precision):
            LOG.info(note)
        self._lock = Lock()
        self._shapes: dict[str, tuple[int, ...]] | None = None
        self._program: Program | None = None
        self._conversion: Future[Program] | None = None
        self._expected, self._answered, self._seconds = 0, 0, 0.0
        self._warned = False

    @property
    def engine(self) -> Engine:
        """The engine that answers once its program is there."""
        return self._engine

    def expect(self, clips: int) -> None:
        """Announce clips, which decide whether a conversion pays."""
        self._expected += clips

    def forward(self, signals: Signals, boxes: Tensor | None = None) -> dict[str, Tensor]:
        """Return the outputs by name, as the network itself does."""
        program = None if self._engine is EAGER or boxes is not None else self._program_for(signals)
        if program is not None:
            outputs = program.run(arrays(signals), torch.get_num_threads())
            return {name: torch.from_numpy(value) for name, value in outputs.items()}
        started = time.perf_counter()
        answers: dict[str, Tensor] = self._answers(signals) if boxes is None else self._answers(signals, boxes)
        if self._engine is not EAGER:
            self._count(signals, (time.perf_counter() - started) * torch.get_num_threads())
        return answers

    @property
    def _named(self) -> bool:
        """Whether the user names the engine, so that it answers from the first clip."""
        return self._choice.engine != AUTO and self._engine is not EAGER

    def _refusal(self, reason: object) -> UsageError:
        name = self._engine.name
        return UsageError(f"--engine {name}: cannot take {self._source.weights}: {reason}: use --engine torch")

    def _program_for(self, signals: Signals) -> Program | None:
        shapes = {name: tuple(value.shape[1:]) for name, value in signals.items()}
        if len({value.shape[0] for value in signals.values()}) > 1 or self._reason:
            return None
        if self._shapes is None:
            with self._lock:
                if self._shapes is None:
                    self._first(signals, shapes)
                    self._shapes = shapes
        if self._program is None and self._conversion is not None and self._conversion.done():
            self._finish(self._conversion)
        if shapes == self._shapes:
            return self._program
        if self._named and not self._warned:
            self._warned = True
            LOG.info(f"PyTorch answers clips of other sizes than the first: {self._engine.title} was given that one's")
        return None

    def _first(self, signals: Signals, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Load a program of these shapes, or convert if the user names the engine."""
        key = {"weights": file_hash(self._source.weights), "gives": self._source.gives, "shapes": shapes}
        self._key = {**key, **self._source.depends_on}
        folder = cache.entry(self._engine, self._key)
        self._program = cache.load(folder, self._engine, self._choice.precision)
        if self._program is None and self._named:
            LOG.info(f"converting for {self._engine.title}, once for these weights")
            try:
                self._program = self._start(signals).result()
            except ConversionError as error:
                raise self._refusal(error) from error

    def _count(self, signals: Signals, seconds: float) -> None:
        """Count an answer of PyTorch; start a conversion once it pays."""
        clips = next(iter(signals.values())).shape[0]
        with self._lock:
            self._answered, self._seconds = self._answered + clips, self._seconds + seconds
            rest = self._expected - self._answered if self._expected else self._answered  # as many again as so far
            if self._conversion is not None or rest * self._seconds < WORTH * usable_cores() * self._answered:
                return
            title = self._engine.title
            self._conversion = Future()
            if self._reason:
                LOG.info(f"PyTorch answers, not {title}: {self._reason}")
            elif self._shapes == {name: tuple(value.shape[1:]) for name, value in signals.items()}:
                LOG.info(f"converting for {title}, once for these weights; PyTorch answers until then")
                self._conversion = self._start({name: value[:1].clone() for name, value in signals.items()})

    def _start(self, signals: Signals) -> Future[Program]:
        return in_background(lambda: self._convert(signals))

    def _convert(self, signals: Signals) -> Program:
        folder = cache.entry(self._engine, self._key)
        return cache.load_or_write(folder, self._engine, self._choice.precision, self._writer(signals))

    def _writer(self, signals: Signals) -> Callable[[Path], None]:
        def write(path: Path) -> None:
            write_checked(self._module, signals, path, self._engine, str(self._key["weights"]), self._source.gives)

        return write

    def _finish(self, conversion: Future[Program]) -> None:
        """Take over a program; a network that the engine cannot take stays with PyTorch."""
        with self._lock:
            if self._program is not None or self._reason:
                return
            try:
                self._program = conversion.result()
            except SlowFastError as error:
                self._reason = str(error)
                LOG.info(f"PyTorch answers, not {self._engine.title}: {error}")


def write_checked(module: nn.Module, signals: Signals, path: Path, engine: Engine, weights: str, gives: str) -> None:
    """Convert a float32 module, write its program, and compare its answers with PyTorch's.

    Raises:
        ConversionError: The engine cannot take the network, or the answers differ.
    """
    exported = export_program(module, signals)
    metadata = describe(exported, weights=weights, gives=gives, written_by=cache.versions(engine))
    try:
        with warnings.catch_warnings():  # of the libraries about each other
            warnings.simplefilter("ignore")
            engine.write(exported, path, metadata)
        program = engine.read(path, "fp32")
        with torch.inference_mode():
            expected = arrays(module(signals))
        require_parity(program, arrays(signals), expected)
    except (OSError, ConversionError):
        raise
    except Exception as error:  # of any library
        if free_bytes(path.parent) < NO_SPACE:  # OpenVINO names another reason
            raise OSError(ENOSPC, os.strerror(ENOSPC)) from error
        raise ConversionError(f"{engine.title} cannot take it ({error})") from error
