"""Lava against the reference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lavadl_ref import exchange
from lavadl_ref.deployed import reference
from lavadl_ref.exchange import Input, Kernel
from lavadl_ref.verify.report import AROUND, Array, Comparison, Divergence, Report, first_difference, states_near


def compare_lava(
    report: Report,
    network: exchange.Network,
    run: reference.Run,
    x: Array,
    resets: dict[str, int | None],
    timeout: float | None,
    in_process: bool = False,
) -> None:
    """Run `network` on `x` (\\*shape, T) on Lava and enter the comparison of its layers with `run` into `report`.

    Raises
    ------
    lavadl_ref.netx.lava_support.LavaUnavailable
        If Lava cannot run here.
    lavadl_ref.deployment.UnsupportedLayer
        If Lava cannot hold a layer exactly.
    lavadl_ref.netx.runtime.LavaRunError
        If Lava fails or does not finish.
    """
    from lavadl_ref.netx import lava_support
    from lavadl_ref.netx.plan.network import Options, plan

    usable, reason = lava_support.available()
    if not usable:
        raise lava_support.LavaUnavailable(reason)
    steps = x.shape[-1]
    shape = {"input_shape": x.shape[-2::-1]} if isinstance(network.layers[0], Kernel) else {}
    arguments: dict[str, Any] = {**{k: v for k, v in resets.items() if v is not None}, **shape}
    opening = network.layers[0]
    driven = isinstance(opening, Input) and opening.neuron is not None
    if not driven and x.size and (x.min() < 0 or x.max() > 1):
        arguments["input_message_bits"] = 24  # without it Lava takes any message for one spike
    plans = plan(network, Options(**arguments))
    # a limit against a run that hangs; it grows with the work, so that a slow machine does not meet it
    limit = timeout or 60 + 0.05 * steps * len(plans)
    run_lava = _runner(in_process)
    records = run_lava(network, x, steps, timeout=limit, **arguments)
    report.seconds["lava"] = records.seconds
    for index, generated in enumerate(plans):
        result, ran = report.layers[generated.position], run.layers[generated.position]
        spikes = records.spikes[index]
        pairs: list[tuple[str, Array | None, Array | None]]
        if spikes is None:
            pairs = [("weighted", ran.weighted, records.output)]
        else:
            last = [(name, values[..., -1:], records.states[index][name]) for name, values in ran.states.items()]
            pairs = [("spikes", ran.spikes, spikes), *last]
        total, divergence = 0, None
        for what, expected, values in pairs:
            assert expected is not None
            found = np.asarray(values, np.int64).reshape(expected.shape)
            total += expected.size
            first, count = first_difference(expected, found)
            if divergence is None and first is not None:
                neuron, at_end = first[:-1], expected.shape[-1] == 1
                step = steps - 1 if at_end else first[-1]
                other: dict[int, dict[str, int]] = {}
                if spikes is not None:
                    near = range(max(step - AROUND, 0), min(step + AROUND + 1, steps))
                    states_at = [(index, n) for n in near]
                    again = run_lava(network, x, near.stop, timeout=limit, record=(), states_at=states_at, **arguments)
                    other = {n: {k: int(a[neuron]) for k, a in again.states_at[index, n].items()} for n in near}
                around = states_near(ran, 0, neuron, step, other)
                both = int(expected[first]), int(found[first])
                divergence = Divergence(generated.position, neuron, step, what, *both, 0, count, around)
        result.paths["lava"] = Comparison(total, divergence)


def _runner(in_process: bool) -> Callable[..., Any]:
    """The function that runs a network on Lava."""
    if in_process:
        from lavadl_ref.netx.run import inprocess

        return inprocess.run
    from lavadl_ref.netx.run import runtime

    return runtime.run
