"""``slowfast recipes``: ls, variants, show, cp, validate."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slowfast_cli.cli import options
from slowfast_cli.types import UsageError

if TYPE_CHECKING:
    from slowfast_cli.recipe.schema import Recipe

app = typer.Typer(help="List, show, copy and check recipes.", no_args_is_help=True)


@app.command(
    "ls",
    epilog=options.examples(
        "slowfast recipes ls",
        "slowfast recipes ls --json",
    ),
)
def ls(
    dataset: Annotated[str | None, options.optional("Only recipes of this data set.")] = None,
    task: Annotated[str | None, options.optional("Only recipes of this task, such as classify.")] = None,
    as_json: options.Json = False,
) -> None:
    """List the bundled recipes."""
    from slowfast_cli.cli import show
    from slowfast_cli.metrics.registry import format_metric, metric_title
    from slowfast_cli.recipe.load import bundled, check, read

    rows: list[dict[str, Any]] = []
    for name in bundled():
        recipe = check(read(name))
        if dataset in (None, recipe.data.corpus) and task in (None, recipe.task):
            rows.append({
                "name": name, "corpus": recipe.data.corpus, "task": recipe.task, "variant": recipe.model.variant,
                "tables": list(recipe.tables), "published": recipe.published, "measured": recipe.measured,
            })  # fmt: skip
    if not rows:
        filters = f"--dataset {dataset or 'any'} --task {task or 'any'}"
        raise UsageError(f"no recipe for {filters}: `slowfast recipes ls` lists all")
    if as_json:
        typer.echo(json.dumps(rows))
        return

    def best(values: dict[str, float]) -> str:
        return ", ".join(f"{metric_title(key)} {format_metric(key, value)}" for key, value in list(values.items())[:1])

    cells = [
        [row["name"], row["corpus"], row["variant"], best(row["published"]), best(row["measured"]), row["task"]]
        for row in rows
    ]
    show.listing(["recipe", "data set", "network", "paper", "measured", "task"], cells)


@app.command(
    "variants",
    epilog=options.examples(
        "slowfast recipes variants",
        "slowfast recipes variants --json",
    ),
)
def variants(as_json: options.Json = False) -> None:
    """List the networks for model.variant, with parameters and multiply-adds."""
    from slowfast_cli.cli import show

    text = Path(__file__).with_name("network_sizes.csv").read_text(encoding="utf-8")
    networks = [
        {"name": row["network"], "reads": row["reads"], **{key: float(row[key]) for key in ("params_m", "gflops")}}
        for row in csv.DictReader(text.splitlines())
    ]
    if as_json:
        for network in networks:
            typer.echo(json.dumps(network))
        return
    rows = [[str(net["name"]), str(net["reads"]), f"{net['params_m']:.2f}", f"{net['gflops']:.2f}"] for net in networks]
    show.listing(["network", "reads", "params (M)", "GFLOPs"], rows)


@app.command(
    "show",
    epilog=options.examples(
        "slowfast recipes show vggsound",
        "slowfast recipes show vggsound optim.lr=0.02",
        "slowfast recipes show kinetics-sounds --tree",
    ),
)
def show_recipe(
    recipe: options.RecipeName,
    overrides: options.Overrides = None,
    tree: Annotated[
        bool, typer.Option("--tree", help="Say where each field comes from: this recipe, its parent, or the defaults.")
    ] = False,
) -> None:
    """Print the resolved recipe with every field; overridden ones are marked."""
    from slowfast_cli.recipe.load import check, override, read, to_yaml

    source = override(read(recipe), overrides or [])
    fields = {word.partition("=")[0].lstrip("~") for word in overrides or []}
    if tree:
        if source.parent:
            typer.echo(f"# {source.path.name} takes the fields that it does not set from {source.parent}")
        for line, field in _with_fields(to_yaml(check(source))):
            typer.echo(f"{line}  # {_origin(field, source.places, fields)}" if field else line)
        return
    changed = {field.rpartition(".")[2] for field in fields}
    for line in to_yaml(check(source)).splitlines():
        field = line.strip().partition(":")[0]
        typer.echo(f"{line}  # overridden" if field in changed else line)


def _with_fields(text: str) -> Iterator[tuple[str, str]]:
    """Lines of a YAML text, each with the dotted name of the field whose value it has; empty for other lines."""
    import yaml

    leaves: dict[int, str] = {}

    def visit(node: yaml.Node | None, path: tuple[str, ...]) -> None:
        for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
            here = (*path, str(key.value))
            if isinstance(value, yaml.MappingNode) and value.value:
                visit(value, here)
            else:
                leaves[key.start_mark.line] = ".".join(here)

    visit(yaml.compose(text, Loader=yaml.SafeLoader), ())
    for number, line in enumerate(text.splitlines()):
        yield line, leaves.get(number, "")


def _origin(field: str, places: Mapping[str, str], overridden: set[str]) -> str:
    """File and line of a field or of the section around it, ``overridden`` or ``default``."""
    parts = field.split(".")
    around = [".".join(parts[:count]) for count in range(len(parts), 0, -1)]
    if not overridden.isdisjoint(around):
        return "overridden"
    return places.get(field) or next((places[name] for name in around[1:-1] if name in places), "default")


@app.command(
    "cp",
    epilog=options.examples(
        "slowfast recipes cp vggsound .",
        "slowfast recipes cp esc10 my/own.yaml --make-parents",
    ),
)
def cp(
    recipe: options.RecipeName,
    dest: Annotated[Path, typer.Argument(help="A folder, or a file.")] = Path(),
    no_clobber: Annotated[bool, typer.Option("--no-clobber", "-n", help="Keep an existing file.")] = False,
    make_parents: Annotated[bool, typer.Option("--make-parents", help="Create missing folders.")] = False,
) -> None:
    """Copy a recipe to edit it."""
    from slowfast_cli.recipe.files import copy_text, find

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
    target.write_bytes(copy_text(source, target).encode())
    typer.echo(f"copied {recipe} to {target}")


@app.command(
    "validate",
    epilog=options.examples(
        "slowfast recipes validate my.yaml",
        "slowfast recipes validate epic optim.batch=16",
    ),
)
def validate(recipe: options.RecipeName, overrides: options.Overrides = None) -> None:
    """Check a recipe without running it: fields, network, data set, all rows of its tables, and what is not there."""
    from slowfast_cli.build.corpus import dataset_entry
    from slowfast_cli.build.network import architecture
    from slowfast_cli.cli import show
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
    for note in _absent(checked):
        show.say(f"note: {note}")
    typer.echo(f"{source.path}: valid ({len(rows)} table rows)")


def _absent(recipe: Recipe) -> list[str]:
    """Describe the data and the weights that a recipe names and that are not there."""
    from slowfast_cli.build.corpus import dataset_entry, require_root
    from slowfast_cli.types import DataError, WeightsError
    from slowfast_cli.weights.catalog import CATALOG
    from slowfast_cli.weights.resolve import weight_file

    notes = []
    try:
        if recipe.data.root and dataset_entry(recipe.data.corpus):
            require_root(recipe)
        if recipe.model.init:
            weight_file(recipe.model.init, offline=True)
    except DataError as error:
        notes.append(error.brief)
    except WeightsError as error:
        official = recipe.model.init in CATALOG
        notes.append(f"model.init: {recipe.model.init} will be downloaded" if official else error.brief)
    return notes
