"""A training on the screen."""

from __future__ import annotations

from pathlib import Path

from slowfast_cli.cli import show
from slowfast_cli.engine.fit import Step
from slowfast_cli.metrics.registry import format_metric, metric_title
from slowfast_cli.stages.train.auto_workers import SLOW, data_wait_advice
from slowfast_cli.stages.train.loop import Event, Finished, Scored, Started
from slowfast_cli.storage.remote import display

WINDOW = 50  # steps that what is shown is a mean of


class Display:
    """Shows the events of one training.

    Args:
        name: The recipe's.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._bar: show.Bar | None = None
        self._started: Started | None = None
        self._steps: list[Step] = []
        self._warned = self._told_broken = self._told_silent = False

    def show(self, event: Event) -> None:
        """Show one event."""
        match event:
            case Started():
                self._start(event)
            case Step():
                self._step(event)
            case Scored():
                self._score(event)
            case Finished():
                self.close()
                if event.broken:
                    show.say(f"not readable, and left out: {event.broken:,} segments, see {event.run / 'broken.csv'}")
                show.done(event.run)

    def _start(self, event: Started) -> None:
        self._started = event
        show.say(
            f"{self._name}: {event.parameters / 1e6:.2f} M parameters; "
            f"{show.coverage(event.train)}; {show.coverage(event.val)}"
        )
        if event.init:
            told = event.init
            show.say(
                f"from other weights: loaded {len(told.loaded)}, new {len(told.fresh)}{_named(told.fresh)}, "
                f"unused {len(told.unused)}{_named(told.unused)}"
            )
        if event.first_step == event.steps:
            show.say(f"finished before, after {event.steps} steps: --fresh starts over")
        elif event.first_step:
            show.say(
                f"resuming at step {event.first_step} of {event.steps} (epoch {event.first_step / event.epoch_steps:g})"
            )
        self._bar = show.Bar(event.steps, "step", self._name)

    def _step(self, step: Step) -> None:
        for failure in step.broken if not self._told_broken else ():
            self._told_broken = True
            show.say(f"not readable, and left out: {failure.reason}; further ones are only counted")
            break
        if step.without_audio and not self._told_silent:
            self._told_silent = True
            show.say(
                f"without sound: {step.without_audio} of the {step.clips} clips of step {step.number}, maybe of others "
                "ones: they are recognised by their pictures alone"
            )
        self._steps = [*self._steps[1 - WINDOW :], step]
        seconds = sum(each.seconds for each in self._steps)
        clips = sum(each.clips for each in self._steps) / seconds
        loss = sum(each.loss for each in self._steps) / len(self._steps)
        data_wait = self._waited()
        if self._bar:
            self._bar.to(
                step.number, f"loss {loss:.3f}, lr {step.lr:.2g}, {clips:.0f} clips/s, data wait {data_wait:.0%}"
            )
        if data_wait > SLOW and len(self._steps) == WINDOW and not self._warned and self._started:
            self._warned = True
            told = data_wait_advice(data_wait, step.workers, source=self._started.source, cores=self._started.cores)
            show.say(f"data wait is {data_wait:.0%} of the time: {told}")

    def _waited(self) -> float:
        """Share of the time that was spent on waiting for data."""
        return sum(each.data_wait for each in self._steps) / max(sum(each.seconds for each in self._steps), 1e-9)

    def _score(self, event: Scored) -> None:
        told = ", ".join(
            f"{metric_title(key)} {format_metric(key, value)}" for key, value in list(event.scores.values.items())[:5]
        )
        loss = sum(each.loss for each in self._steps) / max(len(self._steps), 1)
        best, data_wait = " (best)" if event.best else "", f"data wait {self._waited():.0%}"
        show.say(f"epoch {event.epoch}: loss {loss:.3f}, {told}{best}; {data_wait}")

    def interrupted(self, folder: Path) -> None:
        """Say how to go on."""
        show.say(f"interrupted; everything up to here is in {display(folder)}: the same command goes on from there")

    def close(self) -> None:
        """Take the bar away."""
        if self._bar:
            self._bar.close()
            self._bar = None


def _named(names: tuple[str, ...]) -> str:
    return f" ({', '.join(names[:2])}{', ...' if len(names) > 2 else ''})" if names else ""
