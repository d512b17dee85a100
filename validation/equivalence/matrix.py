"""The equivalence matrix: every family with every block and every option, on every path.

    python -m validation.equivalence.matrix docs/equivalence.md

writes the page; it fails if paths differ anywhere.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import torch

from lavadl_ref import exchange
from lavadl_ref.netx import lava_support
from lavadl_ref.netx.plan.network import LayerPlan
from lavadl_ref.netx.plan.process_spec import ProcessSpec
from tests.support.matrix import BLOCKS, FAMILIES
from validation.equivalence._cells import Cell, Known, cell
from validation.equivalence._networks import STEPS
from validation.equivalence._options import GROUPS, OF_SIGMA_DELTA, OPTIONS

Key = tuple[str, str, str]  #: family, block, option
Cells = dict[Key, Cell]


def keys() -> list[Key]:
    """All cells, in the order of the page."""
    return [
        (family, block, option)
        for options in GROUPS.values()
        for block in BLOCKS
        for option in options
        for family in (["sigma_delta"] if option in OF_SIGMA_DELTA else FAMILIES)
    ]


def cells(show: bool = False) -> Cells:
    """Compare the paths in every cell."""
    known: Known = {}
    found: Cells = {}
    for number, key in enumerate(keys(), 1):
        found[key] = cell(*key, known)
        if show:
            print(f"\r{number} of {len(keys())} cells", end="", file=sys.stderr)
    if show:
        print(file=sys.stderr)
    return found


def differences(found: Cells) -> list[str]:
    """The cells that are not equal, or not explained."""
    lines = [f"{', '.join(key)}: {text}" for key, one in found.items() for text in one.differences]
    return lines + [f"{', '.join(key)}: no reason" for key, one in found.items() if one.refused and not one.notes]


# -- the page -------------------------------------------------------------------------------------


def page(found: Cells) -> str:
    """``docs/equivalence.md``."""
    notes: list[str] = []
    tables = [line for title, options in GROUPS.items() for line in _group(title, options, found, notes)]
    compared = sum(one.compared for one in found.values())
    lines = [
        _INTRODUCTION.format(cells=len(found), compared=f"{compared:,}", equal=_count(found), steps=STEPS),
        *tables,
        "## Reasons",
        "",
        *(f"{number}. {note}" for number, note in enumerate(notes, 1)),
        "",
        *_processes(found),
    ]
    return "\n".join(lines)


def _count(found: Cells) -> int:
    return sum(one.mark == "=" for one in found.values())


def _row(columns: list[str]) -> str:
    return f"| {' | '.join(columns)} |"


def _head(columns: list[str]) -> list[str]:
    return [_row(columns), _row(["---"] + [":-:"] * (len(columns) - 1))]


def _group(title: str, options: tuple[str, ...], found: Cells, notes: list[str]) -> list[str]:
    """One table: the marks of its options in each cell; of sigma-delta alone, a column for each option."""
    lines = [f"## {title}", ""]
    if options == OF_SIGMA_DELTA:
        lines += ["Options of `sigma_delta` only:", ""]
    lines += [f"{number}. {OPTIONS[option].what}" for number, option in enumerate(options, 1)]
    lines.append("")
    if options == OF_SIGMA_DELTA:
        lines += _head(["block", *(OPTIONS[option].title for option in options)])
        for block in BLOCKS:
            lines.append(_row([f"`{block}`", *(_mark(found["sigma_delta", block, o], notes) for o in options)]))
    else:
        lines += _head(["block", *(f"`{family}`" for family in FAMILIES)])
        for block in BLOCKS:
            marks = [" ".join(_mark(found[f, block, o], notes) for o in options) for f in FAMILIES]
            lines.append(_row([f"`{block}`", *marks]))
    return [*lines, ""]


def _mark(one: Cell, notes: list[str]) -> str:
    for note in map(_general, one.notes):
        if note not in notes:
            notes.append(note)
    return one.mark + ",".join(str(notes.index(_general(note)) + 1) for note in one.notes)


def _general(note: str) -> str:
    """The reason without the name of the family."""
    for family in FAMILIES:
        note = note.replace(f"lavadl_ref.slayer.block.{family}'", "slayer.block.<family>'")
    return note.replace("<family>", "…")


# -- processes ------------------------------------------------------------------------------------

_CONDITIONS: tuple[tuple[str, str, str], ...] = (
    ("plain", "Dense", "plain"),
    ("parameters per channel", "Dense", "channels"),
    ("bias from the layer's start", "Dense", "mean"),
    ("bias from step 0", "Dense", "base"),
    ("bias of the weighted sums", "Dense", "input_bias"),
    ("weight exponent", "Dense", "coarse"),
    ("graded spikes", "Dense", "graded"),
    ("resets", "Dense", "reset"),
    ("driven by the input", "Input", "plain"),
    ("feedback", "Recurrent", "plain"),
    ("feedback of competitors", "KWTA", "plain"),
    ("read out", "Affine", "plain"),
    ("sums read out", "Output", "plain"),
)


def _processes(found: Cells) -> list[str]:
    lines = ["## Processes on Lava", "", "Processes of the neurons; * marks those of this package.", ""]
    lines += _head(["condition", *(f"`{family}`" for family in FAMILIES)])
    for title, block, option in _CONDITIONS:
        ones = [found[family, block, option] for family in FAMILIES]
        lines.append(_row([title, *(_named(one, lambda plans: plans[0].neuron) for one in ones)]))
    lines.append(_row(["behind another family", *(_behind(found, family) for family in FAMILIES)]))
    lines += ["", "Processes of the synapses; resonators have two, for real and imaginary weights:", ""]
    lines += _head(["block", "plain", "`sparse_fc_layer`"])
    for block in BLOCKS:
        marks = [_named(found[f, block, "plain"], _synapse) for f in FAMILIES]
        sparse = [_named(found[f, block, "sparse"], _synapse) for f in FAMILIES]
        if BLOCKS[block].layer not in ("input", "flatten", "time_decimation"):
            lines.append(_row([f"`{block}`", _joined(marks), _joined(sparse)]))
    delayed = _joined([_named(found[f, "Dense", "delay"], _synapse_behind) for f in FAMILIES])
    lines += ["", f"Axonal delays are in the fully connected synapse behind, {delayed}; else in `DelayLine`*.", ""]
    return lines


Plans = tuple[LayerPlan, LayerPlan | None]


def _synapse(plans: Plans) -> ProcessSpec | None:
    return plans[0].synapse


def _synapse_behind(plans: Plans) -> ProcessSpec | None:
    return None if plans[1] is None else plans[1].synapse


def _named(one: Cell, of: Callable[[Plans], ProcessSpec | None]) -> str:
    """Names of the processes that plans of a cell have."""
    names = {_name(of(plans)) for plans in one.plans}
    return _joined(sorted(names)) or "–"


def _name(choice: ProcessSpec | None) -> str:
    return "" if choice is None else f"`{choice.process}`" + "*" * str(choice).endswith("(own)")


def _joined(names: list[str]) -> str:
    """Each of the names once."""
    return ", ".join(dict.fromkeys(name for name in names if name not in ("", "–")))


def _behind(found: Cells, family: str) -> str:
    """The process of this family's neurons behind a layer of another."""
    names = []
    for (_, _, option), one in found.items():
        if option == "mixed":
            for _, after in one.plans:
                if after is not None and after.layer.neuron is not None:
                    own = list(exchange.FAMILIES)[list(FAMILIES).index(family)] == after.layer.neuron.type
                    names += [_name(after.neuron)] * own
    return _joined(names)


_INTRODUCTION = """\
# Equivalence

`python -m validation.equivalence.matrix docs/equivalence.md` generates this page, and fails if implementations differ.

Each of the {cells} cells (family, block, option) is a network of slayer's blocks: the block and a `Dense` block next to
it, so that errors in timing show. The network has run in training mode, sends messages, and is compared over {steps}
steps. `=` means that all of these give the same integers:

- **naive**: the oracle in plain Python (`tests/support/oracle/network.py`): every message and every state at every
  step;
- **kernel** and **slayer**: the trained blocks in memory, which run on the training kernels, and the blocks rebuilt
  from the file: every message at every step;
- **reference**: the file on the deployed kernels, with which the others are compared;
- **Lava**: the processes made from the file: every message at every step and every state at the end.

A number after `=` refers to the reason why one implementation is not compared or why the option changes nothing. `–`
means that the cell does not exist; its reason is the error that is raised. {equal} cells are `=`; {compared} integers
are compared, counting equal files and inputs once. For `Flatten`, `Average` and `TimeDecimation`, which have no
neurons, the options are those of the block before them.
"""


def main() -> int:
    """0 if all paths agree, or one of them cannot run here, which leaves the page as it is."""
    usable, why = lava_support.available()
    if not usable:
        print(f"the equivalence matrix needs Lava: {why}", file=sys.stderr)
        return 0
    torch.set_num_threads(1)
    found = cells(show=sys.stderr.isatty())
    for line in differences(found):
        print(line, file=sys.stderr)
    if differences(found):
        return 1
    Path(sys.argv[1]).write_text(page(found), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
