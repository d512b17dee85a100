"""Conventions of the frameworks that write graphs of NIR: what each of them means by a node.

NIR states differential equations and says neither how long a step is nor how a neuron steps.  A graph does not name its
writer, so that a caller must.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lavadl_ref._arguments import positive
from lavadl_ref.exchange.errors import ExchangeError
from lavadl_ref.nir._graph import FIELDS, Tree

Array = NDArray[np.float64]
RESETS = ("zero", "subtract")
_NEAR = 1e-6  #: relative: the parameters are float32 numbers


@dataclass(frozen=True)
class Source:
    """The conventions of one framework."""

    name: str
    refused: str = ""  #: the reason for which its graphs are not imported; "" where they are
    #: what a neuron must do at a spike, which the graphs do not tell; "" where they do
    reset: str = ""
    dt: float | None = None  #: seconds of a step, where the framework takes one for granted
    multiplied: bool = False  #: whether time constants are multiplied by one more step
    adds_input: bool = False  #: whether current-based neurons add their input as it is, whatever `w_in` says
    without: tuple[str, ...] = ()  #: types of nodes that are not imported from it
    note: str = ""  #: what a report says of it


_UNVERIFIED = "it is read from its source alone"

#: Every framework by its name.
SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        Source("nir"),
        Source(
            "spikingjelly",
            dt=1e-4,
            note="SpikingJelly's neurons also spike where the voltage equals the threshold; these do not",
        ),
        Source("snntorch", dt=1e-4, reset="reset_mechanism='zero' with reset_delay=False"),
        Source(
            "norse",
            multiplied=True,
            adds_input=True,
            without=("IF",),
            reset="a reset to the voltage 0",
            note="norse's time constants are multiplied by its dt once more",
        ),
        Source(
            "sinabs",
            refused="its neurons subtract the threshold at a spike unless told otherwise, and decay exponentially; "
            f"{_UNVERIFIED}",
        ),
        Source(
            "rockpool",
            refused="its neurons subtract the threshold at a spike, decay exponentially and do not use w_in; "
            f"{_UNVERIFIED}",
        ),
        Source(
            "spyx",
            refused=f"its neurons subtract the threshold at a spike, and use neither w_in nor r; {_UNVERIFIED}",
        ),
    )
}


@dataclass(frozen=True)
class Convention:
    """The meaning of the nodes of one graph: its source, and what its caller says beside."""

    source: Source
    dt: float  #: seconds of a step as the source counts them

    @property
    def step(self) -> float:
        """Seconds of a step as the time constants count them."""
        return self.dt * self.dt if self.source.multiplied else self.dt


def convention(source: str | None, dt: float | None, reset: str | None) -> Convention:
    """The convention that a caller names.

    Parameters
    ----------
    source : str or None
        A key of `SOURCES`.
    dt : float or None
        Seconds of a step.
    reset : str or None
        One of `RESETS`, where the graphs of the source do not tell.

    Raises
    ------
    ValueError
        If one of them is missing or unknown, or the source's neurons do not do what those of a file do.
    """
    known = ", ".join(SOURCES)
    if source is None:
        raise ValueError(f"source must be named, because a graph does not say who wrote it: one of {known}; got none")
    if source not in SOURCES:
        raise ValueError(f"source must be one of {known}, got {source!r}")
    found = SOURCES[source]
    if found.refused:
        raise ValueError(f"source must be another than {source}: {found.refused}")
    if reset is not None and reset not in RESETS:
        raise ValueError(f"reset must be one of {', '.join(RESETS)}, got {reset!r}")
    if reset == "subtract":
        raise ValueError(
            "reset must be zero, got subtract: no neuron of a file subtracts its threshold at a spike; "
            "train the network with a reset to zero"
        )
    if found.reset and reset is None:
        raise ValueError(
            f"reset must be given for {source}, whose graphs do not state it: zero, if its neurons have {found.reset}; "
            "got none"
        )
    if dt is None and found.dt is None:
        raise ValueError(f"dt must be given for {source}, the seconds of its step; got none")
    return Convention(found, positive("dt", found.dt if dt is None else dt))


@dataclass(frozen=True, eq=False)
class Dynamics:
    """The steps of the neurons of a node, arrays of their shape, in units of 1.

    ``current = (1 - current_decay) current + current_gain input``, then
    ``voltage = (1 - voltage_decay) voltage + voltage_gain current + bias``; above `threshold` it spikes and becomes 0.
    """

    current_decay: Array
    current_gain: Array
    voltage_decay: Array
    voltage_gain: Array
    bias: Array
    threshold: Array | None  #: None where they never spike


#: Types of nodes with dynamics, and whether they spike.
NEURONS = {"CubaLI": False, "CubaLIF": True, "IF": True, "LI": False, "LIF": True}


def dynamics(name: str, entry: Tree, told: Convention) -> Dynamics:
    """The steps of the neurons of a node.

    Parameters
    ----------
    name : str
        Of the node, for messages.
    entry : dict
        The node, of one of the types `NEURONS`.
    told : Convention
        Whose graph it is.

    Raises
    ------
    ExchangeError
        If its neurons do what those of a file do not, or have a time constant below a step.
    """
    kind = entry["type"]
    if kind in told.source.without:
        raise ExchangeError(f"node {name}: must have a type that is imported from {told.source.name}, got {kind}")
    shape = np.shape(entry["r"])
    for key in FIELDS[kind]:
        if np.shape(entry[key]) != shape:
            raise ExchangeError(f"node {name}: {key}: must have shape {shape}, as r has, got {np.shape(entry[key])}")
    one = np.ones(shape)
    current, current_gain = one, one
    if "tau_syn" in entry:
        current = _share(name, "tau_syn", entry, told)
        current_gain = one if told.source.adds_input else _times(name, "w_in", entry, current)
    key = "tau_mem" if "tau_mem" in entry else "tau"
    if key in entry:
        voltage = _share(name, key, entry, told)
        gain, bias = _times(name, "r", entry, voltage), _times(name, "v_leak", entry, voltage)
    else:  # an integrator
        voltage, bias = 0 * one, 0 * one
        gain = _times(name, "r", entry, told.step * one)
    if not NEURONS[kind]:
        return Dynamics(current, current_gain, voltage, gain, bias, None)
    reset = np.asarray(entry["v_reset"], np.float64)
    if reset.any():
        raise ExchangeError(f"node {name}: v_reset: must be 0, got {reset.flat[np.abs(reset).argmax()]}")
    threshold = np.asarray(entry["v_threshold"], np.float64)
    if not ((threshold >= 0) & np.isfinite(threshold)).all():
        raise ExchangeError(f"node {name}: v_threshold: must be finite and not negative, got {threshold.min()}")
    return Dynamics(current, current_gain, voltage, gain, bias, threshold)


def _share(name: str, key: str, entry: Tree, told: Convention) -> Array:
    """The share of a state that a step takes off it; in the node's own type, as its framework computes it."""
    tau = np.asarray(entry[key])
    if not (tau > 0).all():
        raise ExchangeError(f"node {name}: {key}: must be positive, got {tau.min()}")
    share = np.asarray(told.step / tau, np.float64)
    if not (share <= 1 + _NEAR).all():
        raise ExchangeError(f"node {name}: {key}: must be at least a step of {told.step:g} s, got {tau.min():g}")
    return np.minimum(share, 1)


def _times(name: str, key: str, entry: Tree, share: Array) -> Array:
    with np.errstate(invalid="ignore"):
        found = np.asarray(entry[key], np.float64) * share
    if not np.isfinite(found).all():
        raise ExchangeError(f"node {name}: {key}: must be finite, got {np.asarray(entry[key]).max()}")
    return found
