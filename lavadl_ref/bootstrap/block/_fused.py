"""Rates of a layer as one torch function: weights, product, drive, curve and dropout, forward and backward.

Values are those of the parts one after the other.  Where a part has been replaced, or somebody waits for its call, or
something is asked for that is not computed here, the functions return None, and blocks use the parts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from lavadl_kernels.ops.piecewise import Scaled
from lavadl_kernels.runtime.buffers import empty
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.modules import module as _module

from lavadl_ref.bootstrap.ann_sampler import AnnSampler, Knots, elementwise, in_order
from lavadl_ref.slayer._bridge import dense as _dense
from lavadl_ref.slayer._bridge import weights as _weights
from lavadl_ref.slayer._bridge.autograd import follow_torch
from lavadl_ref.slayer._bridge.function import TypedFunction
from lavadl_ref.slayer._bridge.paths import ChosenPath
from lavadl_ref.slayer._bridge.weights import kernel_grid
from lavadl_ref.slayer._hooks import watched
from lavadl_ref.slayer.neuron import Dropout, spiking
from lavadl_ref.slayer.synapse.dense import Dense, checked
from lavadl_ref.slayer.utils.quantize import Grid, grid_of

_hooked_globally: Callable[[], bool] = _module._has_any_global_hook


class Behind(NamedTuple):
    """The parts that follow weighted sums."""

    factors: tuple[Tensor | None, ...] = (None,)  #: of each synapse's sums in the drive, (1,) or (C,); None for 1
    knots: Knots | None = None  #: of the curve; None for bare sums
    keep: Tensor | None = None  #: the factor that dropout has drawn, (N, O, 1)

    def values(self, sums: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Drives (N, O) and rates (N, O, 1) of weighted sums (N, O)."""
        terms = [z if factor is None else z * factor for z, factor in zip(sums, self.factors, strict=True)]
        drive = terms[0] if len(terms) == 1 else terms[0] + terms[1]
        if self.knots is None:
            return drive, torch.from_numpy(drive.numpy().reshape(*drive.shape, 1))
        rates = self.knots.values(drive.numpy().reshape(-1))
        result = torch.from_numpy(rates.reshape(*drive.shape, 1))
        return drive, result if self.keep is None else result.mul_(self.keep)

    def gradients(self, drive: Tensor, grad: Tensor) -> list[Tensor]:
        """Gradients (N, O) to the sums, for that of the rates (N, O, 1)."""
        grad = grad.squeeze(-1)
        if self.knots is not None:
            grad = grad if self.keep is None else grad * self.keep.squeeze(-1)
            arriving = grad.contiguous().numpy().reshape(-1)
            slopes = self.knots.gradients(drive.numpy().reshape(-1), arriving)
            grad = torch.from_numpy(slopes.reshape(drive.shape))
        return [grad if factor is None else grad * factor for factor in self.factors]


def rates(block: Any, x: Tensor) -> Tensor | None:
    """Rates (N, O, 1) of a dense block for the rates `x`, (N, ..., 1)."""
    neuron, sampler = block.neuron, block.f
    weights = _weights_of(block.synapse, x)
    outputs = 0 if weights is None else weights[0].v.shape[0]
    if weights is None or not _fits(neuron, sampler, (outputs,)):
        return None
    factors = block.rates.factors(neuron)
    if factors is None:
        return None
    keep = _drawn(neuron, (x.shape[0], outputs, 1))
    return _applied(x, weights, Behind(factors, sampler.knots(), keep))


def sums(block: Any, x: Tensor) -> Tensor | None:
    """Weighted sums (N, O, 1) of a block that is read out, for the rates `x`, (N, ..., 1)."""
    weights = _weights_of(block.synapse, x) if x.shape[-1] == 1 else None
    # a second derivative needs the weight itself, which has to stay unchanged till then only if it is a product
    if weights is None or len(weights) > 1 or weights[0].g is None:
        return None
    return _applied(x, weights, Behind())


def input_rates(block: Any, x: Tensor) -> Tensor | None:
    """Rates (N, ..., 1) of an input block for `x`, (N, ..., 1)."""
    neuron, hook = block.neuron, block.pre_hook_fx
    plain = isinstance(x, Tensor) and x.dtype is torch.float32 and x.is_cpu and x.ndim >= 3 and not x.requires_grad
    if not plain or x.shape[-1] != 1:
        return None
    if isinstance(neuron, spiking.Neuron) and neuron.shape is None:
        # otherwise the first step after a resume would take the parts, whose sums to gain and offset round differently
        neuron.observe(x)
    if not _fits(neuron, block.f, tuple(x.shape[1:-1])):
        return None
    grid, factors = grid_of(hook), block.rates.factors(neuron)
    if grid is None or hook != neuron.quantize_8bit or factors is None:
        return None
    weight, bias = block.weight, block.bias  # a module looks long for what it has
    gain, offset = _nearest(weight, 1.0, grid), _nearest(bias, 0.0, grid)
    if gain is None or offset is None or not (factors[0] is None or factors[0].numel() == 1):
        return None
    factor = 1.0 if factors[0] is None else factors[0].item()
    scaled = Scaled(kernel_grid(grid), *map(np.float32, (gain[0], offset[0], factor)))
    knots = block.f.knots()
    # a picture is rearranged as the neuron does it; to round again changes nothing
    u = x.detach() if x.ndim == 3 else neuron.quantized_input(x.detach())
    result: Tensor
    if torch.is_grad_enabled() and any(p is not None and p.requires_grad for p in (weight, bias)):
        result = _InputRates.apply(u, scaled, knots, (gain[1], offset[1]), weight, bias)
    else:
        result = elementwise(partial(knots.scaled_values, scaled), u)
    return result if neuron.drop is None else neuron.dropped(result)


class Weights(NamedTuple):
    """The parameters of a synapse's weight."""

    synapse: Dense
    v: Tensor
    g: Tensor | None
    grid: Grid


def _weights_of(synapse: Any, x: Tensor) -> list[Weights] | None:
    """The weights of a dense synapse for which the sums of `x` are matrix products."""
    parts = [synapse.real, synapse.imag] if getattr(synapse, "complex", False) else [synapse]
    for part in parts:
        if type(part) is not Dense or part._parameters.get("bias") is not None:
            return None
    if not _alone(synapse):
        return None
    if checked(x, parts[0]).ndim != 3 or x.dtype is not torch.float32 or not x.is_cpu or parts[0]._slides(x):
        return None
    weights, outputs = [], 0
    for part in parts:
        sources = part.sources()
        if sources is None:
            return None
        weights.append(Weights(part, *sources))
        outputs += sources[0].shape[0]
    return weights if _dense.multiplies(x, outputs) else None


def _alone(*parts: torch.nn.Module) -> bool:
    """Tell whether nobody waits for the call of one of `parts`, and autocast leaves what is computed as it is."""
    if _hooked_globally() or torch.is_autocast_enabled("cpu"):
        return False
    for part in parts:  # noqa: SIM110
        if watched(part):
            return False
    return True


def _fits(neuron: Any, sampler: Any, shape: tuple[int, ...]) -> bool:
    """Tell whether neurons and curve are this package's, and the neurons know the shape of what arrives."""
    if not (isinstance(neuron, spiking.Neuron) and type(sampler) is AnnSampler and _alone(neuron, sampler)):
        return False
    return (neuron.drop is None or type(neuron.drop) is Dropout) and neuron.knows(shape)


def _drawn(neuron: Any, shape: tuple[int, ...]) -> Tensor | None:
    keep: Tensor | None = None if neuron.drop is None else neuron.drop.drawn(shape)
    return keep


def _applied(x: Tensor, weights: list[Weights], behind: Behind) -> Tensor:
    """The layer on `x`, (N, ..., 1)."""
    parameters = [parameter for weight in weights for parameter in (weight.v, weight.g)]
    trained = torch.is_grad_enabled() and any(p is not None and p.requires_grad for p in parameters)
    for weight in weights:
        vars(weight.synapse)["taken"] = ChosenPath("gemm", "gemm" if trained else None, None)
    if torch.is_grad_enabled() and (trained or x.requires_grad):
        function = _Sums if behind.knots is None else _Rates
        result: Tensor = function.apply(x, behind, [weight.grid for weight in weights], *parameters)
        return result
    rows = x.detach().flatten(1)
    follow_torch()
    sums = [torch.mm(rows, _weights.kept(weight.synapse, weight.v, weight.g, weight.grid).t()) for weight in weights]
    return behind.values(sums)[1]


class _Rates(TypedFunction):
    """Rates (N, O, 1) of rates (N, ..., 1): one layer.

    Takes the input, what follows the sums, the grids, and for each synapse weight and None, or direction and length.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, behind: Behind, grids: list[Grid], *parameters: Tensor | None) -> Tensor:
        follow_torch()
        rows = x.flatten(1)
        ctx.behind, ctx.made, sums, kept = behind, [], [], []
        for v, g, grid in zip(parameters[::2], parameters[1::2], grids, strict=True):
            assert v is not None
            made = _weights.make(v, g, grid)
            sums.append(torch.mm(rows, torch.from_numpy(made.q).t()))
            ctx.made.append(made)
            # the gradient needs a weight that is no product only where it was clipped; it may change meanwhile
            kept += [v if g is not None else None if made.inside else v.detach().clone(), g]
        drive, values = behind.values(sums)
        ctx.save_for_backward(x, drive, *kept)
        return values

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Any:
        return _gradients(ctx, grads[0])


def _gradients(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    """Gradients to what `_Rates` takes."""
    follow_torch()
    x, drive, *parameters = ctx.saved_tensors
    rows = x.flatten(1)
    to_input: Tensor | None = None
    to_parameters: list[Tensor | None] = []
    each = zip(ctx.behind.gradients(drive, grad), ctx.made, parameters[::2], parameters[1::2], strict=True)
    for number, (part, made, v, g) in enumerate(each):
        if ctx.needs_input_grad[0]:
            q = torch.from_numpy(made.q)
            to_input = torch.mm(part, q) if to_input is None else to_input.addmm_(part, q)
        if any(ctx.needs_input_grad[3 + 2 * number : 5 + 2 * number]):
            to_weight = empty(made.q.shape)
            torch.mm(part.t(), rows, out=torch.from_numpy(to_weight))
            to_parameters += _weights.gradients(made, v, g, to_weight, to_weight)
        else:
            to_parameters += [None, None]
    return to_input if to_input is None else to_input.view(x.shape), None, None, *to_parameters


class _Sums(TypedFunction):
    """As `_Rates` of one synapse with length and direction, without a curve; can be differentiated twice."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, behind: Behind, grids: list[Grid], *parameters: Tensor | None) -> Tensor:
        result: Tensor = _Rates.forward(ctx, x, behind, grids, *parameters)
        return result

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        if not torch.is_grad_enabled():
            return _gradients(ctx, grads[0])
        x, _, v, g = ctx.saved_tensors
        z = x.flatten(1) @ _weights.unfused(v, g, ctx.made[0].grid).flatten(1).t()
        places = [place for place in (0, 3, 4) if ctx.needs_input_grad[place]]
        wanted = [{0: x, 3: v, 4: g}[place] for place in places]
        found = torch.autograd.grad(z.unsqueeze(-1), wanted, grads[0], create_graph=True)
        gradients = dict(zip(places, found, strict=True))
        return tuple(gradients.get(place) for place in range(5))


def _nearest(value: Tensor | None, default: float, grid: Grid) -> tuple[float, bool] | None:
    """The one value on the grid, and whether it was within the bounds; None where there is another number of them."""
    if value is None:
        return default, False
    if value.numel() != 1 or not math.isfinite(given := value.item()):
        return None
    step, low, high = grid
    nearest = round(given / step) * step
    return min(max(nearest, low), high), low <= nearest <= high


class _InputRates(TypedFunction):
    """Rates of an input block, with gradients to its gain and offset, where these are `inside` the grid."""

    @staticmethod
    def forward(
        ctx: Any,
        u: Tensor,
        scaled: Scaled,
        knots: Knots,
        inside: tuple[bool, bool],
        gain: Tensor | None,
        offset: Tensor | None,
    ) -> Tensor:
        ctx.arguments = scaled, knots, inside
        ctx.shapes = [None if p is None else p.shape for p in (gain, offset)]
        ctx.save_for_backward(u)
        return elementwise(partial(knots.scaled_values, scaled), u)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Any:
        follow_torch()
        (u,) = ctx.saved_tensors
        scaled, knots, inside = ctx.arguments
        totals = knots.scaled_gradients(scaled, *in_order(u, grads[0]))
        results = [
            torch.full(shape, total if good else 0.0) if needed else None
            for shape, total, good, needed in zip(
                ctx.shapes, totals.tolist(), inside, ctx.needs_input_grad[4:], strict=True
            )
        ]
        return None, None, None, None, *results
