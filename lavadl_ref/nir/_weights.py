"""The weights of one stage of a graph as those of one layer: a matrix, a kernel or a pool, in floating point."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lavadl_ref.exchange.errors import ExchangeError
from lavadl_ref.nir._graph import Tree
from lavadl_ref.nir._restated import linear
from lavadl_ref.nir._shapes import Shape, shape_after, window_of, work
from lavadl_ref.nir._unrolled import MATRIX_LIMIT

Array = NDArray[np.float64]
DENSE, CONV, POOL = "dense", "conv", "pool"


@dataclass(frozen=True, eq=False)
class Weights:
    """Weights in units of 1, and the shapes around them."""

    kind: str  #: `DENSE`, `CONV` or `POOL`
    weight: Array  #: (O, I); (O, I / groups, kh, kw); (1, 1, kh, kw)
    bias: Array  #: (O,), what is added to the weighted sum
    taken: Shape  #: what the layer takes
    shape: Shape  #: of its neurons
    flat: bool = False  #: whether what leaves the neurons is one axis, though `shape` has three
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1


def weights_of(names: list[str], nodes: dict[str, Tree], taken: Shape) -> Weights:
    """The weights of the nodes called `names`, one behind the other.

    Parameters
    ----------
    names : list of str
        None of them for neurons that are driven directly.
    nodes : dict
        Nodes by name.
    taken : tuple of int
        Shape of what goes in.

    Raises
    ------
    ExchangeError
        If the shapes do not fit, or no layer of a file does what all of them do.
    """
    shapes = [taken]
    for name in names:
        shapes.append(shape_after(name, nodes[name], shapes[-1]))
    made = shapes[-1]
    cores = [index for index, name in enumerate(names) if nodes[name]["type"] != "Flatten"]
    ends_flat = bool(cores) and len(made) == 1 and len(shapes[cores[-1] + 1]) == 3
    if not cores:
        return _scaled(np.ones(taken), taken, made)
    if len(cores) == 1:
        entry, before = nodes[names[cores[0]]], shapes[cores[0]]
        shape = shapes[cores[0] + 1]
        if entry["type"] in ("Linear", "Affine"):
            weight = np.asarray(entry["weight"], np.float64)
            return Weights(DENSE, weight, _bias(entry, len(weight)), before, shape)
        if entry["type"] == "Scale":
            return _scaled(np.asarray(entry["scale"], np.float64), before, made)
        if before == taken:
            return replace(_windowed(entry, taken, shape), flat=ends_flat)
    if len(cores) == 2 and shapes[cores[1]] == shapes[cores[0] + 1] and shapes[cores[0]] == taken:
        pool, kernel = (nodes[names[core]] for core in cores)
        shape = shapes[cores[1] + 1]
        if "kernel_size" in pool and kernel["type"] == "Conv2d" and not any(window_of(kernel)[2]):
            return replace(_pooled_before(pool, kernel, taken, shape), flat=ends_flat)
    return _composed(names, nodes, shapes)


def _bias(entry: Tree, outputs: int) -> Array:
    return np.asarray(entry["bias"], np.float64) if "bias" in entry else np.zeros(outputs)


def _scaled(scale: Array, taken: Shape, made: Shape) -> Weights:
    """Weights that multiply each input by a number of its own: a diagonal, or a kernel of one tap for each channel."""
    if len(taken) == 1:
        if taken[0] ** 2 > MATRIX_LIMIT:
            raise ExchangeError(f"neurons must have weights in front of them, got none for {taken[0]:,}")
        return Weights(DENSE, np.diag(scale), np.zeros(taken[0]), taken, taken)
    each = scale.reshape(taken[0], -1)
    if (each != each[:, :1]).any():
        raise ExchangeError("scale: must be the same within a channel, got others")
    weight = each[:, :1, None, None].copy()
    flat = len(made) == 1
    return Weights(CONV, weight, np.zeros(taken[0]), taken, taken, flat, groups=taken[0])


def _windowed(entry: Tree, taken: Shape, shape: Shape) -> Weights:
    """The weights of a single convolution or pool."""
    kernel, stride, padding, dilation = window_of(entry)
    if entry["type"] == "Conv2d":
        weight = np.asarray(entry["weight"], np.float64)
        groups = int(np.asarray(entry["groups"]).reshape(-1)[0])
        bias = _bias(entry, len(weight))
        return Weights(CONV, weight, bias, taken, shape, False, stride, padding, dilation, groups)
    weight = np.full((1, 1, *kernel), _gain(entry))
    return Weights(POOL, weight, np.zeros(taken[0]), taken, shape, False, stride, padding, dilation)


def _gain(pool: Tree) -> float:
    return 1.0 if pool["type"] == "SumPool2d" else 1.0 / math.prod(window_of(pool)[0])


def _pooled_before(pool: Tree, entry: Tree, taken: Shape, shape: Shape) -> Weights:
    """One kernel for a pool and an unpadded convolution behind it: every tap becomes a window of the pool."""
    size, step, padding, _ = window_of(pool)
    kernel, stride, _, dilation = window_of(entry)
    weight = np.asarray(entry["weight"], np.float64)
    extents = [s * d * (k - 1) + n for s, d, k, n in zip(step, dilation, kernel, size, strict=True)]
    full = np.zeros((*weight.shape[:2], *extents))
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            top, left = i * dilation[0] * step[0], j * dilation[1] * step[1]
            full[:, :, top : top + size[0], left : left + size[1]] += weight[:, :, i : i + 1, j : j + 1] * _gain(pool)
    strides = (step[0] * stride[0], step[1] * stride[1])
    groups = int(np.asarray(entry["groups"]).reshape(-1)[0])
    return Weights(CONV, full, _bias(entry, len(weight)), taken, shape, False, strides, padding, (1, 1), groups)


def _composed(names: list[str], nodes: dict[str, Tree], shapes: list[Shape]) -> Weights:
    """One matrix for all nodes, where what leaves them is one axis."""
    taken, made = shapes[0], shapes[-1]
    inputs, outputs = math.prod(taken), math.prod(made)
    if len(made) != 1:
        raise ExchangeError(
            f"nodes {', '.join(names)}: must be one convolution or pool between neurons, got all of these"
        )
    steps = zip(names, shapes[:-1], shapes[1:], strict=True)
    cost = inputs * sum(work(nodes[name], before, after) for name, before, after in steps)
    if inputs * outputs > MATRIX_LIMIT or cost > 2**8 * MATRIX_LIMIT:
        raise ExchangeError(
            f"nodes {', '.join(names)}: must be one layer, or come to a matrix of at most {MATRIX_LIMIT:,} numbers, "
            f"got {inputs * outputs:,}"
        )
    found, bias = np.empty((outputs, inputs)), _through(names, nodes, np.zeros((1, *taken)))[0]
    largest = max(math.prod(shape) for shape in shapes)
    many = max(1, MATRIX_LIMIT // (16 * largest))
    for start in range(0, inputs, many):
        count = min(many, inputs - start)
        each = np.zeros((count, inputs))
        each[np.arange(count), start + np.arange(count)] = 1
        found[:, start : start + count] = (_through(names, nodes, each.reshape(count, *taken)) - bias).T
    return Weights(DENSE, found, bias, (inputs,), made)


def _through(names: list[str], nodes: dict[str, Tree], x: Array) -> Array:
    for name in names:
        x = linear(nodes[name], x)
    return x
