"""What a golden vector of each neuron family consists of, and the scalar `step` that computes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from lavadl_kernels.fixed_point import DECAY_ONE, STATE_BITS, STATE_ONE, WEIGHT_BITS
from lavadl_kernels.neurons import adrf, adrf_iz, alif, cuba, rf, rf_iz, sigma_delta

Values = Mapping[str, int]
SIGMA_ONE = 1 << (STATE_BITS + WEIGHT_BITS)  #: one unit of a message weighted


@dataclass(frozen=True)
class Definition:
    """One family: its `step`, called as ``step(*states, *inputs, *parameters, loihi)``.

    `step` returns the new states, the spike, and the values that were compared.  The mappings hold
    the names, in the order of the call, and how many units make 1.
    """

    step: Callable[..., tuple]
    states: Mapping[str, int]
    inputs: Mapping[str, int]
    parameters: Mapping[str, int]
    #: From the state before, the result of a step without input and the parameters: what the inputs
    #: that decide about the spike lack for the compared value to be exactly at threshold.
    lacking: Callable[[Values, Values, Values], dict[str, int]]
    compared: Mapping[str, int] = field(default_factory=dict)
    #: States that are not 0 at rest, and the parameter that they equal.
    rest: Mapping[str, str] = field(default_factory=dict)
    spike: int = 1  #: units of a spike that make 1: more where it is a message

    def at_rest(self, parameters: Values) -> dict[str, int]:
        """The states of a neuron that has never had any input."""
        return {name: parameters[self.rest[name]] if name in self.rest else 0 for name in self.states}

    def advance(self, state: Values, inputs: Values, parameters: Values, loihi: bool) -> Result:
        """One step of one neuron."""
        found = self.step(
            *(state[name] for name in self.states),
            *(inputs[name] for name in self.inputs),
            *(parameters[name] for name in self.parameters),
            loihi,
        )
        count = len(self.states)
        values = [int(value) for value in found]
        return Result(
            dict(zip(self.states, values, strict=False)),
            values[count],
            dict(zip(self.compared, values[count + 1 :], strict=True)),
        )


@dataclass(frozen=True)
class Result:
    """What one step gives."""

    state: dict[str, int]  #: carried to the next step
    spike: int
    compared: dict[str, int]

    @property
    def values(self) -> dict[str, int]:
        """New state and compared values."""
        return {**self.state, **self.compared}


def _units(*names: str, one: int = STATE_ONE) -> dict[str, int]:
    return dict.fromkeys(names, one)


def _level(after: Values) -> int:
    return after["threshold_level"] + after["refractory_level"]


def _sigma_delta_lacking(before: Values, after: Values, given: Values) -> dict[str, int]:
    activation = before["activation"] - before["residue"] + given["threshold"] - given["cum_error"] * before["error"]
    return {"input": activation - given["bias"] - before["sigma"]}


_COMPLEX = _units("real_input", "imag_input")
_LEAKS = _units("current_decay", "voltage_decay", one=DECAY_ONE)
_ROTATION = _units("sin_decay", "cos_decay", one=DECAY_ONE)
_THRESHOLD = _units("threshold")
_ADAPTIVE = {**_units("threshold_decay", "refractory_decay", one=DECAY_ONE), **_units("threshold", "threshold_step")}
_LEVELS = _units("threshold_level", "refractory_level")

#: Every family by its name in a ``.net`` file.
DEFINITIONS: dict[str, Definition] = {
    "CUBA": Definition(
        cuba.step,
        states=_units("current", "voltage"),
        inputs=_units("input"),
        parameters={**_units("bias"), **_LEAKS, **_THRESHOLD},
        compared=_units("voltage_before_reset"),
        lacking=lambda _, after, given: {"input": given["threshold"] - after["voltage_before_reset"]},
    ),
    "ALIF": Definition(
        alif.step,
        states=_units("current", "voltage", "threshold", "refractory"),
        inputs=_units("input"),
        parameters={**_LEAKS, **_ADAPTIVE},
        compared=_LEVELS,
        lacking=lambda _, after, given: {"input": _level(after) - after["voltage"]},
        rest={"threshold": "threshold"},
    ),
    "RF_PHASE": Definition(
        rf.step,
        states=_units("real", "imag"),
        inputs=_COMPLEX,
        parameters={**_ROTATION, **_THRESHOLD},
        lacking=lambda _, after, given: {
            "real_input": given["threshold"] - after["real"],
            "imag_input": -after["imag"],
        },
    ),
    "RF_IZHIKEVICH": Definition(
        rf_iz.step,
        states=_units("real", "imag"),
        inputs=_COMPLEX,
        parameters={**_ROTATION, **_THRESHOLD},
        compared=_units("real_before_reset", "imag_before_reset"),
        lacking=lambda _, after, given: {"imag_input": given["threshold"] - after["imag_before_reset"]},
    ),
    "ADRF_PHASE": Definition(
        adrf.step,
        states=_units("real", "imag", "threshold", "refractory"),
        inputs=_COMPLEX,
        parameters={**_ROTATION, **_ADAPTIVE},
        compared=_LEVELS,
        lacking=lambda _, after, given: {"real_input": _level(after) - after["real"], "imag_input": -after["imag"]},
        rest={"threshold": "threshold"},
    ),
    "ADRF_IZHIKEVICH": Definition(
        adrf_iz.step,
        states=_units("real", "imag", "threshold", "refractory"),
        inputs=_COMPLEX,
        parameters={**_ROTATION, **_ADAPTIVE},
        compared=_LEVELS,
        lacking=lambda _, after, given: {"imag_input": _level(after) - after["imag"]},
        rest={"threshold": "threshold"},
    ),
    "SDNN": Definition(
        sigma_delta.step,
        states=_units("sigma", "activation", "residue", "error", one=SIGMA_ONE),
        inputs=_units("input", one=SIGMA_ONE),
        parameters={**_units("bias", "threshold", one=SIGMA_ONE), **_units("relu", "cum_error", one=1)},
        lacking=_sigma_delta_lacking,
        spike=STATE_ONE,
    ),
}
