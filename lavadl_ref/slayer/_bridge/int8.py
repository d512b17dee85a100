"""Weighted sums of spikes on the processor's 8-bit integer instructions, where these give the same bits and are faster.

torch has oneDNN's products of uint8 and int8 as private operators.  Spikes are 0 or 1 and 8-bit weights are integers
over 32, so the integer sum is exact, and so is its conversion to float32: the results equal those of float32.  On
processors without an instruction for it, sums of two products pass 16 bits: 255 * 127 * 2 does not fit them, and
1 * -128 * 2 does.  So inputs are spikes, never graded.

The operators are private and may change or vanish, and whether they pay depends on the processor.  `verdict` therefore
tries each once a process: on operands of the largest magnitude and on random ones, with ==, and against the clock.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from lavadl_kernels.ops import spike_bytes
from torch import Tensor

from lavadl_ref.slayer._bridge import autograd as _autograd

Operation = Literal["linear", "convolution"]

SCALE = 1 / 32  #: the unit of an 8-bit weight
LARGEST_SUM = 1 << 24  #: of units, which float32 holds exactly
REPEATS = 5  #: timings of which the shortest counts
#: How much faster than float32 an operation must be to be used: below, converting the operands takes the gain.
LEAST_GAIN = 1.25


@dataclass(frozen=True)
class Verdict:
    """What trying an operation on this machine has shown.

    Attributes
    ----------
    exact : bool
        Whether it is there and its results equal those of float32.
    gain : float
        How many times faster than float32 it is, its spikes being converted too; 0 where it is not exact.
    reason : str
        One line on why it is not used, "" where it is.
    """

    exact: bool
    gain: float
    reason: str

    @property
    def usable(self) -> bool:
        """Whether to use the operation where nobody has chosen."""
        return not self.reason


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

    def pack(mantissa: Tensor) -> Tensor:
        packed: Tensor = torch.ops.onednn.qlinear_prepack(mantissa, None)
        return packed

    return _kept(weight, "linear", pack)


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
    """A weight (O, C / groups, kh, kw) float32 for `convolution`; None if it is not of 8 bits.

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

    return _kept(weight, (tuple(frames), *map(tuple, geometry[:3]), geometry.groups), pack)


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


#: The last packed form of a weight by its `id`, with its version and what the form depends on: in evaluation a weight
#: that is quantised once is packed once.
_packed: dict[int, tuple[weakref.ref[Tensor], int, Any, Weight | None]] = {}


def _kept(weight: Tensor, key: Any, pack: Callable[[Tensor], Tensor]) -> Weight | None:
    """The packed form of `weight`, from the last time if that was of the same version."""
    version = None if weight.is_inference() else weight._version
    found = _packed.get(id(weight))
    if found is not None and found[0]() is weight and found[1] == version and found[2] == key:
        return found[3]
    result = _pack(weight, pack)
    if version is not None:
        # the entry goes with the weight: its number may be given to another
        number = id(weight)
        _packed[number] = (weakref.ref(weight, lambda _: _packed.pop(number, None)), version, key, result)
    return result


def _pack(weight: Tensor, pack: Callable[[Tensor], Tensor]) -> Weight | None:
    if weight.dtype != torch.float32 or weight.device.type != "cpu" or not weight.numel():
        return None
    if weight[0].numel() * 128 >= LARGEST_SUM:
        return None
    _autograd.follow_torch()
    mantissa = spike_bytes.weights(weight.detach().contiguous().numpy())
    if mantissa is None:
        return None
    outputs = len(weight)
    packed = pack(torch.from_numpy(mantissa))
    return Weight(packed, torch.full((outputs,), SCALE), torch.zeros(outputs, dtype=torch.int64))


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


def _gain(operation: Operation) -> float:
    """How many times faster than float32 the operation is, the packing of the weight not counted."""
    trial = _TIMED[operation]
    x, weight = trial.operands()
    ready = trial.ready(weight)
    with torch.no_grad():
        float32, integer = fastest((lambda: trial.exact(x, weight), lambda: trial.integer(x, ready)))
    return float32 / integer


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute on one thread: other processes then add little to what `fastest` measures."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        _autograd.follow_torch()


def fastest(calls: Sequence[Callable[[], Any]]) -> list[float]:
    """The shortest of `REPEATS` times of each call, taken in turn, in seconds of the processor for this thread."""
    times = [float("inf")] * len(calls)
    for turn in range(REPEATS + 1):
        for number, call in enumerate(calls):
            begin = time.thread_time()
            call()
            if turn:  # the first is for caches
                times[number] = min(times[number], time.thread_time() - begin)
    return times
