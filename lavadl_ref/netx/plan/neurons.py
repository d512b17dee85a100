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

from lavadl_ref.deployed.deployment import fires_at_rest, is_sigma_output
from lavadl_ref.exchange.describe import Input, Layer, Recurrent
from lavadl_ref.netx.plan.process_spec import ProcessSpec, Shape

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
class NeuronContext:
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


def neuron_choice(context: NeuronContext) -> ProcessSpec | None:
    """The process that updates exactly as the layer's neurons do; None for a layer without.

    The layer is one that `lavadl_ref.deployment.check_supported` accepts.
    """
    neuron = context.layer.neuron
    if neuron is None:
        return None
    choose = {"CUBA": _cuba, "ALIF": _alif, "RF_PHASE": _rf, "RF_IZHIKEVICH": _rf, "SDNN": _sigma_delta}
    own = choose.get(neuron.type)
    stock = own(context) if own is not None and _ordinary(context) else None
    return stock or _exact(context)


def _ordinary(context: NeuronContext) -> bool:
    """Whether messages have the form and the scale that Lava's processes take and send."""
    layer, neuron = context.layer, context.layer.neuron
    assert neuron is not None
    if any(context.parameter(name) for name in ("graded_spike", "weight_exp", "weight_exp_imag")):
        return False
    expected = STATE_EXP + context.spike_exp if neuron.type == "SDNN" else 0
    return isinstance(layer, Input) or context.incoming == expected


def _exact(context: NeuronContext) -> ProcessSpec:
    layer, neuron = context.layer, context.layer.neuron
    assert neuron is not None
    process = EXACT[neuron.type]
    if neuron.type == "SDNN" and isinstance(layer, Input):
        process = "ExactDelta"
    elif is_sigma_output(layer):
        process = "ExactSigma"
    arguments = {
        "layer": layer,
        "incoming": context.incoming,
        "spike_exp": context.spike_exp,
        "start": context.start,
    }
    return ProcessSpec(process, {**arguments, **(context.reset or {})})


def _scalar_or_array(values: Any) -> Any:
    """A plain number where there is one, which Lava takes as it is, otherwise an array for the channel axis."""
    array = np.asarray(values)
    return array.reshape(-1)[0].item() if array.size == 1 else array


def _cuba(context: NeuronContext) -> ProcessSpec | None:
    if isinstance(context.layer, Recurrent) and context.layer.input_bias is not None:
        return None
    bias, start, reset = context.channel_bias, context.start, context.reset
    if bias.min() < -LAVA_BIAS_LIMIT or bias.max() >= LAVA_BIAS_LIMIT:
        return None
    arguments = {
        "shape": context.shape,
        # Lava adds one to the current decay it is given.
        "du": _scalar_or_array(np.asarray(context.parameter("current_decay")) - 1),
        "dv": _scalar_or_array(context.parameter("voltage_decay")),
        "vth": int(context.parameter("threshold")),
        "bias_exp": 6,
    }
    made = {"bias_mant": context.bias}
    if start == 0 or not bias.any():
        return (
            ProcessSpec("LIF", arguments, made)
            if reset is None
            else ProcessSpec("LIFReset", {**arguments, **reset}, made)
        )
    if reset is None and not _spikes_from_bias(bias, arguments, start):
        # One reset when the layer starts wipes out what its bias did before.
        return ProcessSpec("LIFReset", {**arguments, "reset_interval": NEVER_AGAIN, "reset_offset": start + 1}, made)
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


def _early(context: NeuronContext) -> bool:
    """Whether neurons that spike at equality would do so at rest, before they are to start."""
    return context.start > 0 and fires_at_rest(context.layer)


def _alif(context: NeuronContext) -> ProcessSpec | None:
    if context.biased or context.reset is not None or _early(context):
        return None

    def fraction(name: str, less: int = 0) -> np.ndarray[Any, Any]:
        # an array of floats: what is multiplied with it gets more than 32 bits
        return (np.asarray(context.parameter(name), np.float64).reshape(-1) - less) / 4096

    return ProcessSpec(
        "ATRLIF",
        {
            "shape": context.shape,
            # Lava adds one to the current decay it is given.
            "delta_i": fraction("current_decay", 1),
            "delta_v": fraction("voltage_decay"),
            "delta_theta": fraction("threshold_decay"),
            "delta_r": fraction("refractory_decay"),
            "theta": int(context.parameter("threshold")) << 6,
            "theta_0": int(context.parameter("threshold")),
            "theta_step": int(context.parameter("threshold_step")),
        },
    )


def _rf(context: NeuronContext) -> ProcessSpec | None:
    if context.biased or context.reset is not None or _early(context):
        return None
    assert context.layer.neuron is not None
    # Lava truncates sine and cosine that it makes of a period and a decay; the file's own take their place.
    decays = {
        name: np.broadcast_to(context.parameter(name), context.shape[-1:]).astype(np.int64)
        for name in ("sin_decay", "cos_decay")
    }
    return ProcessSpec(
        "RF" if context.layer.neuron.type == "RF_PHASE" else "RF_IZ",
        {"shape": context.shape, "vth": int(context.parameter("threshold")), **decays},
    )


def _sigma_delta(context: NeuronContext) -> ProcessSpec | None:
    layer, bias, shape = context.layer, context.channel_bias, context.shape
    if context.reset is not None:
        return None
    if is_sigma_output(layer):
        return None if bias.any() else ProcessSpec("Sigma", {"shape": shape})
    thresholds = np.unique(np.asarray(context.parameter("threshold")))
    if len(thresholds) > 1:
        return None
    scales = {
        "spike_exp": context.spike_exp,
        "state_exp": STATE_EXP,
        "cum_error": bool(context.parameter("cum_error")),
    }
    arguments = {"shape": shape, "vth": int(thresholds[0]), **scales}
    if isinstance(layer, Input):
        return ProcessSpec("Delta", arguments)
    relu = context.parameter("activation") == "relu"
    if context.start > 0 and (bias.max() > 0 or (bias.any() and not relu)):
        return None
    if np.abs(bias).max() >= 2 ** (31 - STATE_EXP - context.spike_exp):
        return None
    return ProcessSpec("SigmaDelta", {**arguments, "act_mode": "RELU" if relu else "UNIT"}, {"bias": context.bias})
