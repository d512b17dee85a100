"""Weighted sums of dense synapses, by events or as a matrix product, whichever is faster.

An event is an entry of the input that is not zero.  The work by events is proportional to their number, and
where weights are 8-bit their sums are integers, so it is faster up to high densities; how many there are is
estimated from a sample of the input before it is decided.  Results do not depend on the backend where sums are
exact: weights that are multiples of 1/32 up to 4 in magnitude, and an input of zeros and ones (or of integers,
or graded spikes, while sums stay below 2**24 of their smallest unit).  Elsewhere (weights without quantiser,
spikes that dropout has scaled) the backends round differently.

Left to the matrix product: other types than float32, weights or gradients that are not finite, more than 65536
inputs, few outputs, small layers, and all second derivatives.  Integer and bfloat16 matrix products of torch
are not used: without hardware for them, which has to be there for them to pay, they are slower than float32.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from lavadl_kernels.ops import events
from lavadl_kernels.runtime.buffers import empty
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from lavadl_ref.slayer._bridge import autograd as _autograd
from lavadl_ref.slayer._bridge.autograd import Layout
from lavadl_ref.slayer._bridge.function import TypedFunction
from lavadl_ref.slayer._bridge.paths import ChosenPath, pinned
from lavadl_ref.slayer.utils import _validate

# Densities up to which events are faster than a float32 matrix product, measured with AVX2 and with AVX-512.
FORWARD = 0.4  #: 8-bit weights
FORWARD_FLOAT = 0.15  #: any weights, or events of different values
BACKWARD = 0.25  #: the gradient of the weight

FEWEST_OUTPUTS = 8  #: for fewer, the search for events costs as much as the matrix product
FEWEST_ROWS = 64  #: for fewer samples and steps, the table of weights costs as much
LEAST_WORK = 1 << 22  #: products below which nothing is worth a decision
SAMPLES = 64  #: stretches of the input that are looked at for an estimate of its density
SAMPLE = 1024  #: entries of a stretch


def sums(input: Tensor, weights: Sequence[Tensor]) -> tuple[list[Tensor], ChosenPath]:
    """The weighted sums (N, O, T) of `input` (N, ..., T) for each of `weights` (O, I), and how they were made."""
    if input.dtype != weights[0].dtype:
        _validate.of_dtype(input, weights[0].dtype, "dense input")
    n, steps = input.shape[0], input.shape[-1]
    listed = _listed(input, weights)
    recorded = torch.is_grad_enabled() and any(weight.requires_grad for weight in weights)
    if listed is not None:
        found, tables = listed
        # a dense input is better kept than the list of its events
        backward = "gemm" if pinned() == "auto" and found.density > BACKWARD else "events"
        taken = ChosenPath("events", backward if recorded else None, found.density)
        return list(_Events.apply(input, found, tables, taken, *weights)), taken
    rows = _rows(_autograd.time_first(input))
    products = [(rows @ weight.t()).view(steps, n, len(weight)).permute(1, 2, 0) for weight in weights]
    return products, ChosenPath("gemm", "gemm" if recorded else None, None)


def multiplies(input: Tensor, outputs: int) -> bool:
    """Tell of a plain `input` whether `sums` surely is the matrix product, without a look at the weights."""
    n, steps = input.shape[0], input.shape[-1]
    if pinned() != "auto":
        return pinned() == "gemm"
    if outputs < FEWEST_OUTPUTS or n * steps < FEWEST_ROWS or input.numel() * outputs < LEAST_WORK:
        return True
    return _estimate(_rows(input.detach()).contiguous()) > FORWARD


def _rows(x: Tensor) -> Tensor:
    """(T * N, I) of (N, ..., T), a view where memory has time slowest."""
    return x.movedim(-1, 0).reshape(x.shape[0] * x.shape[-1], math.prod(x.shape[1:-1]))


def _listed(input: Tensor, weights: Sequence[Tensor]) -> tuple[events.Events, list[NDArray[Any]]] | None:
    """Events and tables of weights, None where a matrix product is to be used."""
    n, steps, width = input.shape[0], input.shape[-1], math.prod(input.shape[1:-1])
    plain = all(x.dtype == torch.float32 and x.device.type == "cpu" for x in (input, *weights))
    if pinned() == "gemm" or not plain or input.numel() == 0:
        return None
    guessing = pinned() == "auto"
    outputs = sum(len(weight) for weight in weights)
    few = outputs < FEWEST_OUTPUTS or n * steps < FEWEST_ROWS
    if (guessing and (few or input.numel() * outputs < LEAST_WORK)) or not events.fits(n, width, steps):
        return None
    x = input.detach()
    lanes = x.is_contiguous() and steps > 1
    entries = x if lanes else _rows(x).contiguous()
    if guessing and _estimate(entries) > FORWARD:
        return None
    _autograd.follow_torch()
    tables = []
    for weight in weights:
        table = events.table(weight.detach().contiguous().numpy())
        if table is None:
            return None
        tables.append(table)
    backward = torch.is_grad_enabled() and any(weight.requires_grad for weight in weights)
    if lanes:
        found = events.of_lanes(entries.view(n, width, steps).numpy(), backward)
    else:
        found = events.of_rows(entries.numpy(), backward)
    assert found.by_row is not None
    small = all(table.dtype == np.uint8 for table in tables) and not found.by_row.value.size
    if guessing and found.density > (FORWARD if small else FORWARD_FLOAT):
        return None
    return found, tables


def _estimate(x: Tensor) -> float:
    """About how much of `x` is not zero, from stretches all over it."""
    flat = x.view(-1)
    if flat.numel() > 2 * SAMPLES * SAMPLE:
        apart = flat.numel() // SAMPLES
        flat = flat[: SAMPLES * apart].view(SAMPLES, apart)[:, :SAMPLE]
    return torch.count_nonzero(flat).item() / flat.numel()


class _Events(TypedFunction):
    """Sums by events; for backward it keeps their lists instead of the input."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, found: events.Events, tables: list[NDArray[Any]], taken: ChosenPath, *weights: Tensor
    ) -> tuple[Tensor, ...]:
        _autograd.follow_torch()
        ctx.shape, ctx.taken = x.shape, taken
        # the lists stay right whatever becomes of the input, but torch's rule is that it must not change
        ctx.input, ctx.version = weakref.ref(x), _version(x)
        # what no gradient needs is not kept
        needed = weights if ctx.needs_input_grad[0] else ()
        kept: list[Tensor] = []
        if taken.backward == "gemm":
            kept = [x]
        elif taken.backward == "events":
            assert found.by_column is not None
            lists = found.by_column
            kept = [torch.from_numpy(part) for part in (lists.start, lists.entry.view(np.int16), lists.value)]
        ctx.found = found._replace(by_row=None, by_column=None)
        ctx.outputs = [len(weight) for weight in weights]
        ctx.save_for_backward(*needed, *kept)
        n, steps = x.shape[0], x.shape[-1]
        results = []
        for weight, table in zip(weights, tables, strict=True):
            z = events.forward(found, table, len(weight))
            results.append(Layout.channels_last((n, len(weight), steps)).logical(z))
        return tuple(results)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Any:
        _autograd.follow_torch()
        x = ctx.input()
        if x is not None and _version(x) != ctx.version:
            raise RuntimeError(
                "one of the variables needed for gradient computation has been modified by an inplace operation: "
                f"the input {tuple(x.shape)} of a dense synapse is at version {_version(x)}; "
                f"expected version {ctx.version} instead"
            )
        saved = list(ctx.saved_tensors)
        rows = [_rows(grad).contiguous() for grad in grads]
        to_input = None
        if ctx.needs_input_grad[0]:
            weights, saved = saved[: len(rows)], saved[len(rows) :]
            total = torch.from_numpy(empty((len(rows[0]), weights[0].shape[1])))
            torch.mm(rows[0], weights[0], out=total)
            for row, weight in zip(rows[1:], weights[1:], strict=True):
                total.addmm_(row, weight)
            n, *spatial, steps = ctx.shape
            to_input = total.view(steps, n, *spatial).movedim(0, -1)
        to_weights: list[Tensor | None] = [None] * len(rows)
        if ctx.taken.backward == "gemm" and len(saved) == 1:
            entries = _rows(_autograd.time_first(saved[0]))
            to_weights = [row.t() @ entries for row in rows]
        elif ctx.taken.backward is not None:
            start, entry, value = (part.numpy() for part in saved)
            found = ctx.found._replace(by_column=events.Lists(start, entry.view(np.uint16), value))
            to_weights = [_to_weight(found, row, ctx.taken) for row in rows]
        return to_input, None, None, None, *to_weights


def _version(x: Tensor) -> int:
    """The number of changes of `x` in place; tensors made in inference mode do not count theirs."""
    return -1 if x.is_inference() else x._version


def _to_weight(found: events.Events, grad: Tensor, taken: ChosenPath) -> Tensor:
    gradient = events.weight_gradient(found, grad.numpy())
    if gradient is not None:
        return torch.from_numpy(gradient)
    # infinity times zero is not zero
    taken.backward = "gemm"
    return grad.t() @ torch.from_numpy(events.matrix(found))
