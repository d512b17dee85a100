"""Lava processes built from a plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.proc.conv.process import Conv
from lava.proc.dense.process import DelayDense, Dense
from lava.proc.lif.process import LIF, LIFReset
from lava.proc.sparse.process import DelaySparse, Sparse
from lava.utils.weightutils import SignMode
from scipy.sparse import csr_matrix

from lavadl_ref.exchange.describe import Input
from lavadl_ref.netx import lava_support
from lavadl_ref.netx.choice import Choice, refusal
from lavadl_ref.netx.plan import LayerPlan
from lavadl_ref.netx.processes import DelayLine, GatedLIF

_PROCESSES: dict[str, type[AbstractProcess]] = {
    cls.__name__: cls for cls in (Conv, Dense, DelayDense, Sparse, DelaySparse, LIF, LIFReset, GatedLIF, DelayLine)
}


@dataclass(frozen=True, eq=False)
class LavaLayer:
    """The processes of one layer, connected to each other."""

    plan: LayerPlan
    synapse: Any  #: process; None for an input layer
    neuron: Any  #: process; None for a layer of bare sums
    line: Any  #: own `DelayLine` where the layer's delay is not in the next synapse, else None

    @property
    def inp(self) -> InPort:
        """Where spikes, or an input layer's current, enter."""
        return self.neuron.a_in if self.synapse is None else self.synapse.s_in

    @property
    def out(self) -> OutPort:
        """Where spikes leave; where there are no neurons, the synapse's sums."""
        if self.line is not None:
            return self.line.s_out
        return self.synapse.a_out if self.neuron is None else self.neuron.s_out

    @property
    def shape(self) -> tuple[int, ...]:
        """Neurons as (W, H, C) or (N,)."""
        return self.plan.shape

    @property
    def transform(self) -> dict[str, int] | None:
        """What an input layer expects to have been done to its input, in 1/64; None for other layers."""
        layer = self.plan.layer
        return {"weight": layer.weight, "bias": layer.bias} if isinstance(layer, Input) else None


def build_layer(plan: LayerPlan) -> LavaLayer:
    """Construct the processes of one layer and connect them.

    Raises
    ------
    UnsupportedLayer
        If Lava as it is installed cannot hold a convolution's geometry.
    """
    if plan.synapse is not None and plan.synapse.process == "Conv":
        _check_geometry(plan, plan.synapse.arguments)
    synapse, neuron, line = (_construct(choice) for choice in (plan.synapse, plan.neuron, plan.line))
    if synapse is not None and neuron is not None:
        synapse.a_out.connect(neuron.a_in)
    if line is not None:
        (synapse.a_out if neuron is None else neuron.s_out).connect(line.s_in)
    return LavaLayer(plan, synapse, neuron, line)


def _check_geometry(plan: LayerPlan, conv: dict[str, Any]) -> None:
    """Refuse what overflows Lava's 8-bit hyper-parameters where they are not widened."""
    if "conv_parameters" in lava_support.applied:
        return
    reach = [d * (k - 1) + 1 for d, k in zip(conv["dilation"], conv["weight"].shape[1:3], strict=True)]
    largest = max(*conv["stride"], *(2 * p for p in conv["padding"]), *reach, conv["groups"])
    if largest > 127:
        raise refusal(
            plan.position,
            plan.layer,
            f"has stride {conv['stride']}, padding {conv['padding']}, dilation {conv['dilation']}, groups "
            f"{conv['groups']}; with NumPy < 2 Lava counts each of them, and the kernel's reach, up to 127 only",
        )


def connect(before: LavaLayer, after: LavaLayer) -> None:
    """Connect two layers, reading (W, H, C) in the file's order C, H, W where `after` is fully connected."""
    out = before.out
    if after.plan.flatten:
        out = out.transpose([2, 1, 0]).flatten()
    out.connect(after.inp)


def _construct(choice: Choice | None) -> Any:
    if choice is None:
        return None
    arguments: dict[str, Any] = dict(choice.arguments)
    if "sign_mode" in arguments:
        arguments["sign_mode"] = SignMode[arguments["sign_mode"]]
    if choice.process in ("Sparse", "DelaySparse"):
        arguments["weights"] = csr_matrix(arguments["weights"])
    if choice.process == "DelaySparse":
        # Only where there is a weight; elsewhere a delay would need a place in the matrix for nothing.
        weighted = np.zeros(arguments["delays"].shape, int)
        place = arguments["weights"].nonzero()
        weighted[place] = arguments["delays"][place]
        arguments["delays"] = csr_matrix(weighted)
    return _PROCESSES[choice.process](**arguments)
