"""Output: results on stdout, everything else on stderr; progress bars on a terminal, plain lines elsewhere."""

import logging
import os
import re
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table
from tqdm import tqdm

from slowfast_cli.cli.run_log import LOG
from slowfast_cli.storage.remote import display, upload
from slowfast_cli.types import Corpus, DataError, Scores

if TYPE_CHECKING:
    from slowfast_cli.stages.extract.estimate import Estimate

# Controls but tab and newline, and characters that reverse the direction of text.
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
GAP = 2  # spaces between the columns of a listing
SHORTEST = 12  # characters that a cut column shows at least
BAR = "{desc} {n_fmt}/{total_fmt} {bar:8} {remaining} left{postfix}"  # fits 80 columns with the values of a training
LONGEST = 16  # characters of the name before a progress bar
SHORT = 5  # seconds that are not estimated more closely
YEAR = 365 * 24 * 3600  # seconds


class OfFile(Protocol):
    """A result of a file."""

    @property
    def path(self) -> Path:
        """The file."""


Result = TypeVar("Result", bound=OfFile)
out = Console(soft_wrap=False, highlight=False)
err = Console(stderr=True, highlight=False, quiet=os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0")) != "0")
if not out.is_terminal:  # do not wrap what another program reads
    out = Console(width=200, highlight=False)


def printable(text: str) -> str:
    r"""Escape control characters, which file and class names may contain and a terminal would obey.

    >>> print(printable("a\x1b[31m.wav"))
    a\x1b[31m.wav
    """
    return CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def say(text: str) -> None:
    """Print a line on stderr, and into the log of the training in progress."""
    if not err.quiet:
        LOG.write(printable(text))
    with tqdm.external_write_mode(file=sys.stderr):  # above a progress bar
        err.print(escape(printable(text)), soft_wrap=True)


class _Said:
    """A stream whose lines `say` prints."""

    def write(self, text: str) -> None:
        if line := text.strip():
            say(line)

    def flush(self) -> None:
        """Nothing is kept back."""


def print_remarks() -> None:
    """Print what the library logs about inference engines, such as a conversion."""
    logger = logging.getLogger("slowfast_cli.inference")
    if not logger.handlers:
        handler = logging.StreamHandler(_Said())
        handler.setFormatter(logging.Formatter("note: %(message)s"))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)


def done(folder: Path) -> None:
    """Upload a result folder if it is remote, and print where it is."""
    upload(folder)
    say(f"done: {display(folder.absolute())}")


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, left: int = 1) -> None:
    """Print a table on stdout, or a block of lines per row if the terminal is too narrow.

    The first ``left`` columns are text, the others numbers; ``title`` may be empty.
    """
    if title:  # not a table title, which would wrap long paths
        out.print(f"[bold]{escape(printable(title))}[/bold]", soft_wrap=True)
    shown, rows = Table(), [[printable(cell) for cell in row] for row in rows]
    for number, column in enumerate(columns):
        # A row's name stays on one line beside numbers; in a table of text every column may wrap.
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
                out.print(f"  {escape(column)}{': ' * bool(column)}{escape(cell)}", soft_wrap=True)


def listing(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print one line per entry, the most important columns first: on a narrow terminal the last ones are left out."""
    cells = [[printable(cell) for cell in row] for row in (columns, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    room = out.width if out.is_terminal else sum(widths) + GAP * len(widths)
    shown = 1
    while shown < len(widths) and sum(widths[: shown + 1]) + GAP * shown <= room:
        shown += 1
    if shown < len(widths) and (left := room - sum(widths[:shown]) - GAP * shown) >= SHORTEST:
        widths[shown], shown = left, shown + 1
    for number, row in enumerate(cells):
        pieces = [_cut(cell, width).ljust(width) for cell, width in zip(row[:shown], widths, strict=False)]
        out.print((" " * GAP).join(pieces).rstrip(), style="bold" if not number else "", markup=False, soft_wrap=True)
    if shown < len(columns):
        say(f"not shown for lack of width: {', '.join(columns[shown:])}; --json prints everything")


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 3]}..."


def coverage(corpus: Corpus) -> str:
    """Describe how much of the official list is available."""
    count, listed = len(corpus.segments), corpus.listed
    return f"{corpus.name} {corpus.split}: {count:,} of {listed:,} segments ({count / max(listed, 1):.1%})"


def corpora(splits: Sequence[Corpus], skipped: Sequence[DataError], remarks: Sequence[str]) -> None:
    """Print the coverage of splits, why others were skipped, and remarks."""
    for error in skipped:
        say(f"skipped: {error.brief}")
    for corpus in splits:
        say(coverage(corpus))
    for remark in remarks:
        say(f"note: {remark}")


def needs(estimate: "Estimate", jobs: int) -> None:
    """Print what an extraction needs."""
    seconds, jobs = estimate.duration(jobs), estimate.processes(jobs)
    work = duration(seconds) if seconds >= SHORT else f"less than {SHORT} s"
    disk = f"{estimate.bytes / 1e6:,.1f} MB of disk ({estimate.free / 1e9:,.1f} GB free)"
    say(f"about {duration(estimate.seconds)} of sound: {disk}, {work} in {jobs} process{'es' * (jobs > 1)}")
    if estimate.bytes > estimate.free:
        say("note: the disk may become full before the end")


def scores(
    result: Scores,
    published: Mapping[str, float],
    classes: Mapping[str, Sequence[str]],
    title: str,
    intervals: Mapping[str, tuple[float, float]],
) -> None:
    """Print our scores, next to the paper's where it has some, and the intervals (percent) of accuracies."""
    from slowfast_cli.metrics.registry import format_metric, informative, metric_title

    rows = []
    for key in informative(result.values, {} if published else classes):
        value, paper = result.values[key], published.get(key)
        difference = "" if paper is None else f"{value - paper:+.2f}"
        rows.append([metric_title(key), format_metric(key, value), format_metric(key, paper), difference])
    shown = 4 if published.keys() & result.values.keys() else 2
    table(title, ["", "ours", "paper", "difference"][:shown], [row[:shown] for row in rows])
    scored(result.found, result.listed)
    for key, (low, high) in intervals.items():
        right = round(result.values[key] * result.found / 100)
        out.print(f"{metric_title(key)}: {right:,} of {result.found:,} right, 95 % interval {low:.1f} to {high:.1f}")


def scored(found: int, listed: int) -> None:
    """Print over how many of the listed segments scores are."""
    out.print(f"scored {found:,} of {listed:,} listed segments ({found / max(listed, 1):.1%})")


def open_page(path: Path) -> None:
    """Open a page in the browser, if there is one."""
    open_url(path.absolute().as_uri(), display(path))


def open_url(url: str, name: str) -> None:
    """Open an address in the browser, or say that there is none to open what has this name."""
    import webbrowser

    if not webbrowser.open(url):
        say(f"no browser to open {name}")


def duration(seconds: float) -> str:
    """Format a duration in the unit that fits it.

    >>> duration(8.4), duration(1500), duration(30000), duration(1e9)
    ('8 s', '25 min', '8.3 h', 'unknown time')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < YEAR else "unknown time"


def progress(results: Iterable[Result], files: int, what: str) -> Iterator[Result]:
    """Yield results, in the order of their files, with a bar of the files; it is cleared while the caller prints."""
    bar = Bar(files, "file", what) if files > 1 else None
    done, path = 0, None
    try:
        for result in results:
            if bar:
                done += path is not None and result.path != path
                path = result.path
                bar.to(done)
            with tqdm.external_write_mode(file=sys.stdout):
                yield result
    finally:
        if bar:
            bar.close()


class Bar:
    """Progress bar on a terminal, or a line every ten seconds elsewhere."""

    def __init__(self, total: float, unit: str, what: str) -> None:
        self._bar: tqdm[object] | None = None
        self._total, self._unit, self._what = total, unit, what
        self._last = self._start = time.monotonic()
        if sys.stderr.isatty() and not err.quiet:
            self._bar = tqdm(
                total=total, unit=unit, desc=_cut(what.rpartition("/")[2], LONGEST), file=sys.stderr, leave=False,
                dynamic_ncols=True, smoothing=0.1, bar_format=BAR, unit_scale=unit == "B",
            )  # fmt: skip

    def to(self, done: float, note: str = "") -> None:
        """Show the amount done."""
        if self._bar is not None:
            self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(done - self._bar.n)
        elif time.monotonic() - self._last >= 10:
            self._last = time.monotonic()
            left = (self._last - self._start) * (self._total - done) / done if done else float("inf")
            say(
                f"{self._what}: {self._unit} {done:g} of {self._total:g}, {duration(left)} left"
                + (f"; {note}" if note else "")
            )

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()
