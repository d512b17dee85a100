"""The room and the work that a network takes as C."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class LayerSize:
    """The room and the work of one layer."""

    name: str  #: in the C files, with the layer's position and kind
    neurons: int  #: that are updated at a step
    weights: str  #: type of the weights, and whether only those that are not 0 are kept; "" without any
    flash: int  #: bytes of constants: weights and parameters
    ram: int  #: bytes of state: of the neurons, of messages, and of those that a delay holds back
    operations: int  #: products that a step adds up where every input sends; without a message there is none

    @property
    def row(self) -> tuple[str, ...]:
        """Its figures as text, in the order of `Sizes.columns`."""
        return self.name, self.weights, *(f"{n:,}" for n in (self.flash, self.ram, self.operations, self.neurons))


@dataclass(frozen=True)
class Sizes:
    """The room and the work that a network takes, layer by layer.

    Flash is that of constants; the program itself depends on the compiler, and comes to some kilobytes.
    """

    #: of the table
    columns: ClassVar[tuple[str, ...]] = ("layer", "weights", "flash", "RAM", "products", "neurons")

    layers: tuple[LayerSize, ...]
    buffers: int  #: bytes of RAM that no layer has alone: the input, weighted sums, counters

    @property
    def flash(self) -> int:
        """Bytes of constants of all layers."""
        return sum(layer.flash for layer in self.layers)

    @property
    def ram(self) -> int:
        """Bytes of the structure that holds a network, where 32-bit integers stand at multiples of 4."""
        return sum(layer.ram for layer in self.layers) + self.buffers

    @property
    def operations(self) -> int:
        """Products that a step adds up where every neuron sends."""
        return sum(layer.operations for layer in self.layers)

    @property
    def neurons(self) -> int:
        """Neurons that are updated at a step."""
        return sum(layer.neurons for layer in self.layers)

    @property
    def rows(self) -> tuple[tuple[str, ...], ...]:
        """The table as text, in the order of `columns`: a row for each layer, one for shared buffers, and the sums."""
        total = (self.flash, self.ram, self.operations, self.neurons)
        return (
            *(layer.row for layer in self.layers),
            ("input and sums", "", "0", f"{self.buffers:,}", "0", "0"),
            ("all", "", *(f"{n:,}" for n in total)),
        )

    def __str__(self) -> str:
        rows = [self.columns, *self.rows]
        widths = [max(len(row[n]) for row in rows) for n in range(len(self.columns))]
        return "\n".join(
            "  ".join(
                c.ljust(w) if n < 2 else c.rjust(w) for n, (c, w) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        )


def padded(members: Sequence[tuple[int, int]]) -> int:
    """Bytes of a structure whose members take (bytes, alignment), in this order."""
    size = widest = 0
    for taken, alignment in members:
        size = -(-size // alignment) * alignment + taken
        widest = max(widest, alignment)
    return -(-size // max(widest, 1)) * max(widest, 1)
