"""The base of all blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.process.variable import Var
from lavadl_kernels.neurons import FAMILIES
from numpy.typing import ArrayLike

from lavadl_ref._assigned import Refused
from lavadl_ref.exchange import describe
from lavadl_ref.exchange.write import write_layer
from lavadl_ref.netx.blocks import _wiring, arguments
from lavadl_ref.netx.blocks._wiring import LayerProcesses
from lavadl_ref.netx.plan.network import LayerPlan
from lavadl_ref.netx.plan.stock import STATE_NAMES
from lavadl_ref.netx.plan.synapses import declared_bits
from lavadl_ref.netx.processes import AddBias

Shape = int | Sequence[int]
#: Names of states that the neurons of any family have.
STATES = tuple(dict.fromkeys(state for family in FAMILIES.values() for state in family.states))


class AbstractBlock(AbstractProcess):
    """Base class of all blocks: the connected processes of a layer, with one input and one output.

    Parameters
    ----------
    shape : int or tuple of int
        (W, H, C) or (N,) of the block's neurons.
    neuron_params : dict, optional
        ``neuron_proc``, the class of the neurons, such as Lava's LIF, and its arguments except ``shape``. Also
        ``bias_key``, the name of the argument that is the bias (by default ``bias_mant`` or ``bias``), and
        ``num_message_bits``, the bits of the messages that the neurons send (by default 0, spikes). With None, the
        block sends its weighted sums.
    input_message_bits : int
        Bits of incoming messages; 0 means that every non-zero message is one spike.

    Attributes
    ----------
    inp, out : port
        Input and output of messages; an input block takes its current.
    synapse, neuron : process or None
        The synapse (its real part if there are two) and the neurons.
    real_synapse, imag_synapse, rec_synapse, rec_imag_synapse : process or None
        The parts of a complex synapse, and feedback; ``synapse_rec`` is ``rec_synapse``.
    offset, delay_line : process or None
        Processes that add the bias of the sums, and that delay the output; ``line`` is ``delay_line``.
    plan : LayerPlan or None
        The plan of a layer of a network; None for a block built by hand.
    """

    bias_key = Refused("it is a key of neuron_params")
    _runtime = None  # Lava asks for it when a block goes whose construction failed
    plan: LayerPlan | None = None
    synapse: Any = None
    imag_synapse: Any = None
    neuron: Any = None
    transform: Any = None  #: of input blocks: the preparation of the input, for users to read

    def __init__(
        self,
        *,
        shape: Shape,
        neuron_params: Mapping[str, Any] | None = None,
        input_message_bits: int = 0,
        name: str | None = None,
    ) -> None:
        super().__init__(shape=shape, name=name)
        self.shape = arguments.block_shape(shape)
        self.neuron_params = dict(neuron_params or {})
        self.input_message_bits = arguments.message_bits(input_message_bits)
        self.output_message_bits = int(self.neuron_params.get("num_message_bits", 0))

    @classmethod
    def planned(cls, plan: LayerPlan, processes: LayerProcesses) -> AbstractBlock:
        """Create the block of a network's layer from these processes."""
        block = cls.__new__(cls)
        AbstractBlock.__init__(block, shape=plan.shape)
        block.plan = plan
        block.input_message_bits = int(plan.synapse.arguments.get("num_message_bits", 0)) if plan.synapse else 0
        block.output_message_bits = declared_bits(plan.layer)
        if isinstance(plan.layer, describe.Input):
            block.transform = {"weight": plan.layer.weight, "bias": plan.layer.bias}
        block._hold(processes, plan.input_shape)
        block._post_init()  # Lava's metaclass calls it after a constructor, which is passed by here
        return block

    def _hold(self, processes: LayerProcesses, input_shape: tuple[int, ...], inputs: Sequence[Any] = ()) -> None:
        """Connect the processes, and the block's ports to theirs.

        The input goes to the synapses, or the neurons of an input layer, unless `inputs` names other ports.
        """
        self._processes = processes
        for name, process in processes.held.items():
            setattr(self, name, process)
        _wiring.connect(processes, self.shape)
        self.inp, self.out = InPort(shape=input_shape), OutPort(shape=self.shape)
        for port in inputs or _wiring.inputs(processes):
            _wiring.feed(self.inp, port)
        line = processes.delay_line
        _wiring.shaped(_wiring.sent(processes) if line is None else line.s_out, self.shape).connect(self.out)

    def _find_attr_by_type(self, cls: type) -> dict[str, Any]:
        """The members that Lava takes for the block's own: attributes that are set, and no properties."""
        return {name: value for name, value in vars(self).items() if isinstance(value, cls)}

    def _neuron(self, bias: ArrayLike | None, *ports: str) -> Any:
        """The neurons of a block built by hand, which have these ports."""
        if not self.neuron_params:
            raise ValueError(f"{self.block} must have neurons: give neuron_params")
        neuron = arguments.neuron(self.neuron_params, self.shape, bias)
        if not all(hasattr(neuron, port) for port in ports):
            raise ValueError(f"neurons of {self.block} must have {', '.join(ports)}, got {type(neuron).__name__}")
        return neuron

    def _ending(self, bias: ArrayLike | None) -> dict[str, Any]:
        """Neurons of a block built by hand, or a process that adds its bias on the scale of the sums."""
        if self.neuron_params:
            return {"neuron": self._neuron(bias, "a_in")}
        if bias is None:
            return {}
        return {"offset": AddBias(bias=arguments.fitting(bias, self.shape))}

    def _check_sums(self, synapse: Any, what: str = "weight") -> None:
        found = tuple(int(extent) for extent in synapse.a_out.shape)
        if self.shape != found:
            raise ValueError(f"{what} must give sums of the block's shape {self.shape}, got {found}")

    @property
    def block(self) -> str:
        """Name of the block's class."""
        return type(self).__name__

    @property
    def processes(self) -> dict[str, AbstractProcess]:
        """The processes that there are, by the attributes' names."""
        return self._processes.present

    @property
    def inputs(self) -> list[InPort]:
        """The ports of synapses or neurons that `inp` goes to."""
        return _wiring.inputs(self._processes)

    @property
    def real_synapse(self) -> AbstractProcess | None:
        """The real part of a complex synapse."""
        return None if self.imag_synapse is None else self.synapse

    @property
    def synapse_rec(self) -> AbstractProcess | None:
        """Feedback, as `rec_synapse`."""
        return self.rec_synapse

    @property
    def line(self) -> AbstractProcess | None:
        """The process that delays the output, as `delay_line`."""
        return self.delay_line

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
        """The Var with the real part of the neurons' bias in units of 1/64; None if the process has none.

        Lava's SigmaDelta holds it at the scale of its states, shifted left by 6 + spike_exp bits.
        """
        for name in arguments.BIAS_NAMES:
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
