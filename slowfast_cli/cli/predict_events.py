"""Options and output of ``slowfast predict --events`` and ``--format``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slowfast_cli.cli import options
from slowfast_cli.types import SlowFastError, UsageError, finite

if TYPE_CHECKING:
    from slowfast_cli.events.event import FileEvents
    from slowfast_cli.events.merge import Merging
    from slowfast_cli.recipe.schema import Events
    from slowfast_cli.stages.predict.events import EventWriter
    from slowfast_cli.stages.predict.predictor import Predictor
    from slowfast_cli.stages.predict.results import Failed, Timeline
    from slowfast_cli.weights.file import Card

STDOUT = ("table", "json")
RECIPE_FIRST = "; evaluate: that of the recipe"


def _option(help: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel="Events", **more)


def _seconds(help: str, name: str) -> Any:
    return _option(help, name, min=0, metavar="SECONDS", show_default=f"0{RECIPE_FIRST}")


@dataclass(frozen=True, kw_only=True)
class MergeOptions:
    """How windows are merged into events."""

    events: Annotated[
        bool,
        _option(
            "Merge the windows of --timeline into events; by default a clip long, a tenth apart.",
            "--events",
        ),
    ] = False
    threshold: Annotated[
        str | None,
        _option(
            "Score from which a class is an event: 0.6, dog=0.7, or 0.6,dog=0.7.",
            show_default=f"those stored in the weights, else 0.5{RECIPE_FIRST}",
        ),
    ] = None
    low: Annotated[
        float | None,
        _option(
            "Hysteresis: events extend down to this share of the threshold.",
            min=0,
            max=1,
            show_default=f"1{RECIPE_FIRST}",
        ),
    ] = None
    smooth: Annotated[
        float | None, _seconds("Length of a median filter over the scores; live, of a mean.", "--smooth")
    ] = None
    max_gap: Annotated[float | None, _seconds("Join events of a class that are no further apart.", "--max-gap")] = None
    min_length: Annotated[float | None, _seconds("Drop shorter events.", "--min-length")] = None
    event_score: Annotated[
        str | None,
        _option("Score of an event: mean or max of its windows.", show_default=f"mean{RECIPE_FIRST}"),
    ] = None

    def merging(self, card: Card, defaults: Events | None = None) -> Merging:
        """The rules, with the thresholds of the weights.

        Args:
            card: Of the weights.
            defaults: Rules of a recipe, where no option is given.

        Raises:
            UsageError: A threshold is no number, or of an unknown class.
        """
        from slowfast_cli.events.merge import Merging
        from slowfast_cli.stages.predict.events import with_thresholds

        given = {"low": self.low, "smooth": self.smooth, "max_gap": self.max_gap, "min_length": self.min_length}
        given |= {"score": self.event_score}  # type: ignore[dict-item]
        rules = defaults.model_dump(exclude={"window", "hop", "threshold"}) if defaults else {}
        rules |= {name: value for name, value in given.items() if value is not None}
        thresholds = [f"{defaults.threshold:g}" if defaults and defaults.threshold else "", self.threshold or ""]
        return with_thresholds(Merging(**rules), card, ",".join(filter(None, thresholds)) or None)

    def check(self) -> None:
        """Raise `UsageError` for options that do not go together."""
        if self.event_score not in (None, "mean", "max"):
            raise UsageError(f"--event-score {self.event_score}: expected mean or max")
        rules = {f"--{field.name.replace('_', '-')}": getattr(self, field.name) for field in fields(self)}
        rules.pop("--events")
        if not self.events and (without := [name for name, value in rules.items() if value is not None]):
            raise UsageError(f"{without[0]}: is about events: add --events")


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """The files of events that are written."""

    formats: Annotated[
        str,
        _option(
            "table, json, csv, parquet, raven, audacity, birdnet, kaleidoscope, elan, vtt, srt.",
            "--format",
            metavar="NAME,...",
        ),
    ] = "table"
    out: Annotated[
        Path | None,
        _option(
            "Write the formats here: a file for each recording, and tables of all. Re-run to resume.",
            metavar="FOLDER",
            show_default=False,
        ),
    ] = None
    gpus: Annotated[
        int, _option("Processes, one per GPU, each with a share of the files; needs --out.", "--gpus", min=1)
    ] = 1
    clock: Annotated[bool, _option("Add the time of day, from the metadata or the name of the file.", "--clock")] = (
        False
    )

    @property
    def names(self) -> list[str]:
        """The formats, without the table on stdout."""
        return [name for name in dict.fromkeys(self.formats.split(",")) if name != "table"]

    @property
    def wanted(self) -> bool:
        """Whether files or columns of events are asked for."""
        return self.out is not None or bool(self.names) or self.clock

    def check(self) -> None:
        """Raise `UsageError` for options that do not go together."""
        from slowfast_cli.events.formats import require

        require(self.names)
        if self.gpus > 1 and self.out is None:
            raise UsageError(f"--gpus {self.gpus}: the processes write files: add --out FOLDER")
        if (files := [name for name in self.names if name not in STDOUT]) and self.out is None:
            raise UsageError(f"--format {','.join(files)}: writes files: add --out FOLDER")


def pick_checked(given: Mapping[str, Any]) -> tuple[MergeOptions, OutputOptions]:
    """The options among keyword arguments; raise `UsageError` for those that do not go together."""
    rules, output = options.pick(MergeOptions, given), options.pick(OutputOptions, given)
    rules.check()
    output.check()
    return rules, output


def predict_events(
    predictor: Predictor,
    weights: Path,
    paths: Sequence[Path | Failed],
    timeline: Timeline | None,
    rules: MergeOptions,
    output: OutputOptions,
    *,
    as_json: bool,
    fail: Callable[[Failed], None],
) -> None:
    """Predict files, print their events on stdout, and write them below ``--out``."""
    from slowfast_cli.cli import show
    from slowfast_cli.engine import distributed
    from slowfast_cli.stages.predict import events as stage

    share = distributed.join()
    card, windows = predictor.card, timeline or (stage.default_timeline(predictor.card) if rules.events else None)
    merging = rules.merging(card) if rules.events else None
    files = [path for path in paths if isinstance(path, Path)]
    writer: EventWriter | None = None
    done: dict[Path, FileEvents] = {}
    if output.out is not None and files:
        writer = _writer(weights, windows, merging, output, files, share.rank)
        distributed.fail_together(_started(writer) if share.rank == 0 else None, share)
        done = writer.finished()
        distributed.barrier(share)  # all have read the journals before any process adds to them
        if done:
            show.say(f"{sum(path in done for path in files)} of {len(files)} files are finished already")
    json_lines = as_json or ("json" in output.names and output.out is None)
    own = [path for path in paths[share.rank :: share.world] if path not in done]
    results = stage.events_of(
        predictor.files(own, windows), card, merging, windows, stage.clock if output.clock else None
    )
    failed = _predict_own(show.progress(results, len(own), "predict"), done, writer, json_lines=json_lines)
    distributed.barrier(share)
    everything = distributed.gather(failed, share)
    for number, failure in enumerate(everything):
        if number >= len(failed):  # of another process, which prints nothing
            show.say(f"error: {failure.reason}")
        fail(failure)
    if writer and share.rank == 0:
        done |= writer.finished()
        if lost := set(files) - done.keys() - {failure.path for failure in everything}:
            raise SlowFastError(f"{len(lost)} files have no result, such as {lost.pop()}: run the command again")
        _finish(writer, [done[path] for path in dict.fromkeys(files) if path in done])
    _report_clock(done, on=output.clock)
    distributed.leave()


def _predict_own(
    results: Iterable[FileEvents | Failed],
    done: dict[Path, FileEvents],
    writer: EventWriter | None,
    *,
    json_lines: bool,
) -> list[Failed]:
    """Print and write the results of this process; return the files that failed."""
    from slowfast_cli.cli import show
    from slowfast_cli.stages.predict.results import Failed

    failed = list[Failed]()
    for result in results:
        if isinstance(result, Failed):
            show.say(f"error: {result.reason}")
            failed.append(result)
            continue
        _print(result, json_lines=json_lines)
        done[result.path] = result
        if writer:
            writer.write(result)
    return failed


def _started(writer: EventWriter) -> SlowFastError | None:
    try:
        writer.start()
    except SlowFastError as error:
        return error
    return None


def _writer(
    weights: Path,
    windows: Timeline | None,
    merging: Merging | None,
    output: OutputOptions,
    files: list[Path],
    rank: int,
) -> EventWriter:
    from slowfast_cli.stages.predict import events as stage

    settings = {"weights": stage.weights_hash(weights), "windows": str(windows), "merging": str(merging)}
    settings |= {"formats": ",".join(output.names), "clock": str(output.clock)}
    folder = output.out or Path()
    return stage.EventWriter(folder=folder, formats=output.names, settings=settings, paths=files, rank=rank)


def _report_clock(done: Mapping[Path, FileEvents], *, on: bool) -> None:
    from slowfast_cli.cli import show
    from slowfast_cli.cli.show_predictions import name

    unknown = [path for path, file in done.items() if on and file.recorded is None]
    if unknown:
        count = f"{len(unknown)} of {len(done)} files"
        show.say(f"no time of day in metadata or name of {count}, such as {name(unknown[0])}")


def _print(file: FileEvents, *, json_lines: bool) -> None:
    from slowfast_cli.cli import show
    from slowfast_cli.cli.show_predictions import name
    from slowfast_cli.events.formats import CLOCK_COLUMNS, record

    records = [record(file, event) for event in file.events]
    if json_lines:
        for plain in records:
            typer.echo(json.dumps(finite(plain), ensure_ascii=False, allow_nan=False))
        return
    rows = [
        [plain["label"], f"{plain['start']:.2f}", f"{plain['end']:.2f}", f"{plain['score']:.1%}", *_clock(plain)]
        for plain in records
    ]
    if rows:
        columns = ["label", "start", "end", "score", *(["time of day"] if CLOCK_COLUMNS[0] in records[0] else [])]
        show.table(name(file.path), columns, rows)
    else:
        show.say(f"{name(file.path)}: no events")


def _clock(plain: dict[str, str]) -> Iterable[str]:
    return [plain["clock_start"]] if "clock_start" in plain else []


def _finish(writer: EventWriter, files: Sequence[FileEvents]) -> None:
    from slowfast_cli.cli import show
    from slowfast_cli.storage.remote import display

    for path in writer.finish(files):
        show.say(f"wrote {display(path)}")
    if len(files) and writer.formats:
        show.say(f"wrote {', '.join(writer.formats)} of {len(files)} files below {display(writer.folder)}")
