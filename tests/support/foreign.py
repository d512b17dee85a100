"""Another implementation of every neuron, for the golden vectors to be compared with: the naive oracle.

``python -m tests.support.foreign [FAULT]`` answers requests on standard input; with a fault it
is wrong in one way on purpose.
"""

from __future__ import annotations

import json
import sys
from fractions import Fraction

from lavadl_kernels.neurons import FAMILIES as FAMILY_RECORDS

from tests.support import oracle as naive
from tests.support.oracle import neurons as naive_neurons


def cuba(s, x, p, loihi):
    """New state, spike, and what a graded spike carries, as every function here."""
    decays = p["current_decay"], p["voltage_decay"]
    us, ws, vs, spikes = naive.cuba(
        [x["input"]], *decays, p["threshold"], p["bias"], s["current"], s["voltage"],
        loihi=loihi, weight_exp=p["exponent"],
    )  # fmt: skip
    return (us[0], vs[0]), spikes[0], ws[0]


def alif(s, x, p, loihi):
    trace, carried = naive.alif([x["input"]], *given(p), *s.values(), loihi=loihi)
    return carried, trace[-1][0], trace[1][0]


def resonator(family, function):
    """`function` of the oracle for a single step."""
    carried_one = FAMILY_RECORDS[family].fires_on

    def one(s, x, p, loihi):
        names = {"real": "re", "imag": "im", "threshold": "th", "refractory": "r"}
        states = {names[name]: value for name, value in s.items()}
        trace, carried = function([x["real_input"]], [x["imag_input"]], *given(p), **states, loihi=loihi)
        return carried, trace[-1][0], trace[carried_one][0]

    return one


def given(p):
    """Parameters in the oracle's order."""
    order = ("current_decay", "voltage_decay", "sin_decay", "cos_decay", "threshold_decay", "refractory_decay")
    return [p[name] for name in (*order, "threshold", "threshold_step") if name in p]


def sigma_delta(s, x, p, loihi):
    """The exponent makes the unit of all behind the sum finer, or multiplies."""
    finer = max(p["exponent"], 0)
    total = fit(s["sigma"] + x["input"], loihi)
    activation = fit((total + p["bias"]) << max(-p["exponent"], 0), loihi)
    activation = max(activation, 0) if p["relu"] else activation
    after, message = delta(list(s.values())[1:], activation, p, loihi, finer)
    return (total, *after), message, None


def delta(states, value, p, loihi, finer=0):
    """Activation, residue and error after a step, and the message."""
    threshold = Fraction(p["threshold"], 4096)  # the oracle takes 1/64
    (_, (message,)), after = naive.delta([value], threshold, bool(p["cum_error"]), *states, loihi, cut=6 + finer)
    return after, message


def delta_input(s, x, p, loihi):
    """An input layer: the activation is what comes in."""
    return *delta(list(s.values()), fit(x["input"], loihi), p, loihi), None


def sigma_output(s, x, p, loihi):
    """A layer that is read out: it sends its sum and bias."""
    total = fit(s["sigma"] + x["input"], loihi)
    return (total,), fit(total + p["bias"], loihi), None


def fit(value, loihi):
    """32 bits where there are any."""
    return naive.wrap32(value) if loihi else value


FAMILIES = {
    "CUBA": cuba,
    "ALIF": alif,
    "SDNN": sigma_delta,
    "SDNN INPUT": delta_input,
    "SDNN OUTPUT": sigma_output,
    **{
        family: resonator(family, function)
        for family, function in naive_neurons.FUNCTIONS.items()
        if "real" in naive_neurons.STATES[family]
    },
}


def answer(request):
    """Spikes and states over time."""
    step, loihi = FAMILIES[request["family"]], request["widths"] == "loihi"
    lanes = range(request["lanes"])
    states = [lane(request["state"], i) for i in lanes]
    spikes, over_time = [], {name: [] for name in request["state"]}
    parameters = [lane(request["parameters"], i) for i in lanes]
    for t in range(request["steps"]):
        now = {name: rows[t] for name, rows in request["inputs"].items()}
        results = [step(states[i], lane(now, i), parameters[i], loihi) for i in lanes]
        states = [dict(zip(request["state"], state, strict=True)) for state, _, _ in results]
        spikes.append([spike for _, spike, _ in results])
        for name, rows in over_time.items():
            rows.append([state[name] for state in states])
    return {"spike": spikes, "states": over_time}


def lane(values, index):
    """The values of one lane."""
    return {name: row[index] for name, row in values.items()}


def at_equality(s, x, p, loihi):
    """CUBA, but it spikes at equality."""
    return cuba(s, x, {**p, "threshold": p["threshold"] - 1}, loihi)


def floor(state, decay):
    """A leak that rounds down."""
    return state * (4096 - decay) >> 12


def main(fault=None):
    """Answer every line."""
    if fault == "equality":
        FAMILIES["CUBA"] = at_equality
    elif fault == "floor":
        naive_neurons.leak = floor
    elif fault == "no width":
        FAMILIES["CUBA"] = lambda s, x, p, loihi: cuba(s, x, p, False)
    elif fault == "forgetful":
        FAMILIES["ALIF"] = lambda s, x, p, loihi: alif({**s, "refractory": 0}, x, p, loihi)
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
