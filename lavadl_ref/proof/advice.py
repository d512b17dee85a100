"""Changes of one layer that make its bounds hold, each computed by bounding the changed layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from lavadl_ref import exchange
from lavadl_ref.deployed.bounds import LayerReach, Setting, layer_reach
from lavadl_ref.exchange import Layer, Neuron

HALVINGS = 8  #: of the weights that are tried
LONGEST = 1 << 16  #: steps that are tried


def advice(layer: Layer, bits: int, shape: tuple[int, ...], reach: LayerReach, setting: Setting) -> Iterator[str]:
    """List changes that make a layer hold, a line each; one line says so where nothing that was tried does.

    Each line is about one change alone, with the layers below as they are.

    Parameters
    ----------
    layer, bits, shape, setting
        As `layer_reach` takes them.
    reach : LayerReach
        Of the layer as it is.
    """

    def holds(changed: Layer, of: Setting = setting) -> bool:
        return layer_reach(changed, bits, shape, reach.arriving, of).fits

    found = False
    for line in (*_weights(layer, holds), *_numbers(layer, holds), *_length(layer, holds, setting)):
        found = True
        yield line
    if not found:
        yield "no change of weights, one parameter, or the number of steps by itself makes it hold"


def _weights(layer: Layer, holds: Callable[[Layer], bool]) -> Iterator[str]:
    """The least power of two to divide the weights by, with biases and threshold."""
    names = ("weight", "weight_imag", "weight_rec", "weight_rec_imag", "bias", "bias_imag", "input_bias")
    arrays = {name: value for name in names if isinstance(value := getattr(layer, name, None), np.ndarray)}
    if not arrays or layer.neuron is None:
        return
    for shift in range(1, HALVINGS + 1):
        smaller: Any = {name: np.sign(value) * (np.abs(value) >> shift) for name, value in arrays.items()}
        neuron = layer.neuron
        for name in ("threshold", "threshold_step"):
            if name in neuron.parameters:
                neuron = _with(neuron, name, np.asarray(neuron[name]) >> shift)
        if holds(replace(layer, neuron=neuron, **smaller)):
            yield f"divide weights, biases and threshold by {1 << shift}"
            return


def _numbers(layer: Layer, holds: Callable[[Layer], bool]) -> Iterator[str]:
    """The nearest value of each number of the neurons by itself."""
    if layer.neuron is None:
        return
    for entry in exchange.FAMILIES[layer.neuron.type].fields:
        value = layer.neuron.parameters.get(entry.name)
        if entry.kind != "int" or value is None or entry.low == entry.high or entry.name.startswith("weight_exp"):
            continue
        now = np.asarray(value)
        for end in (entry.high, max(entry.low, 0)):
            if end == entry.high and "threshold" in entry.name and "decay" not in entry.name:
                continue  # a higher threshold holds nothing back
            made = _nearest(layer, entry.name, now, end, holds)
            if made is not None:
                word = "at least" if end == entry.high else "at most"
                yield f"{entry.name.replace('_', ' ')} {word} {made}, now {_told(now)}"
                break


def _nearest(layer: Layer, name: str, now: Any, end: int, holds: Callable[[Layer], bool]) -> int | None:
    """The value nearest to `now` on the way to `end` with which the layer holds; None if not even the end does."""
    assert layer.neuron is not None
    neuron = layer.neuron

    def good(value: int) -> bool:
        changed = np.maximum(now, value) if end >= np.max(now) else np.minimum(now, value)
        return holds(replace(layer, neuron=_with(neuron, name, changed)))

    start = int(now.min() if end >= np.max(now) else now.max())
    if start == end or not good(end):
        return None
    bad, fine = start, end
    while abs(fine - bad) > 1:
        middle = (fine + bad) // 2
        bad, fine = (bad, middle) if good(middle) else (middle, fine)
    return fine


def _length(layer: Layer, holds: Callable[[Layer, Setting], bool], setting: Setting) -> Iterator[str]:
    """The most steps between resets, or of a run, that hold."""
    bad = setting.horizon or LONGEST + 1
    if bad <= 1 or not holds(layer, replace(setting, steps=1)):
        return
    fine = 1
    if holds(layer, replace(setting, steps=min(bad - 1, LONGEST))):
        fine = min(bad - 1, LONGEST)
    else:
        bad = min(bad, LONGEST)
        while bad - fine > 1:
            middle = (fine + bad) // 2
            bad, fine = (bad, middle) if holds(layer, replace(setting, steps=middle)) else (middle, fine)
    yield f"run at most {fine} steps, or reset the neurons at least every {fine}"


def _with(neuron: Neuron, name: str, value: Any) -> Neuron:
    array = np.asarray(value)
    return Neuron(neuron.type, {**neuron.parameters, name: int(array) if array.ndim == 0 else array.astype(np.int64)})


def _told(now: Any) -> str:
    low, high = int(now.min()), int(now.max())
    return str(low) if low == high else f"{low} to {high}"
