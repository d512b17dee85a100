"""Synapses that a message passes on its way into a layer, counted exactly, with borders and padding."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lavadl_ref.exchange import ConvTranspose, Dense, Kernel, Layer, Pool, Recurrent, Unpool


def fan_out(layer: Layer, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Synapses of each neuron of the input.

    Synapses of weight 0 count, those of a window that would end in padding or outside the layer do
    not; complex neurons have two for each pair.

    Parameters
    ----------
    layer : Layer
        Any.
    shape : tuple of int
        Of its input, (C, H, W) or (N,).

    Returns
    -------
    ndarray
        (\\*shape) int64; zeros where the layer has no synapses.
    """
    parts = 1 if getattr(layer, "weight_imag", None) is None else 2
    if isinstance(layer, Dense):
        return np.full(shape, parts * layer.channels, np.int64)
    if not isinstance(layer, Kernel):
        return np.zeros(shape, np.int64)
    per_tap = 1 if isinstance(layer, (Pool, Unpool)) else layer.channels // layer.groups
    rows, columns = (_taps(layer, axis, shape[1 + axis]) for axis in (0, 1))
    return np.broadcast_to(parts * per_tap * np.outer(rows, columns), shape)


def feedback_fan_out(layer: Layer) -> int:
    """Synapses of each of the layer's own neurons back into the layer."""
    if not isinstance(layer, Recurrent):
        return 0
    return layer.channels * (1 if layer.weight_rec_imag is None else 2)


def _taps(layer: Kernel, axis: int, extent: int) -> NDArray[np.int64]:
    """(extent,): windows, or places in windows, that each row or column of the input meets."""
    outputs, stride, padding = layer.shape[1 + axis], layer.stride[axis], layer.padding[axis]
    reach: NDArray[np.int64] = layer.dilation[axis] * np.arange(layer.kernel_size[axis]) - padding
    if isinstance(layer, (ConvTranspose, Unpool)):
        to = np.arange(extent)[:, None] * stride + reach
        met: NDArray[np.int64] = np.count_nonzero((to >= 0) & (to < outputs), axis=1).astype(np.int64)
        return met
    source = (np.arange(outputs)[:, None] * stride + reach).reshape(-1)
    return np.bincount(source[(source >= 0) & (source < extent)], minlength=extent)
