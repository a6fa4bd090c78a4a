"""``slowfast recipes``: ls, variants, show, cp, validate."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from slowfast_cli.cli import options
from slowfast_cli.types import UsageError

app = typer.Typer(help="List, show, copy and check recipes.", no_args_is_help=True)


@app.command("ls", epilog="Examples:  slowfast recipes ls  |  slowfast recipes ls --json")
def ls(as_json: options.Json = False) -> None:
    """List the bundled recipes."""
    from slowfast_cli.cli import show
    from slowfast_cli.metrics.registry import format_metric, metric_title
    from slowfast_cli.recipe.load import bundled, check, read

    rows: list[dict[str, Any]] = []
    for name in bundled():
        recipe = check(read(name))
        rows.append({
            "name": name, "corpus": recipe.data.corpus, "variant": recipe.model.variant, "tables": list(recipe.tables),
            "published": recipe.published, "measured": recipe.measured,
        })  # fmt: skip
    if as_json:
        typer.echo(json.dumps(rows))
        return

    def best(values: dict[str, float]) -> str:
        return ", ".join(f"{metric_title(key)} {format_metric(key, value)}" for key, value in list(values.items())[:2])

    cells = [
        [*(row[key] for key in ("name", "corpus", "variant")), ", ".join(row["tables"])]
        + [best(row[key]) for key in ("published", "measured")]
        for row in rows
    ]
    show.table("", ["recipe", "corpus", "network", "tables", "paper", "measured"], cells, left=6)


@app.command("variants", epilog="Examples:  slowfast recipes variants  |  slowfast recipes variants --json")
def variants(as_json: options.Json = False) -> None:
    """List the networks for model.variant, with parameters and multiply-adds."""
    from slowfast_cli.cli import show
    from slowfast_cli.stages.train.dry_run import variants as sizes

    networks = [{"name": name, **size} for name, size in sizes().items()]
    if as_json:
        for network in networks:
            typer.echo(json.dumps(network))
        return
    numbers = ("params_m", "gflops")
    rows = [
        [net["name"], net["reads"], *("-" if net[key] is None else f"{net[key]:.2f}" for key in numbers)]
        for net in networks
    ]
    show.table("", ["network", "reads", "params (M)", "GFLOPs"], rows, left=2)


@app.command(
    "show", epilog="Examples:  slowfast recipes show vggsound  |  slowfast recipes show vggsound optim.lr=0.02"
)
def show_recipe(recipe: options.RecipeName, overrides: options.Overrides = None) -> None:
    """Print the resolved recipe with every field; overridden ones are marked."""
    from slowfast_cli.recipe.load import check, override, read, to_yaml

    source = override(read(recipe), overrides or [])
    changed = {word.partition("=")[0].lstrip("~").rpartition(".")[2] for word in overrides or []}
    for line in to_yaml(check(source)).splitlines():
        field = line.strip().partition(":")[0]
        typer.echo(f"{line}  # overridden" if field in changed else line)


@app.command(
    "cp", epilog="Examples:  slowfast recipes cp vggsound .  |  slowfast recipes cp esc10 my/own.yaml --make-parents"
)
def cp(
    recipe: options.RecipeName,
    dest: Annotated[Path, typer.Argument(help="A folder, or a file.")] = Path(),
    no_clobber: Annotated[bool, typer.Option("--no-clobber", "-n", help="Keep an existing file.")] = False,
    make_parents: Annotated[bool, typer.Option("--make-parents", help="Create missing folders.")] = False,
) -> None:
    """Copy a recipe to edit it."""
    from slowfast_cli.recipe.load import find

    source = find(recipe)
    target = dest / source.name if dest.is_dir() else dest.with_suffix(".yaml") if not dest.suffix else dest
    if target.exists():
        if no_clobber:
            typer.echo(f"{target}: exists and is kept", err=True)
            return
        raise UsageError(f"{target}: already exists; copy to another name, or keep it with --no-clobber")
    if not target.parent.is_dir():
        if not make_parents:
            raise UsageError(f"{target.parent}: no such folder; create it with --make-parents")
        target.parent.mkdir(parents=True)
    shutil.copyfile(source, target)
    typer.echo(f"copied {recipe} to {target}")


@app.command(
    "validate", epilog="Examples:  slowfast recipes validate my.yaml  |  slowfast recipes validate epic optim.batch=16"
)
def validate(recipe: options.RecipeName, overrides: options.Overrides = None) -> None:
    """Check a recipe without running it: fields, network, data set, and all rows of its tables."""
    from slowfast_cli.build.corpus import dataset_entry
    from slowfast_cli.build.network import architecture
    from slowfast_cli.recipe.load import changed, check, override, read

    source = override(read(recipe), overrides or [])
    checked, problems, name = check(source), list[str](), source.path.name

    def attempt(place: str, work: Callable[[], object]) -> None:
        try:
            work()
        except UsageError as error:
            problems.append(f"{place}: {str(error).removeprefix(f'{name}: ')}")

    attempt(name, lambda: architecture(checked))
    attempt(name, lambda: dataset_entry(checked.data.corpus))
    rows = [(table, title, row) for table, rows in checked.tables.items() for title, row in rows.items()]
    for table, title, row in rows:
        attempt(f"{name}: tables.{table}.{title}", lambda row=row: architecture(check(changed(source, row.set))))  # type: ignore[misc]
    if problems:
        raise UsageError("\n".join(problems))
    typer.echo(f"{source.path}: well-formed ({len(rows)} table rows)")
