"""Messages of a training in progress."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from slowfast_cli.engine.fit import Step
from slowfast_cli.types import Corpus, Scores
from slowfast_cli.weights.file import Loaded


@dataclass(frozen=True, kw_only=True)
class Started:
    """Everything is built, and training starts."""

    run: Path
    first_step: int  # steps done before; 0 for a new run
    steps: int  # in total
    epoch_steps: int
    parameters: int
    train: Corpus
    val: Corpus
    init: Loaded | None  # what was copied from other weights
    init_name: str | None  # those weights, as the recipe names them
    source: str  # `data.source` of the recipe
    cores: int  # available to the workers of this process
    remarks: Sequence[str] = ()  # what the user should know about the data


@dataclass(frozen=True, kw_only=True)
class Scored:
    """The validation split was scored, and the weights are saved."""

    epoch: int  # epochs done
    scores: Scores
    metric: str  # the score by which the best weights are kept
    best: bool  # the best so far


@dataclass(frozen=True, kw_only=True)
class Finished:
    """The run is complete."""

    run: Path
    broken: int = 0  # segments that could not be read, listed in ``broken.csv``


Event = Started | Step | Scored | Finished
