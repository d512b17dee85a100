"""Comparison of another implementation of the neurons with the golden cases, integer by integer."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from lavadl_ref._arguments import brief
from lavadl_ref.testing.vectors.cases import Case, Rows
from lavadl_ref.testing.vectors.dialogue import Dialogue, DialogueError
from lavadl_ref.testing.vectors.suite import suite
from lavadl_ref.testing.vectors.text import SUITE, Script, script

VERSION = 1  #: of the files and of the protocol
_INTEGER = re.compile(r"-?[0-9]{1,30}")


@dataclass(frozen=True)
class Divergence:
    """The first integer of a case that differs."""

    case: str
    quantity: str  #: ``spike``, or the name of a state
    step: int
    lane: int
    expected: int
    found: int

    def __str__(self) -> str:
        return (
            f"{self.case}: {self.quantity} at step {self.step}, lane {self.lane}: "
            f"expected {self.expected}, found {self.found}"
        )


@dataclass(frozen=True)
class Report:
    """The outcome of comparing another implementation."""

    total: int  #: cases in all
    equal: int  #: cases of which every integer agrees
    integers: int  #: integers compared
    divergences: tuple[Divergence, ...]  #: the first one of each case that differs
    failure: str | None = None  #: why the comparison stopped early

    @property
    def exact(self) -> bool:
        """True if every case was run and agrees."""
        return self.equal == self.total and self.failure is None

    def __str__(self) -> str:
        lines = [f"first divergence: {divergence}" for divergence in self.divergences]
        if self.failure is not None:
            lines.append(f"stopped: {self.failure}")
        lines.append(f"{self.equal} of {self.total} cases exact, {self.integers:,} integers compared")
        return "\n".join(lines)


class AnswerError(ValueError):
    """An answer that is not of the form that was asked for."""


def check(
    command: str | Sequence[str],
    families: str | Iterable[str] | None = None,
    widths: str | Iterable[str] | None = None,
    timeout: float = 10.0,
    *,
    levels: int | Iterable[int] = 1,
    version: int = SUITE,
    text: bool = False,
) -> Report:
    """Run the golden cases through another program and compare every integer.

    The program reads one JSON object from each line of its standard input and answers each with one line containing a
    JSON object; ``docs/porting.md`` describes both. With `text` it reads and writes plain text instead, which
    ``docs/rtl.md`` describes, and keeps its own states from piece to piece.

    Parameters
    ----------
    command : str or sequence of str
        The program and its arguments, which is run directly, not by a shell.
    families, widths : str or iterable of str, optional
        The cases to run, as in `suite`.
    timeout : float
        Seconds that one answer may take.
    levels : int or iterable of int
        1 neurons, 2 layers, 3 networks.
    version : int
        Of the suite: there is 1.
    text : bool
        If True, use plain text; it is the only form for layers and networks.

    Returns
    -------
    Report
        A program that does not start, hangs, ends early or answers in another form counts as a failure in the report.

    Raises
    ------
    ValueError
        If a family, width, level or version is unknown, `command` is empty or `timeout` not positive; or if layers or
        networks are asked for without `text`.

    Examples
    --------
    A program that answers every request with its own text, as ``cat`` does, fails at the first case.

    >>> report = check("cat", "CUBA", "slayer", timeout=600.0)
    >>> report.exact, report.equal, report.total
    (False, 0, 10)
    """
    wanted = list(suite(levels, families, widths, version))
    if not isinstance(text, bool):
        raise TypeError(f"text must be a bool, got {brief(text)}")
    if not text and not all(isinstance(case, Case) for case in wanted):
        raise ValueError("text must be true for levels 2 and 3, got false (--text)")
    equal = integers = 0
    divergences: list[Divergence] = []
    failure = None
    try:
        with Dialogue(command, timeout) as dialogue:
            for case in wanted:
                try:
                    if text:
                        count, divergence = _compare_text(dialogue, script(case))
                    else:
                        assert isinstance(case, Case)
                        count, divergence = _compare(dialogue, case)
                except (DialogueError, AnswerError) as error:
                    failure = f"{case.label}: {error}"
                    break
                integers += count
                if divergence is None:
                    equal += 1
                else:
                    divergences.append(divergence)
    except DialogueError as error:
        failure = str(error)
    return Report(len(wanted), equal, integers, tuple(divergences), failure)


def _compare_text(dialogue: Dialogue, told: Script) -> tuple[int, Divergence | None]:
    """As `_compare`, in plain text: the program keeps its states, which are told before the first piece alone."""
    begin, compared, head = 0, 0, told.head()
    for steps, piece in told.pieces():
        lines = dialogue.ask((head + piece)[:-1], steps).split("\n")
        head, expected = "", {name: rows[begin : begin + steps] for name, rows in told.answer.items()}
        found: dict[str, Rows] = {name: [] for name in told.answer}
        for t, line in enumerate(lines):
            numbers = _numbers(line, begin + t, sum(len(rows[0]) for rows in expected.values()))
            place = 0
            for name, rows in expected.items():
                found[name].append(numbers[place : place + len(rows[0])])
                place += len(rows[0])
        compared += sum(len(row) for rows in expected.values() for row in rows)
        # what is sent is compared last: it follows from the states
        sent, *states = expected
        ordered = {name: expected[name] for name in (*states, sent)}
        divergence = _first(told.label, begin, ordered, found)
        if divergence is not None:
            return compared, divergence
        begin += steps
    return compared, None


def _numbers(line: str, step: int, count: int) -> list[int]:
    """The integers of a line of an answer.

    Raises
    ------
    AnswerError
        If it does not hold exactly so many integers.
    """
    words = line.split()
    wrong = next((word for word in words if not _INTEGER.fullmatch(word)), None)
    if wrong is not None:
        raise AnswerError(f"the line of step {step} must hold integers, got {wrong[:40]!r}")
    if len(words) != count:
        raise AnswerError(f"the line of step {step} must hold {count} integers, got {len(words)}")
    return [int(word) for word in words]


def _compare(dialogue: Dialogue, case: Case) -> tuple[int, Divergence | None]:
    """Run one case piece by piece, up to the first difference; integers compared, and the difference."""
    state, begin, compared = case.state, 0, 0
    for length in case.chunks:
        piece = slice(begin, begin + length)
        request = {
            "version": VERSION,
            "case": case.label,
            "family": case.family,
            "widths": case.widths,
            "steps": length,
            "lanes": case.lanes,
            "parameters": case.parameters,
            "state": state,
            "inputs": {name: rows[piece] for name, rows in case.inputs.items()},
        }
        found = _understood(dialogue.ask(json.dumps(request)), case, length)
        expected = {**{name: rows[piece] for name, rows in case.states.items()}, "spike": case.spike[piece]}
        compared += sum(length * case.lanes for _ in expected)
        divergence = _first(case.label, begin, expected, found)
        if divergence is not None:
            return compared, divergence
        state = {name: found[name][-1] for name in case.states}
        begin += length
    return compared, None


def _first(label: str, begin: int, expected: dict[str, Rows], found: dict[str, Rows]) -> Divergence | None:
    """The earliest difference; of those at one step the one computed first, states before the spike."""
    steps = len(next(iter(expected.values())))
    for t in range(steps):
        for name, rows in expected.items():
            for lane, (wanted, given) in enumerate(zip(rows[t], found[name][t], strict=True)):
                if wanted != given:
                    return Divergence(label, name, begin + t, lane, wanted, given)
    return None


def _understood(line: str, case: Case, steps: int) -> dict[str, Rows]:
    """States and spike of an answer, by name.

    Raises
    ------
    AnswerError
        If the line is not one JSON object with exactly these integers.
    """
    try:
        answer = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise AnswerError(f"the answer must be a JSON object on one line, got {line[:80]!r}: {error}") from None
    _expect_keys("the answer", answer, ("spike", "states"))
    _expect_keys("states", answer["states"], case.states)
    found = {**{name: answer["states"][name] for name in case.states}, "spike": answer["spike"]}
    for name, rows in found.items():
        _expect_rows(name, rows, steps, case.lanes)
    return found


def _expect_keys(what: str, value: Any, keys: Iterable[str]) -> None:
    if not isinstance(value, dict):
        raise AnswerError(f"{what} must be a JSON object, got {_short(value)}")
    if set(value) != set(keys):
        raise AnswerError(f"{what} must have the keys {', '.join(keys)}, got {', '.join(value) or 'none'}")


def _expect_rows(name: str, rows: Any, steps: int, lanes: int) -> None:
    if not isinstance(rows, list) or len(rows) != steps:
        raise AnswerError(f"{name} must be a list of {steps} steps, got {_short(rows)}")
    for t, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != lanes:
            raise AnswerError(f"{name} must have a list of {lanes} lanes at step {t}, got {_short(row)}")
        for lane, value in enumerate(row):
            if isinstance(value, bool) or not isinstance(value, int):
                raise AnswerError(f"{name} must be an integer at step {t}, lane {lane}, got {_short(value)}")


def _short(value: Any) -> str:
    text = json.dumps(value)
    kind = f"a list of {len(value)}: " if isinstance(value, list) else ""
    return kind + (text if len(text) <= 60 else f"{text[:57]}...")
