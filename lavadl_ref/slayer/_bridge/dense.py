"""Weighted sums of dense synapses, by events or as a product of float32 or of integers, whichever is the fastest.

An event is an entry of the input that is not zero.  The work by events is proportional to their number, and
where weights are 8-bit their sums are integers, so it is faster up to high densities; how many there are is
estimated from a sample of the input before it is decided.  Results do not depend on the backend where sums are
exact: weights that are multiples of 1/32 up to 4 in magnitude, and an input of zeros and ones (or of integers,
or graded spikes, while sums stay below 2**24 of their smallest unit).  Elsewhere (weights without quantiser,
spikes that dropout has scaled) the backends round differently.

Spikes of more than a density that depends on the processor are multiplied as bytes (`int8`), with the same bits.
Left to the float32 product: other types than float32, weights or gradients that are not finite, more than 65536
inputs, few outputs, small layers, and all second derivatives.  torch's bfloat16 products and ``torch._int_mm``
are not used: the former round, and the latter is wrong on processors without instructions for it.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from lavadl_kernels.ops import events
from lavadl_kernels.ops.product import product
from lavadl_kernels.runtime import gemm
from lavadl_kernels.runtime.buffers import empty
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from lavadl_ref.slayer._bridge import autograd as _autograd
from lavadl_ref.slayer._bridge import int8, tiles
from lavadl_ref.slayer._bridge.autograd import Layout
from lavadl_ref.slayer._bridge.function import TypedFunction
from lavadl_ref.slayer._bridge.kept import kept, seen_before
from lavadl_ref.slayer._bridge.paths import ChosenPath, pinned
from lavadl_ref.slayer.utils import _validate

# Densities up to which events are faster than a float32 matrix product, measured with AVX2 and with AVX-512.
FORWARD = 0.4  #: 8-bit weights
FORWARD_FLOAT = 0.15  #: any weights, or events of different values
BACKWARD = 0.25  #: the gradient of the weight
BACKWARD_TILED = 0.1  #: the same beside a product on matrix tiles, which takes 0.4 of the time of float32

#: The density from which on spikes may be multiplied as bytes. Where the processor has tiles for them, which is where
#: they gain the most, events cost the same at 0.10 to 0.15; below, nothing is tried.
LEAST_BYTES = 0.08

#: Outputs up to which the gradient of the input is a product of our own, where the processor has registers of 512 bits
#: and a tile so many rows: 1.2 times as fast as torch's for 512 outputs, 3 times for 10. Beyond, the packed weights
#: leave the caches near to the processor.
DEEPEST = 1024
WIDE_ROWS = 8

FEWEST_OUTPUTS = 8  #: for fewer, the search for events costs as much as the matrix product
FEWEST_ROWS = 64  #: for fewer samples and steps, the table of weights costs as much
LEAST_WORK = 1 << 22  #: products below which nothing is worth a decision
SAMPLES = 64  #: stretches of the input that are looked at for an estimate of its density
SAMPLE = 1024  #: entries of a stretch


def stretches(x: Tensor, length: int) -> NDArray[np.float32]:
    """Entries of a contiguous `x`, of any shape: all, or `SAMPLES` stretches of `length` all over a large one.

    An array, since NumPy counts in so few entries several times as fast as torch.
    """
    flat: NDArray[np.float32] = x.numpy().reshape(-1)
    if flat.size <= 2 * SAMPLES * length:
        return flat
    apart = flat.size // SAMPLES
    return flat[: SAMPLES * apart].reshape(SAMPLES, apart)[:, :length]


class _Entries:
    """An input (N, ..., T) float32 in the orders of memory that sums read."""

    def __init__(self, input: Tensor) -> None:
        x = input.detach()
        self.samples, self.steps, self.width = x.shape[0], x.shape[-1], math.prod(x.shape[1:-1])
        self.lanes = x.is_contiguous() and self.steps > 1  #: whether time is innermost
        self.memory = x if self.lanes else _rows(x).contiguous()

    def rows(self) -> Tensor:
        """(T * N, I), contiguous."""
        return _rows(_autograd.time_first(self.memory)).contiguous() if self.lanes else self.memory

    def density(self) -> float:
        """About how much is not zero, from stretches all over the input."""
        seen = stretches(self.memory, SAMPLE)
        return int(np.count_nonzero(seen != 0)) / seen.size

    def listable(self) -> bool:
        """Tell whether `listed` can be called."""
        return events.fits(self.samples, self.width, self.steps)

    def listed(self, backward: bool) -> events.Events:
        """The events, without rearranging the input."""
        _autograd.follow_torch()
        if self.lanes:
            return events.of_lanes(self.memory.view(self.samples, self.width, self.steps).numpy(), backward)
        return events.of_rows(self.memory.numpy(), backward)


class _Plan(NamedTuple):
    """The way to compute the sums of one input, where it is not left to torch."""

    taken: ChosenPath
    found: events.Events | None = None  #: in the input, listed for the passes that go by events
    tables: Sequence[NDArray[Any]] = ()  #: the weights for sums by events
    spikes: Tensor | None = None  #: (R, I) uint8: the input for the passes that multiply bytes
    packed: Sequence[int8.Weight] = ()  #: the weights for sums of bytes


def sums(input: Tensor, weights: Sequence[Tensor]) -> tuple[list[Tensor], ChosenPath]:
    """The weighted sums (N, O, T) of `input` (N, ..., T) for each of `weights` (O, I), and how they were made."""
    if input.dtype != weights[0].dtype:
        _validate.of_dtype(input, weights[0].dtype, "dense input")
    plan = _planned(input, weights)
    if plan is not None:
        if torch.is_grad_enabled() and input.requires_grad:
            plan.taken.to_input = "amx" if _on_tiles(plan, input, weights) else "gemm"
        return list(_Planned.apply(input, plan, *weights)), plan.taken
    n, steps = input.shape[0], input.shape[-1]
    rows = _rows(_autograd.time_first(input))
    products = [(rows @ weight.t()).view(steps, n, len(weight)).permute(1, 2, 0) for weight in weights]
    return products, ChosenPath("gemm", "gemm" if _recorded(weights) else None, None)


def _recorded(weights: Sequence[Tensor]) -> bool:
    """Tell whether a gradient of a weight will be wanted."""
    return torch.is_grad_enabled() and any(weight.requires_grad for weight in weights)


def multiplies(input: Tensor, outputs: int) -> bool:
    """Tell of a plain `input` whether `sums` surely is the matrix product, without a look at the weights."""
    n, steps = input.shape[0], input.shape[-1]
    if pinned() != "auto":
        return pinned() == "gemm"
    if outputs < FEWEST_OUTPUTS or n * steps < FEWEST_ROWS or input.numel() * outputs < LEAST_WORK:
        return True
    return _Entries(input).density() > FORWARD


def _rows(x: Tensor) -> Tensor:
    """(T * N, I) of (N, ..., T), a view where memory has time slowest."""
    return x.movedim(-1, 0).reshape(x.shape[0] * x.shape[-1], math.prod(x.shape[1:-1]))


def _planned(input: Tensor, weights: Sequence[Tensor]) -> _Plan | None:
    """The way that is pinned or else the fastest, None where torch's own product is to be used."""
    way = pinned()
    plain = all(x.dtype == torch.float32 and x.device.type == "cpu" for x in (input, *weights))
    if way == "gemm" or not plain or input.numel() == 0:
        return None
    outputs, rows = sum(len(weight) for weight in weights), input.shape[0] * input.shape[-1]
    few = outputs < FEWEST_OUTPUTS or rows < FEWEST_ROWS or input.numel() * outputs < LEAST_WORK
    if way == "auto" and few:
        return None
    entries = _Entries(input)
    if way == "events":
        return _by_events(entries, weights, False)
    if way == "int8":
        return _by_bytes(entries, weights) if int8.verdict("linear").exact else None
    if way == "amx":
        return _by_tiles(entries, weights) if tiles.verdict().exact else None
    density = entries.density()
    if density > LEAST_BYTES and int8.verdict("linear").usable:
        limits = int8.limits()
        pays = rows >= limits.rows or all(seen_before(weight) for weight in weights)
        plan = _by_bytes(entries, weights) if pays and density > min(limits.density, FORWARD) else None
        if plan is not None:
            return plan
    return _by_events(entries, weights, True) if density <= FORWARD else None


def _on_tiles(plan: _Plan, input: Tensor, weights: Sequence[Tensor]) -> bool:
    """Tell whether the gradient of the input is to be computed on tiles; weights that they cannot hold are not."""
    if pinned() == "amx":
        return True
    small = all(table.dtype == np.uint8 for table in plan.tables)
    rows = input.shape[0] * input.shape[-1]
    return pinned() == "auto" and small and tiles.worth(rows, weights) and tiles.verdict().usable


def _by_events(entries: _Entries, weights: Sequence[Tensor], guessing: bool) -> _Plan | None:
    """The plan of sums by events; None where they are not right, or, if `guessing`, not the fastest."""
    if not entries.listable():
        return None
    _autograd.follow_torch()
    tables = []
    for weight in weights:
        table = kept(weight, "table", lambda given: events.table(given.detach().contiguous().numpy()))
        if table is None:
            return None
        tables.append(table)
    recorded = _recorded(weights)
    found = entries.listed(recorded)
    assert found.by_row is not None
    small = all(table.dtype == np.uint8 for table in tables) and not found.by_row.value.size
    if guessing and found.density > (FORWARD if small else FORWARD_FLOAT):
        return None
    taken = ChosenPath("events", "events" if recorded else None, found.density)
    if recorded and guessing and found.density > _most_by_events():
        # a dense input is better kept than the list of its events
        taken.backward = "gemm"
        spikes = int8.pack_spikes(entries.rows()) if tiles.verdict().usable else None
        if spikes is not None:
            taken.backward = "amx"
            return _Plan(taken, found, tables, spikes.bytes)
    return _Plan(taken, found, tables)


def _most_by_events() -> float:
    """The density up to which the gradient of the weight is the fastest by events.

    It does not follow the measured gain: a gradient by events rounds otherwise, and would change from run to run.
    """
    return BACKWARD_TILED if tiles.verdict().usable else BACKWARD


def _by_bytes(entries: _Entries, weights: Sequence[Tensor]) -> _Plan | None:
    """The plan of sums of bytes; None where the input is not of spikes or a weight is not of 8 bits."""
    packed = [ready for weight in weights if (ready := int8.linear_weight(weight)) is not None]
    spikes = int8.pack_spikes(entries.rows()) if len(packed) == len(weights) else None
    if spikes is None:
        return None
    taken = ChosenPath("int8", None, spikes.density)
    if not _recorded(weights):
        return _Plan(taken, None, (), spikes.bytes, packed)
    if pinned() == "auto" and spikes.density <= _most_by_events() and entries.listable():
        taken.backward = "events"
        return _Plan(taken, entries.listed(True), (), spikes.bytes, packed)
    taken.backward = "amx" if pinned() == "auto" and tiles.verdict().usable else "gemm"
    return _Plan(taken, None, (), spikes.bytes, packed)


def _by_tiles(entries: _Entries, weights: Sequence[Tensor]) -> _Plan | None:
    """The plan of a float32 product with gradients on tiles; None as of `_by_bytes`."""
    fits = all(int8.is_8_bit(weight) for weight in weights)
    spikes = int8.pack_spikes(entries.rows()) if fits else None
    if spikes is None:
        return None
    taken = ChosenPath("gemm", "amx" if _recorded(weights) else None, spikes.density)
    return _Plan(taken, None, (), spikes.bytes)


class _Planned(TypedFunction):
    """Sums by a plan; for backward it keeps lists of events or bytes instead of the input."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, plan: _Plan, *weights: Tensor) -> tuple[Tensor, ...]:
        _autograd.follow_torch()
        ctx.shape, ctx.taken = x.shape, plan.taken
        # what is kept stays right whatever becomes of the input, but torch's rule is that it must not change
        ctx.input, ctx.version = weakref.ref(x), version_of(x)
        # what no gradient needs is not kept
        needed = weights if ctx.needs_input_grad[0] else ()
        kept: list[Tensor] = []
        if plan.taken.backward == "events":
            assert plan.found is not None and plan.found.by_column is not None
            lists = plan.found.by_column
            kept = [torch.from_numpy(part) for part in (lists.start, lists.entry.view(np.int16), lists.value)]
            ctx.found = plan.found._replace(by_row=None, by_column=None)
        elif plan.taken.backward is not None:
            kept = [x if plan.spikes is None else plan.spikes]
        ctx.save_for_backward(*needed, *kept)
        n, steps = x.shape[0], x.shape[-1]
        return tuple(
            Layout.channels_last((n, len(weight), steps)).logical(z)
            for weight, z in zip(weights, _products(x, plan, weights), strict=True)
        )

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Any:
        _autograd.follow_torch()
        x = ctx.input()
        if x is not None and version_of(x) != ctx.version:
            raise RuntimeError(
                "one of the variables needed for gradient computation has been modified by an inplace operation: "
                f"the input {tuple(x.shape)} of a dense synapse is at version {version_of(x)}; "
                f"expected version {ctx.version} instead"
            )
        saved = list(ctx.saved_tensors)
        rows = [_rows(grad).contiguous() for grad in grads]
        to_input = None
        if ctx.needs_input_grad[0]:
            weights, saved = saved[: len(rows)], saved[len(rows) :]
            n, *spatial, steps = ctx.shape
            multiplied = tiles.input_gradient if ctx.taken.to_input == "amx" else _to_input
            to_input = multiplied(rows, weights).view(steps, n, *spatial).movedim(0, -1)
        to_weights: list[Tensor | None] = [None] * len(rows)
        if ctx.taken.backward == "events":
            start, entry, value = (part.numpy() for part in saved)
            found = ctx.found._replace(by_column=events.Lists(start, entry.view(np.uint16), value))
            to_weights = [_to_weight(found, row, ctx.taken) for row in rows]
        elif ctx.taken.backward == "amx":
            to_weights = [tiles.weight_gradient(row, saved[0]) for row in rows]
        elif ctx.taken.backward == "gemm":
            packed = saved[0].dtype == torch.uint8
            entries = saved[0].float() if packed else _rows(_autograd.time_first(saved[0]))
            to_weights = [row.t() @ entries for row in rows]
        return to_input, None, *to_weights


def _products(x: Tensor, plan: _Plan, weights: Sequence[Tensor]) -> list[NDArray[np.float32]]:
    """The sums (R, O) for each weight."""
    if plan.taken.forward == "events":
        assert plan.found is not None
        pairs = zip(plan.tables, weights, strict=True)
        return [events.forward(plan.found, table, len(weight)) for table, weight in pairs]
    if plan.taken.forward == "int8":
        assert plan.spikes is not None
        return [int8.linear(plan.spikes, weight).numpy() for weight in plan.packed]
    rows = _rows(_autograd.time_first(x))
    return [(rows @ weight.t()).numpy() for weight in weights]


def _to_input(grads: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    """The gradient (R, I) of the input."""
    total: Tensor | None = None
    for grad, weight in zip(grads, weights, strict=True):
        if grad.shape[1] <= DEEPEST and gemm.ROWS == WIDE_ROWS:
            part = torch.from_numpy(product(grad.detach().numpy(), weight.detach().numpy()))
            total = part if total is None else total.add_(part)
        elif total is None:
            total = torch.from_numpy(empty((len(grad), weight.shape[1])))
            torch.mm(grad, weight, out=total)
        else:
            total.addmm_(grad, weight)
    assert total is not None
    return total


def version_of(x: Tensor) -> int:
    """The number of changes of `x` in place; tensors made in inference mode do not count theirs."""
    return -1 if x.is_inference() else x._version


def _to_weight(found: events.Events, grad: Tensor, taken: ChosenPath) -> Tensor:
    gradient = events.weight_gradient(found, grad.numpy())
    if gradient is not None:
        return torch.from_numpy(gradient)
    # infinity times zero is not zero
    taken.backward = "gemm"
    return grad.t() @ torch.from_numpy(events.matrix(found))


def weight_gradient(input: Tensor, grad: Tensor) -> Tensor:
    """The gradient (O, I) of a weight whose sums of `input` (N, ..., T) have the gradient `grad` (N, O, T).

    By events where `input` is sparse, else as a product; the bits do not depend on the number of threads.
    """
    _autograd.follow_torch()
    entries, rows = _Entries(input), _rows(grad).contiguous()
    work = input.numel() * rows.shape[1]
    if len(rows) >= FEWEST_ROWS and work >= LEAST_WORK and entries.listable() and entries.density() <= BACKWARD:
        gradient = events.weight_gradient(entries.listed(True), rows.numpy())
        if gradient is not None:
            return torch.from_numpy(gradient)
    return torch.from_numpy(product(rows.t().contiguous().numpy(), entries.rows().numpy()))


def input_gradient(grad: Tensor, weight: Tensor) -> Tensor:
    """The gradient (N, I, T) to an input whose sums by `weight` (O, I) have the gradient `grad` (N, O, T)."""
    _autograd.follow_torch()
    found = product(_rows(grad).contiguous().numpy(), weight.detach().contiguous().numpy())
    return Layout.channels_last((grad.shape[0], weight.shape[1], grad.shape[-1])).logical(found)
