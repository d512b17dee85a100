"""Causal convolution along time and its adjoint, as matrix products."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from lavadl_kernels.ops import filter

from lavadl_ref.slayer._bridge.autograd import Layout, follow_torch, layout_of
from lavadl_ref.slayer.utils import _validate

# Signals of up to _WHOLE steps are multiplied by one T x T matrix, which is faster there than cutting time into
# blocks. Longer signals are cut into blocks of at least _BLOCK steps, so that the matrix products stay large.
_WHOLE = 256
_BLOCK = 128
# The kernel filters float32 signals where they lie in memory, without a copy. It takes at least _LANES signals, which
# it processes side by side, and at most _LONG taps, because its work for a signal is T times the number of taps.
_LANES = 128
_LONG = 512


class Convolved(torch.autograd.Function):
    """`lavadl_kernels.ops.filter.convolve` on (N, C, ..., T). The adjoint is the same filter backward in time."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, taps: torch.Tensor, adjoint: bool) -> torch.Tensor:
        follow_torch()
        ctx.kernel = taps, adjoint
        layout = time_major(x)
        return layout.logical(filter.convolve(layout.lanes(x), taps.detach().numpy(), adjoint))

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        taps, adjoint = ctx.kernel
        return convolved(grads[0], taps, not adjoint), None, None


#: `Convolved` as a function of the signal, the taps, and whether time runs backward.
convolved: Callable[[torch.Tensor, torch.Tensor, bool], torch.Tensor] = Convolved.apply


def time_major(x: torch.Tensor) -> Layout:
    """The time-major layout into which a float32 tensor `x` (N, C, ..., T) is copied fastest."""
    if x.is_contiguous():
        return Layout(tuple(x.shape), (x.ndim - 1, *range(x.ndim - 1)))
    return layout_of(x)


def batched(x: torch.Tensor) -> torch.Tensor:
    """`x` (..., T), with axes of length 1 in front if it has fewer than three axes."""
    return x[(None,) * max(0, 3 - x.ndim)]


def _toeplitz(filters: torch.Tensor, size: int, lag: int) -> torch.Tensor:
    """(K, size, size) with ``[k, row, col] = filters[k, col - row + lag]``, zero outside the filter."""
    taps = filters.shape[1]
    index = torch.arange(size, device=filters.device)
    tap = index[None, :] - index[:, None] + lag
    padded = torch.nn.functional.pad(filters, (0, 1))
    return padded[:, torch.where((tap >= 0) & (tap < taps), tap, taps)]


def fir(x: torch.Tensor, filters: torch.Tensor, adjoint: bool = False) -> torch.Tensor:
    """Apply K filters to M signals: (M, T) and (K, L), both of one floating dtype, give (M, K, T).

    ``out[m, k, t] = sum_i filters[k, i] * x[m, t - i]``; with `adjoint`, ``x[m, t + i]`` instead.

    Time is cut into blocks no shorter than the filter. The output of a block then depends on the block itself and on
    its neighbour only. Both contributions are matrix products, which autograd differentiates with respect to signals
    and filters. A value that is not finite spreads over its whole block, also to the steps before it.
    """
    signals, steps = x.shape
    filters = filters[:, :steps]
    count, taps = filters.shape
    if x.numel() == 0:
        return x.new_zeros(signals, count, steps)
    size = steps if steps <= _WHOLE else min(steps, max(_BLOCK, taps - 1))
    blocks = -(-steps // size)
    x = torch.nn.functional.pad(x, (0, blocks * size - steps)).reshape(signals, blocks, size)

    def product(part: torch.Tensor, matrices: torch.Tensor) -> torch.Tensor:
        matrices = matrices.transpose(1, 2) if adjoint else matrices
        width = matrices.shape[1]
        joined = part @ matrices.permute(1, 0, 2).reshape(width, count * width)
        return joined.reshape(*part.shape[:2], count, width)

    out = product(x, _toeplitz(filters, size, 0))
    spill = taps - 1
    if blocks > 1 and spill:
        far = _toeplitz(filters, spill, spill)
        if adjoint:
            out[:, :-1, :, size - spill :] += product(x[:, 1:, :spill], far)
        else:
            out[:, 1:, :, :spill] += product(x[:, :-1, size - spill :], far)
    return out.transpose(1, 2).reshape(signals, count, blocks * size)[..., :steps]


def _apply(input: torch.Tensor, response: torch.Tensor, sampling_time: float, adjoint: bool) -> torch.Tensor:
    name = "corr" if adjoint else "conv"
    x = _validate.floating(input, f"input of {name}")
    taps = _validate.tensor(response, f"filter of {name}", axes="(L,)")
    if taps.numel() == 0 or taps.numel() != taps.shape[-1]:
        raise ValueError(f"filter of {name} must be one row of taps (L,), got shape {tuple(taps.shape)}")
    step = _validate.positive(sampling_time, f"sampling_time of {name}")
    row = taps.to(x.dtype).reshape(1, -1) * step
    plain = x.dtype == torch.float32 and x.device.type == "cpu" and not row.requires_grad
    if plain and row.shape[1] <= _LONG and x.numel() >= _LANES * x.shape[-1] > 0:
        return convolved(batched(x), row.flatten(), adjoint).reshape(x.shape)
    return fir(x.unsqueeze(0).flatten(0, -2), row, adjoint).reshape(x.shape)


def conv(input: torch.Tensor, filter: torch.Tensor, sampling_time: float = 1) -> torch.Tensor:
    """Causal convolution: ``out[..., t] = sampling_time * sum_i filter[i] * input[..., t - i]``.

    Parameters
    ----------
    input : torch.Tensor
        (..., T). The result has its dtype; integers and booleans become the default floating dtype.
    filter : torch.Tensor
        Taps (L,), of any real dtype. L may be less or more than T.
    sampling_time : float
        Duration of a time step, greater than 0. The result is multiplied by it.

    Returns
    -------
    torch.Tensor
        Shape of `input`. Gradients flow to `input` (`corr` of the same filter) and to `filter`.

    Raises
    ------
    TypeError, ValueError
        An argument is no real tensor, `filter` is empty or has several rows, `sampling_time` is not positive.

    Examples
    --------
    >>> conv(torch.tensor([1.0, 0, 0, 1]), torch.tensor([1.0, 0.5]))
    tensor([1.0000, 0.5000, 0.0000, 1.0000])
    """
    return _apply(input, filter, sampling_time, adjoint=False)


def corr(input: torch.Tensor, filter: torch.Tensor, sampling_time: float = 1) -> torch.Tensor:
    """The adjoint of `conv`: ``out[..., t] = sampling_time * sum_i filter[i] * input[..., t + i]``.

    Parameters
    ----------
    input : torch.Tensor
        (..., T), as for `conv`.
    filter : torch.Tensor
        Taps (L,), as for `conv`.
    sampling_time : float
        As for `conv`.

    Returns
    -------
    torch.Tensor
        Shape of `input`.

    Raises
    ------
    TypeError, ValueError
        As `conv`.

    Examples
    --------
    >>> corr(torch.tensor([1.0, 0, 0, 1]), torch.tensor([1.0, 0.5]))
    tensor([1.0000, 0.0000, 0.5000, 1.0000])
    """
    return _apply(input, filter, sampling_time, adjoint=True)


fwd, bwd = conv, corr  # Lava-DL's names of the two operations without autograd
