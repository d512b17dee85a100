"""Drawing neurons and spike trains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import DTypeLike, NDArray

from lavadl_ref.exchange import FAMILIES, Neuron
from lavadl_ref.testing import _neurons
from lavadl_ref.testing._choices import edges
from lavadl_ref.testing._names import known

FULL = 512  #: values of a spike train up to which each one is drawn by itself, which takes Hypothesis long
CACHED = 1024  #: strategies that are kept, because Hypothesis takes long to inspect a new one


@lru_cache(CACHED)
def integers(low: int, high: int, usual: tuple[int, int], extreme: bool) -> st.SearchStrategy[int]:
    """Integers of the usual range; if `extreme`, also the edges of the legal one and what lies between."""
    if not extreme:
        return st.integers(*usual)
    return st.one_of(st.integers(*usual), st.sampled_from(edges(low, high)), st.integers(low, high))


@lru_cache(CACHED)
def array(shape: int | tuple[int, ...], elements: st.SearchStrategy[int]) -> st.SearchStrategy[NDArray[np.int64]]:
    """Arrays of int64 of this shape."""
    return arrays(np.int64, shape, elements=elements)


@dataclass(frozen=True)
class Drawn:
    """Choices of Hypothesis, which can shrink."""

    draw: st.DrawFn

    def integer(self, low: int, high: int) -> int:
        return self.draw(st.integers(low, high))

    def one(self, options: Sequence[Any]) -> Any:
        return self.draw(st.sampled_from(options))

    def flag(self) -> bool:
        return self.draw(st.booleans())

    def among(self, options: Sequence[Any], allowed: Sequence[Any]) -> Any:
        # not from a list of its own: a choice then means the same wherever it is made
        return self.draw(st.sampled_from(options).filter(allowed.__contains__))

    def number(self, low: int, high: int, usual: tuple[int, int], extreme: bool) -> int:
        return self.draw(integers(low, high, usual, extreme))

    def numbers(
        self, shape: int | tuple[int, ...], low: int, high: int, usual: tuple[int, int], extreme: bool
    ) -> NDArray[np.int64]:
        return self.draw(array(shape, integers(low, high, usual, extreme)))


@st.composite
def neuron(draw: st.DrawFn, family: str, channels: int, extreme: bool) -> Neuron:
    """Neurons of `family` with every field."""
    return _neurons.neuron(Drawn(draw), family, channels, extreme)


def neurons(family: str | None = None, channels: int = 1, *, extreme: bool = True) -> st.SearchStrategy[Neuron]:
    """Neurons of a family.

    Parameters
    ----------
    family : str, optional
        Key of `lavadl_ref.exchange.FAMILIES`; any family if not given.
    channels : int
        Length of per-channel parameters; with more than one channel, each of those is drawn
        either as one integer or as int64 (channels,).
    extreme : bool
        Whether to draw the edges of every field and all that lies between; if not, values
        as trained networks have them.

    Returns
    -------
    strategy of Neuron

    Raises
    ------
    ValueError
        If `family` is unknown or `channels` is less than 1.

    Examples
    --------
    >>> from hypothesis import find, settings
    >>> stable = settings(deadline=None, database=None, derandomize=True)
    >>> find(neurons("CUBA"), lambda neuron: neuron["threshold"] > 99, settings=stable)["threshold"]
    100
    """
    names = known(family, FAMILIES, "family")
    if channels < 1:
        raise ValueError(f"channels must be at least 1, got {channels}")
    return st.sampled_from(names).flatmap(lambda name: neuron(name, channels, extreme))


def spike_trains(
    shape: int | tuple[int, ...],
    steps: int,
    *,
    graded: bool = False,
    magnitude: int = 127,
    dtype: DTypeLike = np.int64,
) -> st.SearchStrategy[NDArray[Any]]:
    """Spike trains (\\*shape, T): mostly silent, mostly firing, or anything between.

    Parameters
    ----------
    shape : int or tuple of int
        Neurons, (C, H, W) or (N,); may start with a batch axis.
    steps : int
        T.
    graded : bool
        Whether spikes carry integers in [-magnitude, magnitude] instead of 1.
    magnitude : int
        Largest magnitude of a graded spike.
    dtype : dtype
        Of the array, e.g. float32 for training.

    Returns
    -------
    strategy of ndarray
        (\\*shape, T) of `dtype`.

    Raises
    ------
    ValueError
        If `steps` or `magnitude` is less than 1.

    Examples
    --------
    >>> from hypothesis import find, settings
    >>> stable = settings(deadline=None, database=None, derandomize=True)
    >>> train = find(spike_trains(2, 5), lambda train: train.sum() > 2, settings=stable)
    >>> train.shape, train.dtype
    ((2, 5), dtype('int64'))
    """
    for name, value in (("steps", steps), ("magnitude", magnitude)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    full = (*((shape,) if isinstance(shape, int) else shape), steps)
    values = st.integers(-magnitude, magnitude) if graded else st.integers(0, 1)
    kinds = [arrays(np.int64, full, elements=values, fill=st.just(fill)) for fill in (0, 1)]
    if np.prod(full) <= FULL:
        kinds.append(arrays(np.int64, full, elements=values, fill=st.nothing()))
    return st.one_of(kinds).map(lambda train: train.astype(dtype))
