"""Base class and field types of the sections of a recipe."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from slowfast_cli.storage import remote

Share = Annotated[float, Field(ge=0, le=1)]
# A local folder or a URL, written as it was given.
Where = Annotated[Path, BeforeValidator(remote.local_path), PlainSerializer(remote.display, when_used="json")]


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
