"""Blocks of a single layer, or arguments of its neurons alone, without the network around it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from lava.proc.sdn.process import ActivationMode

from lavadl_ref.deployed.deployment import SPIKE_EXP, UnsupportedLayer, check_supported, incoming_bits
from lavadl_ref.exchange.describe import Layer, Network
from lavadl_ref.exchange.families import FAMILIES
from lavadl_ref.exchange.keys import Config, Keys
from lavadl_ref.exchange.read import layer_of
from lavadl_ref.netx.blocks._wiring import STOCK
from lavadl_ref.netx.blocks.arguments import BIAS_NAMES
from lavadl_ref.netx.blocks.base import AbstractBlock
from lavadl_ref.netx.hdf5.layers import build_layer
from lavadl_ref.netx.plan.network import Options, plan
from lavadl_ref.netx.plan.neuron_context import NeuronContext
from lavadl_ref.netx.plan.neurons import neuron_spec
from lavadl_ref.netx.plan.synapses import declared_bits
from lavadl_ref.netx.plan.table import table


def read_layer(config: Config | Layer) -> Layer:
    """A layer by its keys, read and checked as `exchange.read` does with those of a file.

    Raises
    ------
    ExchangeError
        If it is not a legal layer; the message counts it as layer 0 of a file.
    """
    return config if isinstance(config, Layer) else layer_of(Keys(config), "layer_config")


def build_single_layer(
    config: Config | Layer, kinds: tuple[str, ...], options: Options, reset_offset: int
) -> tuple[AbstractBlock, str]:
    """The block of a layer of one of these kinds, reset at this offset, and its row of the table."""
    layer = read_layer(config)
    if layer.kind not in kinds:
        raise ValueError(f"layer_config must be of type {' or '.join(kinds)}, got {layer.kind}")
    if options.reset_interval is not None:
        # the first layer of a network is reset one step after the network's offset
        options = replace(options, reset_offset=(reset_offset - 1) % options.reset_interval)
    (found,) = plan(Network((layer,)), options)
    return build_layer(found), table([found]).splitlines()[1]


def neuron_params(
    config: Config, driven: bool, reset_interval: int | None, reset_offset: int, spike_exp: int = SPIKE_EXP
) -> dict[str, Any]:
    """``neuron_params`` of a block whose neurons are exactly those of a ``neuron`` group.

    Raises
    ------
    ExchangeError
        If the group is not a legal one.
    UnsupportedLayer
        If no process of Lava's own computes what these neurons do.
    """
    layer = _around(config, driven)
    check_supported([layer], spike_exp=spike_exp)
    assert layer.neuron is not None
    reset = None
    if reset_interval is not None:
        reset = {"reset_interval": reset_interval, "reset_offset": reset_offset}
    (incoming,) = incoming_bits([layer], spike_exp)
    spec = neuron_spec(NeuronContext(layer, layer.shape, incoming, 0, reset, spike_exp))
    assert spec is not None
    if spec.own:
        raise UnsupportedLayer(
            f"{layer.neuron.type} neurons with {dict(layer.neuron.parameters)}"
            f"{'' if reset is None else f' and {reset}'} are not those of any of Lava's processes; "
            "hdf5.Network runs them"
        )
    given = {key: value for key, value in spec.arguments.items() if key not in ("shape", *BIAS_NAMES)}
    if "act_mode" in given:
        given["act_mode"] = ActivationMode[given["act_mode"]]
    key = next((name for name in BIAS_NAMES if name in spec.arguments), None)
    return {
        "neuron_proc": STOCK[spec.process],
        **({} if key is None else {"bias_key": key}),
        **given,
        "num_message_bits": declared_bits(layer),
    }


def _around(config: Config, driven: bool) -> Layer:
    """A layer with these neurons and as many channels as their parameters have."""
    held = {key: config[key] for key in config}
    channels = max((np.size(value) for key, value in held.items() if key not in ("type", "activation")), default=1)
    layer: dict[str, Any] = {"type": "input" if driven else "dense", "shape": np.array([channels]), "neuron": held}
    if not driven:
        weight = np.zeros((channels, 1), np.int64)
        family = FAMILIES.get(Keys(held, "neuron/").text("type"))
        layer["weight"] = {"real": weight, "imag": weight} if family and family.complex_input else weight
    return read_layer(layer)
