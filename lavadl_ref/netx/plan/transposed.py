"""Transposed convolution as the matrix it is, for Lava's `Sparse`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from lavadl_kernels.ops import integer_synapse
from numpy.typing import NDArray

from lavadl_ref.exchange.describe import ConvTranspose, Unpool

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Integers = NDArray[np.int64]

LANES = 1 << 22  # outputs that are probed at a time


def transposed_matrix(
    layer: ConvTranspose | Unpool, weight: NDArray[np.int64], shape: tuple[int, int, int]
) -> csr_matrix:
    """The matrix of a transposed convolution, as the kernels compute it.

    Columns that reach different outputs are probed together: one run of the kernel tells the weights,
    a second one, of unit weights and numbered impulses, whose they are.

    Parameters
    ----------
    layer : ConvTranspose or Unpool
        Its window.
    weight : ndarray
        (I, O / groups, kh, kw) int64, or (1, 1, kh, kw) of an unpool layer: the real or the imaginary part.
    shape : tuple of int
        (C, H, W) of the input.

    Returns
    -------
    scipy.sparse.csr_matrix
        int64; a row for each output in the order W, H, C, a column for each input in the order C, H, W.
    """
    from scipy.sparse import csr_matrix  # what plans a network does without: it is built where Lava is

    conv_transpose: Callable[..., Integers] = integer_synapse.conv_transpose
    channels, height, width = shape
    groups = layer.groups
    if isinstance(layer, Unpool):
        weight, groups = np.broadcast_to(weight, (channels, 1, *weight.shape[2:])), channels
    window = layer.stride, layer.padding, layer.dilation, groups
    number = np.arange(1, height * width + 1).reshape(height, width)
    # inputs this far apart reach different outputs
    apart = [
        -(-(d * (k - 1) + 1) // s) for d, k, s in zip(layer.dilation, layer.kernel_size, layer.stride, strict=True)
    ]
    phases = list(np.ndindex(channels, min(apart[0], height), min(apart[1], width)))
    places = np.arange(layer.size).reshape(layer.shape[::-1]).transpose(2, 1, 0).reshape(-1)  # C, H, W to W, H, C
    rows, columns, values = [], [], []
    batch = max(1, LANES // layer.size)
    for first in range(0, len(phases), batch):
        probes = phases[first : first + batch]
        impulses = np.zeros((len(probes), *shape), np.int64)
        for impulse, (c, y, x) in zip(impulses, probes, strict=True):
            impulse[c, y :: apart[0], x :: apart[1]] = number[y :: apart[0], x :: apart[1]]
        found = conv_transpose((impulses > 0).astype(np.int64), weight, *window).reshape(len(probes), -1)
        source = conv_transpose(impulses, np.ones_like(weight), *window).reshape(len(probes), -1)
        probe, place = np.nonzero(found)
        rows.append(places[place])
        columns.append(np.array([c for c, _, _ in probes])[probe] * height * width + source[probe, place] - 1)
        values.append(found[probe, place])
    entries = np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))
    return csr_matrix(entries, shape=(layer.size, channels * height * width), dtype=np.int64)
