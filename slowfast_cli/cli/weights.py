"""``slowfast weights``: ls, download, use, verify, convert, show; `slowfast_cli.cli.weights_publish` has the others."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slowfast_cli.cli import options
from slowfast_cli.types import UsageError

if TYPE_CHECKING:
    from slowfast_cli.weights.file import Card

app = typer.Typer(help="List, download, convert, export and show weights.", no_args_is_help=True)


@app.command(
    "ls",
    epilog=options.examples(
        "slowfast weights ls",
        "slowfast weights ls --json",
    ),
)
def ls(
    dataset: Annotated[str | None, options.optional("Only weights trained on this data set.")] = None,
    as_json: options.Json = False,
) -> None:
    """List the official weights: published score, size, input, license, whether they are downloaded."""
    from slowfast_cli.cli import show
    from slowfast_cli.metrics.registry import format_metric, metric_title
    from slowfast_cli.types import WeightsError
    from slowfast_cli.weights.catalog import CATALOG
    from slowfast_cli.weights.catalog_entry import describe
    from slowfast_cli.weights.download import target

    entries = [entry for entry in CATALOG.values() if dataset in (None, entry.dataset)]
    if not entries:
        known = ", ".join(dict.fromkeys(entry.dataset for entry in CATALOG.values()))
        raise WeightsError(f"--dataset {dataset}: no weights; choose one of {known}")
    rows = []
    for entry in entries:
        goal = target(entry)
        downloaded = goal.path.is_file()
        if as_json:
            typer.echo(json.dumps({**describe(entry), "path": str(goal.path) if downloaded else None}))
        front, frames = entry.frontend, entry.video
        audio = f"{float(front['rate']) / 1000:g} kHz, {front['window_ms']:g}/{front['hop_ms']:g} ms" if front else ""
        video = f"{frames['frames']} frames, every {frames['step']}" if frames else ""
        metric, score = next(iter(entry.published.items()), ("", None))
        rows.append(
            [
                entry.name,
                f"{metric_title(metric)} {format_metric(metric, score)}" if metric else "",
                f"{entry.params_m:g}",
                "" if entry.gflops is None else f"{entry.gflops:.3g}",
                audio or video,
                entry.licence,
                "yes" if downloaded else "no",
            ]
        )
    if not as_json:
        show.listing(["weights", "published", "params (M)", "GFLOPs", "input", "license", "downloaded"], rows)
        show.say("`slowfast weights download NAME` downloads one. CC BY-NC-SA forbids commercial use.")


@app.command(
    "download",
    epilog=options.examples(
        "slowfast weights download asf-vggsound",
        "slowfast weights download asf-epic --offline",
    ),
)
def download(
    name: Annotated[str, typer.Argument(help="A name of `slowfast weights ls`.")], offline: options.Offline = False
) -> None:
    """Download official weights into the cache and convert them; an interrupted download is resumed."""
    typer.echo(str(_fetch(name, offline=offline)))


@app.command(
    "use",
    epilog=options.examples(
        "slowfast weights use asf-vggsound",
        "slowfast weights use slowfast-8x8-r50-kinetics400-hub --for video",
        "slowfast weights use default",
    ),
)
def use(
    name: Annotated[str, typer.Argument(help="A catalog name, a weight file, a run folder, or default.")],
    kind: Annotated[str, typer.Option("--for", help="sound or video: the files that they are for.")] = "sound",
    offline: options.Offline = False,
) -> None:
    """Make weights the default of `predict`; size and license are shown before a download."""
    from slowfast_cli.cli import show
    from slowfast_cli.weights.catalog import CATALOG
    from slowfast_cli.weights.chosen import BUNDLED, choose
    from slowfast_cli.weights.file import read_card
    from slowfast_cli.weights.resolve import weight_file

    if kind not in ("sound", "video"):
        raise UsageError(f"--for {kind}: expected sound or video")
    official = name in CATALOG or name == BUNDLED
    path = _fetch(name, offline=offline) if name in CATALOG else weight_file(name)
    card = read_card(path)
    if kind == "sound" and "frames" in card.net.signals:
        raise UsageError(f"{name}: reads frames, so it is for videos: add --for video")
    choose(kind, name if official else str(path.absolute()))  # type: ignore[arg-type]
    classes = ", ".join(f"{len(names)} classes ({labels})" for labels, names in card.classes.items())
    show.say(f"`slowfast predict` now uses {name} for {kind}: {classes}; `slowfast weights use default` undoes it")


def _fetch(name: str, *, offline: bool) -> Path:
    """Print license and size of official weights, and download them."""
    from slowfast_cli.cli import show
    from slowfast_cli.types import WeightsError
    from slowfast_cli.weights.catalog import find
    from slowfast_cli.weights.resolve import weight_file

    entry = find(name)
    if Path(name).exists():
        raise WeightsError(f"{name}: is a file in this folder; run the command in another one")
    show.say(f"{entry.title}: about {4 * entry.params_m:.0f} MB, license {entry.licence} ({entry.source})")
    bar: show.Bar | None = None

    def progress(done: int, total: int | None) -> None:
        nonlocal bar
        bar = bar or show.Bar(total or 0, "B", entry.file)
        bar.to(done)

    try:
        path = weight_file(name, offline=offline, progress=progress)
    finally:
        if bar:
            bar.close()
    return path


@app.command("verify", epilog=options.examples("slowfast weights verify", "slowfast weights verify runs/esc10/default"))
def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[WEIGHTS]...", help="Files, run folders, catalog names.", show_default="all cached"),
    ] = None,
) -> None:
    """Check weights: downloads against their recorded SHA-256, weight files for a valid header and finite tensors."""
    from slowfast_cli.cli import show
    from slowfast_cli.types import WeightsError
    from slowfast_cli.weights.verify import cached_names, problem

    found = {name: problem(name) for name in names or cached_names()}
    rows = [[name, text or "good"] for name, text in found.items()]
    wrong = sum(map(bool, found.values()))
    if not rows:
        show.say("no weights are cached; `slowfast weights download NAME` downloads some")
        return
    show.listing(["weights", "state"], rows)
    if wrong:
        raise WeightsError(f"{wrong} of {len(rows)} weights are damaged: delete them and download or train them again")


@app.command(
    "convert",
    epilog=options.examples(
        "slowfast weights convert SLOWFAST_VGG.pyth vgg.safetensors",
        "slowfast weights convert SLOWFAST_16x8.pkl k400.safetensors --variant slowfast-16x8-r101",
    ),
)
def convert(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="IN.pyth",
            help="A checkpoint of PySlowFast, Auditory Slow-Fast, AVSlowFast, PyTorchVideo, Caffe2 or PANNs (CNN14).",
        ),
    ],
    dest: Annotated[Path, typer.Argument(metavar="OUT.safetensors", help="The weight file to write.")],
    variant: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Its network, if the file does not say: a name of `recipes variants` or `weights ls`.",
            show_default="from the file",
        ),
    ] = None,
) -> None:
    """Convert a foreign checkpoint into a weight file, without executing its pickled code."""
    from slowfast_cli.cli import show
    from slowfast_cli.storage.atomic import require_new
    from slowfast_cli.weights.foreign.convert import convert as stage

    require_new(dest)
    done = stage(source, dest, variant=variant)
    result = done.result
    show.say(f"loaded {len(result.loaded)} tensors, missing {len(result.fresh)}, unexpected {len(result.unused)}")
    for name in result.unused[:5]:
        show.say(f"unexpected: {name}")
    for note in done.card.notes:
        show.say(f"note: {note}")
    typer.echo(str(done.path))


@app.command(
    "show",
    epilog=options.examples(
        "slowfast weights show runs/esc10/default",
        "slowfast weights show default --json",
    ),
)
def show_card(
    weights: Annotated[
        str, typer.Argument(help="A weight file, a run folder, a catalog name, or default: the bundled model.")
    ],
    as_json: options.Json = False,
    offline: options.Offline = False,
) -> None:
    """Show the metadata of weights: network, classes, front end, source, scores, license."""
    from slowfast_cli.cli import show
    from slowfast_cli.metrics.registry import format_metric, metric_title
    from slowfast_cli.weights.file import describe, read_card
    from slowfast_cli.weights.resolve import weight_file

    path = weight_file(weights, offline=offline)
    card = read_card(path)
    if as_json:
        typer.echo(json.dumps(describe(card), ensure_ascii=False))
        return
    rows = [
        ["file", f"{path} ({path.stat().st_size / 1e6:.2f} MB)"],
        ["recipe", card.recipe],
        ["source", card.source],
        ["license", card.licence or "not stated"],
        ["network", str(card.net)],
        *_inputs(card),
        *[
            [f"classes ({labels})", f"{len(names)}: {', '.join(names[:12])}{', ...' if len(names) > 12 else ''}"]
            for labels, names in card.classes.items()
        ],
        *[
            [f"event thresholds ({labels})", _thresholds(card.classes.get(labels, ()), values)]
            for labels, values in card.thresholds.items()
        ],
        ["scores", ", ".join(f"{metric_title(key)} {format_metric(key, value)}" for key, value in card.scores.items())],
        *[["note", note] for note in card.notes],
    ]
    show.table("", ["", ""], rows, left=2)


def _thresholds(names: Sequence[str], values: Sequence[float]) -> str:
    """Thresholds of the first classes, such as ``dog 0.5, rain 0.42``."""
    shown = [f"{name} {value:.2g}" for name, value in zip(names, values, strict=False)]
    return ", ".join(shown[:12]) + (", ..." if len(shown) > 12 else "")


def _inputs(card: Card) -> list[list[str]]:
    """Rows about the inputs and outputs of weights."""
    front, video, rows = card.front_end, card.video, list[list[str]]()
    if front:
        audio = (
            f"{front['rate']} Hz, {front['window_ms']:g} ms window, {front['hop_ms']:g} ms hop, {front['mels']} mels"
        )
        rows.append(["front end", audio])
    if video:
        crops = f"{video['crops']} crop{'s' * (video['crops'] != 1)}" if video["crops"] else "whole"
        frames = f"{video['frames']}, every {video['step']} of {video['fps']:g} a second"
        order = ", BGR" if video.get("channels") == "bgr" else ""
        rows.append(["frames", f"{frames}; short side {video['side']}, {crops}{order}"])
    if card.net.regions != "none":
        rows.append(["boxes", f"classified separately ({card.net.regions} RoIAlign)"])
    if card.sigmoid:
        rows.append(["classes", "any number at once (sigmoid)"])
    return [*rows, ["clip", f"{card.clip_seconds:g} s, {card.views} view{'s' * (card.views != 1)}"]]
