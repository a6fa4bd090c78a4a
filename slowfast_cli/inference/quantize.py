"""8-bit weights and activations after training, calibrated on clips: ONNX Runtime's static quantization."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from slowfast_cli.inference.convert import Exported
from slowfast_cli.inference.onnx_engine import to_model

KINDS = ("Conv", "MatMul", "Gemm")
FRONT_END = "LogMelConv"  # stays in float32: the logarithm magnifies errors of quiet bins


class _Clips:
    """The clips that ONNX Runtime asks for, one at a time."""

    def __init__(self, clips: Sequence[Mapping[str, np.ndarray]]) -> None:
        self._clips: Iterator[Mapping[str, np.ndarray]] = iter(clips)

    def get_next(self) -> Mapping[str, np.ndarray] | None:
        """The next clip; None at the end."""
        return next(self._clips, None)

    def __len__(self) -> int:
        return 1


def quantized(exported: Exported, clips: Sequence[Mapping[str, np.ndarray]]) -> Any:
    """Convert to an ``onnx.ModelProto`` in int8 of which the ranges of activations are those of some clips."""
    import onnx  # noqa: PLC0415  (an extra)
    from onnxruntime import quantization  # noqa: PLC0415
    from onnxruntime.quantization.shape_inference import quant_pre_process  # noqa: PLC0415

    model = to_model(exported)
    with TemporaryDirectory() as folder:
        source, prepared, target = (Path(folder) / f"{name}.onnx" for name in ("fp32", "shapes", "int8"))
        onnx.save(model, source)
        quant_pre_process(source, prepared, skip_optimization=True, skip_symbolic_shape=True)
        quantization.quantize_static(
            prepared,
            target,
            _Clips(clips),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=list(KINDS),
            per_channel=True,
            nodes_to_exclude=[node.name for node in model.graph.node if _in_front_end(node)],
        )
        return onnx.load(target)


def _in_front_end(node: Any) -> bool:
    return any(FRONT_END in entry.value for entry in node.metadata_props)
