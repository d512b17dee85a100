"""Exclusive or as a regression."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.data import Dataset

from lavadl_ref.slayer.io._room import room
from lavadl_ref.slayer.utils import _validate


class XOR(Dataset[tuple[Tensor, Tensor]]):
    """The four samples of exclusive or, held for some steps.

    Parameters
    ----------
    steps : int
        Steps of a sample.

    Sample i is float32 (2, steps), the two bits of i at every step, and float32 (1,), their exclusive or.

    Examples
    --------
    >>> [(inputs[:, 0].tolist(), target.item()) for inputs, target in (XOR(steps=3)[i] for i in range(4))]
    [([0.0, 0.0], 0.0), ([0.0, 1.0], 1.0), ([1.0, 0.0], 1.0), ([1.0, 1.0], 0.0)]
    """

    def __init__(self, steps: int = 10) -> None:
        steps = _validate.integer(steps, "steps of XOR", 1)
        room((4, 2, steps), 4, "XOR", f"steps is {steps}")
        bits = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
        self.inputs = bits[..., None].repeat(1, 1, steps)
        self.targets = (bits[:, :1] != bits[:, 1:]).float()

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.inputs[index], self.targets[index]
