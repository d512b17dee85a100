"""The dense synapse, and what all synapses share: the weight, its normalisation and its quantiser.

Weights have the five axes of a 3-D convolution over (H, W, T), the last of length 1. Both are in one file because a
dense synapse is little more than its weight.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.utils.weight_norm import WeightNorm

from lavadl_ref._assigned import Fixed
from lavadl_ref.slayer._bridge import convolution as _convolution
from lavadl_ref.slayer._bridge import dense as _dense
from lavadl_ref.slayer._bridge import weights as _weights
from lavadl_ref.slayer._bridge.convolution import unframed as unframed
from lavadl_ref.slayer._bridge.int8 import Geometry
from lavadl_ref.slayer._bridge.kept import kept, track
from lavadl_ref.slayer._bridge.paths import ChosenPath
from lavadl_ref.slayer._hooks import MAKES_WEIGHT
from lavadl_ref.slayer._precision import FullPrecision
from lavadl_ref.slayer.utils import _validate
from lavadl_ref.slayer.utils.quantize import Grid, clipped, grid_of

Hook = Callable[..., Tensor]
Size = int | Sequence[int]


def sizes(value: Any) -> tuple[Any, ...]:
    """One size or several, as a tuple; () for what is neither."""
    if isinstance(value, Integral) and not isinstance(value, bool):
        return (value,)
    several = hasattr(value, "__iter__") and hasattr(value, "__len__") and not isinstance(value, (str, Mapping))
    return tuple(value) if several else ()


def checked(input: Any, synapse: GenericLayer) -> Tensor:
    """`input`, which has to be a tensor (N, C, ..., T)."""
    if isinstance(input, Tensor) and input.ndim >= 3 and input.layout is torch.strided and not input.is_complex():
        return input  # as every block before sends it: there is nothing to complain of
    return _validate.tensor(input, f"input of a {type(synapse).__name__} synapse", 3, "(N, C, ..., T)")


def initial_factor(weight_scale: Any, weight_norm: Any) -> float:
    """The factor of the initial weights, of arguments that were looked at."""
    _validate.flag(weight_norm, "weight_norm")
    return _validate.number(weight_scale, "weight_scale")


def check_frames(x: Tensor, dtype: torch.dtype, what: str) -> None:
    """Refuse what is no tensor (N, C, H, W, T) of the weights' dtype."""
    if x.ndim != 5:
        raise ValueError(f"{what} must have shape (N, C, H, W, T), got {tuple(x.shape)}")
    _validate.of_dtype(x, dtype, what)


def frames(x: Tensor, dtype: torch.dtype, what: str) -> Tensor:
    """A tensor (N, C, H, W, T) of the weights' dtype as (T * N, C, H, W), a view where memory has time slowest."""
    check_frames(x, dtype, what)
    return _convolution.frames(x)


class _LengthAndDirection(WeightNorm):
    """torch's weight norm, for a module that makes its weight anew at each use and not at each call.

    It is registered as torch's own is, so that ``torch.nn.utils.remove_weight_norm`` finds it.
    """

    def __init__(self) -> None:
        super().__init__("weight", 0)

    def __call__(self, module: torch.nn.Module, inputs: Any) -> None:
        pass

    def remove(self, module: torch.nn.Module) -> None:
        """Replace length and direction of `module` by the weight they make."""
        direction: Any = module.weight_v
        weight = torch.nn.Parameter(self.compute_weight(module).detach().clone(), direction.requires_grad)
        for name in ("weight_g", "weight_v"):
            del module._parameters[name]
        module.weight = weight


def _length(weight: Tensor) -> Tensor:
    """The norm of each output's weights, with axes of length 1 behind."""
    return weight.square().sum(tuple(range(1, weight.ndim)), keepdim=True).sqrt()


class GenericLayer(FullPrecision):
    """Base class of all synapses; each is also the torch convolution to which its weight belongs.

    Attributes
    ----------
    weight : Parameter
        Five axes: (out, in / groups, height, width, 1), of transposed synapses (in, out / groups, height, width, 1).
    bias : Parameter or None
        (out,) float32 in units of 1, added to the weighted sums; None unless you assign one or a block creates one.
    stride, padding, dilation : tuple of int
        (height, width, time).
    groups : int
    complex : bool
        False: there is one weight, not a real and an imaginary one.
    """

    weight: Tensor
    taken: ChosenPath | None = None  # of a dense synapse or a convolution, once it was called
    if TYPE_CHECKING:  # what torch's convolutions have
        bias: Any
        stride: Any
        padding: Any
        dilation: Any
        groups: Any
    complex: Any = Fixed()
    in_channels: Any = Fixed()
    out_channels: Any = Fixed()
    kernel_size: Any = Fixed()
    transposed: Any = Fixed()
    output_padding: Any = Fixed()
    padding_mode: Any = Fixed()

    def __init__(self, *args: Any, pre_hook_fx: Hook | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.complex = False
        self._pre_hook_fx: Hook | None = _validate.function(pre_hook_fx, "pre_hook_fx")
        self._bias_hook_fx: Hook | None = None
        self._mask: Tensor | None = None

    def reset_parameters(self) -> None:
        """Initialise the weights as torch's convolutions do.

        Raises
        ------
        RuntimeError
            If the weight is computed from other parameters, by pruning or a parametrisation.
        """
        if not self.weight_norm_enabled:
            self._plain_weight()
            super().reset_parameters()  # type: ignore[misc]
            self._fill(self.weight)
            return
        # drawn in a plain tensor, so that length and direction remain the parameters that an optimiser knows
        vars(self)["weight"] = drawn = torch.empty_like(self.weight_v)
        try:
            super().reset_parameters()  # type: ignore[misc]
        finally:
            del vars(self)["weight"]
        self._fill(drawn)
        self.weight_v.data.copy_(drawn)
        self.weight_g.data.copy_(_length(drawn))

    def _fill(self, weight: Tensor) -> None:
        """Replace the drawn values where all weights are the same."""

    def _plain_weight(self) -> torch.nn.Parameter:
        weight = self._parameters.get("weight")
        if weight is None:
            raise RuntimeError(
                f"the weight of a {type(self).__name__} synapse must be a parameter, but it is made of others: "
                "remove pruning or parametrisation first"
            )
        return weight

    def __getattr__(self, name: str) -> Any:
        # while the weight is split into length and direction it is made anew at each use
        if name == "weight" and "weight_g" in self._parameters:
            return torch._weight_norm(self.weight_v, self.weight_g, 0)
        return super().__getattr__(name)

    def enable_weight_norm(self) -> None:
        """Train length ``weight_g`` and direction ``weight_v`` of each output's weights instead of ``weight``.

        Raises
        ------
        RuntimeError
            If the weight is already computed from other parameters, by pruning or a parametrisation.
        """
        if self.weight_norm_enabled:
            return
        weight = self._plain_weight()
        del self._parameters["weight"]
        self.weight_g = torch.nn.Parameter(_length(weight.detach()), weight.requires_grad)
        self.weight_v = torch.nn.Parameter(weight.detach().clone(), weight.requires_grad)
        self.register_forward_pre_hook(_LengthAndDirection())

    def disable_weight_norm(self) -> None:
        """Return to one ``weight`` parameter with the present value, even if other code has split it."""
        if self.weight_norm_enabled:
            torch.nn.utils.remove_weight_norm(self, "weight")

    @property
    def weight_norm_enabled(self) -> bool:
        """Tell whether ``weight_g`` and ``weight_v`` are trained instead of ``weight``; assigning switches it."""
        return "weight_g" in self._parameters

    @weight_norm_enabled.setter
    def weight_norm_enabled(self, value: bool) -> None:
        if value:
            self.enable_weight_norm()
        else:
            self.disable_weight_norm()

    @property
    def pre_hook_fx(self) -> Hook | None:
        """The function that the weight passes before use, typically a quantiser."""
        return self._pre_hook_fx

    @pre_hook_fx.setter
    def pre_hook_fx(self, function: Hook | None) -> None:
        self._pre_hook_fx = _validate.function(function, "pre_hook_fx")

    @property
    def bias_hook_fx(self) -> Hook | None:
        """The function that the bias passes before use, typically a quantiser; None for none."""
        return self._bias_hook_fx

    @bias_hook_fx.setter
    def bias_hook_fx(self, function: Hook | None) -> None:
        self._bias_hook_fx = _validate.function(function, "bias_hook_fx")

    @property
    def mask(self) -> Tensor | None:
        """Factor of the weight, of the same shape; a tensor (out, in) can be assigned too."""
        return self._mask

    @mask.setter
    def mask(self, value: Tensor | None) -> None:
        if value is not None:
            _validate.tensor(value, "mask", 0)
            shape = self.shape
            matrix = (shape[0], shape[1:].numel())
            if tuple(value.shape) not in (tuple(shape), matrix):
                raise ValueError(f"mask must have the shape (out, in) {matrix} of the weight, got {tuple(value.shape)}")
            value = value.detach().reshape(shape)
        self._mask = value

    @property
    def hooked_weight(self) -> Tensor:
        """The weight as applied."""
        sources = self.sources()
        weight: Tensor
        if sources is not None and sources[1] is not None:
            weight = _weights.Quantised.apply(*sources) if self._trains else _weights.fresh(*sources)
            return weight
        weight = self._masked_weight()
        return weight if self._pre_hook_fx is None else self._pre_hook_fx(weight)

    def sources(self) -> tuple[Tensor, Tensor | None, Grid] | None:
        """The parameters that the applied weight is made of in one pass: weight or direction, length, and the grid.

        None where a mask, pruning, a parametrisation, another weight norm or another quantiser takes part.
        """
        parameters = self._parameters
        g = parameters.get("weight_g")
        v = parameters.get("weight" if g is None else "weight_v")
        grid = grid_of(self._pre_hook_fx)
        if v is None or grid is None or self._mask is not None:
            return None
        for hook in self._forward_pre_hooks.values():
            if isinstance(hook, MAKES_WEIGHT) and type(hook) is not _LengthAndDirection:
                return None
        return (v, g, grid) if _weights.covered(v, g, grid) else None

    @property
    def _trains(self) -> bool:
        """Tell whether the weight's gradient is recorded."""
        return torch.is_grad_enabled() and any(p is not None and p.requires_grad for p in self._parameters.values())

    def matrix(self) -> Tensor:
        """The applied weight as a matrix (O, I); outside of training the last tensor while its values are right."""
        sources = self.sources()
        if sources is None or self._trains:
            _weights.forget(self)
            return self.hooked_weight.flatten(1)
        return _weights.kept(self, *sources)

    def channels_last(self) -> Tensor:
        """The applied weight (O, I, kh, kw) as a 2-D convolution reads it fastest; kept as `matrix` is."""
        sources = self.sources()
        if sources is None or self._trains:
            _weights.forget(self)
            return _channels_last(self.hooked_weight)
        shape = sources[0].shape[:-1]

        def rearranged(rows: Tensor) -> Tensor:
            # a tensor of its own: a view would hold the one that it is kept with. What is made of it is kept, too
            return track(_channels_last(rows.view(*shape, 1).clone()))

        return kept(_weights.kept(self, *sources), "channels last", rearranged)

    def weight_gradient(self, input: Tensor, grad: Tensor) -> Tensor:
        """The gradient to `hooked_weight`, in its shape, from that to the sums of `input`, `grad` (N, O, ..., T).

        The bits do not depend on the number of threads.
        """
        raise NotImplementedError

    def input_gradient(self, grad: Tensor, shape: torch.Size) -> Tensor:
        """The gradient to an input of the shape (N, C, ..., T) from that to its sums, `grad` (N, O, ..., T).

        The weight counts as a constant.
        """
        trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        for parameter in trained:
            parameter.requires_grad_(False)
        try:
            with torch.enable_grad():
                # the map is linear: a silent input is the least work
                x = torch.zeros([shape[-1], *shape[:-1]]).movedim(0, -1).requires_grad_()
                z = self(x)
        finally:
            for parameter in trained:
                parameter.requires_grad_(True)
        return torch.autograd.grad(z, x, grad)[0]

    def _beyond(self) -> dict[str, Tensor]:
        """By name, where parameters are beyond what the quantiser gives."""
        return {"weight": clipped(self._pre_hook_fx, self._masked_weight())}

    def _masked_weight(self) -> Tensor:
        """The weight before its quantiser."""
        # torch makes a pruned or normed weight before each call only: it would be that of the last call
        for hook in self._forward_pre_hooks.values():
            if isinstance(hook, MAKES_WEIGHT):
                hook(self, ())
        return self.weight if self._mask is None else self.weight * self._mask.to(self.weight.dtype)

    @property
    def _geometry(self) -> dict[str, Any]:
        """Height and width of what convolutions take, by torch's names."""
        return {
            "stride": tuple(self.stride[:2]),
            "padding": tuple(self.padding[:2]),
            "dilation": tuple(self.dilation[:2]),
        }

    @property
    def hooked_bias(self) -> Tensor | None:
        """The bias as applied, (out,); None if there is none.

        Raises
        ------
        ValueError
            If it has another shape.
        """
        bias: Tensor | None = self.bias
        if bias is None:
            return None
        if tuple(bias.shape) != (self.out_channels,):
            raise ValueError(f"bias of a synapse must have shape ({self.out_channels},), got {tuple(bias.shape)}")
        return bias if self._bias_hook_fx is None else self._bias_hook_fx(bias)

    @property
    def grad_norm(self) -> float:
        """Norm of the gradient of the weight (of its length, if normalised) over its number of elements."""
        names = ("weight_g", "weight_orig", "weight")
        parameter = next((self._parameters[name] for name in names if name in self._parameters), None)
        if parameter is None or parameter.grad is None:
            return 0.0
        norm: float = torch.linalg.vector_norm(parameter.grad).item()
        return norm / parameter.grad.numel()

    @property
    def shape(self) -> torch.Size:
        """Shape of the weight."""
        # a weight that is split into length and direction would be made for it
        direction = self._parameters.get("weight_v")
        return self.weight.shape if direction is None else direction.shape


class Dense(GenericLayer, torch.nn.Conv3d):
    """Fully connected synapse; on frames larger than its own size it acts as a convolution, as in Lava-DL.

    Parameters
    ----------
    in_neurons : int or tuple
        Number of inputs, or their shape (x, y) or (x, y, z) with z channels.
    out_neurons : int
        Number of outputs.
    weight_scale : float
        Factor of the initial weights.
    weight_norm : bool
        If True, train length and direction of the weights separately.
    pre_hook_fx : callable, optional
        Quantiser of the weight.

    Attributes
    ----------
    taken : ChosenPath or None
        Method of the last sums: by events or as a matrix product; `synapse.path` selects it.

    Raises
    ------
    ValueError
        If a size is not a positive integer or tuple of two or three of them.

    Examples
    --------
    >>> Dense(3, 2)(torch.ones(4, 3, 10)).shape
    torch.Size([4, 2, 10])
    """

    def __init__(
        self,
        in_neurons: Size,
        out_neurons: int,
        weight_scale: float = 1,
        weight_norm: bool = False,
        pre_hook_fx: Hook | None = None,
    ) -> None:
        extents = sizes(in_neurons)
        good = all(isinstance(s, Integral) and int(s) > 0 for s in extents)
        if not good or len(extents) not in (1, 2, 3):
            raise ValueError(f"in_neurons must be an integer, (x, y) or (x, y, z), got {_validate.shown(in_neurons)}")
        if not isinstance(out_neurons, Integral) or out_neurons <= 0:
            raise ValueError(f"out_neurons must be a positive integer, got {_validate.shown(out_neurons)}")
        factor = initial_factor(weight_scale, weight_norm)
        if len(extents) == 1:
            channels, height, width = int(extents[0]), 1, 1
        else:
            channels, height, width = int(extents[2]) if len(extents) == 3 else 1, int(extents[1]), int(extents[0])
        super().__init__(channels, int(out_neurons), (height, width, 1), bias=False, pre_hook_fx=pre_hook_fx)
        self.weight.data *= factor
        if weight_norm:
            self.enable_weight_norm()

    def _slides(self, input: Tensor) -> bool:
        """Tell whether `input` is a frame with more than one place for the weight.

        Raises
        ------
        ValueError
            If the weight fits nowhere.
        """
        expected = (self.in_channels, *self.kernel_size[:2])
        given = tuple(input.shape[1:-1])
        plain = not any(self.padding) and max(self.dilation) == self.groups == 1
        if plain and (given == expected or (len(given) == 1 and given[0] == math.prod(expected))):
            return False
        if len(given) == 3 and given[0] == self.in_channels:
            return True
        raise ValueError(
            f"input of a dense synapse must have the shape (N, {', '.join(map(str, expected))}, T) or "
            f"(N, {math.prod(expected)}, T), got {tuple(input.shape)}"
        )

    def weight_gradient(self, input: Tensor, grad: Tensor) -> Tensor:
        if self._slides(input):
            return of_frames(self, input, grad)
        return _dense.weight_gradient(input, grad.flatten(1, -2)).view(self.shape)

    def input_gradient(self, grad: Tensor, shape: torch.Size) -> Tensor:
        if grad.shape[2:-1].numel() != 1 or math.prod(shape[1:-1]) != math.prod(self.shape[1:]):
            return super().input_gradient(grad, shape)
        with torch.no_grad():
            found = _dense.input_gradient(grad.flatten(1, -2), self.matrix())
        return found.unflatten(1, shape[1:-1])

    def forward(self, input: Tensor) -> Tensor:
        """Weighted sums of `input` (N, I, T) or (N, C, H, W, T): (N, O, T) or (N, O, 1, 1, T).

        If height and width are larger than in `in_neurons`, each position has its own sums: (N, O, H', W', T).
        """
        return weighted(input, (self,))[0]


def weighted(input: Tensor, synapses: Sequence[Dense]) -> list[Tensor]:
    """The results of `Dense.forward` for several synapses on one input (N, ..., T), whose events are searched once."""
    checked(input, synapses[0])
    slides = [synapse._slides(input) for synapse in synapses]
    if any(slides):
        return [convolved(input, synapse) for synapse in synapses]
    weights = [synapse.matrix() for synapse in synapses]
    results, taken = _dense.sums(input, weights)
    for synapse in synapses:
        synapse.taken = taken
    biases = [synapse.hooked_bias for synapse in synapses]
    results = [z if bias is None else z + bias[:, None] for z, bias in zip(results, biases, strict=True)]
    return results if input.ndim == 3 else [z.unflatten(1, (-1, 1, 1)) for z in results]


def convolved(input: Tensor, synapse: GenericLayer) -> Tensor:
    """The weighted sums of `input` (N, C, H, W, T) wherever the weight fits."""
    weight = synapse.channels_last()
    check_frames(input, weight.dtype, "convolution input")
    steps = Geometry(**synapse._geometry, groups=synapse.groups)
    result, synapse.taken = _convolution.sums(input, weight, synapse.hooked_bias, steps)
    return result


def of_frames(synapse: GenericLayer, input: Tensor, grad: Tensor) -> Tensor:
    """`weight_gradient` of a synapse that moves over frames, in the shape of its weight."""
    steps, kernel = Geometry(**synapse._geometry, groups=synapse.groups), synapse.kernel_size[:2]
    x, g = _convolution.frames(input), _convolution.frames(grad)
    return _convolution.weight_gradient(x, g, kernel, steps).unsqueeze(-1)


def _channels_last(weight: Tensor) -> Tensor:
    """A weight (O, I, kh, kw, 1) as a 2-D convolution reads it fastest."""
    if weight.shape[1] == 1:
        # Both orders of memory are the same, but for the strides of the axis of length 1. With those of channels last
        # and an output of width 1, torch 2.13 returns wrong sums.
        return weight.flatten(1).view(weight.shape[:-1])
    return weight.squeeze(-1).contiguous(memory_format=torch.channels_last)
