"""Predict by how many quarter turns the frames were rotated: a label set of four classes (AV Sec. 6)."""

import zlib
from dataclasses import replace

import torch
from torch import Tensor

from slowfast_cli.tasks.classify import SPEC as CLASSIFY
from slowfast_cli.types import Batch

LABELS = "rotation"
TURNS = ("0 degrees", "90 degrees", "180 degrees", "270 degrees")


def quarters_of(id_: str) -> int:
    """Quarter turns of a segment when testing: a fixed function of its id."""
    return zlib.crc32(id_.encode("utf-8", "surrogateescape")) % len(TURNS)


def rotated(frames: Tensor, quarters_B: Tensor) -> Tensor:
    """Rotate square frames counter-clockwise, each clip by its number of quarter turns.

    Shape: (B, 3, T, H, H), (B,) -> (B, 3, T, H, H)
    """
    return torch.stack([clip.rot90(int(quarter), (-2, -1)) for clip, quarter in zip(frames, quarters_B, strict=True)])


def rotate_randomly(batch: Batch) -> Batch:
    """Rotate each training clip by a random number of quarter turns, which becomes its target."""
    quarters_B = torch.randint(len(TURNS), (len(batch),))
    turned = rotate(batch, quarters_B)
    return replace(turned, targets={LABELS: quarters_B.to(batch.device)})


def rotate(batch: Batch, quarters_B: Tensor) -> Batch:
    """Rotate the frames of a batch."""
    frames = batch.inputs.frames
    return batch if frames is None else replace(batch, inputs=replace(batch.inputs, frames=rotated(frames, quarters_B)))


def rotate_by_id(batch: Batch) -> Batch:
    """Rotate each test clip by the quarter turns that belong to its id."""
    return rotate(batch, torch.tensor([quarters_of(id_) for id_ in batch.ids]))


SPEC = replace(
    CLASSIFY, label_sets={LABELS: TURNS}, target=lambda id_: {LABELS: quarters_of(id_)}, needs="frames",
    transform=rotate_randomly, eval_transform=rotate_by_id,
)  # fmt: skip
