"""Lava against the reference."""

from __future__ import annotations

from typing import Any

import numpy as np

from lavadl_ref import exchange, reference
from lavadl_ref.exchange import Input, Kernel
from lavadl_ref.verify.report import AROUND, Array, Comparison, Divergence, Report, first_difference, states_near


def compare_lava(
    report: Report,
    network: exchange.Network,
    run: reference.Run,
    x: Array,
    resets: dict[str, int | None],
    timeout: float | None,
) -> None:
    """Run `network` on `x` (\\*shape, T) on Lava and enter into `report` how its layers compare with `run`.

    Raises
    ------
    lavadl_ref.netx.lava_support.LavaUnavailable
        If Lava cannot run here.
    lavadl_ref.netx.choice.UnsupportedLayer
        If Lava cannot hold a layer exactly.
    lavadl_ref.netx.runtime.LavaRunError
        If Lava fails or does not finish.
    """
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
            first, count = first_difference(expected, found)
            if divergence is None and first is not None:
                neuron, last = first[:-1], expected.shape[-1] == 1
                step = steps - 1 if last else first[-1]
                other = _states_around(network, x, index, neuron, step, limit, arguments) if spikes is not None else {}
                around = states_near(ran, 0, neuron, step, other)
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
