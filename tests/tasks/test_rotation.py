"""Rotation of frames."""

import torch

from slowfast_cli.tasks.rotation import rotated


def test_quarter_turns_are_counter_clockwise():
    frames = torch.arange(4.0).reshape(1, 1, 1, 2, 2).expand(4, 3, 1, 2, 2)
    got = rotated(frames, torch.arange(4))[:, 0, 0]
    assert got.tolist() == [[[0, 1], [2, 3]], [[1, 3], [0, 2]], [[3, 2], [1, 0]], [[2, 0], [3, 1]]]
