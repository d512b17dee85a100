"""Parameters that an export cannot write unchanged: out of the range of a file, or not finite.

The forward pass uses the same nearest values as the export, so that both agree; without a warning, nothing would show
that training has left the range. A module that limits its parameters reports the number of values beyond the range
through its method ``_beyond``.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any

import h5py
import torch

from lavadl_ref import exchange
from lavadl_ref.slayer._callers import stack_level


class SaturationWarning(UserWarning):
    """Parameters exceed the range of a file, and are exported as the nearest values in it, which forward uses too."""


_found: ContextVar[list[str] | None] = ContextVar("found", default=None)
_place: ContextVar[str | None] = ContextVar("place", default=None)


class gathered:
    """One warning for all blocks that are described inside, which are those of the layer `place`, if given."""

    def __init__(self, place: str | None = None) -> None:
        self._named = None if place is None else _place.set(place)
        self._opened = _found.set([]) if _found.get() is None else None

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        found = _found.get()
        if self._named is not None:
            _place.reset(self._named)
        if self._opened is not None:
            _found.reset(self._opened)
        if self._opened is not None and found and kind is None:
            warnings.warn(
                f"parameters beyond the range of a file are exported as the nearest ones: {'; '.join(found)}. Forward "
                "uses the same values; this can mean that training has diverged",
                SaturationWarning,
                stacklevel=stack_level(),
            )


def look_at(block: torch.nn.Module) -> None:
    """Note what of `block` is beyond its range.

    Raises
    ------
    ValueError
        If a parameter is not finite.
    """
    place = _place.get() or f"{type(block).__name__} block"
    for name, tensor in itertools.chain(block.named_parameters(), block.named_buffers()):
        bad = int((~tensor.detach().isfinite()).sum())
        if bad:
            raise ValueError(
                f"{place}: {name} has {bad} of {tensor.numel()} values that are not finite, which a file cannot store: "
                "the training has diverged"
            )
    with gathered():
        for path, part in block.named_modules():
            counts: dict[str, torch.Tensor] = part._beyond() if hasattr(part, "_beyond") else {}
            for name, beyond in counts.items():
                count = int(beyond.sum())
                if count:
                    _noted().append(f"{place}: {path}{'.' * bool(path)}{name} {count} of {beyond.numel()}")


def described(blocks: Iterable[Any]) -> tuple[exchange.Layer, ...]:
    """The layers of blocks that follow one another, with one warning for all."""
    layers = []
    with gathered():
        for position, block in enumerate(blocks):
            with gathered(f"layer {position} ({type(block).__name__})"):
                layers.append(block.describe())
    return tuple(layers)


def write(handle: h5py.Group, block: Any) -> None:
    """Write `block` into an open group of a ``.net`` file, which is named where something is wrong."""
    with gathered(f"{handle.name} ({type(block).__name__})"):
        layer = block.describe()
    exchange.write_layer(handle, layer)


def _noted() -> list[Any]:
    found = _found.get()
    assert found is not None
    return found
