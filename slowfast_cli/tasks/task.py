"""What a network learns: losses and scores (`Part`), and what the builders must know about a task (`TaskSpec`).

Shapes: R rows, one per clip or per box; C classes of one label set.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from slowfast_cli.settings import Pretext
from slowfast_cli.types import Batch, Prediction, Target

Outputs = Mapping[str, Tensor]
BatchTransform = Callable[[Batch], Batch]
PRETEXT_TOP1 = "pretext_top1"  # retrieval accuracy of pretraining, as a label set of one number


class Part(Protocol):
    """One loss of a task, and the scores that go with it."""

    def losses(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Scalars by name, each a mean over the batch."""

    def scores(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Probabilities (R, C) by label set."""


@dataclass(frozen=True)
class Task:
    """All that is learned from one forward pass: the losses of the parts are summed.

    Losses are weighted by their names; those without a weight count once.
    """

    parts: tuple[Part, ...]
    weights: Mapping[str, float] = field(default_factory=dict)

    def loss(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Run the model; losses of all parts, by name."""
        return self.losses(_forward(model, batch), batch)

    def losses(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Losses of all parts, by name, from the model's outputs."""
        losses = {name: value for part in self.parts for name, value in part.losses(outputs, batch).items()}
        return losses | {name: self.weights[name] * losses[name] for name in losses if name in self.weights}

    @torch.inference_mode()
    def predict(self, model: nn.Module, batch: Batch) -> list[Prediction]:
        """Probabilities of each clip, or of each of its boxes, on the CPU."""
        outputs = _forward(model, batch)
        tensors = {name: value for part in self.parts for name, value in part.scores(outputs, batch).items()}
        scores = {name: rows.cpu().numpy() for name, rows in tensors.items()}
        if batch.boxes is None:
            return [
                Prediction(id=id_, scores={name: rows[row] for name, rows in scores.items()})
                for row, id_ in enumerate(batch.ids)
            ]
        owners = batch.boxes[:, 0].long().tolist()
        return [
            Prediction(id=batch.ids[owner], scores={name: rows[row] for name, rows in scores.items()}, place=place)
            for row, (owner, place) in enumerate(zip(owners, batch.places, strict=True))
        ]


def _forward(model: nn.Module, batch: Batch) -> Outputs:
    signals = batch.inputs.signals
    outputs: Outputs = model(signals) if batch.boxes is None else model(signals, batch.boxes)
    return outputs


@dataclass(frozen=True, kw_only=True)
class TaskSpec:
    """A task as data: one value per task, listed in `slowfast_cli.tasks.registry`."""

    part: Callable[[Sequence[str], float, Pretext], Part] | None
    """Makes the loss from the label sets, the label smoothing and the pretext settings; None: only AV-sync's."""
    metric: str = "top1"
    """Score by which the best weights are kept, unless the recipe names another."""
    label_sets: Mapping[str, tuple[str, ...]] | None = None
    """Label sets and class names that the task makes itself, empty without labels; None: those of the corpus."""
    target: Callable[[str], Mapping[str, Target]] = lambda id_: {}
    """Targets of a segment by its id, when testing, where the task makes its own label sets."""
    multi_label: bool = False
    """Any number of classes may hold at once (sigmoid) instead of exactly one (softmax)."""
    boxes: bool = False
    """Classify boxes instead of whole clips."""
    needs: str = ""
    """Signal that the task changes or compares, `frames` or `logmel`, which the network must read; empty: any."""
    crops: int = 1
    """Random clips of a segment that are read for a training batch."""
    views_per_segment: int = 1
    """Rows of a batch that come from the same segment and are compared with each other."""
    objective: Callable[[nn.Module, Pretext], nn.Module] | None = None
    """Module that pretraining adds to the trunk, made from the trunk."""
    body: str = ""
    """Kind of the only baseline that the objective trains; empty: any network."""
    variant: str = ""
    """Name of a network with that body, for the error message."""
    views: Callable[[], nn.Module] | None = None
    """Module that makes two views of a batch, (B, 1, T, F) -> (2B, 1, T, F); its state is saved with the run."""
    transform: BatchTransform | None = None
    """Change of a training batch on the device, after augmentation and cropping."""
    eval_transform: BatchTransform | None = None
    """Change of each test crop on the device."""
    min_batch: int = 1
    """Smallest batch that has something to compare."""
    whole_batch_loss: bool = False
    """The loss compares all clips of a batch: micro-batches need gradient caching."""

    @property
    def has_objective(self) -> bool:
        """Whether it has a loss module of its own; tasks that make their own labels, such as rotation, have not."""
        return self.objective is not None
