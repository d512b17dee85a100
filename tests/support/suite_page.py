"""The coverage of the conformance suite: the page `docs/conformance.md`, made of the cases themselves.

    python -m tests.support.suite_page docs/conformance.md

writes it.
"""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

import numpy as np

from lavadl_ref.testing import vectors

_INTRODUCTION = """\
# Coverage of the conformance suite

`make pages` generates this page from the cases; do not edit it. [rtl.md](rtl.md) and [porting.md](porting.md) explain
how to use the cases. Each case exists with the device's widths (`loihi`) and without widths (`slayer`); the figures
count both.

Suite {suite} has {cases} cases, for which a port answers with {integers:,} integers.

## Level 1: neurons

The table gives the number of neuron steps and, in brackets, the number of steps in which the neuron sends something.

"""
_LAYERS = """
## Level 2: layers

The table gives the number of cases for each family of neurons; `-` means none.

"""
_NETWORKS = """
## Level 3: networks

| network | shows | layers | families | messages at the output |
|---|---|---:|---|---:|
"""


@cache
def all_cases() -> tuple[vectors.Case | vectors.NetworkCase, ...]:
    """Every case of the suite."""
    return tuple(vectors.suite())


def page() -> str:
    """The page."""
    cases = all_cases()
    lines = [_INTRODUCTION.format(suite=vectors.SUITE, cases=len(cases), integers=sum(map(_answered, cases)))]
    lines += [_neurons([case for case in cases if isinstance(case, vectors.Case)]), _LAYERS]
    networks = [case for case in cases if isinstance(case, vectors.NetworkCase)]
    lines += [_layers([case for case in networks if case.level == 2]), _NETWORKS]
    lines += _networks([case for case in networks if case.level == 3])
    return "".join(lines)


def _answered(case: vectors.Case | vectors.NetworkCase) -> int:
    if isinstance(case, vectors.Case):
        return case.steps * case.lanes * (1 + len(case.states))
    return sum(np.size(rows) for rows in case.answer.values())


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |\n"


def _neurons(cases: list[vectors.Case]) -> str:
    names = list(dict.fromkeys((case.name, case.shows) for case in cases))
    families = list(vectors.DEFINITIONS)
    lines = [_row(["case", "shows", *(f"`{family}`" for family in families)])]
    lines.append(_row(["---", "---", *["---:"] * len(families)]))
    for name, shows in names:
        figures = []
        for family in families:
            found = [case for case in cases if (case.family, case.name) == (family, name)]
            steps = sum(case.steps * case.lanes for case in found)
            sent = sum(np.count_nonzero(case.spike) for case in found)
            figures.append(f"{steps:,} ({sent:,})" if found else "-")
        lines.append(_row([f"`{name}`", shows, *figures]))
    return "".join(lines)


def _feature(case: vectors.NetworkCase) -> str:
    """The name of a case without the family that it ends with."""
    return next((case.name.removesuffix(f"-{family}") for family in case.families if family in case.name), case.name)


def _layers(cases: list[vectors.NetworkCase]) -> str:
    families = list(vectors.DEFINITIONS)
    lines = [_row(["case", "shows", *(f"`{family}`" for family in families), "no neurons"])]
    lines.append(_row(["---", "---", *["---:"] * (len(families) + 1)]))
    for name, shows in dict.fromkeys((_feature(case), case.shows) for case in cases):
        of_name = [case for case in cases if _feature(case) == name]
        counts = [sum(case.families == (family,) for case in of_name) for family in families]
        counts.append(sum(not case.families for case in of_name))
        lines.append(_row([f"`{name}`", shows, *(str(count or "-") for count in counts)]))
    return "".join(lines)


def _networks(cases: list[vectors.NetworkCase]) -> list[str]:
    lines = []
    for case in cases:
        if case.widths == "loihi":
            kinds = ", ".join(f"`{family}`" for family in case.families)
            sent = np.count_nonzero(case.answer["output"])
            lines.append(_row([f"`{case.name}`", case.shows, str(case.layers), kinds, str(sent)]))
    return lines


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
