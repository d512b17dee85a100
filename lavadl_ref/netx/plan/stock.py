"""Lava's own neuron processes: for each family the process that updates exactly as its neurons do, where there is one.

`TABLE` is the only place in netx that names families.  Lava's processes have no weight exponent, send ones, take
messages of one scale and start at the first step; only LIF can be reset, and the bias of ATRLIF acts behind the
current.  Neurons that differ in any of this get the `ExactNeuron` of `lavadl_ref.netx.processes`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from lavadl_kernels.neurons import FAMILIES, Family

from lavadl_ref.deployed.deployment import is_sigma_output
from lavadl_ref.exchange.describe import Input
from lavadl_ref.netx.plan.neuron_context import Integers, NeuronContext
from lavadl_ref.netx.plan.process_spec import ProcessSpec

NEVER_AGAIN = 2**31 - 1  # a reset interval longer than any run: the first reset stays the only one
LAVA_BIAS_LIMIT = 2**15  # LIF holds bias mantissas in 16 bits, with sign, and wraps larger ones
STATE_EXP = 6  # bits of sigma-delta states behind those of messages, as Lava-DL builds its networks


def _cuba(context: NeuronContext) -> ProcessSpec | None:
    if getattr(context.layer, "input_bias", None) is not None:
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
        if reset is None:
            return ProcessSpec("LIF", arguments, made)
        return ProcessSpec("LIFReset", {**arguments, **reset}, made)
    if reset is None and not _spikes_from_bias(bias, arguments, start):
        # One reset when the layer starts wipes out what its bias did before.
        return ProcessSpec("LIFReset", {**arguments, "reset_interval": NEVER_AGAIN, "reset_offset": start + 1}, made)
    return None


def _scalar_or_array(values: Any) -> Any:
    """A plain number where there is one, which Lava takes as it is, otherwise an array for the channel axis."""
    array = np.asarray(values)
    return array.reshape(-1)[0].item() if array.size == 1 else array


def _spikes_from_bias(bias: Integers, arguments: Mapping[str, Any], steps: int) -> bool:
    """Tell whether bias alone, from rest, makes any neuron spike within `steps` steps."""
    bias = bias << 6
    keep = 4096 - np.asarray(arguments["dv"], np.int64)
    voltage = np.zeros(np.broadcast_shapes(bias.shape, keep.shape), np.int64)
    for _ in range(steps):
        voltage = np.sign(voltage) * ((np.abs(voltage) * keep) >> 12) + bias
        if (voltage > arguments["vth"] << 6).any():
            return True
    return False


def _alif(context: NeuronContext) -> ProcessSpec | None:
    if context.biased or context.reset is not None or context.fires_early:
        return None

    def fraction(name: str, less: int = 0) -> np.ndarray[Any, Any]:
        # In an array of floats, as NumPy then multiplies states in float64: with a plain number they keep 32 bits.
        return (np.asarray(context.parameter(name), np.float64).reshape(-1) - less) / 4096

    arguments = {
        "shape": context.shape,
        # Lava adds one to the current decay it is given.
        "delta_i": fraction("current_decay", 1),
        "delta_v": fraction("voltage_decay"),
        "delta_theta": fraction("threshold_decay"),
        "delta_r": fraction("refractory_decay"),
        "theta": int(context.parameter("threshold")) << 6,
        "theta_0": int(context.parameter("threshold")),
        "theta_step": int(context.parameter("threshold_step")),
    }
    return ProcessSpec("ATRLIF", arguments)


def _resonator(process: str, context: NeuronContext) -> ProcessSpec | None:
    if context.biased or context.reset is not None or context.fires_early:
        return None
    # Lava truncates sine and cosine that it makes of a period and a decay; the file's own take their place.
    decays = {
        name: np.broadcast_to(context.parameter(name), context.shape[-1:]).astype(np.int64)
        for name in ("sin_decay", "cos_decay")
    }
    return ProcessSpec(process, {"shape": context.shape, "vth": int(context.parameter("threshold")), **decays})


def _sigma_delta(context: NeuronContext) -> ProcessSpec | None:
    layer, bias, shape = context.layer, context.channel_bias, context.shape
    if context.reset is not None:
        return None
    if is_sigma_output(layer):
        return None if bias.any() else ProcessSpec("Sigma", {"shape": shape})
    thresholds = np.unique(np.asarray(context.parameter("threshold")))
    if len(thresholds) > 1:
        return None
    arguments = {
        "shape": shape,
        "vth": int(thresholds[0]),
        "spike_exp": context.spike_exp,
        "state_exp": STATE_EXP,
        "cum_error": bool(context.parameter("cum_error")),
    }
    if isinstance(layer, Input):
        return ProcessSpec("Delta", arguments)
    relu = context.parameter("activation") == "relu"
    if context.start > 0 and (bias.max() > 0 or (bias.any() and not relu)):
        return None
    if np.abs(bias).max() >= 2 ** (31 - STATE_EXP - context.spike_exp):
        return None
    return ProcessSpec("SigmaDelta", {**arguments, "act_mode": "RELU" if relu else "UNIT"}, {"bias": context.bias})


@dataclass(frozen=True)
class Row:
    """A family on Lava."""

    specify: Callable[[NeuronContext], ProcessSpec | None]  #: Lava's process, None where it is not exact
    processes: tuple[str, ...]  #: those that `specify` names
    exact: str = ""  #: the family in the name of its `ExactNeuron`, where `exact_name` has another rule
    states: Mapping[str, str] = field(default_factory=dict)  #: Lava's names of states that have another here


#: Families that Lava has neurons for.
TABLE: dict[str, Row] = {
    "CUBA": Row(_cuba, ("LIF", "LIFReset"), "LIF", {"current": "u", "voltage": "v"}),
    "ALIF": Row(_alif, ("ATRLIF",), "", {"current": "i", "voltage": "v", "threshold": "theta", "refractory": "r"}),
    "RF_PHASE": Row(partial(_resonator, "RF"), ("RF",)),
    "RF_IZHIKEVICH": Row(partial(_resonator, "RF_IZ"), ("RF_IZ",)),
    "SDNN": Row(_sigma_delta, ("SigmaDelta", "Delta", "Sigma"), "SigmaDelta", {"activation": "act"}),
}  # fmt: skip

#: For each of Lava's neuron processes its names of states that have another here.
STATE_NAMES: dict[str, Mapping[str, str]] = {name: row.states for row in TABLE.values() for name in row.processes}


def exact_name(record: Family) -> str:
    """Name of the `ExactNeuron` of a family, from its row or else its name.

    MY_FAMILY becomes ExactMYFAMILY; of resonators the phase is left out, and Izhikevich becomes IZ, as in ExactRFIZ.
    A family whose name would be that of a row has the name of its parameters instead.
    Neurons of an input or output layer that are others than the family's have the name of their parameters.
    """
    if record is not FAMILIES.get(record.name):
        return f"Exact{record.parameters.__name__}"
    row = TABLE.get(record.name)
    if row is not None and row.exact:
        return f"Exact{row.exact}"
    short = record.name.removesuffix("_PHASE").replace("IZHIKEVICH", "IZ").replace("_", "")
    return f"Exact{record.parameters.__name__ if short in {other.exact for other in TABLE.values()} else short}"
