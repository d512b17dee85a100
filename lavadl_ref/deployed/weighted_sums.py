"""Weighted sums of the reference run: any synapse of a layer over all steps at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from lavadl_kernels.ops import integer_synapse as synapse
from numpy.typing import NDArray

from lavadl_ref.exchange import Average, Conv, ConvTranspose, Dense, Kernel, Layer, Pool, Unpool

Integers = NDArray[np.int64]
Array = NDArray[Any]


def weighted_sums(layer: Layer, x: Array) -> tuple[Integers, ...]:
    """Real, and where there is one imaginary, weighted sums (T, B, \\*shape) of messages `x`, one step later.

    What has no synapse hands `x` on at once.
    """
    if isinstance(layer, Average):
        return (x.reshape(*x.shape[:2], layer.size, -1).astype(np.int64).sum(-1),)
    if not isinstance(layer, (Dense, Kernel)):
        return (x.astype(np.int64),)
    steps, batch = x.shape[:2]
    messages = np.ascontiguousarray(x[:-1]).reshape((steps - 1) * batch, *x.shape[2:])
    found = []
    for weight in (layer.weight, layer.weight_imag):
        if weight is None:
            continue
        z = np.zeros((steps, batch, *layer.shape), np.int64)
        if isinstance(layer, Dense):
            sums = synapse.dense(messages.reshape(len(messages), weight.shape[1]), weight)
        else:
            sums = _kernel_sums(layer, weight, messages)
        z[1:] = sums.reshape(steps - 1, batch, *layer.shape)
        found.append(z)
    return tuple(found)


def _kernel_sums(layer: Kernel, weight: Integers, x: Array) -> Integers:
    window: dict[str, Any] = {"stride": layer.stride, "padding": layer.padding, "dilation": layer.dilation}
    if isinstance(layer, Conv):
        return synapse.conv(x, weight, **window, groups=layer.groups)
    if isinstance(layer, ConvTranspose):
        return synapse.conv_transpose(x, weight, **window, groups=layer.groups)
    frames = x.reshape(-1, 1, *x.shape[2:])  # channel by channel
    if isinstance(layer, Unpool):
        sums = synapse.conv_transpose(frames, weight, **window)
    else:
        assert isinstance(layer, Pool)
        # a last window that reaches past the edge counts: pad up to what the shape needs
        pads = [
            max(0, (out - 1) * s + d * (k - 1) + 1 - n - 2 * p)
            for out, n, k, s, p, d in zip(
                layer.shape[1:],
                x.shape[2:],
                layer.kernel_size,
                layer.stride,
                layer.padding,
                layer.dilation,
                strict=True,
            )
        ]
        frames = np.pad(frames, ((0, 0), (0, 0), (0, pads[0]), (0, pads[1])))
        sums = synapse.conv(frames, weight, **window)[..., : layer.shape[1], : layer.shape[2]]
    return sums.reshape(len(x), *layer.shape)
