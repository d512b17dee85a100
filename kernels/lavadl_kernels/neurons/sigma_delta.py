"""Sigma-delta: a neuron that sums the changes it receives and sends the changes of its activation.

Recurrence, in integers of 1/2**18 with messages in 1/4096::

    sigma[t]  = sigma[t-1] + a[t]
    act[t]    = f((sigma[t] + bias) / 2**exponent)     f the identity or max(., 0)
    d[t]      = act[t] - act[t-1] + residue[t-1]
    c[t]      = d[t], or with cum_error error[t-1] + d[t]
    m[t]      = d[t] if |c[t]| >= threshold else 0     at equality a message is sent
    residue[t] = d[t] - m[t]
    error[t]  = 0 if m[t] is not 0, else c[t]          with cum_error only
    message[t] = floor(m[t] / 64)                      what is cut off is lost

The exponent is that of a norm, which only deployed neurons have. A positive exponent makes the unit of everything after
the sum finer by that many bits, including thresholds, so that nothing is rounded; a negative one multiplies.

The `slayer` integers have no width limit.  The `loihi` integers wrap at 32 bits everywhere,
as Lava's process model does; inside that width the two are the same.

An input layer consists of Delta alone (`delta_step`), a readout layer of Sigma alone (`sigma_step`).

In training, the neuron consists of Sigma, the activation, and Delta, which sends multiples of 1 / scale. Both compute
in float64, which is exact for multiples of 2**-18 below 2**34.

Backward is the gradient of the surrogate model.  What Delta does between activation and message
counts as the identity of the change, and the residue as constant::

    Sigma:  ga[t]   = gsigma[t] + ga[t+1]
    Delta:  gact[t] = gm[t] - gm[t+1]
            g_threshold = -sum_t gm[t] * (d[t] * scale_grad * exp(-(|c[t]| - threshold) / tau_grad) / threshold
                                          if |c[t]| > threshold else sign(d[t]))

where the threshold of the last formula is at least 1 / scale.  It is that of Lava-DL, which
has no gradient for cum_error.

Arrays are time-major: (T, M), where the M lanes are independent neurons.  Signals are float32
in units of 1, states and thresholds float64 in units of 1, one per lane.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import types

from lavadl_kernels.fixed_point import wrap32
from lavadl_kernels.neurons import _leaky_integrator as leaky_integrator
from lavadl_kernels.neurons._family import Family, register
from lavadl_kernels.neurons._reach import Drive, Reach, encoded, plus, scaled, within
from lavadl_kernels.neurons._surrogate import exp_negative
from lavadl_kernels.runtime.array_types import Array, Floats, Integers
from lavadl_kernels.runtime.buffers import empty_like
from lavadl_kernels.runtime.extending import overload
from lavadl_kernels.runtime.jit import kernel, scalar

CHUNK = leaky_integrator.CHUNK  #: lanes per task, with as many states as there
STATES = ("sigma", "activation", "residue", "error")
#: Bits of states and inputs of which a step makes no number beyond 32 bits: it adds up to five of them.
ROOM = 29
CUT = 6  #: bits between the scale of the states and that of the messages
LIMIT = 2.0**34  #: magnitude below which float64, with 53 bits, holds the multiples of 2**-18 exactly


def folded(x: Any, loihi: bool) -> Any:
    """`x` in 32 bits where `loihi`; a real number has no width."""
    return wrap32(x) if loihi else x


@overload(folded, jit_options={"error_model": "numpy"})
def _folded(x: Any, loihi: Any) -> Callable[..., Any]:
    # by type, so that float32 stays what it is
    return (lambda x, loihi: x) if isinstance(x, types.Float) else folded


@scalar
def encode(activation: Any, before: Any, residue: Any, error: Any, threshold: Any, cum_error: bool, loihi: bool) -> Any:
    """Take one step of Delta, on integers or on real numbers.

    Parameters
    ----------
    activation, before : int or float
        The activation now and one step ago.
    residue, error : int or float
        What was not sent yet, and the sum of all changes since the last message.
    threshold : int or float
        In the unit of the activation.
    cum_error : bool
        Whether `error` is compared with the threshold instead of the change.
    loihi : bool
        Whether integers wrap at 32 bits.

    Returns
    -------
    residue, error, message, change, compared
        The new states; the message before it is cut to the scale of messages; the change it is
        made of, and the value whose magnitude was compared.
    """
    change = folded(activation - before + residue, loihi)
    compared = folded(error + change, loihi) if cum_error else change
    size = folded(abs(compared), loihi)  # the most negative integer has no magnitude in 32 bits, and stays negative
    message = change if size >= threshold else change - change
    if cum_error:
        error = change - change if folded(abs(message), loihi) > 0 else compared
    return change - message, error, message, change, compared


@scalar
def integrate(sigma: Any, a: Any, bias: Any, up: Any, relu: bool, loihi: bool) -> Any:
    """The sum after a step, and its activation, which `up` multiplies by 2**up before it is rectified."""
    sigma = folded(sigma + a, loihi)
    value = folded((sigma + bias) << up, loihi)
    if relu:
        value = max(value, 0)
    return sigma, value


@scalar
def step(
    sigma: Any,
    activation: Any,
    residue: Any,
    error: Any,
    a: Any,
    bias: Any,
    threshold: Any,
    relu: bool,
    cum_error: bool,
    exponent: Any,
    loihi: bool,
) -> Any:
    """Take one step of one neuron.

    Parameters
    ----------
    sigma, activation, residue, error : int
        States, 1/2**18; with a positive exponent all but sigma 1/2**(18 + exponent).
    a, bias : int
        Synaptic input, and constant added to sigma, 1/2**18.
    threshold : int
        In the unit of the activation.
    relu : bool
        Whether the activation is max(., 0) instead of the identity.
    cum_error : bool
        Whether the sum of the changes since the last message is compared with the threshold.
    exponent : int
        Sum and bias are divided by 2**exponent.
    loihi : bool
        Whether states wrap at 32 bits.

    Returns
    -------
    sigma, activation, residue, error, message, compared
        The new states, the message in 1/4096, and the value whose magnitude was compared.
    """
    sigma, value = integrate(sigma, a, bias, max(-exponent, 0), relu, loihi)
    residue, error, message, _, compared = encode(value, activation, residue, error, threshold, cum_error, loihi)
    return sigma, value, residue, error, message >> (CUT + max(exponent, 0)), compared


@scalar
def delta_step(activation: Any, residue: Any, error: Any, a: Any, threshold: Any, cum_error: bool, loihi: bool) -> Any:
    """Take one step of a neuron that sends the changes of its input; arguments and results as in `step`."""
    a = folded(a, loihi)
    residue, error, message, _, compared = encode(a, activation, residue, error, threshold, cum_error, loihi)
    return a, residue, error, message >> CUT, compared


@scalar
def sigma_step(sigma: Any, a: Any, bias: Any, loihi: bool) -> Any:
    """Take one step of a neuron that sends its sum and bias, in the unit of the sum; arguments as in `step`."""
    return integrate(sigma, a, bias, 0, False, loihi)


def _refused(what: str, x: Floats) -> ValueError:
    with np.errstate(invalid="ignore"):
        worst = float(np.abs(x).max(initial=0))
    return ValueError(f"{what} must be finite and stay below {LIMIT:.3g} in magnitude, got an input of {worst}")


def sigma_forward(x: Floats, sigma: Array) -> tuple[Floats, Array]:
    """Sum over time.

    Parameters
    ----------
    x : ndarray
        (T, M) float32, units of 1.
    sigma : ndarray
        (M,) float64, the sum so far, units of 1.

    Returns
    -------
    y : ndarray
        (T, M) float32, the sums.
    sigma : ndarray
        (M,) float64, the last one.

    Raises
    ------
    ValueError
        If an input or a sum is not finite or at least 2**34 in magnitude.
    """
    y, after = empty_like(x), sigma.copy()
    if not _sigma_forward(sigma.size, x, after, y):
        raise _refused("the sum of a sigma", x)
    return y, after


@kernel
def _sigma_forward(begin: int, end: int, x: Floats, state: Array, y: Floats) -> bool:
    beyond = np.int32(0)
    for lo in range(begin, end, CHUNK):
        hi = min(lo + CHUNK, end)
        total = state[lo:hi]
        for t in range(x.shape[0]):
            xr, yr = x[t, lo:hi], y[t, lo:hi]
            for i in range(hi - lo):
                total[i] += np.float64(xr[i])
                beyond |= np.int32(not (abs(total[i]) < LIMIT))
                yr[i] = np.float32(total[i])
    return bool(beyond == 0)


def sigma_backward(grad_y: Floats) -> Floats:
    """Gradient of `sigma_forward` to its input: the sum of `grad_y` over this step and all later ones.

    Parameters
    ----------
    grad_y : ndarray
        (T, M) float32, units of 1.

    Returns
    -------
    ndarray
        (T, M) float32.
    """
    grad_x: Floats = empty_like(grad_y)
    _sigma_backward(grad_y.shape[1], grad_y, grad_x)
    return grad_x


@kernel
def _sigma_backward(begin: int, end: int, grad_y: Floats, grad_x: Floats) -> None:
    for lo in range(begin, end, CHUNK):
        hi = min(lo + CHUNK, end)
        total = np.zeros(hi - lo)
        for t in range(grad_y.shape[0] - 1, -1, -1):
            gyr, gxr = grad_y[t, lo:hi], grad_x[t, lo:hi]
            for i in range(hi - lo):
                total[i] += np.float64(gyr[i])
                gxr[i] = np.float32(total[i])


def delta_forward(
    x: Floats, before: Array, residue: Array, error: Array, threshold: Array, scale: float, cum_error: bool = False
) -> tuple[Floats, Array, Array, Array]:
    """Send the changes of a signal.

    Parameters
    ----------
    x : ndarray
        (T, M) float32, units of 1.
    before, residue, error : ndarray
        (M,) float64, units of 1: the last input, what was not sent yet, and with `cum_error` the sum of the
        changes since the last message.
    threshold : ndarray
        (M,) float64, units of 1.
    scale : float
        Messages are rounded down to multiples of 1 / scale.
    cum_error : bool
        Whether `error` is compared with the threshold.

    Returns
    -------
    message : ndarray
        (T, M) float32.
    before, residue, error : ndarray
        (M,) float64, the states after the last step.

    Raises
    ------
    ValueError
        If an input is not finite or at least 2**34 in magnitude.
    """
    message: Floats = empty_like(x)
    after = before.copy(), residue.copy(), error.copy()
    if not _delta_forward(before.size, x, *after, threshold, np.float64(scale), cum_error, message):
        raise _refused("the input of a delta", x)
    return message, *after


@kernel
def _delta_forward(
    begin: int,
    end: int,
    x: Floats,
    before: Array,
    residue: Array,
    error: Array,
    threshold: Array,
    scale: np.float64,
    cum_error: bool,
    message: Floats,
) -> bool:
    beyond = np.int32(0)
    unit = 1 / scale
    for lo in range(begin, end, CHUNK):
        hi = min(lo + CHUNK, end)
        b, r, e, th = before[lo:hi], residue[lo:hi], error[lo:hi], threshold[lo:hi]
        for t in range(x.shape[0]):
            xr, mr = x[t, lo:hi], message[t, lo:hi]
            for i in range(hi - lo):
                now = np.float64(xr[i])
                beyond |= np.int32(not (abs(now) < LIMIT))
                r[i], e[i], sent, _, _ = encode(now, b[i], r[i], e[i], th[i], cum_error, False)
                b[i] = now
                mr[i] = np.float32(np.floor(sent * scale) * unit)
    return bool(beyond == 0)


def delta_backward(grad_message: Floats) -> Floats:
    """Gradient of `delta_forward` to its input: `grad_message` less itself one step later.

    Parameters
    ----------
    grad_message : ndarray
        (T, M) float32, units of 1.

    Returns
    -------
    ndarray
        (T, M) float32.
    """
    grad_x = grad_message.copy()
    grad_x[:-1] -= grad_message[1:]
    return grad_x


def threshold_backward(
    x: Floats,
    before: Array,
    residue: Array,
    error: Array,
    threshold: Array,
    scale: float,
    cum_error: bool,
    tau_grad: float,
    scale_grad: float,
    grad_message: Floats,
) -> Array:
    """Gradient of `delta_forward` to its thresholds, recomputing its changes from what it was given.

    Parameters
    ----------
    x : ndarray
        (T, M) float32, as `delta_forward` took it, units of 1.
    before, residue, error, threshold : ndarray
        (M,) float64, likewise.
    scale, cum_error
        Arguments of `delta_forward`.
    tau_grad, scale_grad : float
        Width and height of the surrogate.
    grad_message : ndarray
        (T, M) float32, units of 1.

    Returns
    -------
    ndarray
        (M,) float64, per lane.
    """
    grad = np.zeros(threshold.shape, np.float64)
    states = before.copy(), residue.copy(), error.copy()
    slope_of = np.float32(tau_grad), np.float32(scale_grad)
    _threshold_backward(grad.size, x, states, threshold, np.float64(scale), cum_error, slope_of, grad_message, grad)
    return grad


@kernel
def _threshold_backward(
    begin: int,
    end: int,
    x: Floats,
    states: tuple[Array, Array, Array],
    threshold: Array,
    scale: np.float64,
    cum_error: bool,
    slope_of: tuple[np.float32, np.float32],
    grad_message: Floats,
    grad: Array,
) -> None:
    before, residue, error = states
    tau_grad, scale_grad = slope_of
    least = 1 / scale
    for lo in range(begin, end, CHUNK):
        hi = min(lo + CHUNK, end)
        b, r, e, th, g = before[lo:hi], residue[lo:hi], error[lo:hi], threshold[lo:hi], grad[lo:hi]
        for t in range(x.shape[0]):
            xr, gm = x[t, lo:hi], grad_message[t, lo:hi]
            for i in range(hi - lo):
                now = np.float64(xr[i])
                r[i], e[i], _, change, compared = encode(now, b[i], r[i], e[i], th[i], cum_error, False)
                b[i] = now
                level = max(th[i], least)
                distance = abs(compared) - level
                slope = change * np.float64(scale_grad * exp_negative(-abs(np.float32(distance)) / tau_grad)) / level
                g[i] -= np.float64(gm[i]) * (slope if distance > 0 else np.sign(change))


class SigmaDelta(NamedTuple):
    """Parameters of a deployed layer; states sigma, activation, residue, error."""

    threshold: Integers  #: (M,), in the unit of the activation
    bias: Integers  #: (M,), in the unit of the sum
    relu: bool
    cum_error: bool
    exponent: int = 0  #: sum and bias are divided by 2**exponent


class Delta(NamedTuple):
    """Parameters of a deployed input layer, which sends the changes of its input; states activation, residue, error."""

    threshold: Integers  #: (M,), in the unit of the input
    cum_error: bool


class Sigma(NamedTuple):
    """Parameters of a deployed layer that is read out: it sends its sum and bias; state sigma."""

    bias: Integers  #: (M,), in the unit of the sum


def _reach(neuron: SigmaDelta, drive: Drive) -> Reach:
    """The ranges of the sum and of what is sent of it: `Family.reach`."""
    up = max(-neuron.exponent, 0)
    value = scaled(plus(drive.total, drive.bias), up)
    activation = within(0, value.high) if neuron.relu else value
    cut = CUT + max(neuron.exponent, 0)
    sent = encoded(activation, neuron.threshold, neuron.cum_error, cut, drive.granularity << up, drive.steps)
    states = {"sigma": drive.total, "activation": activation, **sent.states}
    # what is rectified has to fit its width before
    return sent._replace(states=states, between={"before rectifying": value, **sent.between})


def _delta_reach(neuron: Delta, drive: Drive) -> Reach:
    """The ranges of the input and of what is sent of it: `Family.reach`."""
    activation = drive.inputs[0]
    sent = encoded(activation, neuron.threshold, neuron.cum_error, CUT, drive.granularity, drive.steps)
    return sent._replace(states={"activation": activation, **sent.states})


def _sigma_reach(neuron: Sigma, drive: Drive) -> Reach:
    """The ranges of the sum and of what is sent, the sum with the bias: `Family.reach`."""
    value = plus(drive.total, drive.bias)
    return Reach({"sigma": drive.total}, {}, value, value.largest > 0)


def _has_room(neuron: Any) -> bool:
    """Tell whether the bias fits in `ROOM` bits, and nothing is multiplied before it is rectified."""
    fits = bool(np.abs(neuron.bias).max(initial=0) < 1 << ROOM - 1)
    return fits and getattr(neuron, "exponent", 0) >= 0


FAMILY = register(
    Family(
        "SDNN",
        SigmaDelta,
        step,
        STATES,
        bias_at="sigma",
        room=ROOM,
        has_room=_has_room,
        reach=_reach,
        as_input=Family("SDNN", Delta, delta_step, STATES[1:], room=ROOM, reach=_delta_reach),
        as_output=Family(
            "SDNN", Sigma, sigma_step, STATES[:1], constants=(), room=ROOM, has_room=_has_room, reach=_sigma_reach
        ),
    )
)
