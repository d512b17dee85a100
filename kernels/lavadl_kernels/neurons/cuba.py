"""CUBA: the current-based leaky integrate-and-fire neuron, two leaky integrators in a chain.

Recurrence, in integers of 1/4096, with decays in 1/4096::

    u[t] = leak(u[t-1], current_decay) + a[t]
    w[t] = leak(v[t-1], voltage_decay) + (u[t] + bias) / 2**exponent      toward zero
    s[t] = w[t] > threshold                   strictly: equality neither spikes nor resets
    v[t] = 0 if s[t] else w[t]

The exponent is that of a norm between current and voltage; neurons in training have none.  The `slayer` integers have
no width limit.  The `loihi` integers fold u into 24 bits and clip w to 24 bits, as Lava's process model does; inside
those widths the two are the same.

Backward is the gradient of the surrogate model: the spike's derivative is that of
`neurons._surrogate.surrogate`, rounding and reset count as identity::

    gw[t] = gs[t] * surrogate(w[t]) + (1 - voltage_decay / 4096) * gw[t+1]
    gu[t] = gw[t] + (1 - current_decay / 4096) * gu[t+1]
    ga[t] = gu[t]
    g_current_decay = -sum_t gu[t] * u[t-1] / 4096
    g_voltage_decay = -sum_t gw[t] * v[t-1] / 4096

Source: Lava's LIF process model, Lava-DL's CUBA neuron.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from lavadl_kernels.engine._arguments import AdjointStep, Surrogate
from lavadl_kernels.fixed_point import (
    CLIPPED24,
    FOLDED24,
    as_type_of,
    leak,
    leaky_gain,
    saturate24,
    scale_by_power_of_two,
    wrap24,
)
from lavadl_kernels.neurons import _leaky_integrator as leaky_integrator
from lavadl_kernels.neurons._family import Family, register
from lavadl_kernels.neurons._reach import Drive, Reach, leaky, plus, reset_above, scaled, within
from lavadl_kernels.neurons._surrogate import Through
from lavadl_kernels.runtime.array_types import Array, Integers
from lavadl_kernels.runtime.jit import scalar


@scalar
def step(
    u: Any,
    v: Any,
    a: Any,
    bias: Any,
    current_decay: Any,
    voltage_decay: Any,
    threshold: Any,
    exponent: Any,
    loihi: bool,
) -> Any:
    """Take one step of one neuron.

    Parameters
    ----------
    u, v : int
        Current and voltage, 1/4096.
    a, bias : int
        Synaptic input to the current and constant input to the voltage, 1/4096.
    current_decay, voltage_decay : int
        0 (perfect memory) to 4096 (none).
    threshold : int
        1/4096.
    exponent : int or None
        Current and bias are divided by 2**exponent on their way to the voltage; None stands for 0.
    loihi : bool
        Whether u and the voltage have the chip's 24 bits.

    Returns
    -------
    u, v, spike, voltage
        The new state, the spike, and the voltage before its reset.
    """
    u = leak(u, current_decay) + a
    if loihi:
        u = wrap24(u)
    drive = u + bias
    if exponent is not None:  # decided by type: a float, as states are in training, has no shift
        drive = scale_by_power_of_two(drive, -exponent)
    voltage = leak(v, voltage_decay) + drive
    if loihi:
        voltage = saturate24(voltage)
    spike = voltage > threshold
    return u, (as_type_of(0, voltage) if spike else voltage), spike, voltage


def _advance_adjoint(neuron: Cuba, at: AdjointStep, surrogate: Surrogate) -> None:
    spike, level = at.arriving.spike, np.float32(neuron.threshold / 4096)
    way = Through(spike, at.history.trace[1, at.t, : spike.size], level, None, surrogate)
    leaky_integrator.chain_adjoint(way, at, True)


class Cuba(NamedTuple):
    """Parameters of a layer, integers of 1/4096."""

    decay: Array  #: (3, M) int64: current decay, voltage decay, and the bias of the voltage, which gets no gradient
    threshold: int
    exponent: int = 0  #: deployed neurons only


def _from_bias(neuron: Cuba, state: Integers, steps: int) -> int:
    """The magnitude to which the bias alone can bring the voltage, 1/4096."""
    return math.ceil(leaky_gain(neuron.decay[1], steps)) * int(np.abs(neuron.decay[2]).max(initial=0))


def _reach(neuron: Cuba, drive: Drive) -> Reach:
    """The ranges of current and voltage: `Family.reach`."""
    current = leaky(neuron.decay[0], drive.inputs[0], drive.steps)
    into_voltage = scaled(plus(current, drive.bias), -neuron.exponent)
    free = leaky(neuron.decay[1], into_voltage, drive.steps)
    voltage, fires = reset_above(free, into_voltage, neuron.decay[1], neuron.threshold)
    return Reach({"current": current, "voltage": voltage}, {}, within(0, voltage.high), fires)


Parameters = Cuba
FAMILY = register(
    Family(
        "CUBA",
        Cuba,
        step,
        states=("current", "voltage"),
        decays=("current_decay", "voltage_decay"),
        advance_adjoint=_advance_adjoint,
        tangent=leaky_integrator.chain_tangent,
        integrators=2,
        state_bound=_from_bias,
        carried="voltage",
        resets=("voltage",),
        width=24,
        limits={"current": FOLDED24, "voltage": CLIPPED24},
        reach=_reach,
        bias_at="voltage",
    )
)
