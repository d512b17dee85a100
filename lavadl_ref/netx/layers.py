"""Lava processes built from a plan."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.process.variable import Var
from lava.proc.atrlif.process import ATRLIF
from lava.proc.conv.process import Conv
from lava.proc.dense.process import DelayDense, Dense
from lava.proc.lif.process import LIF, LIFReset
from lava.proc.rf.process import RF
from lava.proc.rf_iz.process import RF_IZ
from lava.proc.sdn.process import ActivationMode, Delta, Sigma, SigmaDelta
from lava.proc.sparse.process import DelaySparse, Sparse
from lava.utils.weightutils import SignMode
from scipy.sparse import csr_matrix

from lavadl_ref.exchange.describe import Input
from lavadl_ref.netx import lava_support, processes
from lavadl_ref.netx.choice import OWN, Choice, refusal
from lavadl_ref.netx.neurons import STATE_NAMES
from lavadl_ref.netx.plan import LayerPlan

_STOCK = (
    Conv, Dense, DelayDense, Sparse, DelaySparse, LIF, LIFReset, ATRLIF, RF, RF_IZ, SigmaDelta, Delta, Sigma
)  # fmt: skip
_PROCESSES: dict[str, type[AbstractProcess]] = {cls.__name__: cls for cls in _STOCK}
_PROCESSES.update({name: getattr(processes, name) for name in OWN})


@dataclass(frozen=True, eq=False)
class LavaLayer:
    """The processes of one layer, connected to each other; None where the layer has no such process."""

    plan: LayerPlan
    synapse: Any  #: the synapse, its real part where there are two; None for an input layer
    imag_synapse: Any  #: the imaginary part of the synapse
    rec_synapse: Any  #: feedback, its real part where there are two
    rec_imag_synapse: Any  #: the imaginary part of the feedback
    neuron: Any  #: None for a layer of bare sums
    offset: Any  #: own `AddBias` where bare sums have a bias
    line: Any  #: own `DelayLine` where the layer's delay is not in the next synapse

    @property
    def processes(self) -> dict[str, Any]:
        """The processes that there are, by the names above."""
        names = ("synapse", "imag_synapse", "rec_synapse", "rec_imag_synapse", "neuron", "offset", "line")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}

    @property
    def real_synapse(self) -> Any:
        """The real part of a complex synapse."""
        return None if self.imag_synapse is None else self.synapse

    @property
    def inp(self) -> InPort:
        """Where messages, or an input layer's current, enter; the real part of a complex synapse has another."""
        return self.inputs[0]

    @property
    def inputs(self) -> list[InPort]:
        """All ports that the layer's input goes to."""
        if self.synapse is None:
            return [_port(self.neuron, "a_in", "a_real_in")]
        return [process.s_in for process in (self.synapse, self.imag_synapse) if process is not None]

    @property
    def out(self) -> OutPort:
        """Where messages leave, delays included; where there are no neurons, sums."""
        return self.line.s_out if self.line is not None else self._sent

    @property
    def _sent(self) -> OutPort:
        for process in (self.neuron, self.offset):
            if process is not None:
                return process.s_out
        return self.synapse.a_out

    @property
    def shape(self) -> tuple[int, ...]:
        """Neurons as (W, H, C) or (N,)."""
        return self.plan.shape

    @property
    def transform(self) -> dict[str, int] | None:
        """What an input layer expects to have been done to its input, in 1/64; None for other layers."""
        layer = self.plan.layer
        return {"weight": layer.weight, "bias": layer.bias} if isinstance(layer, Input) else None

    @property
    def states(self) -> dict[str, Var]:
        """The neurons' states by this package's names; {} without neurons."""
        if self.plan.neuron is None:
            return {}
        names = STATE_NAMES.get(self.plan.neuron.process, {})
        return {name: getattr(self.neuron, names.get(name, name)) for name in self.plan.states}

    @property
    def bias(self) -> Var | None:
        """The Var with the neurons' bias in 1/64, real part; None where the process has none.

        Lava's SigmaDelta holds it at the scale of its states, shifted left by 6 + spike_exp bits.
        """
        for name in ("bias_mant", "bias"):
            if hasattr(self.neuron, name):
                found: Var = getattr(self.neuron, name)
                return found
        return None


def _port(process: Any, *names: str) -> Any:
    """The first of these ports that the process has."""
    return next(getattr(process, name) for name in names if hasattr(process, name))


def build_layer(plan: LayerPlan) -> LavaLayer:
    """Construct the processes of one layer and connect them.

    Raises
    ------
    UnsupportedLayer
        If Lava as it is installed cannot hold a convolution's geometry.
    """
    if plan.synapse is not None and plan.synapse.process == "Conv":
        _check_geometry(plan, plan.synapse.arguments)
    found = plan.synapses
    choices = (found.real, found.imag, found.feedback, found.feedback_imag, plan.neuron, plan.offset, plan.line)
    layer = LavaLayer(plan, *map(_construct, choices))
    neuron = layer.neuron
    if neuron is not None:
        own = isinstance(neuron, processes.ExactNeuron)
        parts = (
            (layer.synapse, layer.rec_synapse, ("a_in", "a_real_in"), ("r_in", "r_real_in")),
            (layer.imag_synapse, layer.rec_imag_synapse, ("a_imag_in",), ("r_imag_in",)),
        )
        for synapse, feedback, arriving, fed_back in parts:
            if synapse is not None:
                _shaped(synapse.a_out, plan.shape).connect(_port(neuron, *arriving))
            if feedback is not None:
                neuron.s_out.connect(feedback.s_in)
                feedback.a_out.connect(_port(neuron, *(fed_back if own else arriving)))
    elif layer.offset is not None:
        _shaped(layer.synapse.a_out, plan.shape).connect(layer.offset.a_in)
    if layer.line is not None:
        _shaped(layer._sent, plan.shape).connect(layer.line.s_in)
    return layer


def _shaped(port: Any, shape: tuple[int, ...]) -> Any:
    return port if port.shape == shape else port.reshape(shape)


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


def feed(port: Any, layer: LavaLayer) -> None:
    """Connect `port` to what the layer's input goes to, reading (W, H, C) as C, H, W where that is one axis."""
    for target in layer.inputs:
        (port.transpose([2, 1, 0]).flatten() if layer.plan.flatten else port).connect(target)


def outgoing(layer: LavaLayer) -> Any:
    """What leaves the layer, in the layer's shape."""
    return _shaped(layer.out, layer.plan.shape)


def _construct(choice: Choice | None) -> Any:
    if choice is None:
        return None
    arguments: dict[str, Any] = dict(choice.arguments)
    if "sign_mode" in arguments:
        arguments["sign_mode"] = SignMode[arguments["sign_mode"]]
    if "act_mode" in arguments:
        arguments["act_mode"] = ActivationMode[arguments["act_mode"]]
    if choice.process in ("Sparse", "DelaySparse"):
        arguments["weights"] = csr_matrix(arguments["weights"])
    if choice.process == "DelaySparse":
        # Only where there is a weight; elsewhere a delay would need a place in the matrix for nothing.
        weighted = np.zeros(arguments["delays"].shape, int)
        place = arguments["weights"].nonzero()
        weighted[place] = arguments["delays"][place]
        arguments["delays"] = csr_matrix(weighted)
    if choice.process in ("RF", "RF_IZ"):
        return _resonator(choice.process, **arguments)
    return _PROCESSES[choice.process](**arguments)


def _resonator(process: str, sin_decay: Any, cos_decay: Any, **arguments: Any) -> Any:
    """Lava's RF or RF_IZ, which takes a period and a decay, with exactly these sines and cosines."""
    made = _PROCESSES[process](period=4.0, alpha=0.0, state_exp=6, decay_bits=12, **arguments)
    made.sin_decay.init, made.cos_decay.init = sin_decay, cos_decay
    return made


def states_now(layer: LavaLayer) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    """Names and values of the states of a layer that runs, (C, H, W) or (N,) int32."""
    for name, var in layer.states.items():
        yield name, np.ascontiguousarray(np.broadcast_to(var.get(), var.shape).astype(np.int32).transpose())
