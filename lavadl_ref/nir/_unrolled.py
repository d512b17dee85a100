"""Synapses as nodes of NIR: kernels in a form that nir can check, or whole matrices where it has no such node."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from lavadl_kernels.fixed_point import WEIGHT_ONE
from numpy.typing import NDArray

from lavadl_ref.deployed.deployment import refusal
from lavadl_ref.deployed.weighted_sums import weighted_sums
from lavadl_ref.exchange import Average, Conv, Kernel, Layer, Pool
from lavadl_ref.nir._graph import Tree, node

MATRIX_LIMIT = 2**25  #: numbers of a matrix that stands for a kernel

Shape = tuple[int, ...]
Array = NDArray[Any]


def floats(values: Any) -> Array:
    """Values as float32, which peers compute with; as float64 where that would round them."""
    exact = np.asarray(values, np.float64)
    narrow = exact.astype(np.float32)
    return narrow if (narrow == exact).all() else exact


def affine(weight: Any, bias: Any) -> Tree:
    """A matrix (O, I), with or without a bias (O,), in units of 1."""
    if bias is None:
        return node("Linear", weight=floats(weight))
    return node("Affine", weight=floats(weight), bias=floats(bias))


def is_plain_pool(layer: Layer) -> bool:
    """Tell whether a pool sums windows with one positive weight, without padding: what a peer's pool does too."""
    if not isinstance(layer, Pool) or layer.padding != (0, 0) or layer.dilation != (1, 1):
        return False
    return bool((layer.weight == layer.weight.flat[0]).all() and layer.weight.flat[0] > 0)


def sum_pool(layer: Kernel, taken: Shape) -> Tree | None:
    """A pool of weight 1; None where its last windows reach past the edge of (C, H, W) `taken`."""
    made = node(
        "SumPool2d",
        kernel_size=np.array(layer.kernel_size),
        stride=np.array(layer.stride),
        padding=np.array(layer.padding),
    )
    return made if _extents(taken[1:], layer.kernel_size, layer) == layer.shape[1:] else None


def conv(layer: Kernel, weight: Array, bias: Any, taken: Shape) -> Tree | None:
    """A convolution or pool as a square kernel of one group; None where there is no such kernel.

    nir takes the channels of one group for those of the input, and the height of a kernel for its width.

    Parameters
    ----------
    layer : Kernel
        A Conv or Pool.
    weight : ndarray
        (O, I / groups, kh, kw), or of a pool (1, 1, kh, kw), in 1/64.
    bias : ndarray or None
        (O,) in units of 1.
    taken : tuple of int
        (C, H, W) of the input.
    """
    square = _square(_ungrouped(layer, weight, taken[0]), layer)
    if square is None:
        return None
    kernel, padding = square
    sides = np.array(kernel.shape[2:])
    grown = tuple(int(extent) for extent in padding)
    if _extents(taken[1:], tuple(sides.tolist()), layer, grown) != layer.shape[1:]:
        return None
    return node(
        "Conv2d",
        input_shape=np.array(taken[1:]),
        weight=floats(kernel / WEIGHT_ONE),
        stride=np.array(layer.stride),
        padding=np.array(grown),
        dilation=np.array(layer.dilation),
        groups=1,
        bias=floats(np.zeros(layer.channels) if bias is None else bias),
    )


def _ungrouped(layer: Kernel, weight: Array, inputs: int) -> Array:
    """A kernel (O, I, kh, kw) with zeros between channels of different groups; a pool has a group for each channel."""
    outputs = layer.channels
    groups = layer.groups if isinstance(layer, Conv) else inputs
    full = np.zeros((outputs, inputs, *weight.shape[2:]), np.int64)
    each_out, each_in = outputs // groups, inputs // groups
    for group in range(groups):
        rows = slice(group * each_out, (group + 1) * each_out)
        full[rows, group * each_in : (group + 1) * each_in] = weight[rows] if isinstance(layer, Conv) else weight[0]
    return full


def _square(kernel: Array, layer: Kernel) -> tuple[Array, tuple[int, int]] | None:
    """A kernel with as much zero around it as makes it square, and the padding that it then needs."""
    side = max(kernel.shape[2:])
    missing = [side - extent for extent in kernel.shape[2:]]
    if any(extent % 2 for extent in missing):
        return None
    each = [extent // 2 for extent in missing]
    around = [(0, 0), (0, 0), *((extent, extent) for extent in each)]
    height, width = (p + d * e for p, d, e in zip(layer.padding, layer.dilation, each, strict=True))
    return np.pad(kernel, around), (height, width)


def _extents(taken: Shape, kernel: Shape, layer: Kernel, padding: Shape | None = None) -> Shape:
    """(height, width) that nir finds for a window."""
    axes = zip(taken, kernel, layer.stride, layer.padding if padding is None else padding, layer.dilation, strict=True)
    return tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in axes)


def matrix(position: int, layer: Layer, taken: Shape, part: int = 0) -> Array:
    """The matrix of a layer's weighted sums, (outputs, inputs) of float64 in units of 1.

    Parameters
    ----------
    position : int
        Of the layer in the file, for messages.
    layer : Layer
        With weights, or one that averages.
    taken : tuple of int
        Shape of the input.
    part : int
        0 for the real part of the weights, 1 for the imaginary part.

    Raises
    ------
    UnsupportedLayer
        If it has more than `MATRIX_LIMIT` numbers.
    """
    inputs = math.prod(taken)
    check_size(position, layer, layer.size, inputs)
    found = np.empty((layer.size, inputs))
    many = max(1, MATRIX_LIMIT // (4 * (inputs + layer.size)))  # inputs at a time
    late = 0 if isinstance(layer, Average) else 1  # a synapse hands on one step later
    for start in range(0, inputs, many):
        count = min(many, inputs - start)
        each = np.zeros((2, count, inputs), np.uint8)
        each[0, np.arange(count), start + np.arange(count)] = 1
        sums = weighted_sums(layer, each.reshape(2, count, *taken))[part]
        found[:, start : start + count] = sums[late].reshape(count, layer.size).T
    return found / (WEIGHT_ONE if late else inputs // layer.size)


def check_size(position: int, layer: Layer, outputs: int, inputs: int) -> None:
    """Raise UnsupportedLayer where a layer needs a matrix of more than `MATRIX_LIMIT` numbers."""
    if inputs * outputs > MATRIX_LIMIT:
        raise refusal(
            position,
            layer,
            f"needs a matrix of {outputs:,} x {inputs:,} numbers in NIR, which has no such layer; at most "
            f"{MATRIX_LIMIT:,} are written",
        )
