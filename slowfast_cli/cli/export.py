"""``slowfast export``."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slowfast_cli.cli import options
from slowfast_cli.types import DataError, UsageError

if TYPE_CHECKING:
    from slowfast_cli.stages.export.run import Report

EPILOG = options.examples(
    "slowfast export default --to onnx --with-front-end",
    "slowfast export runs/folder/birds-1 --to openvino --out birds.xml --clips sounds/",
    "slowfast export runs/folder/birds-1 --to onnx --precision int8 --clips sounds/",
)


def export(
    weights: Annotated[str, typer.Argument(metavar="RUN|WEIGHTS", help="A run folder, weight file or catalog name.")],
    to: Annotated[str, typer.Option(help="onnx, openvino, or torch: a program of torch.export.")] = "onnx",
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The file to write.", show_default="the name of the weights, in this folder"),
    ] = None,
    precision: Annotated[str, typer.Option(help="fp32, fp16, or int8, calibrated on --clips.")] = "fp32",
    with_front_end: Annotated[
        bool, typer.Option("--with-front-end", help="Samples to probabilities, instead of log-mels to logits.")
    ] = False,
    clips: Annotated[
        list[str] | None,
        typer.Option(
            "--clips", "--calibrate", metavar="FILE|FOLDER", show_default="noise",
            help="Compare the answers for these files, and calibrate int8 on them; may be repeated.",
        ),
    ] = None,
    as_json: options.Json = False,
    offline: options.Offline = False,
) -> None:  # fmt: skip
    """Write a network for ONNX Runtime, OpenVINO or torch.export, if its answers are those of PyTorch."""
    from slowfast_cli.inference.choose import ENGINES
    from slowfast_cli.stages.export.run import export as stage
    from slowfast_cli.weights.resolve import weight_file

    if to not in ENGINES:
        raise UsageError(f"--to {to}: expected {', '.join(ENGINES)}")
    path = weight_file(weights, offline=offline)
    named = Path(weights).name if path.stem in ("best", "last") else path.stem
    out = out or Path(f"{named}{ENGINES[to].suffix}")
    report = stage(path, out, ENGINES[to], precision=precision, front_end=with_front_end, paths=_files(clips or []))
    if as_json:
        plain = asdict(report) | {"path": str(report.path), "files": [str(file) for file in report.files]}
        typer.echo(json.dumps(plain))
    else:
        _print(report)


def _files(words: list[str]) -> list[Path]:
    from slowfast_cli.stages.predict.sources import sources

    paths = sources(words, None)
    for path in paths:
        if not isinstance(path, Path):
            raise DataError(path.reason)
    return [path for path in paths if isinstance(path, Path)]


def _print(report: Report) -> None:
    from slowfast_cli.cli import show

    clips = (
        "2 clips of noise (name files with --clips)"
        if report.on_noise
        else f"{report.clips} clip{'s' * (report.clips > 1)}"
    )
    show.say(f"largest difference from PyTorch in float32: {report.difference:.1e}, on {clips}")
    show.say(f"same best class: {report.agreement:.1%}")
    if report.before is not None and report.after is not None:
        show.say(
            f"top-1 accuracy on the files in folders of classes: {report.before:.1%} before, {report.after:.1%} after"
        )
    size = sum(file.stat().st_size for file in report.files)
    typer.echo(f"{', '.join(map(str, report.files))} ({size / 1e6:.1f} MB)")
