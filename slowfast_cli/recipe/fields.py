"""Base class and field types of the sections of a recipe."""

from datetime import date
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from slowfast_cli.storage import remote


def _where(value: object) -> Path:
    """Path of a name or URL; YAML reads some names, such as 2024 or 2024-01-01, as numbers or dates."""
    if isinstance(value, Path | str) or (isinstance(value, int | date) and not isinstance(value, bool)):
        return remote.local_path(value if isinstance(value, Path) else str(value))
    raise ValueError(f"{value!r} is not a path: write it in quotes")


Share = Annotated[float, Field(ge=0, le=1)]
# A local folder or a URL, written as it was given.
Where = Annotated[Path, BeforeValidator(_where), PlainSerializer(remote.display, when_used="json")]


class Section(BaseModel):
    """A closed, frozen part of a recipe."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), use_attribute_docstrings=True)


RENAMED_METRICS = {"told": "pretext_top1"}


def _current(metric: str) -> str:
    if metric in RENAMED_METRICS:
        raise ValueError(f"metric: {metric!r} was renamed to {RENAMED_METRICS[metric]!r}")
    return metric


MetricName = Annotated[str, AfterValidator(_current)]
"""Name of a score, see `slowfast_cli.metrics.registry`."""
