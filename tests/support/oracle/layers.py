"""The oracle's neurons of any family, one step at a time; `tests.support.oracle.network` chains them into layers.

A neuron is a dict of its parameters as plain integers.  Its state is a dict of integers by the names under
which they are recorded, as they stand after a step.
"""

from __future__ import annotations

from tests.support import oracle as naive
from tests.support.oracle.neurons import FUNCTIONS, STATES


def states(neuron):
    """Names of what is recorded."""
    names = STATES[neuron["type"]]
    if neuron["type"] != "SDNN":
        return names
    return names[:1] if neuron.get("sigma_output") else names[1:] if neuron["driven"] else names


def fraction(neuron, spike_exp):
    """Fractional bits of what a neuron sends."""
    if neuron["type"] == "SDNN":
        return (12 if neuron.get("sigma_output") else 6) + spike_exp
    return 12 if neuron.get("graded_spike") else 0


def rest(neuron):
    """The state before anything happened."""
    state = dict.fromkeys(states(neuron), 0)
    return state | {"threshold": neuron["threshold"] * 64} if "threshold" in state else state


def advance(neuron, state, totals, fine, loihi, spike_exp):
    """One step of one neuron.

    `totals` are the real and the imaginary part of its weighted sum, in 2**-fine.  Returns the next state,
    the message, and all values on the way that a width could have changed.
    """
    kind = neuron["type"]
    if kind == "SDNN":
        return sigma_delta(neuron, state, totals[0], fine, loihi, spike_exp)
    if kind == "CUBA":
        return cuba(neuron, state, totals[0], fine, loihi)
    real = arriving(totals[0], neuron["bias"], neuron.get("weight_exp"), fine, loihi)
    if kind == "ALIF":
        return alif(neuron, state, real, loihi)
    imag = arriving(totals[1], neuron["bias_imag"], neuron.get("weight_exp_imag"), fine, loihi)
    return resonator(neuron, state, real, imag, loihi)


def arriving(total, bias, weight_exp, fine, loihi):
    """(total + bias) / 2**weight_exp in 1/4096, truncated once."""
    a = naive.scaled(total + bias * 2 ** (fine - 6), 12 - fine - (weight_exp or 0))
    return naive.wrap32(a) if loihi else a


def sent(neuron, spike, compared):
    """The message: 0 or 1, or the value that reached the threshold."""
    return compared * spike if neuron.get("graded_spike") else spike


def of(neuron, *names):
    """Parameters in this order."""
    return [neuron[name] for name in names]


def cuba(neuron, state, total, fine, loihi):
    """The bias acts behind the current, `input_bias` before it."""
    a = arriving(total, neuron["input_bias"], 0, fine, loihi)
    decays, level = of(neuron, "current_decay", "voltage_decay"), neuron["threshold"] * 64
    options = {"loihi": loihi, "weight_exp": neuron.get("weight_exp") or 0}
    us, ws, vs, spikes = naive.cuba([a], *decays, level, neuron["bias"] * 64, *state.values(), **options)
    message = sent(neuron, spikes[0], ws[0])
    return {"current": us[0], "voltage": vs[0]}, message, (a, us[0], ws[0])


def alif(neuron, state, a, loihi):
    """Compares its voltage with threshold and refractory state."""
    decays = of(neuron, "current_decay", "voltage_decay", "threshold_decay", "refractory_decay")
    levels = [64 * level for level in of(neuron, "threshold", "threshold_step")]
    trace, carried = naive.alif([a], *decays, *levels, *state.values(), loihi=loihi)
    us, vs, _, _, spikes = trace
    return dict(zip(state, carried, strict=True)), sent(neuron, spikes[0], vs[0]), (a, us[0], vs[0])


def resonator(neuron, state, real, imag, loihi):
    """Compares the real part, or by Izhikevich's rule the imaginary part."""
    kind, turn = neuron["type"], of(neuron, "sin_decay", "cos_decay")
    if "threshold" not in STATES[kind]:
        start = dict(zip(("re", "im"), state.values(), strict=True))
        parameters = [*turn, neuron["threshold"] * 64]
        trace, carried = FUNCTIONS[kind]([real], [imag], *parameters, **start, loihi=loihi)
    else:
        start = dict(zip(("re", "im", "th", "r"), state.values(), strict=True))
        parameters = [*turn, *of(neuron, "threshold_decay", "refractory_decay")]
        parameters += [64 * level for level in of(neuron, "threshold", "threshold_step")]
        trace, carried = FUNCTIONS[kind]([real], [imag], *parameters, **start, loihi=loihi)
    re, im, spike = trace[0][0], trace[1][0], trace[-1][0]
    message = sent(neuron, spike, im if kind.endswith("IZHIKEVICH") else re)
    return dict(zip(state, carried, strict=True)), message, (real, imag, re, im)


def sigma_delta(neuron, state, total, fine, loihi, spike_exp):
    """Sums, unless it is driven from outside; sends the changes of its activation, or the sum itself."""
    assert fine <= 12 + spike_exp, "a message is finer than the sum"
    x = total * 2 ** (12 + spike_exp - fine)
    if loihi:
        x = naive.wrap32(x)
    if neuron.get("sigma_output"):
        assert not neuron.get("weight_exp"), "a sum that is sent is not divided"
        sigma = state["sigma"] + x
        y = sigma + neuron["bias"] * 2 ** (6 + spike_exp)
        sigma, y = (naive.wrap32(sigma), naive.wrap32(y)) if loihi else (sigma, y)
        return {"sigma": sigma}, y, (x,)
    cum_error, threshold = bool(neuron.get("cum_error")), neuron["threshold"]
    carried = of(state, "activation", "residue", "error")
    if neuron["driven"]:
        scale = {"fraction": 12 + spike_exp}
        (changes, messages), after = naive.delta([x], threshold, cum_error, *carried, loihi, **scale)
    else:
        options = {"loihi": loihi, "spike_exp": spike_exp, "weight_exp": neuron.get("weight_exp") or 0}
        start = (state["sigma"], *carried)
        trace, after = naive.sigma_delta(
            [x], threshold, neuron["bias"], neuron["activation"], cum_error, *start, **options
        )
        changes, messages = trace[2], trace[3]
    compared = changes[0] + state["error"] if cum_error else 0
    watched = (x, changes[0], naive.wrap32(compared) if loihi else compared)
    return dict(zip(state, after, strict=True)), messages[0], watched
