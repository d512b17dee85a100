"""Blocks whose neurons feed back to each other, for any spiking family."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lavadl_ref import exchange
from lavadl_ref.slayer import _feedback
from lavadl_ref.slayer.block import describe
from lavadl_ref.slayer.block.base import Output, SpikingBlock
from lavadl_ref.slayer.neuron import spiking
from lavadl_ref.slayer.neuron.norm import WgtScaleBatchNorm
from lavadl_ref.slayer.synapse.layer import Hook, Size


class FeedbackBlock(SpikingBlock):
    """A block of neurons that hear each other: s[t] = f(z[t] + R s[t-1]).

    Raises
    ------
    ValueError
        If the neurons do not spike, or their norm scales.
    """

    def __init__(
        self, neuron_params: Mapping[str, Any], delay: bool, delay_shift: bool | None, count_log: bool
    ) -> None:
        if not issubclass(self.neuron_class, spiking.Neuron):
            raise ValueError(
                f"{type(self).__name__} needs neurons that spike: {self.neuron_class.__module__} sends changes, "
                "which fed back would be summed without end"
            )
        super().__init__(neuron_params, delay, delay_shift, count_log)
        assert isinstance(self.neuron, spiking.Neuron)
        for norm in self.neuron._norms():
            if isinstance(norm, WgtScaleBatchNorm):
                raise ValueError(
                    f"{type(self).__name__} cannot have WgtScaleBatchNorm, whose scale changes while its neurons "
                    "feed back: use MeanOnlyBatchNorm"
                )
        self.spike_state: Tensor | None
        self.register_buffer("spike_state", None, persistent=False)

    def reset(self) -> None:
        super().reset()
        self.spike_state = None

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any, **kwargs: Any) -> None:
        # Lava-DL saves the state of the last batch
        state_dict.pop(prefix + "spike_state", None)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def _feed_back(self, z: Any, weight: Any) -> Output:
        neuron = self.neuron
        assert isinstance(neuron, spiking.Neuron)
        last = self.spike_state if neuron.persistent_state else None
        some = z[0] if isinstance(z, tuple) else z
        if last is not None and last.shape != some.shape[:-1]:
            last = None
        spikes = neuron.recurrent(z, weight, last)
        if neuron.persistent_state:
            self.spike_state = spikes[..., -1].detach()
        return self._sent(neuron._dropped(spikes))


class Recurrent(FeedbackBlock):
    """Fully connected neurons with trained feedback: s[t] = f(W x[t] + R s[t-1]), s = 0 before the first step.

    Parameters
    ----------
    neuron_params, delay, delay_shift, count_log
        As in `SpikingBlock`; delay and shift act on what leaves the block, not on the feedback.
    in_neurons, out_neurons, weight_scale, weight_norm, pre_hook_fx
        As in `synapse.Dense`, for both synapses; `pre_hook_fx` is the neuron's 8-bit quantiser if not given.
    requires_grad : bool
        Whether the feedback is trained.

    Attributes
    ----------
    input_synapse, recurrent_synapse
        W and R.

    Raises
    ------
    ValueError
        If the neurons do not spike, or their norm scales.
    """

    def __init__(
        self,
        neuron_params: Mapping[str, Any],
        in_neurons: Size,
        out_neurons: int,
        weight_scale: float = 1,
        weight_norm: bool = False,
        pre_hook_fx: Hook | None = None,
        requires_grad: bool = True,
        delay: bool = False,
        delay_shift: bool | None = None,
        count_log: bool = False,
    ) -> None:
        super().__init__(neuron_params, delay, delay_shift, count_log)
        assert self.neuron is not None
        self.requires_grad = requires_grad
        self.input_synapse = self.synapses.Dense(in_neurons, out_neurons, weight_scale, weight_norm)
        self.recurrent_synapse = self.synapses.Dense(out_neurons, out_neurons, weight_scale, weight_norm)
        for synapse in (self.input_synapse, self.recurrent_synapse):
            synapse.pre_hook_fx = self.neuron.quantize_8bit if pre_hook_fx is None else pre_hook_fx
        self.recurrent_synapse.requires_grad_(requires_grad)
        self._sized(out_neurons)
        #: (out,) units of 1, added to the weighted sum of CUBA neurons in every step; files of KWTA blocks have it
        self.input_bias: Tensor | None
        self.register_buffer("input_bias", None)

    def forward(self, x: Tensor) -> Output:
        """Spikes (N, out, T) of this block for spikes `x` of the one before; with ``count_log`` also their rate."""
        z = self.input_synapse(x)
        if self.input_bias is not None:
            z = z + self.input_bias.reshape(-1, *[1] * (z.ndim - 2))
        return self._feed_back(z, self.recurrent_synapse.hooked_weight)

    def describe(self) -> exchange.Layer:
        return describe.recurrent(self)


class KWTA(FeedbackBlock):
    """Neurons of which about `num_winners` fire at a time: each excites itself and inhibits all others.

    With N neurons, K winners and a = self_excitation, s[t] = f(W x[t] + b + R s[t-1]) where::

        R = (1 + a) I - 1,    b = threshold (N - 2 K) / N / 64

    both quantised as weights are.  Resonators hear R and b in the part that fires them.

    Parameters
    ----------
    neuron_params, delay_shift, count_log
        As in `SpikingBlock`.
    in_neurons, out_neurons, weight_scale, weight_norm, pre_hook_fx
        As in `synapse.Dense`; `pre_hook_fx` is the neuron's 8-bit quantiser if not given.
    num_winners : int
        1 to `out_neurons`.
    self_excitation : float
        0 to 1, kept there while it is trained.
    requires_grad : bool
        Whether the self-excitation is trained.

    Raises
    ------
    ValueError
        If a number is out of range, the neurons do not spike, or their norm scales.
    """

    def __init__(
        self,
        neuron_params: Mapping[str, Any],
        in_neurons: Size,
        out_neurons: int,
        num_winners: int,
        self_excitation: float = 0.5,
        weight_scale: float = 1,
        weight_norm: bool = False,
        pre_hook_fx: Hook | None = None,
        delay_shift: bool | None = None,
        requires_grad: bool = True,
        count_log: bool = False,
    ) -> None:
        super().__init__(neuron_params, False, delay_shift, count_log)
        assert self.neuron is not None
        if not 1 <= num_winners <= out_neurons:
            raise ValueError(f"num_winners must be 1 to {out_neurons}, the number of neurons, got {num_winners}")
        if not 0 <= self_excitation <= 1:
            raise ValueError(f"self_excitation must be 0 to 1, got {self_excitation}")
        self.num_winners = num_winners
        self.num_neurons = out_neurons
        self.requires_grad = requires_grad
        self.synapse = self.synapses.Dense(in_neurons, out_neurons, weight_scale, weight_norm)
        self.synapse.pre_hook_fx = self.neuron.quantize_8bit if pre_hook_fx is None else pre_hook_fx
        self._sized(out_neurons)
        self.self_excitation = torch.nn.Parameter(torch.tensor([float(self_excitation)]), requires_grad=requires_grad)

    @property
    def feedback(self) -> Tensor:
        """R, (out, out), as it is applied."""
        assert self.neuron is not None
        self.self_excitation.data.clamp_(0, 1)
        size = self.num_neurons
        return self.neuron.quantize_8bit((1 + self.self_excitation) * torch.eye(size) - torch.ones(size, size))

    @property
    def _uniform(self) -> _feedback.Uniform:
        """`feedback` as the two numbers it has."""
        assert self.neuron is not None
        self.self_excitation.data.clamp_(0, 1)
        others = self.neuron.quantize_8bit(torch.tensor([-1.0]))
        return _feedback.Uniform(self.neuron.quantize_8bit((1 + self.self_excitation) - 1), others.item())

    @property
    def offset(self) -> Tensor:
        """b, (1,), as it is applied."""
        assert self.neuron is not None
        share = (self.num_neurons - 2 * self.num_winners) / self.num_neurons
        return self.neuron.quantize_8bit(torch.tensor([self.neuron.threshold * share / self.neuron.w_scale]))

    def forward(self, x: Tensor) -> Output:
        """Spikes (N, out, T) of this block for spikes `x` of the one before; with ``count_log`` also their rate."""
        neuron = self.neuron
        assert isinstance(neuron, spiking.Neuron)
        z, r = self.synapse(x), self._uniform
        if not neuron.complex:
            return self._feed_back(z + self.offset, r)
        silent = _feedback.Uniform(torch.zeros(1), 0.0)
        parts, weights = list(z), [silent, silent]
        parts[neuron.fires_on] = parts[neuron.fires_on] + self.offset
        weights[neuron.fires_on] = r
        return self._feed_back(tuple(parts), tuple(weights))

    def describe(self) -> exchange.Layer:
        return describe.kwta(self)
