"""A limit on the memory of arrays whose size a user or a file determines."""

from __future__ import annotations

import math
from collections.abc import Sequence

#: Most bytes of such an array, 16 GiB. A mistaken number, such as a sampling time in the wrong unit, is to be named in
#: an error before it exhausts the memory.
LIMIT = 2**34


def room(shape: Sequence[int], itemsize: int, what: str, because: str) -> None:
    """Refuse an array of more than `LIMIT` bytes before it is allocated.

    Parameters
    ----------
    shape : sequence of int
        The shape of the array; lengths of 0 or more.
    itemsize : int
        Bytes of an element.
    what : str
        The name of the array, as the subject of the error.
    because : str
        The argument that determines the shape, and its value.

    Raises
    ------
    ValueError
        The array would take more; the message says how much.
    """
    size = math.prod(shape) * itemsize
    if size > LIMIT:
        shown = "x".join(f"{length:.4g}" if length >= 1e12 else str(length) for length in shape)
        raise ValueError(
            f"{what} would have {shown} elements and take {size / 2**30:,.4g} GiB, more than {LIMIT >> 30}: {because}"
        )
