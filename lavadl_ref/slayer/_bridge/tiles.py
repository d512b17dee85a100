"""Gradients of dense synapses on the processor's matrix tiles, where it has them and they are faster.

8-bit weights and spikes are bfloat16 numbers, and a gradient is the sum of three: see `lavadl_kernels.ops.tiles`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from lavadl_kernels.ops import tiles as _tiles
from lavadl_kernels.runtime import amx
from torch import Tensor

from lavadl_ref.slayer._bridge import autograd as _autograd
from lavadl_ref.slayer._bridge.trial import Verdict, fastest, one_thread

#: How much faster than float32 a product must be to be used.
LEAST_GAIN = 1.25
#: The largest error that is taken for that of float32, next to the norm of the result: float32 itself has 1e-7 to 3e-7,
#: and two terms instead of three would have 1.2e-6 to 3.4e-6.
LARGEST_ERROR = 5e-7
#: Products from which on tiles are used: below, packing the operands and configuring the tiles takes the gain.
LEAST_WORK = 1 << 20


@cache
def verdict() -> Verdict:
    """Try the products on tiles, the first time in a process; later calls return what was found."""
    why = amx.missing()
    if why:
        return Verdict(False, 0.0, why)
    try:
        with one_thread(), torch.no_grad():
            if not _accurate():
                return Verdict(False, 0.0, "its products are not as accurate as those of float32 here")
            source = torch.Generator().manual_seed(0)
            grad, weight = _operands(source, 512, 512, 256)
            float32, tiled = fastest((lambda: grad @ weight, lambda: input_gradient([grad], [weight])))
    except Exception as error:  # nothing is worth a training run that fails
        return Verdict(False, 0.0, f"it fails here ({type(error).__name__})")
    gain = float32 / tiled
    return Verdict(True, gain, "" if gain >= LEAST_GAIN else f"it takes {1 / gain:.2f} of the time of float32 here")


def _operands(source: torch.Generator, rows: int, depth: int, columns: int) -> tuple[Tensor, Tensor]:
    """A gradient (rows, depth) of magnitudes from 1e-5 to 1e5 and 8-bit weights (depth, columns)."""
    grad = torch.randn(rows, depth, generator=source) * torch.exp(3 * torch.randn(rows, depth, generator=source))
    return grad, torch.randint(-128, 128, (depth, columns), generator=source).float() / 32


def _accurate() -> bool:
    """Tell whether products are as accurate as those of float32, ragged edges included."""
    source = torch.Generator().manual_seed(0)
    for rows, depth, columns in ((64, 96, 64), (33, 70, 41), (1, 1, 1), (300, 40, 17)):
        grad, weight = _operands(source, rows, depth, columns)
        spikes = (torch.rand(rows, columns, generator=source) < 0.3).to(torch.uint8)
        for found, exact in (
            (input_gradient([grad], [weight]), grad.double() @ weight.double()),
            (weight_gradient(grad, spikes), grad.double().t() @ spikes.double()),
        ):
            if not torch.linalg.vector_norm(found - exact) <= LARGEST_ERROR * torch.linalg.vector_norm(exact):
                return False
    return True


def worth(rows: int, weights: Sequence[Tensor]) -> bool:
    """Tell whether products of so many rows with `weights` are large enough for tiles."""
    return rows * sum(weight.numel() for weight in weights) >= LEAST_WORK


def input_gradient(grads: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    """The sum of the products of gradients (R, O) and weights (O, I), all float32 and contiguous: (R, I) float32.

    What tiles cannot hold is multiplied in float32: weights that are no bfloat16, gradients that are not finite.
    """
    _autograd.follow_torch()
    total: Tensor | None = None
    for grad, weight in zip(grads, weights, strict=True):
        product = _tiles.input_gradient(grad.detach().numpy(), weight.detach().contiguous().numpy())
        part = grad @ weight if product is None else torch.from_numpy(product)
        total = part if total is None else total.add_(part)
    assert total is not None
    return total


def weight_gradient(grad: Tensor, spikes: Tensor) -> Tensor:
    """The product (O, I) float32 of a gradient (R, O) float32, transposed, and spikes (R, I) uint8, both contiguous."""
    _autograd.follow_torch()
    product = _tiles.weight_gradient(grad.detach().numpy(), spikes.numpy().view(np.uint8))
    return grad.t() @ spikes.float() if product is None else torch.from_numpy(product)
