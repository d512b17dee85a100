"""The sigma-delta neuron."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from lavadl_kernels.neurons import sigma_delta
from torch import Tensor

from lavadl_ref._assigned import Constant
from lavadl_ref.slayer._bridge.autograd import layout_of
from lavadl_ref.slayer._bridge.centred import OutOfRange
from lavadl_ref.slayer._bridge.sigma_delta import Setting, Stateful, messages
from lavadl_ref.slayer._hooks import watched
from lavadl_ref.slayer.axon.delta import Delta, Threshold
from lavadl_ref.slayer.dendrite import Sigma
from lavadl_ref.slayer.neuron import _units, base
from lavadl_ref.slayer.neuron.norm import MeanOnlyBatchNorm
from lavadl_ref.slayer.utils import _validate, quantize
from lavadl_ref.slayer.utils.quantize import MODE

Activation = Callable[[Tensor], Tensor]


def identity(input: Tensor) -> Tensor:
    """`input`, of any shape, itself: the activation of a linear sigma-delta neuron."""
    return input


_RELU = (torch.relu, torch.nn.functional.relu)

#: Activations that a file can name: functions of one value, of torch.nn.functional or torch, and `identity`.
#: A list of names and not any name, so that no file makes us call anything else.
ACTIVATIONS = frozenset({
    "abs", "atan", "celu", "cos", "elu", "erf", "gelu", "hardshrink", "hardsigmoid", "hardswish", "hardtanh",
    "identity", "leaky_relu", "mish", "relu", "relu6", "selu", "sigmoid", "sign", "silu", "sin", "sinh",
    "softplus", "softshrink", "softsign", "square", "tanh", "tanhshrink",
})  # fmt: skip


def named_activation(name: str) -> Activation:
    """The activation with the name `name` in a file, one of `ACTIVATIONS`.

    Raises
    ------
    ValueError
        If no activation has that name.
    """
    if name not in ACTIVATIONS:
        raise ValueError(f"activation must be one of {', '.join(sorted(ACTIVATIONS))}; got {name!r}")
    if name == "identity":
        return identity
    function: Activation = getattr(torch.nn.functional, name, None) or getattr(torch, name)
    return function


def neuron_params(device_params: Mapping[str, Any], scale: int = 1 << 6) -> dict[str, Any]:
    """The arguments of `Neuron` that give these device parameters: the inverse of ``Neuron.device_params``.

    Parameters
    ----------
    device_params : mapping
        With ``vThMant``, ``activation``, and optionally ``cum_error``.
    scale : int
        Integers per unit of thresholds.

    Raises
    ------
    KeyError
        If a parameter is missing.
    ValueError
        If the activation is not one of `ACTIVATIONS`.
    """
    threshold = np.asarray(device_params["vThMant"], dtype=np.float64) / scale
    params = {
        "threshold": threshold if threshold.ndim else float(threshold),
        "activation": named_activation(device_params["activation"]),
    }
    if threshold.ndim:
        params["shared_param"] = False
    if "cum_error" in device_params:
        params["cum_error"] = bool(device_params["cum_error"])
    return params


class _DeployedDelta(Delta):
    """Delta with the threshold that the device has."""

    w_scale: int

    def _levels(self) -> Tensor:
        return quantize(self.threshold, step=1 / self.w_scale, mode=MODE.FLOOR)


class Neuron(base.Neuron):
    """Sigma-delta neuron, which sums the changes it receives and sends the changes of its activation.

    In units of 1, with the arithmetic of `lavadl_kernels.sigma_delta`::

        sigma[t] = sigma[t-1] + x[t]
        value[t] = activation(norm(sigma[t]) + bias)
        d[t]     = value[t] - value[t-1] + residue[t-1]
        sent[t]  = d[t] if abs(d[t]) >= threshold else 0, and residue[t] = d[t] - sent[t]

    The output is `sent` rounded down to a multiple of 1 / s_scale, where s_scale is 64 times the scale.

    Parameters
    ----------
    threshold : float, (float, float) or ndarray
        Smallest change that is sent; not negative. It is trained as a real number, and truncated to a multiple of 1 /
        scale for the comparison, as in a file. At 0 every change is sent.
    activation : callable
        Elementwise function of a tensor. A file can store those of `ACTIVATIONS`.
    tau_grad, scale_grad : float
        Width and height of the surrogate gradient to the threshold.
    scale : int
        Integers per unit of weight.
    cum_error : bool
        If True, compare the sum of all changes since the last message with the threshold.
    norm : callable, optional
        Class or factory from `neuron.norm`, applied to the sum.
    dropout : Module, optional
        Applied to the messages, see `neuron.Dropout`.
    shared_param : bool
        If True, all channels share one threshold. Otherwise each channel has its own: drawn at the first forward pass
        from the given range (min, max), or within 1 % of the given number, or taken from the given array.
    persistent_state : bool
        If True, each call continues from the final state of the previous one.
    requires_grad : bool
        If True, train threshold and bias.

    Attributes
    ----------
    sigma : dendrite.Sigma
    delta : axon.Delta
    bias : Parameter
        (1,) or (C,) float32, rounded to 1 / scale for use; not used before `set_bias`.

    Raises
    ------
    TypeError
        If the activation is not callable.
    ValueError
        For parameters that are not finite or of the wrong form.

    Examples
    --------
    >>> neuron = Neuron(threshold=0.5, activation=identity)
    >>> neuron(torch.tensor([[[1.0, 0.25, 0.25, 0.0]]])).tolist()  # the two changes of 0.25 are sent as one
    [[[1.0, 0.0, 0.5, 0.0]]]
    """

    kernel = sigma_delta.FAMILY
    family = sigma_delta.FAMILY.name
    norm_acts_on = "the sum"
    _lazy = ("bias",)
    graded_spike: Any = Constant(True, "messages are changes of a value")

    def __init__(
        self,
        threshold: Threshold,
        activation: Activation,
        tau_grad: float = 1,
        scale_grad: float = 1,
        scale: int = 1 << 6,
        cum_error: bool = False,
        norm: Callable[..., torch.nn.Module] | None = None,
        dropout: torch.nn.Module | None = None,
        shared_param: bool = True,
        persistent_state: bool = False,
        requires_grad: bool = False,
    ) -> None:
        scale = _units.check_scale(scale)
        super().__init__(
            threshold=float(_validate.numbers_of(threshold, "threshold").max()),
            tau_grad=tau_grad,
            scale_grad=scale_grad,
            w_scale=scale,
            s_scale=scale * (1 << 6),
            norm=norm,
            dropout=dropout,
            persistent_state=persistent_state,
            shared_param=shared_param,
            requires_grad=requires_grad,
        )
        if not callable(activation):
            raise TypeError(f"activation must be a function of a tensor, got {activation!r}")
        self._asked["threshold"] = threshold
        self.activation = activation
        self.bias = torch.nn.Parameter(torch.zeros(1), requires_grad=self.requires_grad)
        self.bias_is_set = False
        self.sigma = Sigma(persistent_state)
        # the bounds of a range are not thresholds yet
        start: Any = threshold.detach().numpy() if isinstance(threshold, Tensor) else threshold
        if not isinstance(threshold, (tuple, list)):
            start = np.trunc(np.multiply(start, scale)) / scale
        self.delta = _DeployedDelta(
            start, self.s_scale, tau_grad, scale_grad, cum_error, shared_param, persistent_state, requires_grad
        )
        self.delta.w_scale = scale

    @property
    def persistent_state(self) -> bool:
        """Tell whether a call continues from the final state of the previous one."""
        return self._persistent

    @persistent_state.setter
    def persistent_state(self, value: bool) -> None:
        self._persistent = value
        for part in self.children():
            if isinstance(part, Stateful):
                part.persistent_state = value

    @property
    def threshold(self) -> Any:
        """The trained threshold: a parameter (1,) or (C,), at least 1 / s_scale."""
        return self.delta.threshold

    @property
    def cum_error(self) -> bool:
        """Tell whether the sum of all changes since the last message is compared with the threshold."""
        return self.delta.cum_error

    @cum_error.setter
    def cum_error(self, value: bool) -> None:
        self.delta.cum_error = value

    def clamp(self) -> None:
        """Raise thresholds to at least 1 / s_scale."""
        self.delta.clamp()

    def settle(self, channels: int) -> None:
        self.delta.settle(channels)

    @property
    def v_th_mant(self) -> Any:
        """The threshold's mantissa: an integer of 1 / w_scale, or an array with one per channel."""
        mantissas = self._mantissas()
        return int(mantissas[0]) if mantissas.size == 1 else mantissas

    def _mantissas(self) -> np.ndarray[Any, Any]:
        self.clamp()  # as forward does: an optimiser may have left the range
        levels: np.ndarray[Any, Any] = (self.delta._levels().detach() * self.w_scale).numpy()
        return levels.astype(np.int64)

    @property
    def scale(self) -> int:
        """Integers per unit of weight."""
        return int(self.w_scale)

    @property
    def device_params(self) -> dict[str, Any]:
        """The parameters, under the names of a ``.net`` file.

        Raises
        ------
        ValueError
            If the activation is not one of `ACTIVATIONS`.
        """
        name = getattr(self.activation, "__name__", None)
        if name not in ACTIVATIONS:
            raise ValueError(
                f"a file names an activation by its function, one of {', '.join(sorted(ACTIVATIONS))}; "
                f"got {self.activation!r}"
            )
        params = {"type": self.family, "activation": name, "vThMant": self.v_th_mant}
        return {**params, "cum_error": True} if self.cum_error else params

    def _quantised(self) -> dict[str, Any]:
        values = self._mantissas() / self.w_scale
        return {"threshold": float(values[0]) if values.size == 1 else values}

    def extra_repr(self) -> str:
        name = getattr(self.activation, "__name__", None)
        shown = [] if name is None else [f"activation={name}"]
        return ", ".join([super().extra_repr(), *shown, f"cum_error={self.cum_error}"])

    def set_bias(self, bias: Tensor) -> None:
        """Add a constant to the sum of each channel, before the activation.

        Parameters
        ----------
        bias : Tensor
            One value, or one per channel: (C,), or (C, 1, 1) with axes of length 1; units of 1.

        Raises
        ------
        ValueError
            If `bias` is not finite or has another shape.
        """
        values = torch.as_tensor(bias, dtype=torch.float32).detach()
        if any(extent != 1 for extent in values.shape[1:]) or not values.numel():
            raise ValueError(f"bias must have one value per channel, (C,) or (C, 1, 1), got {tuple(values.shape)}")
        if not values.isfinite().all():
            raise ValueError(f"bias must be finite, got {bias}")
        # the parameter remains, so that an optimiser made before goes on training it
        self.bias.data = values.reshape(-1).clone()
        self.bias_is_set = True

    @property
    def quantised_bias(self) -> Tensor:
        """The bias as applied, (1,) or (C,): rounded to 1 / w_scale; the gradient passes unchanged."""
        return quantize(self.bias, step=1 / self.w_scale)

    def _loaded(self, name: str, value: Tensor) -> None:
        if value.numel() > 1 or bool(value != 0):
            self.bias_is_set = True

    def reset(self) -> None:
        """Clear the persistent state."""
        self.sigma.reset()
        self.delta.reset()

    def dynamics(self, input: Tensor) -> tuple[Tensor, Tensor]:
        """The sum of the input, and the value of the activation, over time.

        Parameters
        ----------
        input : Tensor
            float32 (N, C, T) or (N, C, H, W, T), units of 1.

        Returns
        -------
        sigma, value : Tensor
            Shape of `input`.
        """
        self.observe(input)
        sigma = self.sigma(input)
        value = sigma if self.norm is None else self.norm(sigma)
        if self.bias_is_set:
            value = value + self.quantised_bias.reshape(-1, *[1] * (input.ndim - 2))
        return sigma, self.activation(value)

    @staticmethod
    def silenced(neuron_params: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments unchanged: the readout is the activation, which does not depend on the threshold."""
        return dict(neuron_params)

    def driven(self, input: Tensor) -> Tensor:
        """The changes of the network's own input (N, C, ..., T), without sum, bias and activation."""
        self.observe(input)
        return self.dropped(self.delta(input))

    def _fusible(self, input: Tensor) -> bool:
        """Tell whether one kernel can do all between input and message: no hook waits for what is between."""
        parts = [part for part in (self.sigma, self.delta, self.norm) if part is not None]
        return (
            input.numel() > 0
            and self.activation in (identity, *_RELU)
            and (self.norm is None or type(self.norm) is MeanOnlyBatchNorm)
            and type(self).dynamics is Neuron.dynamics
            and not any(watched(part) for part in parts)
        )

    def _messages(self, input: Tensor) -> Tensor:
        """`forward` without dropout, in one walk over time.

        Raises
        ------
        OutOfRange
            Where the parts, one after the other, have to decide.
        """
        self.observe(input)
        held = [*self.sigma._started(input), *self.delta._started(input)]
        self.delta._draw(input)
        levels, bias = self.delta._levels(), self.quantised_bias if self.bias_is_set else None
        gathers = self.norm is not None and self.norm.training
        shift = None if self.norm is None or gathers else self.norm.offset(input).reshape(-1)
        keep = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (input, levels, bias))
        setting = Setting(
            relu=self.activation is not identity,
            scale=self.delta.scale,
            cum_error=self.cum_error,
            tau_grad=self.delta.tau_grad,
            scale_grad=self.delta.scale_grad,
            keep=keep,
            shift=shift,
            norm=self.norm if gathers else None,
        )
        persistent = self.sigma.persistent_state or self.delta.persistent_state
        message, *ends = messages(setting, held if persistent else None, input, levels, bias)
        if persistent:
            self.sigma._hold(ends[:1])
            self.delta._hold(ends[1:])
        return message

    def forward(self, input: Tensor) -> Tensor:
        """Messages over time: multiples of 1 / s_scale, of the shape of `input`."""
        layout_of(input)
        if self._fusible(input):
            try:
                return self.dropped(self._messages(input))
            except OutOfRange:
                pass
        return self.dropped(self.delta(self.dynamics(input)[1]))
