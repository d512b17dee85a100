"""Coefficients of a layer's weighted sums: how much each of its inputs adds to a weighted mean of its neurons."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lavadl_ref.exchange import Average, Conv, ConvTranspose, Dense, Kernel, Layer

Floats = NDArray[np.float64]


def pull_back(layer: Layer, wanted: Floats, shape: tuple[int, ...], part: int = 0) -> Floats:
    """The transposed synapse of a layer.

    Parameters
    ----------
    layer : Layer
        The layer; one without a synapse hands its input on.
    wanted : ndarray
        (\\*layer.shape) float64, how much each neuron counts.
    shape : tuple of int
        Of the layer's input.
    part : int
        0 for the real weights, 1 for the imaginary ones.

    Returns
    -------
    ndarray
        (\\*shape) float64, how much each input adds to the sum of `wanted` times the weighted sums.
    """
    if isinstance(layer, Average):
        return np.repeat(wanted.reshape(-1), int(np.prod(shape)) // layer.size).reshape(shape)
    if not isinstance(layer, (Dense, Kernel)):
        return wanted.reshape(shape)
    weight = np.asarray((layer.weight, layer.weight_imag)[part], np.float64)
    if isinstance(layer, Dense):
        return (wanted.reshape(-1) @ weight).reshape(shape)
    return _through_taps(layer, weight, wanted, shape)


def _through_taps(layer: Kernel, weight: Floats, wanted: Floats, shape: tuple[int, ...]) -> Floats:
    """Each tap of a kernel joins one slice of the input to one of the output."""
    forward = isinstance(layer, (Conv, ConvTranspose))
    groups = layer.groups if forward else shape[0]
    # which of the two grids the window moves over; the other one is padded
    windows_on_input = layer.kind in ("conv", "pool")
    found = np.zeros(shape)
    for i in range(layer.kernel_size[0]):
        for j in range(layer.kernel_size[1]):
            rows = _joined(i, 0, layer, shape[1], layer.shape[1], windows_on_input)
            columns = _joined(j, 1, layer, shape[2], layer.shape[2], windows_on_input)
            (y_in, y_out), (x_in, x_out) = rows, columns
            if not len(y_in) or not len(x_in):
                continue
            taken = wanted[:, y_out][:, :, x_out]
            tap = weight[:, :, i, j]
            for group in range(groups):
                channels_in, channels_out = _of_group(group, groups, shape[0]), _of_group(group, groups, layer.shape[0])
                matrix = _matrix(layer, tap, channels_in, channels_out)
                moved = np.tensordot(matrix, taken[channels_out], axes=(1, 0))
                found[np.ix_(np.arange(shape[0])[channels_in], y_in, x_in)] += moved
    return found


def _of_group(group: int, groups: int, channels: int) -> slice:
    size = channels // groups
    return slice(group * size, (group + 1) * size)


def _matrix(layer: Kernel, tap: Floats, channels_in: slice, channels_out: slice) -> Floats:
    """(I, O) weights of one tap between the channels of a group."""
    if isinstance(layer, Conv):
        return tap[channels_out].T
    return tap[channels_in] if isinstance(layer, ConvTranspose) else tap


def _joined(tap: int, axis: int, layer: Kernel, size_in: int, size_out: int, windows_on_input: bool) -> tuple[Any, Any]:
    """Positions of the input, and those of the output that a tap joins them to."""
    moved = np.arange(size_out if windows_on_input else size_in)
    fixed = moved * layer.stride[axis] - layer.padding[axis] + tap * layer.dilation[axis]
    inside = (fixed >= 0) & (fixed < (size_in if windows_on_input else size_out))
    moved, fixed = moved[inside], fixed[inside]
    return (fixed, moved) if windows_on_input else (moved, fixed)
