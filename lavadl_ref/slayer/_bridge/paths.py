"""Ways to compute the weighted sums of a synapse: which there are, how a user pins one, and which one was taken."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

Backend = Literal["auto", "events", "gemm", "int8", "amx"]

_pinned: Backend = "auto"


class path:
    """Choose the backend of synapses: from now on, or within a ``with`` block.

    Parameters
    ----------
    name : str
        ``"auto"``: by the measured density of each input. ``"events"``: by events wherever results are right.
        ``"gemm"``: as float32 matrix products. ``"int8"``: forward as integer matrix products wherever torch has
        them, the input is of spikes and weights have 8 bits; the rest as ``"gemm"``. ``"amx"``: gradients as matrix
        products on bfloat16 tiles where the processor has them; the rest as ``"gemm"``.

    Raises
    ------
    ValueError
        For any other name.

    Examples
    --------
    >>> with path("gemm"):
    ...     pass
    """

    def __init__(self, name: Backend) -> None:
        global _pinned
        names = get_args(Backend)
        if name not in names:
            listed = f"{', '.join(map(repr, names[:-1]))} or {names[-1]!r}"
            raise ValueError(f"path must be {listed}, got {name!r}")
        self._before, _pinned = _pinned, name

    def __enter__(self) -> path:
        return self

    def __exit__(self, *exception: object) -> None:
        global _pinned
        _pinned = self._before


def pinned() -> Backend:
    """The backend that `path` chose last, ``"auto"`` where none."""
    return _pinned


@dataclass
class ChosenPath:
    """The backend that a synapse computed its last sums with.

    Attributes
    ----------
    forward : str
        ``"events"``, ``"int8"`` or ``"gemm"``.
    backward : str or None
        ``"events"``, ``"amx"`` or ``"gemm"`` for the gradient of the weight; None if none was recorded.
    density : float or None
        The part of the input that is not zero, where it was counted.
    to_input : str or None
        ``"amx"`` or ``"gemm"`` for the gradient of the input; None where this was left to torch, or none was recorded.
    """

    forward: str
    backward: str | None
    density: float | None
    to_input: str | None = field(default=None, compare=False)
