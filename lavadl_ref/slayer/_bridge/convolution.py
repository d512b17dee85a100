"""Convolutions by events, on 8-bit integers or in float32, whichever is faster.

As in `dense`, events are the entries of the input that are not zero, and the density of the input is estimated from a
sample before anything is decided.  A convolution does more for an event than a dense synapse, as each is in several
windows, so the decision weighs the work of both sides, in multiplications of the float32 convolution.

Where nobody has chosen a backend, results are those of the float32 convolution, bit for bit: other backends are taken
only where every sum is exact, whatever its order.  Weights are then multiples of 1/32 of at most 4 in magnitude,
and a bound on the sums of each window, from the number of its events, fits the 24 bits of float32.  Gradients of
the weight are summed in another order than torch's; they do not depend on the number of threads.

Left to the float32 convolution: groups, a bias, other types than float32, weights or gradients that are not finite,
small convolutions, the gradient of the input, and all second derivatives.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from lavadl_kernels.ops import convolution as kernels
from lavadl_kernels.ops import events
from lavadl_kernels.ops.convolution import FrameEvents, Geometry
from lavadl_kernels.ops.product import product
from lavadl_kernels.runtime.buffers import empty
from lavadl_kernels.runtime.simd import BIAS, WIDTH
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from lavadl_ref.slayer._bridge import autograd as _autograd
from lavadl_ref.slayer._bridge import int8
from lavadl_ref.slayer._bridge.dense import stretches, version_of
from lavadl_ref.slayer._bridge.function import TypedFunction
from lavadl_ref.slayer._bridge.kept import kept
from lavadl_ref.slayer._bridge.paths import ChosenPath, pinned


class Cost(NamedTuple):
    """The cost of events, in multiplications of a float32 convolution, measured with AVX-512 on one thread."""

    place: int  #: each place of the output: to look for its window, or to copy its gradient
    event: int  #: each event of a window: to search for it, to list it, and to look at its value
    block: int  #: the same, for each `WIDTH` outputs
    weight: int  #: each weight


FORWARD = Cost(6000, 150, 50, 5)  #: spikes and 8-bit weights
FORWARD_FLOAT = Cost(6000, 350, 185, 10)  #: any weights, or events of different values
BACKWARD = Cost(3000, 200, 135, 100)  #: the gradient of the weight

PACKED = 115  #: what it costs to pack a weight for 8-bit integers, in the same unit
LEAST_INPUTS = 128  #: weights of an output for 8-bit integers: with 27, to convert the input takes the gain
MOST_GAIN = 4  #: how much faster than float32 8-bit integers are at best: they are not tried where events do better

#: entries of a stretch that is looked at for an estimate of the density: with 1024, to look took 0.3 ms, a sixth of a
#: small convolution
SAMPLE = 128

#: Multiplications below which nothing is worth a decision, which takes 0.1 ms: so many take 0.3 ms.
LEAST_WORK = 1 << 24


def sums(input: Tensor, weight: Tensor, bias: Tensor | None, steps: int8.Geometry) -> tuple[Tensor, ChosenPath]:
    """The weighted sums (N, O, H', W', T) of `input` (N, C, H, W, T), and how they were made.

    `weight` (O, C / groups, kh, kw) has its channels last in memory.
    """
    recorded = torch.is_grad_enabled() and weight.requires_grad
    if pinned() in ("auto", "events", "int8") and bias is None and steps.groups == 1 and _plain(input, weight):
        made = _made(input, weight, steps, recorded)
        if made is not None:
            z, taken, found, g = made
            if recorded or (torch.is_grad_enabled() and input.requires_grad):
                z = _Convolution.apply(input, weight, [z], found, (g, steps), taken)
            return z, taken
    y = F.conv2d(frames(input), weight, bias, steps.stride, steps.padding, steps.dilation, steps.groups)
    return unframed(y, input.shape[0], input.shape[-1]), ChosenPath("gemm", "gemm" if recorded else None, None)


def frames(x: Tensor) -> Tensor:
    """A tensor (N, C, H, W, T) as (T * N, C, H, W), a view where memory has time slowest."""
    n, c, h, w, t = x.shape
    return x.permute(4, 0, 1, 2, 3).reshape(t * n, c, h, w)


def unframed(y: Tensor, samples: int, steps: int) -> Tensor:
    """The inverse of `frames`: (T * N, C, H, W) as (N, C, H, W, T)."""
    return y.reshape(steps, samples, *y.shape[1:]).permute(1, 2, 3, 4, 0)


def _plain(input: Tensor, weight: Tensor) -> bool:
    good = all(x.dtype == torch.float32 and x.device.type == "cpu" and x.numel() > 0 for x in (input, weight))
    return good and input.shape[1] == weight.shape[1]


class _Work(NamedTuple):
    """A convolution in numbers."""

    places: int  #: of the output, in all frames
    inputs: int  #: weights of an output
    outputs: int

    @property
    def float32(self) -> int:
        """Multiplications of the float32 convolution."""
        return self.places * self.inputs * self.outputs

    def by_events(self, cost: Cost, density: float) -> float:
        """The cost by events, in the same unit."""
        blocks = -(-self.outputs // WIDTH)
        listed = self.places * self.inputs * density * (cost.event + blocks * cost.block)
        return self.places * cost.place + listed + self.inputs * self.outputs * cost.weight


def _pair(values: Sequence[int]) -> tuple[int, int]:
    height, width = values
    return height, width


def _sample(x: Tensor) -> tuple[float, bool]:
    """About how much of `x` is not zero, and whether that seems to be ones, from stretches all over it."""
    seen = stretches(x, SAMPLE)
    some, ones = np.count_nonzero(seen != 0), np.count_nonzero(seen == 1)
    return some / seen.size, some == ones


def _wanted(work: _Work, density: float, spikes: bool, recorded: bool) -> str:
    """The backend of forward that promises to be the fastest."""
    costs = {
        "gemm": float(work.float32),
        "events": work.by_events(FORWARD if spikes else FORWARD_FLOAT, density),
    }
    if spikes and work.inputs >= LEAST_INPUTS and costs["events"] > work.float32 / MOST_GAIN:
        verdict = int8.verdict("convolution")
        if verdict.usable:
            # a weight that is trained is packed anew each time
            costs["int8"] = work.float32 / verdict.gain + (PACKED * work.inputs * work.outputs if recorded else 0)
    return min(costs, key=lambda name: costs[name])


def _made(
    input: Tensor, weight: Tensor, steps: int8.Geometry, recorded: bool
) -> tuple[Tensor, ChosenPath, FrameEvents | None, Geometry] | None:
    """The sums, how they were made, and the events for backward; None where nothing is better than torch's own."""
    frame = (*input.shape[2:4], input.shape[1])
    g = kernels.geometry(frame, _pair(weight.shape[2:]), *map(_pair, (steps.stride, steps.padding, steps.dilation)))
    n, guessing = input.shape[0] * input.shape[-1], pinned() == "auto"
    work = _Work(n * g.out_height * g.out_width, g.inputs, len(weight))
    if (guessing and work.float32 < LEAST_WORK) or not kernels.fits(n, g):
        return None
    x = frames(input.detach()).permute(0, 2, 3, 1).contiguous()
    forward: str = pinned()
    listing = recorded and forward == "events"
    if guessing:
        density, spikes = _sample(x)
        forward = _wanted(work, density, spikes, recorded)
        listing = recorded and work.by_events(BACKWARD, density) < work.float32
    _autograd.follow_torch()
    z = density_of_spikes = None
    if forward == "int8":
        packed = int8.pack_spikes(x.permute(0, 3, 1, 2))
        ready = None if packed is None else int8.convolution_weight(weight, packed.bytes.shape, steps)
        if packed is not None and ready is not None:
            z, density_of_spikes = int8.convolution(packed.bytes, ready, steps), packed.density
    table = None
    if forward == "events":
        table = kept(weight, "events", _table)
        if table is not None and guessing and table.dtype != np.uint8:
            table = None
    if not listing and z is None and table is None:
        return None
    found = kernels.of_frames(x.numpy()) if listing or table is not None else None
    if found is not None and table is not None:
        z = _by_events(found, g, table, weight, guessing)
    if not listing and z is None:
        return None
    taken = ChosenPath("gemm" if z is None else forward, None, density_of_spikes if found is None else found.density)
    if z is None:
        z = F.conv2d(x.permute(0, 3, 1, 2), weight.detach(), None, steps.stride, steps.padding, steps.dilation)
    if recorded:
        taken.backward = "events" if listing else "gemm"
    return unframed(z, input.shape[0], input.shape[-1]), taken, found if listing else None, g


def _table(weight: Tensor) -> NDArray[Any] | None:
    """A weight (O, C, kh, kw) as events read it."""
    return events.table(weight.detach().permute(0, 2, 3, 1).reshape(len(weight), -1).contiguous().numpy())


def _by_events(found: FrameEvents, g: Geometry, table: NDArray[Any], weight: Tensor, exactly: bool) -> Tensor | None:
    """The sums (F, O, H', W') by events, None where `exactly` is asked for and one may not be exact."""
    most = 1 << 30
    if exactly:
        largest, unit = kernels.grain(found)
        most = _most(largest * BIAS, unit)
        if most < g.inputs and found.value.size:
            low, high = weight.detach().permute(0, 2, 3, 1).aminmax()  # in the order of memory: 20 times faster
            most = _most(largest * events.MANTISSA * max(-low.item(), high.item()), unit)
        if most < min(found.density * g.inputs, 1):
            return None
    z = kernels.forward(found, g, table, len(weight), most)
    return None if z is None else torch.from_numpy(z).permute(0, 3, 1, 2)


def _most(largest: float, unit: float) -> int:
    """The number of terms of at most `largest`, all multiples of `unit`, that float32 sums exactly in any order."""
    return int(min(kernels.EXACT * unit / largest, 1 << 30)) if largest > 0 else 1 << 30


class _Convolution(TypedFunction):
    """Sums that were made already; for backward it keeps the list of events, or the input."""

    @staticmethod
    def forward(
        ctx: Any,
        input: Tensor,
        weight: Tensor,
        made: list[Tensor],
        found: FrameEvents | None,
        where: tuple[Geometry, int8.Geometry],
        taken: ChosenPath,
    ) -> Tensor:
        ctx.where, ctx.taken, ctx.shape = where, taken, tuple(input.shape)
        # lists stay right whatever becomes of the input, but torch's rule is that it must not change
        ctx.input, ctx.version = weakref.ref(input), version_of(input)
        kept = [weight] if ctx.needs_input_grad[0] or taken.backward == "gemm" else []
        if found is not None:
            ctx.found = found.shape, found.common
            kept += [torch.from_numpy(part) for part in (found.row, found.entry.view(np.int16), found.value)]
        elif taken.backward == "gemm":
            kept.append(input)
        ctx.save_for_backward(*kept)
        return made.pop()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Any:
        _autograd.follow_torch()
        input = ctx.input()
        if input is not None and version_of(input) != ctx.version:
            raise RuntimeError(
                "one of the variables needed for gradient computation has been modified by an inplace operation: "
                f"the input {tuple(input.shape)} of a convolution is at version {version_of(input)}; "
                f"expected version {ctx.version} instead"
            )
        saved, taken = list(ctx.saved_tensors), ctx.taken
        grad = frames(grads[0]).contiguous(memory_format=torch.channels_last)
        needs_input = ctx.needs_input_grad[0]
        weight = saved.pop(0) if needs_input or taken.backward == "gemm" else None
        to_weight, x = None, None
        if taken.backward == "events":
            shape, common = ctx.found
            row, entry, value = (part.numpy() for part in saved)
            found = FrameEvents(shape, common, row, row, entry.view(np.uint16), value)
            to_weight = _to_weight(found, ctx.where[0], grad)
            if to_weight is None:
                # infinity times zero is not zero
                taken.backward = "gemm"
                x = torch.from_numpy(kernels.dense(found)).permute(0, 3, 1, 2)
        elif taken.backward == "gemm":
            x = frames(saved[0])
        to_input = None
        if needs_input or x is not None:
            to_input, by_torch = _by_torch(grad, x, weight, ctx.where, needs_input)
            to_weight = by_torch if to_weight is None else to_weight
        if to_input is not None:
            to_input = unframed(to_input, ctx.shape[0], ctx.shape[-1])
        return to_input, to_weight, None, None, None, None


def _to_weight(found: FrameEvents, g: Geometry, grad: Tensor) -> Tensor | None:
    """The gradient (O, C, kh, kw) of the weight by events, None where `grad` or an event is not finite."""
    lists = kernels.by_channel(found, g)
    if lists is None:
        return None
    gradient = kernels.weight_gradient(lists, found.common, g, grad.permute(0, 2, 3, 1).numpy())
    return None if gradient is None else torch.from_numpy(gradient)


def _by_torch(
    grad: Tensor, x: Tensor | None, weight: Tensor | None, where: tuple[Geometry, int8.Geometry], needs_input: bool
) -> tuple[Tensor | None, Tensor | None]:
    """The gradients of the input, if it is needed, and of the weight, if `x` is there, as torch computes them."""
    g, steps = where
    wanted = [needs_input, x is not None, False]
    if x is None:  # its shape alone counts
        x = torch.from_numpy(empty((len(grad), g.height, g.width, g.channels))).permute(0, 3, 1, 2)
    if weight is None:
        weight = grad.new_empty((grad.shape[1], g.channels, g.kernel_y, g.kernel_x))
    to_input, to_weight, _ = torch.ops.aten.convolution_backward(
        grad, x, weight, None, steps.stride, steps.padding, steps.dilation, False, [0, 0], 1, wanted
    )
    return to_input, to_weight


#: Places of an unfolded input in `weight_gradient`, times their weights: a few MB at a time.
UNFOLDED = 1 << 21


def weight_gradient(input: Tensor, grad: Tensor, kernel: tuple[int, int], steps: int8.Geometry) -> Tensor:
    """The gradient (O, C / groups, kh, kw) of a weight whose sums of `input` have the gradient `grad`.

    Parameters
    ----------
    input : Tensor
        Frames (F, C, H, W) float32.
    grad : Tensor
        Frames (F, O, H', W') float32.
    kernel : tuple of int
        (kh, kw).
    steps : Geometry

    Notes
    -----
    By events where the input is sparse, else as a product of the unfolded input. The bits do not depend on the number
    of threads, as those of torch's convolution do.
    """
    _autograd.follow_torch()
    groups = steps.groups
    if groups > 1:
        pairs = zip(input.chunk(groups, 1), grad.chunk(groups, 1), strict=True)
        return torch.cat([weight_gradient(x, g, kernel, steps._replace(groups=1)) for x, g in pairs])
    x = input.detach().permute(0, 2, 3, 1).contiguous()
    stride, padding, dilation = map(_pair, (steps.stride, steps.padding, steps.dilation))
    g = kernels.geometry((*input.shape[2:4], input.shape[1]), kernel, stride, padding, dilation)
    work = _Work(len(x) * g.out_height * g.out_width, g.inputs, grad.shape[1])
    if work.float32 >= LEAST_WORK and kernels.fits(len(x), g):
        density, _ = _sample(x)
        if work.by_events(BACKWARD, density) < work.float32:
            found = _to_weight(kernels.of_frames(x.numpy()), g, grad.contiguous(memory_format=torch.channels_last))
            if found is not None:
                return found
    total = np.zeros((grad.shape[1], g.inputs), np.float32)
    together = max(1, UNFOLDED // max(1, g.inputs * g.out_height * g.out_width))
    for some, to in zip(input.detach().split(together), grad.split(together), strict=True):
        unfolded = F.unfold(some, kernel, dilation, padding, stride)
        rows = unfolded.transpose(1, 2).reshape(-1, g.inputs).contiguous().numpy()
        total += product(to.transpose(0, 1).reshape(len(total), -1).contiguous().numpy(), rows)
    return torch.from_numpy(total).view(len(total), input.shape[1], *kernel)
