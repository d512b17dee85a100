"""Which process updates a layer's neurons exactly: Lava's own wherever it does, otherwise one of this package.

Lava's own have no weight exponent, send ones, take messages of one scale, start at the first step, and only LIF
can be reset; biases of ATRLIF act behind the current.  What differs goes to ``Exact...`` processes, which call
the kernels (`lavadl_ref.deployment`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lavadl_ref.deployment import fires_at_rest, is_sigma_output
from lavadl_ref.exchange.describe import Input, Layer, Recurrent
from lavadl_ref.netx.choice import Choice, Shape

NEVER_AGAIN = 2**31 - 1  # a reset interval that no run reaches
LAVA_BIAS_LIMIT = 2**15  # LIF holds bias mantissas in 16 bits
STATE_EXP = 6  # bits of sigma-delta states behind those of messages

#: Own process of each family.
EXACT = {
    "CUBA": "ExactLIF",
    "ALIF": "ExactALIF",
    "RF_PHASE": "ExactRF",
    "RF_IZHIKEVICH": "ExactRFIZ",
    "ADRF_PHASE": "ExactADRF",
    "ADRF_IZHIKEVICH": "ExactADRFIZ",
    "SDNN": "ExactSigmaDelta",
}

#: What Lava's processes call the states that have other names here.
STATE_NAMES: dict[str, dict[str, str]] = {
    "LIF": {"current": "u", "voltage": "v"},
    "LIFReset": {"current": "u", "voltage": "v"},
    "ATRLIF": {"current": "i", "voltage": "v", "threshold": "theta", "refractory": "r"},
    "SigmaDelta": {"activation": "act"},
    "Delta": {"activation": "act"},
}


@dataclass(frozen=True, eq=False)
class Situation:
    """A layer's neurons in their network."""

    layer: Layer
    shape: Shape  #: (W, H, C) or (N,)
    incoming: int  #: fractional bits of the messages that arrive
    start: int  #: step at which the neurons begin
    reset: Mapping[str, int] | None  #: arguments of a periodic reset
    spike_exp: int

    @property
    def channel_bias(self) -> np.ndarray[Any, Any]:
        """(C,) or (1,) int64 in 1/64, the real part."""
        bias = None if isinstance(self.layer, Input) else getattr(self.layer, "bias", None)
        return np.zeros(1, np.int64) if bias is None else np.asarray(bias, np.int64)

    def bias(self) -> np.ndarray[Any, Any]:
        """(\\*shape) int64 in 1/64, the real part."""
        return np.broadcast_to(self.channel_bias, self.shape).astype(np.int64)

    @property
    def biased(self) -> bool:
        """Whether any constant is added to the weighted sum or behind it."""
        names = () if isinstance(self.layer, Input) else ("bias", "bias_imag", "input_bias")
        return any(np.any(value) for value in (getattr(self.layer, name, None) for name in names) if value is not None)

    def parameter(self, name: str, default: Any = 0) -> Any:
        """A parameter of the family, or `default` where the file does not give it."""
        assert self.layer.neuron is not None
        value = self.layer.neuron.parameters.get(name)
        return default if value is None else value


def neuron_choice(situation: Situation) -> Choice | None:
    """The process that updates exactly as the layer's neurons do; None for a layer without.

    The layer is one that `lavadl_ref.deployment.check_supported` accepts.
    """
    neuron = situation.layer.neuron
    if neuron is None:
        return None
    choose = {"CUBA": _cuba, "ALIF": _alif, "RF_PHASE": _rf, "RF_IZHIKEVICH": _rf, "SDNN": _sigma_delta}
    own = choose.get(neuron.type)
    stock = own(situation) if own is not None and _ordinary(situation) else None
    return stock or _exact(situation)


def _ordinary(situation: Situation) -> bool:
    """Whether messages have the form and the scale that Lava's processes take and send."""
    layer, neuron = situation.layer, situation.layer.neuron
    assert neuron is not None
    if any(situation.parameter(name) for name in ("graded_spike", "weight_exp", "weight_exp_imag")):
        return False
    expected = STATE_EXP + situation.spike_exp if neuron.type == "SDNN" else 0
    return isinstance(layer, Input) or situation.incoming == expected


def _exact(situation: Situation) -> Choice:
    layer, neuron = situation.layer, situation.layer.neuron
    assert neuron is not None
    process = EXACT[neuron.type]
    if neuron.type == "SDNN" and isinstance(layer, Input):
        process = "ExactDelta"
    elif is_sigma_output(layer):
        process = "ExactSigma"
    arguments = {
        "layer": layer,
        "incoming": situation.incoming,
        "spike_exp": situation.spike_exp,
        "start": situation.start,
    }
    return Choice(process, {**arguments, **(situation.reset or {})})


def _scalar_or_array(values: Any) -> Any:
    """A plain number where there is one, which Lava takes as it is, otherwise an array for the channel axis."""
    array = np.asarray(values)
    return array.reshape(-1)[0].item() if array.size == 1 else array


def _cuba(situation: Situation) -> Choice | None:
    if isinstance(situation.layer, Recurrent) and situation.layer.input_bias is not None:
        return None
    bias, start, reset = situation.channel_bias, situation.start, situation.reset
    if bias.min() < -LAVA_BIAS_LIMIT or bias.max() >= LAVA_BIAS_LIMIT:
        return None
    arguments = {
        "shape": situation.shape,
        # Lava adds one to the current decay it is given.
        "du": _scalar_or_array(np.asarray(situation.parameter("current_decay")) - 1),
        "dv": _scalar_or_array(situation.parameter("voltage_decay")),
        "vth": int(situation.parameter("threshold")),
        "bias_exp": 6,
    }
    made = {"bias_mant": situation.bias}
    if start == 0 or not bias.any():
        return Choice("LIF", arguments, made) if reset is None else Choice("LIFReset", {**arguments, **reset}, made)
    if reset is None and not _spikes_from_bias(bias, arguments, start):
        # One reset when the layer starts wipes out what its bias did before.
        return Choice("LIFReset", {**arguments, "reset_interval": NEVER_AGAIN, "reset_offset": start + 1}, made)
    return None


def _spikes_from_bias(bias: np.ndarray[Any, Any], arguments: dict[str, Any], steps: int) -> bool:
    """Whether bias alone, from rest, makes any neuron spike within `steps` steps."""
    bias = bias << 6
    keep = 4096 - np.asarray(arguments["dv"], np.int64)
    voltage = np.zeros(np.broadcast_shapes(bias.shape, keep.shape), np.int64)
    for _ in range(steps):
        voltage = np.sign(voltage) * ((np.abs(voltage) * keep) >> 12) + bias
        if (voltage > arguments["vth"] << 6).any():
            return True
    return False


def _early(situation: Situation) -> bool:
    """Whether neurons that spike at equality would do so at rest, before they are to start."""
    return situation.start > 0 and fires_at_rest(situation.layer)


def _alif(situation: Situation) -> Choice | None:
    if situation.biased or situation.reset is not None or _early(situation):
        return None

    def fraction(name: str, less: int = 0) -> np.ndarray[Any, Any]:
        # an array of floats: what is multiplied with it gets more than 32 bits
        return (np.asarray(situation.parameter(name), np.float64).reshape(-1) - less) / 4096

    return Choice(
        "ATRLIF",
        {
            "shape": situation.shape,
            # Lava adds one to the current decay it is given.
            "delta_i": fraction("current_decay", 1),
            "delta_v": fraction("voltage_decay"),
            "delta_theta": fraction("threshold_decay"),
            "delta_r": fraction("refractory_decay"),
            "theta": int(situation.parameter("threshold")) << 6,
            "theta_0": int(situation.parameter("threshold")),
            "theta_step": int(situation.parameter("threshold_step")),
        },
    )


def _rf(situation: Situation) -> Choice | None:
    if situation.biased or situation.reset is not None or _early(situation):
        return None
    assert situation.layer.neuron is not None
    # Lava truncates sine and cosine that it makes of a period and a decay; the file's own take their place.
    decays = {
        name: np.broadcast_to(situation.parameter(name), situation.shape[-1:]).astype(np.int64)
        for name in ("sin_decay", "cos_decay")
    }
    return Choice(
        "RF" if situation.layer.neuron.type == "RF_PHASE" else "RF_IZ",
        {"shape": situation.shape, "vth": int(situation.parameter("threshold")), **decays},
    )


def _sigma_delta(situation: Situation) -> Choice | None:
    layer, bias, shape = situation.layer, situation.channel_bias, situation.shape
    if situation.reset is not None:
        return None
    if is_sigma_output(layer):
        return None if bias.any() else Choice("Sigma", {"shape": shape})
    thresholds = np.unique(np.asarray(situation.parameter("threshold")))
    if len(thresholds) > 1:
        return None
    scales = {
        "spike_exp": situation.spike_exp,
        "state_exp": STATE_EXP,
        "cum_error": bool(situation.parameter("cum_error")),
    }
    arguments = {"shape": shape, "vth": int(thresholds[0]), **scales}
    if isinstance(layer, Input):
        return Choice("Delta", arguments)
    relu = situation.parameter("activation") == "relu"
    if situation.start > 0 and (bias.max() > 0 or (bias.any() and not relu)):
        return None
    if np.abs(bias).max() >= 2 ** (31 - STATE_EXP - situation.spike_exp):
        return None
    return Choice("SigmaDelta", {**arguments, "act_mode": "RELU" if relu else "UNIT"}, {"bias": situation.bias})
