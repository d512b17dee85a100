"""Blocks without neurons: the same for every family."""

from __future__ import annotations

import torch
from torch import Tensor

from lavadl_ref.slayer.block._block import Block, Output
from lavadl_ref.slayer.utils import _validate


def _signal(block: Block, x: Tensor) -> Tensor:
    return _validate.tensor(x, f"input of the {type(block).__name__} block", 3, "(N, C, ..., T)")


class Flatten(Block):
    """Flatten (N, C, H, W, T) to (N, C * H * W, T).

    Examples
    --------
    >>> Flatten()(torch.ones(4, 2, 3, 3, 10)).shape
    torch.Size([4, 18, 10])
    """

    def forward(self, x: Tensor) -> Output:
        """Flatten all of `x` (N, C, ..., T) but batch and time."""
        _signal(self, x)
        y = x.movedim(-1, 0).flatten(2).movedim(0, -1)
        self.shape = torch.Size([y.shape[1], 1, 1])
        return self._counted(y)


class Average(Block):
    """Average over C / num_outputs consecutive channels and all positions: (N, C, ..., T) to (N, num_outputs, T).

    Parameters
    ----------
    num_outputs : int
        Number of groups; must divide the number of channels.
    count_log : bool
        If True, also return the event rate.

    Examples
    --------
    >>> Average(2)(torch.tensor([[[1.0], [0.0], [1.0], [1.0]]]))
    tensor([[[0.5000],
             [1.0000]]])
    """

    def __init__(self, num_outputs: int, count_log: bool = False) -> None:
        super().__init__(count_log)
        self.num_outputs = _validate.integer(num_outputs, "num_outputs", 1)

    def forward(self, x: Tensor) -> Output:
        """Average the channels of `x` (N, C, ..., T)."""
        _validate.with_fractions(_signal(self, x), "input of an Average block")
        size = x.movedim(-1, 0).flatten(2).shape[2]
        if size % self.num_outputs:
            raise ValueError(f"num_outputs must divide the number of inputs {size}, got {self.num_outputs}")
        y = x.movedim(-1, 0).flatten(2).unflatten(2, (self.num_outputs, -1)).mean(3).movedim(0, -1)
        self.shape = torch.Size([self.num_outputs, 1, 1])
        return self._counted(y)


class TimeDecimation(Block):
    """Average over bins of `factor` steps; the end is padded with zeros to a whole bin.

    Parameters
    ----------
    factor : int
        A power of two.
    count_log : bool
        If True, also return the event rate.

    Examples
    --------
    >>> TimeDecimation(2)(torch.tensor([[[1.0, 0.0, 1.0, 1.0]]]))
    tensor([[[0.5000, 1.0000]]])
    """

    def __init__(self, factor: int, count_log: bool = False) -> None:
        super().__init__(count_log)
        whole = _validate.integer(factor, "factor", -(1 << 62))
        if whole < 1 or whole & (whole - 1):
            raise ValueError(f"factor must be a power of two, got {factor}")
        self.factor = whole

    def forward(self, x: Tensor) -> Output:
        """Average (N, ..., T) over time to (N, ..., ceil(T / factor))."""
        _validate.with_fractions(_signal(self, x), "input of the TimeDecimation block")
        x = torch.nn.functional.pad(x, (0, -x.shape[-1] % self.factor))
        self.shape = x.shape[1:-1]
        return self._counted(x.unflatten(-1, (-1, self.factor)).mean(-1))
