"""Shapes: those of a layer and its weight from the layer before it, and the other way round."""

from __future__ import annotations

from lavadl_ref.exchange.errors import ExchangeError
from lavadl_ref.exchange.layers import (
    Average,
    Conv,
    ConvTranspose,
    Dense,
    Flatten,
    Input,
    Kernel,
    Layer,
    Pool,
    TimeDecimation,
    Unpool,
)


def known_input(layer: Layer) -> tuple[int, ...] | None:
    """Shape of the only input that `layer` can take, None where there are several or none."""
    if isinstance(layer, Average):
        return None
    smallest = smallest_input(layer)
    if isinstance(layer, Kernel):
        if not isinstance(layer, (ConvTranspose, Unpool)) and max(layer.stride) > 1:
            return None
        if min(smallest) < 1 or layer.shape[1:] not in _spatial(layer, smallest[1:]):
            return None
    return smallest


def smallest_input(layer: Layer) -> tuple[int, ...]:
    """Shape of the smallest input that gives `layer` its shape, (C, H, W) or (N,)."""
    if isinstance(layer, Dense):
        return (int(layer.weight.shape[1]),)
    if not isinstance(layer, Kernel):
        return layer.shape
    extents = []
    axes = zip(layer.shape[1:], layer.kernel_size, layer.stride, layer.padding, layer.dilation, strict=True)
    for out, kernel, stride, padding, dilation in axes:
        reach = dilation * (kernel - 1)
        if isinstance(layer, (ConvTranspose, Unpool)):
            extents.append((out + 2 * padding - reach - 1) // stride + 1)
        else:
            extents.append((out - 1) * stride + reach + 1 - 2 * padding)
    if isinstance(layer, Conv):
        channels = int(layer.weight.shape[1]) * layer.groups
    else:
        channels = int(layer.weight.shape[0]) if isinstance(layer, ConvTranspose) else layer.channels
    return (channels, *extents)


def check_link(layer: Layer, previous: Layer | None) -> None:
    """Raise unless `layer` can take what `previous` gives.

    The first layer of a file takes whatever its weight asks for.  `layer` must be legal
    by itself.

    Raises
    ------
    ExchangeError
        Naming the field, what was found and what was expected.
    """
    if previous is None:
        return
    if isinstance(layer, Input):
        raise ExchangeError("type: must be 'input' in layer 0 only")
    if isinstance(layer, Flatten):
        _expect("shape", (previous.size,), layer.shape, previous)
    elif isinstance(layer, TimeDecimation):
        _expect("shape", previous.shape, layer.shape, previous)
    elif isinstance(layer, Average):
        if previous.size % layer.size:
            raise ExchangeError(f"shape: must be a divisor of {previous.size} neurons, got {layer.shape}")
    elif isinstance(layer, Dense):
        _expect("weight", (layer.channels, previous.size), layer.weight.shape, previous)
    elif isinstance(layer, Kernel):
        _check_kernel_link(layer, previous)


def _check_kernel_link(layer: Kernel, previous: Layer) -> None:
    if len(previous.shape) != 3:
        raise ExchangeError(f"type: {layer.kind!r} must have input (C, H, W), got {previous.shape}")
    channels = previous.shape[0]
    if channels % layer.groups:
        raise ExchangeError(f"groups: must be a divisor of {channels} input channels, got {layer.groups}")
    found = layer.weight.shape
    if isinstance(layer, Conv):
        _expect("weight", (found[0], channels // layer.groups, *found[2:]), found, previous)
    elif isinstance(layer, ConvTranspose):
        _expect("weight", (channels, *found[1:]), found, previous)
    outputs = channels if isinstance(layer, (Pool, Unpool)) else layer.channels
    sizes = _spatial(layer, previous.shape[1:])
    for height, width in sizes:
        if layer.shape == (outputs, height, width):
            return
    _expect("shape", (outputs, *sizes[0]), layer.shape, previous)


def _spatial(layer: Kernel, taken: tuple[int, ...]) -> list[tuple[int, int]]:
    """(height, width) that the layer may have of an input (height, width), the usual one first.

    Windows count as floor((n + 2 p - d (k - 1) - 1) / s) + 1; transposed,
    (n - 1) s - 2 p + d (k - 1) + 1.  Pooling may also keep a last window that reaches past
    the edge, if it begins before the edge.
    """
    floors, ceils = [], []
    axes = zip(taken, layer.kernel_size, layer.stride, layer.padding, layer.dilation, strict=True)
    for extent, kernel, stride, padding, dilation in axes:
        reach = dilation * (kernel - 1)
        if isinstance(layer, (ConvTranspose, Unpool)):
            floors.append((extent - 1) * stride - 2 * padding + reach + 1)
            ceils.append(floors[-1])
        else:
            room = extent + 2 * padding - reach - 1
            floors.append(room // stride + 1)
            begins = max(-(-room // stride), 0) * stride  # of the last window
            ceils.append(begins // stride + 1 if begins < extent + padding else floors[-1])
    sizes = [(floors[0], floors[1])]
    if isinstance(layer, Pool):
        sizes.append((ceils[0], ceils[1]))
    return sizes


def _expect(key: str, expected: tuple[int, ...], found: tuple[int, ...], previous: Layer) -> None:
    if expected != found:
        raise ExchangeError(f"{key}: must have shape {expected}, got {found}; the input is {previous.shape}")
