"""Sigma: the sum of all changes received."""

from __future__ import annotations

from typing import Any

from lavadl_kernels.neurons import sigma_delta
from torch import Tensor

from lavadl_ref.slayer._bridge.sigma_delta import SigmaFunction, Stateful


class Sigma(Stateful):
    """Sum a signal over time, with the arithmetic of `lavadl_kernels.sigma_delta`.

    Parameters
    ----------
    persistent_state : bool
        If True, each call continues from the sum of the previous one.

    Attributes
    ----------
    pre_state : Tensor
        (N, C, \\*spatial) float64, the sum so far if it persists; a single element if all values are equal.
    shape : torch.Size or None
        Shape of the first input without batch and time.

    Examples
    --------
    >>> import torch
    >>> Sigma()(torch.tensor([[[1.0, 0.0, 0.5]]])).tolist()
    [[[1.0, 1.0, 1.5]]]
    """

    _what = "sigma"
    _states = ("pre_state",)

    def __init__(self, persistent_state: bool = False) -> None:
        super().__init__(persistent_state)

    @property
    def device_params(self) -> dict[str, Any]:
        """The parameters, under the names of a ``.net`` file."""
        return {"type": sigma_delta.FAMILY.name, "sigma_output": True}

    def forward(self, input: Tensor) -> Tensor:
        """Sums of `input` (N, C, ..., T) float32 up to each step.

        Raises
        ------
        TypeError
            If `input` is not a float32 tensor on the CPU.
        ValueError
            If it has another shape than the first input, or a sum is not finite or beyond 2**34.

        Notes
        -----
        The sum itself is exact for multiples of 2**-18; as float32 it is exact below 64.
        """
        total: Tensor
        total, *states = SigmaFunction.apply(input, *self._held(input))
        self._hold(states)
        return total

    def extra_repr(self) -> str:
        return f"persistent_state={self.persistent_state}"
