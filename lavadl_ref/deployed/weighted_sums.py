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
    return tuple(part.astype(np.int64, copy=False) for part in narrow_sums(layer, x))


#: Bytes of a layer's weights up to which a run keeps them for the next as the kernels read them.
KEPT_BYTES = 1 << 24


class KeptWeights:
    """The weights of a layer as the kernels read them, made again only when the layer's integers have changed.

    Parameters
    ----------
    layer : Layer
    """

    def __init__(self, layer: Layer) -> None:
        self.layer = layer
        self._kept: list[synapse.Weights] = []

    def current(self) -> list[Any]:
        """The real weight and, where there is one, the imaginary weight."""
        own = _weights(self.layer)
        if not isinstance(self.layer, Dense) or sum(weight.nbytes for weight in own) > KEPT_BYTES:
            return own
        if not self._kept or not all(kept.made_of(weight) for kept, weight in zip(self._kept, own, strict=True)):
            self._kept = [synapse.Weights(weight) for weight in own]
        return list(self._kept)


def _weights(layer: Layer) -> list[Any]:
    found = (getattr(layer, "weight", None), getattr(layer, "weight_imag", None))
    return [weight for weight in found if weight is not None]


def narrow_sums(layer: Layer, x: Array, kept: KeptWeights | None = None) -> tuple[Array, ...]:
    """As `weighted_sums` of `x` (T, B, \\*shape), int32 where that surely holds all; without a synapse `x` itself."""
    if isinstance(layer, Average):
        return (x.reshape(*x.shape[:2], layer.size, -1).sum(-1, dtype=np.int64),)
    if not isinstance(layer, (Dense, Kernel)):
        return (x,)
    steps, batch = x.shape[:2]
    frames = x.reshape(steps * batch, *x.shape[2:])
    found = []
    for weight in _weights(layer) if kept is None else kept.current():
        if isinstance(layer, Dense):
            sums = synapse.dense(frames.reshape(len(frames), layer.weight.shape[1]), weight, narrow=True, late=batch)
        else:
            sums = _kernel_sums(layer, weight, frames, batch)
        found.append(sums.reshape(steps, batch, *layer.shape))
    return tuple(found)


def _kernel_sums(layer: Kernel, weight: Integers, x: Array, late: int) -> Array:
    """Sums of frames `x` (F, C, H, W), `late` frames later."""
    window: dict[str, Any] = {"stride": layer.stride, "padding": layer.padding, "dilation": layer.dilation}
    window["narrow"] = True
    if isinstance(layer, Conv):
        return synapse.conv(x, weight, **window, groups=layer.groups, late=late)
    if isinstance(layer, ConvTranspose):
        return synapse.conv_transpose(x, weight, **window, groups=layer.groups, late=late)
    channels = x.shape[1]
    frames = x.reshape(-1, 1, *x.shape[2:])  # channel by channel
    if isinstance(layer, Unpool):
        sums = synapse.conv_transpose(frames, weight, **window, late=late * channels)
    else:
        assert isinstance(layer, Pool)
        # a last window that reaches past the edge counts
        size = layer.shape[1], layer.shape[2]
        sums = synapse.conv(frames, weight, **window, size=size, late=late * channels)
    return sums.reshape(len(x), *layer.shape)
