"""The page made of a record: docs/exhaustive.md."""

from __future__ import annotations

from collections.abc import Mapping

from validation.exhaustive.checks import PARTS
from validation.exhaustive.record import Progress

COMMAND = "python -m validation.exhaustive --page docs/exhaustive.md"

_INTRODUCTION = """\
# Arithmetic by exhaustion

Made by `{command}`, which goes on where it was interrupted; do not edit.

The tests try the arithmetic of the kernels on random and extreme numbers. This command tries all there are: it runs the
kernels' own functions, compiled as kernels are, over their whole domains, and compares every result with `==` with
that of a formula of its own. It ends with status 1, the part and the first input at a difference. On this page all
{compared} results were equal.

## What this proves, and what not

Where a domain is gone through whole, there is no input left on which the function could differ: for this code, as these
versions compiled it for this processor. That is more than an argument on paper, as it includes the compiler, the mode
of rounding and the processor's own arithmetic. It is less in these ways:

- It holds for a function, not for a network. That states stay in the domain (2^22 for float32) is looked at by the
  kernels at every step, see [architecture](architecture.md#what-is-exact-and-why).
- A compiler may make other code of a function within another loop. The loops here are built as those of the kernels
  are, and are not the same; `make validate` compares the kernels' own loops on networks.
- A formula can be wrong too. Each is written another way than the code it checks, and the tests show that it notices a
  change of the code.
- Domains of several numbers are too large: rotations, delays and sums take those that are listed, and the training step
  of CUBA a part of the decays.
- Other processors and versions run other code. The product of float32 in two parts, which other processors than x86
  take, is checked here on this one; `validation/exhaustive/test_exhaustive.py` also runs the rotations as if they
  were such a processor. Run the command on yours.
"""


def page(parts: Mapping[str, Progress]) -> str:
    """The page of the progress of all parts, each of which is finished."""
    compared = sum(parts[name].compared for name in PARTS)
    lines = [_INTRODUCTION.format(command=COMMAND, compared=f"{compared:,}"), "## What was covered", ""]
    lines += ["| part | results compared | seconds | threads | finished |", "|---|---:|---:|---:|---|"]
    for name, part in PARTS.items():
        progress = parts[name]
        figures = f"{progress.compared:,} | {progress.seconds:.0f} | {progress.threads} | {progress.finished}"
        lines.append(f"| [{part.title}](#{_anchor(part.title)}) | {figures} |")
    lines.append("")
    for name, part in PARTS.items():
        lines += [f"### {part.title}", "", f"`--part {name}`", ""]
        lines += [f"- Domain: {part.domain}.", f"- What runs: {part.paths}.", f"- Formula: {part.formula}.", ""]
    lines += ["## With what", "", "| | |", "|---|---|"]
    setting = dict(next(iter(parts.values())).setting)
    setting["sources"] = f"sha256 {setting['sources'][:16]}... of the kernels, the quantisers and the checks"
    lines += [f"| {name} | {value} |" for name, value in setting.items()]
    return "\n".join(lines) + "\n"


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-")
