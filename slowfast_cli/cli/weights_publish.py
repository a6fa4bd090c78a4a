"""``slowfast weights``: export, push."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from slowfast_cli.cli import options
from slowfast_cli.cli.weights import app as app  # noqa: PLC0414  (the commands of both files)
from slowfast_cli.types import UsageError


@app.command(
    "export",
    epilog=options.examples(
        'slowfast weights export runs/esc10/default esc10.safetensors --half --license "CC BY 4.0"',
        "slowfast weights export runs/kinetics/default slowfast.pyth --to pyslowfast",
    ),
)
def export(
    weights: Annotated[str, typer.Argument(help="A weight file or a run folder.")],
    dest: Annotated[
        Path, typer.Argument(metavar="OUT", help="The file to write; -<hash> is added to the name of a .safetensors.")
    ],
    to: Annotated[
        str, typer.Option(help="safetensors; or pyslowfast or pytorchvideo: their tensor names, in a .pyth file.")
    ] = "safetensors",
    half: Annotated[bool, typer.Option("--half", help="Store float16: half the size.")] = False,
    license: Annotated[str, options.optional("License of the weights.")] = "",
    note: Annotated[list[str] | None, options.optional("A note for users; may be repeated.")] = None,
    score: Annotated[
        list[str] | None, typer.Option(metavar="METRIC=VALUE", help="Scores.", show_default="those of the run")
    ] = None,
) -> None:
    """Write weights for publication, with license, notes and scores in the header, and a model card beside them."""
    from slowfast_cli.weights.export import FOREIGN, export_foreign, publish
    from slowfast_cli.weights.resolve import weight_file

    if to in FOREIGN:
        if half or license or note or score:
            raise UsageError(f"--to {to}: has no card: leave --half, --license, --note and --score out")
        tensors = export_foreign(weight_file(weights), dest, to)
        typer.echo(f"{dest} ({tensors} tensors, {dest.stat().st_size / 1e6:.2f} MB)")
        return
    if to != "safetensors":
        raise UsageError(f"--to {to}: expected safetensors, {' or '.join(FOREIGN)}")
    changes = {"half": half, "licence": license, "notes": note or (), "scores": _scores(score)}
    path, card = publish(weight_file(weights), dest, **changes)
    typer.echo(f"{path} ({path.stat().st_size / 1e6:.2f} MB), {card}")


@app.command(
    "push",
    epilog=options.examples('slowfast weights push runs/esc10/default me/esc10 --license "CC BY 4.0"'),
)
def push(
    weights: Annotated[str, typer.Argument(help="A weight file or a run folder.")],
    repo: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="Repository on the Hugging Face Hub.")],
    private: Annotated[bool, typer.Option("--private", help="Create a private repository.")] = False,
    license: Annotated[str, options.optional("License of the weights.")] = "",
    note: Annotated[list[str] | None, options.optional("A note for users; may be repeated.")] = None,
    as_json: options.Json = False,
) -> None:
    """Upload weights and a model card to the Hugging Face Hub."""
    from slowfast_cli.cli import show
    from slowfast_cli.weights.hub import push as stage
    from slowfast_cli.weights.resolve import weight_file

    url = stage(weight_file(weights), repo, private=private, licence=license, notes=tuple(note or ()))
    if as_json:
        typer.echo(json.dumps({"repo": repo, "commit": url}))
    else:
        show.say(f"uploaded: {url}")
        show.say(f"use: slowfast predict FILE --weights hf://{repo.removeprefix('hf://')}")


def _scores(words: list[str] | None) -> dict[str, float] | None:
    try:
        return {word.partition("=")[0]: float(word.partition("=")[2]) for word in words} if words else None
    except ValueError as error:
        raise UsageError(f"--score {' '.join(words or ())}: expected METRIC=VALUE, such as top1=90.5") from error
