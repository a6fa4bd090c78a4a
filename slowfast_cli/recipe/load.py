"""Reading of recipes: by name or file, with overrides; all mistakes are reported at once."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import is_dataclass, replace
from math import inf
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import yaml
from pydantic import BaseModel, ValidationError

from slowfast_cli.recipe.fields import RENAMED_METRICS
from slowfast_cli.recipe.files import Source as Source
from slowfast_cli.recipe.files import bundled as bundled
from slowfast_cli.recipe.files import find as find
from slowfast_cli.recipe.files import read as read
from slowfast_cli.recipe.schema import Recipe
from slowfast_cli.storage import bounded_yaml
from slowfast_cli.types import UsageError, did_you_mean

# Fields of earlier versions, refused with their new name.
RENAMED_FIELDS = {
    "model.freeze_norms": "model.freeze_bn",
    "optim.accumulate": "optim.grad_accum_steps",
    "optim.graphs": "optim.cuda_graphs",
    "optim.norm_clips": "optim.bn_batch_size",
    "optim.recompute": "optim.activation_checkpointing",
    "optim.sync_norms": "optim.sync_bn",
    "schedule.precise_norms": "schedule.precise_bn_batches",
}


def load(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """Read and validate a recipe.

    Args:
        name: A file or a bundled recipe's name.
        overrides: ``optim.lr=0.02`` sets a field to a YAML value, ``~augment.warp`` resets it to its default.

    Raises:
        UsageError: The recipe has mistakes, one line each.
    """
    source = read(name)
    return check(override(source, overrides))


def read_stored(path: Path) -> Source:
    """Parse the recipe that a run folder stores; fields and metrics of earlier versions get their present names.

    Raises:
        UsageError: As `read`.
    """
    source = read(str(path))
    for old, new in RENAMED_FIELDS.items():
        section, field = old.split(".")
        held = source.values.get(section)
        if isinstance(held, dict) and field in held:
            held[new.split(".")[1]] = held.pop(field)
    metric = source.values.get("metric")
    if isinstance(metric, str):
        source.values["metric"] = RENAMED_METRICS.get(metric, metric)
    return source


def override(source: Source, overrides: Sequence[str]) -> Source:
    """Apply ``key=value`` and ``~key`` in the order given.

    Raises:
        UsageError: A word has neither form.
    """
    values = copy.deepcopy(source.values)
    places = dict(source.places)
    if any(word.startswith("model.variant=") for word in overrides) and isinstance(values.get("model"), dict):
        values["model"].pop("width", None)  # of the recipe's own network
    for word in overrides:
        key, equals, text = word.partition("=")
        if key.startswith("~") and key != "~" and not equals:
            _parent(values, key[1:], word).pop(key.rpartition(".")[2].lstrip("~"), None)
        elif equals and key and not key.startswith("~"):
            try:
                _parent(values, key, word)[key.rpartition(".")[2]] = _value(key, text)
            except yaml.YAMLError as error:
                raise UsageError(f"{word}: {text!r} is not a YAML value: {bounded_yaml.describe(error)}") from error
        else:
            raise UsageError(f"{word}: an override is key=value (optim.lr=0.02) or ~key (~augment.warp)")
        places.pop(key.lstrip("~"), None)
    return replace(source, values=values, places=places)


def _value(key: str, text: str) -> Any:
    """The value of an override: YAML, but names and paths as they were typed (``2024``, ``no``, ``a #b``)."""
    *parents, last = key.split(".")
    section: Any = Recipe
    for part in parents:
        section = _section_type(_fields(section).get(part))
    is_text = {str, Path} & {*_plain_types(_fields(section).get(last))}
    if is_text and text not in ("", "~", "null") and text[0] not in "\"'":
        return text
    if _fields(section).get(last) == tuple[str, ...] and text:  # names as typed, in brackets or one
        return [name.strip().strip("\"'") for name in text.strip("[] ").split(",") if name.strip()]
    return bounded_yaml.parse(text)[0]


def _plain_types(annotation: Any) -> Iterator[Any]:
    """The types of an annotation, without ``Annotated`` and unions; those of collections are not among them."""
    if get_origin(annotation) in (Annotated, Union, UnionType):
        for part in get_args(annotation)[: 1 if get_origin(annotation) is Annotated else None]:
            yield from _plain_types(part)
    else:
        yield annotation


def changed(source: Source, fields: Mapping[str, Any]) -> Source:
    """Set fields by dotted name, as in the ``set:`` of a table row."""
    values = copy.deepcopy(source.values)
    for key, value in fields.items():
        _parent(values, key, key)[key.rpartition(".")[2]] = value
    return replace(source, values=values)


def _parent(values: dict[str, Any], key: str, word: str) -> dict[str, Any]:
    parents = key.lstrip("~").split(".")[:-1]
    if len(parents) > bounded_yaml.MAX_DEPTH:
        raise UsageError(f"{word}: nested deeper than {bounded_yaml.MAX_DEPTH} levels")
    for part in parents:
        step = values.setdefault(part, {})
        if not isinstance(step, dict):
            raise UsageError(f"{word}: {part} is a value, not a section")
        values = step
    return values


def check(source: Source) -> Recipe:
    """Validate parsed values.

    Raises:
        UsageError: The recipe has mistakes, one line each with file, line and field.
    """
    try:
        return Recipe.model_validate(source.values)
    except ValidationError as error:
        raise UsageError("\n".join(dict.fromkeys(_complaints(error, source)))) from error


def _complaints(error: ValidationError, source: Source) -> Iterator[str]:
    for problem in error.errors():
        where = ".".join(str(part) for part in problem["loc"])
        file = source.places.get(where, source.path.name)
        place = f"{file}: {where}: " if where else f"{file}: "
        match problem["type"]:
            case "extra_forbidden" | "unexpected_keyword_argument":
                *parents, last = (str(part) for part in problem["loc"])
                if where in RENAMED_FIELDS:
                    yield f"{place}was renamed to {RENAMED_FIELDS[where]}"
                    continue
                known = fields_at(parents)
                near = did_you_mean(last, known)
                yield f"{place}no such field{near or '; choose one of ' + ', '.join(known)}"
            case "missing":
                yield f"{place}is required: {_meaning(problem['loc'])}"
            case "value_error":
                text = problem["msg"].removeprefix("Value error, ")
                yield (f"{file}: " if where and text.startswith(where) else place) + text
            case "less_than" if problem["ctx"]["lt"] == inf:
                yield f"{place}{problem['input']!r} should be a finite number"
            case _:
                text = problem["msg"].removeprefix("Input ").replace("a valid integer", "an integer")
                yield f"{place}{problem['input']!r} {(text[0].lower() + text[1:]).replace('valid ', '')}"


def fields_at(parents: Sequence[str]) -> list[str]:
    """The fields that a section, named by its path, may hold."""
    section: Any = Recipe
    for part in parents:
        section = _section_type(_fields(section).get(part))
    return list(_fields(section))


def _fields(section: Any) -> dict[str, Any]:
    """Types of the fields of a section: a pydantic model, or a frozen dataclass of `slowfast_cli.settings`."""
    if isinstance(section, type) and issubclass(section, BaseModel):
        return {name: field.annotation for name, field in section.model_fields.items()}
    return dict(get_type_hints(section)) if is_dataclass(section) else {}


def _section_type(annotation: Any) -> Any:
    """The section of a field that may be null."""
    return next((part for part in get_args(annotation) if part is not type(None)), annotation)


def _meaning(where: tuple[int | str, ...]) -> str:
    section: Any = Recipe
    for part in where[:-1]:
        section = _section_type(section.model_fields[str(part)].annotation)
    field = section.model_fields[str(where[-1])]
    return " ".join((field.description or field.annotation.__doc__ or "").split())


def to_yaml(recipe: Recipe) -> str:
    """The resolved recipe as YAML, with every field."""
    plain = recipe.model_dump(mode="json")
    text = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=120)
    if text.encode("utf-8", "replace").decode() == text:
        return text
    return yaml.safe_dump(plain, sort_keys=False, width=120)  # a path that is not UTF-8 is escaped


def flat(values: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names and values of nested mappings."""
    if isinstance(values, dict) and values:
        for key, value in values.items():
            yield from flat(value, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, values
