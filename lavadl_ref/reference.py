"""A ``.net`` file run on the kernels, integers only: no torch, no Lava.

`Network.run` computes what the deployed network computes, step by step on the device's time
base, with the device's widths.  Step n here is Lava's ``time_step`` n + 1:

- a synapse hands on what it received one step earlier;
- an axonal delay of d steps comes on top, on what leaves a layer;
- with ``time_base="slayer"`` a layer rests until its start step (`exchange.Network.start_steps`),
  which makes the run equal to slayer's blocks, biases included; with ``time_base="lava"``
  every layer integrates its bias from step 0, as Lava's own processes do;
- with ``reset_interval`` R, layer i forgets u and v before step n if
  (n + 1) % R == (reset_offset + 1 + i) % R, where i counts the layers that become processes.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from lavadl_kernels import cuba, delay, synapse
from lavadl_kernels.fixed_point import STATE_ONE, WEIGHT_ONE
from numpy.typing import ArrayLike, NDArray

from lavadl_ref import exchange
from lavadl_ref.exchange import Average, Conv, ConvTranspose, Dense, Flatten, Input, Kernel, Layer, Pool, Unpool
from lavadl_ref.exchange.geometry import check_link

Integers = NDArray[np.int64]
Array = NDArray[Any]

TIME_BASES = ("slayer", "lava")
RECORDABLE = ("spikes", "current", "voltage")


@dataclass(frozen=True)
class Exceeded:
    """The first time a layer's current or voltage did not fit the device's 24 bits."""

    layer: int  #: position in the file
    neuron: tuple[int, ...]  #: index within the layer's shape
    step: int
    count: int  #: how many of the layer's neurons (of all samples) exceeded a width at some time

    def __str__(self) -> str:
        return (
            f"layer {self.layer}, neuron {self.neuron}, step {self.step}: state exceeded 24 bits "
            f"({self.count} neurons in all)"
        )


@dataclass(frozen=True, eq=False)
class LayerRun:
    """What one layer did; arrays are (\\*shape, T), or (B, \\*shape, T) for a batch."""

    layer: Layer
    spikes: NDArray[np.uint8] | None = None
    current: NDArray[np.int32] | None = None  #: u in 1/4096
    voltage: NDArray[np.int32] | None = None  #: v after its reset, in 1/4096
    weighted: Integers | None = None  #: weighted sums in 1/64 of a layer without neurons


@dataclass(frozen=True, eq=False)
class Run:
    """What a network did."""

    output: NDArray[np.int64]  #: what leaves the network: spikes after the last axonal delay, or weighted sums
    layers: tuple[LayerRun, ...]  #: one entry per layer of the file
    exceeded: tuple[Exceeded, ...]  #: at most one entry per layer; empty if every state fitted the device


class Network:
    """A network of integers.

    Parameters
    ----------
    net_config : path or exchange.Network
        The file, or its description.
    num_layers : int, optional
        Run only the first `num_layers` entries of the file.
    skip_layers : int
        Leave out this many entries at the beginning.
    reset_interval : int, optional
        Steps between resets of u and v.
    reset_offset : int
        When the first of them happens, as Lava counts; a network that begins with a synapse
        and gets its first input at step 0 needs 1.
    time_base : {'slayer', 'lava'}
        When a layer starts, see the module.

    Raises
    ------
    exchange.ExchangeError
        If the file is not a legal network.
    NotImplementedError
        If a layer has no integer dynamics here; the layer is named.
    ValueError
        If an option is out of range.
    """

    def __init__(
        self,
        net_config: str | os.PathLike[str] | exchange.Network,
        num_layers: int | None = None,
        skip_layers: int = 0,
        reset_interval: int | None = None,
        reset_offset: int = 0,
        time_base: str = "slayer",
    ) -> None:
        if time_base not in TIME_BASES:
            raise ValueError(f"time_base must be one of {TIME_BASES}, got {time_base!r}")
        for name, low, value in (
            ("num_layers", 1, num_layers),
            ("skip_layers", 0, skip_layers),
            ("reset_interval", 1, reset_interval),
            ("reset_offset", 0, reset_offset),
        ):
            if value is not None and value < low:
                raise ValueError(f"{name} must be at least {low}, got {value}")
        network = net_config if isinstance(net_config, exchange.Network) else exchange.read(net_config)
        self.description = exchange.Network(network.layers[skip_layers:num_layers], network.simulation)
        if not self.description.layers:
            raise ValueError(f"no layer left of {len(network.layers)} with num_layers={num_layers}, {skip_layers=}")
        self.reset_interval = reset_interval
        self.reset_offset = reset_offset
        starts = self.description.start_steps
        self._starts = starts if time_base == "slayer" else (0,) * len(starts)
        self._first = skip_layers
        for i, layer in enumerate(self.layers):
            _check_supported(i + skip_layers, layer)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Descriptions of the layers that run."""
        return self.description.layers

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
            (\\*shape, T), or (B, \\*shape, T) for B independent samples.  Messages to the first
            synapse: 0 and 1, or graded; for a network that begins with an input layer, its
            input current in 1/64, its gain and offset already applied.
        bias : array_like of int, optional
            Input layers only: constant input to the voltage of each of its neurons in 1/64,
            (\\*shape); a way to drive it without messages.
        steps : int, optional
            Number of steps where `spikes` is not given.
        record : collection of {'spikes', 'current', 'voltage'}
            What to keep of each layer.
        layers : collection of int, optional
            Positions in the file of the layers to record; all by default.

        Returns
        -------
        Run

        Raises
        ------
        TypeError
            If the input is not of an integer type.
        ValueError
            If the input does not fit the first layer or 32 bits, or a name in `record` is unknown.
        """
        unknown = set(record) - set(RECORDABLE)
        if unknown:
            raise ValueError(f"record takes {RECORDABLE}, got {sorted(unknown)}")
        x, batched = self._input(spikes, bias, steps)
        offset = None if bias is None else self._input_bias(bias)
        runs: list[LayerRun] = []
        exceeded: list[Exceeded] = []
        index = 0
        for position, (layer, start) in enumerate(zip(self.layers, self._starts, strict=True), self._first):
            kept = set(record) if layers is None or position in layers else set()
            if isinstance(layer, Flatten):
                x = x.reshape(*x.shape[:2], layer.size)
                runs.append(LayerRun(layer, spikes=_outside(x, batched) if "spikes" in kept else None))
                continue
            a = _synapse(layer, x)
            if layer.neuron is None:
                x = a
                runs.append(LayerRun(layer, weighted=_outside(a, batched) if kept else None))
            else:
                x, states, beyond = _neurons(layer, a, start, self._resets(a.shape[0], index), offset, kept)
                if beyond is not None:
                    exceeded.append(Exceeded(position, *beyond))
                runs.append(LayerRun(layer, **{name: _outside(value, batched) for name, value in states.items()}))
                x = _delayed(layer, x)
            if not isinstance(layer, Input) or layer.neuron is not None:
                index += 1
        return Run(_outside(x, batched).astype(np.int64), tuple(runs), tuple(exceeded))

    def _resets(self, steps: int, index: int) -> NDArray[np.bool_]:
        if self.reset_interval is None:
            return np.zeros(steps, np.bool_)
        phase = (self.reset_offset + 1 + index) % self.reset_interval
        return (np.arange(1, steps + 1) % self.reset_interval) == phase

    def _input_shape(self) -> tuple[int, ...] | None:
        """Shape of the first layer's input, None where the file leaves it open."""
        first = self.layers[0]
        if isinstance(first, Dense):
            return (int(first.weight.shape[1]),)
        return None if isinstance(first, Kernel) else first.shape

    def _input(self, spikes: ArrayLike | None, bias: ArrayLike | None, steps: int | None) -> tuple[Array, bool]:
        """The input as (T, B, \\*shape), and whether it had a batch axis."""
        shape = self._input_shape()
        if spikes is None:
            if bias is None or steps is None or shape is None:
                raise ValueError("give spikes, or bias and steps to a network that begins with an input layer")
            return np.zeros((steps, 1, *shape), np.int64), False
        x = np.asarray(spikes)
        if x.dtype.kind not in "bui":
            raise TypeError(f"input must have an integer type, got {x.dtype}")
        rank = 3 if shape is None else len(shape)
        fits = x.ndim in (rank + 1, rank + 2) and (shape is None or x.shape[-rank - 1 : -1] == shape)
        if isinstance(self.layers[0], Flatten) and x.ndim in (4, 5):  # what it flattens
            fits, rank = int(np.prod(x.shape[-4:-1])) == self.layers[0].size, 3
        if not fits:
            wanted = "C, H, W" if shape is None else ", ".join(map(str, shape))
            raise ValueError(f"input must have shape ({wanted}, T) or (B, {wanted}, T), got {x.shape}")
        if isinstance(self.layers[0], Kernel):
            self._check_window(x.shape[-4:-1])
        if x.size and (x.min() < -(2**31) or x.max() >= 2**31):
            raise ValueError(f"input must fit in 32 bits, found {x.min()} to {x.max()}")
        batched = x.ndim == rank + 2
        return np.moveaxis(x if batched else x[None], -1, 0), batched

    def _check_window(self, shape: tuple[int, ...]) -> None:
        """Raise unless input of `shape` gives a first layer with a window the shape that the file says."""
        try:
            check_link(self.layers[0], Input(shape=shape))
        except exchange.ExchangeError as error:
            kind = self.layers[0].kind
            raise ValueError(f"input does not fit layer {self._first} ({kind}): {error} (C, H, W)") from None

    def _input_bias(self, bias: ArrayLike) -> Integers:
        first = self.layers[0]
        values = np.asarray(bias)
        if not isinstance(first, Input) or first.neuron is None:
            raise ValueError(f"bias drives an input layer, but the network begins with a {first.kind} layer")
        if values.dtype.kind not in "ui" or values.shape != first.shape:
            raise ValueError(
                f"bias must be integers of shape {first.shape}, got {values.dtype} of shape {values.shape}"
            )
        return values.astype(np.int64)


def _check_supported(position: int, layer: Layer) -> None:
    where = f"layer {position} ({layer.kind})"
    if isinstance(layer, Average) or layer.kind in ("time_decimation", "dense_rec"):
        raise NotImplementedError(f"{where} is not part of the integer reference")
    neuron = layer.neuron
    if getattr(layer, "weight_imag", None) is not None or (neuron is not None and neuron.type != "CUBA"):
        raise NotImplementedError(f"{where} has {neuron.type if neuron else 'complex'} neurons, only CUBA runs here")
    if neuron is not None and neuron.parameters.get("graded_spike"):
        raise NotImplementedError(f"{where} sends graded spikes, which have no integer message format")
    if neuron is not None and neuron.parameters.get("weight_exp"):
        raise NotImplementedError(f"{where} has weight_exp {neuron['weight_exp']}, only 0 runs here")
    if neuron is not None and neuron.parameters.get("refractory_delay", 1) not in (None, 1):
        raise NotImplementedError(f"{where} has refDelay {neuron['refractory_delay']}, only 1 runs here")
    if neuron is None and getattr(layer, "bias", None) is not None and np.any(layer.bias):  # type: ignore[attr-defined]
        raise NotImplementedError(f"{where} has a bias but no neurons to add it")


def _outside(x: Array, batched: bool) -> Array:
    """(T, B, \\*shape) as the caller sees it."""
    y = np.moveaxis(x, 0, -1)
    return np.ascontiguousarray(y if batched else y[0])


def _per_lane(values: ArrayLike, layer: Layer, batch: int) -> Integers:
    """One value, or one per channel, or one per neuron, for every lane of a batch."""
    array = np.asarray(values, np.int64)
    if array.ndim == 1:
        array = array.reshape(-1, *[1] * (len(layer.shape) - 1))
    return np.ascontiguousarray(np.broadcast_to(array, (batch, *layer.shape))).reshape(-1)


def _synapse(layer: Layer, x: Array) -> Integers:
    """Weighted sums (T, B, \\*shape) in 1/64 of messages `x`, one step later where there is a synapse."""
    steps, batch = x.shape[:2]
    if not isinstance(layer, (Dense, Kernel)):
        return x.astype(np.int64)
    z = np.zeros((steps, batch, *layer.shape), np.int64)
    messages = np.ascontiguousarray(x[:-1]).reshape((steps - 1) * batch, *x.shape[2:])
    if isinstance(layer, Dense):
        sums = synapse.dense(messages.reshape(len(messages), layer.weight.shape[1]), layer.weight)
    else:
        sums = _kernel_sums(layer, messages)
    z[1:] = sums.reshape(steps - 1, batch, *layer.shape)
    return z


def _kernel_sums(layer: Kernel, x: Array) -> Integers:
    window = {"stride": layer.stride, "padding": layer.padding, "dilation": layer.dilation}
    if isinstance(layer, Conv):
        return synapse.conv(x, layer.weight, **window, groups=layer.groups)
    if isinstance(layer, ConvTranspose):
        return synapse.conv_transpose(x, layer.weight, **window, groups=layer.groups)
    frames = x.reshape(-1, 1, *x.shape[2:])  # channel by channel
    if isinstance(layer, Unpool):
        sums = synapse.conv_transpose(frames, layer.weight, **window)
    else:
        assert isinstance(layer, Pool)
        # a last window that reaches past the edge counts: pad up to what the shape needs
        pads = [
            max(0, (out - 1) * s + d * (k - 1) + 1 - n - 2 * p)
            for out, n, k, s, p, d in zip(
                layer.shape[1:],
                x.shape[2:],
                layer.kernel_size,
                layer.stride,
                layer.padding,
                layer.dilation,
                strict=True,
            )
        ]
        frames = np.pad(frames, ((0, 0), (0, 0), (0, pads[0]), (0, pads[1])))
        sums = synapse.conv(frames, layer.weight, **window)[..., : layer.shape[1], : layer.shape[2]]
    return sums.reshape(len(x), *layer.shape)


def _neurons(
    layer: Layer,
    a: Integers,
    start: int,
    resets: NDArray[np.bool_],
    offset: Integers | None,
    kept: set[str],
) -> tuple[NDArray[np.uint8], dict[str, Array], tuple[tuple[int, ...], int, int] | None]:
    """Spikes, what is to be recorded, and the first excess of a width as (neuron, step, count)."""
    steps, batch = a.shape[:2]
    neuron = layer.neuron
    assert neuron is not None
    lanes = batch * layer.size
    spikes = np.empty((steps, lanes), np.uint8)
    recorded = steps if kept & {"current", "voltage"} else 0
    current, voltage = np.empty((recorded, lanes), np.int32), np.empty((recorded, lanes), np.int32)
    first = np.empty(lanes, np.int64)
    bias = offset if isinstance(layer, Input) else getattr(layer, "bias", None)
    unit = STATE_ONE // WEIGHT_ONE
    cuba.run(
        a.reshape(steps, lanes) * unit,
        _per_lane(0 if bias is None else bias, layer, batch) * unit,
        np.zeros(lanes, np.int64),
        np.zeros(lanes, np.int64),
        _per_lane(neuron["current_decay"], layer, batch),
        _per_lane(neuron["voltage_decay"], layer, batch),
        int(neuron["threshold"]) * unit,
        start,
        resets,
        spikes,
        current,
        voltage,
        first,
    )
    shape = (steps, batch, *layer.shape)
    everything = {"spikes": spikes, "current": current, "voltage": voltage}
    states = {name: everything[name].reshape(shape) for name in kept}
    beyond = None
    if (first >= 0).any():
        lane = int(np.where(first >= 0, first, steps).argmin())
        where = tuple(int(i) for i in np.unravel_index(lane % layer.size, layer.shape))
        beyond = where, int(first[lane]), int((first >= 0).sum())
    return spikes.reshape(shape), states, beyond


def _delayed(layer: Layer, x: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Spikes after the layer's axonal delay."""
    if layer.delay is None:
        return x
    steps, batch = x.shape[:2]
    lanes = x.reshape(steps, batch * layer.size)
    return delay.forward(lanes, _per_lane(layer.delay, layer, batch)).reshape(x.shape)
