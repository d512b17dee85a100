"""Weighted sums of spikes on the processor's 8-bit integer instructions, where these give the same bits and are faster.

torch has oneDNN's products of uint8 and int8 as private operators.  Spikes are 0 or 1 and 8-bit weights are integers
over 32, so the integer sum is exact, and so is its conversion to float32: the results equal those of float32.  On
processors without an instruction for it, sums of two products pass 16 bits: 255 * 127 * 2 does not fit them, and
1 * -128 * 2 does.  So inputs are spikes, never graded.

The operators are private and may change or vanish, and whether they pay depends on the processor.  `verdict` therefore
tries each once a process: on operands of the largest magnitude and on random ones, with ==, and against the clock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from lavadl_kernels.ops import events, spike_bytes
from torch import Tensor

from lavadl_ref.slayer._bridge import autograd as _autograd
from lavadl_ref.slayer._bridge.kept import kept
from lavadl_ref.slayer._bridge.trial import Verdict, fastest, one_thread

Operation = Literal["linear", "convolution"]

SCALE = 1 / 32  #: the unit of an 8-bit weight
LARGEST_SUM = 1 << 24  #: of units, which float32 holds exactly
#: How much faster than float32 an operation must be to be used: below, converting the operands takes the gain.
LEAST_GAIN = 1.25


class Spikes(NamedTuple):
    """Spikes as bytes."""

    bytes: Tensor  #: uint8, with the shape and the strides of the tensor that they were made of
    ones: int  #: how many there are

    @property
    def density(self) -> float:
        """The fraction of the entries that are 1."""
        return self.ones / max(self.bytes.numel(), 1)


class Weight(NamedTuple):
    """A weight as an operation reads it."""

    packed: Tensor
    scale: Tensor  #: (O,) float32
    zero: Tensor  #: (O,) int64


@cache
def verdict(operation: Operation) -> Verdict:
    """Try an operation, the first time in a process; later calls return what was found.

    Parameters
    ----------
    operation : str
        ``"linear"`` or ``"convolution"``.

    Returns
    -------
    Verdict
    """
    try:
        with one_thread():
            if not _exact(operation):
                return Verdict(False, 0.0, "its sums differ from those of float32 here")
            gain = _gain(operation)
    except Exception as error:  # private operators: anything may have become of them
        return Verdict(False, 0.0, f"torch does not offer it here ({type(error).__name__})")
    if gain < LEAST_GAIN:
        return Verdict(True, gain, f"it takes {1 / gain:.2f} of the time of float32 here, too much to pay")
    return Verdict(True, gain, "")


def pack_spikes(x: Tensor) -> Spikes | None:
    """The entries of `x` as bytes, at the cost of reading it once.

    Parameters
    ----------
    x : Tensor
        float32 of any shape whose memory has no gaps, such as rows or frames with channels last.

    Returns
    -------
    Spikes or None
        None if an entry is neither 0 nor 1, or `x` is of another type or has gaps.
    """
    flat = _memory(x.detach())
    if flat is None:
        return None
    _autograd.follow_torch()
    packed = torch.empty_like(x, dtype=torch.uint8, requires_grad=False)
    result = _memory(packed, torch.uint8)
    if result is None or packed.stride() != x.stride():
        return None
    ones = spike_bytes.spikes(flat.numpy(), result.numpy())
    return None if ones < 0 else Spikes(packed, ones)


def _memory(x: Tensor, dtype: torch.dtype = torch.float32) -> Tensor | None:
    """The entries of `x` in the order of its memory, as a view; None where there are gaps between them."""
    if x.dtype != dtype or x.device.type != "cpu" or x.layout is not torch.strided:
        return None
    expected = 1
    for size, stride in sorted(zip(x.shape, x.stride(), strict=True), key=lambda axis: axis[1]):
        if size != 1:
            if stride != expected:
                return None
            expected *= size
    return x.as_strided((x.numel(),), (1,)) if x.numel() else x.reshape(0)


def linear_weight(weight: Tensor) -> Weight | None:
    """A weight (O, I) float32 for `linear`; None if it is not of 8 bits."""
    return kept(weight, "linear", lambda given: _pack(given, _for_linear))


def _for_linear(mantissa: Tensor) -> Tensor:
    packed: Tensor = torch.ops.onednn.qlinear_prepack(mantissa, None)
    return packed


def is_8_bit(weight: Tensor) -> bool:
    """Tell whether all entries of a weight, float32 on the processor, are 8-bit weights."""
    return kept(weight, "8 bit", lambda given: _mantissas(given) is not None)


def linear(spikes: Tensor, weight: Weight) -> Tensor:
    """The weighted sums of spikes.

    Parameters
    ----------
    spikes : Tensor
        (R, I) uint8, contiguous, zeros and ones.
    weight : Weight
        From `linear_weight`.

    Returns
    -------
    Tensor
        (R, O) float32, units of 1.
    """
    packed, scale, zero = weight
    result: Tensor = torch.ops.onednn.qlinear_pointwise(
        spikes, 1.0, 0, packed, scale, zero, None, 1.0, 0, torch.float32, "none", [], ""
    )
    return result


class Geometry(NamedTuple):
    """The steps of a convolution, (height, width) each."""

    stride: Sequence[int] = (1, 1)
    padding: Sequence[int] = (0, 0)
    dilation: Sequence[int] = (1, 1)
    groups: int = 1


def convolution_weight(weight: Tensor, frames: Sequence[int], geometry: Geometry) -> Weight | None:
    """A weight (O, C / groups, kh, kw) float32 for `convolution`; None if it is not of 8 bits, or of one channel.

    With one channel torch 2.13 returns wrong sums where the output has width 1.

    Parameters
    ----------
    weight : Tensor
        Units of 1.
    frames : sequence of int
        The shape (R, C, H, W) of the spikes.
    geometry : Geometry
        As the convolution will have it.
    """

    def pack(mantissa: Tensor) -> Tensor:
        scale = torch.full((len(weight),), SCALE)
        stride, padding, dilation = (list(part) for part in geometry[:3])
        packed: Tensor = torch.ops.onednn.qconv_prepack(
            mantissa, scale, 1.0, 0, stride, padding, dilation, geometry.groups, list(frames)
        )
        return packed

    if weight.shape[1] == 1:
        return None
    key = (tuple(frames), *map(tuple, geometry[:3]), geometry.groups)
    return kept(weight, key, lambda given: _pack(given, pack))


def convolution(spikes: Tensor, weight: Weight, geometry: Geometry) -> Tensor:
    """The convolution of frames of spikes.

    Parameters
    ----------
    spikes : Tensor
        (R, C, H, W) uint8, channels last, zeros and ones.
    weight : Weight
        From `convolution_weight`.
    geometry : Geometry
        The same as there.

    Returns
    -------
    Tensor
        (R, O, H', W') float32, channels last, units of 1.
    """
    packed, scale, zero = weight
    stride, padding, dilation = (list(part) for part in geometry[:3])
    result: Tensor = torch.ops.onednn.qconv2d_pointwise(
        spikes, 1.0, 0, packed, scale, zero, None, stride, padding, dilation, geometry.groups,
        1.0, 0, torch.float32, "none", [], "",
    )  # fmt: skip
    return result


def _pack(weight: Tensor, pack: Callable[[Tensor], Tensor]) -> Weight | None:
    mantissa = _mantissas(weight)
    if mantissa is None or weight[0].numel() * 128 >= LARGEST_SUM:
        return None
    outputs = len(weight)
    return Weight(pack(mantissa), torch.full((outputs,), SCALE), torch.zeros(outputs, dtype=torch.int64))


def _mantissas(weight: Tensor) -> Tensor | None:
    """The entries of a weight in units of 1/32, int8; None if it is not of 8 bits."""
    if weight.dtype != torch.float32 or weight.device.type != "cpu" or not weight.numel():
        return None
    _autograd.follow_torch()
    found = spike_bytes.weights(weight.detach().contiguous().numpy())
    return None if found is None else torch.from_numpy(found)


class _Trial(NamedTuple):
    """One shape on which an operation is tried, with both ways to compute it."""

    spikes: tuple[int, ...]
    weight: tuple[int, ...]
    geometry: Geometry = Geometry()

    @property
    def exact(self) -> Callable[[Tensor, Tensor], Tensor]:
        if len(self.weight) == 2:
            return lambda x, weight: x @ weight.t()
        stride, padding, dilation, groups = self.geometry
        return lambda x, weight: F.conv2d(x, weight, None, stride, padding, dilation, groups)

    def ready(self, weight: Tensor) -> Weight:
        """The weight of the integer operation."""
        linear = len(self.weight) == 2
        made = linear_weight(weight) if linear else convolution_weight(weight, self.spikes, self.geometry)
        assert made is not None
        return made

    def integer(self, x: Tensor, weight: Weight) -> Tensor:
        """The integer operation, the conversion of its spikes included."""
        packed = pack_spikes(x)
        assert packed is not None
        return (
            linear(packed.bytes, weight) if len(self.weight) == 2 else convolution(packed.bytes, weight, self.geometry)
        )

    def operands(self) -> tuple[Tensor, Tensor]:
        """Random spikes and weights; no other random numbers of the process change."""
        source = torch.Generator().manual_seed(0)
        x = (torch.rand(self.spikes, generator=source) < 0.3).float()
        weight = torch.randint(-128, 128, self.weight, generator=source).float() * SCALE
        if len(self.spikes) == 4:
            x, weight = (part.contiguous(memory_format=torch.channels_last) for part in (x, weight))
        return x, weight


_TRIALS: dict[Operation, tuple[_Trial, ...]] = {
    "linear": (
        _Trial((64, 512), (64, 512)),
        _Trial((3, 4096), (17, 4096)),
        _Trial((33, 127), (10, 127)),
        _Trial((1, 70), (65, 70)),
    ),
    "convolution": (
        _Trial((4, 32, 9, 11), (48, 32, 3, 3)),
        _Trial((3, 3, 9, 12), (24, 3, 3, 3), Geometry((2, 1), (1, 0))),
        _Trial((2, 6, 9, 9), (10, 3, 3, 2), Geometry((1, 2), (0, 2), (2, 1), 2)),
        _Trial((2, 70, 5, 5), (33, 70, 1, 1)),
    ),
}
#: About a millisecond each on one thread.
_TIMED: dict[Operation, _Trial] = {
    "linear": _Trial((512, 512), (256, 512)),
    "convolution": _Trial((16, 32, 16, 16), (64, 32, 3, 3), Geometry(padding=(1, 1))),
}


def _exact(operation: Operation) -> bool:
    """Tell whether results equal those of float32, on extremes too: all ones with all weights -128 / 32 or 127 / 32."""
    with torch.no_grad():
        for trial in _TRIALS[operation]:
            x, weight = trial.operands()
            for spikes in (x, torch.ones_like(x)):
                for values in (weight, torch.full_like(weight, -128 * SCALE), torch.full_like(weight, 127 * SCALE)):
                    if not torch.equal(trial.integer(spikes, trial.ready(values)), trial.exact(spikes, values)):
                        return False
    return True


class Limits(NamedTuple):
    """The inputs for which the integer product is the fastest, by what was measured."""

    rows: float  #: from how many rows on it pays to pack a weight anew
    density: float  #: up to which fraction of ones the sums by events are faster; both take their conversion


@cache
def limits() -> Limits:
    """The inputs of dense synapses for which `linear` is the fastest, measured the first time in a process."""
    trial = _TIMED["linear"]
    x, weight = trial.operands()
    ready, matrix = trial.ready(weight), weight.numpy()
    table, source = events.table(matrix), torch.Generator().manual_seed(0)
    assert table is not None
    packed = table
    sparse, dense = ((torch.rand(x.shape, generator=source) < density).float().numpy() for density in _DENSITIES)

    def by_events(entries: Any) -> None:
        events.forward(events.of_rows(entries, False), packed, len(weight))

    with torch.no_grad(), one_thread():
        float32, integer, anew, few, many = fastest(
            (
                lambda: trial.exact(x, weight),
                lambda: trial.integer(x, ready),
                lambda: _pack(weight, _for_linear),
                lambda: by_events(sparse),
                lambda: by_events(dense),
            )
        )
    gained = (float32 - integer) / len(x)
    slope = (many - few) / (_DENSITIES[1] - _DENSITIES[0])
    density = _DENSITIES[0] + (integer - few) / slope if slope > 0 else 1.0
    return Limits(anew / gained if gained > 0 else float("inf"), min(max(density, 0.0), 1.0))


#: At which events are timed: about linear in the density beyond.
_DENSITIES = (0.1, 0.3)


def _gain(operation: Operation) -> float:
    """The factor by which the operation is faster than float32, the packing of the weight not counted."""
    trial = _TIMED[operation]
    x, weight = trial.operands()
    ready = trial.ready(weight)
    with torch.no_grad():
        float32, integer = fastest((lambda: trial.exact(x, weight), lambda: trial.integer(x, ready)))
    return float32 / integer
