"""``slowfast embed``."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slowfast_cli.cli import options
from slowfast_cli.cli.launch import Launch, mark_started
from slowfast_cli.storage.remote import display
from slowfast_cli.types import DataError, Share, UsageError, finite

if TYPE_CHECKING:
    from slowfast_cli.build.corpus import SplitRole
    from slowfast_cli.stages.embed.embedder import Embedder
    from slowfast_cli.stages.embed.items import Item
    from slowfast_cli.stages.embed.run import Outcome
    from slowfast_cli.stages.embed.store import Output
    from slowfast_cli.stages.predict.results import Failed

HDF5 = (".hdf5", ".h5")
EPILOG = options.examples(
    "slowfast embed sounds/ --out features",
    "slowfast embed day.flac --window 1.0 --hop 0.5 --format npy --out features",
    "slowfast embed sounds/ --table --format parquet --out features",
    "slowfast embed videos/ -w slowfast-8x8-r50-kinetics400-caffe2 --preset moment-detr --out features",
    "slowfast embed --dataset esc50 --split test --out features",
)


@options.takes(Launch)
def embed(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SOURCE]...",
            help="Files, folders, globs, a list.txt, or - for paths on stdin.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Folder of the features. Re-run to resume.")
    ] = None,
    weights: options.Weights = None,
    layer: Annotated[
        str, typer.Option(help="pooled: the input of the head; or a stage, as res4, or one pathway's, as slow_res4.")
    ] = "pooled",
    window: Annotated[
        float | None, options.optional("A row for each window of this length, seconds; by default a row for each file.")
    ] = None,
    hop: Annotated[float | None, options.optional("Seconds between windows; by default their length.")] = None,
    preset: Annotated[
        str | None,
        options.optional(
            "Windows, crop and file of published features: hero, moment-detr, ego4d, actionformer-epic, vidsitu, "
            "epic-sounds-c10."
        ),
    ] = None,
    format: Annotated[
        str | None,
        typer.Option("--format", help="npz, npy, hdf5, parquet or pt.", show_default="npz, or that of the preset"),
    ] = None,
    table: Annotated[bool, typer.Option("--table", help="Write one table instead of a file for each input.")] = False,
    dtype: Annotated[
        str | None,
        typer.Option(help="Of the features: float32 or float16.", show_default="float32, or that of the preset"),
    ] = None,
    dataset: Annotated[str | None, options.optional("Embed the segments of a data set instead of files.")] = None,
    root: Annotated[Path | None, options.folder("The data set: a folder, or a URL.")] = None,
    split: Annotated[str, typer.Option(help="Of the data set: train, val, test, or one of its own names.")] = "test",
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines on stdout, one for each input.")] = False,
    device: options.Device = "auto",
    precision: Annotated[str, typer.Option(help="fp32, or bf16.")] = "fp32",
    engine: options.Engine = "auto",
    offline: options.Offline = False,
    **given: Any,
) -> None:
    """Write feature vectors of sound and video files. Re-run the command to resume."""
    sources = sources or []
    _check(sources, dataset, out, dtype, precision)
    Launch(**given).start()
    from slowfast_cli.cli import show
    from slowfast_cli.engine import distributed
    from slowfast_cli.stages.embed.embedder import Embedder
    from slowfast_cli.stages.embed.writers import require_format
    from slowfast_cli.weights.chosen import chosen_for
    from slowfast_cli.weights.resolve import weight_file

    require_format(format or "npz")
    share = distributed.join()
    word = weights or chosen_for(sources or ["."])
    show.print_remarks()
    embedder = Embedder(
        weight_file(word, offline=offline), device, layer=layer, window=window, hop=hop, preset=preset,
        precision=precision, engine=engine,
    )  # fmt: skip
    failed: list[Failed] = []
    items = _corpus(dataset, root, split, embedder) if dataset else _files(sources, embedder, failed)
    for failure in failed:
        show.say(f"error: {failure.reason}")
    if remark := embedder.remark():
        show.say(f"note: {remark}")
    try:
        if items:
            output = _output(Path(out or "."), embedder, word, format, dtype, table=table)
            _run(items, embedder, output, share, as_json=as_json, failed=len(failed))
    finally:
        distributed.leave()
    if failed:
        raise DataError(f"{len(failed)} of {len(failed) + len(items)} files could not be used")


def _check(sources: Sequence[str], dataset: str | None, out: Path | None, dtype: str | None, precision: str) -> None:
    if bool(sources) == bool(dataset):
        raise UsageError("embed: give either files or folders, or --dataset NAME (see `slowfast data ls`)")
    if out is None:
        raise UsageError("embed: add --out FOLDER")
    if dtype not in (None, "float16", "float32"):
        raise UsageError(f"--dtype {dtype}: expected float16 or float32")
    if precision not in ("fp32", "bf16"):
        raise UsageError(f"--precision {precision}: expected fp32 or bf16")


def _files(sources: Sequence[str], embedder: Embedder, failed: list[Failed]) -> list[Item]:
    from slowfast_cli.stages.embed.items import file_items
    from slowfast_cli.stages.predict.sources import sources as expand

    paths = expand(sources, sys.stdin, embedder.suffixes)
    for path in paths:
        if not isinstance(path, Path) or path.suffix.lower() in HDF5:
            _refuse_packed(path if isinstance(path, Path) else path.path)
    failed += [path for path in paths if not isinstance(path, Path)]
    by_stem = embedder.preset is not None and embedder.preset.by_stem
    return file_items([path for path in paths if isinstance(path, Path)], by_stem=by_stem)


def _refuse_packed(path: Path) -> None:
    """Raise `UsageError` for an HDF5 file of samples, or a folder that has nothing else."""
    packed = [path] if path.suffix.lower() in HDF5 else [file for file in path.glob("*") if file.suffix.lower() in HDF5]
    if packed:
        raise UsageError(
            f"{packed[0]}: sound inside an HDF5 file belongs to a data set: give its name and the folder instead of "
            f"files, as --dataset epic-sounds --root {packed[0].parent} --split train"
        )


def _corpus(dataset: str, root: Path | None, split: str, embedder: Embedder) -> list[Item]:
    from slowfast_cli.build.corpus import dataset_entry, read_corpus
    from slowfast_cli.recipe.load import load
    from slowfast_cli.stages.embed.items import corpus_items, recording_items

    info = dataset_entry(dataset).info
    roles: dict[str, SplitRole] = {"train": "train", "val": "val", "test": "test"}
    if split not in roles and split not in info.splits:
        others = [name for name in info.splits if name not in roles]
        raise UsageError(f"--split {split}: expected {', '.join([*roles, *others])}")
    words = [f"data.corpus={dataset}", *([f"data.root={display(root)}"] if root else [])]
    words += [] if split in roles else [f"data.test={split}"]
    corpora = [read_corpus(load(info.recipe, words), roles.get(split, "test"))]
    if embedder.preset is not None and embedder.preset.by_stem:
        return recording_items(corpora)
    return corpus_items(corpora, embedder.card.clip_seconds)


def _output(
    folder: Path, embedder: Embedder, weights: str, format: str | None, dtype: str | None, *, table: bool
) -> Output:
    from slowfast_cli.stages.embed.store import Output
    from slowfast_cli.stages.embed.writers import require_format

    preset = embedder.preset
    name = format or (preset.format if preset else "npz")
    require_format(name)
    return Output(
        folder=folder,
        format=name,
        key=preset.key if preset else "features",
        dtype=dtype or (preset.dtype if preset else "float32"),
        table=table,
        settings={**embedder.settings(), "weights": weights},
        ending=preset.ending if preset else "",
    )


def _run(
    items: Sequence[Item], embedder: Embedder, output: Output, share: Share, *, as_json: bool, failed: int
) -> None:
    from slowfast_cli.cli import show
    from slowfast_cli.engine import distributed
    from slowfast_cli.stages.embed.run import embed as stage

    bar = show.Bar(len(items), "file", "embed")
    outcomes: list[Outcome] = []
    try:
        for outcome in stage(items, embedder, output):
            mark_started()
            outcomes.append(outcome)
            if outcome.entry is None:
                show.say(f"error: {outcome.reason}")
            elif outcome.entry.note and not outcome.kept:
                show.say(f"note: {outcome.entry.note}")
            bar.to(len(outcomes) * share.world)
    except KeyboardInterrupt:
        show.say(f"interrupted; finished features are in {display(output.folder)}: re-run the command to resume")
        raise
    finally:
        bar.close()
    outcomes = distributed.gather(outcomes, share)
    by_name = {outcome.item.name: outcome for outcome in outcomes}
    ordered = [by_name[item.name] for item in items if item.name in by_name]
    if share.rank == 0:
        _summarize(ordered, output, as_json=as_json)
    missing = sum(outcome.entry is None for outcome in ordered)
    if missing:
        raise DataError(f"{missing + failed} of {len(items) + failed} files could not be used")


def _summarize(outcomes: Sequence[Outcome], output: Output, *, as_json: bool) -> None:
    from slowfast_cli.cli import show

    done = [outcome.entry for outcome in outcomes if outcome.entry is not None]
    if as_json:
        for entry in done:
            file = output.table_path.name if output.table else entry.file
            plain = {"source": entry.source, "rows": entry.rows, "features": entry.width}
            plain |= {"start": entry.start[0], "end": entry.end[-1], "file": str(output.folder / file)}
            typer.echo(json.dumps(finite(plain), ensure_ascii=False))
    if kept := sum(outcome.kept for outcome in outcomes):
        show.say(f"{kept} of {len(outcomes)} files were finished before")
    if done:
        rows = sum(entry.rows for entry in done)
        shape = f"{rows:,} row{'s' * (rows != 1)} of {done[0].width} features"
        show.say(f"{len(done)} file{'s' * (len(done) != 1)}, {shape} in {display(output.folder)}")
