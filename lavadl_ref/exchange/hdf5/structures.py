"""The view that the readers of rarer structures have of a file: bytes at an address, each of them accounted for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

UNDEFINED = 2**64 - 1  #: the address of what is not there


class Structures(Protocol):
    """The bytes of one file, with an allowance for reading its structure; `lavadl_ref.exchange.hdf5.Source` is one."""

    def step(self, count: int = 1) -> None:
        """Account for `count` entries of a structure; raise ExchangeError if a file may not have so many."""

    def structure(self, address: int, count: int) -> bytes:
        """Return the `count` bytes of structure at `address`; raise ExchangeError if a file may not have them."""
        ...

    def data(self, address: int, count: int) -> bytes:
        """Return the `count` bytes of data at `address`, for which the caller has accounted."""
        ...

    def leaves(self, root: int, kind: int, axes: int) -> Iterator[tuple[bytes, int]]:
        """Go through the entries of the lowest nodes of an older tree: keys and addresses."""
        ...
