"""The groups of arguments that the engines hand to the functions of a family, and to functions of their own.

Kernels unpack them at their head: read inside a loop over lanes, a field costs up to 3 % of the loop.  Numba tells
named tuples apart by the names of class and fields alone, so each class has a name of its own in the package.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from lavadl_kernels.runtime.array_types import Array, Floats, Integers


class Surrogate(NamedTuple):
    """The surrogate gradient of a spike, as loops over lanes need it; see `neurons._surrogate`.

    The exponential of a distance over tau is 2 to the power of the distance times log2(e) / tau.
    """

    rate: np.float32  #: log2(e) / tau
    rest: np.float32  #: what float32 cuts off of `rate`
    lowest: np.float32  #: the distance below which the exponential is no normal float32, and counts as at it
    side: np.float32  #: times a distance above the threshold: -1, or 0 where spikes are graded, which is flat there
    height: np.float32  #: the gradient at the threshold
    half_rate: np.float32  #: 1 / (2 tau)
    scale: np.float32


def surrogate_of(tau: float, scale: float, graded: bool) -> Surrogate:
    """Describe a surrogate gradient.

    Parameters
    ----------
    tau, scale : float
        Its width and height, as float32.
    graded : bool
        Whether a spike carries its value.
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
    """A segment of time that backward has recomputed; row 0 is the step before it."""

    trace: Floats  #: (K, S, width), units of 1: each state before a spike acts on it
    spike: Floats  #: (S, width), 1 or 0


class Arriving(NamedTuple):
    """The gradients that arrive at one step from outside."""

    spike: Floats  #: (n,), to the spikes of the lanes
    trace: Floats | None  #: (K, T, M), to the traces, read at [:, t, lo : lo + n]
    t: int
    lo: int


class Leaving(NamedTuple):
    """The gradients that one step of the adjoint leaves."""

    x: tuple[Floats, ...]  #: (n,) each, to the inputs; written
    decay: Floats  #: (P, width), to the decays in units of 1; added to


class AdjointStep(NamedTuple):
    """One step back over the lanes of a chunk."""

    decay_fraction: Floats  #: (P, width), or (P,) where all lanes share them: the decays in units of 1
    history: History
    t: int  #: the step, as a row of `history`; row t - 1 is the step before
    arriving: Arriving
    adjoint: Floats  #: (K, width), gradients to the states after the step; replaced by those before it
    leaving: Leaving


class Given(NamedTuple):
    """The inputs and the start of a run."""

    x: tuple[Floats, ...]  #: (T, M) each, units of 1; (M, T) if `lanes_first`
    state: Integers  #: (K, M), before the first step, 1/4096
    graded: bool  #: whether a spike carries its value
    lanes_first: bool = False


class Lanes(NamedTuple):
    """States and decays of the lanes that are walked at a time, in the number type of the run."""

    state: Array  #: (K, width), 1/4096
    decay: Array  #: (P, width), or (P,) where all lanes share them, 1/4096


class Walk(NamedTuple):
    """The buffers of backward for the lanes that it walks at a time."""

    decay_fraction: Floats  #: (P, width) or (P,), the decays in units of 1
    history: History
    adjoint: Floats  #: (K, width), gradients to the states after a step
    gathered: Floats  #: (P, width), gradients to the decays in units of 1
