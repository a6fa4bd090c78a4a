"""The options of ``slowfast evaluate``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated

import typer

from slowfast_cli.cli import options
from slowfast_cli.cli.predict_events import MergeOptions
from slowfast_cli.types import UsageError


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """Options of an evaluation on the recipe's own corpus, which a suite of tasks does not have."""

    split: Annotated[
        str, typer.Option(help="train, val or test: the recipe names the corresponding split of the data set.")
    ] = "test"
    compare: Annotated[Path | None, options.optional("Predictions folder of another run, from its own evaluate.")] = (
        None
    )
    ensemble: Annotated[
        list[str] | None, options.optional("Run folder or official weights of another model: average both.")
    ] = None
    min_gain: Annotated[
        float | None,
        typer.Option(help="For --compare: smallest gain of a listed class.", show_default="10 points, 1.5 times"),
    ] = None
    gain_unit: Annotated[str, typer.Option(help="Unit of --min-gain: points or ratio.")] = "points"
    submission: Annotated[
        Path | None,
        options.optional(
            "Write the JSON of the EPIC-KITCHENS-100 or EPIC-SOUNDS challenge here, or a .zip of it; with --events, of "
            "EPIC-SOUNDS detection."
        ),
    ] = None
    redact: Annotated[
        str | None, options.optional("Do not score segments of this class, such as background of EPIC-SOUNDS.")
    ] = None
    labels: Annotated[
        str | None,
        options.optional(
            "vggsounder, or its csv file: also score by this second annotation of VGG-Sound's test clips."
        ),
    ] = None
    engine: options.Engine = "auto"
    detections: Annotated[
        Path | None,
        options.optional("With --events: score this result file of EPIC-SOUNDS detection instead of weights."),
    ] = None
    timeline: Annotated[
        str | None,
        options.optional(
            "With --events: windows in seconds, as 2.0/0.5; by default of a clip's length, a tenth apart."
        ),
    ] = None

    def check(self) -> None:
        """Raise `UsageError` for a value that is not one of those allowed."""
        for option, value, allowed in (
            ("--split", self.split, ("train", "val", "test")),
            ("--gain-unit", self.gain_unit, ("points", "ratio")),
        ):
            if value not in allowed:
                raise UsageError(f"{option} {value}: choose {', '.join(allowed[:-1])} or {allowed[-1]}")

    def check_events(self, events: bool, *, several: bool, opens: bool) -> None:
        """Raise `UsageError` for options that do not go with ``--events``, or only with it."""
        own = {"--timeline": self.timeline, "--detections": self.detections}
        if not events and (given := [name for name, value in own.items() if value is not None]):
            raise UsageError(f"{given[0]} {own[given[0]]}: is about events: add --events")
        others: dict[str, object] = {
            "--compare": self.compare, "--ensemble": self.ensemble, "--redact": self.redact, "--labels": self.labels,
            "--gpus and --nodes": several, "--open": opens,
        }  # fmt: skip
        if events and (given := [name for name, value in others.items() if value]):
            raise UsageError(f"{given[0]}: not together with --events")

    def check_detections(self, rules: MergeOptions, weights: Sequence[str]) -> None:
        """Raise `UsageError` for options about weights with ``--detections``, whose events are already there."""
        refused: dict[str, object] = {
            "--weights": weights, "--submission": self.submission, "--timeline": self.timeline,
            "--engine": self.engine != "auto",
            "options that merge windows": replace(rules, events=False) != MergeOptions(),
        }  # fmt: skip
        if self.detections and (given := [name for name, value in refused.items() if value]):
            raise UsageError(f"--detections {self.detections}: not together with {given[0]}")

    def check_models(self, others: Mapping[str, object]) -> None:
        """Raise `UsageError` for options that do not go with several ``--weights``."""
        kept = ("--split", "--redact", "--engine")
        given = [name for name in self.changed() if name not in kept] + [name for name, on in others.items() if on]
        if given:
            raise UsageError(f"{given[0]}: not together with several --weights")

    def label(self) -> str:
        """Name of the folder of the results."""
        others = [f"{Path(other).parent.name}-{Path(other).name}".strip("-") for other in self.ensemble or []]
        redacted = f"-without-{self.redact.replace('/', '-')}" if self.redact else ""
        return "-with-".join([self.split, *others]) + redacted

    def changed(self) -> list[str]:
        """Names of the options that were given."""
        return [
            f"--{field.name.replace('_', '-')}" for field in fields(self) if getattr(self, field.name) != field.default
        ]
