"""``slowfast export``: a network as a file of another engine, kept only if its answers are PyTorch's."""

import copy
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import nn

from slowfast_cli.data.views import clip_samples, picked_rows
from slowfast_cli.inference import cache
from slowfast_cli.inference.choose import Engine
from slowfast_cli.inference.convert import TOLERANCE, ConversionError, arrays, describe, difference, export_program
from slowfast_cli.inference.convert import obstacle as net_obstacle
from slowfast_cli.inference.modules import Half, SoundProbabilities
from slowfast_cli.inference.program import Program
from slowfast_cli.inference.quantize import quantized
from slowfast_cli.models.folding import prepare_for_inference
from slowfast_cli.stages.export.clips import FileClips, file_clips, noise_clips, sample_clips
from slowfast_cli.storage.atomic import file_hash, make_folder, require_new
from slowfast_cli.types import UsageError
from slowfast_cli.weights.file import Card, build
from slowfast_cli.weights.file import describe as describe_card

PRECISIONS = ("fp32", "fp16", "int8")


@dataclass(frozen=True, kw_only=True)
class Report:
    """An exported file, and how its answers compare with PyTorch's in float32."""

    path: Path
    files: tuple[Path, ...]  # all that belong together
    clips: int
    on_noise: bool  # no files were named
    difference: float  # largest, of outputs up to 1; in proportion above
    agreement: float  # share of the clips with the same best class
    before: float | None  # top-1 accuracy of PyTorch on files in folders named as classes; None without such
    after: float | None


def export(
    weights: Path, out: Path, engine: Engine, *, precision: str = "fp32", front_end: bool = False,
    paths: Sequence[Path] = (),
) -> Report:  # fmt: skip
    """Write a network as a file of an engine.

    Args:
        weights: A weight file.
        out: The file to write, of the engine's suffix; must not exist.
        engine: Reads the file.
        precision: ``fp32``, ``fp16``, or ``int8``, which is calibrated on ``paths``.
        front_end: Write samples to probabilities instead of log-mels or frames to logits.
        paths: Files whose clips are compared, and calibrate ``int8``; noise without any.

    Raises:
        UsageError: The options do not go together, or ``out`` exists.
        ConversionError: The engine cannot take the network, or its answers in float32 differ.
        DataError: A file cannot be read.
    """
    _check(out, engine, precision, paths)
    card, model = build(weights)
    if problem := _obstacle(card, front_end):
        raise UsageError(f"{weights}: cannot be exported: {problem}")
    network: nn.Module = prepare_for_inference(model, torch.device("cpu"))
    module, files = _module(weights, card, network, paths, front_end=front_end)
    with torch.inference_mode():
        expected = [arrays(module(file.inputs)) for file in files]
    lower = _half(module) if precision == "fp16" else module
    make_folder(out.parent)
    with TemporaryDirectory(dir=out.parent, prefix=".export.") as folder:
        written = Path(folder) / out.name
        program = _write(lower, files, written, engine, precision, weights, card, front_end=front_end)
        report = _compare(program, card, files, expected, out, on_noise=not paths)
        if not report.difference <= (TOLERANCE if precision == "fp32" else np.inf):
            raise ConversionError(
                f"{out}: not kept: its answers differ from PyTorch's by {report.difference:.1e}, expected at most "
                f"{TOLERANCE:.0e}: use another engine"
            )
        kept = []
        for path in sorted(Path(folder).iterdir(), key=lambda path: path.suffix == out.suffix):  # the named file last
            path.replace(out.with_name(path.name))
            kept.append(out.with_name(path.name))
    return replace(report, files=tuple(kept))


def _check(out: Path, engine: Engine, precision: str, paths: Sequence[Path]) -> None:
    engine.require(f"--to {engine.name}")
    if precision not in PRECISIONS:
        raise UsageError(f"--precision {precision}: expected {', '.join(PRECISIONS)}")
    if out.suffix != engine.suffix:
        raise UsageError(f"--out {out}: expected a name that ends in {engine.suffix}, the format of {engine.title}")
    for suffix in (engine.suffix, *engine.beside):
        require_new(out.with_suffix(suffix))
    if precision == "int8" and engine.write_onnx is None:
        raise UsageError(f"--to {engine.name} --precision int8: {engine.title} has no int8 here: use onnx or openvino")
    if precision == "int8" and not paths:
        raise UsageError("--precision int8: needs --clips: some files, as they will be predicted, that calibrate it")


def _obstacle(card: Card, front_end: bool) -> str:
    if front_end and "frames" in card.net.signals:
        return "--with-front-end is for networks of sound: frames are decoded and cropped outside of any engine"
    if front_end and card.front_end.get("kind", "logmel") != "logmel":
        return f"--with-front-end knows no front end {card.front_end['kind']}"
    return "it has no classes" if not card.classes else net_obstacle(card.net)


def _module(
    weights: Path, card: Card, network: nn.Module, paths: Sequence[Path], *, front_end: bool
) -> tuple[nn.Module, list[FileClips]]:
    """The module to export, and clips that it reads."""
    if not front_end:
        return network, list(file_clips(weights, card, network, paths)) or [noise_clips(card)]
    settings = card.log_mel()
    samples = clip_samples(card.clip_seconds, settings.rate) - 1
    module = SoundProbabilities(network, card, samples, picked_rows(card.video, settings)).eval()
    return module, list(sample_clips(card, paths, module.inputs)) or [noise_clips(card, module.inputs)]


def _write(
    module: nn.Module, files: Sequence[FileClips], path: Path, engine: Engine, precision: str, weights: Path,
    card: Card, *, front_end: bool,
) -> Program:  # fmt: skip
    exported = export_program(module, files[0].inputs)
    metadata = describe(
        exported, weights=file_hash(weights), gives="probabilities" if front_end else "logits", precision=precision,
        front_end=front_end, card=describe_card(card), written_by=cache.versions(engine),
    )  # fmt: skip
    try:
        with warnings.catch_warnings():  # of the libraries about each other
            warnings.simplefilter("ignore")
            if precision == "int8" and engine.write_onnx is not None:
                engine.write_onnx(quantized(exported, [arrays(file.inputs) for file in files]), path, metadata)
            else:
                engine.write(exported, path, metadata)
        return engine.read(path, "fp32")
    except Exception as error:  # of any library
        raise ConversionError(f"{weights}: {engine.title} cannot take it in {precision} ({error})") from error


def _compare(
    program: Program, card: Card, files: Sequence[FileClips], expected: Sequence[dict[str, np.ndarray]], out: Path,
    *, on_noise: bool,
) -> Report:  # fmt: skip
    found = [program.run(arrays(file.inputs)) for file in files]
    largest = [difference(ours, theirs) for ours, theirs in zip(found, expected, strict=True)]
    same = [
        (ours[labels].argmax(-1) == theirs[labels].argmax(-1)).mean()
        for ours, theirs in zip(found, expected, strict=True)
        for labels in theirs
    ]
    return Report(
        path=out, files=(), clips=sum(len(next(iter(file.inputs.values()))) for file in files), on_noise=on_noise,
        difference=max(largest), agreement=float(np.mean(same)),
        before=_accuracy(card, files, expected), after=_accuracy(card, files, found),
    )  # fmt: skip


def _accuracy(card: Card, files: Sequence[FileClips], outputs: Sequence[dict[str, np.ndarray]]) -> float | None:
    """Top-1 accuracy on files whose folder is named as a class of the only label set; None without such files."""
    if len(card.classes) != 1:
        return None
    ((labels, names),) = card.classes.items()
    right = [
        int(values[labels].reshape(-1, len(names)).mean(0).argmax()) == names.index(file.path.parent.name)
        for file, values in zip(files, outputs, strict=True)
        if file.path.parent.name in names
    ]
    return float(np.mean(right)) if right else None


def _half(module: nn.Module) -> nn.Module:
    """A copy in float16; a front end stays in float32."""
    module = copy.deepcopy(module)
    if not isinstance(module, SoundProbabilities):
        return Half(module)
    module.network = Half(module.network)
    return module
