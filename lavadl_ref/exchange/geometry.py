"""Shapes: those of a layer and its weight from the layer before it, and the other way round."""

from __future__ import annotations

from lavadl_ref.exchange import layers
from lavadl_ref.exchange.errors import ExchangeError


def known_input(layer: layers.Layer) -> tuple[int, ...] | None:
    """Shape of the only input that `layer` can take, None where there are several or none."""
    if isinstance(layer, layers.Average):
        return None
    smallest = smallest_input(layer)
    if isinstance(layer, layers.Kernel):
        if not isinstance(layer, (layers.ConvTranspose, layers.Unpool)) and max(layer.stride) > 1:
            return None
        if min(smallest) < 1 or layer.shape[1:] not in _spatial(layer, smallest[1:]):
            return None
    return smallest


def smallest_input(layer: layers.Layer) -> tuple[int, ...]:
    """Shape of the smallest input that gives `layer` its shape, (C, H, W) or (N,)."""
    if isinstance(layer, layers.Dense):
        return (int(layer.weight.shape[1]),)
    if not isinstance(layer, layers.Kernel):
        return layer.shape
    extents = []
    axes = zip(layer.shape[1:], layer.kernel_size, layer.stride, layer.padding, layer.dilation, strict=True)
    for out, kernel, stride, padding, dilation in axes:
        reach = dilation * (kernel - 1)
        if isinstance(layer, (layers.ConvTranspose, layers.Unpool)):
            extents.append((out + 2 * padding - reach - 1) // stride + 1)
        else:
            extents.append((out - 1) * stride + reach + 1 - 2 * padding)
    if isinstance(layer, layers.Conv):
        channels = int(layer.weight.shape[1]) * layer.groups
    else:
        channels = int(layer.weight.shape[0]) if isinstance(layer, layers.ConvTranspose) else layer.channels
    return (channels, *extents)


def check_link(layer: layers.Layer, previous: layers.Layer | None) -> None:
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
    if isinstance(layer, layers.Input):
        raise ExchangeError("type: must be 'input' in layer 0 only")
    if isinstance(layer, layers.Flatten):
        _expect("shape", (previous.size,), layer.shape, previous)
    elif isinstance(layer, layers.TimeDecimation):
        _expect("shape", previous.shape, layer.shape, previous)
    elif isinstance(layer, layers.Average):
        if previous.size % layer.size:
            raise ExchangeError(f"shape: must be a divisor of {previous.size} neurons, got {layer.shape}")
    elif isinstance(layer, layers.Dense):
        _expect("weight", (layer.channels, previous.size), layer.weight.shape, previous)
    elif isinstance(layer, layers.Kernel):
        _check_kernel_link(layer, previous)


def _check_kernel_link(layer: layers.Kernel, previous: layers.Layer) -> None:
    if len(previous.shape) != 3:
        raise ExchangeError(f"type: {layer.kind!r} must have input (C, H, W), got {previous.shape}")
    channels = previous.shape[0]
    if channels % layer.groups:
        raise ExchangeError(f"groups: must be a divisor of {channels} input channels, got {layer.groups}")
    found = layer.weight.shape
    if isinstance(layer, layers.Conv):
        _expect("weight", (found[0], channels // layer.groups, *found[2:]), found, previous)
    elif isinstance(layer, layers.ConvTranspose):
        _expect("weight", (channels, *found[1:]), found, previous)
    outputs = channels if isinstance(layer, (layers.Pool, layers.Unpool)) else layer.channels
    sizes = _spatial(layer, previous.shape[1:])
    for height, width in sizes:
        if layer.shape == (outputs, height, width):
            return
    _expect("shape", (outputs, *sizes[0]), layer.shape, previous)


def _spatial(layer: layers.Kernel, taken: tuple[int, ...]) -> list[tuple[int, int]]:
    """(height, width) that the layer may have of an input (height, width), the usual one first.

    Windows count as floor((n + 2 p - d (k - 1) - 1) / s) + 1; transposed,
    (n - 1) s - 2 p + d (k - 1) + 1.  Pooling may also keep a last window that reaches past
    the edge, if it begins before the edge.
    """
    floors, ceils = [], []
    axes = zip(taken, layer.kernel_size, layer.stride, layer.padding, layer.dilation, strict=True)
    for extent, kernel, stride, padding, dilation in axes:
        reach = dilation * (kernel - 1)
        if isinstance(layer, (layers.ConvTranspose, layers.Unpool)):
            floors.append((extent - 1) * stride - 2 * padding + reach + 1)
            ceils.append(floors[-1])
        else:
            room = extent + 2 * padding - reach - 1
            floors.append(room // stride + 1)
            begins = max(-(-room // stride), 0) * stride  # of the last window
            ceils.append(begins // stride + 1 if begins < extent + padding else floors[-1])
    sizes = [(floors[0], floors[1])]
    if isinstance(layer, layers.Pool):
        sizes.append((ceils[0], ceils[1]))
    return sizes


def _expect(key: str, expected: tuple[int, ...], found: tuple[int, ...], previous: layers.Layer) -> None:
    if expected != found:
        raise ExchangeError(f"{key}: must have shape {expected}, got {found}; the input is {previous.shape}")
