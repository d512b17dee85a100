"""The one table of what lava-dl names and this package does not, each bound to a row of ``docs/errata.md``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Exception_:
    """One reason for which names are not here, or are others."""

    patterns: tuple[str, ...]  #: kind and name of the differences, `*` for anything
    reason: str
    instead: str  #: the way round
    row: str  #: the beginning of the row of ``docs/errata.md``


EXCEPTIONS: tuple[Exception_, ...] = (
    Exception_(
        (
            "module slayer.jitconfig",
            "name slayer.jitconfig",
            "name slayer.neuron.dynamics.*.Accelerated",
            "name slayer.utils.filter.conv.Accelerated",
            "name slayer.utils.time.shift.Accelerated",
        ),
        "They compile and load CUDA code, which there is none of.",
        "The functions beside them; kernels are compiled by Numba when they are first used.",
        "`slayer.jitconfig` and the `Accelerated` classes",
    ),
    Exception_(
        ("name slayer.block.base.AbstractResidual",),
        "An empty class.",
        "Derive from `torch.nn.Module`.",
        "`base.AbstractResidual` is an empty class",
    ),
    Exception_(
        tuple(
            f"value slayer.block.*.{block}.{part}persistent_state"
            for block in ("KWTA", "Recurrent")
            for part in ("", "neuron.")
        ),
        "Blocks with feedback keep a state between calls only if their neurons' arguments say so.",
        "`persistent_state=True` among the neuron's arguments, or assigned.",
        "`Recurrent` and `KWTA` keep their neurons' state from batch to batch",
    ),
    Exception_(
        ("value *.cuba.Affine.neuron.shape", "value *.cuba.Affine.neuron.tau_rho"),
        "The neuron is read out and never spikes: it has no surrogate gradient; its shape is that of its first input.",
        "`synapse.out_channels`.",
        "The neuron of `Affine` has a shape before the first input",
    ),
    Exception_(
        ("value slayer.block.*norm.num_features",),
        "Sizes that follow from a block's arguments are there from the start.",
        "A norm that is made alone learns its size from the first input.",
        "Parameters with one value per channel, and delays, have one element until the first input",
    ),
    Exception_(
        ("name slayer.neuron.dynamics.adaptive_threshold.reset_persistent_*_state",),
        "Nothing reads them.",
        "`reset()` of a neuron forgets its states.",
        "`reset_persistent_ref_state` and `reset_persistent_th_state`",
    ),
    Exception_(
        (
            "name slayer.object_detection.dataset.prophesee_automotive.src",
            "name bootstrap.block.base.doc_modifier",
        ),
        "The text of a message, and a function that edits docstrings.",
        "Nothing needs them.",
        "`prophesee_automotive.src` and `bootstrap.block.base.doc_modifier`",
    ),
    Exception_(
        (
            "member slayer.auto.SequentialNetwork.*_block",
            "member slayer.auto.SequentialNetwork.read_block",
        ),
        "They build a block of a group of the open file; a layer is checked in its file, as a whole.",
        "`SequentialNetwork(file).blocks`, `exchange.read(file).layers`.",
        "`input_block`, `flatten_block`, `average_block`, `dense_block` and `read_block`",
    ),
    Exception_(
        (
            "member netx.hdf5.Network.create_average",
            "member netx.hdf5.Network.create_concat",
            "member netx.hdf5.Network.create_convT",
            "member netx.hdf5.Network.create_pool",
            "member netx.hdf5.Network.create_unpool",
        ),
        "They raise NotImplementedError.",
        "`Network` builds these layers, but for `concat`, which no file has; `netx.blocks.process` has their blocks.",
        "`Network.create_pool`, `create_convT`, `create_unpool`, `create_average` and `create_concat`",
    ),
    Exception_(
        (
            "name netx.hdf5.PyNetworkModel",
            "attribute netx.blocks.models.Py*Model.inp",
            "attribute netx.blocks.models.Py*Model.out",
        ),
        "Lava finds the models of processes itself, and their ports are the processes'.",
        "`netx.hdf5.models.PyNetworkModel`; `inp` and `out` of the block.",
        "`netx.hdf5.PyNetworkModel`, and `inp` and `out` of the models of blocks",
    ),
    Exception_(
        ("signature slayer.object_detection.models.yolo_kp_events.Network.init_model",),
        "Frames of events have two channels, not three.",
        "`init_model()` alone.",
        "`init_model()` of `yolo_kp_events.Network`",
    ),
    Exception_(
        ("signature slayer.block.sigma_delta.*",),
        "The constructor there changes the default to False, which its signature does not say.",
        "Leave `delay_shift` out: the same on both sides.",
        "Positional `delay_shift` of sigma-delta blocks is overwritten.",
    ),
    Exception_(
        ("signature bootstrap.block.cuba.*", "value bootstrap.block.cuba.*.delay_shift"),
        "Documented there as False, and True.",
        "`delay_shift=True`.",
        "Blocks document `delay_shift=False` and shift",
    ),
    Exception_(
        ("value slayer.utils.assistant.Assistant.device",),
        "There it is None until the first batch.",
        "Where the network is, from the start.",
        "`Assistant.device` is found once, at the first batch",
    ),
)
