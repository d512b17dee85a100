"""Finite impulse response filters as modules."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from lavadl_ref._assigned import Guarded, Refused
from lavadl_ref.slayer.utils import _validate
from lavadl_ref.slayer.utils.filter.conv import batched, conv, fir
from lavadl_ref.slayer.utils.filter.exponential import Filtered, Response


class FIR(torch.nn.Module):
    """A fixed causal filter along time.

    Parameters
    ----------
    fir_response : array of float, optional
        Taps (L,). Without it ``exp(-i / time_constant)`` for ``i = 0 .. length - 1``.
    time_constant : float
        Of the exponential, in samples, greater than 0.
    length : int
        Number of taps of the exponential, at least 1.
    sampling_time : float
        The result is multiplied by it; it does not stretch the taps.

    Attributes
    ----------
    filter : torch.Tensor
        The taps (L,), a buffer.

    Raises
    ------
    TypeError, ValueError
        An argument is not of the kind or range above.
    """

    filter: torch.Tensor

    def __init__(
        self, fir_response: Any = None, time_constant: float = 1, length: int = 20, sampling_time: float = 1
    ) -> None:
        super().__init__()
        self.sampling_time = _validate.positive(sampling_time, "sampling_time of FIR")
        self._response: Response | None = None
        if fir_response is None:
            count = _validate.integer(length, "length of FIR", 1)
            tau = _validate.positive(time_constant, "time_constant of FIR")
            taps = torch.exp(-torch.arange(count, dtype=torch.float64) / tau).to(torch.get_default_dtype())
            self._response = Response(tau, 1, count)
        else:
            given = fir_response
            if not isinstance(given, torch.Tensor):
                given = torch.from_numpy(_validate.numbers_of(given, "fir_response of FIR"))
            taps = given.detach().clone()
            if taps.ndim == 0 or taps.numel() == 0 or taps.numel() != taps.shape[-1]:
                raise ValueError(f"fir_response of FIR must be one row of taps (L,), but got shape {tuple(taps.shape)}")
            if taps.is_complex() or not torch.isfinite(taps).all():
                raise ValueError("fir_response of FIR must hold finite real numbers")
            taps = taps.reshape(-1).to(torch.get_default_dtype())
        self.register_buffer("filter", taps)
        self._known = taps.clone()  # those that the response describes

    def raise_to(self, order: int) -> None:
        """Convolve the exponential with itself, ``order - 1`` times, and cut it to its length each time."""
        first = self.filter
        for _ in range(order - 1):
            self.filter = conv(self.filter, first)
        self._known = self.filter.clone()
        if self._response is not None:
            self._response = self._response._replace(order=order)

    def recurrence(self, x: torch.Tensor) -> Response | None:
        """How to filter `x` by a recurrence, None if that cannot be done or `filter` is not what it was made."""
        response, taps = self._response, self.filter
        if response is None or not response.fits(x) or taps.requires_grad:
            return None
        return response if taps.dtype == self._known.dtype and torch.equal(taps, self._known) else None

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Filter `input` (..., T); the result has its shape."""
        x = _validate.floating(input, "input of FIR")
        response = self.recurrence(x)
        if response is None:
            return conv(x, self.filter, self.sampling_time)
        filtered: torch.Tensor = Filtered.apply(batched(x), response, self.sampling_time, False)
        return filtered.reshape(x.shape)

    def extra_repr(self) -> str:
        return f"taps={self.filter.numel()}, sampling_time={self.sampling_time:g}"


class FIRBank(Guarded, torch.nn.Conv3d):
    """A bank of learnable causal filters, each applied to every channel.

    Parameters
    ----------
    num_filter : int
        Number of filters, at least 1.
    filter_length : float
        Duration of a filter; it has ``int(filter_length / sampling_time)`` taps, at least 1.
    sampling_time : float
        Duration of a step, greater than 0. The result is multiplied by it.
    scale : float
        Factor on the initial weights.

    Attributes
    ----------
    weight : torch.nn.Parameter
        (num_filter, 1, 1, 1, taps), the latest input last: the response reversed in time.

    Raises
    ------
    TypeError, ValueError
        An argument is not of the kind or range above.
    """

    pad = Refused("before the first step there is silence; pad the input itself for anything else")

    def __init__(self, num_filter: int, filter_length: float, sampling_time: float = 1, scale: float = 1) -> None:
        count = _validate.integer(num_filter, "num_filter of FIRBank", 1)
        duration = _validate.positive(filter_length, "filter_length of FIRBank")
        step = _validate.positive(sampling_time, "sampling_time of FIRBank")
        factor = _validate.number(scale, "scale of FIRBank")
        taps = int(duration / step)
        if taps < 1:
            raise ValueError(
                f"filter_length of FIRBank must cover at least one step of sampling_time={sampling_time!r}, "
                f"but got {filter_length!r}"
            )
        super().__init__(1, count, (1, 1, taps), bias=False)
        self.sampling_time = step
        with torch.no_grad():
            self.weight *= factor

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Filter (N, C, ..., T) to (N, num_filter * C, ..., T): all channels of one filter, then the next."""
        x = _validate.floating(input, "input of FIRBank", 3, "(N, C, ..., T)")
        rows = self.weight.flatten(1).flip(1).to(x.dtype) * self.sampling_time
        filtered = fir(x.flatten(0, -2), rows).unflatten(0, x.shape[:-1])  # (N, C, ..., num_filter, T)
        return filtered.movedim(-2, 1).flatten(1, 2)

    @property
    def num_filter(self) -> int:
        """Number of filters."""
        return self.out_channels

    @property
    def filter_length(self) -> int:
        """Number of taps."""
        return self.weight.shape[-1]

    @property
    def impulse_response(self) -> np.ndarray:
        """The taps (num_filter, filter_length), without the factor `sampling_time`."""
        return self.weight.detach().flatten(1).flip(1).cpu().numpy()
