"""The processes that a layer is made of, constructed and connected to each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from lava.magma.core.process.process import AbstractProcess
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

from lavadl_ref.netx import lava_support, processes
from lavadl_ref.netx.plan.process_spec import Processes, ProcessSpec

_STOCK = (
    Conv, Dense, DelayDense, Sparse, DelaySparse, LIF, LIFReset, ATRLIF, RF, RF_IZ, SigmaDelta, Delta, Sigma
)  # fmt: skip
#: The processes of Lava's that a `ProcessSpec` can name.
STOCK: dict[str, type[AbstractProcess]] = {cls.__name__: cls for cls in _STOCK}

#: Lava ships no types: a constructed process is anything.
LayerProcesses = Processes[Any]


def inputs(layer: LayerProcesses) -> list[Any]:
    """All ports that a layer's input goes to; of a complex input layer the real part's."""
    if layer.synapse is None:
        return [named_port(layer.neuron, "a_in", "a_real_in")]
    return [process.s_in for process in (layer.synapse, layer.imag_synapse) if process is not None]


def sent(layer: LayerProcesses) -> Any:
    """The port where a layer's messages leave, or its sums where it has no neurons; without delays."""
    last = layer.offset if layer.neuron is None else layer.neuron
    return last.s_out if last is not None else sums(layer)


def sums(layer: LayerProcesses) -> Any:
    """The port where a layer's weighted sums leave, those of the real part where there are two."""
    assert layer.synapse is not None
    return layer.synapse.a_out


def connect(layer: LayerProcesses, shape: tuple[int, ...]) -> None:
    """Connect the processes of a layer of this shape to each other."""
    neuron = layer.neuron
    if neuron is not None:
        own = isinstance(neuron, processes.ExactNeuron)
        halves = (
            (layer.synapse, layer.rec_synapse, ("a_in", "a_real_in"), ("r_in", "r_real_in")),
            (layer.imag_synapse, layer.rec_imag_synapse, ("a_imag_in",), ("r_imag_in",)),
        )
        for synapse, feedback, arriving, fed_back in halves:
            if synapse is not None:
                shaped(synapse.a_out, shape).connect(named_port(neuron, *arriving))
            if feedback is not None:
                neuron.s_out.connect(feedback.s_in)
                feedback.a_out.connect(named_port(neuron, *(fed_back if own else arriving)))
    elif layer.offset is not None:
        shaped(sums(layer), shape).connect(layer.offset.a_in)
    if layer.delay_line is not None:
        shaped(sent(layer), shape).connect(layer.delay_line.s_in)


def named_port(process: Any, *names: str) -> Any:
    """The first of these ports that the process has."""
    return next(getattr(process, name) for name in names if hasattr(process, name))


def shaped(port: Any, shape: tuple[int, ...]) -> Any:
    """The port, its elements in this shape."""
    return port if port.shape == shape else port.reshape(shape)


def feed(port: Any, target: Any) -> None:
    """Connect `port` to `target`, reading (W, H, C) as C, H, W where that is one axis."""
    flatten = len(port.shape) == 3 and len(target.shape) == 1
    (port.transpose([2, 1, 0]).flatten() if flatten else port).connect(target)


def conv_overflow(conv: Mapping[str, Any]) -> str | None:
    """The reason why Lava's convolution with these arguments, pairs for both axes, overflows 8-bit hyper-parameters.

    None if it does not, or where Lava is patched to hold more.
    """
    if "conv_parameters" in lava_support.applied:
        return None
    reach = [d * (k - 1) + 1 for d, k in zip(conv["dilation"], conv["weight"].shape[1:3], strict=True)]
    if max(*conv["stride"], *(2 * p for p in conv["padding"]), *reach, conv["groups"]) <= 127:
        return None
    return (
        f"has stride {conv['stride']}, padding {conv['padding']}, dilation {conv['dilation']}, groups "
        f"{conv['groups']}; with NumPy < 2 Lava counts each of them, and the kernel's reach, up to 127 only"
    )


def construct(spec: ProcessSpec) -> Any:
    """The specified process."""
    arguments: dict[str, Any] = dict(spec.arguments)
    if spec.own:
        return getattr(processes, spec.process)(**arguments)
    if "sign_mode" in arguments:
        arguments["sign_mode"] = SignMode[arguments["sign_mode"]]
    if isinstance(arguments.get("act_mode"), str):
        arguments["act_mode"] = ActivationMode[arguments["act_mode"]]
    if spec.process in ("Sparse", "DelaySparse"):
        arguments["weights"] = csr_matrix(arguments["weights"])
    if spec.process == "DelaySparse":
        # Only where there is a weight; elsewhere a delay would need a place in the matrix for nothing.
        weighted = np.zeros(arguments["delays"].shape, int)
        place = arguments["weights"].nonzero()
        weighted[place] = arguments["delays"][place]
        arguments["delays"] = csr_matrix(weighted)
    if "sin_decay" in arguments:
        return _resonator(spec.process, **arguments)
    return STOCK[spec.process](**arguments)


def _resonator(process: str, sin_decay: Any, cos_decay: Any, **arguments: Any) -> Any:
    """Lava's RF or RF_IZ, which takes a period and a decay, with exactly these sines and cosines."""
    made = STOCK[process](period=4.0, alpha=0.0, state_exp=6, decay_bits=12, **arguments)
    made.sin_decay.init, made.cos_decay.init = sin_decay, cos_decay
    return made
