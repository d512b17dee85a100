"""The bytes of a file, and how much of its structure may be looked at."""

from __future__ import annotations

import os
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from lavadl_ref.exchange.errors import ExchangeError

STEP_LIMIT = 2**18  # structures, messages and entries of a file; its largest legal network has 210,000
BLOCK_LIMIT = 2**20  # bytes of one structure
STRUCTURE_LIMIT = 2**26  # bytes of all structures that are read
UNDEFINED = 2**64 - 1  # the address of what is not there


class Source:
    """The bytes of one file, with an allowance for reading its structure.

    Parameters
    ----------
    file : binary file
        A regular file, open for reading; its position does not matter and does not change.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._descriptor = file.fileno()
        self.size = os.fstat(self._descriptor).st_size
        self._steps = STEP_LIMIT
        self._bytes = STRUCTURE_LIMIT

    def step(self, count: int = 1) -> None:
        """Account for `count` entries of a structure.

        Raises
        ------
        ExchangeError
            If there have been more than a file may have.
        """
        self._steps -= count
        if self._steps < 0:
            raise ExchangeError(f"expected at most {STEP_LIMIT:,} structures and messages in the file")

    def structure(self, address: int, count: int) -> bytes:
        """The `count` bytes of structure at `address`.

        Raises
        ------
        ExchangeError
            If they are not all in the file, or more than a file may have.
        """
        self.step()
        self._bytes -= count
        if count > BLOCK_LIMIT or self._bytes < 0:
            raise ExchangeError(f"expected at most {BLOCK_LIMIT:,} bytes in a structure, found {count:,}")
        return self.data(address, count)

    def data(self, address: int, count: int) -> bytes:
        """The `count` bytes of data at `address`, of which the caller has accounted for."""
        self._within(address, count)
        found = os.pread(self._descriptor, count, address)
        if len(found) != count:
            raise _beyond(address, count)
        return found

    def fill(self, address: int, values: NDArray) -> None:
        """Read bytes at `address` into a contiguous array."""
        self._within(address, values.nbytes)
        view = memoryview(values.reshape(-1).view(np.uint8).data)
        done = 0
        while done < len(view):  # a call reads 2 GB at most
            count = os.preadv(self._descriptor, [view[done:]], address + done)
            if count == 0:
                raise _beyond(address, values.nbytes)
            done += count

    def _within(self, address: int, count: int) -> None:
        if address + count > self.size:
            raise _beyond(address, count)


def _beyond(address: int, count: int) -> ExchangeError:
    where = "nowhere" if address == UNDEFINED else f"at byte {address:,}"
    return ExchangeError(f"damaged file: {count:,} bytes {where} lie beyond its end")
