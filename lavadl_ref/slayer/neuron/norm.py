"""Batch normalisation that a fixed-point neuron can carry as a bias and a shift."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lavadl_ref.slayer._bridge.batch_mean import batch_mean
from lavadl_ref.slayer._bridge.function import TypedFunction
from lavadl_ref.slayer._lazy import LazyShapes
from lavadl_ref.slayer.utils import _validate
from lavadl_ref.slayer.utils.quantize import clipped

Hook = Callable[..., Tensor]


def _signal(inp: Tensor) -> Tensor:
    return _validate.floating(inp, "input of a batch norm", 2, "(N, C, ..., T)")


def _axes(inp: Tensor) -> list[int]:
    """All axes but that of the channels."""
    return [0, *range(2, inp.ndim)]


def _broadcast(value: Tensor, ndim: int) -> Tensor:
    return value.reshape(1, -1, *[1] * (ndim - 2))


class _Mean(TypedFunction):
    """The mean of each channel, (C,).

    Torch's gradient of a mean fills a tensor whose memory has time innermost, and all that meets it is strided from
    there on; one value for each channel that is expanded fits any memory.
    """

    @staticmethod
    def forward(ctx: Any, inp: Tensor) -> Tensor:
        ctx.shape = inp.shape
        return batch_mean(inp)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        per_value = grads[0] * (ctx.shape[1] / math.prod(ctx.shape))
        return _broadcast(per_value, len(ctx.shape)).expand(ctx.shape)


class _Less(TypedFunction):
    """`_less` with gradients: that of the input is the incoming one itself."""

    @staticmethod
    def forward(ctx: Any, inp: Tensor, value: Tensor) -> Tensor:
        return inp - _broadcast(value, inp.ndim)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        return grads[0], -grads[0].sum(dim=_axes(grads[0])) if ctx.needs_input_grad[1] else None


def _less(inp: Tensor, value: Tensor) -> Tensor:
    """`inp` less one value for each channel, (C,)."""
    if not torch.is_grad_enabled():
        return inp - _broadcast(value, inp.ndim)
    result: Tensor = _Less.apply(inp, value)
    return result


class MeanOnlyBatchNorm(LazyShapes):
    """Subtract the mean of each channel over batch, space and time.

    Parameters
    ----------
    num_features : int, optional
        Number of channels; taken from the first input if not given.
    momentum : float
        Weight of a new batch in the running mean.
    pre_hook_fx : callable, optional
        Quantiser of the mean; called with ``descale=True`` for the exported bias.

    Notes
    -----
    Training uses the mean of the batch, through which gradients flow; evaluation uses the running mean.
    """

    _lazy = ("running_mean",)

    def __init__(self, num_features: int | None = None, momentum: float = 0.1, pre_hook_fx: Hook | None = None) -> None:
        super().__init__()
        self.num_features = None if num_features is None else _validate.integer(num_features, "num_features", 1)
        self.momentum = _validate.number(momentum, "momentum")
        self.pre_hook_fx = _validate.function(pre_hook_fx, "pre_hook_fx")
        self.running_mean: Tensor
        self.register_buffer("running_mean", torch.zeros(num_features or 1))
        self.update = True
        self.reset_parameters()
        if num_features is None:
            self._placeholders["running_mean"] = 0.0, 0.0  # nothing is drawn

    def reset_parameters(self) -> None:
        """Reset the statistics."""
        self.running_mean.zero_()

    def _loaded(self, name: str, value: Tensor) -> None:
        if value.numel() > 1 or bool(value != 0):
            self.num_features = self.running_mean.numel()

    def allocate(self, channels: int) -> None:
        """Give the running mean its length."""
        self._allocate(channels)

    def _hooked(self, value: Tensor, **options: Any) -> Tensor:
        return value if self.pre_hook_fx is None else self.pre_hook_fx(value, **options)

    def _beyond(self) -> dict[str, Tensor]:
        """By name, where statistics are beyond what a file can hold."""
        return {"running_mean": clipped(self.pre_hook_fx, self.running_mean)}

    @property
    def bias(self) -> Tensor:
        """The exported bias, -mean, (C,) in units of the quantiser's integers."""
        return -self._hooked(self.running_mean, **({"descale": True} if self.pre_hook_fx else {}))

    def _allocate(self, channels: int) -> None:
        if self.num_features is None:
            self.num_features = channels
            if self.running_mean.numel() != channels:
                self.running_mean = torch.zeros(channels)
        elif self.num_features != channels:
            raise ValueError(f"batch norm was built for {self.num_features} channels, got input with {channels}")

    def _mean(self, inp: Tensor) -> Tensor:
        self._allocate(inp.shape[1])
        if not self.training:
            return self.running_mean
        mean: Tensor = _Mean.apply(inp)
        self._gather(mean)
        return mean

    def _gather(self, mean: Tensor) -> None:
        if self.update:
            self.running_mean = (1 - self.momentum) * self.running_mean + self.momentum * mean.detach()

    def forward(self, inp: Tensor) -> Tensor:
        """Normalise `inp` (N, C, ..., T); integers and booleans become floats."""
        inp = _signal(inp)
        return _less(inp, self._hooked(self._mean(inp)))

    @property
    def divisor(self) -> float:
        """The number that evaluation divides by."""
        return 1.0

    def undone(self, normed: Tensor) -> Tensor:
        """The input (N, C, ..., T) that evaluation makes `normed` of."""
        return normed * self.divisor - self.offset(normed)

    def take_in(self, mean: Tensor, variance: Tensor, values: int) -> None:
        """Update the statistics from those of a batch that is not available as a whole.

        Parameters
        ----------
        mean : Tensor
            (C,), of each channel.
        variance : Tensor
            (1,), of all channels about their one mean, divided by the number of values.
        values : int
            Number of values in each channel.
        """
        self._allocate(mean.numel())
        self._gather(mean)

    def subtracted(self, mean: Tensor) -> Tensor:
        """The value that `forward` subtracts in training from an input whose channels have these means, (C,)."""
        self._allocate(mean.numel())
        self._gather(mean)
        return self._hooked(mean)

    def offset(self, inp: Tensor) -> Tensor:
        """The offset that evaluation adds to `inp` (N, C, ..., T): minus the running mean, (1, C, 1, ...)."""
        self._allocate(inp.shape[1])
        return -_broadcast(self._hooked(self.running_mean), inp.ndim)

    def observe(self, inp: Tensor) -> None:
        """Update the statistics from `inp` (N, C, ..., T) without normalising it."""
        self._mean(_signal(inp))

    def extra_repr(self) -> str:
        return f"num_features={self.num_features}, momentum={self.momentum}"


class WgtScaleBatchNorm(MeanOnlyBatchNorm):
    """Subtract each channel's mean and divide by the nearest larger power of two of the standard deviation.

    Parameters
    ----------
    num_features, momentum, pre_hook_fx
        As in `MeanOnlyBatchNorm`.
    weight_exp_bits : int
        Bits of the exponent, sign included: 3 allows 2**-3 to 2**3.
    eps : float
        Added to the variance.

    Notes
    -----
    The variance is that of the whole tensor about its overall mean, because a layer has a single weight exponent. The
    running variance is updated with it times n / (n + 1), where n is the number of values of a channel, as in Lava-DL.
    That is a little less than the variance of the batch, whereas the unbiased estimate, n / (n - 1) times it, would be
    a little more.
    """

    def __init__(
        self,
        num_features: int | None = None,
        momentum: float = 0.1,
        weight_exp_bits: int = 3,
        eps: float = 1e-5,
        pre_hook_fx: Hook | None = None,
    ) -> None:
        super().__init__(num_features, momentum, pre_hook_fx)
        self.weight_exp_bits = _validate.integer(weight_exp_bits, "weight_exp_bits", 0)
        self.eps = _validate.number(eps, "eps")
        self.running_var: Tensor
        self.register_buffer("running_var", torch.zeros(1))

    def reset_parameters(self) -> None:
        """Reset the statistics."""
        super().reset_parameters()
        if hasattr(self, "running_var"):
            self.running_var.zero_()

    def _wanted(self, var: Tensor) -> Tensor:
        """The exponent without its limit."""
        return torch.ceil(torch.log2(torch.sqrt(var + self.eps)))

    def _exponent(self, var: Tensor) -> Tensor:
        limit = self.weight_exp_bits
        return self._wanted(var).clamp(-limit, limit)

    def _beyond(self) -> dict[str, Tensor]:
        # a small variance is that of a layer that receives little: ordinary
        return {**super()._beyond(), "running_var": self._wanted(self.running_var.detach()) > self.weight_exp_bits}

    def std(self, var: Tensor) -> Tensor:
        """The divisor where the variance is `var`: a power of two, of the shape of `var`."""
        return torch.pow(2.0, self._exponent(var))

    @property
    def weight_exp(self) -> Tensor:
        """The exponent that evaluation divides by, (1,), within its bits."""
        return self._exponent(self.running_var)

    @property
    def divisor(self) -> float:
        return float(self.std(self.running_var))

    def take_in(self, mean: Tensor, variance: Tensor, values: int) -> None:
        super().take_in(mean, variance, values)
        self._gather_variance(variance, values)

    def _gather_variance(self, var: Tensor, samples: float) -> None:
        if self.update:
            # n / (n + 1) as Lava-DL has it; the unbiased estimate would be n / (n - 1)
            gathered = var.detach() * samples / (samples + 1)
            with torch.no_grad():
                self.running_var = (1 - self.momentum) * self.running_var + self.momentum * gathered

    def forward(self, inp: Tensor) -> Tensor:
        """Normalise `inp` (N, C, ..., T); integers and booleans become floats."""
        inp = _signal(inp)
        mean = self._mean(inp)
        centred = _less(inp, self._hooked(mean))
        var = self.running_var
        if self.training:
            var = inp.var(unbiased=False).reshape(1)
            self._gather_variance(var, inp.numel() / inp.shape[1])
        # a power of two: the division is exact, and the exponent has no gradient
        return centred / self.std(var.detach())
