"""Lava processes built from a plan."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from lavadl_ref.deployed.deployment import parts_of
from lavadl_ref.exchange.describe import (
    Average,
    Conv,
    ConvTranspose,
    Dense,
    Input,
    Layer,
    Pool,
    Recurrent,
    Unpool,
)
from lavadl_ref.netx.blocks import process as blocks
from lavadl_ref.netx.blocks._wiring import construct, conv_overflow
from lavadl_ref.netx.blocks.base import AbstractBlock
from lavadl_ref.netx.plan.network import LayerPlan
from lavadl_ref.netx.plan.process_spec import refusal

_BLOCKS: dict[type[Layer], type[AbstractBlock]] = {
    Input: blocks.Input,
    Recurrent: blocks.RecurrentDense,
    Dense: blocks.Dense,
    Conv: blocks.Conv,
    Pool: blocks.Pool,
    ConvTranspose: blocks.ConvTranspose,
    Unpool: blocks.Unpool,
    Average: blocks.Average,
}
_COMPLEX: dict[type[Layer], type[AbstractBlock]] = {Input: blocks.ComplexInput, Dense: blocks.ComplexDense}


def block_type(layer: Layer) -> type[AbstractBlock]:
    """The class of the block that a layer becomes."""
    found = _COMPLEX.get(type(layer)) if parts_of(layer) == 2 else None
    return found or _BLOCKS[type(layer)]


def build_layer(plan: LayerPlan) -> AbstractBlock:
    """Construct the processes of one layer and connect them.

    Raises
    ------
    UnsupportedLayer
        If Lava as it is installed cannot hold a convolution's geometry.
    """
    if plan.synapse is not None and plan.synapse.process == "Conv":
        reason = conv_overflow(plan.synapse.arguments)
        if reason is not None:
            raise refusal(plan.position, plan.layer, reason)
    return block_type(plan.layer).planned(plan, plan.specs.map(construct))


def states_now(layer: AbstractBlock) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    """Names and values of the states of a layer that runs, (C, H, W) or (N,) int32."""
    for name, var in layer.states.items():
        yield name, np.ascontiguousarray(np.broadcast_to(var.get(), var.shape).astype(np.int32).transpose())
