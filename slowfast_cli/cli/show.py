"""What people see: results on stdout, everything else on stderr; bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table
from tqdm import tqdm

from slowfast_cli.storage.remote import display, upload
from slowfast_cli.types import Corpus, Scores

out = Console(soft_wrap=False, highlight=False)
err = Console(stderr=True, highlight=False, quiet=os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0")) != "0")
if not out.is_terminal:  # a pipe has no width: do not wrap what another program reads
    out = Console(width=200, highlight=False)


def say(text: str) -> None:
    """A line on stderr, as it is."""
    with tqdm.external_write_mode(file=sys.stderr):  # or it would stand behind a bar
        err.print(escape(text), soft_wrap=True)


def done(folder: Path) -> None:
    """Say where what was made is, once it is there."""
    upload(folder)
    say(f"done: {display(folder.absolute())}")


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, left: int = 1) -> None:
    """A table on stdout; where the terminal is too narrow for it, a block of lines for each row instead.

    Args:
        title: Above it; empty for none.
        columns: Headers.
        rows: Cells.
        left: How many columns, from the first, are text; the others are numbers.
    """
    if title:  # outside the table, whose width would fold a long path
        out.print(f"[bold]{escape(title)}[/bold]", soft_wrap=True)
    shown, rows = Table(), [list(row) for row in rows]
    for number, column in enumerate(columns):
        # Beside numbers, a row's name stays on one line; in a table of text every column may fold.
        name_of_row = left == 1 and not number
        side: Literal["left", "right"] = "left" if number < left else "right"
        shown.add_column(escape(column), justify=side, overflow="fold", no_wrap=name_of_row)
    for row in rows:
        shown.add_row(*(escape(cell) for cell in row))
    unbroken = Measurement.get(out, out.options.update(max_width=10_000), shown).minimum
    if unbroken <= out.width:
        out.print(shown)
        return
    for row in rows:
        out.print(f"[bold]{escape(row[0])}[/bold]", soft_wrap=True)
        for column, cell in zip(columns[1:], row[1:], strict=True):
            if cell:
                out.print(f"  {escape(column)}: {escape(cell)}", soft_wrap=True)


def coverage(corpus: Corpus) -> str:
    """How much of the official list there is."""
    found, listed = len(corpus.segments), corpus.listed
    return f"{corpus.name} {corpus.split}: {found:,} of {listed:,} segments ({found / max(listed, 1):.1%})"


def scores(found: Scores, published: Mapping[str, float], title: str) -> None:
    """Our scores beside the paper's."""
    from slowfast_cli.metrics.registry import format_metric, metric_title

    rows = []
    for key, value in found.values.items():
        paper = published.get(key)
        rows.append(
            [
                metric_title(key),
                format_metric(key, value),
                format_metric(key, paper),
                "" if paper is None else f"{value - paper:+.2f}",
            ]
        )
    table(title, ["", "ours", "paper", "difference"], rows)
    out.print(f"scored {found.found:,} of {found.listed:,} listed segments ({found.found / max(found.listed, 1):.1%})")


class Bar:
    """Progress: a tqdm bar on a terminal, a line every ten seconds elsewhere."""

    def __init__(self, total: float, unit: str, what: str) -> None:
        self._bar: tqdm[object] | None = None
        self._total, self._unit, self._what = total, unit, what
        self._told = self._began = time.monotonic()
        if sys.stderr.isatty() and not err.quiet:
            self._bar = tqdm(
                total=total, unit=unit, desc=what, file=sys.stderr, dynamic_ncols=True, leave=False, smoothing=0.1
            )

    def to(self, done: float, note: str = "") -> None:
        """Show that so much is done."""
        if self._bar is not None:
            self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(done - self._bar.n)
        elif time.monotonic() - self._told >= 10:
            self._told = time.monotonic()
            left = (self._told - self._began) * (self._total - done) / max(done, 1e-9)
            say(
                f"{self._what}: {done:g} of {self._total:g} {self._unit}, {left:.0f} s left"
                + (f"; {note}" if note else "")
            )

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
