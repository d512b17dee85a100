"""Slayer against the reference."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from lavadl_ref import exchange, reference
from lavadl_ref.exchange import Flatten, Layer
from lavadl_ref.verify.inputs import exact_integers, windows_of
from lavadl_ref.verify.report import Array, Comparison, Divergence, Report, first_difference, states_near


def compare_slayer(
    report: Report, network: exchange.Network, run: reference.Run, x: Array, interval: int | None, offset: int
) -> None:
    """Run `network`, rebuilt from its description, on `x` (\\*shape, T) and enter into `report` how it compares.

    Raises
    ------
    NotImplementedError
        If slayer cannot be rebuilt, or resets do not make samples of the stream; says why.
    """
    import torch

    from lavadl_ref.slayer.auto import SequentialNetwork
    from lavadl_ref.slayer.block import base, synaptic

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
        windows = windows_of(x, interval)
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
            y = block._fire(y / 64) if isinstance(block, synaptic.Input) and block.neuron is not None else block(y)
            outputs.append(y.numpy())
    report.seconds["slayer"] = time.perf_counter() - began
    compare_outputs(report, network, run, outputs, starts, shifted=interval is None)


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
                cut[name] = windows_of(values[..., : whole * interval], interval)[:count]
        layers.append(reference.LayerRun(layer, **cut))
        index += not isinstance(layer, Flatten)
    return reference.Run(run.output, tuple(layers), run.exceeded)


def compare_outputs(
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
        found = exact_integers(out, scale, f"slayer's output of layer {result.position}")
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
        first, count = first_difference(expected, found)
        if first is not None:
            # a spike that comes before any could is shown at step 0
            sample, neuron, step = first[0], first[1:-1], max(first[-1] + start - int(lags[first[1]]), 0)
            around = states_near(ran, sample, neuron, step, {})
            values = int(expected[first]), int(found[first])
            divergence = Divergence(result.position, neuron, step, what, *values, sample, count, around)
        result.paths["slayer"] = Comparison(expected.size, divergence)


def _observed(layer: Layer) -> tuple[str, int]:
    """What a block's output shows of its layer, and its scale."""
    from lavadl_ref.slayer.block.describe import NEVER_MANTISSA

    if layer.neuron is None:
        return "weighted", 64
    return ("voltage", 4096) if layer.neuron["threshold"] == NEVER_MANTISSA else ("spikes", 1)
