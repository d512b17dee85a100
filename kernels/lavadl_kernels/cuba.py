"""CUBA: the current-based leaky integrate-and-fire neuron, a leaky integrator on another.

Recurrence, in integers of 1/4096, with decays in 1/4096::

    u[t] = leak(u[t-1], current_decay) + a[t]
    w[t] = leak(v[t-1], voltage_decay) + u[t] + bias
    s[t] = w[t] > threshold                   strictly: equality neither spikes nor resets
    v[t] = 0 if s[t] else w[t]

The `slayer` integers have no width limit.  The `loihi` integers fold u into 24 bits and
clip w to 24 bits, as Lava's process model does; inside those widths the two are the same.

Backward is the gradient of the surrogate model: the spike's derivative is that of
`lavadl_kernels.spike.surrogate`, rounding and reset count as identity::

    gw[t] = gs[t] * surrogate(w[t]) + (1 - voltage_decay / 4096) * gw[t+1]
    gu[t] = gw[t] + (1 - current_decay / 4096) * gu[t+1]
    ga[t] = gu[t]
    g_current_decay = -sum_t gu[t] * u[t-1] / 4096
    g_voltage_decay = -sum_t gw[t] * v[t-1] / 4096

Arrays are time-major (T, M) with per-lane parameters, as in `leaky_integrator`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from lavadl_kernels import deployed, dynamics, leaky_integrator
from lavadl_kernels._jit import kernel, scalar
from lavadl_kernels.fixed_point import exact, fixed, leak, saturate24, scaled, wrap24, wrap32
from lavadl_kernels.spike import surrogate

CHUNK = leaky_integrator.CHUNK
STATES = ("current", "voltage")
DECAYS = ("current_decay", "voltage_decay")


@scalar
def step(u, v, a, bias, current_decay, voltage_decay, threshold, loihi):
    """One step of one neuron.

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
    loihi : bool
        Whether u and the voltage have the chip's 24 bits.

    Returns
    -------
    u, v, spike, voltage
        The new state, the spike, and the voltage before its reset.
    """
    u = charge(u, a, current_decay, loihi)
    v, spike, voltage = fire(v, u + bias, voltage_decay, threshold, loihi)
    return u, v, spike, voltage


@scalar
def charge(u, a, current_decay, loihi):
    """The current after a step."""
    u = leak(u, current_decay) + a
    if loihi:
        u = wrap24(u)
    return u


@scalar
def fire(v, drive, voltage_decay, threshold, loihi):
    """The voltage after a step with input `drive`, whether it spikes, and the voltage before its reset."""
    voltage = leak(v, voltage_decay) + drive
    if loihi:
        voltage = saturate24(voltage)
    spike = voltage > threshold
    return (0 if spike else voltage), spike, voltage


def forward(x, u, v, current_decay, voltage_decay, threshold, graded=False):
    """Run real inputs through neurons.

    Parameters
    ----------
    x : ndarray
        (T, M) float32, units of 1.
    u, v, current_decay, voltage_decay : ndarray
        (M,) int64, 1/4096.
    threshold : int
        1/4096.
    graded : bool
        Whether a spike carries the voltage instead of 1.

    Returns
    -------
    spike : ndarray
        (T, M) float32.
    u, v : ndarray
        (M,) int64, the states after the last step.

    Raises
    ------
    ValueError
        If an input is not finite or has no exact fixed-point value.
    """
    spike = np.empty_like(x)
    ua, va = np.empty_like(u), np.empty_like(v)

    def run(bound, zero):
        return _forward(u.size, x, u, v, current_decay, voltage_decay, threshold, graded, bound, zero, spike, ua, va)

    exact(run, (x,), np.concatenate([u, v]), 2)
    return spike, ua, va


@kernel
def _forward(
    begin, end, x, u, v, current_decay, voltage_decay, threshold, graded, bound, zero, spike, u_after, v_after
):
    steps = x.shape[0]
    beyond = np.int32(0)
    for lo in range(begin, end, CHUNK):
        hi = min(lo + CHUNK, end)
        n = hi - lo
        uc, vc, cd, vd = np.full(n, zero), np.full(n, zero), np.full(n, zero), np.full(n, zero)
        for i in range(n):
            uc[i], vc[i], cd[i], vd[i] = u[lo + i], v[lo + i], current_decay[lo + i], voltage_decay[lo + i]
        for t in range(steps):
            xr, sr = x[t, lo:hi], spike[t, lo:hi]
            for i in range(n):
                beyond |= np.int32(not (abs(xr[i] * np.float32(4096.0)) < bound))
                un, vn, s, w = step(uc[i], vc[i], fixed(xr[i], zero), 0, cd[i], vd[i], threshold, False)
                uc[i], vc[i] = un, vn
                size = np.float32(w * (1 / 4096)) if graded else np.float32(1)
                sr[i] = size if s else np.float32(0)
        for i in range(n):
            u_after[lo + i], v_after[lo + i] = np.int64(uc[i]), np.int64(vc[i])
    return beyond == 0


def backward(x, u, v, current_decay, voltage_decay, threshold, tau, scale, graded, grad_spike):
    """Gradients of `forward`, recomputing its states from `x` and the initial states `u`, `v`.

    Returns
    -------
    grad_x : ndarray
        (T, M) float32.
    grad_current_decay, grad_voltage_decay : ndarray
        (M,) float64, per lane, per unit of the decay integers.
    """
    steps, lanes = x.shape
    # as many lanes at a time as keep both histories in the second-level cache
    width = int(max(16, min(CHUNK, (1 << 17) // max(steps, 1)) // 16 * 16))
    grad_x = np.empty((steps, lanes), np.float32)
    grad_cd = np.zeros(lanes, np.float64)
    grad_vd = np.zeros(lanes, np.float64)
    _backward(
        lanes, x, u, v, current_decay, voltage_decay, threshold, np.float32(tau), np.float32(scale), graded,
        grad_spike, width, grad_x, grad_cd, grad_vd,
    )  # fmt: skip
    return grad_x, grad_cd, grad_vd


@kernel
def _backward(
    begin, end, x, u, v, current_decay, voltage_decay, threshold, tau, scale, graded,
    grad_spike, width, grad_x, grad_current_decay, grad_voltage_decay,
):  # fmt: skip
    hu, hw = np.empty((x.shape[0], width), np.float32), np.empty((x.shape[0], width), np.float32)
    _backward_lanes(
        begin, end, x, u, v, current_decay, voltage_decay, threshold, tau, scale, graded,
        grad_spike, hu, hw, grad_x, grad_current_decay, grad_voltage_decay,
    )  # fmt: skip


@scalar  # a function of its own: the loops do not vectorise over arrays allocated beside them
def _backward_lanes(
    begin, end, x, u, v, current_decay, voltage_decay, threshold, tau, scale, graded,
    grad_spike, hu, hw, grad_x, grad_current_decay, grad_voltage_decay,
):  # fmt: skip
    steps, width = hu.shape
    level = np.float32(threshold / 4096)
    uc, vc, cd, vd = np.empty(width), np.empty(width), np.empty(width), np.empty(width)
    gu, gw = np.empty(width, np.float32), np.empty(width, np.float32)
    ku, kw = np.empty(width, np.float32), np.empty(width, np.float32)
    for lo in range(begin, end, width):
        hi = min(lo + width, end)
        n = hi - lo
        for i in range(n):
            uc[i], vc[i], cd[i], vd[i] = u[lo + i], v[lo + i], current_decay[lo + i], voltage_decay[lo + i]
            gu[i] = gw[i] = 0
            ku[i] = np.float32(1) - np.float32(cd[i]) * np.float32(1 / 4096)
            kw[i] = np.float32(1) - np.float32(vd[i]) * np.float32(1 / 4096)
        for t in range(steps):
            xr, hur, hwr = x[t, lo:hi], hu[t], hw[t]
            for i in range(n):
                un, vn, _, w = step(uc[i], vc[i], fixed(xr[i], 0.0), 0, cd[i], vd[i], threshold, False)
                uc[i], vc[i] = un, vn
                hur[i], hwr[i] = un * (1 / 4096), w * (1 / 4096)
        gcd, gvd = grad_current_decay[lo:hi], grad_voltage_decay[lo:hi]
        for t in range(steps - 1, -1, -1):
            gsr, gxr, hwr = grad_spike[t, lo:hi], grad_x[t, lo:hi], hw[t]
            for i in range(n):
                gw[i] = kw[i] * gw[i] + gsr[i] * surrogate(hwr[i] - level, tau, scale, graded)
                gu[i] = ku[i] * gu[i] + gw[i]
                gxr[i] = gu[i]
            if t > 0:
                ub, wb = hu[t - 1], hw[t - 1]
                for i in range(n):
                    carried = np.float32(0) if wb[i] > level else wb[i]
                    gcd[i] -= np.float64(gu[i] * ub[i]) * (1 / 4096)
                    gvd[i] -= np.float64(gw[i] * carried) * (1 / 4096)
            else:
                for i in range(n):
                    gcd[i] -= np.float64(gu[i]) * np.float64(u[lo + i]) * (1 / 16777216)
                    gvd[i] -= np.float64(gw[i]) * np.float64(v[lo + i]) * (1 / 16777216)


# The same neuron where its values are wanted, or where it feeds back: `forward` above is for spikes alone,
# and about 1.4 times as fast.


def _advance(neuron, state, decay, x, spike, trace, t, lo, graded, bound):
    n = spike.size
    return _advance_lanes(
        state[0, :n], state[1, :n], decay[0, :n], decay[1, :n], decay[2, :n], neuron.threshold,
        x[0], spike, trace[0, t, lo : lo + n], trace[1, t, lo : lo + n], graded, bound,
    )  # fmt: skip


@scalar
def _advance_lanes(u, v, cd, vd, bias, threshold, x, spike, u_row, v_row, graded, bound):
    beyond = np.int32(0)
    for i in range(x.size):
        beyond |= np.int32(not (abs(x[i] * np.float32(4096.0)) < bound))
        u[i], v[i], s, w = step(u[i], v[i], fixed(x[i], u[i]), bias[i], cd[i], vd[i], threshold, False)
        u_row[i], v_row[i] = u[i] * (1 / 4096), w * (1 / 4096)
        size = np.float32(w * (1 / 4096)) if graded else np.float32(1)
        spike[i] = size if s else np.float32(0)
    return beyond


def _retreat(
    neuron, share, trace, spike, t, grad_spike, grad_trace, gt, glo, adjoint, grad_x, grad_decay, lo, tau, scale, graded
):
    n = grad_spike.size
    _slopes(grad_spike, trace[1, t, :n], np.float32(neuron.threshold / 4096), grad_x[0], tau, scale, graded)
    leaky_integrator.adjoint(share, trace, spike, t, True, grad_trace, gt, glo, adjoint, grad_x[0], grad_decay, lo)


@scalar
def _slopes(grad_spike, voltage, level, grad_voltage, tau, scale, graded):
    for i in range(grad_spike.size):
        grad_voltage[i] = grad_spike[i] * surrogate(voltage[i] - level, tau, scale, graded)


@scalar
def _deployed(u, v, a, bias, current_decay, voltage_decay, threshold, exponent, loihi):
    """`step` with a norm between current and voltage that divides by 2**exponent."""
    u = charge(u, a, current_decay, loihi)
    v, spike, voltage = fire(v, scaled(u + bias, -exponent), voltage_decay, threshold, loihi)
    return u, v, spike, voltage


def _deploy(neuron, state, i, a, b, loihi):
    decay, threshold, exponent = neuron.decay, neuron.threshold, neuron.exponent
    u, v, bias, cd, vd = state[0, i], state[1, i], decay[2, i], decay[0, i], decay[1, i]
    fu, fv, fs, fw = _deployed(u, v, a, bias, cd, vd, threshold, exponent, False)
    if wrap32(a) == a and wrap24(fu) == fu and saturate24(fw) == fw:  # no width matters
        state[0, i], state[1, i] = fu, fv
        return fs, fw, False
    nu, nv, ns, nw = _deployed(u, v, wrap32(a), bias, cd, vd, threshold, exponent, True)
    state[0, i], state[1, i] = (nu, nv) if loihi else (fu, fv)
    return (ns if loihi else fs), (nw if loihi else fw), fu != nu or fw != nw


@deployed.family(_deploy)
@dynamics.family(_advance, _retreat)
class Cuba(NamedTuple):
    """Parameters of a layer, integers of 1/4096."""

    #: (3, M) int64: current decay, voltage decay, and the bias of the voltage, which gets no gradient
    decay: np.ndarray[Any, Any]
    threshold: int
    exponent: int = 0  #: deployed neurons only: current and bias are divided by 2**exponent on the way to the voltage

    def reach(self, state: np.ndarray[Any, Any], steps: int) -> int:
        """What the bias alone can bring the voltage to, 1/4096."""
        return steps * int(np.abs(self.decay[2]).max(initial=0))


Parameters = Cuba
