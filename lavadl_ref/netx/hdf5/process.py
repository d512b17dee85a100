"""A whole network as one Lava process."""

from __future__ import annotations

from os import PathLike

from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess

from lavadl_ref.exchange import describe
from lavadl_ref.netx.layers import LavaLayer, build_layer, connect
from lavadl_ref.netx.plan import Options, load, plan
from lavadl_ref.netx.table import table


class Network(AbstractProcess):
    """The network that a ``.net`` file describes, built from Lava processes.

    Connect a source to `inp` and a sink to `out` and ``run`` it with a fixed-point
    configuration, ``Loihi2SimCfg(select_tag="fixed_pt")``.

    Parameters
    ----------
    net_config : path or exchange.describe.Network
        The file, or what it says.
    num_layers : int, optional
        Use only this many entries of the file, flatten included.
    skip_layers : int
        Leave out this many entries at the front.
    input_message_bits : int
        Bits of graded spikes entering the first synapse; 0: any non-zero message is one spike.
    input_shape : tuple of int, optional
        (W, H, C) of the input, needed where the first generated layer is a convolution.
    reset_interval : int, optional
        Generated layer i forgets u and v before the update of each step with
        ``time_step % reset_interval == (reset_offset + 1 + i) % reset_interval``.
    reset_offset : int
        Phase of the reset.
    spike_exp : int
        Scale of graded spikes of sigma-delta neurons; binary spikes have none.
    sparse_fc_layer : bool
        Hold the weights of fully connected layers as sparse matrices.
    time_base : {"slayer", "lava"}
        When biases begin to act: ``slayer`` holds each layer at rest until the step at which
        its data can first arrive, as it was trained; ``lava`` lets them act from the first step.

    Attributes
    ----------
    inp, out : port
        (W, H, C) or (N,).  An input layer takes integers in 1/64 that its ``transform`` has been
        applied to; a synapse takes spikes.
    layers : list of LavaLayer
        Each with ``inp``, ``out``, ``synapse``, ``neuron``, ``shape``.
    in_layer, out_layer : LavaLayer
        First and last of them.
    net_config : exchange.describe.Network
        What the file says.

    Raises
    ------
    UnsupportedLayer
        If a layer cannot run on Lava exactly.
    ValueError
        If an argument does not fit the file.
    """

    def __init__(
        self,
        net_config: str | PathLike[str] | describe.Network,
        num_layers: int | None = None,
        skip_layers: int = 0,
        input_message_bits: int = 0,
        input_shape: tuple[int, ...] | None = None,
        reset_interval: int | None = None,
        reset_offset: int = 0,
        spike_exp: int = 6,
        sparse_fc_layer: bool = False,
        time_base: str = "slayer",
    ) -> None:
        super().__init__()
        self.net_config = load(net_config)
        self.num_layers = num_layers
        self.skip_layers = skip_layers
        self.input_message_bits = input_message_bits
        self.input_shape = input_shape
        self.reset_interval = reset_interval
        self.reset_offset = reset_offset
        self.spike_exp = spike_exp
        self.sparse_fc_layer = sparse_fc_layer
        self.time_base = time_base
        plans = plan(
            self.net_config,
            Options(
                num_layers=num_layers,
                skip_layers=skip_layers,
                input_message_bits=input_message_bits,
                input_shape=input_shape,
                reset_interval=reset_interval,
                reset_offset=reset_offset,
                sparse_fc_layer=sparse_fc_layer,
                time_base=time_base,
            ),
        )
        self.net_str = table(plans)
        self.layers: list[LavaLayer] = [build_layer(entry) for entry in plans]
        for before, after in zip(self.layers, self.layers[1:], strict=False):
            connect(before, after)
        self.in_layer, self.out_layer = self.layers[0], self.layers[-1]
        self.inp = InPort(shape=self.in_layer.inp.shape)
        self.out = OutPort(shape=self.out_layer.out.shape)
        self.inp.connect(self.in_layer.inp)
        self.out_layer.out.connect(self.out)

    def __str__(self) -> str:
        return self.net_str

    def __len__(self) -> int:
        return len(self.layers)
