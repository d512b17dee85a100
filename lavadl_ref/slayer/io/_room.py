"""Memory that numbers of the user's or of a file ask for."""

from __future__ import annotations

import math
from collections.abc import Sequence

#: Bytes that an array made to a user's numbers may take.
LIMIT = 2**34


def room(shape: Sequence[int], itemsize: int, what: str, because: str) -> None:
    """Refuse an array that would take more than `LIMIT`, before it is made.

    Parameters
    ----------
    shape : sequence of int
        Its shape, of any numbers from 0.
    itemsize : int
        Bytes of an element.
    what : str
        What it is, as the subject of a sentence.
    because : str
        The argument that asks for it, and what it is.

    Raises
    ------
    ValueError
        It would be larger; says how large.
    """
    size = math.prod(shape) * itemsize
    if size > LIMIT:
        shown = "x".join(f"{length:.4g}" if length >= 1e12 else str(length) for length in shape)
        raise ValueError(
            f"{what} would have {shown} elements and take {size / 2**30:,.4g} GiB, more than {LIMIT >> 30}: {because}"
        )
