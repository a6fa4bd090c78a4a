"""Registry of engines, and the choice of one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from slowfast_cli.inference import onnx_engine, openvino_engine, torch_engine
from slowfast_cli.inference.program import Metadata, Program
from slowfast_cli.types import UsageError

AUTO = "auto"


@dataclass(frozen=True, kw_only=True)
class Engine:
    """A library that runs networks."""

    name: str
    title: str
    package: str
    """Module and distribution that it needs; also the name of the extra but for torch."""
    suffix: str
    """Of its files."""
    beside: tuple[str, ...] = ()
    """Suffixes of further files beside it."""
    read: Callable[[Path, str], Program]
    """Loads a file, to compute in a precision."""
    write: Callable[[Any, Path, Metadata], None]
    """Writes an `Exported`."""
    write_onnx: Callable[[Any, Path, Metadata], None] | None = None
    """Writes an ``onnx.ModelProto``, such as a quantized one; None if it cannot."""
    extra: str = ""
    """Extra of slowfast-cli that installs it; empty if every installation has it."""
    writes_with: tuple[str, ...] = ()
    """Further modules that writing needs."""
    precisions: tuple[str, ...] = ("fp32",)
    """In which it computes a float32 network."""
    bf16_in_hardware: Callable[[], bool] = lambda: True

    @property
    def installed(self) -> bool:
        """Whether it can convert and run networks."""
        return all(find_spec(name) is not None for name in (self.package, *self.writes_with))

    @property
    def version(self) -> str:
        """Installed version; empty if there is none."""
        try:
            return version(self.package)
        except PackageNotFoundError:
            return ""

    def require(self, option: str) -> None:
        """Raise `UsageError` if it is not installed."""
        if not self.installed:
            raise UsageError(f"{option}: {self.title} is not installed: pip install 'slowfast-cli[{self.extra}]'")


ENGINES: Mapping[str, Engine] = {
    "openvino": Engine(
        name="openvino", title="OpenVINO", package="openvino", extra="openvino", suffix=".xml",
        beside=(".bin",),
        read=openvino_engine.read, write=openvino_engine.write, write_onnx=openvino_engine.write_onnx,
        precisions=("fp32", "bf16"), bf16_in_hardware=openvino_engine.bf16_in_hardware,
    ),
    "onnx": Engine(
        name="onnx", title="ONNX Runtime", package="onnxruntime", extra="onnx", suffix=".onnx",
        read=onnx_engine.read, write=onnx_engine.write, write_onnx=onnx_engine.save, writes_with=("onnx", "onnxscript"),
    ),
    "torch": Engine(
        name="torch", title="PyTorch", package="torch", suffix=".pt2",
        read=torch_engine.read, write=torch_engine.write, precisions=("fp32", "bf16"),
    ),
}  # fmt: skip
EAGER = ENGINES["torch"]  # it runs networks as they are: nothing is converted
# The order of `auto`, the fastest first, for networks that read frames and for others: docs/performance.md.
FASTEST = {True: ("openvino", "onnx", "torch"), False: ("onnx", "openvino", "torch")}
SUFFIXES = {engine.suffix: engine for engine in ENGINES.values()}


def choose(name: str, *, precision: str = "fp32", on_cpu: bool = True, reads_frames: bool = False) -> Engine:
    """The engine that an option names; ``auto`` takes the fastest that is installed, and PyTorch on a GPU.

    Args:
        name: Of the engine, or ``auto``.
        precision: In which it is to compute.
        on_cpu: Whether the network is on a CPU.
        reads_frames: Whether the network reads frames.

    Raises:
        UsageError: There is no such engine; it is not installed, runs on no GPU, or not in that precision.
    """
    if name == AUTO:
        order = (ENGINES[name] for name in FASTEST[reads_frames])
        return next(each for each in order if each.installed and precision in each.precisions) if on_cpu else EAGER
    if name not in ENGINES:
        raise UsageError(f"--engine {name}: expected auto, {', '.join(ENGINES)}")
    engine = ENGINES[name]
    engine.require(f"--engine {name}")
    if engine is not EAGER and not on_cpu:
        raise UsageError(f"--engine {name}: runs on a CPU here: add --device cpu, or leave it out")
    if precision not in engine.precisions:
        others = " or ".join(other.name for other in ENGINES.values() if precision in other.precisions)
        raise UsageError(f"--engine {name} --precision {precision}: {engine.title} has no {precision}: use {others}")
    return engine


def slow_bf16(engine: Engine, precision: str) -> str:
    """A note if the processor has to emulate bfloat16; else empty."""
    if precision != "bf16" or engine.bf16_in_hardware():
        return ""
    return "this processor has no bfloat16 arithmetic, so --precision bf16 is slower here than fp32"
