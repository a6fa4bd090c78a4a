"""Predictions of exported sound networks without torch: numpy, soundfile, av and onnxruntime are enough.

    python -m slowfast_cli.light FILE.onnx clip.wav folder/
    slowfast predict clip.wav --weights FILE.onnx       # where torch is not installed

The file is from `slowfast export --to onnx --with-front-end`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from slowfast_cli import __version__
from slowfast_cli.cores import usable_cores
from slowfast_cli.inference.onnx_engine import OnnxProgram
from slowfast_cli.inference.sound_program import ProgramScorer
from slowfast_cli.stages.predict.audio import AudioPredictor
from slowfast_cli.stages.predict.plain import plain
from slowfast_cli.stages.predict.results import Failed, FilePrediction, Timeline, read_timeline
from slowfast_cli.stages.predict.sources import sources
from slowfast_cli.stages.predict.top import tops, unknown_sets
from slowfast_cli.types import DataError, SlowFastError, UsageError


class LightPredictor:
    """A sound network in an ``.onnx`` file that predicts files.

    Args:
        path: The file, exported with its front end.

    Raises:
        WeightsError: It cannot be loaded, or has no front end inside.
    """

    def __init__(self, path: str | Path) -> None:
        scorer = ProgramScorer(Path(path), OnnxProgram(Path(path)))
        self.card = scorer.card
        self._predictor = AudioPredictor(
            scorer, rate=self.card.front_end.rate, clip_seconds=self.card.clip_seconds, views=self.card.views,
            sigmoid=self.card.sigmoid,
        )  # fmt: skip

    def files(
        self, paths: Sequence[Path | Failed], timeline: Timeline | None = None
    ) -> Iterator[FilePrediction | Failed]:
        """Predict files in order, a few at a time on one core each; a file that fails yields `Failed`."""
        with ThreadPoolExecutor(usable_cores()) as pool:
            for results in pool.map(lambda path: self._file(path, timeline), paths):
                yield from results

    def _file(self, path: Path | Failed, timeline: Timeline | None) -> list[FilePrediction | Failed]:
        if isinstance(path, Failed):
            return [path]
        try:
            return list(self._predictor.predict(path, timeline))
        except DataError as error:
            return [Failed.of(path, error)]


def main(words: Sequence[str]) -> int:
    """Run the command line; return its exit code."""
    try:
        return _run(_parse(words))
    except SlowFastError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.code
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return 130
    except BrokenPipeError:  # the reader of our output has left (``| head``): there is nothing to print, nor to flush
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parse(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("slowfast", description="Without torch: predict, by an exported .onnx file.")
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("sources", nargs="+", metavar="SOURCE", help="FILE.onnx, then sounds, videos or folders.")
    parser.add_argument("--weights", "-w", metavar="FILE.onnx")
    parser.add_argument("--top", "-k", type=int, default=5)
    parser.add_argument("--timeline", metavar="WINDOW/HOP")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(words[1:] if words[:1] == ["predict"] else words)
    if given.top < 1:
        raise UsageError(f"--top {given.top}: expected a number from 1 up")
    if given.weights is None and Path(given.sources[0]).suffix == ".onnx":
        given.weights, *given.sources = given.sources
    if given.weights is None or Path(given.weights).suffix != ".onnx" or not given.sources:
        raise UsageError(
            "torch is not installed, without which only `slowfast predict SOURCE --weights FILE.onnx` works, with a "
            "file from `slowfast export --to onnx --with-front-end`; for the rest: pip install slowfast-cli"
        )
    return given


def _run(given: argparse.Namespace) -> int:
    predictor, failed = LightPredictor(given.weights), 0
    paths = sources(given.sources, sys.stdin)
    for result in predictor.files(paths, read_timeline(given.timeline)):
        if isinstance(result, Failed):
            sys.stderr.write(f"error: {result.reason}\n")
            failed += 1
            continue
        _print(result, predictor, given.top, as_json=given.json)
    return DataError.code if failed else 0


def _print(result: FilePrediction, predictor: LightPredictor, top: int, *, as_json: bool) -> None:
    unknown = unknown_sets(result, predictor.card)
    for labels, lines in tops(result, predictor.card, top).items():
        if as_json:
            line = json.dumps(plain(result, labels, lines, unknown), ensure_ascii=False, allow_nan=False)
        else:
            classes = ", ".join(f"{line.label} {line.score:.1%}" for line in lines)
            stretch = f"{result.start:.2f}-{result.end:.2f} s"
            line = f"{result.path}  {stretch}  {'none of the classes; ' * (labels in unknown)}{classes}"
        sys.stdout.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
