"""The report of a training run, as one HTML file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from slowfast_cli.metrics.registry import format_metric, metric_title
from slowfast_cli.recipe.load import check, read_stored, to_yaml
from slowfast_cli.report.page import Section, Table
from slowfast_cli.report.parts import picture_sections, write_page
from slowfast_cli.stages.train.run_folder import Run, environment, lines
from slowfast_cli.storage.remote import display

SHOWN = 6  # scores of a validation
PREFIX = "val_"


def write_report(run: Path, test: Sequence[str] = ()) -> Path:
    """Write ``report.html`` of a run from its folder: curves, validations, recipe, environment.

    Args:
        run: The run folder.
        test: Lines on the score of the test split.

    Returns:
        Path of the page.
    """
    recipe = check(read_stored(run / "recipe.yaml"))
    validations = lines(Run(run).metrics, scores=True)
    sections = [
        *([Section(title="Test", text=test)] if test else []),
        *([_validations(validations)] if validations else []),
        *picture_sections(run),
        Section(title="Recipe", code=to_yaml(recipe)),
    ]
    versions = {**environment(), **environment()["packages"]}
    made_with = ", ".join(f"{name} {value}" for name, value in versions.items() if name != "packages")
    facts = [("Data", f"{recipe.data.corpus} {recipe.data.train}"), ("Environment", made_with)]
    return write_page(run, f"Training: {display(run)}", facts, sections)


def _validations(records: Sequence[Mapping[str, Any]]) -> Section:
    """A row for each validation, the newest first."""
    keys = dict.fromkeys(key for record in records for key in record)
    names = [key for key in keys if key.startswith(PREFIX)][:SHOWN]
    titles = [metric_title(name.removeprefix(PREFIX)) for name in names]
    rows = [
        [f"{record['epoch']}", f"{record['step']:,}", *(_cell(name, record.get(name)) for name in names)]
        for record in reversed(records)
        if record.keys() >= set(names)
    ]
    return Section(title="Validation", tables=[Table(columns=["epoch", "step", *titles], rows=rows)])


def _cell(name: str, value: Any) -> str:
    return format_metric(name.removeprefix(PREFIX), value) if isinstance(value, int | float) else "-"
