"""Cases as plain text, which programs in C and test benches in SystemVerilog read without a parser.

Everything is words between white space.  A case begins with records, ``NAME COUNT VALUE...``, each on a line of its
own; then come its pieces, ``run 1 STEPS`` and a line of integers for each step.  A port answers each piece with
a line of integers for each step.  ``docs/rtl.md`` describes both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lavadl_ref.testing.vectors.cases import Case
from lavadl_ref.testing.vectors.networks import NetworkCase, Values

SUITE = 1  #: the version of the cases, whose integers never change within it
Rows = list[list[int]]


@dataclass(frozen=True)
class Script:
    """A case as a port meets it."""

    label: str
    level: int
    records: tuple[tuple[str, Values], ...]  #: what is said before the first step
    chunks: tuple[int, ...]
    stimulus: Rows  #: (T, K) integers that the port reads
    answer: dict[str, Rows]  #: (T, M) integers of each quantity that it answers with, in the order of a line

    @property
    def expected(self) -> Rows:
        """The lines of the answer, (T, sum of M)."""
        return [[number for row in rows for number in row] for rows in zip(*self.answer.values(), strict=True)]

    def head(self) -> str:
        """The records as text."""
        return "".join(f"{_record(name, values)}\n" for name, values in self.records)

    def pieces(self) -> Iterator[tuple[int, str]]:
        """The steps of each piece and its text."""
        begin = 0
        for steps in self.chunks:
            yield steps, f"{_record('run', (steps,))}\n{_lines(self.stimulus[begin : begin + steps])}"
            begin += steps


def script(case: Case | NetworkCase) -> Script:
    """A case as a port meets it."""
    level, lanes = (case.level, ()) if isinstance(case, NetworkCase) else (1, (case.lanes,))
    records: list[tuple[str, Values]] = [
        ("case", (case.label,)),
        ("suite", (SUITE,)),
        ("level", (level,)),
        ("widths", (case.widths,)),
    ]
    if isinstance(case, NetworkCase):
        answer, stimulus = case.answer, case.inputs.tolist()
        records += [("steps", (case.steps,)), ("sources", (case.inputs.shape[1],)), ("layers", (len(case.positions),))]
        records += [("answer", tuple(answer)), *case.records]
    else:
        answer = {"spike": case.spike, **case.states}
        stimulus = [[number for row in rows for number in row] for rows in zip(*case.inputs.values(), strict=True)]
        records += [("steps", (case.steps,)), ("lanes", lanes), ("family", (case.family,))]
        records += [("inputs", tuple(case.inputs)), ("answer", tuple(answer))]
        records += [(f"parameter.{name}", tuple(values)) for name, values in case.parameters.items()]
        records += [(f"state.{name}", tuple(values)) for name, values in case.state.items()]
    return Script(case.label, level, tuple(records), case.chunks, stimulus, answer)


def files(case: Case | NetworkCase) -> dict[str, str]:
    """The texts of a case by the names of their files.

    Parameters
    ----------
    case : Case or NetworkCase

    Returns
    -------
    dict of str
        ``stimulus.txt``, all that a port reads; ``expected.txt``, what it answers; the numbers of both, and those of
        the records one behind the other, as ``.mem`` files of hexadecimal words of 64 bits for ``$readmemh``; and
        ``case.svh``, which says where the numbers of each record begin, and how many there are.
    """
    told = script(case)
    found = {
        "stimulus.txt": told.head() + "".join(piece for _, piece in told.pieces()),
        "expected.txt": _lines(told.expected),
        "stimulus.mem": _memory(told.stimulus),
        "expected.mem": _memory(told.expected),
    }
    numbers: dict[str, Sequence[int]] = {}
    layer = ""
    for name, values in told.records:
        if name == "layer":
            layer = f"layer{values[0]}."
        elif all(isinstance(value, int) for value in values):
            numbers[f"{layer}{name}"] = [int(value) for value in values]
    lines, place = [f"// {told.label}: localparams of a test bench"], 0
    for name, given in numbers.items():
        if len(given) == 1:
            lines.append(f"localparam longint {_constant(name)} = {given[0]};")
        lines.append(f"localparam int {_constant(name)}_AT = {place}, {_constant(name)}_COUNT = {len(given)};")
        place += len(given)
    widths = len(told.stimulus[0]), len(told.expected[0])
    lines.append(f"localparam int RECORDS = {place}, STIMULUS_WIDTH = {widths[0]}, EXPECTED_WIDTH = {widths[1]};")
    found["records.mem"] = _memory(list(numbers.values()))
    found["case.svh"] = "".join(f"{line}\n" for line in lines)
    return found


def _constant(name: str) -> str:
    return name.replace(".", "_").upper()


def _record(name: str, values: Sequence[int | str]) -> str:
    return " ".join([name, str(len(values)), *map(str, values)])


def _lines(rows: Rows) -> str:
    return "".join(f"{' '.join(map(str, row))}\n" for row in rows)


def _memory(rows: Sequence[Sequence[int]]) -> str:
    """Words of 64 bits, two's complement, a line for each row."""
    return "".join(f"{' '.join(f'{number & (2**64 - 1):016x}' for number in row)}\n" for row in rows)
