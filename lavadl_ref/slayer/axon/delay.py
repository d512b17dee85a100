"""Axonal delay, fixed or learnt."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lavadl_ref.slayer._bridge import delay as _delay
from lavadl_ref.slayer._bridge.autograd import Shift, layout_of
from lavadl_ref.slayer._callers import stack_level
from lavadl_ref.slayer._lazy import LazyShapes
from lavadl_ref.slayer._persistent import Persistent
from lavadl_ref.slayer.utils import _validate
from lavadl_ref.slayer.utils.time.shift import shifted


def delay(input: Tensor, delay_val: Any = 1, sampling_time: float = 1) -> Tensor:
    """Shift a signal later by ``trunc(delay_val / sampling_time)`` steps, zero-filled.

    Parameters
    ----------
    input : Tensor
        (..., T), any real dtype.
    delay_val : float or array
        Delay in the units of `sampling_time`; negative values shift earlier. One number, or one for each element
        between batch and time, as `utils.time.shift` takes them.
    sampling_time : float
        Length of a step, greater than 0.

    Returns
    -------
    Tensor
        Shape and dtype of `input`; the gradient is the opposite shift.

    Raises
    ------
    TypeError, ValueError
        As `utils.time.shift`.

    Examples
    --------
    >>> delay(torch.tensor([[[1.0, 2.0, 3.0]]]), 1)
    tensor([[[0., 1., 2.]]])
    """
    whole = type(delay_val) is int and type(sampling_time) in (int, float) and sampling_time == 1
    if whole and isinstance(input, Tensor) and input.ndim >= 3 and input.dtype == torch.float32:
        # what follows a layer wants time slowest in memory
        later: Tensor = Shift.apply(input, delay_val)
        return later
    return shifted(input, delay_val, sampling_time, "delay", "delay_val")


class Delay(Persistent, LazyShapes):
    """A learnable delay for each channel.

    Parameters
    ----------
    sampling_time : float
        Length of a step.
    max_delay : float, optional
        Largest delay.
    grad_scale : float
        Factor of the delay's gradient.

    Attributes
    ----------
    delay : Parameter
        (C,) float32, kept in [0, max_delay]. The values are drawn from [0, 1) at the first forward pass, unless they
        were loaded or assigned before. A signal is shifted by the integer part.

    Examples
    --------
    >>> axon = Delay(max_delay=62)
    >>> axon.delay.data = torch.tensor([0.0, 1.5])
    >>> axon(torch.tensor([[[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]])).tolist()
    [[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]]
    """

    _lazy = ("delay",)
    _states = ("history",)
    _state_dtype = torch.float32

    def __init__(self, sampling_time: float = 1, max_delay: float | None = None, grad_scale: float = 1) -> None:
        super().__init__()
        _validate.positive(sampling_time, "sampling_time"), _validate.number(grad_scale, "grad_scale")
        if max_delay is not None and not _validate.real(max_delay, "max_delay") >= 0:
            raise ValueError(f"max_delay must not be negative, got {max_delay}")
        self.sampling_time = sampling_time
        self.max_delay = max_delay
        self.grad_scale = grad_scale
        self.delay = torch.nn.Parameter(torch.zeros(1))
        self._await("delay", 0.0)
        self.init = False
        self._given = False  # whether a checkpoint was loaded
        self._told = False  # that delays are longer than the longest
        self.persistent_state = False
        self.history: Tensor | None = None

    @property
    def shape(self) -> torch.Size:
        """Shape of the parameter."""
        return self.delay.shape

    def _stands_for_none(self, name: str, value: Tensor) -> bool:
        self._given = True
        return super()._stands_for_none(name, value)

    def _loaded(self, name: str, value: Tensor) -> None:
        self.init = True

    def _state_shape(self) -> torch.Size | None:
        return None

    def reset(self) -> None:
        """Drop delayed values that have not left yet."""
        self.history = None

    def _beyond(self) -> dict[str, Tensor]:
        """By name, where delays are shorter than none, or longer than the longest; fractions do not shift."""
        steps = self.delay.detach() / self.sampling_time
        longest = math.inf if self.max_delay is None else self.max_delay / self.sampling_time
        beyond = (steps <= -1) | (steps >= longest + 1)
        self._told |= bool(beyond.any())
        return {"delay": beyond}

    def clamp(self) -> None:
        """Clamp the delays to [0, max_delay], with one message if a signal would have been shifted further."""
        if not np.isfinite(self.delay.detach().numpy()).all():
            raise ValueError(f"delay must be finite, got {self.delay.detach().tolist()}")
        if self.max_delay is not None and not self._told:
            longest = float(self.delay.detach().max())
            # a fraction above it shifts by the same steps
            if longest >= self.max_delay + self.sampling_time:
                self._told = True
                warnings.warn(
                    f"a delay of {longest:g} is clamped to {self.max_delay}, the longest possible one",
                    stacklevel=stack_level(),
                )
        self.delay.data.clamp_(0, self.max_delay)

    def settle(self, channels: int) -> None:
        """Draw delays that are still to be drawn for `channels` channels, as the first input does."""
        if self.init:
            return
        if self._undrawn("delay"):
            lone = self._given and channels == 1  # then the 0 of a checkpoint is a value
            self._fill("delay", torch.zeros(1) if lone else torch.rand(channels))
        self.init = True

    def steps(self, channels: int) -> NDArray[np.int64]:
        """The whole number of steps by which each of `channels` channels is shifted."""
        self.settle(channels)
        self.clamp()
        return np.broadcast_to(_delay.whole_steps(self.delay, self.sampling_time), channels).copy()

    def forward(self, input: Tensor, shift: int = 0) -> Tensor:
        """Delay `input` (N, C, ..., T) channel by channel, and all by `shift` steps more, at least 0."""
        layout_of(input, "delay input")  # an unusable input must not draw the delays
        channels = input.shape[1]
        self.settle(channels)
        if self.delay.numel() not in (1, channels):
            raise ValueError(f"delay was built for {self.delay.numel()} channels, got input with {channels}")
        self.clamp()
        if not self.persistent_state:
            return self._delayed(input, shift)
        window = int(_delay.whole_steps(self.delay, self.sampling_time).max()) + shift
        if self.history is None or self.history.shape[:-1] != input.shape[:-1]:
            self.history = input.new_zeros(*input.shape[:-1], 0)
        joined = torch.cat([self.history, input], dim=-1)
        self.history = joined[..., max(0, joined.shape[-1] - window) :].detach()
        return self._delayed(joined, shift)[..., joined.shape[-1] - input.shape[-1] :]

    def _delayed(self, x: Tensor, shift: int) -> Tensor:
        delayed: Tensor = _delay.Delay.apply(x, self.delay, self.grad_scale, self.sampling_time, shift)
        return delayed

    def extra_repr(self) -> str:
        return f"sampling_time={self.sampling_time}, max_delay={self.max_delay}, channels={self.delay.numel()}"
