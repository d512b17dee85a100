"""Shapes of what leaves the nodes of a graph, worked out before anything of such a shape is made."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lavadl_ref.exchange import layout
from lavadl_ref.exchange.errors import ExchangeError, within
from lavadl_ref.nir._graph import Tree

Shape = tuple[int, ...]


def pair(value: Any) -> tuple[int, int]:
    """(height, width) of one number or two."""
    found = np.asarray(value).reshape(-1)
    if found.size not in (1, 2) or not (np.abs(found) <= layout.WINDOW_LIMIT).all() or (found != np.rint(found)).any():
        raise ExchangeError(f"must be (height, width) of at most {layout.WINDOW_LIMIT}, got {found[:4].tolist()}")
    return int(found[0]), int(found[-1])


def padding_of(entry: Tree) -> tuple[int, int]:
    """The padding of a window; 'valid' is none, and 'same' is what keeps the extents of an odd kernel."""
    if not isinstance(entry["padding"], str):
        return pair(entry["padding"])
    if entry["padding"] == "valid":
        return 0, 0
    reach = [d * (k - 1) for d, k in zip(pair(entry["dilation"]), np.shape(entry["weight"])[2:], strict=True)]
    if entry["padding"] != "same" or any(extent % 2 for extent in reach) or pair(entry["stride"]) != (1, 1):
        raise ExchangeError(f"must be numbers, or 'same' around an odd kernel, got {entry['padding']!r}")
    return reach[0] // 2, reach[1] // 2


def window_of(entry: Tree) -> tuple[tuple[int, int], ...]:
    """Kernel, stride, padding and dilation of a node with windows, each (height, width)."""
    if "kernel_size" in entry:
        kernel, dilation = pair(entry["kernel_size"]), (1, 1)
    else:
        kernel, dilation = pair(np.shape(entry["weight"])[2:]), pair(entry["dilation"])
    stride, padding = pair(entry["stride"]), padding_of(entry)
    if min(*kernel, *stride, *dilation) < 1 or min(padding) < 0:
        raise ExchangeError(f"must have windows that move, got kernel {kernel}, stride {stride}, padding {padding}")
    return kernel, stride, padding, dilation


def shape_of(name: str, entry: Tree) -> Shape:
    """The shape that an Input node states, (N,) or (C, H, W)."""
    found = np.asarray(entry["shape"])
    shape = tuple(int(extent) for extent in found.reshape(-1)) if found.size <= 4 and found.dtype.kind in "iu" else ()
    if len(shape) not in (1, 3) or min(shape) < 1 or math.prod(shape) > layout.NEURON_LIMIT:
        raise ExchangeError(f"node {name}: shape: must be (N,) or (C, H, W), got {found.reshape(-1)[:8].tolist()}")
    return shape


def shape_after(name: str, entry: Tree, taken: Shape) -> Shape:
    """The shape that a node without states makes of `taken`.

    Raises
    ------
    ExchangeError
        If the two do not fit.
    """
    with within(f"node {name}"):
        found = _shape_after(entry, taken)
        if min(found) < 1 or math.prod(found) > layout.NEURON_LIMIT:
            raise ExchangeError(f"must give 1 to {layout.NEURON_LIMIT} numbers, got shape {found}")
        return found


def _shape_after(entry: Tree, taken: Shape) -> Shape:
    kind = entry["type"]
    if kind in ("Linear", "Affine"):
        weight = np.shape(entry["weight"])
        if len(weight) != 2 or taken != weight[1:]:
            raise ExchangeError(f"weight: must have shape (any, {math.prod(taken)}) behind {taken}, got {weight}")
        _expect("bias", entry, (weight[0],))
        return (weight[0],)
    if kind == "Scale":
        _expect("scale", entry, taken)
        return taken
    if kind == "Flatten":
        return _flat_shape(entry, taken)
    if len(taken) != 3:
        raise ExchangeError(f"type: {kind} must have input (C, H, W), got {taken}")
    kernel, stride, padding, dilation = window_of(entry)
    channels = taken[0]
    if kind == "Conv2d":
        weight, groups = np.shape(entry["weight"]), int(pair(entry["groups"])[0])
        if len(weight) != 4 or groups < 1 or weight[0] % groups or channels != weight[1] * groups:
            raise ExchangeError(f"weight: must fit {channels} channels in {groups} groups, got shape {weight}")
        channels = weight[0]
        _expect("bias", entry, (channels,))
    axes = zip(taken[1:], kernel, stride, padding, dilation, strict=True)
    return (channels, *((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in axes))


def _expect(key: str, entry: Tree, shape: Shape) -> None:
    if key in entry and np.shape(entry[key]) != shape:
        raise ExchangeError(f"{key}: must have shape {shape}, got {np.shape(entry[key])}")


def _flat_shape(entry: Tree, taken: Shape) -> Shape:
    ends = [int(np.asarray(entry[key]).reshape(-1)[0]) for key in ("start_dim", "end_dim")]
    axes = len(taken)
    first, last = (end + axes if end < 0 else end for end in ends)
    if not 0 <= first <= last < axes:
        raise ExchangeError(f"start_dim and end_dim: must be within {axes} axes, got {ends}")
    return (*taken[:first], math.prod(taken[first : last + 1]), *taken[last + 1 :])


def work(entry: Tree, taken: Shape, made: Shape) -> int:
    """Products that a node without states takes for a step, and the numbers that it pads."""
    if entry["type"] in ("Linear", "Affine"):
        return math.prod(np.shape(entry["weight"]))
    if entry["type"] not in ("Conv2d", "SumPool2d", "AvgPool2d"):
        return math.prod(taken)
    kernel, _, padding, _ = window_of(entry)
    padded = taken[0] * math.prod(n + 2 * p for n, p in zip(taken[1:], padding, strict=True))
    each = taken[0] if entry["type"] == "Conv2d" else 1
    return padded + math.prod(made) * each * math.prod(kernel)
