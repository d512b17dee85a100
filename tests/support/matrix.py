"""Every neuron family with every block: the one list that tests and `docs/blocks.md` are made from.

    python -m tests.support.matrix docs/blocks.md

writes the table.
"""

from __future__ import annotations

import itertools
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from lavadl_ref.slayer import block as blocks
from tests.support import families

T = 24

_MEMBRANE = {"current_decay": 0.3, "voltage_decay": 0.1}
_ROTATION = {"period": 6, "decay": 0.1}
_ADAPTATION = {"threshold_step": 0.25, "threshold_decay": 0.2, "refractory_decay": 0.3}
_RANGES = {
    "current_decay": (0.1, 0.9),
    "voltage_decay": (0.05, 0.5),
    "period": (4.5, 12.0),
    "decay": (0.03, 0.3),
    "threshold_decay": (0.1, 0.6),
    "refractory_decay": (0.2, 0.7),
}

#: name: arguments of its neurons
FAMILIES: dict[str, dict[str, Any]] = {
    **{
        name: {"threshold": 0.5, **family.pick(_MEMBRANE, _ROTATION, _ADAPTATION)}
        for name, family in families.SPIKING.items()
    },
    "sigma_delta": {"threshold": 0.125, "activation": torch.nn.functional.relu},
}
SPIKING = list(families.SPIKING)
COMPLEX = list(families.COMPLEX)


@dataclass(frozen=True)
class Block:
    """A block, for any family."""

    what: str  #: for the documentation
    layer: str  #: type of the layer that it exports
    inputs: dict[str, tuple[tuple[Any, ...], tuple[int, ...]]]  #: form: arguments behind the neuron's, input (C, ...)
    neurons: bool = True
    delays: bool = False  #: whether it takes `delay`
    refuses: dict[str, str] = field(default_factory=dict)  #: family: why its block raises ValueError when made
    absent: dict[str, str] = field(default_factory=dict)  #: family: why it has no such block
    only: str = ""  #: why it takes one form of input


_FLAT, _SPACE, _FRAME = (12,), (2, 3, 2), (2, 6, 7)
_ONLY_SPACE = "convolutions and windows need height and width: (N, C, H, W, T)"
_NO_FEEDBACK = "needs neurons that spike"


def _dense(*arguments: Any) -> dict[str, Any]:
    """The forms of a block of which the input is flat, or has a size (x, y, z)."""
    return {"dense": ((12, *arguments), _FLAT), "spatial": (((2, 3, 2), *arguments), _SPACE)}


def _feedback(what: str, *arguments: Any, delays: bool) -> Block:
    return Block(what, "dense_rec", _dense(*arguments), delays=delays, refuses={"sigma_delta": _NO_FEEDBACK})


BLOCKS: dict[str, Block] = {
    "Input": Block(
        "neurons driven by the network's input, scaled and shifted",
        "input",
        {"dense": ((1.5, 0.125), (6,)), "spatial": ((1.5, 0.125), _FRAME)},
    ),
    "Dense": Block("fully connected neurons", "dense", _dense(5, 3), delays=True),
    "Conv": Block(
        "neurons behind a convolution",
        "conv",
        {"spatial": ((2, 4, (3, 2), (2, 1), 1, (1, 2), 2, 3), _FRAME)},
        delays=True,
        only=_ONLY_SPACE,
    ),
    "ConvT": Block(
        "neurons behind a transposed convolution",
        "convT",
        {"spatial": ((2, 4, (3, 2), (2, 1), 1, 1, 2, 3), _FRAME)},
        delays=True,
        only=_ONLY_SPACE,
    ),
    "Pool": Block(
        "neurons that sum windows of each channel", "pool", {"spatial": ((2,), _FRAME)}, delays=True, only=_ONLY_SPACE
    ),
    "Unpool": Block(
        "neurons that each copy one input over a window",
        "unpool",
        {"spatial": (((2, 3),), _FRAME)},
        delays=True,
        only=_ONLY_SPACE,
    ),
    "Recurrent": _feedback("fully connected neurons with trained feedback", 5, 3, delays=True),
    "KWTA": _feedback("neurons that inhibit each other: about `num_winners` fire", 5, 2, 0.5, 3, delays=False),
    "Affine": Block("weighted sums, integrated and read out without spikes", "dense", _dense(5, 3)),
    "Output": Block(
        "sums over time of weighted messages",
        "dense",
        _dense(5, 3),
        absent=dict.fromkeys(SPIKING, "it sums messages; of spiking neurons `Affine` is read out"),
    ),
    "Flatten": Block(
        "channels and space on one axis", "flatten", {"dense": ((), _FLAT), "spatial": ((), _FRAME)}, neurons=False
    ),
    "Average": Block(
        "mean over groups of channels and all space",
        "average",
        {"dense": ((3,), _FLAT), "spatial": ((2,), _FRAME)},
        neurons=False,
    ),
    "TimeDecimation": Block(
        "mean over bins of time",
        "time_decimation",
        {"dense": ((4,), _FLAT), "spatial": ((4,), _FRAME)},
        neurons=False,
    ),
}


@dataclass(frozen=True)
class Case:
    """One combination."""

    family: str
    block: str
    form: str  #: 'dense' for (N, C, T), 'spatial' for (N, C, H, W, T)
    per_channel: bool = False
    persistent: bool = False

    def __str__(self) -> str:
        parts = [self.family, self.block, self.form]
        return "-".join(parts + ["own"] * self.per_channel + ["persistent"] * self.persistent)

    @property
    def module(self) -> ModuleType:
        module: ModuleType = getattr(blocks, self.family)
        return module

    @property
    def params(self) -> dict[str, Any]:
        """Arguments of the neuron."""
        params = {**FAMILIES[self.family], "requires_grad": True, "persistent_state": self.persistent}
        if self.per_channel:
            ranges = {"threshold": (0.07, 0.4)} if self.family == "sigma_delta" else _RANGES
            params.update({name: value for name, value in ranges.items() if name in params}, shared_param=False)
        return params

    def build(self, seed: int = 1, norm: Any = None, **options: Any) -> Any:
        """The block, its weights and parameters drawn from `seed`."""
        torch.manual_seed(seed)
        arguments, _ = BLOCKS[self.block].inputs[self.form]
        if not BLOCKS[self.block].neurons:
            return getattr(self.module, self.block)(*arguments, **options)
        params = self.params if norm is None else {**self.params, "norm": norm}
        return getattr(self.module, self.block)(params, *arguments, **options)

    def input(self, seed: int = 0, steps: int = T) -> torch.Tensor:
        """An input that the block may receive: spikes, messages of both signs, or for an input block real numbers."""
        shape = (2, *BLOCKS[self.block].inputs[self.form][1], steps)
        generator = torch.Generator().manual_seed(seed)
        events = (torch.rand(shape, generator=generator) < 0.3).float()
        if self.block == "Input":
            return torch.randn(shape, generator=generator)
        if self.family == "sigma_delta":
            return events * torch.randint(-32, 33, shape, generator=generator) / 32
        return events


def cases(*, neurons: bool = True, states: bool = True) -> list[Case]:
    """All combinations that make sense; without `states` only shared parameters, nothing persistent."""
    return [
        Case(family, name, form, per_channel, persistent)
        for name, block in BLOCKS.items()
        for family in FAMILIES
        for form in block.inputs
        for per_channel, persistent in itertools.product((False, True) if neurons and states else (False,), repeat=2)
        if block.neurons is neurons and family not in block.refuses and family not in block.absent
    ]


def refused() -> list[tuple[Case, str]]:
    """Blocks that raise when they are made, and what the error says."""
    return [
        (Case(family, name, "dense"), reason)
        for name, block in BLOCKS.items()
        for family, reason in block.refuses.items()
    ]


def table() -> str:
    """The page ``docs/blocks.md``."""
    head = ["block", "what it is", "layer in a file", *(f"`{family}`" for family in FAMILIES)]
    lines = [_INTRODUCTION, _row(head), _row(["---"] * 3 + [":-:"] * len(FAMILIES))]
    notes: list[str] = []
    for name, block in BLOCKS.items():
        marks = [_mark(name, block, family, notes) for family in FAMILIES]
        what = block.what + ("" if block.neurons else "; no neurons")
        lines.append(_row([f"`{name}`", what, f"`{block.layer}`", *marks]))
    lines += ["", *(f"{number}. {note}" for number, note in enumerate(notes, 1)), "", _REMARKS]
    return "\n".join(lines)


def _row(columns: list[str]) -> str:
    return f"| {' | '.join(columns)} |"


def _mark(name: str, block: Block, family: str, notes: list[str]) -> str:
    if family in block.refuses:
        note = f"`{family}.{name}` raises `ValueError` when it is made: {_error(Case(family, name, 'dense'))}."
    elif family in block.absent:
        note = f"`{name}` exists for sigma-delta only: {block.absent[family]}."
    else:
        return "yes"
    if note not in notes:
        notes.append(note)
    return f"no ({notes.index(note) + 1})"


def _error(case: Case) -> str:
    try:
        case.build()
    except ValueError as error:
        return str(error)
    raise AssertionError(f"{case} was made")


_INTRODUCTION = """\
# Blocks

Blocks are named `slayer.block.<family>.<block>`. Each block trains and exports, and `slayer.auto.SequentialNetwork`
rebuilds it from its file with equal output: with shared or per-channel parameters, with or without persistent state,
and for input (N, C, T) or (N, C, H, W, T). The tests run over the same list from which this page is generated.
"""
_RESONATORS = ", ".join(f"`{name}`" for name in COMPLEX)
_REMARKS = f"""\
- `Conv`, `ConvT`, `Pool` and `Unpool` take no input (N, C, T): {_ONLY_SPACE.partition(":")[0]}.
- `Dense`, `Recurrent`, `KWTA`, `Affine` and `Output` take a frame (C, H, W) flattened, or unflattened if `in_neurons`
  is its size (W, H, C). A file holds flat weights: if it begins with such a layer, the rebuilt network takes flattened
  input.
- Resonators ({_RESONATORS}) have complex weights and biases. An input block drives their real part.
- `Dense`, `Conv`, `ConvT`, `Recurrent`, `KWTA` and `Affine` of spiking families take `input_bias=True`: a constant for
  each channel, trained as `synapse.bias` (for `Recurrent`: `input_synapse.bias`) and rounded to 1/64, is added to the
  weighted sums. A file stores it as `inputBias` for `cuba` and as `bias` for other families. `Recurrent` and `KWTA`
  also add the tensor assigned to their `bias`, sigma-delta neurons the one passed to `set_bias`.
- `KWTA` exports as the equivalent feedback, and is rebuilt as `Recurrent`.
- `Affine(dynamics=False)` exports as a layer without neurons. For resonators it exports only the imaginary weights,
  which give its output.
- `Recurrent` and `KWTA` refuse `WgtScaleBatchNorm`: its scale would change while the neurons feed back.
- A norm in an input block trains, but its export is refused: an input layer of a file has no place for it.
- `Pool` and `Unpool` leave out the norm that their neuron's arguments name.
- `Dense` on a frame larger than `in_neurons` says is a convolution, and exports as one.
- Hooks of all parts run but these: the neuron of `Affine`, whose `dynamics` are read; of `Output` and of the `Input` of
  sigma-delta neurons, of which only the quantiser and `delta` act; norms of neurons that feed back, which subtract a
  running mean. A hook of `recurrent_synapse` sees all steps at once, and must not change them.
"""

if __name__ == "__main__":
    Path(sys.argv[1]).write_text(table(), encoding="utf-8")
