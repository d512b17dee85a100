"""Layers of a ``.net`` file and their neurons, as plain immutable descriptions.

All numbers are integers at the file's scale: weights, biases and thresholds in 1/64,
decays in 1/4096, delays in steps.  Shapes are in C, H, W order, as the file has them.
These classes only hold data, which `check` checks; they do no I/O.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from lavadl_ref.exchange.families import FAMILIES, NEVER_MANTISSA

Integers = NDArray[np.int64]

__all__ = [
    "LAYERS",
    "Average",
    "Conv",
    "ConvTranspose",
    "Dense",
    "Flatten",
    "Input",
    "Kernel",
    "Layer",
    "Neuron",
    "Pool",
    "Recurrent",
    "TimeDecimation",
    "Unpool",
    "never_fires",
    "silenced",
]


@dataclass(frozen=True, eq=False)
class Neuron:
    """A layer's neurons: the family's name and its parameters by this package's names.

    Examples
    --------
    >>> neuron = Neuron("CUBA", {"current_decay": 1024, "voltage_decay": 128, "threshold": 80})
    >>> neuron["threshold"]  # 80 / 64 = 1.25
    80
    """

    type: str  #: key of `FAMILIES`
    parameters: Mapping[str, Any]  #: scalars are int, bool or str; per-channel values int64 (C,)

    def __getitem__(self, name: str) -> Any:
        return self.parameters[name]


def silenced(neuron: Neuron) -> Neuron:
    """The same neurons with the threshold that marks a readout, so that they never spike."""
    return Neuron(neuron.type, {**neuron.parameters, "threshold": NEVER_MANTISSA})


def never_fires(neuron: Neuron) -> bool:
    """Tell whether the threshold marks a readout, whose neurons never spike."""
    return bool(np.all(neuron["threshold"] == NEVER_MANTISSA))


@dataclass(frozen=True, eq=False, kw_only=True)
class Layer:
    """The fields of every layer."""

    kind: ClassVar[str]  #: content of the layer's ``type`` dataset
    shape: tuple[int, ...]  #: neurons, (C, H, W) or (N,)
    neuron: Neuron | None = None  #: None where the layer has no dynamics
    delay: Integers | None = None  #: axonal delay of each output channel in steps, (C,)
    delay_shift: bool | None = None  #: slayer shifts this block's output by one step; None: the family's default

    @property
    def size(self) -> int:
        """Number of neurons."""
        return math.prod(self.shape)

    @property
    def channels(self) -> int:
        """Length of the channel axis."""
        return int(self.shape[0])

    @property
    def shifts(self) -> bool:
        """True if slayer's block delays its output by one step."""
        if self.neuron is None:
            return False
        return FAMILIES[self.neuron.type].delay_shift if self.delay_shift is None else self.delay_shift


@dataclass(frozen=True, eq=False, kw_only=True)
class Input(Layer):
    """Input neurons: current = weight * x + bias, which is the real part for complex neurons."""

    kind = "input"
    weight: int = 64  #: gain in 1/64
    bias: int = 0  #: offset in 1/64


@dataclass(frozen=True, eq=False, kw_only=True)
class Flatten(Layer):
    """Flattening of (C, H, W) to one axis, in that order."""

    kind = "flatten"


@dataclass(frozen=True, eq=False, kw_only=True)
class Average(Layer):
    """Mean over size / num_outputs consecutive neurons: shape (num_outputs,)."""

    kind = "average"


@dataclass(frozen=True, eq=False, kw_only=True)
class TimeDecimation(Layer):
    """Mean over bins of `factor` steps."""

    kind = "time_decimation"
    factor: int = 1


@dataclass(frozen=True, eq=False, kw_only=True)
class Dense(Layer):
    """Fully connected: weight (O, I).

    Examples
    --------
    >>> neuron = Neuron("CUBA", {"current_decay": 1024, "voltage_decay": 128, "threshold": 80})
    >>> layer = Dense(shape=(2,), neuron=neuron, weight=np.array([[1, 2, 3], [4, 5, 6]]))
    >>> layer.size, layer.shifts
    (2, True)
    """

    kind = "dense"
    weight: Integers  #: (O, I) in 1/64; the real part where `weight_imag` is given
    weight_imag: Integers | None = None  #: (O, I), families with complex input only
    bias: Integers | None = None  #: (O,) in 1/64; the real part where `bias_imag` is given
    bias_imag: Integers | None = None  #: (O,) in 1/64, families with complex input only
    #: (O,) in 1/64, added to the weighted sum in every step; families of `Family.takes_input_bias` only
    input_bias: Integers | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Recurrent(Dense):
    """Fully connected with feedback: weight_rec (O, O)."""

    kind = "dense_rec"
    weight_rec: Integers  #: (O, O) in 1/64; the real part where `weight_rec_imag` is given
    weight_rec_imag: Integers | None = None  #: (O, O), families with complex input only


@dataclass(frozen=True, eq=False, kw_only=True)
class Kernel(Layer):
    """The fields of convolution-like layers; pairs are (height, width)."""

    weight: Integers
    weight_imag: Integers | None = None  #: same shape, families with complex input only
    bias: Integers | None = None  #: (C_out,) in 1/64; the real part where `bias_imag` is given
    bias_imag: Integers | None = None  #: (C_out,) in 1/64, families with complex input only
    #: (C_out,) in 1/64, added to the weighted sum in every step; families of `Family.takes_input_bias` only
    input_bias: Integers | None = None
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    @property
    def kernel_size(self) -> tuple[int, int]:
        """(height, width) of the kernel."""
        return int(self.weight.shape[2]), int(self.weight.shape[3])


@dataclass(frozen=True, eq=False, kw_only=True)
class Conv(Kernel):
    """Convolution: weight (O, I / groups, kh, kw).

    Examples
    --------
    >>> neuron = Neuron("ALIF", {"threshold": 80})  # and the parameters that `check` asks for
    >>> layer = Conv(shape=(4, 6, 6), neuron=neuron, weight=np.ones((4, 2, 3, 3), np.int64), stride=(2, 2))
    >>> layer.kernel_size, layer.size
    ((3, 3), 144)
    """

    kind = "conv"


@dataclass(frozen=True, eq=False, kw_only=True)
class ConvTranspose(Kernel):
    """Transposed convolution: weight (I, O / groups, kh, kw)."""

    kind = "convT"


@dataclass(frozen=True, eq=False, kw_only=True)
class Pool(Kernel):
    """Sum over windows of each channel: weight (1, 1, kh, kw)."""

    kind = "pool"


@dataclass(frozen=True, eq=False, kw_only=True)
class Unpool(Kernel):
    """Transposed sum-pooling of each channel: weight (1, 1, kh, kw)."""

    kind = "unpool"


#: Every kind of layer a file can hold, by its ``type``.
LAYERS: dict[str, type[Layer]] = {
    cls.kind: cls
    for cls in (Input, Flatten, Average, TimeDecimation, Dense, Recurrent, Conv, ConvTranspose, Pool, Unpool)
}
