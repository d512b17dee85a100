"""What all blocks have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.process.variable import Var
from numpy.typing import ArrayLike

from lavadl_ref._assigned import Refused
from lavadl_ref.exchange import describe, write_layer
from lavadl_ref.netx.blocks import arguments as by_hand
from lavadl_ref.netx.blocks._wiring import LayerProcesses, feed, shaped
from lavadl_ref.netx.plan.neurons import STATE_NAMES
from lavadl_ref.netx.plan.synapses import declared_bits
from lavadl_ref.netx.processes import AddBias

if TYPE_CHECKING:
    from lavadl_ref.netx.plan.network import LayerPlan

Shape = int | Sequence[int]
#: Names of states that neurons may have.
STATES = (
    "current", "voltage", "real", "imag", "threshold", "refractory", "sigma", "activation", "residue", "error"
)  # fmt: skip


class AbstractBlock(AbstractProcess):
    """What all blocks have.

    Parameters
    ----------
    shape : int or tuple of int
        (W, H, C) or (N,) of the block's neurons.
    neuron_params : dict, optional
        ``neuron_proc``, the class of the neurons, such as Lava's LIF, and its arguments except ``shape``; further
        ``bias_key``, which of them is the bias (by default ``bias_mant`` or ``bias``), and ``num_message_bits``, of
        the messages that the neurons send (by default 0, spikes).  None: the block sends its weighted sums.
    input_message_bits : int
        Bits of messages that arrive; 0: any that is not 0 is one spike.

    Attributes
    ----------
    inp, out : port
        Where messages, or an input block's current, enter and leave.
    synapse, neuron : process or None
        The synapse, its real part where there are two, and the neurons.
    real_synapse, imag_synapse, rec_synapse, rec_imag_synapse : process or None
        LayerProcesses of a complex synapse, and feedback; ``synapse_rec`` is ``rec_synapse``.
    offset, line : process or None
        What adds the bias of sums, and what delays the output.
    plan : LayerPlan or None
        What is known of a layer of a network; None for a block built by hand.
    """

    bias_key = Refused("it is a key of neuron_params")
    _runtime = None  # Lava asks for it when a block goes whose construction failed
    plan: LayerPlan | None = None
    transform: Any = None  #: of input blocks: what is to be done to the input before, for users to read

    def __init__(
        self,
        *,
        shape: Shape,
        neuron_params: Mapping[str, Any] | None = None,
        input_message_bits: int = 0,
        name: str | None = None,
    ) -> None:
        super().__init__(shape=shape, name=name)
        self.shape = by_hand.block_shape(shape)
        self.neuron_params = dict(neuron_params or {})
        self.input_message_bits = by_hand.message_bits(input_message_bits)
        self.output_message_bits = int(self.neuron_params.get("num_message_bits", 0))

    @classmethod
    def planned(cls, plan: LayerPlan, parts: LayerProcesses) -> AbstractBlock:
        """The block of a network's layer, made of these processes."""
        block = cls.__new__(cls)
        AbstractBlock.__init__(block, shape=plan.shape)
        block.plan = plan
        block.input_message_bits = int(plan.synapse.arguments.get("num_message_bits", 0)) if plan.synapse else 0
        block.output_message_bits = declared_bits(plan.layer)
        if isinstance(plan.layer, describe.Input):
            block.transform = {"weight": plan.layer.weight, "bias": plan.layer.bias}
        block._hold(parts, plan.input_shape)
        block._post_init()  # what Lava does after a constructor
        return block

    def _hold(self, parts: LayerProcesses, input_shape: tuple[int, ...], inputs: Sequence[Any] = ()) -> None:
        """Connect the parts, and the block's ports to theirs; `inputs` if not where synapses or neurons listen."""
        self._parts = parts
        self.synapse, self.imag_synapse = parts.synapse, parts.imag_synapse
        self.rec_synapse, self.rec_imag_synapse = parts.rec_synapse, parts.rec_imag_synapse
        self.neuron, self.offset, self.line = parts.neuron, parts.offset, parts.line
        parts.connect(self.shape)
        self.inp, self.out = InPort(shape=input_shape), OutPort(shape=self.shape)
        for port in inputs or parts.inputs:
            feed(self.inp, port)
        shaped(parts.line.s_out if parts.line is not None else parts.sent, self.shape).connect(self.out)

    def _find_attr_by_type(self, cls: type) -> dict[str, Any]:
        """What Lava takes for the block's own: what is set, not what properties find in the parts."""
        return {name: value for name, value in vars(self).items() if isinstance(value, cls)}

    def _neuron(self, bias: ArrayLike | None, *ports: str) -> Any:
        """The neurons of a block built by hand, which have these ports."""
        if not self.neuron_params:
            raise ValueError(f"{self.block} needs neurons: give neuron_params")
        neuron = by_hand.neuron(self.neuron_params, self.shape, bias)
        if not all(hasattr(neuron, port) for port in ports):
            raise ValueError(f"{self.block} takes neurons with {', '.join(ports)}, got {type(neuron).__name__}")
        return neuron

    def _ending(self, bias: ArrayLike | None) -> dict[str, Any]:
        """What follows the synapse of a block built by hand: neurons, or what adds a bias on the scale of the sums."""
        if self.neuron_params:
            return {"neuron": self._neuron(bias, "a_in")}
        if bias is None:
            return {}
        return {"offset": AddBias(bias=by_hand.fitting(bias, self.shape))}

    def _check_sums(self, synapse: Any, what: str = "weight") -> None:
        found = tuple(int(extent) for extent in synapse.a_out.shape)
        if self.shape != found:
            raise ValueError(f"{what} gives sums of shape {found}, the block's shape is {self.shape}")

    @property
    def block(self) -> str:
        """Name of the block's class."""
        return type(self).__name__

    @property
    def processes(self) -> dict[str, AbstractProcess]:
        """The processes that there are, by the attributes' names."""
        return self._parts.there

    @property
    def inputs(self) -> list[InPort]:
        """The ports of synapses or neurons that `inp` goes to."""
        return self._parts.inputs

    @property
    def real_synapse(self) -> AbstractProcess | None:
        """The real part of a complex synapse."""
        return None if self.imag_synapse is None else self.synapse

    @property
    def synapse_rec(self) -> AbstractProcess | None:
        """Feedback, as `rec_synapse`."""
        return self.rec_synapse

    @property
    def states(self) -> dict[str, Var]:
        """The neurons' states by this package's names; {} without neurons."""
        if self.neuron is None:
            return {}
        names = STATE_NAMES.get(type(self.neuron).__name__, {})
        held = {name: names.get(name, name) for name in (self.plan.states if self.plan else STATES)}
        return {name: getattr(self.neuron, var) for name, var in held.items() if hasattr(self.neuron, var)}

    @property
    def bias(self) -> Var | None:
        """The Var with the neurons' bias in 1/64, real part; None where the process has none.

        Lava's SigmaDelta holds it at the scale of its states, shifted left by 6 + spike_exp bits.
        """
        for name in by_hand.BIAS_NAMES:
            if hasattr(self.neuron, name):
                found: Var = getattr(self.neuron, name)
                return found
        return None

    def export_hdf5(self, handle: Any) -> None:
        """Write a layer of a network into an open group of a file.

        Raises
        ------
        NotImplementedError
            For a block built by hand, whose neurons may be of any class.
        """
        if self.plan is None:
            raise NotImplementedError(f"{self.block} was built by hand, only layers of a network can be written")
        write_layer(handle, self.plan.layer)
