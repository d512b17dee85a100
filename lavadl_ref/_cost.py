"""The memory that a run would take, from shapes alone, and a limit to it."""

from __future__ import annotations

import math

from lavadl_ref._arguments import positive
from lavadl_ref.deployed import deployment
from lavadl_ref.exchange import Average, Conv, ConvTranspose, Dense, Kernel, Layer, Network, Pool, Unpool

#: What `lavadl_ref.verify.verify` and `lavadl_ref.audit.audit` may take unless told otherwise, and a network on Lava.
MEGABYTES = 4000.0
WORD = 8  # bytes of a sum, and of an integer without a width
HELD = 4  # bytes of what is kept of a run: messages and states
ENTRY = 24  # bytes of an entry of a sparse matrix while it is made


def estimate(network: Network, shape: tuple[int, ...], steps: int, lava: bool = False, wide: bool = False) -> int:
    """Bytes that a run of all paths holds at the same time, about.

    Parameters
    ----------
    network : Network
        What runs.
    shape : tuple of int
        Of its input, without time.
    steps : int
        How long.
    lava : bool
        Whether it runs on Lava too, whose synapses hold some windows as matrices.
    wide : bool
        Whether there is a second run, without widths.

    Returns
    -------
    int
    """
    kept = HELD + WORD if wide else HELD
    held = 3 * WORD * steps * math.prod(shape)  # drawn, chosen, arranged
    largest = 0
    for layer in network.layers:
        parts = 1 if getattr(layer, "weight_imag", None) is None else 2
        states = 0 if layer.neuron is None else len(deployment.states_of(layer))
        rows = 2 + states  # of messages, as sent and as another path has them, and of states
        held += kept * steps * layer.size * rows
        working = steps * layer.size * (3 * WORD * parts + kept * rows) + _windows(layer, shape)
        if lava:
            working += ENTRY * parts * _entries(layer, shape)
        largest = max(largest, working)
        shape = layer.shape
    return held + largest


def check_cost(
    network: Network, shape: tuple[int, ...], steps: int, megabytes: float, lava: bool = False, wide: bool = False
) -> None:
    """Raise a ValueError that has the `estimate` if it is above `megabytes`."""
    allowed = positive("megabytes", megabytes)
    needed = estimate(network, shape, steps, lava, wide) / 1e6
    if needed > allowed:
        raise ValueError(
            f"{steps} steps of input of shape {shape} would take about {needed:,.0f} MB of memory, more than the "
            f"{allowed:,.0f} MB allowed; take fewer steps, or allow more (megabytes, --memory-mb)"
        )


def check_processes(layers: tuple[Layer, ...], shape: tuple[int, ...]) -> None:
    """Raise a ValueError if the processes of layers that receive `shape` would hold more than `MEGABYTES` on Lava."""
    needed = estimate(Network(layers), shape, 1, lava=True) / 1e6
    if needed > MEGABYTES:
        raise ValueError(
            f"processes of Lava for input of shape {shape} would take about {needed:,.0f} MB of memory, more than the "
            f"{MEGABYTES:,.0f} MB allowed"
        )


def _windows(layer: Layer, shape: tuple[int, ...]) -> int:
    """Bytes of the places that a layer's windows meet, along either axis."""
    if not isinstance(layer, Kernel):
        return 0
    extents = shape[1:] if isinstance(layer, (ConvTranspose, Unpool)) else layer.shape[1:]
    return 4 * WORD * sum(extent * kernel for extent, kernel in zip(extents, layer.kernel_size, strict=True))


def _entries(layer: Layer, shape: tuple[int, ...]) -> int:
    """Weights that Lava's synapses hold of the layer beyond those that the file has."""
    if isinstance(layer, Average):
        return math.prod(shape)
    if isinstance(layer, Dense):
        return int(layer.weight.size)
    if isinstance(layer, Pool):
        return layer.channels * int(layer.weight.size)
    if isinstance(layer, Conv):
        return int(layer.weight.size)
    if isinstance(layer, Unpool):
        return math.prod(shape) * int(layer.weight.size)
    if isinstance(layer, ConvTranspose):
        return math.prod(shape[1:]) * int(layer.weight.size)
    return 0
