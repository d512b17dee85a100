"""Finite impulse response filters as modules."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray

from lavadl_ref._assigned import Guarded, Refused
from lavadl_ref.slayer.utils import _validate
from lavadl_ref.slayer.utils.filter.conv import batched, conv, fir
from lavadl_ref.slayer.utils.filter.exponential import Response, filtered


class FIR(torch.nn.Module):
    """A fixed causal filter along time, the last axis: ``sampling_time * sum_i filter[i] * input[..., t - i]``.

    Parameters
    ----------
    fir_response : array of float, optional
        Taps (L,): a tensor, an array or a sequence of finite numbers. By default
        ``exp(-i / time_constant)`` for ``i = 0 .. length - 1``.
    time_constant : float
        Time constant of the exponential in samples, greater than 0.
    length : int
        Number of taps of the exponential, at least 1.
    sampling_time : float
        Duration of a time step, greater than 0. The result is multiplied by it; the taps stay as they are.

    Attributes
    ----------
    filter : torch.Tensor
        The taps (L,), a buffer.

    Raises
    ------
    TypeError, ValueError
        An argument is not of the kind or range above.

    Examples
    --------
    >>> FIR(fir_response=[1, 0.5])(torch.tensor([0.0, 1, 0, 0]))
    tensor([0.0000, 1.0000, 0.5000, 0.0000])
    >>> FIR(time_constant=5, length=20)
    FIR(taps=20, sampling_time=1)
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
                raise ValueError(f"fir_response of FIR must be one row of taps (L,), got shape {tuple(taps.shape)}")
            if taps.is_complex() or not torch.isfinite(taps).all():
                bad = taps.dtype if taps.is_complex() else taps[~torch.isfinite(taps)][0].item()
                raise ValueError(f"fir_response of FIR must hold finite real numbers, got {bad}")
            taps = taps.reshape(-1).to(torch.get_default_dtype())
        self.register_buffer("filter", taps)
        self._known = taps.clone()  # the taps that `_response` describes; `filter` may be assigned later

    def raise_to(self, order: int) -> None:
        """Apply the filter `order` times: convolve its taps with themselves, cut to their number each time."""
        first = self.filter
        for _ in range(order - 1):
            self.filter = conv(self.filter, first)
        self._known = self.filter.clone()
        if self._response is not None:
            self._response = self._response._replace(order=order)

    def recurrence(self, x: torch.Tensor) -> Response | None:
        """The recurrence that filters `x` (..., T) as the taps do.

        None if there is none, because the taps are not exponential or have been changed, or if it does not take `x`.
        """
        response, taps = self._response, self.filter
        if response is None or not response.fits(x) or taps.requires_grad:
            return None
        return response if taps.dtype == self._known.dtype and torch.equal(taps, self._known) else None

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """The filtered `input` (..., T) of any real dtype; the result has its shape.

        Raises
        ------
        TypeError, ValueError
            `input` is no real tensor with a time axis.
        """
        x = _validate.floating(input, "input of FIR")
        response = self.recurrence(x)
        if response is None:
            return conv(x, self.filter, self.sampling_time)
        return filtered(batched(x), response, self.sampling_time, False).reshape(x.shape)

    def extra_repr(self) -> str:
        return f"taps={self.filter.numel()}, sampling_time={self.sampling_time:g}"


class FIRBank(Guarded, torch.nn.Conv3d):
    """A bank of learnable causal filters along time, each applied to every channel.

    Parameters
    ----------
    num_filter : int
        Number of filters, at least 1.
    filter_length : float
        Duration of a filter in the unit of `sampling_time`: a filter has ``int(filter_length / sampling_time)``
        taps, at least 1.
    sampling_time : float
        Duration of a time step, greater than 0. The result is multiplied by it.
    scale : float
        Factor of the initial weights, which are drawn as those of ``torch.nn.Conv3d``.

    Attributes
    ----------
    weight : torch.nn.Parameter
        (num_filter, 1, 1, 1, taps). They are in the order of the input's time steps, so the impulse response is the
        weight read backward.

    Raises
    ------
    TypeError, ValueError
        An argument is not of the kind or range above.

    Examples
    --------
    >>> bank = FIRBank(num_filter=2, filter_length=3)
    >>> bank(torch.zeros(1, 5, 10)).shape  # 2 filters on 5 channels
    torch.Size([1, 10, 10])
    """

    pad = Refused("the input counts as 0 before the first step; pad the input itself for anything else")

    def __init__(self, num_filter: int, filter_length: float, sampling_time: float = 1, scale: float = 1) -> None:
        count = _validate.integer(num_filter, "num_filter of FIRBank", 1)
        duration = _validate.positive(filter_length, "filter_length of FIRBank")
        step = _validate.positive(sampling_time, "sampling_time of FIRBank")
        factor = _validate.number(scale, "scale of FIRBank")
        taps = int(duration / step)
        if taps < 1:
            raise ValueError(
                f"filter_length of FIRBank must cover at least one step of sampling_time={sampling_time!r}, "
                f"got {filter_length!r}"
            )
        super().__init__(1, count, (1, 1, taps), bias=False)
        self.sampling_time = step
        with torch.no_grad():
            self.weight *= factor

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """The filtered `input` (N, C, ..., T) of any real dtype, as (N, num_filter * C, ..., T).

        The output has all C channels of the first filter, then those of the second, and so on.

        Raises
        ------
        TypeError, ValueError
            `input` is no real tensor of at least three axes.
        """
        x = _validate.floating(input, "input of FIRBank", 3, "(N, C, ..., T)")
        rows = self.weight.flatten(1).flip(1).to(x.dtype) * self.sampling_time
        every = fir(x.flatten(0, -2), rows).reshape(*x.shape[:-1], -1, x.shape[-1])  # (N, C, ..., num_filter, T)
        return every.movedim(-2, 1).flatten(1, 2)

    @property
    def num_filter(self) -> int:
        """Number of filters."""
        return self.out_channels

    @property
    def filter_length(self) -> int:
        """Number of taps."""
        return int(self.weight.shape[-1])

    @property
    def impulse_response(self) -> NDArray[Any]:
        """The taps (num_filter, filter_length), without the factor `sampling_time`."""
        taps: NDArray[Any] = self.weight.detach().flatten(1).flip(1).cpu().numpy()
        return taps
