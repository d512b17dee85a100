"""The process that updates a layer's neurons exactly: Lava's own where it does, otherwise this package's.

This package's `ExactNeuron` calls the kernels with the parameters that `lavadl_ref.deployment` gives a layer.
"""

from __future__ import annotations

from lavadl_ref.deployed.deployment import record_of, sends_changes
from lavadl_ref.exchange.layers import Input
from lavadl_ref.netx.plan.neuron_context import NeuronContext
from lavadl_ref.netx.plan.process_spec import ProcessSpec
from lavadl_ref.netx.plan.stock import STATE_EXP, TABLE, exact_name


def neuron_spec(context: NeuronContext) -> ProcessSpec | None:
    """The process that updates exactly as the layer's neurons do; None for a layer without.

    The layer is one that `lavadl_ref.deployment.check_supported` accepts.
    """
    neuron = context.layer.neuron
    if neuron is None:
        return None
    row = TABLE.get(neuron.type)
    stock = row.specify(context) if row is not None and _ordinary(context) else None
    return stock or _exact(context)


def _ordinary(context: NeuronContext) -> bool:
    """Tell whether messages have the form and the scale that Lava's processes take and send."""
    if any(context.parameter(name) for name in ("graded_spike", "weight_exp", "weight_exp_imag")):
        return False
    expected = STATE_EXP + context.spike_exp if sends_changes(context.layer.neuron) else 0
    return isinstance(context.layer, Input) or context.incoming == expected


def _exact(context: NeuronContext) -> ProcessSpec:
    arguments = {
        "layer": context.layer,
        "incoming": context.incoming,
        "spike_exp": context.spike_exp,
        "start": context.start,
        **(context.reset or {}),
    }
    record = record_of(context.layer)
    assert record is not None
    return ProcessSpec(exact_name(record), arguments, own=True)
