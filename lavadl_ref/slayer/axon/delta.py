"""Delta: sends the changes of a signal."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lavadl_ref._assigned import Fixed
from lavadl_ref.slayer._bridge.centred import OutOfRange
from lavadl_ref.slayer._bridge.sigma_delta import DeltaFunction, Setting, Stateful, messages
from lavadl_ref.slayer.utils import _validate

#: One number, the (min, max) of a range, or an array with one number per channel.
Threshold = float | tuple[float, float] | list[float] | NDArray[np.floating]


class Delta(Stateful):
    """Send the change of a signal if it reaches a threshold, with the arithmetic of `lavadl_kernels.sigma_delta`.

    A change of at least the threshold is sent, rounded down to a multiple of 1 / scale; a smaller
    one is added to the next.

    Parameters
    ----------
    threshold : float, (float, float) or ndarray
        Smallest change that is sent, not rounded; at least 1 / scale.
    scale : int
        Messages per unit.
    tau_grad, scale_grad : float
        Width and height of the surrogate gradient to the threshold.
    cum_error : bool
        If True, compare the sum of all changes since the last message with the threshold.
    shared_param : bool
        If True, all channels share one threshold. Otherwise each channel has its own: drawn at the first forward pass
        from the given range (min, max), or within 1 % of the given number, or taken from the given array.
    persistent_state : bool
        If True, each call continues from the final state of the previous one.
    requires_grad : bool
        If True, train the threshold.

    Attributes
    ----------
    threshold : Parameter
        (1,) or (C,) float32, raised to 1 / scale where it is below.
    pre_state, residual_state, error_state : Tensor
        (N, C, \\*spatial) float64: the last input, the part not sent yet, and the sum of changes of `cum_error`, if
        they persist; a single element if all values are equal.

    Raises
    ------
    ValueError
        For parameters that are not finite, negative, or of the wrong form.

    Examples
    --------
    >>> Delta(threshold=0.5)(torch.tensor([[[1.0, 1.25, 1.5, 1.5]]])).tolist()
    [[[1.0, 0.0, 0.5, 0.0]]]
    """

    _lazy = ("threshold",)
    _what = "delta"
    _states = ("pre_state", "residual_state", "error_state")
    shared_param: Any = Fixed("thresholds were made for it; make a Delta with another shared_param")
    requires_grad: Any = Fixed("set that of the threshold")

    def __init__(
        self,
        threshold: Threshold,
        scale: int = 1 << 6,
        tau_grad: float = 1,
        scale_grad: float = 1,
        cum_error: bool = False,
        shared_param: bool = True,
        persistent_state: bool = False,
        requires_grad: bool = False,
    ) -> None:
        super().__init__(persistent_state)
        for name, value in (("scale", scale), ("tau_grad", tau_grad), ("scale_grad", scale_grad)):
            if not (math.isfinite(_validate.real(value, name)) and value > 0):
                raise ValueError(f"{name} must be positive and finite, got {value}")
        requires_grad = _validate.flag(requires_grad, "requires_grad")
        shared_param = _validate.flag(shared_param, "shared_param")
        _validate.flag(cum_error, "cum_error")
        self.scale = scale
        self.tau_grad = tau_grad
        self.scale_grad = scale_grad
        self.cum_error = cum_error
        self.shared_param = shared_param
        self.requires_grad = requires_grad
        self._range: tuple[float, float] | None = None  # thresholds still to be drawn
        start = torch.tensor(self._first(threshold), dtype=torch.float32)
        self.threshold = torch.nn.Parameter(start, requires_grad=requires_grad)
        self.clamp()
        if self._range is not None:
            self._await("threshold", max(self.threshold.item(), 1.001 / scale))

    @property
    def device(self) -> torch.device:
        """The device of the threshold."""
        return self.threshold.device

    def _first(self, threshold: Threshold) -> NDArray[np.float64]:
        """The thresholds to begin with; notes the range of those that are drawn later."""
        values = _validate.numbers_of(threshold, "threshold")
        if values.ndim != 1 or not values.size or not np.isfinite(values).all() or (values < 0).any():
            raise ValueError(f"threshold must be finite and not negative, got {threshold!r}")
        if self.shared_param:
            if values.size != 1:
                raise ValueError(f"threshold must be one number where shared_param is True, got {threshold!r}")
            return values
        if isinstance(threshold, np.ndarray) and threshold.ndim:
            return values
        if values.size > 2:
            raise ValueError(f"threshold must be one number, a (min, max) pair or an array, got {threshold!r}")
        low, high = (values.min(), values.max()) if values.size == 2 else (values[0] * 0.99, values[0] * 1.01)
        self._range = float(low), float(high)
        return np.array([low])

    def _loaded(self, name: str, value: Tensor) -> None:
        self._range = None

    def clamp(self) -> None:
        """Raise thresholds to at least 1 / scale."""
        self.threshold.data.clamp_(min=1 / self.scale)

    def _levels(self) -> Tensor:
        """The thresholds that changes are compared with, (1,) or (C,)."""
        return self.threshold

    def settle(self, channels: int) -> None:
        """Draw thresholds that are still to be drawn for `channels` channels, as the first input does."""
        if self._range is not None:
            low, high = self._range
            if self._undrawn("threshold"):
                self._fill("threshold", low + (high - low) * torch.rand(channels))
            self._range = None
        self.clamp()

    def _draw(self, input: Tensor) -> None:
        channels = input.shape[1]
        self.settle(channels)
        if self.threshold.numel() not in (1, channels):
            raise ValueError(
                f"threshold has {self.threshold.numel()} values, one per channel, but the input has "
                f"{channels} channels: {tuple(input.shape)}"
            )

    def forward(self, input: Tensor) -> Tensor:
        """Messages (N, C, ..., T) for a signal of that shape, float32.

        Raises
        ------
        TypeError
            If `input` is not a float32 tensor on the CPU.
        ValueError
            If it has another shape than the first input, or a value is not finite or beyond 2**34.
        """
        held: list[Any] = self._held(input)
        self._draw(input)
        levels = self._levels()
        constants = self.scale, self.cum_error, self.tau_grad, self.scale_grad
        if input.numel() and not self.persistent_state:
            keep = torch.is_grad_enabled() and (input.requires_grad or levels.requires_grad)
            try:
                return messages(Setting(False, *constants, keep, sums=False), None, input, levels, None)[0]
            except OutOfRange:
                pass
        message: Tensor
        message, *states = DeltaFunction.apply(input, levels, *held, *constants)
        self._hold(states)
        return message

    def extra_repr(self) -> str:
        count = self.threshold.numel()
        value = f"{self.threshold.item():.6g}" if count == 1 else f"{count} values"
        return (
            f"threshold={value}, scale={self.scale}, cum_error={self.cum_error}, "
            f"persistent_state={self.persistent_state}, requires_grad={self.requires_grad}"
        )
