"""The sections of a recipe on optimization: the step, and the length of the training."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from slowfast_cli.recipe.fields import Section, Share
from slowfast_cli.settings import Amount, Count, Positive, Rate


class Optim(Section):
    """The optimizer and its step."""

    name: Literal["sgd", "adam", "adamw"] = "sgd"
    """Optimizer."""
    lr: Rate
    """Highest learning rate, for a batch of `lr_batch` clips."""
    lr_batch: Positive | None = None
    """Batch that `lr` is for: with another `batch` the rate is scaled in proportion; null: not scaled."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Momentum of sgd; first beta of adam and adamw."""
    nesterov: bool = False
    """Nesterov momentum of sgd."""
    weight_decay: Amount = 0.0
    """Weight decay of all parameters, or of those that are not in norms, see `decay_norms`."""
    decay_norms: bool = True
    """Apply weight decay to the parameters of norms."""
    batch: Positive = 32
    """Clips per optimizer step, over all processes."""
    grad_accum_steps: Positive = 1
    """Gradient-accumulation steps."""
    bn_batch_size: Positive | None = None
    """Clips that a batch norm sees: the batch is processed in micro-batches of this size."""
    clip_norm: Annotated[float, Field(gt=0)] = float("inf")
    """Gradient clipping by norm."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Label smoothing."""
    loss_weights: dict[str, Rate] = Field(default_factory=dict)
    """Weights of the losses by label set; 1 for those not named."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Autocast type of the forward pass."""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Decay of the exponential moving average of the weights, which is scored and saved; 0 has none. After n steps the
    decay is at most (1 + n) / (10 + n)."""
    compile: bool = False
    """Run the network through torch.compile."""
    cuda_graphs: bool = False
    """Replay each step as one CUDA graph: faster where launches dominate, with small batches on a large GPU."""
    activation_checkpointing: bool = False
    """Store only the stages' inputs for the backward pass and recompute the rest, to save memory."""
    sync_bn: bool = False
    """Batch-norm statistics over all processes (CUDA)."""

    @model_validator(mode="after")
    def _is_consistent(self) -> Optim:
        if self.nesterov and self.name == "sgd" and not self.momentum:
            raise ValueError("optim.nesterov: needs optim.momentum above 0")
        if self.cuda_graphs and (self.grad_accum_steps > 1 or self.bn_batch_size or self.precision == "fp16"):
            raise ValueError(
                "optim.cuda_graphs: records whole batches in fp32 or bf16: set optim.grad_accum_steps=1 and "
                "optim.bn_batch_size=null"
            )
        if self.activation_checkpointing and (self.cuda_graphs or self.compile):
            other = "optim.cuda_graphs" if self.cuda_graphs else "optim.compile"
            raise ValueError(f"optim.activation_checkpointing: does not work with {other}: set one of them to false")
        if self.batch % self.grad_accum_steps:
            raise ValueError(
                f"optim.grad_accum_steps: {self.grad_accum_steps} does not divide optim.batch={self.batch}"
            )
        if self.bn_batch_size and (self.grad_accum_steps > 1 or self.batch % self.bn_batch_size):
            raise ValueError(
                f"optim.bn_batch_size: optim.batch={self.batch} must be a multiple of {self.bn_batch_size}, and "
                "optim.grad_accum_steps 1"
            )
        return self


class Schedule(Section):
    """Length of the training, and its learning rate."""

    epochs: Positive | None = None
    """Passes over the training split; or give `steps`."""
    steps: Positive | None = None
    """Optimizer steps; or give `epochs`."""
    shape: Literal["steps", "cosine", "restarts"] = "steps"
    """Drops at given epochs; half a cosine to zero; or cosines in sequence, each twice as long as the one before."""
    restart: Positive = 2
    """Length of the first of those cosines, in epochs, or in steps if `steps` is given."""
    floor: Share = 0.0
    """Share of the rate at which those cosines end."""
    drop_at: tuple[Positive, ...] = ()
    """Epochs, or steps if `steps` is given, after which the rate drops."""
    drop_by: Share = 0.1
    """Factor of each drop."""
    warmup_epochs: Amount = 0
    """Linear warm-up, in epochs."""
    warmup_steps: Count = 0
    """Linear warm-up, in steps."""
    warmup_from: Share = 0.01
    """Share of the rate at which the warm-up starts."""
    warmup_apart: bool = False
    """Start the shape after the warm-up, at the full rate; otherwise the warm-up leads to the shape's value there."""
    validate_every: Positive | None = 1
    """Epochs between validations; the last epoch is always validated, with null only that one."""
    patience: Count = 0
    """Validations in sequence without a better score after which the training ends; 0 never ends it early. Above 0, the
    lower validation loss decides between equal scores."""
    checkpoint_steps: Positive = 1000
    """Steps between checkpoints: the most work a killed run loses."""
    precise_bn_batches: Count = 0
    """Training batches over which batch-norm statistics are recomputed before scoring."""

    @model_validator(mode="after")
    def _one_length(self) -> Schedule:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("schedule: give either epochs or steps (set the other to null)")
        if self.warmup_epochs and self.warmup_steps:
            raise ValueError("schedule: give either warmup_epochs or warmup_steps")
        return self
