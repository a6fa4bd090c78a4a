"""``slowfast bench``: data, step, predict."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from slowfast_cli.cli import options
from slowfast_cli.types import UsageError, finite

if TYPE_CHECKING:
    from slowfast_cli.stages.bench.timing import Timing
    from slowfast_cli.stages.predict.predictor import Predictor

app = typer.Typer(help="Measure the speed of reading, training steps and prediction.", no_args_is_help=True)
MODES = {
    "eager": (),
    "compiled": ("optim.compile=true",),
    "graphs": ("optim.cuda_graphs=true",),
    "compiled+graphs": ("optim.compile=true", "optim.cuda_graphs=true"),
}


def _list(text: str, name: str) -> list[str]:
    values = [value.strip() for value in text.split(",") if value.strip()]
    if not values:
        raise UsageError(f"{name} {text!r}: expected values separated by commas")
    return list(dict.fromkeys(values))


def _counts(text: str, name: str, least: int) -> list[int]:
    values = _list(text, name)
    if not all(value.isdecimal() and int(value) >= least for value in values):
        raise UsageError(f"{name} {text!r}: expected whole numbers from {least} up, separated by commas")
    return [int(value) for value in values]


@app.command(
    "step",
    epilog=options.examples(
        "slowfast bench step vggsound",
        "slowfast bench step vggsound --batch 32,64,128 --precision fp32,bf16 --mode eager,graphs --json",
        "slowfast bench step esc10 --data",
    ),
)
def step(
    recipe: options.RecipeName,
    overrides: options.Overrides = None,
    batch: Annotated[
        str | None, typer.Option(metavar="N,...", help="Clips per step.", show_default="the recipe's")
    ] = None,
    precision: Annotated[
        str | None, typer.Option(metavar="NAME,...", help="fp32, bf16, fp16.", show_default="the recipe's")
    ] = None,
    mode: Annotated[
        str | None,
        typer.Option(metavar="NAME,...", help=f"Of {', '.join(MODES)}.", show_default="the recipe's"),
    ] = None,
    steps: Annotated[int, typer.Option(min=2, help="Steps that are timed, after 3 that are not.")] = 20,
    data: Annotated[bool, typer.Option("--data", help="Read the recipe's data; otherwise noise.")] = False,
    device: options.Device = "auto",
    as_json: options.Json = False,
) -> None:
    """Time optimizer steps: clips per second, latency, forward, backward and optimizer, memory."""
    from slowfast_cli.cli import show
    from slowfast_cli.recipe.load import check, override, read
    from slowfast_cli.stages.bench.step import bench_step

    source = override(read(recipe), list(overrides or []))
    batches = [[f"optim.batch={size}"] for size in _counts(batch, "--batch", 1)] if batch else [[]]
    precisions = [[f"optim.precision={name}"] for name in _list(precision, "--precision")] if precision else [[]]
    modes = [_mode(name) for name in _list(mode, "--mode")] if mode else [[]]
    combinations = itertools.product(batches, precisions, modes)
    recipes = [check(override(source, [*itertools.chain(*words)])) for words in combinations]
    show.say(f"{source.name}: {steps} steps with each of {len(recipes)} settings, on {'its data' if data else 'noise'}")
    _report("step", (bench_step(each, device, steps=steps, data=data) for each in recipes), "clip", as_json=as_json)


def _mode(name: str) -> list[str]:
    if name not in MODES:
        raise UsageError(f"--mode {name}: choose from {', '.join(MODES)}")
    return ["optim.compile=false", "optim.cuda_graphs=false", *MODES[name]]


@app.command(
    "data",
    epilog=options.examples(
        "slowfast bench data my_sounds",
        "slowfast bench data my_videos --recipe folder-video --workers 0,2",
        "slowfast bench data vggsound data.root=/data/vggsound --workers 4,8,16",
    ),
)
def data(
    source: Annotated[
        str,
        typer.Argument(
            metavar="FOLDER|RECIPE", help="A folder of media, or a recipe with its data.", show_default=False
        ),
    ],
    overrides: options.Overrides = None,
    recipe: Annotated[
        str | None,
        typer.Option(help="Read the files of a folder as this recipe does.", show_default="folder or folder-video"),
    ] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Clips per batch.", show_default="the recipe's")] = None,
    workers: Annotated[str, typer.Option(metavar="N,...", help="Worker processes; 0 reads in this one.")] = "0,1,2",
    seconds: Annotated[float, typer.Option(min=0.1, max=3600, help="Length of each measurement.")] = 5.0,
    device: options.Device = "auto",
    as_json: options.Json = False,
) -> None:
    """Time the reading of random training clips: clips per second by worker count, and the share of each stage."""
    from slowfast_cli.cli import show
    from slowfast_cli.recipe.load import check, override, read
    from slowfast_cli.stages.bench import data as stage
    from slowfast_cli.storage.remote import local_path

    folder, counts = local_path(source), _counts(workers, "--workers", 0)
    words = list(overrides or [])
    if folder.is_dir() and not (folder / "recipe.yaml").is_file():
        media = stage.media_files(folder)
        name = recipe or stage.recipe_for(media)
        read_from = stage.of_folder(folder, media, check(override(read(name), words)))
    elif recipe:
        raise UsageError(f"--recipe {recipe}: is for a folder of media, and {source} is none")
    else:
        name = source
        read_from = stage.of_recipe(check(override(read(source), words)))
    batch = batch or read_from.recipe.optim.batch
    show.say(f"{read_from.name}: {read_from.files:,} files or segments, as {name} reads them, batches of {batch}")
    _report("read", stage.bench_data(read_from, device, batch=batch, workers=counts, seconds=seconds), "clip",
            as_json=as_json)  # fmt: skip


@app.command(
    "predict",
    epilog=options.examples(
        "slowfast bench predict",
        "slowfast bench predict my_sounds --engine torch,openvino --precision fp32,bf16",
        "slowfast bench predict videos/ -w runs/kinetics/default --batch 1,8 --json",
    ),
)
def predict(
    sources: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SOURCE]...", help="Files to predict; without any, noise.", show_default=False),
    ] = None,
    weights: options.Weights = None,
    engine: Annotated[
        str | None,
        typer.Option(metavar="NAME,...", help="torch, onnx, openvino.", show_default="those that are installed"),
    ] = None,
    precision: Annotated[str, typer.Option(metavar="NAME,...", help="fp32, bf16.")] = "fp32",
    batch: Annotated[str, typer.Option(metavar="N,...", help="Clips of a forward pass on noise.")] = "1,8",
    threads: Annotated[
        str | None, typer.Option(metavar="N,...", help="Threads.", show_default="one for each core")
    ] = None,
    rounds: Annotated[int, typer.Option(min=2, help="Forward passes that are timed, after 2 that are not.")] = 20,
    device: options.Device = "auto",
    offline: options.Offline = False,
    as_json: options.Json = False,
) -> None:
    """Time prediction by engine, precision and threads: the network on noise, and whole files."""
    from slowfast_cli.cli import show
    from slowfast_cli.stages.bench import predict as stage
    from slowfast_cli.stages.predict.predictor import PRECISIONS
    from slowfast_cli.stages.predict.sources import sources as expand
    from slowfast_cli.weights.chosen import chosen_for
    from slowfast_cli.weights.resolve import weight_file

    sizes, precisions = _counts(batch, "--batch", 1), _list(precision, "--precision")
    if unknown := [name for name in precisions if name not in PRECISIONS]:
        raise UsageError(f"--precision {unknown[0]}: expected {' or '.join(PRECISIONS)}")
    engines = _list(engine, "--engine") if engine else stage.installed_engines()
    counts = _counts(threads, "--threads", 1) if threads else [stage.default_threads()]
    path = weight_file(weights or chosen_for(sources or []), offline=offline)

    def measure(predictor: Predictor, settings: dict[str, str]) -> Iterator[Timing]:
        if not sources:
            return (stage.bench_network(predictor, settings, batch=size, rounds=rounds) for size in sizes)
        return stage.bench_files(predictor, settings, expand(sources, sys.stdin, predictor.suffixes))

    timings = stage.bench_engines(path, device, engines=engines, precisions=precisions, threads=counts, measure=measure)
    show.say(f"{path}: {'files' if sources else f'noise, {rounds} forward passes each'}")
    _report("predict", timings, "file" if sources else "clip", as_json=as_json)


def _report(title: str, timings: Iterable[Timing], unit: str, *, as_json: bool) -> None:
    """Print each measurement as JSON when it is known, or all of them as a table, with the machine."""
    from slowfast_cli.cli import show
    from slowfast_cli.stages.bench.timing import machine

    name, rows = machine(), []
    for timing in timings:
        if as_json:
            typer.echo(json.dumps(finite({"bench": title, **timing.to_dict(), "machine": name}), allow_nan=False))
        rows.append(timing)
    if as_json:
        return
    settings = list(dict.fromkeys(key for row in rows for key in row.settings))
    columns = [*settings, f"{unit}s/s", "p50 ms", "p90 ms", "p99 ms", "data wait", "peak memory"]
    cells = [_cells(row, settings) for row in rows]
    used = [number for number, _ in enumerate(columns) if any(row[number] for row in cells)]
    show.table("", [columns[number] for number in used], [[row[number] for number in used] for row in cells],
               left=len(settings))  # fmt: skip
    for row in rows:
        where = ", ".join(f"{key} {value}" for key, value in row.settings.items())
        if row.stages:
            whole = sum(row.stages.values())
            parts = ", ".join(f"{stage} {seconds / whole:.0%}" for stage, seconds in row.stages.items())
            show.out.print(f"{where}: {1e3 * whole:.1f} ms, of which {parts}")
        if row.problem:
            show.say(f"{where}: {row.problem}")
    show.say(name)


def _cells(timing: Timing, settings: list[str]) -> list[str]:
    measured = bool(timing.seconds)
    return [
        *(timing.settings.get(key, "") for key in settings),
        f"{timing.rate:,.1f}" if measured else "-",
        *(f"{1e3 * timing.percentile(percent):,.1f}" if len(timing.seconds) > 1 else "" for percent in (50, 90, 99)),
        "" if timing.data_wait is None else f"{timing.data_wait:.0%}",
        "" if timing.memory is None else f"{timing.memory / 2**30:.2f} GiB",
    ]
