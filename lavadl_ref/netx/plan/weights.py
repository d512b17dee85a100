"""Integer weights in the form Lava's synapses hold them without changing any.

Lava's fixed-point Dense and Sparse keep 8 bits: for weights of both signs one of them is
the sign, so the others hold even weights only; for weights of one sign all of them are magnitude.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lavadl_ref.exchange.describe import Pool


def dense_encoding(weight: NDArray[np.int64]) -> dict[str, Any] | None:
    """Arguments of a Lava synapse that multiplies with exactly `weight`, or None if there are none.

    Parameters
    ----------
    weight : ndarray
        (O, I) integers in 1/64.

    Returns
    -------
    dict or None
        ``weights`` (int64), ``weight_exp``, ``num_weight_bits`` and ``sign_mode`` (name of a
        member of Lava's `SignMode`).
    """
    weight = np.asarray(weight, np.int64)
    low, high = int(weight.min(initial=0)), int(weight.max(initial=0))
    even = not np.any(weight % 2)
    if even and low >= -256 and high <= 254:
        return _arguments(weight, 0, "MIXED")
    if low >= 0 and high <= 255:
        return _arguments(weight, 0, "EXCITATORY")
    if high <= 0 and low >= -255:
        return _arguments(weight, 0, "INHIBITORY")
    if low >= -128 and high <= 127:
        # Twice the weights are even, and half of an even sum loses nothing.
        return _arguments(2 * weight, -1, "MIXED")
    return None


def _arguments(weight: NDArray[np.int64], exponent: int, sign_mode: str) -> dict[str, Any]:
    return {"weights": weight, "weight_exp": exponent, "num_weight_bits": 8, "sign_mode": sign_mode}


def kernel_weight(weight: NDArray[np.int64]) -> NDArray[np.int64]:
    """The file's correlation kernel (O, I, kh, kw) as Lava's convolution kernel (O, kw, kh, I)."""
    return np.ascontiguousarray(weight[:, :, ::-1, ::-1].transpose(0, 3, 2, 1))


Pair = tuple[int, int]


def _missing(layer: Pool, axis: int, size: Pair) -> int:
    """The number of elements by which the last window reaches past the edge along an axis."""
    reach = layer.dilation[axis] * (layer.kernel_size[axis] - 1) + 1
    return max(0, (layer.shape[1 + axis] - 1) * layer.stride[axis] + reach - size[axis] - 2 * layer.padding[axis])


def pool_padding(layer: Pool, size: Pair) -> tuple[Pair, Pair]:
    """Padding and dilation of the convolution with the kernel of `pool_window`."""
    missing = [_missing(layer, axis, size) for axis in (0, 1)]
    dilation = (1 if missing[0] else layer.dilation[0], 1 if missing[1] else layer.dilation[1])
    return (layer.padding[0] + missing[0], layer.padding[1] + missing[1]), dilation


def pool_window(layer: Pool, weight: NDArray[np.int64], size: Pair) -> NDArray[np.int64]:
    """Kernel of the convolution that gives as many windows as a pool layer has.

    Where a last window reaches past the edge, a convolution has to pad by more, on both sides; taps of 0 in front
    of the kernel take the padding on the near side back.

    Parameters
    ----------
    layer : Pool
        Its window and shape.
    weight : ndarray
        (1, 1, kh, kw).
    size : tuple of int
        (height, width) of the input.
    """
    for axis in (0, 1):
        missing, d = _missing(layer, axis, size), layer.dilation[axis]
        if not missing:
            continue
        reach = d * (layer.kernel_size[axis] - 1) + 1
        wide = np.zeros([1, 1, *weight.shape[2 : 2 + axis], missing + reach, *weight.shape[3 + axis :]], np.int64)
        wide[(slice(None),) * (2 + axis) + (slice(missing, None, d),)] = weight
        weight = wide
    return weight
