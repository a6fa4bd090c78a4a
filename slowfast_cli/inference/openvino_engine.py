"""OpenVINO: reads and writes its intermediate representation, ``.xml`` with a ``.bin`` of the same name beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock, get_ident
from typing import TYPE_CHECKING, Any

import numpy as np

from slowfast_cli.cores import usable_cores
from slowfast_cli.inference.program import KEY, Metadata, parse_metadata, require_signature
from slowfast_cli.types import WeightsError, text_of

if TYPE_CHECKING:
    from slowfast_cli.inference.convert import Exported

HINTS = {"fp32": "f32", "bf16": "bf16"}


class OpenVinoProgram:
    """A compiled network for each number of threads, with as many streams as fit the cores.

    Each thread that runs it has an infer request of its own, so that threads do not wait for each other.
    """

    metadata: Metadata

    def __init__(self, path: Path, precision: str) -> None:
        self._hint, self._lock = HINTS[precision], Lock()
        self._compiled, self._requests = dict[int, Any](), dict[tuple[int, int], Any]()
        try:
            self._model = _core().read_model(path)
            text = self._model.get_rt_info([KEY]).astype(str) if self._model.has_rt_info([KEY]) else None
            self.metadata = parse_metadata(path, text)
            require_signature(path, self.metadata, dict(map(_signature, self._model.inputs)), self._model.outputs)
            self._compile(1)
        except WeightsError:
            raise
        except Exception as error:  # of OpenVINO, which raises RuntimeError and its own
            raise WeightsError(f"{path}: OpenVINO cannot load it ({text_of(error)}): export it again") from error

    def run(self, inputs: Mapping[str, np.ndarray], threads: int = 1) -> dict[str, np.ndarray]:
        """See `slowfast_cli.inference.program.Program`."""
        values = [np.ascontiguousarray(inputs[name]) for name in self.metadata.inputs]
        results = self._request(threads).infer(values, share_inputs=True)
        return {name: np.asarray(results[index]) for index, name in enumerate(self.metadata.outputs)}

    def _request(self, threads: int) -> Any:
        key = (threads, get_ident())
        with self._lock:
            if key not in self._requests:
                self._requests[key] = self._compile(threads).create_infer_request()
            return self._requests[key]

    def _compile(self, threads: int) -> Any:
        if threads not in self._compiled:
            streams = max(1, usable_cores() // threads)
            options = {
                "INFERENCE_PRECISION_HINT": self._hint, "INFERENCE_NUM_THREADS": streams * threads,
                "NUM_STREAMS": streams, "ENABLE_CPU_PINNING": False,
            }  # fmt: skip
            self._compiled[threads] = _core().compile_model(self._model, "CPU", options)
        return self._compiled[threads]


def _signature(node: Any) -> tuple[str, list[int]]:
    """Name of an input, and its shape without the batch."""
    return node.any_name, [size.get_length() for size in list(node.partial_shape)[1:]]


def _core() -> Any:
    import openvino  # noqa: PLC0415  (an extra)

    return openvino.Core()


def read(path: Path, precision: str) -> OpenVinoProgram:
    """Load a program; with ``bf16`` it computes in bfloat16 what was written in float32."""
    return OpenVinoProgram(path, precision)


def write(exported: Exported, path: Path, metadata: Metadata) -> None:
    """Write a program with the types of its tensors."""
    import openvino  # noqa: PLC0415  (an extra)

    save(openvino.convert_model(exported.program), path, metadata)


def write_onnx(model: Any, path: Path, metadata: Metadata) -> None:
    """Write an ``onnx.ModelProto``, such as a quantized one."""
    import openvino  # noqa: PLC0415  (an extra)

    with TemporaryDirectory() as folder:
        source = Path(folder) / "model.onnx"
        source.write_bytes(model.SerializeToString())
        save(openvino.convert_model(source), path, metadata)


def save(model: Any, path: Path, metadata: Metadata) -> None:
    """Write an ``openvino.Model`` with metadata; its inputs get their shapes and names."""
    import openvino  # noqa: PLC0415  (an extra)

    shapes = metadata.inputs.values()
    model.reshape({node: [-1, *shape] for node, shape in zip(model.inputs, shapes, strict=True)})
    for node, name in zip(model.inputs, metadata.inputs, strict=True):
        node.get_tensor().set_names({name})
    model.set_rt_info(metadata.text(), [KEY])
    openvino.save_model(model, path, compress_to_fp16=False)


def bf16_in_hardware() -> bool:
    """Whether the processor multiplies in bfloat16; OpenVINO emulates it elsewhere, which is slower than float32."""
    return "BF16" in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
