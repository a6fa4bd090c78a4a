"""What a recipe may say: every field, its type, its unit and its default.

A recipe is closed: a field that is not here is an error. `slowfast_cli.recipe.load` reads one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Section(BaseModel):
    """A closed, frozen part of a recipe."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), use_attribute_docstrings=True)


class Data(Section):
    """Which clips: the corpus, its splits, and how a clip is cut from a segment."""

    corpus: str
    """A data set, as `slowfast data ls` names them."""
    root: Path | None = None
    """Where it lies; by default $SLOWFAST_DATA/<corpus>, or data/<corpus>."""
    shards: Path | None = None
    """Where `slowfast extract` put its log-mels; by default in `shards` beside the root."""
    source: Literal["shards", "media"] = "shards"
    """Read stored log-mels, or decode the media and compute the log-mel of the exact clip on the device."""
    train: str = "train"
    """The split that is learned from; {fold} stands for the field of that name."""
    val: str = "test"
    """The split scored while training."""
    test: str = "test"
    """The split that `slowfast evaluate` scores."""
    fold: Annotated[int, Field(ge=1, le=5)] | None = None
    """The fold held out, for corpora that come in folds."""
    clip_seconds: Rate
    """Length of a clip; a segment that is shorter is padded with its last frame."""
    views: Positive = 1
    """Clips spread evenly over a segment, whose predictions are averaged when testing."""
    workers: Count | None = None
    """Processes that read clips; by default one a core, up to 8."""


class FrontEnd(Section):
    """The log-mel spectrogram; shards made with others are refused."""

    rate: Positive = 16000
    """Samples a second, Hz."""
    window_ms: Rate = 20
    """Length of the Hann window."""
    hop_ms: Rate = 10
    """From one frame to the next."""
    mels: Positive = 128
    """HTK mel bands."""
    fft: Positive = 2048
    """Points of the Fourier transform."""
    floor: Rate = 1e-6
    """Added to the mel magnitudes before the logarithm: what lies below counts as silence."""


class Augment(Section):
    """SpecAugment and example mixing, drawn for each clip, on the device, while training."""

    freq_masks: Count = 0
    """Bands blanked out in each clip."""
    freq_width: Count = 27
    """The widest such band, in mel bands: F of SpecAugment."""
    time_masks: Count = 0
    """Stretches blanked out in each clip."""
    time_width: Count = 25
    """The longest such stretch, in frames: T of SpecAugment."""
    warp: Count = 0
    """How far a point in time may be moved, in frames: W of SpecAugment."""
    roll: bool = False
    """Start each clip at a random frame, its end joined to its start."""
    stretch: Annotated[float, Field(ge=0, lt=1)] = 0
    """Play each clip up to this share faster or slower."""
    shift: Count = 0
    """Move each clip up or down by up to so many mel bands."""
    gain_db: Amount = 0
    """Loudness moved by up to this much either way."""
    mix: Amount = 0
    """Examples mixed in pairs, with the share drawn from Beta(mix, mix); 0 does not mix."""


class Model(Section):
    """The network and what it starts from."""

    variant: str
    """A network of `slowfast_cli.models.zoo`."""
    width: Positive | None = None
    """Channels after the stem of the widest pathway, the others in proportion; by default the variant's own."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """On the features before the head."""
    init: str | None = None
    """Weights to start from: a file, a run folder or a catalogue name; heads of other classes are made anew."""
    freeze_norms: Literal["none", "all-but-first", "all"] = "none"
    """Batch norms that keep the statistics and parameters of `init`."""


class Optim(Section):
    """The optimiser and one step of it."""

    name: Literal["sgd", "adam", "adamw"] = "sgd"
    """Which optimiser."""
    lr: Rate
    """Learning rate at the top of the schedule, for the whole batch."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Of sgd; for adam and adamw the first beta."""
    nesterov: bool = False
    """Of sgd."""
    weight_decay: Amount = 0.0
    """On every parameter, norms and biases included."""
    batch: Positive = 32
    """Clips in an optimiser step, over all processes."""
    accumulate: Positive = 1
    """Parts a batch is worked off in, where memory is short."""
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
    sync_norms: bool = False
    """Batch-norm statistics over all processes (CUDA)."""


class Schedule(Section):
    """How long, and the learning rate on the way."""

    epochs: Positive
    """Passes over the training split."""
    shape: Literal["steps", "cosine"] = "steps"
    """Drops at given epochs, or half a cosine to zero."""
    drop_at: tuple[Positive, ...] = ()
    """Epochs after which the rate drops."""
    drop_by: Share = 0.1
    """What it is multiplied with."""
    warmup_epochs: Amount = 0
    """Linear rise from a hundredth of the rate."""
    validate_every: Positive = 1
    """Epochs from one scoring of the validation split to the next; the last is always scored."""
    precise_norms: Count = 0
    """Training batches over which batch-norm statistics are averaged anew before scoring."""


class Row(Section):
    """One row of a table: what changes, and what the paper printed."""

    set: dict[str, Any] = {}
    """Fields to change, by dotted name."""
    published: dict[str, float] = {}
    """The paper's numbers, by metric; `params_m` in millions, `gflops` a view."""


class Recipe(Section):
    """A whole experiment, and the numbers it should give."""

    data: Data
    frontend: FrontEnd = FrontEnd()
    augment: Augment = Augment()
    model: Model
    task: Literal["classify"] = "classify"
    """What is learned: one class out of each label set."""
    optim: Optim
    schedule: Schedule
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Of initialisation, order, crops and augmentation."""
    metric: str = "top1"
    """The score by which the best weights are kept."""
    keep: Literal["best", "last"] = "best"
    """Weights to go by: those that scored best on the validation split, or the last, where that split is the test."""
    published: dict[str, float] = {}
    """What the paper printed, by metric."""
    measured: dict[str, float] = {}
    """What this recipe gave here, by metric."""
    tables: dict[str, dict[str, Row]] = {}
    """The paper's tables, row by row."""

    @model_validator(mode="after")
    def _holds_together(self) -> Recipe:
        if self.model.freeze_norms != "none" and self.model.init is None:
            raise ValueError(
                f"model.freeze_norms: {self.model.freeze_norms} freezes what was learned before, and model.init names "
                "no weights: use `slowfast finetune RECIPE --weights FILE`, set model.init=FILE, or "
                "model.freeze_norms=none to train from scratch"
            )
        if self.data.clip_seconds * self.frontend.rate < 2:
            raise ValueError(f"data.clip_seconds: {self.data.clip_seconds} s at {self.frontend.rate} Hz are no samples")
        if self.optim.nesterov and self.optim.name == "sgd" and not self.optim.momentum:
            raise ValueError("optim.nesterov: needs optim.momentum above 0")
        if self.optim.batch % self.optim.accumulate:
            raise ValueError(
                f"optim.accumulate: a batch of {self.optim.batch} does not part into {self.optim.accumulate}"
            )
        for part in (self.data.train, self.data.val, self.data.test):
            if set(part.replace("{fold}", "")) & set("{}"):
                raise ValueError(f"data: {part!r}: a split's name may hold {{fold}}, and nothing else in braces")
        if "{fold}" in self.data.train + self.data.val + self.data.test and self.data.fold is None:
            raise ValueError("data.fold: the splits are named by fold, so it wants a number from 1 to 5")
        return self

    def split(self, part: Literal["train", "val", "test"]) -> str:
        """The corpus's name of a split, the fold filled in."""
        return str(getattr(self.data, part)).replace("{fold}", str(self.data.fold))
