"""The processes that a layer is made of, constructed and connected to each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
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
from lavadl_ref.netx.plan.process_spec import OWN, ProcessSpec

_STOCK = (
    Conv, Dense, DelayDense, Sparse, DelaySparse, LIF, LIFReset, ATRLIF, RF, RF_IZ, SigmaDelta, Delta, Sigma
)  # fmt: skip
#: The processes that a `ProcessSpec` can name.
PROCESSES: dict[str, type[AbstractProcess]] = {cls.__name__: cls for cls in _STOCK}
PROCESSES.update({name: getattr(processes, name) for name in OWN})


@dataclass(frozen=True, eq=False, kw_only=True)
class LayerProcesses:
    """The processes of one layer; None where it has no such process."""

    synapse: Any = None  #: the synapse, its real part where there are two; None for an input layer
    imag_synapse: Any = None  #: the imaginary part of the synapse
    rec_synapse: Any = None  #: feedback, its real part where there are two
    rec_imag_synapse: Any = None  #: the imaginary part of the feedback
    neuron: Any = None  #: None for a layer of bare sums
    offset: Any = None  #: own `AddBias` where bare sums have a bias
    line: Any = None  #: own `DelayLine` where the layer's delay is not in the next synapse

    @property
    def there(self) -> dict[str, Any]:
        """The processes that there are, by the names above."""
        held = {part.name: getattr(self, part.name) for part in fields(self)}
        return {name: process for name, process in held.items() if process is not None}

    @property
    def inputs(self) -> list[Any]:
        """All ports that the layer's input goes to; of a complex input layer the real part's."""
        if self.synapse is None:
            return [named_port(self.neuron, "a_in", "a_real_in")]
        return [process.s_in for process in (self.synapse, self.imag_synapse) if process is not None]

    @property
    def sent(self) -> Any:
        """The port where the layer's messages leave, or its sums where it has no neurons; without delays."""
        for process in (self.neuron, self.offset):
            if process is not None:
                return process.s_out
        return self.synapse.a_out

    def connect(self, shape: tuple[int, ...]) -> None:
        """Connect the processes of a layer of this shape to each other."""
        if self.neuron is not None:
            own = isinstance(self.neuron, processes.ExactNeuron)
            halves = (
                (self.synapse, self.rec_synapse, ("a_in", "a_real_in"), ("r_in", "r_real_in")),
                (self.imag_synapse, self.rec_imag_synapse, ("a_imag_in",), ("r_imag_in",)),
            )
            for synapse, feedback, arriving, fed_back in halves:
                if synapse is not None:
                    shaped(synapse.a_out, shape).connect(named_port(self.neuron, *arriving))
                if feedback is not None:
                    self.neuron.s_out.connect(feedback.s_in)
                    feedback.a_out.connect(named_port(self.neuron, *(fed_back if own else arriving)))
        elif self.offset is not None:
            shaped(self.synapse.a_out, shape).connect(self.offset.a_in)
        if self.line is not None:
            shaped(self.sent, shape).connect(self.line.s_in)


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
    """What of Lava's convolution with these arguments, pairs for both axes, overflows hyper-parameters of 8 bits.

    None if nothing does, or where Lava is patched to hold more.
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


def construct(choice: ProcessSpec | None) -> Any:
    """The process that is chosen; None for None."""
    if choice is None:
        return None
    arguments: dict[str, Any] = dict(choice.arguments)
    if "sign_mode" in arguments:
        arguments["sign_mode"] = SignMode[arguments["sign_mode"]]
    if isinstance(arguments.get("act_mode"), str):
        arguments["act_mode"] = ActivationMode[arguments["act_mode"]]
    if choice.process in ("Sparse", "DelaySparse"):
        arguments["weights"] = csr_matrix(arguments["weights"])
    if choice.process == "DelaySparse":
        # Only where there is a weight; elsewhere a delay would need a place in the matrix for nothing.
        weighted = np.zeros(arguments["delays"].shape, int)
        place = arguments["weights"].nonzero()
        weighted[place] = arguments["delays"][place]
        arguments["delays"] = csr_matrix(weighted)
    if "sin_decay" in arguments:
        return _resonator(choice.process, **arguments)
    return PROCESSES[choice.process](**arguments)


def _resonator(process: str, sin_decay: Any, cos_decay: Any, **arguments: Any) -> Any:
    """Lava's RF or RF_IZ, which takes a period and a decay, with exactly these sines and cosines."""
    made = PROCESSES[process](period=4.0, alpha=0.0, state_exp=6, decay_bits=12, **arguments)
    made.sin_decay.init, made.cos_decay.init = sin_decay, cos_decay
    return made
