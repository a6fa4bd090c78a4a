"""ONNX Runtime: reads and writes ``.onnx``. Reading needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from slowfast_cli.inference.program import KEY, Metadata, parse_metadata, require_signature
from slowfast_cli.types import WeightsError, text_of

if TYPE_CHECKING:
    from slowfast_cli.inference.convert import Exported

OPSET = 18


class OnnxProgram:
    """A session for each number of threads: a session has its threads for good."""

    metadata: Metadata

    def __init__(self, path: Path) -> None:
        self._path, self._lock, self._sessions = path, Lock(), dict[int, Any]()
        try:
            session = self._session(1)
            self.metadata = parse_metadata(path, session.get_modelmeta().custom_metadata_map.get(KEY))
            inputs = {each.name: each.shape[1:] for each in session.get_inputs()}
            require_signature(path, self.metadata, inputs, session.get_outputs())
        except WeightsError:
            raise
        except Exception as error:  # of ONNX Runtime, which has no common class for them
            raise WeightsError(f"{path}: ONNX Runtime cannot load it ({text_of(error)}): export it again") from error

    def run(self, inputs: Mapping[str, np.ndarray], threads: int = 1) -> dict[str, np.ndarray]:
        """See `slowfast_cli.inference.program.Program`."""
        outputs = self._session(threads).run(None, dict(inputs))
        return dict(zip(self.metadata.outputs, outputs, strict=True))

    def _session(self, threads: int) -> Any:
        with self._lock:
            if threads not in self._sessions:
                self._sessions[threads] = _session(self._path, threads)
            return self._sessions[threads]


def _session(path: Path, threads: int) -> Any:
    import onnxruntime  # noqa: PLC0415  (an extra)

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # cores may be shared
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def read(path: Path, precision: str) -> OnnxProgram:
    """Load a program; it computes in the precision that it was written with."""
    return OnnxProgram(path)


def write(exported: Exported, path: Path, metadata: Metadata) -> None:
    """Write a program in float32 or with the types of its tensors."""
    save(to_model(exported), path, metadata)


def save(model: Any, path: Path, metadata: Metadata) -> None:
    """Write an ``onnx.ModelProto`` with metadata."""
    import onnx  # noqa: PLC0415  (an extra)

    for node in model.graph.node:
        node.ClearField("metadata_props")  # where the node comes from, with paths of this machine
    model.metadata_props.append(onnx.StringStringEntryProto(key=KEY, value=metadata.text()))
    onnx.save(model, path)


def to_model(exported: Exported) -> Any:
    """Convert to an ``onnx.ModelProto``."""
    import logging  # noqa: PLC0415
    import warnings  # noqa: PLC0415

    import torch  # noqa: PLC0415  (reading needs none)

    logger = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = logger.level
    logger.setLevel(logging.ERROR)  # it warns that torchvision is not installed
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                exported.program, (), opset_version=OPSET, dynamo=True, verbose=False,
                input_names=list(exported.inputs), output_names=[f"output.{name}" for name in exported.outputs],
            )  # fmt: skip
    finally:
        logger.setLevel(level)
    if program is None:
        raise ValueError("torch.onnx.export returned no program")
    return program.model_proto
