"""Constants of C: arrays of the smallest integer type that holds them, rows of weights, and parameters of neurons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lavadl_ref.port.translate import WIDTH, literal

Integers = NDArray[np.int64]

#: Types of arrays, and the bytes that an element of each takes.
BYTES = {
    "uint8_t": 1, "int8_t": 1, "uint16_t": 2, "int16_t": 2, "uint32_t": 4, "int32_t": 4, "int64_t": 8,
}  # fmt: skip
_RANGES = {
    name: (0, 2 ** (8 * size) - 1) if name[0] == "u" else (-(2 ** (8 * size - 1)), 2 ** (8 * size - 1) - 1)
    for name, size in BYTES.items()
}


def smallest_type(values: Any) -> str:
    """The first of `BYTES` that holds all of `values`, an array of any shape."""
    array = np.asarray(values)
    low, high = int(array.min(initial=0)), int(array.max(initial=0))
    return next(name for name, (least, most) in _RANGES.items() if least <= low and high <= most)


@dataclass(frozen=True)
class Table:
    """A constant array."""

    name: str
    values: Integers
    comment: str  #: what it holds

    @property
    def type(self) -> str:
        """Type of an element."""
        return smallest_type(self.values)

    @property
    def bytes(self) -> int:
        """The flash that it takes."""
        return BYTES[self.type] * max(1, self.values.size)

    def text(self) -> str:
        """Its definition; an empty one has an element, as C has no arrays without any."""
        numbers = [literal(int(value)).text if abs(value) > 2**31 else str(value) for value in self.values.tolist()]
        lines, line = [], "   "
        for number in numbers or ["0"]:
            if len(line) + len(number) + 2 > WIDTH:
                lines.append(line)
                line = "   "
            line += f" {number},"
        body = "\n".join([*lines, line])
        size = max(1, self.values.size)
        return f"/* {self.comment} */\nstatic const {self.type} {self.name}[{size}] = {{\n{body}\n}};\n"


class Rows:
    """A matrix of weights whose rows are added to sums one at a time, all of a row or what is not 0 of it.

    Parameters
    ----------
    name : str
        In front of the names of its arrays.
    matrix : ndarray
        (rows, columns) integers, 1/64.
    comment : str
        What a row is.
    """

    def __init__(self, name: str, matrix: Integers, comment: str) -> None:
        self.name = name
        self.rows, self.columns = matrix.shape
        row, column = np.nonzero(matrix)
        starts = np.searchsorted(row, np.arange(self.rows + 1))
        sparse = (
            Table(f"{name}_start", starts, "where the weights of each row begin"),
            Table(f"{name}_target", column, "the sum that each weight is of"),
            Table(f"{name}_weight", matrix[row, column], f"weights that are not 0, in 1/64; a row {comment}"),
        )
        dense = (Table(f"{name}_weight", matrix.reshape(-1), f"weights in 1/64; a row {comment}"),)
        self.sparse = _bytes(sparse) < _bytes(dense)
        self.tables: tuple[Table, ...] = sparse if self.sparse else dense
        #: weights that each row has, those that are passed over left out
        self.counts: Integers = np.diff(starts) if self.sparse else np.full(self.rows, self.columns, np.int64)

    @property
    def function(self) -> str:
        """The name of the function that adds a row."""
        return f"add_{self.name}"

    def text(self) -> str:
        """The function that adds a row."""
        kind = self.tables[-1].type
        if self.sparse:
            start, target = (f"{self.name}_{what}" for what in ("start", "target"))
            return f"""\
/* sums[target] += message * weight, for the weights of a row that are not 0. */
static void {self.function}(uint32_t *sums, uint32_t row, uint32_t message)
{{
    for (uint32_t k = {start}[row]; k < {start}[row + 1]; k++) {{
        sums[{target}[k]] += message * (uint32_t){self.name}_weight[k];
    }}
}}
"""
        if self.columns == 1:
            return f"""\
/* The only weight of a row. */
static void {self.function}(uint32_t *sums, uint32_t row, uint32_t message)
{{
    sums[0] += message * (uint32_t){self.name}_weight[row];
}}
"""
        return f"""\
/* sums[column] += message * weight, for all weights of a row. */
static void {self.function}(uint32_t *sums, uint32_t row, uint32_t message)
{{
    const {kind} *weight = {self.name}_weight + row * {self.columns}u;
    for (uint32_t column = 0; column < {self.columns}u; column++) {{
        sums[column] += message * (uint32_t)weight[column];
    }}
}}
"""


def _bytes(tables: Sequence[Table]) -> int:
    return sum(table.bytes for table in tables)


class Parameter:
    """A parameter of a layer's neurons: a number where all have the same, else an array by channel or by neuron.

    Parameters
    ----------
    name : str
        Of its array, where it has one.
    values : ndarray
        (M,), or (1,) where all neurons share it.
    shape : tuple of int
        Of the layer.
    comment : str
        What it is.
    """

    def __init__(self, name: str, values: Integers, shape: tuple[int, ...], comment: str) -> None:
        flat = np.asarray(values, np.int64).reshape(-1)
        channels = flat.reshape(shape[0], -1) if flat.size > 1 else flat.reshape(1, 1)
        self.table: Table | None = None
        self.by_channel = False
        self.number: int | None = None
        if (flat == flat[0]).all():
            self.number = int(flat[0])
            return
        self.by_channel = bool((channels == channels[:, :1]).all()) and channels.shape[1] > 1
        kept = channels[:, 0] if self.by_channel else flat
        # a power of two that all have is multiplied in when they are read
        low = int(np.bitwise_or.reduce(kept))
        self.unit = low & -low
        if smallest_type(kept // self.unit) == smallest_type(kept):
            self.unit = 1
        scale = "" if self.unit == 1 else f", divided by {self.unit}"
        self.table = Table(
            name, kept // self.unit, f"{comment}{scale}, of each {'channel' if self.by_channel else 'neuron'}"
        )

    @property
    def zero(self) -> bool:
        """True if it is 0 for all."""
        return self.number == 0

    def text(self) -> str:
        """Its value for the neuron ``i``, or its ``channel``."""
        if self.table is None:
            assert self.number is not None
            return literal(self.number).text
        element = f"{self.table.name}[{'channel' if self.by_channel else 'i'}]"
        return element if self.unit == 1 else f"{element} * {literal64(self.unit)}"


def literal64(value: int) -> str:
    """A number that makes a product one of 64 bits."""
    return f"INT64_C({value})"
