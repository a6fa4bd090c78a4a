"""The report of a suite of tasks, as one HTML file."""

from collections.abc import Sequence
from pathlib import Path

from slowfast_cli.report.page import Section, Table
from slowfast_cli.report.parts import write_page


def write_report(
    folder: Path, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], missing: Sequence[str]
) -> Path:
    """Write ``report.html``: scores in percent beside the paper's, and why tasks are missing; return its path."""
    sections = [Section(title="Scores, percent", tables=[Table(columns=columns, rows=rows)])]
    if missing:
        sections.append(Section(title="Not scored", text=missing))
    return write_page(folder, title, [("Folder", str(folder))], sections)
