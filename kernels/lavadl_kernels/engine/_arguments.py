"""Named tuples of arguments that the engines pass to a family's functions and to their own helpers.

Kernels unpack these tuples at the top of the function, because reading a field inside a loop over lanes costs up to
3 % of the loop.  Numba distinguishes named tuples only by the names of the class and its fields, so the name of each
class is unique within the package.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from lavadl_kernels.runtime.array_types import Array, Floats, Integers


class Surrogate(NamedTuple):
    """Constants of the surrogate gradient of a spike, precomputed for loops over lanes; see `neurons._surrogate`.

    The loops compute exp(distance / tau) as 2 ** (distance * log2(e) / tau).
    """

    rate: np.float32  #: log2(e) / tau
    rest: np.float32  #: the rounding error of `rate`: the exact log2(e) / tau minus its float32 value
    #: the distance below which the exponential is no normal float32; distances below it are treated as equal to it
    lowest: np.float32
    #: the factor of distances above the threshold: -1, or 0 for graded spikes, whose gradient is constant there
    side: np.float32
    height: np.float32  #: the gradient at the threshold
    half_rate: np.float32  #: 1 / (2 tau)
    scale: np.float32


def surrogate_of(tau: float, scale: float, graded: bool) -> Surrogate:
    """Precompute the constants of a surrogate gradient.

    Parameters
    ----------
    tau, scale : float
        The width and height of the surrogate gradient; both are rounded to float32.
    graded : bool
        Whether spikes are graded: a graded spike carries the neuron's value instead of 1.
    """
    width, size = float(np.float32(tau)), np.float32(scale)
    exact = math.log2(math.e) / width
    rate, half_rate = np.float32(exact), np.float32(0.5 / width)
    return Surrogate(
        rate,
        np.float32(exact - float(rate)),
        np.float32(-87 * width),
        np.float32(0 if graded else -1),
        size if graded else np.float32(float(size) * 0.5 / width),
        half_rate,
        size,
    )


class History(NamedTuple):
    """The states and spikes of a segment of time, recomputed by the backward pass; row 0 is the step before it."""

    trace: Floats  #: (K, S, width), units of 1: each state before a spike acts on it
    spike: Floats  #: (S, width), 1 or 0


class Arriving(NamedTuple):
    """The gradients that one step receives from outside the neurons."""

    spike: Floats  #: (n,), with respect to the spikes of the lanes
    trace: Floats | None  #: (K, T, M), with respect to the traces, read at [:, t, lo : lo + n]
    t: int
    lo: int


class Leaving(NamedTuple):
    """The gradients that one adjoint step produces."""

    x: tuple[Floats, ...]  #: (n,) each, with respect to the inputs; overwritten
    decay: Floats  #: (P, width), with respect to the decays in units of 1; the step adds to them


class AdjointStep(NamedTuple):
    """The arguments of one adjoint step over the lanes of a chunk."""

    decay_fraction: Floats  #: (P, width), or (P,) if all lanes share the decays: the decays in units of 1
    history: History
    t: int  #: the step, as a row of `history`; row t - 1 is the step before
    arriving: Arriving
    #: (K, width), gradients with respect to the states after the step; replaced by those with respect to the states
    #: before it
    adjoint: Floats
    leaving: Leaving


class Given(NamedTuple):
    """The inputs and initial states of a run."""

    x: tuple[Floats, ...]  #: (T, M) each, units of 1; (M, T) if `lanes_first`
    state: Integers  #: (K, M), the states before the first step, in units of 1/4096
    graded: bool  #: whether a spike carries the neuron's value instead of 1
    lanes_first: bool = False


class Lanes(NamedTuple):
    """States and decays of the chunk of lanes being processed, in the number type of the run."""

    state: Array  #: (K, width), in units of 1/4096
    decay: Array  #: (P, width), or (P,) if all lanes share the decays, in units of 1/4096


class Walk(NamedTuple):
    """The buffers that the backward pass uses for one chunk of lanes."""

    decay_fraction: Floats  #: (P, width), or (P,) if all lanes share the decays: the decays in units of 1
    history: History
    adjoint: Floats  #: (K, width), gradients with respect to the states after a step
    gathered: Floats  #: (P, width), gradients with respect to the decays in units of 1, summed over a segment
