"""The choice of one layer, from the tables of the ``.net`` format."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lavadl_ref.exchange import (
    FAMILIES,
    LAYERS,
    Average,
    Conv,
    ConvTranspose,
    Dense,
    Flatten,
    Input,
    Kernel,
    Layer,
    Pool,
    Recurrent,
    TimeDecimation,
    Unpool,
    layout,
)
from lavadl_ref.testing._choices import Parts
from lavadl_ref.testing._kinds import PLAIN, may_have
from lavadl_ref.testing._neurons import neuron

USUAL_BIAS = 256  #: 4 in units of 1/64
USUAL_DELAY = 62  #: the longest that Lava-DL takes from a file


@dataclass(frozen=True)
class Options:
    """Limits of what is drawn, the arguments of `lavadl_ref.testing.strategies.networks`."""

    families: tuple[str, ...]
    kinds: tuple[str, ...]
    max_layers: int
    max_extent: int
    extreme: bool
    plain: bool
    graded: bool

    def families_of(self, kind: str) -> tuple[str, ...]:
        """The families whose neurons a layer of this kind may have."""
        return tuple(name for name in self.families if may_have(kind, name))

    def following(self, shape: tuple[int, ...], first: bool) -> list[str]:
        """The kinds that can take input of this shape, (C, H, W) or (N,)."""
        fits = []
        for kind in LAYERS:
            cls = LAYERS[kind]
            if kind not in self.kinds or not self.families_of(kind):
                continue
            if len(shape) == 3 if issubclass(cls, Kernel) else (cls is not Input or first):
                fits.append(kind)
        # A network opens with neurons if it may have any.
        opening = [kind for kind in fits if kind not in PLAIN]
        return opening if first and opening else fits


@dataclass(frozen=True)
class Maker:
    """One layer of a kind, chosen part by part."""

    choose: Parts
    options: Options
    kind: str
    last: bool

    def layer(self, shape: tuple[int, ...]) -> Layer:
        """Choose a layer that takes input of this shape, (C, H, W) or (N,)."""
        size = int(np.prod(shape))
        cls = LAYERS[self.kind]
        if cls is Input:
            return self._input(shape)
        if cls is Flatten:
            return Flatten(shape=(size,))
        if cls is Average:
            return Average(shape=(self._one([n for n in range(1, size + 1) if size % n == 0]),))
        if cls is TimeDecimation:
            return TimeDecimation(shape=shape, factor=self._integer(1, layout.WINDOW_LIMIT, (1, 8)))
        if issubclass(cls, Kernel):
            return self._kernel(cls, shape)
        return self._dense(cls, size)

    def _one(self, choices: Sequence[Any]) -> Any:
        return self.choose.one(choices)

    def _flag(self) -> bool:
        return self.choose.flag()

    def _integer(self, low: int, high: int, usual: tuple[int, int]) -> int:
        return self.choose.number(low, high, usual, self.options.extreme)

    def _integers(self, shape: int | tuple[int, ...], low: int, high: int, usual: tuple[int, int]) -> NDArray[np.int64]:
        return self.choose.numbers(shape, low, high, usual, self.options.extreme)

    def _weights(self, shape: tuple[int, ...]) -> NDArray[np.int64]:
        if self.options.extreme:
            return self._integers(shape, layout.WEIGHT_LOW, layout.WEIGHT_HIGH, (-256, 254))
        return 2 * self._integers(shape, -128, 127, (-128, 127))

    def _biases(self, channels: int) -> NDArray[np.int64]:
        limit = layout.BIAS_LIMIT
        return self._integers(channels, -limit, limit - 1, (-USUAL_BIAS, USUAL_BIAS))

    def _neurons(self, channels: int) -> dict[str, Any]:
        """Neuron and delay, and the shift where it is not the family's own."""
        family = self._one(self.options.families_of(self.kind))
        values: dict[str, Any] = {
            "neuron": neuron(self.choose, family, channels, self.options.extreme, self.options.graded)
        }
        if self._flag():
            values["delay_shift"] = not FAMILIES[family].delay_shift
        if "delay" in layout.LAYER_KEYS[self.kind] and self._flag():
            values["delay"] = self._integers(channels, 0, layout.DELAY_LIMIT, (0, USUAL_DELAY))
        return values

    def _parts(self, values: dict[str, Any], name: str, make: Callable[[], Any]) -> None:
        """Add an array by `name`, and its imaginary part if the neurons have complex input."""
        found = values.get("neuron")
        values[name] = make()
        if found is not None and FAMILIES[found.type].complex_input:
            values[f"{name}_imag"] = make()

    def _input_bias(self, values: dict[str, Any], outputs: int) -> None:
        """Add a bias of the weighted sum, if the neurons can have one beside their own."""
        found = values.get("neuron")
        if found is not None and FAMILIES[found.type].takes_input_bias and self._flag():
            values["input_bias"] = self._biases(outputs)

    def _input(self, shape: tuple[int, ...]) -> Input:
        weight = self._integer(layout.WEIGHT_LOW, layout.WEIGHT_HIGH, (-256, 254))
        bias = self._integer(-layout.BIAS_LIMIT, layout.BIAS_LIMIT - 1, (-USUAL_BIAS, USUAL_BIAS))
        return Input(shape=shape, weight=weight, bias=bias, **self._neurons(shape[0]))

    def _dense(self, cls: type[Layer], inputs: int) -> Layer:
        outputs = self.choose.integer(1, self.options.max_extent)
        bare = self.options.plain and cls is Dense and self.last and self._flag()
        values: dict[str, Any] = {} if bare else self._neurons(outputs)
        self._parts(values, "weight", lambda: self._weights((outputs, inputs)))
        if self._flag():
            self._parts(values, "bias", lambda: self._biases(outputs))
        self._input_bias(values, outputs)
        if issubclass(cls, Recurrent):
            self._parts(values, "weight_rec", lambda: self._weights((outputs, outputs)))
        return cls(shape=(outputs,), **values)

    def _kernel(self, cls: type[Kernel], shape: tuple[int, ...]) -> Kernel:
        pooling = issubclass(cls, (Pool, Unpool))
        groups = 1 if pooling else self._one([g for g in (1, 2, 3) if shape[0] % g == 0])
        outputs = shape[0] if pooling else groups * self.choose.integer(1, 2)
        past = cls is Pool and self._flag()
        axes = [self._window(cls, extent, past) for extent in shape[1:]]
        if any(out is None for *_, out in axes):
            axes = [(1, 1, 0, 1, extent) for extent in shape[1:]]
        size, stride, padding, dilation, extents = (tuple(pair) for pair in zip(*axes, strict=True))
        weight = {
            Conv: (outputs, shape[0] // groups, *size),
            ConvTranspose: (shape[0], outputs // groups, *size),
        }.get(cls, (1, 1, *size))
        values = self._neurons(outputs)
        self._parts(values, "weight", lambda: self._weights(weight))
        if not pooling:
            if self._flag():
                self._parts(values, "bias", lambda: self._biases(outputs))
            self._input_bias(values, outputs)
        values |= {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        return cls(shape=(outputs, *extents), **values)

    def _window(self, cls: type[Kernel], extent: int, past: bool) -> tuple[int, int, int, int, int | None]:
        """Kernel size, stride, padding and dilation of one axis, and what is left of `extent`.

        `past` counts a last window that reaches past the edge, if it begins before the edge;
        None is left where the layer would have no extent or one larger than wanted.
        """
        kernel, stride, padding, dilation = (
            self.choose.integer(low, high) for low, high in ((1, 3), (1, 3), (0, 2), (1, 2))
        )
        reach = dilation * (kernel - 1)
        if issubclass(cls, (ConvTranspose, Unpool)):
            left = (extent - 1) * stride - 2 * padding + reach + 1
        else:
            room = extent + 2 * padding - reach - 1
            left = room // stride + 1
            begin = -(-room // stride) * stride
            if past and room >= 0 and begin < extent + padding:
                left = begin // stride + 1
        return kernel, stride, padding, dilation, left if 1 <= left <= self.options.max_extent else None
