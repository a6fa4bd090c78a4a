"""A suite on the screen: its tasks as they are scored, and the table of the paper at the end (HARES Table 4)."""

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
    """Shows the events of one evaluation, and of the training before it.

    Args:
        name: Of what is trained before.
        stop: Holds something once the user wants to stop: features are then computed no further.

    Attributes:
        scored: What the tasks gave, by name.
        missing: Why others gave nothing.
    """

    def __init__(self, name: str = "", stop: Sequence[int] = ()) -> None:
        self._stop = stop
        self.scored: dict[str, benchmark.TaskScored] = {}
        self.missing: dict[str, benchmark.TaskMissing] = {}
        self._display = Display(name)
        self._bar: show.Bar | None = None

    def tick(self, task: str) -> Tick:
        """What is told of the features of a task."""

        def told(done: int, total: int) -> None:
            self._bar = self._bar or show.Bar(total, "clip", f"{task}: features")
            self._bar.to(done)
            if self._stop:
                raise KeyboardInterrupt
            if done >= total:
                self.close()

        return told

    def close(self) -> None:
        """Take the bar away."""
        if self._bar:
            self._bar.close()
        self._bar = None

    def interrupted(self, folder: Path) -> None:
        """Say what becomes of an interrupted run."""
        self.close()
        self._display.interrupted(folder)

    def show(self, event: benchmark.Event) -> None:
        """Show one event."""
        match event:
            case benchmark.TaskStarted():
                self._display.close()
                self._display = Display(event.task)
                show.say(f"{event.task}: {'scored before' if event.finished else 'probing'}")
            case benchmark.TaskScored():
                self.close()
                self.scored[event.task] = event
                show.say(
                    f"{event.task}: {event.metric} {event.score:.1f} on {event.found:,} of {event.listed:,} segments"
                )
            case benchmark.TaskMissing():
                self.close()
                self.missing[event.task] = event
                show.say(f"{event.task}: {'no data' if event.absent else 'not scored'}: {event.reason}")
            case _:
                self._display.show(event)


def summary(asked: Suite, scores: Mapping[str, float], name: str) -> None:
    """The table: domains, averages and the HARES score, ours beside the paper's."""
    header, body = cells(asked, scores)
    shown = _fitting(header, body, show.out.width)
    show.table(f"{name}: scores in percent", header[:shown], [row[:shown] for row in body])
    if header[shown:]:
        show.out.print(f"in a wider window also: {', '.join(header[shown:])}", soft_wrap=True)
    for domain, names in benchmark.domains(asked).items():
        if lacking := [metric_title(task) for task in names if task not in scores]:
            told = f"{len(names) - len(lacking)} of {len(names)} tasks, so no average; missing: {', '.join(lacking)}"
            show.out.print(f"{metric_title(domain)}: {told}", soft_wrap=True)


def cells(asked: Suite, scores: Mapping[str, float]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of it."""
    columns = [scores, *asked.columns.values()]
    means = [benchmark.averages(asked, column) for column in columns]
    body = []
    for domain, names in asked.domains.items():
        body += [[metric_title(task), *(_text(column.get(task)) for column in columns)] for task in names]
        body.append([f"{metric_title(domain)}, average", *(_text(mean[domain]) for mean in means)])
    return ["", "ours", *asked.columns], [*body, ["HARES", *(_text(mean["hares"]) for mean in means)]]


def _fitting(header: list[str], body: list[list[str]], width: int) -> int:
    """How many columns stand side by side in so many characters; the first three in any case."""
    taken, shown = 1, 0
    for column in zip(header, *body, strict=True):
        taken += max(map(len, column)) + 3
        if taken > width and shown >= 3:
            break
        shown += 1
    return shown


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
