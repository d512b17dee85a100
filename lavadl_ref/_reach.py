"""Bounds of integers without a width, beyond which 64 bits would not hold them, and who brought them there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lavadl_ref.exchange import ConvTranspose, Dense, Kernel, Layer, Recurrent

Array = NDArray[Any]

SUM_LIMIT = 2.0**44  #: of a weighted sum; its shift to the scale of a state and the sums of many steps come on top
STATE_LIMIT = 2.0**50  #: of a state, whose product with a decay 64 bits must hold
_OTHERWISE = "profile='loihi' runs it with the device's widths"


class OutOfReach(ValueError):
    """Integers without a width left what 64 bits hold; the message names the layer and what brought them there."""


def check_sums(position: int, layer: Layer, x: Array) -> None:
    """Raise `OutOfReach` if messages `x` (T, B, \\*shape) may lead to weighted sums beyond `SUM_LIMIT`."""
    if not isinstance(layer, (Dense, Kernel)):
        return
    largest = max(_gain(layer, part) for part in (layer.weight, layer.weight_imag) if part is not None)
    _refuse(
        position, layer, x, largest, "messages of {found} arrive at step {step}: too large for its weights in 64 bits"
    )


def check_neurons(position: int, layer: Layer, sent: Array, states: Mapping[str, Array]) -> None:
    """Raise `OutOfReach` if what neurons sent, (T, M), cannot be fed back, or a state, (..., M), cannot go on."""
    if isinstance(layer, Recurrent):
        parts = [part for part in (layer.weight_rec, layer.weight_rec_imag) if part is not None]
        largest = max(_gain(layer, part) for part in parts)
        _refuse(
            position, layer, sent, largest,
            "its feedback runs away, whatever the input: messages of {found} are fed back at step {step}",
        )  # fmt: skip
    for name, values in states.items():
        found = _largest(values)
        if found >= STATE_LIMIT:
            raise OutOfReach(
                f"layer {position} ({layer.kind}): the state {name} reaches {found:.3g}, more than 64 bits can go on "
                f"from; {_OTHERWISE}"
            )


def _refuse(position: int, layer: Layer, messages: Array, gain: float, what: str) -> None:
    if _largest(messages) * gain < SUM_LIMIT:
        return
    over_time = np.abs(messages.reshape(len(messages), -1).astype(np.float64)).max(axis=1)
    step = int((over_time * gain >= SUM_LIMIT).argmax())
    said = what.format(found=f"{over_time[step]:.3g}", step=step)
    raise OutOfReach(f"layer {position} ({layer.kind}): {said}; {_OTHERWISE}")


def _largest(values: Array) -> float:
    return float(max(-int(values.min()), int(values.max()))) if values.size else 0.0


def _gain(layer: Layer, weight: Array) -> float:
    """By how much a weighted sum can be larger than the largest message in it."""
    axes: tuple[int, ...] = (1,)
    if weight.ndim == 4:
        axes = (0, 2, 3) if isinstance(layer, ConvTranspose) else (1, 2, 3)
    return float(np.abs(weight).sum(axis=axes).max(initial=0))
