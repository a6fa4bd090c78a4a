"""Display of a suite: tasks as they are scored, and the paper's table at the end (HARES Table 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from slowfast_cli.cli import show
from slowfast_cli.cli.show_training import Display
from slowfast_cli.metrics.registry import metric_title
from slowfast_cli.stages.hares import benchmark

if TYPE_CHECKING:
    from slowfast_cli.recipe.schema import Suite
    from slowfast_cli.stages.hares.features import Tick


class SuiteDisplay:
    """Displays the events of one evaluation, and of the training before it, which is called ``name``.

    While features are computed, a ``stop`` that is not empty raises KeyboardInterrupt.
    """

    def __init__(self, name: str = "", stop: Sequence[int] = ()) -> None:
        self._stop = stop
        self.scored: dict[str, benchmark.TaskScored] = {}  # by task
        self.missing: dict[str, benchmark.TaskMissing] = {}  # by task
        self._display = Display(name)
        self._bar: show.Bar | None = None

    def tick(self, task: str) -> Tick:
        """Return the progress callback of a task's features."""

        def update(done: int, total: int) -> None:
            self._bar = self._bar or show.Bar(total, "clip", f"{task}: features")
            self._bar.to(done)
            if self._stop:
                raise KeyboardInterrupt
            if done >= total:
                self.close()

        return update

    def close(self) -> None:
        """Remove the progress bar."""
        if self._bar:
            self._bar.close()
        self._bar = None

    def interrupted(self, folder: Path) -> None:
        """Print how to resume."""
        self.close()
        self._display.interrupted(folder)

    def show(self, event: benchmark.Event) -> None:
        """Display one event."""
        match event:
            case benchmark.TaskStarted():
                self._display.close()
                self._display = Display(event.task)
                show.say(f"{event.task}: {'already scored' if event.finished else 'probing'}")
            case benchmark.TaskScored():
                self.close()
                self.scored[event.task] = event
                show.say(
                    f"{event.task}: {event.metric} {event.score:.1f} on {event.found:,} of {event.listed:,} segments"
                )
            case benchmark.TaskMissing():
                self.close()
                self.missing[event.task] = event
                show.say(f"{event.task}: {'no data' if event.data_absent else 'not scored'}: {event.reason}")
            case _:
                self._display.show(event)


def summary(suite: Suite, scores: Mapping[str, float], name: str) -> None:
    """Print the table: domains, averages and the HARES score, ours next to the paper's."""
    header, body = cells(suite, scores)
    shown = _fitting(header, body, show.out.width)
    show.table(f"{name}: scores in percent", header[:shown], [row[:shown] for row in body])
    if header[shown:]:
        show.out.print(f"columns that need a wider terminal: {', '.join(header[shown:])}", soft_wrap=True)
    for domain, names in benchmark.domains(suite).items():
        if lacking := [metric_title(task) for task in names if task not in scores]:
            scored = f"{len(names) - len(lacking)} of {len(names)} tasks, so no average; missing: {', '.join(lacking)}"
            show.out.print(f"{metric_title(domain)}: {scored}", soft_wrap=True)


def cells(suite: Suite, scores: Mapping[str, float]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the table."""
    columns = [scores, *suite.columns.values()]
    means = [benchmark.averages(suite, column) for column in columns]
    body = []
    for domain, names in suite.domains.items():
        body += [[metric_title(task), *(_text(column.get(task)) for column in columns)] for task in names]
        body.append([f"{metric_title(domain)}, average", *(_text(mean[domain]) for mean in means)])
    return ["", "ours", *suite.columns], [*body, ["HARES", *(_text(mean["hares"]) for mean in means)]]


def _fitting(header: list[str], body: list[list[str]], width: int) -> int:
    """Number of columns that fit a width in characters; at least three."""
    taken, shown = 1, 0
    for column in zip(header, *body, strict=True):
        taken += max(map(len, column)) + 3
        if taken > width and shown >= 3:
            break
        shown += 1
    return shown


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
