"""Slayer against the reference."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from lavadl_kernels import neurons
from lavadl_kernels.fixed_point import STATE_ONE, WEIGHT_ONE

from lavadl_ref import exchange
from lavadl_ref.deployed import deployment, reference
from lavadl_ref.exchange import Average, Flatten, Input, Layer, Recurrent
from lavadl_ref.verify.inputs import exact_integers, windows_of
from lavadl_ref.verify.report import Array, Comparison, Divergence, Report, first_difference, states_near


def compare_slayer(
    report: Report, network: exchange.Network, run: reference.Run, x: Array, interval: int | None, offset: int
) -> None:
    """Run `network`, rebuilt, on `x` (\\*shape, T) and enter the comparison of its layers with `run` into `report`.

    Raises
    ------
    NotImplementedError
        If slayer cannot be rebuilt, or resets do not make samples of the stream; says why.
    """
    import torch

    from lavadl_ref.slayer.auto import SequentialNetwork
    from lavadl_ref.slayer.block import base

    for position, layer in enumerate(network.layers[:-1]):
        if _is_read_out(layer):
            raise NotImplementedError(
                f"layer {position} ({layer.kind}) is a readout whose values slayer passes on; deployed, it never spikes"
            )
    rebuilt = SequentialNetwork(network).eval()
    windows, starts = x[None], network.start_steps
    if interval is not None:
        if any(isinstance(layer, Recurrent) for layer in network.layers):
            raise NotImplementedError("feedback carries spikes over the resets, which separate samples cannot show")
        begins = next(s for layer, s in zip(network.layers, starts, strict=True) if _is_process(layer))
        if offset != begins:
            raise NotImplementedError(
                f"resets with offset {offset} do not begin with the data; use reset_offset={begins}"
            )
        if any(layer.delay is not None and layer.delay.any() for layer in network.layers):
            raise NotImplementedError("axonal delays carry spikes over the resets, which separate samples cannot show")
        windows = windows_of(x, interval)
        run = _windowed(network, run, interval, begins, len(windows))
        starts = (0,) * len(starts)
    outputs: list[Array] = []
    y: Any = torch.from_numpy((windows / 2.0 ** deployment.input_bits(network.layers)).astype(np.float32))
    with torch.no_grad():
        rebuilt(y[..., :1])  # loads the kernels
        began = time.perf_counter()
        for block in rebuilt.blocks:
            if interval is not None and isinstance(block, base.SpikingBlock):
                block.delay_shift = False
            # the input is the input block's current already
            if isinstance(block, base.AbstractInput) and block.neuron is not None:
                y = block.sent(block.neuron.driven(y))
            else:
                y = block(y)
            outputs.append(y.numpy())
    report.seconds["slayer"] = time.perf_counter() - began
    compare_outputs(report, network, run, outputs, starts, shifted=interval is None)


def _windowed(network: exchange.Network, run: reference.Run, interval: int, start: int, count: int) -> reference.Run:
    """Each layer between its resets, as samples; a window that the run cuts short is left out."""
    layers, index = [], 0
    for layer, ran in zip(network.layers, run.layers, strict=True):
        cut: dict[str, Array] = {}
        for name, values in (("spikes", ran.spikes), ("weighted", ran.weighted), *ran.states.items()):
            if values is not None:
                # a layer that acts in the same step as the layer before it has the same windows
                first = 0 if isinstance(layer, Input) else start + index - isinstance(layer, Average)
                whole = (values.shape[-1] - first) // interval
                values = values[..., first:][..., : max(whole, 0) * interval]
                cut[name] = windows_of(values, interval)[:count]
        spikes, weighted = cut.pop("spikes", None), cut.pop("weighted", None)
        layers.append(reference.LayerRun(layer, spikes, weighted, cut))
        index += _is_process(layer)
    return reference.Run(run.output, tuple(layers), run.exceeded)


def _is_process(layer: Layer) -> bool:
    """Tell whether the layer counts where resets are staggered."""
    return not isinstance(layer, Flatten) and not (isinstance(layer, Input) and layer.neuron is None)


def compare_outputs(
    report: Report,
    network: exchange.Network,
    run: reference.Run,
    outputs: list[Array],
    starts: tuple[int, ...],
    shifted: bool = True,
) -> None:
    """Compare the outputs of blocks, (B, \\*shape, T) of each, with the reference run.

    A layer's output begins at its step in `starts`; blocks shift it by one step, as their layers say, if `shifted`.
    """
    shifting = False  # whether the block before shifts what an average receives
    incoming = deployment.incoming_bits(network.layers)
    for i, (result, ran, out, start) in enumerate(zip(report.layers, run.layers, outputs, starts, strict=True)):
        layer = result.layer
        if isinstance(layer, Flatten):
            continue
        what, unit = _observed(layer, incoming[i], network.layers[i - 1].shape if i else layer.shape)
        values = getattr(ran, what)
        batched = values if values.ndim == len(layer.shape) + 2 else values[None]
        count = min(len(batched), len(out))
        batched, out = batched[:count], out[:count].reshape(count, *layer.shape, out.shape[-1])
        what_of = f"slayer's output of layer {result.position}"
        if isinstance(layer, Average):
            found = _mean_integers(out, unit, what_of)
        else:
            found = exact_integers(out, 1 / unit, what_of)
        sends = what == "spikes" and not deployment.is_sigma_output(layer)  # what is read out does not shift
        shifts = shifting if isinstance(layer, Average) else sends and layer.shifts
        shifting = layer.shifts
        lags = np.zeros(layer.channels, int) if layer.delay is None else layer.delay
        lags = lags + (1 if shifted and shifts else 0)
        expected = np.zeros_like(found)
        for channel, lag in enumerate(lags):
            length = min(found.shape[-1] - lag, batched.shape[-1] - start)
            if length > 0:
                expected[:, channel, ..., lag : lag + length] = batched[:, channel, ..., start : start + length]
            # steps that the reference run does not have cannot be compared
            expected[:, channel, ..., lag + max(length, 0) :] = found[:, channel, ..., lag + max(length, 0) :]
        divergence = None
        first, count = first_difference(expected, found)
        if first is not None:
            # a spike before the first step of the run is reported at step 0
            sample, neuron, step = first[0], first[1:-1], max(first[-1] + start - int(lags[first[1]]), 0)
            around = states_near(ran, sample, neuron, step)
            values = int(expected[first]), int(found[first])
            divergence = Divergence(result.position, neuron, step, what, *values, sample, count, around)
        result.paths["slayer"] = Comparison(expected.size, divergence)


def _observed(layer: Layer, incoming: int, before: tuple[int, ...]) -> tuple[str, float]:
    """The quantity of `layer` that a block's output is, and the size of its unit."""
    neuron = layer.neuron
    if neuron is None:
        return "weighted", float(deployment.message_unit(layer, incoming, before))
    if not _is_read_out(layer):
        return "spikes", 2.0 ** -deployment.message_bits(layer, incoming)
    record = neurons.family(neuron.type)
    if exchange.FAMILIES[neuron.type].sends_changes:
        exponent = max(neuron.parameters.get("weight_exp") or 0, 0)
        return "activation", 1 / (STATE_ONE * WEIGHT_ONE * 2.0**exponent)
    # slayer reads out the value that is compared, but of all resonators the imaginary part
    return ("imag" if record.complex else record.carried), 1 / STATE_ONE


def _is_read_out(layer: Layer) -> bool:
    """Tell whether slayer has an `Affine` block for the layer, of which the values are read."""
    if type(layer) is not exchange.Dense or layer.neuron is None or deployment.is_sigma_output(layer):
        return False
    return exchange.never_fires(layer.neuron)


def _mean_integers(means: Array, unit: float, what: str) -> Array:
    """The sums of which the means are taken; float32 rounds a mean where the number of terms is no power of two."""
    sums = np.rint(np.asarray(means, np.float64) / unit)
    if not np.array_equal((sums * unit).astype(np.float32), means):
        raise ValueError(f"{what} must be means of whole numbers")
    return sums.astype(np.int64)
