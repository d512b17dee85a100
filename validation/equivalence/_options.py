"""The columns of the equivalence matrix: what a block or a run is asked for, and what has no such thing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from lavadl_ref import exchange
from lavadl_ref.deployed.deployment import UnsupportedLayer
from lavadl_ref.slayer import neuron
from lavadl_ref.slayer.neuron.norm import MeanOnlyBatchNorm, WgtScaleBatchNorm
from lavadl_ref.slayer.neuron.sigma_delta import identity
from tests.support.matrix import BLOCKS, FAMILIES, SPIKING


@dataclass(frozen=True)
class Option:
    """A column."""

    title: str
    what: str  #: for the page
    params: Mapping[str, Any] = field(default_factory=dict)  #: arguments of the neuron
    arguments: Mapping[str, Any] = field(default_factory=dict)  #: arguments of the block
    per_channel: bool = False
    persistent: bool = False
    shift: bool = False  #: whether the block gets the shift that is not its family's default
    exponent: int = 0  #: sign that the weight exponent must have
    then: Callable[[Any], None] | None = None  #: done to the block after its first pass
    run: Mapping[str, Any] = field(default_factory=dict)  #: arguments of the deployed network
    cut: bool = False  #: whether parts of the network run
    mixed: bool = False  #: whether the other block is of another family
    biased: bool = False  #: whether the block beside it has a norm too
    described: bool = True  #: whether the file of the block must differ from the plain one's


def _delays(block: Any) -> None:
    block.delay.delay.data = torch.arange(block.delay.delay.numel()) % 4 + 0.5


def _calm(block: Any) -> None:
    """Feedback of values that does not grow from step to step."""
    if hasattr(block, "self_excitation"):
        block.self_excitation.data.fill_(0)
    for name, weight in block.named_parameters():
        if "recurrent_synapse" in name:
            weight.data /= 8


def _bias(block: Any) -> None:
    block.neuron.set_bias((torch.arange(block.shape[0]) - 1) / 16)


def _input_bias(block: Any) -> None:
    synapse = getattr(block, "input_synapse", None) or block.synapse
    for part in (synapse.real, synapse.imag) if synapse.complex else (synapse,):
        part.bias.data = (torch.arange(part.out_channels) % 3 - 1) / 16 + 0.003


_MEAN = {"norm": MeanOnlyBatchNorm}
_SCALE = {"norm": WgtScaleBatchNorm}

OPTIONS: dict[str, Option] = {
    "plain": Option("plain", "the block as it is", described=False),
    "channels": Option("per channel", "`shared_param=False`: parameters drawn for each channel", per_channel=True),
    "persistent": Option(
        "persistent", "`persistent_state=True`: slayer takes the steps in calls of 1, 9, 2 and the rest",
        persistent=True, described=False,
    ),
    "delay": Option("delay", "`delay=True`: axonal delays of 0 to 3 steps", arguments={"delay": True}, then=_delays),
    "shift": Option("other shift", "`delay_shift=False`, `True` for sigma-delta", shift=True),
    "mean": Option("mean", "`MeanOnlyBatchNorm`: a bias", params=_MEAN),
    "fine": Option("scale up", "`WgtScaleBatchNorm`: a bias, a negative weight exponent", params=_SCALE, exponent=-1),
    "coarse": Option("scale down", "`WgtScaleBatchNorm`: a bias, a positive exponent", params=_SCALE, exponent=1),
    "graded": Option("graded", "`graded_spike=True`", params={"graded_spike": True}, then=_calm),
    "input_bias": Option(
        "input bias", "`input_bias=True`: a bias of the weighted sums",
        arguments={"input_bias": True}, then=_input_bias,
    ),
    "weight_norm": Option("weight norm", "`weight_norm=True`", arguments={"weight_norm": True}, described=False),
    "dropout": Option("dropout", "`Dropout(0.5)`, evaluated", params={"dropout": neuron.Dropout(0.5)}, described=False),
    "reset": Option(
        "resets", "`reset_interval=7`, staggered with the data; slayer takes what is between as samples",
        run={"reset_interval": 7}, described=False,
    ),
    "base": Option(
        "time base", '`time_base="lava"`: all layers begin at step 0; both blocks have biases where they can',
        params=_MEAN, run={"time_base": "lava"}, biased=True, described=False,
    ),
    "sparse": Option("sparse", "`sparse_fc_layer=True`", run={"sparse_fc_layer": True}, described=False),
    "cut": Option("parts", "`num_layers` and `skip_layers`: each part of the network alone", cut=True, described=False),
    "mixed": Option(
        "mixed", "in front of, or behind, a block of another family; over all blocks, of each other",
        mixed=True, described=False,
    ),
    "cum_error": Option("cum_error", "`cum_error=True`", params={"cum_error": True}),
    "set_bias": Option("set_bias", "`neuron.set_bias` of both signs", then=_bias),
    "identity": Option("identity", "`activation=identity`", params={"activation": identity}),
    "spike_exp": Option(
        "spike_exp=8", "`spike_exp=8`: messages in 1/16384", run={"spike_exp": 8}, described=False,
    ),
}  # fmt: skip

#: Tables of the page: title, options.
GROUPS: dict[str, tuple[str, ...]] = {
    "Parameters and state": ("plain", "channels", "persistent", "weight_norm", "dropout"),
    "Time": ("delay", "shift", "reset", "base"),
    "Values": ("mean", "fine", "coarse", "graded", "input_bias"),
    "The network": ("sparse", "cut", "mixed"),
    "Sigma-delta": ("cum_error", "set_bias", "identity", "spike_exp"),
}
OF_SIGMA_DELTA = GROUPS["Sigma-delta"]


@dataclass(frozen=True)
class Refusal:
    """Cells that do not exist: the error that must be raised, which is also the reason shown."""

    error: type[Exception]
    says: str  #: part of its message
    blocks: Collection[str]
    families: Collection[str] = tuple(FAMILIES)
    options: Collection[str] = tuple(OPTIONS)
    shown: str = ""  #: in front of the message

    def applies(self, block: str, family: str, option: str) -> bool:
        """Tell whether this is expected of a cell."""
        return block in self.blocks and family in self.families and option in self.options


_NEURONS = [name for name, block in BLOCKS.items() if block.neurons]
_NORMS = ("mean", "fine", "coarse", "base")
_NO_ARGUMENT = "unexpected keyword argument"

#: The first that applies to a cell is what must happen there.
REFUSALS = (
    Refusal(AttributeError, "has no attribute 'Output'", ["Output"], SPIKING),
    Refusal(
        TypeError, _NO_ARGUMENT, [name for name in _NEURONS if not BLOCKS[name].delays], options=["delay"],
    ),
    Refusal(
        TypeError, _NO_ARGUMENT, ["Input", "Pool", "Unpool", "Output"], options=["input_bias"],
    ),
    Refusal(ValueError, "needs neurons that spike", ["Recurrent", "KWTA"], ["sigma_delta"]),
    Refusal(ValueError, "input_bias must be False", list(BLOCKS), ["sigma_delta"], ["input_bias"]),
    Refusal(TypeError, _NO_ARGUMENT, list(BLOCKS), ["sigma_delta"], ["graded"]),
    Refusal(UnsupportedLayer, "averages over bins of time", ["TimeDecimation"]),
    Refusal(ValueError, "an input block with a norm cannot be exported", ["Input"], options=_NORMS[:3]),
    Refusal(ValueError, "cannot have WgtScaleBatchNorm", ["Recurrent", "KWTA"], options=("fine", "coarse")),
    Refusal(TypeError, _NO_ARGUMENT, ["Affine", "Output"], options=["shift"]),
    Refusal(TypeError, _NO_ARGUMENT, ["Input"], options=["weight_norm"]),
    Refusal(exchange.ExchangeError, "bias: must be absent in a layer", ["Pool", "Unpool"], options=["set_bias"]),
    Refusal(UnsupportedLayer, "leaves 32 bits on the scale", ["Affine"], options=["spike_exp"]),
)  # fmt: skip


_UNUSED = (
    (_NORMS[:3], ("Pool", "Unpool", "Output"), tuple(FAMILIES), "`{}` leaves out the norm"),
    (
        ("channels", "cum_error", "set_bias", "identity"), ("Output",), ("sigma_delta",),
        "`{}` sums messages and uses nothing else of its neuron",
    ),
    (("channels",), ("Affine",), ("sigma_delta",), "`{}` reads the activation, before any threshold"),
    (("set_bias",), ("Input",), ("sigma_delta",), "`{}` sends changes of its input, to which no bias is added"),
)  # fmt: skip


def without_effect(family: str, block: str, option: str) -> str | None:
    """The reason why the option leaves no trace in the file of the block; None where it must."""
    for options, names, families, why in _UNUSED:
        if option in options and block in names and family in families:
            return f"{why.format(block)}: the file is that of `plain`"
    return None
