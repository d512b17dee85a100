"""Proof that training, the integer reference and Lava agree, or where they first part.

`verify` takes a file and an input, runs all paths, and compares every spike of every layer
at every step, and every state that Lava ends with.  `trained` does the same for blocks in
memory against the file that they would export.

On all paths layer k's spikes at step n of the deployed time base are compared; slayer's
step t of a layer is step n = t + start of that layer (`exchange.Network.start_steps`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lavadl_ref import exchange, reference
from lavadl_ref.exchange import Conv, Dense, Flatten, Input, Kernel, Layer

Array = NDArray[Any]
AROUND = 2  #: steps shown on either side of a divergence


@dataclass(frozen=True)
class Divergence:
    """The first place where two paths differ."""

    layer: int  #: position in the file
    neuron: tuple[int, ...]  #: index within the layer's shape
    step: int  #: 0-based, deployed time base
    what: str  #: spikes, current, voltage or weighted
    expected: int  #: the reference's value
    found: int  #: the other path's value
    sample: int = 0  #: index in a batch
    count: int = 1  #: number of differing values
    around: tuple[str, ...] = ()  #: u and v of the neuron near the step, one line a step

    def __str__(self) -> str:
        where = f"layer {self.layer}, neuron {self.neuron}, step {self.step}"
        where += f", sample {self.sample}" if self.sample else ""
        head = f"{where}: {self.what} reference {self.expected}, found {self.found} ({self.count} differ)"
        return "\n".join([head, *self.around])


@dataclass(frozen=True)
class Comparison:
    """One layer on one path against the reference."""

    compared: int  #: integers compared
    divergence: Divergence | None = None

    @property
    def exact(self) -> bool:
        """Whether all of them were equal."""
        return self.divergence is None

    def __str__(self) -> str:
        return "exact" if self.exact else "differs"


@dataclass
class LayerResult:
    """One layer of the file."""

    position: int
    layer: Layer
    spikes: int = 0  #: in the reference run
    paths: dict[str, Comparison] = field(default_factory=dict)  #: by path: slayer, lava


@dataclass
class Report:
    """The outcome of `verify` or `trained`."""

    layers: list[LayerResult]
    steps: int
    samples: int = 1
    seconds: dict[str, float] = field(default_factory=dict)  #: run time by path
    skipped: dict[str, str] = field(default_factory=dict)  #: paths that could not run, and why
    exceeded: tuple[reference.Exceeded, ...] = ()
    run: reference.Run | None = None

    @property
    def divergences(self) -> list[Divergence]:
        """The first divergence of every layer and path that has one."""
        found = (c.divergence for result in self.layers for c in result.paths.values())
        return [d for d in found if d is not None]

    @property
    def exact(self) -> bool:
        """Whether every path that ran gave the reference's integers, and at least one ran."""
        return not self.divergences and any(result.paths for result in self.layers)

    @property
    def compared(self) -> int:
        """Number of integers compared."""
        return sum(c.compared for result in self.layers for c in result.paths.values())


def input_shape(network: exchange.Network) -> tuple[int, ...]:
    """Shape of the input, without time; the smallest that fits where the first layer has a window."""
    first = network.layers[0]
    if isinstance(first, Dense):
        return (int(first.weight.shape[1]),)
    return _smallest_input(first) if isinstance(first, Kernel) else first.shape


def random_input(network: exchange.Network, steps: int, seed: int = 0) -> Array:
    """A reproducible input for `network`: spikes at 20 %, or integers in [0, 128) for an input layer.

    Where a file begins with a convolution, which does not say how large its input is, the
    smallest input that gives the layer's shape is taken.
    """
    shape = input_shape(network)
    rng = np.random.default_rng(seed)
    if isinstance(network.layers[0], Input):
        return rng.integers(0, 128, (*shape, steps))
    return (rng.random((*shape, steps)) < 0.2).astype(np.int64)


def _smallest_input(layer: Kernel) -> tuple[int, ...]:
    extents = []
    for out, k, s, p, d in zip(
        layer.shape[1:], layer.kernel_size, layer.stride, layer.padding, layer.dilation, strict=True
    ):
        if isinstance(layer, (exchange.ConvTranspose, exchange.Unpool)):
            extents.append((out + 2 * p - d * (k - 1) - 1) // s + 1)
        else:
            extents.append((out - 1) * s + d * (k - 1) + 1 - 2 * p)
    if isinstance(layer, Conv):
        channels = int(layer.weight.shape[1]) * layer.groups
    else:
        channels = int(layer.weight.shape[0]) if isinstance(layer, exchange.ConvTranspose) else layer.channels
    return (channels, *extents)


def verify(
    net_config: str | os.PathLike[str] | exchange.Network,
    inputs: Array | None = None,
    steps: int | None = None,
    *,
    slayer: bool = True,
    lava: bool = True,
    reset_interval: int | None = None,
    reset_offset: int = 0,
    timeout: float | None = None,
) -> Report:
    """Run one input through the reference, slayer and Lava and compare all integers.

    Parameters
    ----------
    net_config : path or exchange.Network
        The network.
    inputs : ndarray, optional
        (\\*shape, T) integers: spikes, or for an input layer its current in 1/64;
        `random_input` by default.
    steps : int, optional
        Number of steps; the length of `inputs`, or 64.
    slayer, lava : bool
        Which paths to compare with the reference.
    reset_interval, reset_offset : int, optional
        As in `reference.Network`; a stream of samples.  Slayer then sees each window between
        resets as a sample of its own, its blocks without the one-step shift, which the
        stagger of the resets stands for.
    timeout : float, optional
        Seconds that Lava may take; grows with the number of steps by default.

    Returns
    -------
    Report
        A path that cannot run the network is in ``skipped`` with the reason.

    Raises
    ------
    exchange.ExchangeError, NotImplementedError, ValueError, TypeError
        As `reference.Network` and its ``run``.
    lavadl_ref.netx.runtime.LavaRunError
        If Lava fails or does not finish.
    """
    network = net_config if isinstance(net_config, exchange.Network) else exchange.read(net_config)
    resets = {"reset_interval": reset_interval, "reset_offset": reset_offset}
    deployed = reference.Network(network, **resets)  # type: ignore[arg-type]
    if steps is not None and steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    x = random_input(network, 64 if steps is None else steps) if inputs is None else np.asarray(inputs)
    if x.ndim < 2 or x.shape[-1] < 1:
        raise ValueError(f"input must have neurons and, on its last axis, at least one step, got shape {x.shape}")
    if steps is not None:
        x = x[..., :steps] if steps <= x.shape[-1] else _padded(x, steps)
    with suppress(TypeError, ValueError):  # which the run below raises with the whole input
        deployed.run(x[..., :1])  # loads the kernels
    began = time.perf_counter()
    run = deployed.run(x, record=reference.RECORDABLE)
    if run.output.ndim != len(network.layers[-1].shape) + 1:
        raise ValueError(f"input must be one sample without a batch axis, got shape {x.shape}")
    report = _report(network, run, x.shape[-1])
    report.seconds["reference"] = time.perf_counter() - began
    if slayer:
        _attempt(report, "slayer", lambda: _compare_slayer(report, network, run, x, reset_interval, reset_offset))
    if lava:
        _attempt(report, "lava", lambda: _compare_lava(report, network, run, x, resets, timeout))
    return report


def trained(blocks: Iterable[Any], x: Any) -> Report:
    """Compare the blocks of a trained network, as they are, with the reference run of their export.

    Parameters
    ----------
    blocks : iterable of slayer blocks
        In order; put them into evaluation mode before.
    x : Tensor
        float32 (B, \\*shape, T): spikes of B samples, or for an input block whatever it takes.

    Returns
    -------
    Report
    """
    import torch

    blocks = list(blocks)
    outputs, y = [], x
    began = time.perf_counter()
    with torch.no_grad():
        for block in blocks:
            y = block(y)
            y = y[0] if isinstance(y, tuple) else y
            outputs.append(y.numpy())
    seconds = time.perf_counter() - began
    network = exchange.Network(tuple(block.describe() for block in blocks))
    exchange.check(network)
    inputs = _exact_integers(x.numpy(), 1, "network input")
    first = network.layers[0]
    if isinstance(first, Input):
        inputs = _exact_integers(x.numpy() * first.weight + first.bias, 1, "input current in 1/64")
    run, report = _reference_batch(network, inputs)
    report.seconds["slayer"] = seconds
    _compare_outputs(report, network, run, outputs, network.start_steps)
    return report


def _reference_batch(network: exchange.Network, x: Array) -> tuple[reference.Run, Report]:
    deployed = reference.Network(network)
    with suppress(TypeError, ValueError):  # which the run below raises with the whole input
        deployed.run(x[..., :1])  # loads the kernels
    began = time.perf_counter()
    run = deployed.run(x, record=reference.RECORDABLE)
    report = _report(network, run, x.shape[-1], len(x))
    report.seconds["reference"] = time.perf_counter() - began
    return run, report


def _report(network: exchange.Network, run: reference.Run, steps: int, samples: int = 1) -> Report:
    layers = [
        LayerResult(i, layer, 0 if ran.spikes is None else int(ran.spikes.astype(np.int64).sum()))
        for i, (layer, ran) in enumerate(zip(network.layers, run.layers, strict=True))
    ]
    return Report(layers, steps, samples, exceeded=run.exceeded, run=run)


def _attempt(report: Report, path: str, compare: Callable[[], None]) -> None:
    try:
        compare()
    except (NotImplementedError, ImportError) as error:
        report.skipped[path] = str(error)


def _padded(x: Array, steps: int) -> Array:
    return np.concatenate([x, np.zeros((*x.shape[:-1], steps - x.shape[-1]), x.dtype)], axis=-1)


def _exact_integers(values: Array, scale: int, what: str) -> Array:
    """`values` * `scale` as integers; refuses what is not whole."""
    scaled = np.asarray(values, np.float64) * scale
    whole = np.rint(scaled)
    fit = (scaled == whole) & (np.abs(whole) < 2.0**53)  # what float64 counts exactly
    if not fit.all():
        raise ValueError(f"{what} must be whole numbers, found {scaled[~fit].flat[0]}")
    return whole.astype(np.int64)


def _compare_slayer(
    report: Report, network: exchange.Network, run: reference.Run, x: Array, interval: int | None, offset: int
) -> None:
    import torch

    from lavadl_ref.slayer.auto import SequentialNetwork
    from lavadl_ref.slayer.block import base

    rebuilt = SequentialNetwork(network).eval()
    windows, starts = x[None], network.start_steps
    if interval is not None:
        begins = next(s for layer, s in zip(network.layers, starts, strict=True) if not isinstance(layer, Flatten))
        if offset != begins:
            raise NotImplementedError(
                f"resets with offset {offset} do not begin with the data; reset_offset={begins} would"
            )
        if any(layer.delay is not None and layer.delay.any() for layer in network.layers):
            raise NotImplementedError("axonal delays carry spikes over the resets, which separate samples cannot show")
        windows = _windows(x, interval)
        run = _windowed(network, run, interval, begins, len(windows))
        starts = (0,) * len(starts)
    outputs: list[Array] = []
    y: Any = torch.from_numpy(windows.astype(np.float32))
    with torch.no_grad():
        rebuilt(y[..., :1])  # loads the kernels
        began = time.perf_counter()
        for block in rebuilt.blocks:
            if interval is not None and isinstance(block, base.SpikingBlock):
                block.delay_shift = False
            # the input is already what the input block makes of it
            y = block._fire(y / 64) if isinstance(block, base.Input) and block.neuron is not None else block(y)
            outputs.append(y.numpy())
    report.seconds["slayer"] = time.perf_counter() - began
    _compare_outputs(report, network, run, outputs, starts, shifted=interval is None)


def _windows(x: Array, interval: int) -> Array:
    """A stream (\\*shape, T) as samples (B, \\*shape, interval)."""
    x = _padded(x, -(-x.shape[-1] // interval) * interval)
    return np.moveaxis(x.reshape(*x.shape[:-1], -1, interval), -2, 0)


def _windowed(network: exchange.Network, run: reference.Run, interval: int, start: int, count: int) -> reference.Run:
    """What each layer did between its resets, as samples; a window that the run cuts short is left out."""
    layers, index = [], 0
    for layer, ran in zip(network.layers, run.layers, strict=True):
        cut: dict[str, Array] = {}
        for name in ("spikes", "voltage", "weighted"):
            values = getattr(ran, name)
            if values is not None:
                values = values[..., start + index :]
                whole = values.shape[-1] // interval
                cut[name] = _windows(values[..., : whole * interval], interval)[:count]
        layers.append(reference.LayerRun(layer, **cut))
        index += not isinstance(layer, Flatten)
    return reference.Run(run.output, tuple(layers), run.exceeded)


def _compare_outputs(
    report: Report,
    network: exchange.Network,
    run: reference.Run,
    outputs: list[Array],
    starts: tuple[int, ...],
    shifted: bool = True,
) -> None:
    """Compare block outputs (B, \\*shape, T) with what the reference's neurons did."""
    for result, ran, out, start in zip(report.layers, run.layers, outputs, starts, strict=True):
        layer = result.layer
        if isinstance(layer, Flatten):
            continue
        what, scale = _observed(layer)
        values = getattr(ran, what)
        batched = values if values.ndim == len(layer.shape) + 2 else values[None]
        count = min(len(batched), len(out))
        batched, out = batched[:count], out[:count].reshape(count, *layer.shape, out.shape[-1])
        found = _exact_integers(out, scale, f"slayer's output of layer {result.position}")
        lags = np.zeros(layer.channels, int) if layer.delay is None else layer.delay
        lags = lags + (1 if shifted and what == "spikes" and layer.shifts else 0)
        expected = np.zeros_like(found)
        for channel, lag in enumerate(lags):
            length = min(found.shape[-1] - lag, batched.shape[-1] - start)
            if length > 0:
                expected[:, channel, ..., lag : lag + length] = batched[:, channel, ..., start : start + length]
            # what the reference run has no steps for cannot be compared
            expected[:, channel, ..., lag + max(length, 0) :] = found[:, channel, ..., lag + max(length, 0) :]
        divergence = None
        first, count = _first(expected, found)
        if first is not None:
            # a spike that comes before any could is shown at step 0
            sample, neuron, step = first[0], first[1:-1], max(first[-1] + start - int(lags[first[1]]), 0)
            around = _around(ran, sample, neuron, step, {})
            values = int(expected[first]), int(found[first])
            divergence = Divergence(result.position, neuron, step, what, *values, sample, count, around)
        result.paths["slayer"] = Comparison(expected.size, divergence)


def _observed(layer: Layer) -> tuple[str, int]:
    """What a block's output shows of its layer, and its scale."""
    from lavadl_ref.slayer.block.describe import NEVER_MANTISSA

    if layer.neuron is None:
        return "weighted", 64
    return ("voltage", 4096) if layer.neuron["threshold"] == NEVER_MANTISSA else ("spikes", 1)


def _first(expected: Array, found: Array) -> tuple[tuple[int, ...] | None, int]:
    """Index of the earliest difference, time being the last axis, and how many there are."""
    different = np.argwhere(expected != found)
    if not len(different):
        return None, 0
    return tuple(int(i) for i in different[np.argmin(different[:, -1])]), len(different)


def _around(
    ran: reference.LayerRun, sample: int, neuron: tuple[int, ...], step: int, other: dict[int, tuple[int, int]]
) -> tuple[str, ...]:
    """u and v of one neuron near `step`, of the reference and of the path that differs where it is known."""
    if ran.current is None or ran.voltage is None:
        return ()
    batched = ran.current.ndim == len(neuron) + 2
    u, v = (a[sample] if batched else a for a in (ran.current, ran.voltage))
    lines = []
    for n in range(max(step - AROUND, 0), min(step + AROUND + 1, u.shape[-1])):
        line = f"  step {n}: reference u {u[neuron][n]}, v {v[neuron][n]}"
        if n in other:
            line += f"; found u {other[n][0]}, v {other[n][1]}"
        lines.append(line)
    return tuple(lines)


def _compare_lava(
    report: Report,
    network: exchange.Network,
    run: reference.Run,
    x: Array,
    resets: dict[str, int | None],
    timeout: float | None,
) -> None:
    from lavadl_ref.netx import lava_support, runtime
    from lavadl_ref.netx.plan import Options, plan

    usable, reason = lava_support.available()
    if not usable:
        raise lava_support.LavaUnavailable(reason)
    steps = x.shape[-1]
    shape = {"input_shape": x.shape[-2::-1]} if isinstance(network.layers[0], Kernel) else {}
    arguments: dict[str, Any] = {**{k: v for k, v in resets.items() if v is not None}, **shape}
    if not isinstance(network.layers[0], Input) and x.size and (x.min() < 0 or x.max() > 1):
        arguments["input_message_bits"] = 24  # without it Lava takes any message for one spike
    plans = plan(network, Options(**arguments))
    limit = timeout or 60 + 0.05 * steps * len(plans)
    records = runtime.run(network, x, steps, timeout=limit, **arguments)
    report.seconds["lava"] = records.seconds
    for index, generated in enumerate(plans):
        result, ran = report.layers[generated.position], run.layers[generated.position]
        spikes = records.spikes[index]
        pairs: list[tuple[str, Array | None, Array | None]]
        if spikes is None:
            pairs = [("weighted", ran.weighted, records.output)]
        else:
            pairs = [
                ("spikes", ran.spikes, spikes),
                ("current", _last(ran.current), records.current[index]),
                ("voltage", _last(ran.voltage), records.voltage[index]),
            ]
        total, divergence = 0, None
        for what, expected, values in pairs:
            assert expected is not None
            found = np.asarray(values, np.int64).reshape(expected.shape)
            total += expected.size
            first, count = _first(expected, found)
            if divergence is None and first is not None:
                neuron, last = first[:-1], expected.shape[-1] == 1
                step = steps - 1 if last else first[-1]
                other = _states_around(network, x, index, neuron, step, limit, arguments) if spikes is not None else {}
                around = _around(ran, 0, neuron, step, other)
                both = int(expected[first]), int(found[first])
                divergence = Divergence(generated.position, neuron, step, what, *both, 0, count, around)
        result.paths["lava"] = Comparison(total, divergence)


def _last(values: Array | None) -> Array:
    assert values is not None
    return values[..., -1:]


def _states_around(
    network: exchange.Network,
    x: Array,
    index: int,
    neuron: tuple[int, ...],
    step: int,
    timeout: float,
    arguments: dict[str, Any],
) -> dict[int, tuple[int, int]]:
    """Lava's u and v of one neuron near `step`, read in a second run."""
    from lavadl_ref.netx import runtime

    near = range(max(step - AROUND, 0), min(step + AROUND + 1, x.shape[-1]))
    states_at = [(index, n) for n in near]
    again = runtime.run(network, x, near.stop, timeout=timeout, record=(), states_at=states_at, **arguments)
    return {n: (int(u[neuron]), int(v[neuron])) for n in near for u, v in [again.states[index, n]]}
