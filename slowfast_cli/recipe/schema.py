"""The recipe: every field with its type, unit and default.

A recipe is closed: an unknown field is an error. `slowfast_cli.recipe.load` reads recipes; whether a recipe goes with a
task, a network or a corpus is checked in `slowfast_cli.build`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, model_validator

from slowfast_cli.recipe.fields import MetricName, Section, Share, Where
from slowfast_cli.recipe.optimization import Optim, Schedule
from slowfast_cli.settings import Amount, Augment, Count, Frames, FrontEnd, Positive, Pretext, Rate, Task


class Data(Section):
    """The data set, its splits, and how clips are cut from segments."""

    corpus: str
    """Name of a data set, see `slowfast data ls`."""
    root: Where | None = None
    """Folder of the data set, or any fsspec URL; by default $SLOWFAST_DATA/<corpus>, or data/<corpus>."""
    shards: Where | None = None
    """Folder of the log-mels that `slowfast extract` wrote, or of a probe's features; by default `shards` beside the
    root."""
    source: Literal["shards", "media", "features"] = "shards"
    """Read stored log-mels; or decode the media and compute the log-mel of the exact clip on the device; or read stored
    features of a frozen trunk (probes)."""
    train: str = "train"
    """Split for training; {fold} is replaced by the field of that name."""
    val: str = "test"
    """Split that is scored during training."""
    test: str = "test"
    """Split that `slowfast evaluate` scores."""
    fold: Annotated[int, Field(ge=1, le=20)] | None = None
    """Held-out fold, for data sets with folds, or one of `folds`."""
    folds: Annotated[int, Field(ge=0, le=20)] = 0
    """Number of parts of own data, of which `fold` is held out for validation and test; 0 keeps its splits."""
    labels: tuple[str, ...] = ()
    """Label sets to learn, or columns of a csv file; all of the data set by default."""
    clip_seconds: Rate | None = None
    """Length of an audio clip; shorter segments are padded, see `pad`. For video see `video`."""
    views: Count = 1
    """Test clips spread evenly over a segment, whose predictions are merged; 0 takes consecutive clips covering it."""
    pad: Literal["last", "silence"] = "last"
    """Padding of audio clips shorter than `clip_seconds`: repeat the last frame, or silence."""
    merge: Literal["mean", "max"] = "mean"
    """How the predictions of a segment's views are merged."""
    fusion: Literal["probabilities", "logits"] = "probabilities"
    """What `slowfast evaluate --ensemble` averages over models: probabilities, or their logits, before the softmax."""
    balanced: bool = False
    """Draw training clips so that all classes of the first label set are equally frequent."""
    unknown: str = ""
    """A class that stands for everything else: the answer "none of the others" in predictions."""
    workers: Count | None = None
    """Processes that read clips; by default one per core, up to 8, then tuned to the data wait."""


class Sync(Section):
    """Audio-visual synchronization, beside the task or as the task."""

    stages: tuple[Literal["res2", "res3", "res4", "res5"], ...] = ("res3", "res4", "res5")
    """Stages at which audio and video features are compared."""
    weight: Amount = 1.0
    """Weight of each stage's loss."""
    hard: Share = 0.25
    """Share of clips with a hard negative, their own audio at another time; the others get that of another clip."""
    hard_from: Share = 0.5
    """Share of the training after which hard negatives start."""
    gap_seconds: Amount = 0.5
    """Least distance of a hard negative."""
    test: Literal["easy", "hard"] = "hard"
    """Negatives when testing: the audio of another clip, or the clip's own at another time."""


class Model(Section):
    """The network and its initial weights."""

    variant: str | None = None
    """A network of `slowfast recipes variants`, or ``package.module:callable`` for your own module; null takes the
    network of `init`."""
    width: Positive | None = None
    """Channels after the stem of the widest pathway, the others in proportion; by default the variant's own."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout on the features before the head."""
    hidden: Count = 0
    """Units of a hidden layer between features and classifiers; 0 has none."""
    init: str | None = None
    """Initial weights: a file, a run folder or a catalog name; heads for other classes start fresh."""
    freeze_bn: Literal["none", "all-but-first", "all"] = "none"
    """Batch norms whose statistics and parameters stay as in `init`."""
    freeze_trunk: bool = False
    """Train the classifiers only (linear probe)."""
    drop_pathway: Share = 0.0
    """Share of training steps without audio: DropPathway's P_d (AV Sec. 3.5)."""


class Probe(Section):
    """Classifiers on frozen features of `model.init` (HARES Sec. 2.1 and App. A)."""

    features: Literal["live", "cached"] = "cached"
    """Compute features in every step, as in the paper, or once: of the test clips and of `crops` training clips."""
    crops: Positive = 10
    """Randomly cropped and augmented training clips per segment whose features are cached."""
    kind: Literal["linear", "svm"] = "linear"
    """A linear layer (after `model.hidden` units), or a linear support vector machine on cached features."""
    costs: tuple[Rate, ...] = (3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
    """Values of C for the support vector machine; the best on the first fold is used for all."""
    folds: tuple[Positive, ...] = ()
    """Folds that are scored separately and averaged."""


class Suite(Section):
    """Tasks that score a pretrained trunk, each with its own probe."""

    domains: dict[str, tuple[str, ...]]
    """Tasks by domain: names of recipes in ``recipes/hares``."""
    columns: dict[str, dict[str, float]] = Field(default_factory=dict)
    """The paper's numbers by network and task, in percent."""


class Events(Section):
    """How `slowfast evaluate --events` merges windows into events; its options override these fields."""

    window: Rate | None = None
    """Length of the windows, seconds; by default that of the clips of the weights, a tenth apart."""
    hop: Rate | None = None
    """Distance of the windows, seconds; together with `window`."""
    threshold: Annotated[float, Field(gt=0, le=1)] | None = None
    """Score from which a class is an event; by default the thresholds stored in the weights, else 0.5."""
    low: Share = 1.0
    """Hysteresis: events extend down to this share of the threshold."""
    smooth: Amount = 0.0
    """Length of a median filter over the scores, seconds."""
    max_gap: Amount = 0.0
    """Events of a class that are no further apart are joined, seconds."""
    min_length: Amount = 0.0
    """Shorter events are dropped, seconds."""
    score: Literal["mean", "max"] = "mean"
    """Score of an event: mean or maximum of its frames."""

    @model_validator(mode="after")
    def _has_windows(self) -> Events:
        if (self.window is None) != (self.hop is None) or (self.window and self.hop and self.hop > self.window):
            raise ValueError(
                f"events.window: {self.window} with events.hop {self.hop}: set both, the hop no longer than the window"
            )
        return self


Level: TypeAlias = Annotated[int, Field(ge=0, le=5)]


class Challenge(Section):
    """Supervision levels (Damen and Wray, arXiv:2008.09890) that a submission to an EPIC challenge states, 0 to 5.

    An ensemble states the highest level of its members.
    """

    pretraining: Level = 2
    """`sls_pt`: 0 none, 1 public images, 2 public images and video, 3 self-supervised on public data, 4 the same and
    EPIC, 5 private data."""
    labels: Level = 3
    """`sls_tl`: 0 none, 1 weak for a video, 2 weak in time, 3 start and stop times, 4 places too, 5 prior knowledge
    too."""
    data: Level | None = None
    """`sls_td`: 0 zero-shot, 1 few-shot, 2 up to a quarter, 3 train, 4 train and validation, 5 more; by default 3 or 4,
    as the split says that the weights were trained on."""


class Row(Section):
    """One row of a table: the fields that change, and the paper's numbers."""

    set: dict[str, Any] = Field(default_factory=dict)
    """Fields to change, by dotted name."""
    folds: tuple[Positive, ...] = ()
    """Folds that are trained and scored separately, and averaged."""
    published: dict[str, float] = Field(default_factory=dict)
    """The paper's numbers by metric; `params_m` in millions, `gflops` per view."""


class Recipe(Section):
    """A whole experiment, and the numbers it should give."""

    data: Data
    frontend: FrontEnd = FrontEnd()
    video: Frames | None = None
    augment: Augment = Augment()
    model: Model
    task: Task = "classify"
    """What is learned: ``classify`` (one class of each label set), ``multilabel`` (any number of classes), ``detect``
    (classes of boxes); without labels: ``rotation`` of frames, ``sync`` of audio and video, ``simclr``, ``byol``,
    ``cpc`` or ``masked`` pretraining."""
    sync: Sync | None = None
    pretext: Pretext = Pretext()
    probe: Probe | None = None
    suite: Suite | None = None
    events: Events = Events()
    challenge: Challenge = Challenge()
    optim: Optim
    schedule: Schedule
    adapt: bool = False
    """Fit clip length, time masks, views, batch and length of the training to the data; values of the recipe and of
    overrides are upper bounds, those of the length lower bounds. Balance classes that differ by more than 1:3."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Seed of initialization, order, crops and augmentation."""
    metric: MetricName | None = None
    """Score by which the best weights are kept; by default that of the task."""
    keep: Literal["best", "last"] = "best"
    """Weights to use: the best on the validation split, or the last, where that split is also the test split."""
    published: dict[str, float] = Field(default_factory=dict)
    """The paper's numbers by metric."""
    measured: dict[str, float] = Field(default_factory=dict)
    """Our numbers with this recipe, by metric."""
    tables: dict[str, dict[str, Row]] = Field(default_factory=dict)
    """The paper's tables, row by row."""

    @model_validator(mode="after")
    def _has_initial_weights(self) -> Recipe:
        if self.model.freeze_bn != "none" and self.model.init is None:
            raise ValueError(
                f"model.freeze_bn: {self.model.freeze_bn} freezes pretrained batch norms, but model.init names no "
                "weights: use `slowfast finetune RECIPE --weights FILE`, set model.init=FILE, or model.freeze_bn=none "
                "to train from scratch"
            )
        if self.model.variant is None and self.model.init is None:
            raise ValueError("model.variant: name a network, or set model.init to weights, which contain one")
        if self.model.freeze_trunk and self.model.init is None:
            raise ValueError("model.freeze_trunk: needs a trained trunk: name its weights with model.init=FILE")
        return self

    @model_validator(mode="after")
    def _has_clips(self) -> Recipe:
        if self.data.fusion == "logits" and self.task in ("multilabel", "detect"):
            raise ValueError(
                f"data.fusion: logits are averaged before a softmax, which task {self.task} has none: set it to "
                "probabilities"
            )
        if (self.data.clip_seconds is None) == (self.video is None):
            raise ValueError("data.clip_seconds: is for audio alone; the clips of video are described under `video`")
        if self.data.clip_seconds is not None and self.data.clip_seconds * self.frontend.rate < 2:
            raise ValueError(f"data.clip_seconds: {self.data.clip_seconds} s at {self.frontend.rate} Hz are no samples")
        if self.video is not None and self.video.sampling == "uniform" and self.data.views != 1:
            raise ValueError(
                f"data.views: {self.data.views}: with video.sampling: uniform a clip is the whole segment: set it to 1"
            )
        if self.video is not None and self.augment.mix:
            raise ValueError("augment.mix: mixes audio only, and this recipe reads video: set it to 0")
        return self

    @model_validator(mode="after")
    def _has_splits(self) -> Recipe:
        splits = (self.data.train, self.data.val, self.data.test)
        for split in splits:
            if set(split.replace("{fold}", "")) & set("{}"):
                raise ValueError(f"data: {split!r}: the name of a split may contain {{fold}}, and no other braces")
        if "{fold}" in "".join(splits) and self.data.fold is None:
            raise ValueError("data.fold: the splits are named by fold, so its number is needed, as data.fold=1")
        if not self.data.folds and (self.data.fold or 0) > 5:
            raise ValueError(f"data.fold: {self.data.fold}, expected a number from 1 to 5, or data.folds")
        if self.data.folds == 1 or (self.data.folds and not 1 <= (self.data.fold or 0) <= self.data.folds):
            raise ValueError(f"data.fold: {self.data.fold}, expected a number from 1 to data.folds={self.data.folds}")
        return self

    def split(self, role: Literal["train", "val", "test"]) -> str:
        """The data set's name of a split, with the fold filled in."""
        return str(getattr(self.data, role)).replace("{fold}", str(self.data.fold))
