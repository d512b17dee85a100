"""Quantised weights of synapses: length and direction joined and rounded in one kernel, forward and backward.

What is computed is ``quantize_within(torch._weight_norm(v, g, 0), *grid)``, bit by bit.  The norm of a row depends on
the order in which its squares are added: `_norms_agree` compares the kernel's with torch's, which differs between
builds of torch, and where they disagree torch computes the norms.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch
from lavadl_kernels.ops import weights as kernels
from lavadl_kernels.runtime.buffers import empty
from numpy.typing import NDArray
from torch import Tensor

from lavadl_ref.slayer._bridge.autograd import follow_torch
from lavadl_ref.slayer._bridge.function import TypedFunction
from lavadl_ref.slayer._bridge.kept import track
from lavadl_ref.slayer.utils.quantize import Grid, quantize_within


class Made(NamedTuple):
    """Quantised weights, and what their gradient needs."""

    q: NDArray[np.float32]  #: (O, I)
    norm: NDArray[np.float32]  #: (O,) norms of the directions, (0,) where there are none
    inside: bool  #: whether nothing was clipped
    grid: Grid
    shape: torch.Size  #: of the parameter


def covered(v: Tensor, g: Tensor | None, grid: Grid) -> bool:
    """Tell whether the kernel computes these weights; `v` are directions if there are lengths `g`, else weights."""
    return _exact(grid[0]) and _plain(v) and (g is None or (_plain(g) and g.numel() == v.shape[0]))


def _plain(x: Tensor) -> bool:
    kind = type(x)
    plain = (kind is torch.nn.Parameter or kind is Tensor) and x.dtype is torch.float32
    return plain and x.is_cpu and x.is_contiguous() and x.numel() > 0


def _exact(step: float) -> bool:
    """Tell whether the kernel rounds to multiples of `step` as a division by it does.

    It multiplies by the inverse, which is the same only for a power of two; the bounds keep products away from overflow
    and denormal numbers.
    """
    return math.frexp(step)[0] == 0.5 and 2.0**-64 < step < 2.0**64


@cache
def kernel_grid(grid: Grid) -> kernels.Grid:
    """The grid as the kernel takes it."""
    return kernels.Grid.of(*grid)


def make(v: Tensor, g: Tensor | None, grid: Grid) -> Made:
    """The quantised weights of directions `v` (O, ...) and lengths `g` (O, 1, ...), or of weights `v`."""
    rows, known = _rows(v, g)
    q, inside = kernels.quantised(rows, kernel_grid(grid), known)
    return Made(q, rows.norm, inside, grid, v.shape)


def fresh(v: Tensor, g: Tensor | None, grid: Grid) -> Tensor:
    """The quantised weights in the shape of `v`, without a gradient."""
    follow_torch()
    return torch.from_numpy(make(v, g, grid).q.reshape(v.shape))


def gradients(
    made: Made, v: Tensor | None, g: Tensor | None, grad: NDArray[np.float32], out: NDArray[np.float32]
) -> tuple[Tensor, Tensor | None]:
    """Gradients to `v` and `g` for the gradient `grad` (O, I) of the quantised weights; `out` (O, I) takes the first.

    Without lengths and where nothing was clipped the first is `grad` itself, and `v` is not needed.
    """
    if v is None or (g is None and made.inside):
        return torch.from_numpy(grad.reshape(made.shape)), None
    rows = kernels.Rows(_matrix(v), kernels.NONE if g is None else _vector(g), made.norm)
    to_length = kernels.backward(rows, kernel_grid(made.grid), made.inside, grad, out)
    to_directions = torch.from_numpy(out.reshape(made.shape))
    return to_directions, None if g is None else torch.from_numpy(to_length.reshape(g.shape))


def unfused(v: Tensor, g: Tensor | None, grid: Grid) -> Tensor:
    """The same weights as torch's functions compute them, which can be differentiated any number of times."""
    return quantize_within(v if g is None else torch._weight_norm(v, g, 0), *grid)


class Quantised(TypedFunction):
    """Quantised weights of the shape of `v`, of directions `v` and lengths `g`."""

    @staticmethod
    def forward(ctx: Any, v: Tensor, g: Tensor, grid: Grid) -> Tensor:
        follow_torch()
        made = make(v, g, grid)
        ctx.made = made._replace(q=kernels.NONE)
        ctx.save_for_backward(v, g)
        return torch.from_numpy(made.q).view(v.shape)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        v, g = ctx.saved_tensors
        if torch.is_grad_enabled():  # second derivatives are asked for
            return *torch.autograd.grad(unfused(v, g, ctx.made.grid), (v, g), grads[0], create_graph=True), None
        follow_torch()
        grad = _matrix(grads[0].contiguous())
        return *gradients(ctx.made, v, g, grad, empty(grad.shape)), None


_kept: WeakKeyDictionary[torch.nn.Module, Tensor] = WeakKeyDictionary()


def kept(owner: torch.nn.Module, v: Tensor, g: Tensor | None, grid: Grid) -> Tensor:
    """Quantised weights (O, I) without a gradient: the last tensor for `owner` where it still has these bits.

    The weights are computed anew and compared at each call, which is certain: a tensor's version does not tell of
    changes through ``.data``, NumPy or shared memory. To compare takes as long as to read what was kept; what was
    derived from the same tensor, such as a packed copy, need not be made again.
    """
    follow_torch()
    before = _kept.get(owner)
    if before is not None and before.shape[0] == v.shape[0] and before.numel() == v.numel():
        rows, known = _rows(v, g)
        same_mode = before.is_inference() == torch.is_inference_mode_enabled()
        if same_mode and kernels.equals(rows, kernel_grid(grid), known, before.numpy()):
            return before
    q = _kept[owner] = track(torch.from_numpy(make(v, g, grid).q))
    return q


def forget(owner: torch.nn.Module) -> None:
    """Keep no weights of `owner`, which is trained: they change at each step."""
    _kept.pop(owner, None)


def _matrix(v: Tensor) -> NDArray[np.float32]:
    x: NDArray[np.float32] = v.detach().numpy()
    return x.reshape(x.shape[0], -1)


def _vector(g: Tensor) -> NDArray[np.float32]:
    return g.detach().numpy().reshape(-1)


def _rows(v: Tensor, g: Tensor | None) -> tuple[kernels.Rows, bool]:
    """The weights as the kernel takes them, and whether their norms are known."""
    matrix = _matrix(v)
    if g is None:
        return kernels.Rows.plain(matrix), True
    if matrix.shape[1] >= kernels.LANES and _norms_agree():
        return kernels.Rows(matrix, _vector(g), np.empty(len(matrix), np.float32)), False
    return kernels.Rows(matrix, _vector(g), _norms_of_torch(matrix)), True


def _norms_of_torch(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    x = torch.from_numpy(matrix)
    norms: Tensor = torch._weight_norm_interface(x, x.new_ones(len(x), 1), 0)[1]
    return norms.view(-1).numpy()


@cache
def _norms_agree() -> bool:
    """Tell whether the kernel adds squares in torch's order: then all norms have the same bits.

    Another order shows in about a tenth of random rows, of which there are 320 here.
    """
    random = np.random.default_rng(0)
    return all(
        np.array_equal(kernels.norms(x), _norms_of_torch(x))
        for width in (8, 16, 23, 100, 1001)
        for x in [random.standard_normal((64, width), np.float32)]
    )
