"""Inputs to compare with: their shape, random ones, and streams cut into samples."""

from __future__ import annotations

import numpy as np

from lavadl_ref import deployment, exchange
from lavadl_ref.exchange import Input
from lavadl_ref.exchange.geometry import smallest_input
from lavadl_ref.verify.report import Array


def input_shape(network: exchange.Network) -> tuple[int, ...]:
    """Shape of the input, without time; the smallest that fits where the network leaves it open."""
    return network.input_shape or smallest_input(network.layers[0])


def random_input(network: exchange.Network, steps: int, seed: int = 0) -> Array:
    """A reproducible input for `network`: spikes at 20 %, or integers in [0, 128) for an input layer's neurons.

    Where sigma-delta neurons receive it, a fifth of it are messages between -1 and 1.

    Where a file begins with a convolution, which does not say how large its input is, the
    smallest input that gives the layer's shape is taken.
    """
    shape = input_shape(network)
    rng = np.random.default_rng(seed)
    first = network.layers[0]
    if isinstance(first, Input) and first.neuron is not None:
        return rng.integers(0, 128, (*shape, steps))
    present = (rng.random((*shape, steps)) < 0.2).astype(np.int64)
    one = 1 << deployment.input_bits(network.layers)
    return present if one == 1 else present * rng.integers(-one, one + 1, present.shape)


def padded(x: Array, steps: int) -> Array:
    """`x` (..., T) continued with zeros to `steps`."""
    return np.concatenate([x, np.zeros((*x.shape[:-1], steps - x.shape[-1]), x.dtype)], axis=-1)


def exact_integers(values: Array, scale: float, what: str) -> Array:
    """`values` * `scale` as integers; refuses what is not whole."""
    scaled = np.asarray(values, np.float64) * scale
    whole = np.rint(scaled)
    fit = (scaled == whole) & (np.abs(whole) < 2.0**53)  # what float64 counts exactly
    if not fit.all():
        raise ValueError(f"{what} must be whole numbers, found {scaled[~fit].flat[0]}")
    return whole.astype(np.int64)


def windows_of(x: Array, interval: int) -> Array:
    """A stream (\\*shape, T) as samples (B, \\*shape, interval)."""
    x = padded(x, -(-x.shape[-1] // interval) * interval)
    return np.moveaxis(x.reshape(*x.shape[:-1], -1, interval), -2, 0)
