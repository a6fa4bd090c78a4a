"""Display of a training."""

from pathlib import Path

from slowfast_cli.cli import show
from slowfast_cli.cli.run_log import LOG
from slowfast_cli.engine.fit import Step
from slowfast_cli.metrics.registry import format_metric, informative, metric_title
from slowfast_cli.stages.train.auto_workers import SLOW, data_wait_advice
from slowfast_cli.stages.train.loop import Event, Finished, Scored, Started
from slowfast_cli.storage.remote import display

SHOWN_SCORES = 5  # of an epoch, and the one by which the best weights are kept
WINDOW = 50  # steps that displayed values are averaged over


class Display:
    """Displays the events of the training of a recipe, by its name."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._bar: show.Bar | None = None
        self._started: Started | None = None
        self._steps: list[Step] = []
        self._warned = self._reported_broken = self._reported_silent = False

    def show(self, event: Event) -> None:
        """Display one event."""
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
                    show.say(f"skipped {event.broken:,} unreadable segments, see {event.run / 'broken.csv'}")
                show.done(event.run)
                LOG.close()

    def _start(self, event: Started) -> None:
        self._started = event
        LOG.open(event.run)
        show.say(
            f"{self._name}: {event.parameters / 1e6:.2f} M parameters; "
            f"{show.coverage(event.train)}; {show.coverage(event.val)}"
        )
        for remark in event.remarks:
            show.say(f"note: {remark}")
        if event.init:
            init = event.init
            fresh = f"fresh {len(init.fresh)}{_examples(init.fresh)}"
            show.say(
                f"initial weights: {event.init_name}: loaded {len(init.loaded)}, {fresh}, "
                f"unused {len(init.unused)}{_examples(init.unused)}"
            )
        if event.first_step == event.steps:
            show.say(f"already finished, after {event.steps} steps: --fresh starts over")
        elif event.first_step:
            show.say(
                f"resuming at step {event.first_step} of {event.steps} (epoch {event.first_step / event.epoch_steps:g})"
            )
        self._bar = show.Bar(event.steps, "step", self._name)

    def _step(self, step: Step) -> None:
        for failure in step.broken if not self._reported_broken else ():
            self._reported_broken = True
            show.say(f"skipped an unreadable segment: {failure.reason}; further ones are only counted")
            break
        if step.without_audio and not self._reported_silent:
            self._reported_silent = True
            show.say(
                f"without audio: {step.without_audio} of the {step.clips} clips of step {step.number}, and possibly "
                "later ones: they are recognized by their frames alone"
            )
        self._steps = [*self._steps[1 - WINDOW :], step]
        seconds = sum(step.seconds for step in self._steps)
        clips = sum(step.clips for step in self._steps) / seconds
        loss = self._mean_loss()
        data_wait = self._data_wait()
        if self._bar:
            self._bar.to(
                step.number, f"data wait {data_wait:.0%}, loss {loss:.3f}, lr {step.lr:.1g}, {clips:.3g} clips/s"
            )
        if data_wait > SLOW and len(self._steps) == WINDOW and not self._warned and self._started:
            self._warned = True
            advice = data_wait_advice(data_wait, step.workers, source=self._started.source, cores=self._started.cores)
            show.say(f"data wait is {data_wait:.0%} of the time: {advice}")

    def _data_wait(self) -> float:
        """Share of the time spent waiting for data."""
        return sum(step.data_wait for step in self._steps) / max(sum(step.seconds for step in self._steps), 1e-9)

    def _mean_loss(self) -> float:
        return sum(step.loss for step in self._steps) / max(len(self._steps), 1)

    def _score(self, event: Scored) -> None:
        values = event.scores.values
        names = informative(values, self._started.val.classes if self._started else {})
        shown = dict.fromkeys([*names[:SHOWN_SCORES], *values.keys() & {event.metric}])
        scores = ", ".join(f"{metric_title(key)} {format_metric(key, values[key])}" for key in shown)
        best, data_wait = " (best)" if event.best else "", f"data wait {self._data_wait():.0%}"
        show.say(f"epoch {event.epoch}: loss {self._mean_loss():.3f}, {scores}{best}; {data_wait}")

    def interrupted(self, folder: Path | None = None) -> None:
        """Print how to resume; without a folder, of the training that has started, if one has."""
        folder = folder or (self._started.run if self._started else None)
        if folder:
            show.say(f"interrupted; progress is saved in {display(folder)}: re-run the command to resume")

    def close(self) -> None:
        """Remove the progress bar."""
        if self._bar:
            self._bar.close()
            self._bar = None


def _examples(names: tuple[str, ...]) -> str:
    return f" ({', '.join(names[:2])}{', ...' if len(names) > 2 else ''})" if names else ""
