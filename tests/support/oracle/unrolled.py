"""The surrogate model, unrolled in torch with float64: what `backward` must differentiate.

Rounding passes the gradient unchanged, a spike's derivative is the surrogate, and what a spike does to
its own neuron's later state changes the value that is carried but not its gradient, except that the
threshold in the refractory increment is a state like any other.

Values are in units of 1, decays in 1/4096.  Each family has a step, `X_step(parameters...)`, which is
a function ``(inputs, states) -> (spike, traces, carried states)`` of tuples of tensors, all but the spike;
`unroll` runs one over time, `recurrent` with its spikes fed back.
"""

from __future__ import annotations

import torch

UNIT = 4096  #: integers per unit of a state


class _Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx, voltage, threshold, tau, scale, graded, at_equality):
        ctx.distance = voltage - threshold
        ctx.constants = tau, scale, graded
        fired = (ctx.distance >= 0 if at_equality else ctx.distance > 0).double()
        return voltage * fired if graded else fired

    @staticmethod
    def backward(ctx, grad):
        slope = grad * _slope(ctx.distance, *ctx.constants)
        return slope, -slope if ctx.needs_input_grad[1] else None, None, None, None, None


class _ComplexSpike(torch.autograd.Function):
    """``re`` at threshold while ``im`` turns from negative; the earlier ``im`` has no gradient."""

    @staticmethod
    def forward(ctx, re, im, before, threshold, tau, scale, graded):
        ctx.distance, ctx.im, ctx.constants = re - threshold, im, (tau, scale, graded)
        fired = ((ctx.distance >= 0) & (im >= 0) & (before < 0)).double()
        return re * fired if graded else fired

    @staticmethod
    def backward(ctx, grad):
        tau, scale, graded = ctx.constants
        phase = torch.exp(-ctx.im.abs() / tau) / (2 * tau)
        slope = _slope(ctx.distance, tau, 1, graded)
        # no sum with 1 below the threshold, which would lose what is far below it
        tail = torch.exp(-ctx.distance.abs() / tau) / 2
        above = torch.where(ctx.distance > 0, 1 - tail, tail)
        to_re = grad * scale * slope * phase
        to_im = -grad * scale / tau * ctx.im.sign() * phase * above
        return to_re, to_im, None, -to_re if ctx.needs_input_grad[3] else None, None, None, None


class _Emission(torch.autograd.Function):
    """``delta`` where it is to be sent: the identity to its gradient, with a surrogate for the threshold."""

    @staticmethod
    def forward(ctx, delta, threshold, compared, tau, scale):
        ctx.save_for_backward(delta, threshold)
        ctx.constants = tau, scale
        return delta * (compared.abs() >= threshold)

    @staticmethod
    def backward(ctx, grad):
        delta, threshold = ctx.saved_tensors
        tau, scale = ctx.constants
        distance = delta.abs() - threshold
        above = -delta * scale * torch.exp(-distance.abs() / tau) / threshold
        slope = torch.where(distance > 0, above, -delta.sign())
        return grad, (grad * slope).sum_to_size(threshold.shape), None, None, None


def _slope(distance, tau, scale, graded):
    if graded:
        return scale * torch.exp(distance.clamp(max=0) / tau)
    return scale / (2 * tau) * torch.exp(-distance.abs() / tau)


def truncate(value):
    """To multiples of 1 / UNIT, toward zero; the gradient is the identity."""
    return value + (torch.trunc(value * UNIT) / UNIT - value).detach()


def leaky_integrator(x, decay, state, threshold=float("inf")):
    """(T, ...) in units of 1, decay in 1/4096: y before reset and the carried state."""
    ys = []
    for value in truncate(x):
        y = _leak(state, decay) + value
        ys.append(y)
        state = y - (y * (y > threshold)).detach()
    return torch.stack(ys), state


def cuba(x, current_decay, voltage_decay, u, v, threshold, tau, scale, graded):
    """Spikes (T, ...)."""
    current, _ = leaky_integrator(x, current_decay, u)
    voltage, _ = leaky_integrator(current, voltage_decay, v, threshold)
    return _Spike.apply(voltage, threshold, tau, scale, graded, False)


def unroll(step, inputs, states):
    """Spikes (T, ...), a tuple of traces (T, ...) and the states after the last step."""
    return _run(step, inputs, states, lambda values, spike: values, None)


def recurrent(step, inputs, weights, states, spike):
    """As `unroll` with inputs z (T, N, O), one or (real, imaginary): step t is given z[t] + R s[t-1].

    `weights` has one R (O, O) per input, row o the weights to neuron o; `spike` (N, O) is s[-1].  The gradient
    goes through R, the earlier spikes and the states.
    """

    def feed(values, spike):
        return tuple(z + spike @ weight.T for z, weight in zip(values, weights, strict=True))

    return _run(step, inputs, states, feed, spike)


def _run(step, inputs, states, feed, spike):
    spikes, traces = [], []
    for values in zip(*inputs, strict=True):
        spike, trace, states = step(feed(values, spike), states)
        spikes.append(spike)
        traces.append(trace)
    return torch.stack(spikes), tuple(map(torch.stack, zip(*traces, strict=True))), states


def cuba_step(current_decay, voltage_decay, threshold, tau, scale, graded, bias=0.0):
    """States and traces: current, voltage; the bias is added to the voltage."""

    def step(inputs, states):
        u = _leak(states[0], current_decay) + truncate(inputs[0])
        v = _leak(states[1], voltage_decay) + u + bias
        spike = _Spike.apply(v, threshold, tau, scale, graded, False)
        return spike, (u, v), (u, _replace(v, v > threshold, 0.0))

    return step


def alif_step(
    current_decay, voltage_decay, threshold_decay, refractory_decay, threshold, threshold_step, tau, scale, graded
):
    """States and traces: current, voltage, threshold, refractory."""

    def step(inputs, states):
        u = _leak(states[0], current_decay) + truncate(inputs[0])
        v = _leak(states[1], voltage_decay) + u
        th, r = _recover(*states[2:], threshold_decay, refractory_decay, threshold)
        spike = _Spike.apply(v, th + r, tau, scale, graded, True)
        return spike, (u, v, th, r), (u, v, *_adapt(th, r, v >= th + r, threshold_step))

    return step


def rf_step(sin_decay, cos_decay, threshold, tau, scale, graded):
    """States and traces: re, im."""

    def step(inputs, states):
        re, im = _rotate(inputs, states, sin_decay, cos_decay)
        return _ComplexSpike.apply(re, im, states[1], threshold, tau, scale, graded), (re, im), (re, im)

    return step


def rf_iz_step(sin_decay, cos_decay, threshold, tau, scale, graded):
    """States and traces: re, im."""

    def step(inputs, states):
        re, im = _rotate(inputs, states, sin_decay, cos_decay)
        spike = _Spike.apply(im, threshold, tau, scale, graded, True)
        fired = im >= threshold
        return spike, (re, im), (_replace(re, fired, 0.0), _replace(im, fired, threshold - 1 / UNIT))

    return step


def adrf_step(sin_decay, cos_decay, threshold_decay, refractory_decay, threshold, threshold_step, tau, scale, graded):
    """States and traces: re, im, threshold, refractory."""

    def step(inputs, states):
        re, im = _rotate(inputs, states[:2], sin_decay, cos_decay)
        th, r = _recover(*states[2:], threshold_decay, refractory_decay, threshold)
        spike = _ComplexSpike.apply(re, im, states[1], th + r, tau, scale, graded)
        fired = (re >= th + r) & (im >= 0) & (states[1] < 0)
        return spike, (re, im, th, r), (re, im, *_adapt(th, r, fired, threshold_step))

    return step


def adrf_iz_step(
    sin_decay, cos_decay, threshold_decay, refractory_decay, threshold, threshold_step, tau, scale, graded
):
    """States and traces: re, im, threshold, refractory."""

    def step(inputs, states):
        re, im = _rotate(inputs, states[:2], sin_decay, cos_decay)
        th, r = _recover(*states[2:], threshold_decay, refractory_decay, threshold)
        spike = _Spike.apply(im, th + r, tau, scale, graded, True)
        return spike, (re, im, th, r), (re, im, *_adapt(th, r, im >= th + r, threshold_step))

    return step


def delta(activation, threshold, tau, scale, cum_error, act, res, err):
    """Messages (T, ...), deltas (T, ...) and the carried act, res, err.

    `threshold` is a tensor that broadcasts over a step.  The residue carries no gradient: the gradient takes
    every delta as sent.
    """
    messages, deltas = [], []
    for value in activation:
        change = value - act + res
        err = (err + change).detach() if cum_error else err
        sent = _Emission.apply(change, threshold, err if cum_error else change.detach(), tau, scale)
        act, res = value, (change - sent).detach()
        err = torch.where(sent.detach() != 0, 0.0, err)
        deltas.append(change)
        messages.append(sent + (torch.floor(sent * 4096) / 4096 - sent).detach())
    return torch.stack(messages), torch.stack(deltas), (act, res, err)


def sigma_delta(x, bias, function, threshold, tau, scale, cum_error, sigma, act, res, err):
    """Messages (T, ...), the traces sigma, act and delta, and the carried sigma, act, res, err."""
    sigmas = sigma + torch.cumsum(x, 0)
    acts = function(sigmas + bias)
    messages, deltas, carried = delta(acts, threshold, tau, scale, cum_error, act, res, err)
    return messages, (sigmas, acts, deltas), (sigmas[-1], *carried)


def _leak(state, decay):
    return truncate(state * (1 - decay / 4096))


def _replace(state, where, value):
    """`value` where true, with the gradient of `state` everywhere."""
    return state + (where * (value - state)).detach()


def _recover(th, r, threshold_decay, refractory_decay, threshold):
    return _leak(th - threshold, threshold_decay) + threshold, _leak(r, refractory_decay)


def _adapt(th, r, fired, threshold_step):
    """Of the increments only the threshold in ``2 th`` has a gradient, the spike has none."""
    fired = fired.double()
    return th + threshold_step * fired, r + 2 * th * fired


def _rotate(inputs, states, sin_decay, cos_decay):
    def part(state, factor):
        return truncate(state * (factor / 4096))

    (re, im), (x_re, x_im) = states, map(truncate, inputs)
    return (
        part(re, cos_decay) - part(im, sin_decay) + x_re,
        part(re, sin_decay) + part(im, cos_decay) + x_im,
    )
