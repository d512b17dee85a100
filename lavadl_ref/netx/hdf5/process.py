"""Whole networks as single Lava processes."""

from __future__ import annotations

import copy
import sys
import warnings
from os import PathLike, fspath
from typing import Any

from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess

from lavadl_ref.exchange import describe
from lavadl_ref.exchange.keys import Config
from lavadl_ref.netx.blocks._wiring import feed
from lavadl_ref.netx.blocks.base import AbstractBlock
from lavadl_ref.netx.hdf5._net_config import NetConfig
from lavadl_ref.netx.hdf5._single_layer import build_single_layer, neuron_params
from lavadl_ref.netx.hdf5.layers import build_layer
from lavadl_ref.netx.plan.network import Options, TimeBaseWarning, check_size, load, plan, waiting
from lavadl_ref.netx.plan.table import table

_told = False


def _stands_in() -> bool:
    """Tell whether a script has this package under the name of Lava-DL's."""
    return sys.modules.get("lava.lib.dl.netx.hdf5") is sys.modules["lavadl_ref.netx.hdf5"]


def _tell(positions: list[int]) -> None:
    global _told
    if positions and not _told:
        _told = True
        one = len(positions) == 1
        warnings.warn(
            f"layer{'' if one else 's'} {', '.join(map(str, positions))} rest{'s' if one else ''} until data can "
            "arrive, as in training; in Lava-DL, biases act from the first step, which gives other values: pass "
            'time_base="lava" for the values of Lava-DL, or time_base="slayer" to silence this warning',
            TimeBaseWarning,
            stacklevel=4,
        )


class Network(AbstractProcess):
    """The network of a ``.net`` file, built from Lava processes.

    Connect a source to `inp` and a sink to `out` and `run` it.

    Parameters
    ----------
    net_config : path or exchange.describe.Network
        The file, or its description.
    num_layers : int, optional
        Use only this many entries of the file, flatten included.
    skip_layers : int
        Leave out this many entries at the front.
    input_message_bits : int
        Bits of graded messages that enter the first synapse; 0 means that every non-zero message is one spike. Synapses
        of sigma-delta neurons always take messages as values.
    input_shape : tuple of int, optional
        (W, H, C) of the input, required if the first generated layer has a window.
    reset_interval : int, optional
        States of generated layer i are at rest before the update of each step with
        ``time_step % reset_interval == (reset_offset + 1 + i) % reset_interval``.
    reset_offset : int
        Phase of the reset.
    spike_exp : int
        Scale of messages of sigma-delta neurons, 2**(6 + spike_exp); 0 to 12.
    sparse_fc_layer : bool
        Hold the weights of fully connected layers as sparse matrices.
    time_base : {"slayer", "lava"}, optional
        When biases start to act: ``slayer``, the default, keeps each layer at rest until the step at which its data can
        first arrive, as in training; ``lava`` lets biases act from the first step, as Lava-DL does. Under the name
        ``lava.lib.dl.netx.hdf5``, a `TimeBaseWarning` is issued once if the choice makes a difference and none was
        given.

    Attributes
    ----------
    inp, out : port
        (W, H, C) or (N,). An input layer takes integers in units of 1/64, after its ``transform``; a synapse takes
        spikes, or for sigma-delta neurons integers in units of 2**-(6 + spike_exp).
    layers : list of AbstractBlock
        Blocks of `lavadl_ref.netx.blocks.process`, each with ``inp``, ``out``, ``synapse``, ``neuron``, ``shape``,
        ``states``, and where the layer has them ``real_synapse``, ``imag_synapse``, ``rec_synapse``.
    in_layer, out_layer : AbstractBlock
        First and last layer.
    output_message_bits : int
        Bits of the output messages, 0 for spikes.
    filename : str or None
        The file, if there is one.
    net_config : NetConfig
        The file's content: an `exchange.Network` that can also be indexed with the file's keys.

    Raises
    ------
    UnsupportedLayer
        If a layer cannot run on Lava exactly.
    ValueError
        If an argument does not fit the file, or its processes would take gigabytes.

    Examples
    --------
    >>> import numpy as np
    >>> from lavadl_ref.exchange import Dense, Neuron
    >>> neuron = Neuron("CUBA", {"current_decay": 1024, "voltage_decay": 128, "threshold": 10})
    >>> layer = Dense(shape=(2,), weight=np.array([[8, 4], [-8, 6]]), neuron=neuron)
    >>> net = Network(describe.Network((layer,)))
    >>> print(net)
    |   Type   |  W  |  H  |  C  | ker | str | pad | dil | grp |delay| Lava processes
    |Dense     |    1|    1|    2|     |     |     |     |     |False| Dense + LIF
    >>> net.inp.shape, net.out.shape, list(net.layers[0].states)
    ((2,), (2,), ['current', 'voltage'])

    Connected to a source and a sink, it runs like any Lava process, ``net.run(RunSteps(num_steps=6), config)``;
    `lavadl_ref.netx.runtime.run` does all of this.
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
        time_base: str | None = None,
    ) -> None:
        super().__init__()
        given, time_base = time_base is not None, time_base or "slayer"
        described = load(net_config)
        self.net_config = NetConfig(described.layers, described.simulation)
        self.filename = None if isinstance(net_config, describe.Network) else fspath(net_config)
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
        check_size(plans)
        if not given and _stands_in():
            _tell(waiting(plans))
        self.net_str = table(plans)
        self.layers: list[AbstractBlock] = [build_layer(entry) for entry in plans]
        for before, after in zip(self.layers, self.layers[1:], strict=False):
            feed(before.out, after.inp)
        self.in_layer, self.out_layer = self.layers[0], self.layers[-1]
        self.inp = InPort(shape=plans[0].input_shape)
        self.out = OutPort(shape=plans[-1].shape)
        self.output_message_bits = self.out_layer.output_message_bits
        self.inp.connect(self.in_layer.inp)
        self.out_layer.out.connect(self.out)

    def run(self, condition: Any, run_cfg: Any = None, compile_config: dict[str, Any] | None = None) -> None:
        """Run the network and everything connected to it.

        Parameters
        ----------
        condition : RunSteps or RunContinuous
            The steps to run.
        run_cfg : Loihi1SimCfg or Loihi2SimCfg, optional
            Required for the first run. The network uses integers: if the configuration does not select the tag
            ``fixed_pt``, a copy that does is used instead.
        compile_config : dict, optional
            Passed to Lava's compiler.
        """
        if getattr(run_cfg, "select_tag", "fixed_pt") != "fixed_pt":
            run_cfg = copy.copy(run_cfg)
            run_cfg.select_tag = "fixed_pt"
        super().run(condition, run_cfg, compile_config)

    def __str__(self) -> str:
        return self.net_str

    def __len__(self) -> int:
        return len(self.layers)

    @staticmethod
    def get_neuron_params(
        neuron_config: Config,
        input: bool = False,
        reset_interval: int | None = None,
        reset_offset: int = 0,
        spike_exp: int = 6,
    ) -> dict[str, Any]:
        """``neuron_params`` of blocks, from a ``neuron`` group.

        Parameters
        ----------
        neuron_config : mapping or h5py.Group
            The group, such as ``net.net_config["layer"][0]["neuron"]``.
        input : bool
            True if the neurons are those of an input layer.
        reset_interval, reset_offset : int, optional
            As of Lava's LIFReset.
        spike_exp : int
            Scale of messages of sigma-delta neurons, 2**(6 + spike_exp).

        Returns
        -------
        dict
            For ``neuron_params`` of `lavadl_ref.netx.blocks.process`.  Sine and cosine of RF neurons are in it as the
            file has them.

        Raises
        ------
        UnsupportedLayer
            If none of Lava's own processes computes these neurons.
        """
        return neuron_params(neuron_config, input, reset_interval, reset_offset, spike_exp)

    @staticmethod
    def create_input(
        layer_config: Config, reset_interval: int | None = None, reset_offset: int = 0, spike_exp: int = 6
    ) -> tuple[AbstractBlock, str]:
        """The block of an input layer, and its row of the table; arguments as for `create_dense`."""
        options = Options(reset_interval=reset_interval, spike_exp=spike_exp, time_base="lava")
        return build_single_layer(layer_config, ("input",), options, reset_offset)

    @staticmethod
    def create_dense(
        layer_config: Config,
        input_message_bits: int = 0,
        reset_interval: int | None = None,
        reset_offset: int = 0,
        spike_exp: int = 6,
        sparse_synapse: bool = False,
        rec: bool = False,
    ) -> tuple[AbstractBlock, str]:
        """The block of a fully connected layer, and its row of the table.

        Parameters
        ----------
        layer_config : mapping, h5py.Group or exchange.Layer
            The layer, such as ``net.net_config["layer"][1]``.
        input_message_bits : int
            Bits of messages that arrive, 0 for spikes.
        reset_interval, reset_offset : int, optional
            States are at rest before the update of steps with ``time_step % interval == offset % interval``.
        spike_exp : int
            Scale of messages of sigma-delta neurons, 2**(6 + spike_exp).
        sparse_synapse : bool
            Hold the weights as sparse matrices.
        rec : bool
            If True, the layer must have feedback. Layers with feedback get it in any case.

        Returns
        -------
        AbstractBlock
            It begins at the first step.
        str
            The row.
        """
        kinds = ("dense_rec",) if rec else ("dense", "dense_rec")
        options = Options(
            input_message_bits=input_message_bits,
            reset_interval=reset_interval,
            spike_exp=spike_exp,
            sparse_fc_layer=sparse_synapse,
            time_base="lava",
        )
        return build_single_layer(layer_config, kinds, options, reset_offset)

    @staticmethod
    def create_conv(
        layer_config: Config,
        input_shape: tuple[int, int, int],
        input_message_bits: int = 0,
        reset_interval: int | None = None,
        reset_offset: int = 0,
        spike_exp: int = 6,
    ) -> tuple[AbstractBlock, str]:
        """The block of a convolution, and its row of the table.

        ``input_shape`` is (W, H, C); everything else as for `create_dense`.
        """
        options = Options(
            input_message_bits=input_message_bits,
            input_shape=tuple(input_shape),
            reset_interval=reset_interval,
            spike_exp=spike_exp,
            time_base="lava",
        )
        return build_single_layer(layer_config, ("conv",), options, reset_offset)
