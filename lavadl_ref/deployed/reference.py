"""Run a ``.net`` file on the kernels with integers only, without torch or Lava.

`Network.run` computes what the deployed network computes, step by step on the device's time
base, with the device's widths or without.  Step n here is Lava's ``time_step`` n + 1:

- a synapse hands on what it received one step earlier;
- an axonal delay of d steps is added to this, on the output of a layer;
- with ``time_base="slayer"`` a layer rests until its start step (`exchange.Network.start_steps`),
  so that the run equals slayer's blocks, biases included; with ``time_base="lava"``
  every layer integrates its bias from step 0, as Lava's own processes do;
- with ``reset_interval`` R, the neurons of layer i go to rest before step n if
  (n + 1) % R == (reset_offset + 1 + i) % R, where i counts the layers that become processes.

Messages are integers: spikes are 0 and 1, graded spikes and sigma-delta messages are in units of 1/4096.
`lavadl_ref.deployment` defines the scales, `lavadl_kernels.deployed` the neurons.
"""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
from lavadl_kernels.engine import deployed
from lavadl_kernels.fixed_point import wrap
from lavadl_kernels.neurons import FAMILIES
from lavadl_kernels.ops import delay
from lavadl_kernels.ops.layout import time_first, time_last
from lavadl_kernels.runtime.buffers import empty
from numpy.typing import ArrayLike, DTypeLike, NDArray

from lavadl_ref import exchange
from lavadl_ref._arguments import brief, described, integers, whole
from lavadl_ref._reach import check_neurons, check_sums
from lavadl_ref.deployed import deployment
from lavadl_ref.deployed.deployment import SPIKE_EXP, sends_changes
from lavadl_ref.deployed.weighted_sums import KeptWeights, narrow_sums
from lavadl_ref.exchange import Flatten, Input, Kernel, Layer
from lavadl_ref.exchange.geometry import check_link

Integers = NDArray[np.int64]
Array = NDArray[Any]
OutOfRange = tuple[tuple[int, ...], int, int]  # neuron, step, number of neurons

TIME_BASES = ("slayer", "lava")
PROFILES = ("loihi", "slayer")
SPIKE_EXP_LIMIT = 12  # states of 12 + spike_exp fractional bits, in 32


def recordable() -> tuple[str, ...]:
    """List the names that a run can record: spikes, and the states of all families. A layer records those it has."""
    states = [state for name in exchange.FAMILIES if name in FAMILIES for state in FAMILIES[name].states]
    return ("spikes", *dict.fromkeys(states))


RECORDABLE = recordable()  #: the names that a run can record with the families of this package


@dataclass(frozen=True)
class Exceeded:
    """The first time a weighted sum, an input or a state of a layer did not fit the device's width."""

    layer: int  #: position in the file
    neuron: tuple[int, ...]  #: index within the layer's shape
    step: int
    count: int  #: number of the layer's neurons (over all samples) that exceeded a width at any step

    def __str__(self) -> str:
        return (
            f"layer {self.layer}, neuron {self.neuron}, step {self.step}: a sum or state left its width "
            f"({self.count} neurons in all)"
        )


@dataclass(frozen=True, eq=False)
class LayerRun:
    """The run of one layer; arrays are (\\*shape, T), or (B, \\*shape, T) for a batch.

    States are also attributes, under their names in `RECORDABLE`: integers in units of 1/4096 after each step, resets
    included (for sigma-delta neurons, units of 1 / 2**(12 + spike_exp)). A state that was not recorded is None.
    """

    layer: Layer
    spikes: Array | None = None  #: output of the neurons before the axonal delay: uint8 spikes, or integer messages
    weighted: Integers | None = None  #: weighted sums of a layer without neurons
    states: Mapping[str, Array] = field(default_factory=dict)  #: by name

    def __getattr__(self, name: str) -> Array | None:
        if name in recordable():
            return self.states.get(name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


@dataclass(frozen=True, eq=False)
class Run:
    """The run of a network."""

    output: Integers  #: output of the network: messages after the last axonal delay, or weighted sums
    layers: tuple[LayerRun, ...]  #: one entry per layer of the file
    exceeded: tuple[Exceeded, ...]  #: at most one entry per layer; empty if everything fitted the device
    unit: Fraction = Fraction(1)  #: the value in slayer's units of a 1 in `output`


class Network:
    """A network that runs in integers.

    Parameters
    ----------
    net_config : path or exchange.Network
        The file, or its description.
    num_layers : int, optional
        Run only the first `num_layers` entries of the file.
    skip_layers : int
        Leave out this many entries at the beginning.
    reset_interval : int, optional
        Steps between resets of the neurons.
    reset_offset : int
        Phase of the resets, as Lava counts it; a network that begins with a synapse and gets its first input at step 0
        needs 1.
    time_base : {'slayer', 'lava'}
        When a layer starts, see the docstring of the module.
    profile : {'loihi', 'slayer'}
        ``'loihi'`` gives sums and states the device's widths, ``'slayer'`` sets no limit. As long as all numbers fit
        the widths, both give the same; either run reports where the other would begin to differ.
    spike_exp : int
        Sigma-delta messages are integers in units of 2**-(6 + spike_exp); slayer uses 6.

    Raises
    ------
    exchange.ExchangeError
        If the file is not a legal network.
    UnsupportedLayer
        If a layer has no integer dynamics; a NotImplementedError that names the layer and says why.
    ValueError
        If an option is out of range.

    Examples
    --------
    One neuron with a threshold of 1.25 and weights of 1 from two inputs, so that two simultaneous spikes make it spike:

    >>> neuron = exchange.Neuron("CUBA", {"current_decay": 4096, "voltage_decay": 4096, "threshold": 80})
    >>> layer = exchange.Dense(shape=(1,), neuron=neuron, weight=np.array([[64, 64]]))
    >>> network = Network(exchange.Network((layer,)))
    >>> network.run([[1, 1, 0, 0], [0, 1, 0, 0]]).output.tolist()  # one step later
    [[0, 0, 1, 0]]
    """

    def __init__(
        self,
        net_config: str | os.PathLike[str] | exchange.Network,
        num_layers: int | None = None,
        skip_layers: int = 0,
        reset_interval: int | None = None,
        reset_offset: int = 0,
        time_base: str = "slayer",
        profile: str = "loihi",
        spike_exp: int = SPIKE_EXP,
    ) -> None:
        if time_base not in TIME_BASES:
            raise ValueError(f"time_base must be one of {TIME_BASES}, got {time_base!r}")
        if profile not in PROFILES:
            raise ValueError(f"profile must be one of {PROFILES}, got {profile!r}")
        spike_exp = whole("spike_exp", spike_exp, 0, SPIKE_EXP_LIMIT)
        skip_layers = whole("skip_layers", skip_layers, 0)
        reset_offset = whole("reset_offset", reset_offset, 0)
        num_layers = None if num_layers is None else whole("num_layers", num_layers, 1)
        reset_interval = None if reset_interval is None else whole("reset_interval", reset_interval, 1)
        network = described(net_config)
        stated = None if skip_layers else network.stated_input_shape
        self.description = exchange.Network(network.layers[skip_layers:num_layers], network.simulation, stated)
        if not self.description.layers:
            raise ValueError(
                f"num_layers and skip_layers must leave a layer of {len(network.layers)}, got {num_layers} and "
                f"{skip_layers}"
            )
        self.reset_interval = reset_interval
        self.reset_offset = reset_offset
        starts = self.description.start_steps
        self._starts = starts if time_base == "slayer" else (0,) * len(starts)
        self._first = skip_layers
        self.profile = profile
        self.spike_exp = spike_exp
        deployment.check_supported(self.layers, skip_layers, spike_exp)
        self._incoming = deployment.incoming_bits(self.layers, spike_exp)
        self._weights = [KeptWeights(layer) for layer in self.layers]

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Descriptions of the layers that run."""
        return self.description.layers

    @property
    def starts(self) -> tuple[int, ...]:
        """For each layer, the step at which it starts; it rests before."""
        return self._starts

    @property
    def incoming(self) -> tuple[int, ...]:
        """For each layer, the number of fractional bits of the messages that it receives."""
        return self._incoming

    @property
    def reset_phases(self) -> tuple[int | None, ...]:
        """For each layer the step before which it goes to rest, as (step + 1) modulo the interval; None for never."""
        phases: list[int | None] = []
        index = 0  # of the layers that become processes
        for layer in self.layers:
            resets = self.reset_interval if layer.neuron is not None else None
            phases.append(None if resets is None else (self.reset_offset + 1 + index) % resets)
            index += not isinstance(layer, Flatten) and (not isinstance(layer, Input) or layer.neuron is not None)
        return tuple(phases)

    def run(
        self,
        spikes: ArrayLike | None = None,
        *,
        bias: ArrayLike | None = None,
        steps: int | None = None,
        record: Collection[str] = ("spikes",),
        layers: Collection[int] | None = None,
    ) -> Run:
        """Run the network over all steps of its input.

        Parameters
        ----------
        spikes : array_like of int
            (\\*shape, T), or (B, \\*shape, T) for B independent samples. Messages to the first synapse: 0 and 1, or
            graded; integers in units of 2**-(6 + spike_exp) if sigma-delta neurons receive them. For a network that
            begins with an input layer: its input current in units of 1/64 after gain and offset, which drives the real
            part of complex neurons.
        bias : array_like of int, optional
            For input layers of spiking neurons only: a constant input to each neuron, (\\*shape) in units of 1/64,
            added to the voltage of CUBA neurons and to the input of others. It drives the layer without messages.
        steps : int, optional
            Number of steps, if `spikes` is not given.
        record : collection of {'spikes', 'current', 'voltage'}
            Names of the quantities to record in each layer, see `RECORDABLE`.
        layers : collection of int, optional
            Positions in the file of the layers to record; all by default.

        Returns
        -------
        Run

        Raises
        ------
        TypeError
            If the input or `bias` is not of an integer type.
        ValueError
            If the input or `bias` does not fit the first layer or 32 bits, or has other steps than `steps`; or if a
            name in `record` or a position in `layers` is unknown. Without widths also if integers exceed 64 bits,
            because feedback runs away or messages grow from layer to layer; the message names the layer.
        """
        if isinstance(record, str) or not isinstance(record, Collection):
            raise TypeError(f"record must be a collection of names, got {brief(record)}")
        unknown = sorted({str(name) for name in record} - set(recordable()))
        if unknown:
            raise ValueError(f"record must hold names of {recordable()}, got {unknown}")
        self._check_positions(layers)
        x, batched, kind = self._input(spikes, bias, steps)
        offset = None if bias is None else self._input_bias(bias)
        runs: list[LayerRun] = []
        exceeded: list[Exceeded] = []
        resets = self.resets(x.shape[0])
        before: tuple[int, ...] = ()
        shown: Array | None = None  # what leaves the last layer, as the caller sees it
        for i, (layer, start) in enumerate(zip(self.layers, self._starts, strict=True)):
            position = self._first + i
            kept = set(record) if layers is None or position in layers else set()
            before = x.shape[2:]
            if isinstance(layer, Flatten):
                x = x.reshape(*x.shape[:2], layer.size)
                shown = _outside(x, batched, kind) if "spikes" in kept else None
                runs.append(LayerRun(layer, spikes=shown))
                continue
            if self.profile == "slayer":
                check_sums(position, layer, x)
            sums = narrow_sums(layer, x, self._weights[i])
            beyond: OutOfRange | None
            if layer.neuron is None:
                x, beyond = self._bare(i, sums[0].astype(np.int64, copy=False), start)
                kind, shown = x.dtype, _outside(x, batched) if kept else None
                runs.append(LayerRun(layer, weighted=shown))
            else:
                x, states, beyond = self._neurons(i, sums, start, resets[i], offset, kept)
                seen = {name: _outside(value, batched) for name, value in states.items()}
                kind, shown = x.dtype, _outside(x, batched) if "spikes" in kept else None
                runs.append(LayerRun(layer, shown, states=seen))
                late = delayed(layer, x)
                x, shown = late, shown if late is x else None
            if beyond is not None:
                exceeded.append(Exceeded(position, *beyond))
        unit = deployment.message_unit(self.layers[-1], self._incoming[-1], before, self.spike_exp)
        output = _outside(x, batched, np.int64) if shown is None else shown.astype(np.int64)
        return Run(output, tuple(runs), tuple(exceeded), unit)

    def _bare(self, i: int, sums: Integers, start: int) -> tuple[Integers, OutOfRange | None]:
        """Messages of a layer without neurons, its sums and its bias on their scale; and the first excess."""
        layer = self.layers[i]
        narrow = wrap(sums, deployment.sum_bits(layer))
        steps = np.argwhere((narrow != sums).reshape(len(sums), -1))
        beyond = None
        if len(steps):
            where = np.unravel_index(int(steps[0, 1]) % layer.size, layer.shape)
            beyond = tuple(map(int, where)), int(steps[0, 0]), len(np.unique(steps[:, 1]))
        sums = narrow if self.profile == "loihi" else sums
        bias = getattr(layer, "bias", None)
        if bias is None or isinstance(layer, Input):
            return sums, beyond
        sums = sums.copy()
        sums[start:] += _per_lane(bias, layer, 1).reshape(layer.shape) << self._incoming[i]
        return (wrap(sums, 32) if self.profile == "loihi" else sums), beyond

    def _neurons(
        self,
        i: int,
        sums: tuple[Integers, ...],
        start: int,
        resets: NDArray[np.bool_],
        offset: Integers | None,
        kept: set[str],
    ) -> tuple[Array, dict[str, Array], OutOfRange | None]:
        """Messages, states to be recorded, and the first excess of a width as (neuron, step, count)."""
        layer = self.layers[i]
        steps, batch = sums[0].shape[:2]
        made = deployment.deploy(
            layer,
            self._incoming[i],
            batch=batch,
            bias=offset if isinstance(layer, Input) else None,
            spike_exp=self.spike_exp,
            shared=True,
        )
        narrow = self.profile == "loihi"
        dtype = np.int32 if narrow else np.int64
        lanes = batch * layer.size
        wide = made.sum_shift > 0 or any(part.dtype == np.int64 for part in sums)
        total: list[Array] = [
            part.reshape(steps, lanes).astype(np.int64 if wide else np.int32, copy=False) for part in sums
        ]
        if made.sum_shift:
            total = [part << made.sum_shift for part in total]
        if len(total) < len(made.bias):  # an input layer drives the real part alone
            total.append(np.zeros_like(total[0]))
        message = empty((steps, lanes), dtype if made.graded else np.uint8)
        state = empty((len(made.states), lanes), np.int64)
        state[...] = made.rest
        recorded = kept & set(made.states)
        record = empty((len(made.states), steps if recorded else 0, lanes), dtype)
        first = np.empty(lanes, np.int64)
        synapses = deployed.Synapses(tuple(total), made.bias, made.up, made.feedback)
        profile = deployed.Profile(start, narrow, made.graded, made.bits)
        filled = deployed.Filled(message, record, first)
        deployed.run(made.neuron, synapses, state, made.rest, resets, profile, filled)
        if not narrow:
            known = record if recorded else state
            check_neurons(self._first + i, layer, message, dict(zip(made.states, known, strict=False)))
        shape = (steps, batch, *layer.shape)
        states = {name: row.reshape(shape) for name, row in zip(made.states, record, strict=True) if name in recorded}
        beyond = None
        if (first >= 0).any():
            lane = int(np.where(first >= 0, first, steps).argmin())
            where = tuple(int(i) for i in np.unravel_index(lane % layer.size, layer.shape))
            beyond = where, int(first[lane]), int((first >= 0).sum())
        return message.reshape(shape), states, beyond

    def resets(self, steps: int) -> tuple[NDArray[np.bool_], ...]:
        """For each layer (steps,) bool: before which steps its neurons go to rest; False throughout for one without."""
        return tuple(self._resets(steps, phase) for phase in self.reset_phases)

    def _resets(self, steps: int, phase: int | None) -> NDArray[np.bool_]:
        if self.reset_interval is None:
            return np.zeros(steps, np.bool_)
        due: NDArray[np.bool_] = (np.arange(1, steps + 1) % self.reset_interval) == phase
        return due

    def _input_shape(self) -> tuple[int, ...] | None:
        """Shape of the first layer's input, None where it has a window: `_check_window` looks at those."""
        first = self.layers[0]
        if isinstance(first, (Flatten, Kernel)):
            return first.shape if isinstance(first, Flatten) else None
        return self.description.input_shape or first.shape

    def _input(
        self, spikes: ArrayLike | None, bias: ArrayLike | None, steps: int | None
    ) -> tuple[Array, bool, np.dtype[Any]]:
        """The input as (T, B, \\*shape), uint8 or int32; whether it had a batch axis, and its own type."""
        shape = self._input_shape()
        if spikes is None:
            if bias is None or steps is None or shape is None:
                raise ValueError(
                    "spikes must be given, or bias and steps for a network that begins with an input layer"
                )
            return np.zeros((whole("steps", steps, 1), 1, *shape), np.uint8), False, np.dtype(np.int64)
        x, batched = self.checked_input(spikes)
        if steps is not None and whole("steps", steps, 1) != x.shape[-1]:
            raise ValueError(f"steps must be left out with spikes, or be their number, {x.shape[-1]}, got {steps}")
        small = x.dtype in (np.bool_, np.uint8) or (x.size and x.min() >= 0 and x.max() <= 255)
        given = np.ascontiguousarray(x if batched else x[None], np.uint8 if small else np.int32)
        first = time_first(given.reshape(math.prod(given.shape[:-1]), given.shape[-1]))
        return first.reshape(given.shape[-1], *given.shape[:-1]), batched, x.dtype

    def checked_input(self, spikes: ArrayLike, batch: bool = True) -> tuple[Array, bool]:
        """The input that `run` would take, as an array, and whether it has a batch axis.

        Parameters
        ----------
        spikes : array_like of int
            (\\*shape, T), or (B, \\*shape, T), as `run` takes them.
        batch : bool
            Whether several samples are allowed.

        Raises
        ------
        TypeError, ValueError
            As `run` does.
        """
        x, shape = integers("input", spikes), self._input_shape()
        rank = 3 if shape is None else len(shape)
        fits = x.ndim in (rank + 1, rank + 2) and (shape is None or x.shape[-rank - 1 : -1] == shape)
        if isinstance(self.layers[0], Flatten) and x.ndim in (4, 5):  # what it flattens
            fits, rank = int(np.prod(x.shape[-4:-1])) == self.layers[0].size, 3
        batched = x.ndim == rank + 2
        if not fits or (batched and not batch):
            wanted = "C, H, W" if shape is None else ", ".join(map(str, shape))
            several = f" or (B, {wanted}, T)" if batch else ", one sample without a batch axis"
            raise ValueError(f"input must have shape ({wanted}, T){several}, got {x.shape}")
        if isinstance(self.layers[0], Kernel):
            self._check_window(x.shape[-4:-1])
        if x.size and (x.min() < -(2**31) or x.max() >= 2**31):
            raise ValueError(f"input must fit in 32 bits, got {x.min()} to {x.max()}")
        return x, batched

    def _check_positions(self, layers: Collection[int] | None) -> None:
        """Raise unless `layers` are positions of layers that run."""
        if layers is not None and not isinstance(layers, Collection):
            raise TypeError(f"layers must be a collection of positions, got {brief(layers)}")
        for position in layers or ():
            if not 0 <= whole("layers", position, 0) - self._first < len(self.layers):
                last = self._first + len(self.layers) - 1
                raise ValueError(f"layers must be within {self._first}..{last}, got {position}")

    def _check_window(self, shape: tuple[int, ...]) -> None:
        """Raise unless input of `shape` gives a first layer with a window the shape that the file says."""
        try:
            check_link(self.layers[0], Input(shape=shape))
        except exchange.ExchangeError as error:
            kind = self.layers[0].kind
            raise ValueError(f"input does not fit layer {self._first} ({kind}): {error} (C, H, W)") from None

    def _input_bias(self, bias: ArrayLike) -> Integers:
        first = self.layers[0]
        values = integers("bias", bias)
        if not isinstance(first, Input) or first.neuron is None:
            raise ValueError(f"bias must be left out unless an input layer comes first, got a {first.kind} layer")
        if sends_changes(first.neuron):
            raise ValueError("bias must be given as spikes to an input layer that sends changes")
        if values.shape != first.shape:
            raise ValueError(f"bias must have shape {first.shape}, got {values.shape}")
        return values.astype(np.int64)


def _outside(x: Array, batched: bool, kind: DTypeLike | None = None) -> Array:
    """(T, B, \\*shape) as the caller sees it, of the type `kind` or its own."""
    last = time_last(x.reshape(len(x), math.prod(x.shape[1:])))
    y = last.reshape(*x.shape[1:], len(x))
    return (y if batched else y[0]).astype(kind or x.dtype, copy=False)


def _per_lane(values: ArrayLike, layer: Layer, batch: int) -> Integers:
    """One value, or one per channel, for every lane of a batch."""
    array = np.asarray(values, np.int64)
    if array.ndim == 1:
        array = array.reshape(-1, *[1] * (len(layer.shape) - 1))
    return np.ascontiguousarray(np.broadcast_to(array, (batch, *layer.shape))).reshape(-1)


def delayed(layer: Layer, x: Array) -> Array:
    """Messages after the layer's axonal delay.

    Parameters
    ----------
    layer : Layer
        The layer that sent them.
    x : ndarray
        (T, B, \\*shape) integers of any type, messages on the layer's own scale.

    Returns
    -------
    ndarray
        As `x`, later by each channel's delay in steps.
    """
    if layer.delay is None:
        return x
    steps, batch = x.shape[:2]
    lanes = np.ascontiguousarray(x.reshape(steps, batch * layer.size))
    late: Array
    if np.ndim(layer.delay) == 0:
        late = delay.shift(lanes, int(layer.delay))
    else:
        late = delay.forward(lanes, _per_lane(layer.delay, layer, batch))
    return late.reshape(x.shape)
