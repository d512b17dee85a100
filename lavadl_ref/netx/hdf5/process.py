"""A whole network as one Lava process."""

from __future__ import annotations

import copy
from os import PathLike
from typing import Any

from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess

from lavadl_ref.exchange import describe
from lavadl_ref.netx.layers import LavaLayer, build_layer, feed, outgoing
from lavadl_ref.netx.net_config import NetConfig
from lavadl_ref.netx.plan import Options, load, plan
from lavadl_ref.netx.table import table


class Network(AbstractProcess):
    """The network that a ``.net`` file describes, built from Lava processes.

    Connect a source to `inp` and a sink to `out` and `run` it.

    Parameters
    ----------
    net_config : path or exchange.describe.Network
        The file, or what it says.
    num_layers : int, optional
        Use only this many entries of the file, flatten included.
    skip_layers : int
        Leave out this many entries at the front.
    input_message_bits : int
        Bits of graded messages entering the first synapse; 0: any non-zero message is one spike.  Synapses of
        sigma-delta neurons take messages as they are either way.
    input_shape : tuple of int, optional
        (W, H, C) of the input, needed where the first generated layer has a window.
    reset_interval : int, optional
        States of generated layer i are at rest before the update of each step with
        ``time_step % reset_interval == (reset_offset + 1 + i) % reset_interval``.
    reset_offset : int
        Phase of the reset.
    spike_exp : int
        Scale of messages of sigma-delta neurons, 2**(6 + spike_exp); 0 to 12.
    sparse_fc_layer : bool
        Hold the weights of fully connected layers as sparse matrices.
    time_base : {"slayer", "lava"}
        When biases begin to act: ``slayer`` holds each layer at rest until the step at which
        its data can first arrive, as it was trained; ``lava`` lets them act from the first step.

    Attributes
    ----------
    inp, out : port
        (W, H, C) or (N,).  An input layer takes integers in 1/64 that its ``transform`` has been
        applied to; a synapse takes spikes, or before sigma-delta neurons integers in 2**-(6 + spike_exp).
    layers : list of LavaLayer
        Each with ``inp``, ``out``, ``synapse``, ``neuron``, ``shape``, ``states``, and where the layer has them
        ``real_synapse``, ``imag_synapse``, ``rec_synapse``.
    in_layer, out_layer : LavaLayer
        First and last of them.
    net_config : NetConfig
        What the file says: an `exchange.Network` that can be read with the file's keys as well.

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
        described = load(net_config)
        self.net_config = NetConfig(described.layers, described.simulation)
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
                spike_exp=spike_exp,
                sparse_fc_layer=sparse_fc_layer,
                time_base=time_base,
            ),
        )
        self.net_str = table(plans)
        self.layers: list[LavaLayer] = [build_layer(entry) for entry in plans]
        for before, after in zip(self.layers, self.layers[1:], strict=False):
            feed(outgoing(before), after)
        self.in_layer, self.out_layer = self.layers[0], self.layers[-1]
        self.inp = InPort(shape=plans[0].input_shape)
        self.out = OutPort(shape=plans[-1].shape)
        feed(self.inp, self.in_layer)
        outgoing(self.out_layer).connect(self.out)

    def run(self, condition: Any, run_cfg: Any = None, compile_config: dict[str, Any] | None = None) -> None:
        """Run the network and all that is connected to it.

        Parameters
        ----------
        condition : RunSteps or RunContinuous
            For how long.
        run_cfg : Loihi1SimCfg or Loihi2SimCfg, optional
            Needed the first time.  The network is in integers: where the configuration does not select the tag
            ``fixed_pt``, a copy that does, and is the same otherwise, is run.
        compile_config : dict, optional
            Handed to Lava's compiler.
        """
        if getattr(run_cfg, "select_tag", "fixed_pt") != "fixed_pt":
            run_cfg = copy.copy(run_cfg)
            run_cfg.select_tag = "fixed_pt"
        super().run(condition, run_cfg, compile_config)

    def __str__(self) -> str:
        return self.net_str

    def __len__(self) -> int:
        return len(self.layers)
