"""Inputs to compare with: their shape, random ones, and streams cut into samples."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from lavadl_ref import exchange
from lavadl_ref._arguments import real, whole
from lavadl_ref._cost import check_cost
from lavadl_ref.deployed import deployment, reference
from lavadl_ref.exchange import Input
from lavadl_ref.exchange.geometry import smallest_input
from lavadl_ref.verify.report import Array

STEPS = 64  #: of a random input
RATE = 0.2  #: of a random input: fraction of neurons that send something at a step


def input_shape(network: exchange.Network) -> tuple[int, ...]:
    """Shape of the input, without time; the smallest that fits if the network does not determine it."""
    return network.input_shape or smallest_input(network.layers[0])


def random_input(network: exchange.Network, steps: int, seed: int | None = None, rate: float | None = None) -> Array:
    """A reproducible input for `network`: spikes, or integers in [0, 128) for an input layer's neurons.

    If sigma-delta neurons receive the input, it consists of messages between -1 and 1.

    If a file begins with a convolution, which does not determine the size of its input, the smallest input that gives
    the layer's shape is used.

    Parameters
    ----------
    network : exchange.Network
        The network that receives the input.
    steps : int
        Length T of the input, at least 1.
    seed : int, optional
        Not negative; 0 by default.
    rate : float, optional
        Fraction of neurons that send something at a step, within [0, 1]; `RATE` by default. The neurons of an input
        layer receive a value at every step, so there it must be left out.

    Returns
    -------
    ndarray
        (\\*shape, T) int64.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, or no input gives the first layer its shape.
    """
    whole("steps", steps, 1)
    rng = np.random.default_rng(whole("seed", 0 if seed is None else seed, 0))
    fraction = real("rate", RATE if rate is None else rate, 0, 1)
    shape = input_shape(network)
    if min(shape) < 1:
        first = network.layers[0]
        raise ValueError(f"input of no size gives layer 0 ({first.kind}) its shape {first.shape}")
    if _driven(network):
        if rate is not None:
            raise ValueError(
                "rate must be left out: the network begins with an input layer, which receives a value at every step"
            )
        return rng.integers(0, 128, (*shape, steps))
    present = (rng.random((*shape, steps)) < fraction).astype(np.int64)
    one = 1 << deployment.input_bits(network.layers)
    return present if one == 1 else present * rng.integers(-one, one + 1, present.shape)


def _driven(network: exchange.Network) -> bool:
    """Tell whether the input is the current of an input layer's neurons."""
    first = network.layers[0]
    return isinstance(first, Input) and first.neuron is not None


def chosen_input(
    deployed: reference.Network,
    inputs: ArrayLike | None,
    steps: int | None,
    seed: int | None,
    rate: float | None,
    megabytes: float,
    lava: bool = False,
    wide: bool = False,
) -> tuple[Array, str | None]:
    """The input of a comparison, (\\*shape, T), and a description if it is random, else None.

    Parameters
    ----------
    deployed : reference.Network
        The network that receives it.
    inputs : array_like of int, optional
        (\\*shape, T); `random_input` by default.
    steps, seed, rate, megabytes
        As in `lavadl_ref.verify.verify`.
    lava : bool
        Whether the network runs on Lava too.
    wide : bool
        Whether it runs without widths too.

    Raises
    ------
    TypeError, ValueError
        If the input given does not fit the network, an argument is out of range or belongs to the other kind of input,
        or the run would take more than `megabytes`; before anything is allocated.
    """
    network = deployed.description
    steps = None if steps is None else whole("steps", steps, 1)
    if inputs is None:
        length = STEPS if steps is None else steps
        check_cost(network, input_shape(network), length, megabytes, lava, wide)
        return random_input(network, length, seed, rate), _told(network, seed, rate)
    for name, value in (("seed", seed), ("rate", rate)):
        if value is not None:
            raise ValueError(f"{name} must be left out where input is given: it is of the random input")
    x, _ = deployed.checked_input(inputs, batch=False)
    if x.shape[-1] < 1:
        raise ValueError(f"input must have at least one step on its last axis, got shape {x.shape}")
    if steps is not None and steps > x.shape[-1]:
        raise ValueError(f"steps must be at most {x.shape[-1]}, which the input has, got {steps}")
    x = x[..., :steps]
    check_cost(network, x.shape[:-1], x.shape[-1], megabytes, lava, wide)
    return x, None


def _told(network: exchange.Network, seed: int | None, rate: float | None) -> str:
    """A description of a random input, for a title."""
    if _driven(network):
        return f"random currents in 0..127, seed {seed or 0}"
    kind = "messages" if deployment.input_bits(network.layers) else "spikes"
    return f"random {kind}, rate {RATE if rate is None else rate:g}, seed {seed or 0}"


def padded(x: Array, steps: int) -> Array:
    """`x` (..., T) continued with zeros to `steps`: (..., steps)."""
    return np.concatenate([x, np.zeros((*x.shape[:-1], steps - x.shape[-1]), x.dtype)], axis=-1)


def exact_integers(values: Array, scale: float, what: str) -> Array:
    """`values`, of any shape, times `scale` as int64 of the same shape.

    Raises
    ------
    ValueError
        If a product is not whole, or too large for float64 to count exactly.
    """
    scaled = np.asarray(values, np.float64) * scale
    whole = np.rint(scaled)
    fit = (scaled == whole) & (np.abs(whole) < 2.0**53)  # up to which float64 counts exactly
    if not fit.all():
        raise ValueError(f"{what} must be whole numbers, got {scaled[~fit].flat[0]}")
    return whole.astype(np.int64)


def windows_of(x: Array, interval: int) -> Array:
    """A stream (\\*shape, T) as samples (B, \\*shape, interval)."""
    x = padded(x, -(-x.shape[-1] // interval) * interval)
    return np.moveaxis(x.reshape(*x.shape[:-1], -1, interval), -2, 0)
