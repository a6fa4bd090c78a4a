"""Files of recipes: where they lie, how they are parsed, and what one takes from another."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from slowfast_cli.storage import bounded_yaml
from slowfast_cli.types import UsageError, did_you_mean

MAX_BYTES = 1_000_000  # of a recipe's file
PARENT = "defaults"  # field that names the recipe from which the other fields are taken
OWN = ("published", "measured", "tables", "suite")  # results of a recipe, which others do not take from it


def folder() -> Path:
    """Folder of the bundled recipes: in the wheel, or beside the package in a checkout."""
    package = Path(__file__).parents[1]
    return next(
        (path for path in (package / "recipes", package.parent / "recipes") if path.is_dir()), package / "recipes"
    )


def bundled() -> dict[str, Path]:
    """Files of the bundled recipes by name (``vggsound``), without those that are only parents of others."""
    return {name: path for name, path in _all_bundled().items() if not path.name.startswith("_")}


def _all_bundled() -> dict[str, Path]:
    root = folder()
    return {path.relative_to(root).with_suffix("").as_posix(): path for path in sorted(root.rglob("*.yaml"))}


def find(name: str) -> Path:
    """Find the file of a recipe.

    Args:
        name: A path, a bundled recipe's name, or ``recipes/NAME.yaml`` if there is no such file.

    Raises:
        UsageError: There is no such recipe; the message names the nearest.
    """
    path = Path(name)
    if path.is_file():
        return path
    known = bundled()
    short = name.removesuffix(".yaml").removesuffix(".yml").removeprefix("recipes/")
    if short in known:
        return known[short]
    raise UsageError(f"{name}: no such recipe{did_you_mean(short, known) or ';'} `slowfast recipes ls` lists them all")


@dataclass(frozen=True)
class Source:
    """A recipe as written, with the fields of its parent."""

    path: Path
    values: dict[str, Any]
    places: Mapping[str, str]  # file and line of each field: ``vggsound.yaml:12``
    parent: str | None = None  # as written; its fields are among `values`

    @property
    def name(self) -> str:
        """Path below the bundled recipes, or the stem of the file."""
        return next((name for name, path in bundled().items() if path == self.path), self.path.stem)


def read(name: str) -> Source:
    """Parse a recipe and the one that its field ``defaults`` names, without validating their fields.

    Raises:
        UsageError: A file is not found, not YAML or not a mapping, or the parent has a parent.
    """
    own = _parse(find(name))
    if PARENT not in own.values:
        return own
    parent = _parse(parent_file(own))
    if PARENT in parent.values:
        raise UsageError(
            f"{parent.places.get(PARENT, parent.path.name)}: {PARENT}: {own.path.name} takes its defaults from this "
            "recipe, which may not take them from another: write the fields into one of the two"
        )
    return _merge(own, parent)


def _merge(own: Source, parent: Source) -> Source:
    """Take the fields of each section that a recipe does not set from its parent."""
    values = {section: value for section, value in parent.values.items() if section not in OWN}
    replaced = {*OWN}
    for section, ours in own.values.items():
        theirs = values.get(section)
        if isinstance(theirs, dict) and isinstance(ours, dict):
            if section == "model" and "variant" in ours:
                theirs = {field: value for field, value in theirs.items() if field != "width"}  # of another network
                replaced.add("model.width")
            values[section] = {**theirs, **ours}
            replaced |= {f"{section}.{field}" for field in ours}
        else:
            values[section] = ours
            replaced.add(str(section))
    inherited = {
        field: place
        for field, place in parent.places.items()
        if not replaced & {field.split(".")[0], ".".join(field.split(".")[:2])}
    }
    name = str(values.pop(PARENT))
    return Source(own.path, values, {**inherited, **own.places}, name)


def parent_file(source: Source) -> Path:
    """Find the recipe that ``defaults`` names: a file beside the recipe (``NAME.yaml``), or a bundled one (``NAME``).

    Raises:
        UsageError: There is none.
    """
    name, place = source.values[PARENT], source.places.get(PARENT, source.path.name)
    expected = "expected the name of a bundled recipe (kinetics-av), or a YAML file relative to this one (base.yaml)"
    if not isinstance(name, str) or not name:
        raise UsageError(f"{place}: {PARENT}: {name!r}: {expected}")
    known = _all_bundled()
    beside = source.path.parent / name
    if name.endswith((".yaml", ".yml")) and "\0" not in name and beside.is_file():
        return beside
    if name in known:
        return known[name]
    raise UsageError(f"{place}: {PARENT}: {name!r}: no such recipe{did_you_mean(name, bundled()) or ';'} {expected}")


def copy_text(path: Path, target: Path) -> str:
    """Text of a recipe for another folder: a parent beside the recipe is named by its path from there."""
    text = path.read_bytes().decode("utf-8-sig")
    source = _parse(path)
    if PARENT not in source.values:
        return text
    parent = parent_file(source)
    _, node = bounded_yaml.parse(text)
    pairs = node.value if isinstance(node, yaml.MappingNode) else ()
    value = next((value for key, value in pairs if key.value == PARENT), None)
    if value is None:  # within a YAML merge key
        return text
    name = next((name for name, file in _all_bundled().items() if file == parent), None)
    relative = Path(os.path.relpath(parent.resolve(), target.parent.resolve())).as_posix()
    word = yaml.safe_dump(name or relative, width=10_000, allow_unicode=True)
    word = word.removesuffix("\n").removesuffix("\n...")
    return text[: value.start_mark.index] + word + text[value.end_mark.index :]


def _parse(path: Path) -> Source:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise UsageError(f"{path}: is larger than {MAX_BYTES:,} bytes, a recipe has a few thousand")
        values, node = bounded_yaml.parse(content.decode("utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise UsageError(f"{path}: not YAML: {bounded_yaml.describe(error)}") from error
    if not isinstance(values, dict):
        raise UsageError(
            f"{path}: a recipe is a mapping of sections (data, model, optim, ...), not {type(values).__name__}"
        )
    return Source(path, values, {field: f"{path.name}:{line}" for field, line in _lines(node, ())})


def _lines(node: yaml.Node | None, path: tuple[str, ...]) -> Iterator[tuple[str, int]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*path, str(key.value))
            yield ".".join(here), key.start_mark.line + 1
            yield from _lines(value, here)
