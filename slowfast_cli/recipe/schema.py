"""What a recipe may say: every field, its type, its unit and its default.

A recipe is closed: a field that is not here is an error. `slowfast_cli.recipe.load` reads one.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from slowfast_cli.recipe.fields import Amount, Count, Positive, Rate, Section, Share
from slowfast_cli.recipe.inputs import Augment, Data, FrontEnd, Video


class Sync(Section):
    """Telling sound that belongs to the pictures from sound that does not, beside the task or as the task."""

    stages: tuple[Literal["res2", "res3", "res4", "res5"], ...] = ("res3", "res4", "res5")
    """Where the two are compared."""
    weight: Amount = 1.0
    """Of each stage's loss."""
    hard: Share = 0.25
    """Share of clips whose wrong sound is their own at another time; the others get that of another clip."""
    hard_from: Share = 0.5
    """The share of the training after which there are hard ones; all are easy before."""
    gap_seconds: Amount = 0.5
    """Least distance of the other time."""
    test: Literal["easy", "hard"] = "hard"
    """Wrong sounds when testing: of another clip, or the clip's own at another time."""


class Model(Section):
    """The network and what it starts from."""

    variant: str | None = None
    """A network of `slowfast_cli.models.zoo`, or ``package.module:callable`` for a module of your own; none: that of
    `init`."""
    width: Positive | None = None
    """Channels after the stem of the widest pathway, the others in proportion; by default the variant's own."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """On the features before the head."""
    hidden: Count = 0
    """Units of a hidden layer between the features and the classifiers; 0: none."""
    init: str | None = None
    """Weights to start from: a file, a run folder or a catalogue name; heads of other classes are made anew."""
    freeze_norms: Literal["none", "all-but-first", "all"] = "none"
    """Batch norms that keep the statistics and parameters of `init`."""
    freeze_trunk: bool = False
    """Learn the classifiers only, on features as `init` gives them: the linear probe."""
    drop_pathway: Share = 0.0
    """Share of training steps in which the pictures are alone: DropPathway's P_d (AV Sec. 3.5)."""


class Pretext(Section):
    """What a trunk is pretrained by, where the task is one that needs no labels."""

    temperature: Rate = 0.1
    """What similarities are divided by."""
    hidden: Positive = 4096
    """Units of the projector's hidden layers."""
    layers: Count = 3
    """Hidden layers of the projector of ``simclr``."""
    out: Positive = 128
    """Units of its output."""


class Probe(Section):
    """Classifiers on frozen features of `model.init` (HARES Sec. 2.1 and App. A)."""

    features: Literal["live", "cached"] = "cached"
    """Compute them anew in every step, as the paper, or once: of the test clips, and of `crops` training clips."""
    crops: Positive = 10
    """Training clips of each segment, cut and augmented at random, whose features are kept."""
    kind: Literal["linear", "svm"] = "linear"
    """A linear layer (with `model.hidden` units before it), or a linear support vector machine, on cached features."""
    costs: tuple[Rate, ...] = (3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
    """C of the support vector machine: the one that does best on the first fold is taken for all."""
    folds: tuple[Positive, ...] = ()
    """Folds that are scored one by one, and averaged."""


class Suite(Section):
    """Tasks that a pretrained trunk is scored by, each by a probe of its own."""

    domains: dict[str, tuple[str, ...]]
    """Tasks by domain: names of recipes in ``recipes/hares``."""
    columns: dict[str, dict[str, float]] = Field(default_factory=dict)
    """What the paper printed, by network and task, in percent."""


class Optim(Section):
    """The optimiser and one step of it."""

    name: Literal["sgd", "adam", "adamw"] = "sgd"
    """Which optimiser."""
    lr: Rate
    """Learning rate at the top of the schedule, for the whole batch."""
    lr_batch: Positive | None = None
    """The batch that `lr` is for: with another `batch` the rate changes in proportion. None leaves it as it is."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Of sgd; for adam and adamw the first beta."""
    nesterov: bool = False
    """Of sgd."""
    weight_decay: Amount = 0.0
    """On every parameter, norms and biases included, unless `decay_norms` is false."""
    decay_norms: bool = True
    """Whether the parameters of norms decay too."""
    batch: Positive = 32
    """Clips in an optimiser step, over all processes."""
    accumulate: Positive = 1
    """Parts a batch is worked off in, where memory is short."""
    norm_clips: Positive | None = None
    """Clips over which batch norms take their statistics: the batch is worked off in parts of so many."""
    clip_norm: Annotated[float, Field(gt=0)] = float("inf")
    """Largest norm of the gradient."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of a target spread over all classes."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Autocast type of the forward pass."""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Decay of the averaged weights that are scored and saved; 0 keeps none."""
    compile: bool = False
    """Run the network through torch.compile."""
    graphs: bool = False
    """Replay each step as one CUDA graph, where launching takes longer than computing: small batches on a large GPU."""
    recompute: bool = False
    """Keep what goes from stage to stage for the backward pass, and compute the rest again, where memory is short."""
    sync_norms: bool = False
    """Batch-norm statistics over all processes (CUDA)."""

    @model_validator(mode="after")
    def _parts(self) -> Optim:
        if self.nesterov and self.name == "sgd" and not self.momentum:
            raise ValueError("optim.nesterov: needs optim.momentum above 0")
        if self.graphs and (self.accumulate > 1 or self.norm_clips or self.precision == "fp16"):
            raise ValueError(
                "optim.graphs: records steps of one whole batch in fp32 or bf16: set optim.accumulate=1 and no "
                "optim.norm_clips"
            )
        if self.graphs and self.recompute:
            raise ValueError("optim.recompute: draws its random numbers again, which a graph cannot: set one to false")
        if self.recompute and self.compile:
            raise ValueError("optim.recompute: torch.compile decides itself what it keeps: set one of the two to false")
        if self.batch % self.accumulate:
            raise ValueError(f"optim.accumulate: a batch of {self.batch} does not part into {self.accumulate}")
        if self.norm_clips and (self.accumulate > 1 or self.batch % self.norm_clips):
            raise ValueError(
                f"optim.norm_clips: works a batch of {self.batch} off in parts of {self.norm_clips}: let it be a "
                "multiple of that, and optim.accumulate 1"
            )
        return self


class Schedule(Section):
    """How long, and the learning rate on the way."""

    epochs: Positive | None = None
    """Passes over the training split; or give `steps`."""
    steps: Positive | None = None
    """Optimiser steps; or give `epochs`."""
    shape: Literal["steps", "cosine", "restarts"] = "steps"
    """Drops at given epochs; half a cosine to zero; or such cosines one after the other, each twice as long."""
    restart: Positive = 2
    """Length of the first of them, in epochs, or in steps where `steps` is given."""
    floor: Share = 0.0
    """The share of the rate that they end at."""
    drop_at: tuple[Positive, ...] = ()
    """Epochs, or steps where `steps` is given, after which the rate drops."""
    drop_by: Share = 0.1
    """What it is multiplied with."""
    warmup_epochs: Amount = 0
    """Linear rise to the rate at the start."""
    warmup_steps: Count = 0
    """The same, in steps."""
    warmup_from: Share = 0.01
    """The share of the rate it rises from."""
    warmup_apart: bool = False
    """Whether the shape begins after the rise, at the full rate; else the rise leads to where the shape is by then."""
    validate_every: Positive | None = 1
    """Epochs from one scoring of the validation split to the next; the last is always scored, and with none only it."""
    checkpoint_steps: Positive = 1000
    """Steps from one writing of the training state to the next: a killed run repeats at most so many."""
    precise_norms: Count = 0
    """Training batches over which batch-norm statistics are averaged anew before scoring."""

    @model_validator(mode="after")
    def _one_length(self) -> Schedule:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("schedule: give either epochs or steps (set the other to null)")
        if self.warmup_epochs and self.warmup_steps:
            raise ValueError("schedule: give either warmup_epochs or warmup_steps")
        return self


Task = Literal["classify", "multilabel", "detect", "rotation", "sync", "simclr", "byol", "cpc", "masked"]
PRETEXTS = ("simclr", "byol", "cpc", "masked")


class Row(Section):
    """One row of a table: what changes, and what the paper printed."""

    set: dict[str, Any] = Field(default_factory=dict)
    """Fields to change, by dotted name."""
    folds: tuple[Positive, ...] = ()
    """Folds that are trained and scored one by one, and averaged."""
    published: dict[str, float] = Field(default_factory=dict)
    """The paper's numbers, by metric; `params_m` in millions, `gflops` a view."""


class Recipe(Section):
    """A whole experiment, and the numbers it should give."""

    data: Data
    frontend: FrontEnd = FrontEnd()
    video: Video | None = None
    augment: Augment = Augment()
    model: Model
    task: Task = "classify"
    """What is learned: one class out of each label set, any number of them, or those of each box; without labels: by
    how many quarters the frames were turned, nothing besides `sync`, which of many clips is of the same recording
    (simclr), what its features are (byol), what comes next (cpc) or is hidden (masked) in it."""
    sync: Sync | None = None
    pretext: Pretext = Pretext()
    probe: Probe | None = None
    suite: Suite | None = None
    optim: Optim
    schedule: Schedule
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Of initialisation, order, crops and augmentation."""
    metric: str = "top1"
    """The score by which the best weights are kept."""
    keep: Literal["best", "last"] = "best"
    """Weights to go by: those that scored best on the validation split, or the last, where that split is the test."""
    published: dict[str, float] = Field(default_factory=dict)
    """What the paper printed, by metric."""
    measured: dict[str, float] = Field(default_factory=dict)
    """What this recipe gave here, by metric."""
    tables: dict[str, dict[str, Row]] = Field(default_factory=dict)
    """The paper's tables, row by row."""

    @model_validator(mode="after")
    def _starts_somewhere(self) -> Recipe:
        if self.model.freeze_norms != "none" and self.model.init is None:
            raise ValueError(
                f"model.freeze_norms: {self.model.freeze_norms} freezes what was learned before, and model.init names "
                "no weights: use `slowfast finetune RECIPE --weights FILE`, set model.init=FILE, or "
                "model.freeze_norms=none to train from scratch"
            )
        if self.model.variant is None and self.model.init is None:
            raise ValueError("model.variant: names a network, or model.init weights that hold one")
        if self.task == "simclr" and self.optim.batch < 2:
            raise ValueError("optim.batch: simclr compares recordings with each other: at least 2 in a batch")
        if self.task in PRETEXTS and (self.video or self.probe):
            raise ValueError(f"task: {self.task} pretrains a network that listens: take `video` and `probe` out")
        if self.model.freeze_trunk and self.model.init is None:
            raise ValueError("model.freeze_trunk: wants a trained trunk: name its weights with model.init=FILE")
        return self

    @model_validator(mode="after")
    def _has_clips(self) -> Recipe:
        if (self.data.clip_seconds is None) == (self.video is None):
            raise ValueError("data.clip_seconds: is for sound alone; the clips of video are described under `video`")
        if self.data.clip_seconds is not None and self.data.clip_seconds * self.frontend.rate < 2:
            raise ValueError(f"data.clip_seconds: {self.data.clip_seconds} s at {self.frontend.rate} Hz are no samples")
        if self.task == "sync" and self.sync is None:
            raise ValueError("task: sync wants a section `sync` that says where sound and pictures are compared")
        if self.video is not None and self.augment.mix:
            raise ValueError("augment.mix: mixes sounds alone, and this recipe is about video: set it to 0")
        if self.video is None and (self.sync or self.task in ("detect", "rotation")):
            raise ValueError(f"task: {self.task}{' with sync' if self.sync else ''} is about video: add `video`")
        return self

    @model_validator(mode="after")
    def _has_splits(self) -> Recipe:
        for part in (self.data.train, self.data.val, self.data.test):
            if set(part.replace("{fold}", "")) & set("{}"):
                raise ValueError(f"data: {part!r}: a split's name may hold {{fold}}, and nothing else in braces")
        if "{fold}" in self.data.train + self.data.val + self.data.test and self.data.fold is None:
            raise ValueError("data.fold: the splits are named by fold, so it wants a number from 1 to 5")
        return self

    def split(self, part: Literal["train", "val", "test"]) -> str:
        """The corpus's name of a split, the fold filled in."""
        return str(getattr(self.data, part)).replace("{fold}", str(self.data.fold))
