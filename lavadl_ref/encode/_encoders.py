"""Encoders: spikes over time for numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from lavadl_ref._arguments import positive, real, whole
from lavadl_ref.encode._values import Array, finite, generator, like, within


def rate(x: Any, steps: int, seed: Any, *, counts: bool = False) -> Any:
    """Spikes whose rate is a number, drawn for each step.

    Parameters
    ----------
    x : array_like or Tensor
        (\\*shape), the probability of a spike at a step, 0 to 1; with `counts` the mean number of spikes at a step, at
        least 0.
    steps : int
        Number of steps.
    seed : int or generator of NumPy or torch
        Of the random numbers.
    counts : bool
        Whether a step can have several spikes (Poisson), or one at most (Bernoulli).

    Returns
    -------
    ndarray or Tensor
        (\\*shape, T) float32, a tensor where `x` is one.

    Raises
    ------
    TypeError, ValueError
        If an argument is of another type, or out of range.

    Examples
    --------
    >>> rate([0.0, 1.0], 3, seed=0).tolist()
    [[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]
    """
    steps, drawn = whole("steps", steps, 1), generator(seed)
    if counts:
        mean = within("x", x, 0, np.inf)
        return like(x, drawn.poisson(mean[..., None], (*mean.shape, steps)).astype(np.float32))
    chance = within("x", x, 0, 1)
    return like(x, (drawn.random((*chance.shape, steps)) < chance[..., None]).astype(np.float32))


def latency(x: Any, steps: int, *, least: float = 0.0) -> Any:
    """One spike for each number, the earlier the larger it is.

    The spike is at step round((1 - x) (steps - 1)), ties to even.

    Parameters
    ----------
    x : array_like or Tensor
        (\\*shape), 0 to 1.
    steps : int
        Number of steps.
    least : float
        Numbers up to this one have no spike, 0 to 1.

    Returns
    -------
    ndarray or Tensor
        (\\*shape, T) float32, a tensor where `x` is one.

    Raises
    ------
    TypeError, ValueError
        If an argument is of another type, or out of range.

    Examples
    --------
    >>> latency([1.0, 0.2, 0.0], 3).tolist()
    [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]
    """
    steps, least = whole("steps", steps, 1), real("least", least, 0, 1)
    values = within("x", x, 0, 1)
    return like(x, _at(values, steps, least))


def _at(values: Array, steps: int, least: float) -> Array:
    when = np.rint((1 - values) * (steps - 1))[..., None]
    found: Array = ((np.arange(steps) == when) & (values > least)[..., None]).astype(np.float32)
    return found


def delta(x: Any, threshold: float, *, graded: bool = False) -> Any:
    """Spikes where a signal has changed by a threshold: rises in one channel, falls in another.

    A level begins at the signal's first value. At each step it moves toward the signal by as many whole thresholds as
    fit, so that it stays less than a threshold away; where it rises there is a spike in channel 0, where it falls in
    channel 1.

    Parameters
    ----------
    x : array_like or Tensor
        (\\*shape, T), a signal.
    threshold : float
        Positive, in the unit of `x`.
    graded : bool
        Whether a spike has the number of thresholds as its value, instead of 1.

    Returns
    -------
    ndarray or Tensor
        (2, \\*shape, T) float32, a tensor where `x` is one.

    Raises
    ------
    TypeError, ValueError
        If an argument is of another type, not finite or out of range, or the signal has no steps.

    Examples
    --------
    >>> delta([0.0, 0.6, 1.2, 0.1], 0.5, graded=True).tolist()
    [[0.0, 1.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
    """
    signal, threshold = finite("x", x).astype(np.float64), positive("threshold", threshold)
    if signal.ndim == 0 or signal.shape[-1] == 0:
        raise ValueError(f"x must be a signal (*shape, T) of at least one step, got the shape {signal.shape}")
    found = np.zeros((2, *signal.shape), np.float32)
    moved = np.zeros(signal.shape[:-1])  # of the level, in thresholds: whole numbers, so that nothing adds up
    for step in range(1, signal.shape[-1]):
        away = (signal[..., step] - signal[..., 0]) / threshold - moved
        count = np.trunc(away)
        moved += count
        found[0, ..., step], found[1, ..., step] = np.maximum(count, 0), np.maximum(-count, 0)
    return like(x, found if graded else (found > 0).astype(np.float32))


def receptive_fields(x: Any, neurons: int, *, low: float = 0.0, high: float = 1.0, width: float | None = None) -> Any:
    """The activations of neurons that each prefer a number: Gaussian functions with evenly spaced centres.

    Parameters
    ----------
    x : array_like or Tensor
        (\\*shape), any unit.
    neurons : int
        For each number.
    low, high : float
        The centres of the first and the last of them, in the unit of `x`.
    width : float, optional
        Standard deviation of the Gaussian, in the unit of `x`; by default the distance of two centres.

    Returns
    -------
    ndarray or Tensor
        (\\*shape, neurons) float32 from 0 to 1, a tensor where `x` is one.

    Raises
    ------
    TypeError, ValueError
        If an argument is of another type, or out of range.

    Examples
    --------
    >>> receptive_fields([0.5], 3).round(2).tolist()
    [[0.6100000143051147, 1.0, 0.6100000143051147]]
    """
    return like(x, _activations(finite("x", x), neurons, low, high, width).astype(np.float32))


def _activations(values: Array, neurons: int, low: float, high: float, width: float | None) -> Array:
    neurons = whole("neurons", neurons, 2)
    low, high = real("low", low, -np.inf), real("high", high, -np.inf)
    if not (np.isfinite([low, high]).all() and low < high):
        raise ValueError(f"low must be less than high, both finite, got {low:g} and {high:g}")
    spread = (high - low) / (neurons - 1) if width is None else positive("width", width)
    away = (values.astype(np.float64)[..., None] - np.linspace(low, high, neurons)) / spread
    found: Array = np.exp(-0.5 * away**2)
    return found


def population(
    x: Any,
    steps: int,
    neurons: int,
    seed: Any = None,
    *,
    low: float = 0.0,
    high: float = 1.0,
    width: float | None = None,
    least: float = 0.1,
) -> Any:
    """Spikes of a population for each number, whose neurons have Gaussian receptive fields.

    Without a seed a neuron spikes once, the earlier the closer the number is to its centre, as in Bohte, Kok and La
    Poutré, Error-backpropagation in temporally encoded networks of spiking neurons, Neurocomputing 48, 2002. With a
    seed its activation is the probability of a spike at each step.

    Parameters
    ----------
    x : array_like or Tensor
        (\\*shape), any unit.
    steps, neurons : int
        Number of steps, and of neurons for each number.
    seed : int or generator of NumPy or torch, optional
        Of the random numbers.
    low, high, width : float
        As in `receptive_fields`, in the unit of `x`.
    least : float
        Neurons whose activation is up to this one do not spike, 0 to 1.

    Returns
    -------
    ndarray or Tensor
        (\\*shape, neurons, T) float32, a tensor where `x` is one.

    Raises
    ------
    TypeError, ValueError
        If an argument is of another type, or out of range.

    Examples
    --------
    >>> population(0.5, 4, 3).tolist()
    [[0.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]]
    """
    steps, least = whole("steps", steps, 1), real("least", least, 0, 1)
    active = _activations(finite("x", x), neurons, low, high, width)
    if seed is None:
        return like(x, _at(active, steps, least))
    return like(x, rate(np.where(active > least, active, 0), steps, seed))
