"""Drawing neurons and spike trains."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import DTypeLike, NDArray

from lavadl_ref.exchange import FAMILIES, Field, Neuron
from lavadl_ref.exchange.families import DECAY_ONE
from lavadl_ref.testing._names import known

FULL = 512  #: values of a spike train up to which each one is drawn by itself, which takes Hypothesis long
USUAL_THRESHOLD = 512  #: 8 in units of 1/64: what unit weights reach within some steps
ACTIVATIONS = ("identity", "relu")  #: those that deployed neurons have
GRADED = "graded_spike"  #: the field by which a neuron sends the value that it compares
CACHED = 1024  #: strategies that are kept, because Hypothesis takes long to inspect a new one


@lru_cache(CACHED)
def integers(low: int, high: int, usual: tuple[int, int], extreme: bool) -> st.SearchStrategy[int]:
    """Integers of the usual range; if `extreme`, also the edges of the legal one and what lies between."""
    if not extreme:
        return st.integers(*usual)
    edges = sorted({n for n in (0, 1, low, low + 1, high - 1, high) if low <= n <= high}, key=abs)
    return st.one_of(st.integers(*usual), st.sampled_from(edges), st.integers(low, high))


@lru_cache(CACHED)
def array(shape: int | tuple[int, ...], elements: st.SearchStrategy[int]) -> st.SearchStrategy[NDArray[np.int64]]:
    """Arrays of int64 of this shape."""
    return arrays(np.int64, shape, elements=elements)


@lru_cache(CACHED)
def _value(field: Field, channels: int, extreme: bool) -> st.SearchStrategy[Any]:
    """A legal value of a neuron's field."""
    if field.sparse and not extreme:
        return st.just(field.default)
    if field.kind == "bool":
        return st.booleans()
    if field.kind == "str":
        return st.sampled_from(ACTIVATIONS)
    bound = DECAY_ONE if field.high <= DECAY_ONE else USUAL_THRESHOLD
    number = integers(field.low, field.high, (max(field.low, -bound), min(field.high, bound)), extreme)
    if field.per_channel and channels > 1:
        return st.one_of(number, array(channels, number))
    return number


@st.composite
def neuron(draw: st.DrawFn, family: str, channels: int, extreme: bool, graded: bool = True) -> Neuron:
    """Neurons of `family` with every field; without graded spikes unless `graded`."""
    fields = FAMILIES[family].fields
    values = {field.name: draw(_value(field, channels, extreme)) for field in fields if graded or field.name != GRADED}
    if not graded and len(values) < len(fields):
        values[GRADED] = False
    # Neurons that only sum need neither threshold nor activation.
    if values.get("sigma_output") and draw(st.booleans()):
        values |= {field.name: None for field in fields if not field.required and field.default is None}
    return Neuron(family, values)


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
