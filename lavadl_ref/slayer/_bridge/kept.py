"""Results made of weights, each kept as long as its weight does not change, as in evaluation."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


#: Results that are kept of one weight; the oldest goes for another. A convolution packs its weight anew for every
#: number of frames, of which sequences of all lengths have any number.
MOST = 8


class _Entry:
    """The results that were made of one version of a tensor, by their names."""

    def __init__(self, of: Tensor, drop: Callable[[Any], object]) -> None:
        self.of = weakref.ref(of, drop)
        self.version = of._version
        self.made: dict[Hashable, Any] = {}


#: By the `id` of the tensor that owns the memory; an entry goes with its tensor, as the number may be given to another.
_entries: dict[int, _Entry] = {}


def track(weight: Tensor) -> Tensor:
    """Let results made of `weight`, any tensor, be kept, and return it.

    A parameter is none to track: its version does not tell of changes through ``.data``, NumPy or shared memory. Who
    tracks a tensor sees to it that it changes in no such way.
    """
    if not weight.is_inference():
        number = id(weight)
        _entries[number] = _Entry(weight, lambda gone: _drop(number, gone))
    return weight


def kept(weight: Tensor, what: Hashable, make: Callable[[Tensor], T]) -> T:
    """``make(weight)``, from the last time if the weight is tracked and has not changed since.

    Parameters
    ----------
    weight : Tensor
        Any shape; a view of all of a tensor counts as that tensor.
    what : hashable
        Tells results from others that are made of the same weight.
    make : callable
        Makes the result, which nobody may change.

    Notes
    -----
    In training, where gradients are recorded, a weight is used once, and nothing is kept.
    """
    entry = _entry(weight)
    if entry is None:
        return make(weight)
    key = what, tuple(weight.shape), weight.stride()
    if key not in entry.made:
        if len(entry.made) >= MOST:
            del entry.made[next(iter(entry.made))]
        entry.made[key] = make(weight)
    result: T = entry.made[key]
    return result


def seen_before(weight: Tensor) -> bool:
    """Tell whether this was asked about the same weight before, so that what is made of it will be kept and used."""
    before: list[bool] = []
    kept(weight, "seen", lambda _: before.append(False))
    return not before


def _entry(weight: Tensor) -> _Entry | None:
    """The entry of a weight as it is now, None where nothing may be kept."""
    if torch.is_grad_enabled() or weight.is_inference():
        return None
    base = weight if weight._base is None else weight._base
    if base.numel() != weight.numel() or base.data_ptr() != weight.data_ptr():
        return None
    entry = _entries.get(id(base))
    if entry is None or entry.of() is not base:
        return None
    return entry if entry.version == base._version else _entries.get(id(track(base)))


def _drop(number: int, gone: Any) -> None:
    entry = _entries.get(number)
    if entry is not None and entry.of is gone:
        del _entries[number]
