"""The oracle's neurons in plain Python integers; `tests.support.oracle` has them under its own name.

Spiking states, thresholds and inputs are integers in 1/4096.  Complex neurons take a real and an imaginary
list; initial states and the bias, which is part of the input for all but CUBA, are keywords.  `loihi` gives
states the widths that Lava's process models give them.
"""

from __future__ import annotations

__all__ = [
    "adrf",
    "adrf_iz",
    "alif",
    "cuba",
    "current24",
    "delta",
    "leak",
    "leaky_integrator",
    "rf",
    "rf_iz",
    "saturate24",
    "scaled",
    "sigma_delta",
    "voltage24",
    "wrap32",
]


def leak(state, decay):
    """sign(p) * (|p| >> 12) with p = state * (4096 - decay)."""
    product = state * (4096 - decay)
    sign = -1 if product < 0 else 1
    return sign * (abs(product) >> 12)


def scaled(value, bits):
    """value * 2**bits, cut toward zero."""
    sign = -1 if value < 0 else 1
    return value << bits if bits >= 0 else sign * (abs(value) >> -bits)


def leaky_integrator(x, decay, threshold=None, state=0):
    """y and the state after the last step; `x` is a list over time."""
    ys = []
    for value in x:
        y = leak(state, decay) + value
        ys.append(y)
        state = 0 if threshold is not None and y > threshold else y
    return ys, state


def wrap32(value):
    """Two's complement in 32 bits."""
    value = value % 2**32
    return value - 2**32 if value >= 2**31 else value


def current24(value):
    """Lava folds a current once: down above 2**23, up at or below -2**23."""
    value = wrap32(value)
    if value > 2**23:
        value -= 2**24
    if value <= -(2**23):
        value += 2**24
    return value


def saturate24(value):
    """Clipped at 23 bits and sign."""
    return max(-(2**23 - 1), min(2**23 - 1, value))


def voltage24(value):
    """Lava clips a voltage after wrapping it."""
    return saturate24(wrap32(value))


def cuba(a, current_decay, voltage_decay, threshold, bias=0, u=0, v=0, loihi=False, start=0, resets=(), weight_exp=0):
    """One CUBA neuron over time.

    Returns lists over time: current u, voltage before reset, voltage after reset, spike.
    `start` steps long it is at rest; at the steps in `resets` u and v are cleared first.
    Current and bias reach the voltage divided by 2**weight_exp.
    """
    us, ws, vs, spikes = [], [], [], []
    for t, value in enumerate(a):
        if t in resets:
            u = v = 0
        if t < start:
            us.append(u), ws.append(v), vs.append(v), spikes.append(0)
            continue
        u = leak(u, current_decay) + value
        if loihi:
            u = current24(u)
        w = leak(v, voltage_decay) + scaled(u + bias, -weight_exp)
        if loihi:
            w = voltage24(w)
        spike = 1 if w > threshold else 0
        v = 0 if spike else w
        us.append(u), ws.append(w), vs.append(v), spikes.append(spike)
    return us, ws, vs, spikes


def alif(
    x,
    current_decay,
    voltage_decay,
    threshold_decay,
    refractory_decay,
    threshold,
    threshold_step,
    u=0,
    v=0,
    th=None,
    r=0,
    bias=0,
    loihi=False,
):
    """One ALIF neuron over time; the bias is part of its input, `th` is the threshold's state.

    Returns lists over time, as compared at the spike: current, voltage, threshold, refractory, spike;
    and the four states carried after the last step, increments included.
    """
    th = threshold if th is None else th
    trace = []
    for value in x:
        u = leak(u, current_decay) + value + bias
        if loihi:
            u = current24(u)
        v = leak(v, voltage_decay) + u
        if loihi:
            v = voltage24(v)
        th, r = recover(th, r, threshold_decay, refractory_decay, threshold)
        spike = 1 if v >= th + r else 0
        trace.append((u, v, th, r, spike))
        th, r = adapt(th, r, spike, threshold_step, loihi)
    return columns(trace, 5), (u, v, th, r)


def columns(rows, count):
    """A list of rows as a tuple of lists over time."""
    return tuple([row[i] for row in rows] for i in range(count))


def recover(th, r, threshold_decay, refractory_decay, threshold):
    """The adaptive threshold decays toward `threshold`, the refractory state toward 0."""
    return leak(th - threshold, threshold_decay) + threshold, leak(r, refractory_decay)


def adapt(th, r, spike, threshold_step, loihi):
    """The increments of a spike: twice the threshold it met to the refractory state, then a step to the threshold."""
    if spike:
        th, r = th + threshold_step, r + 2 * th
    return (wrap32(th), wrap32(r)) if loihi else (th, r)


def resonate(re, im, x_re, x_im, sin_decay, cos_decay, loihi):
    """One rotation; each of the four products is truncated toward zero by itself."""

    def part(state, factor):
        return leak(state, 4096 - factor)

    if not loihi:
        return (
            part(re, cos_decay) - part(im, sin_decay) + x_re,
            part(re, sin_decay) + part(im, cos_decay) + x_im,
        )
    return (
        saturate24(part(re, cos_decay) - part(im, sin_decay) + wrap32(x_re)),
        saturate24(part(re, sin_decay) + part(im, cos_decay) + wrap32(x_im)),
    )


def rf(x_re, x_im, sin_decay, cos_decay, threshold, re=0, im=0, bias=(0, 0), loihi=False):
    """One resonate-and-fire neuron: spikes where im turns from negative while re is at threshold.

    Inputs and `bias` have a real and an imaginary part; `im` is also what the first step compares with.
    Returns lists over time: re, im, spike; and the carried re, im.
    """
    trace = []
    for a, b in zip(x_re, x_im, strict=True):
        before = im
        re, im = resonate(re, im, a + bias[0], b + bias[1], sin_decay, cos_decay, loihi)
        trace.append((re, im, 1 if re >= threshold and im >= 0 and before < 0 else 0))
    return columns(trace, 3), (re, im)


def rf_iz(x_re, x_im, sin_decay, cos_decay, threshold, re=0, im=0, bias=(0, 0), loihi=False):
    """As `rf`, but it spikes where im is at threshold; then re is set to 0 and im just below threshold."""
    trace = []
    for a, b in zip(x_re, x_im, strict=True):
        re, im = resonate(re, im, a + bias[0], b + bias[1], sin_decay, cos_decay, loihi)
        spike = 1 if im >= threshold else 0
        trace.append((re, im, spike))
        if spike:
            re, im = 0, threshold - 1
    return columns(trace, 3), (re, im)


def _adaptive_resonator(
    fires,
    x_re,
    x_im,
    sin_decay,
    cos_decay,
    threshold_decay,
    refractory_decay,
    threshold,
    threshold_step,
    re=0,
    im=0,
    th=None,
    r=0,
    bias=(0, 0),
    loihi=False,
):
    """Returns lists over time: re, im, threshold, refractory, spike; and the four carried states."""
    th = threshold if th is None else th
    trace = []
    for a, b in zip(x_re, x_im, strict=True):
        before = im
        th, r = recover(th, r, threshold_decay, refractory_decay, threshold)
        re, im = resonate(re, im, a + bias[0], b + bias[1], sin_decay, cos_decay, loihi)
        spike = 1 if fires(re, im, before, th + r) else 0
        trace.append((re, im, th, r, spike))
        th, r = adapt(th, r, spike, threshold_step, loihi)
    return columns(trace, 5), (re, im, th, r)


def adrf(x_re, x_im, *parameters, **states):
    """`rf` with the adaptation of `alif`; arguments and results as `_adaptive_resonator`."""

    def fires(re, im, before, level):
        return re >= level and im >= 0 and before < 0

    return _adaptive_resonator(fires, x_re, x_im, *parameters, **states)


def adrf_iz(x_re, x_im, *parameters, **states):
    """As `adrf`, but it spikes where im is at threshold; re and im are never reset."""

    def fires(re, im, before, level):
        return im >= level

    return _adaptive_resonator(fires, x_re, x_im, *parameters, **states)


def delta(activation, threshold, cum_error=False, act=0, res=0, err=0, loihi=False, fraction=18, cut=6):
    """Sends the change of `activation` where it is large; what was not sent is tried again.

    Activations, deltas and states are integers in 2**-fraction, `threshold` in 1/64, messages coarser by `cut`
    bits: those are dropped by a floor and lost.  With `cum_error` the sum of the deltas since the last message
    is compared.  Returns lists over time: delta, message; and the carried act, res, err.
    """

    def fit(value):
        return wrap32(value) if loihi else value

    trace = []
    for value in activation:
        change = fit(value - act + res)
        err = fit(err + change) if cum_error else err
        compared = fit(abs(err if cum_error else change))
        sent = change if compared >= threshold * 2 ** (fraction - 6) else 0
        act, res = value, change - sent
        # as Lava asks whether there was a message: the most negative one has no magnitude in 32 bits
        err = 0 if fit(abs(sent)) > 0 else err
        trace.append((change, sent // 2**cut))
    return columns(trace, 2), (act, res, err)


def sigma_delta(
    x,
    threshold,
    bias=0,
    activation="identity",
    cum_error=False,
    sigma=0,
    act=0,
    res=0,
    err=0,
    loihi=False,
    spike_exp=6,
    weight_exp=0,
):
    """Sums its input, adds a bias (1/64), divides by 2**weight_exp, applies 'identity' or 'relu', sends as `delta`.

    `x` and sigma are in 2**-(12 + spike_exp), act and delta finer by weight_exp bits where that is positive,
    messages in 2**-(6 + spike_exp).
    Returns lists over time: sigma, act, delta, message; and the carried sigma, act, res, err.
    """
    finer = max(weight_exp, 0)
    sigmas, acts = [], []
    for value in x:
        sigma += value
        biased = (sigma + bias * 2 ** (6 + spike_exp)) * 2 ** (finer - weight_exp)
        if loihi:
            sigma, biased = wrap32(sigma), wrap32(biased)
        sigmas.append(sigma)
        acts.append({"identity": biased, "relu": max(biased, 0)}[activation])
    scale = {"fraction": 12 + spike_exp + finer, "cut": 6 + finer}
    (deltas, messages), carried = delta(acts, threshold, cum_error, act, res, err, loihi, **scale)
    return (sigmas, acts, deltas, messages), (sigma, *carried)


#: The function of each family by its name in a ``.net`` file.
FUNCTIONS = {
    "CUBA": cuba,
    "ALIF": alif,
    "RF_PHASE": rf,
    "RF_IZHIKEVICH": rf_iz,
    "ADRF_PHASE": adrf,
    "ADRF_IZHIKEVICH": adrf_iz,
    "SDNN": sigma_delta,
}
_LEAKY, _COMPLEX, _ADAPTATION = ("current", "voltage"), ("real", "imag"), ("threshold", "refractory")
#: The names under which the states of each are recorded, in its order.
STATES = {
    "CUBA": _LEAKY,
    "ALIF": (*_LEAKY, *_ADAPTATION),
    "RF_PHASE": _COMPLEX,
    "RF_IZHIKEVICH": _COMPLEX,
    "ADRF_PHASE": (*_COMPLEX, *_ADAPTATION),
    "ADRF_IZHIKEVICH": (*_COMPLEX, *_ADAPTATION),
    "SDNN": ("sigma", "activation", "residue", "error"),
}
