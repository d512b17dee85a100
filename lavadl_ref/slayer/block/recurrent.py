"""Blocks whose neurons feed back to each other, for any spiking family.

As in `synaptic`, a class here stores the arguments of its parts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lavadl_ref._assigned import Fixed
from lavadl_ref.slayer._bridge import feedback as _feedback
from lavadl_ref.slayer._hooks import watched
from lavadl_ref.slayer.block._block import Output, SpikingBlock, give_bias
from lavadl_ref.slayer.block.synaptic import dense_synapse
from lavadl_ref.slayer.neuron import spiking
from lavadl_ref.slayer.neuron.norm import WgtScaleBatchNorm
from lavadl_ref.slayer.synapse.layer import Hook, Size
from lavadl_ref.slayer.utils import _validate
from lavadl_ref.slayer.utils.quantize import clipped


class FeedbackBlock(SpikingBlock):
    """A block of recurrent neurons: s[t] = f(z[t] + R s[t-1]).

    Parameters
    ----------
    neuron_params, delay, delay_shift, count_log
        As in `SpikingBlock`.
    synapse_params : mapping
        Arguments of the synapse that feeds the neurons.
    input_bias : bool
        As in `SynapticBlock`: the bias is that of the synapse which feeds the neurons.

    Attributes
    ----------
    num_neurons : int
    bias : Tensor or None
        One number, or one for each neuron, in units of 1, added to the weighted sums of every step; None unless
        assigned.
    persistent_state : bool
        The setting of the neurons; assigning it sets theirs.

    Raises
    ------
    ValueError
        If the neurons do not spike, or their norm scales.
    """

    num_neurons: Any = Fixed()
    _states = ("delay_buffer", "spike_state")
    if TYPE_CHECKING:
        bias: Any
        input_synapse: Any
        recurrent_synapse: Any

    def __init__(
        self,
        neuron_params: Mapping[str, Any] | None,
        synapse_params: Mapping[str, Any],
        delay: bool,
        delay_shift: bool | None,
        count_log: bool,
        input_bias: bool = False,
    ) -> None:
        family = self.neuron_class
        if family is not None and not issubclass(family, spiking.Neuron):
            raise ValueError(
                f"{type(self).__name__} needs neurons that spike: {family.__module__} sends changes, "
                "which fed back would be summed without end"
            )
        super().__init__(neuron_params, delay, delay_shift, count_log)
        if neuron_params is None and family is not None:
            raise TypeError(f"neuron_params of the {type(self).__name__} block must be a dictionary, got None")
        self.input_bias = _validate.flag(input_bias, "input_bias")
        self.synapse_params = synapse_params
        self.num_neurons = _validate.integer(synapse_params["out_neurons"], "out_neurons", 1)
        self.register_parameter("bias", None)
        self.spike_state: Tensor | None = None

    def _complete(self) -> None:
        for norm in self.neuron._norms():
            if isinstance(norm, WgtScaleBatchNorm):
                raise ValueError(
                    f"{type(self).__name__} cannot have WgtScaleBatchNorm, whose scale changes while its neurons "
                    "feed back: use MeanOnlyBatchNorm"
                )
        super()._complete()
        self._sized(self.num_neurons)

    def _feeding(self, synapse_params: Mapping[str, Any]) -> Any:
        """The synapse that feeds the neurons, with a constant if that is asked for."""
        synapse = self._quantised_synapse("Dense", synapse_params)
        if self.input_bias:
            give_bias(synapse, self.neuron)
        return synapse

    @property
    def persistent_state(self) -> bool:
        """Tell whether the neurons keep their state from call to call."""
        return self._persists

    @persistent_state.setter
    def persistent_state(self, value: bool) -> None:
        self.neuron.persistent_state = value

    def _biased(self, z: Any) -> Any:
        """Weighted sums (N, O, ..., T) with the bias; of a complex pair the part that fires the neurons has it.

        Raises
        ------
        ValueError
            If the bias has neither one element nor one for each neuron.
        """
        if self.bias is None:
            return z
        if self.bias.numel() not in (1, self.num_neurons):
            raise ValueError(f"bias must have 1 or {self.num_neurons} elements, got {tuple(self.bias.shape)}")
        return self._with_constant(z, self.bias.reshape(-1))

    def _with_constant(self, z: Any, constant: Tensor) -> Any:
        """Weighted sums with `constant`, (1,) or (O,)."""
        if not isinstance(z, tuple):
            return z + constant.reshape(-1, *[1] * (z.ndim - 2)).to(z.dtype)
        parts = list(z)
        parts[self.neuron.fires_on] = self._with_constant(parts[self.neuron.fires_on], constant)
        return tuple(parts)

    def reset(self) -> None:
        super().reset()
        self.spike_state = None

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any, **kwargs: Any) -> None:
        # Lava-DL saves the state of the last batch
        state_dict.pop(prefix + "spike_state", None)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def _feed_back(self, z: Any, weight: Any, synapse: Any = None) -> Output:
        """The output of the block for weighted sums `z` and feedback `weight`, which is that of `synapse`."""
        neuron = self.neuron
        if self._walks_through() and type(neuron).recurrent is spiking.Neuron.recurrent and not watched(synapse):
            return self._left(neuron.walk(z, 1, weight))
        last = self.spike_state if self._persists else None
        some = z[0] if isinstance(z, tuple) else z
        if last is not None and last.shape != some.shape[:-1]:
            last = None
        if not isinstance(neuron, spiking.Neuron):
            spikes = sent = _stepped(neuron, z, weight, last)
        else:
            spikes = neuron(z, weight, last)
            sent = neuron.dropped(spikes)
        if watched(synapse):
            _show(synapse, spikes, last)
        if self._persists:
            self.spike_state = spikes[..., -1].detach()
        return self.sent(sent)


def _with_bias(z: Tensor, synapse: Any) -> Tensor:
    """`z` with the bias of the feedback's synapse, which acts in every step, also where nothing is fed back yet."""
    bias = synapse.hooked_bias
    return z if bias is None else z + bias.reshape(-1, *[1] * (z.ndim - 2))


def _show(synapse: Any, spikes: Tensor, last: Tensor | None) -> None:
    """Call the synapse of a feedback that ran without it, on what it received, for the hooks that wait for it.

    Raises
    ------
    RuntimeError
        If a hook changes what the synapse receives or returns, which can no longer act.
    """
    first = torch.zeros_like(spikes[..., 0]) if last is None else last
    received = torch.cat([first[..., None], spikes[..., :-1]], dim=-1)
    returned, expected = synapse(received), synapse.forward(received)
    if not isinstance(expected, tuple):
        returned, expected = (returned,), (expected,)
    if not all(torch.equal(part, other) for part, other in zip(returned, expected, strict=True)):
        raise RuntimeError(
            "a hook of recurrent_synapse must not change what it receives or returns: feedback runs in one piece, and "
            "the hook sees it afterwards"
        )


def _stepped(neuron: Any, z: Tensor, weight: _feedback.Weight, last: Tensor | None) -> Tensor:
    """Spikes of neurons of the user's own, which are called for each step and keep their state themselves."""
    spikes = []
    for t in range(z.shape[-1]):
        step = z[..., t : t + 1]
        if last is not None:
            step = step + _feedback.sent(weight, last.flatten(1)).reshape(step.shape)
        spikes.append(neuron(step))
        last = spikes[-1][..., 0]
    return torch.cat(spikes, dim=-1)


class AbstractRecurrent(FeedbackBlock):
    """Fully connected neurons with trained feedback: s[t] = f(W x[t] + R s[t-1]), s = 0 before the first step.

    Parameters
    ----------
    neuron_params, delay, delay_shift, count_log
        As in `SpikingBlock`; delay and shift act on the output of the block, not on the feedback.
    in_neurons, out_neurons, weight_scale, weight_norm, pre_hook_fx
        As in `synapse.Dense`, for both synapses; `pre_hook_fx` is the neuron's 8-bit quantiser if not
        given.
    requires_grad : bool
        If True, train the feedback.
    input_bias : bool
        As in `SynapticBlock`; it is ``input_synapse.bias``.

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
        input_bias: bool = False,
    ) -> None:
        synapse = dense_synapse(in_neurons, out_neurons, weight_scale, weight_norm, pre_hook_fx)
        super().__init__(neuron_params, synapse, delay, delay_shift, count_log, input_bias)
        self.recurrent_params = {**synapse, "in_neurons": out_neurons}
        self._trains_feedback = _validate.flag(requires_grad, "requires_grad")

    def _complete(self) -> None:
        self._quantises = True  # None by keyword too: Lava-DL's block sets its quantiser whatever is given
        super()._complete()
        assert self.synapse_params is not None
        self.input_synapse = self._feeding(self.synapse_params)
        self.recurrent_synapse = self._quantised_synapse("Dense", self.recurrent_params)
        del self.synapse_params, self.recurrent_params
        self.requires_grad = self._trains_feedback

    @property
    def requires_grad(self) -> bool:
        """Tell whether the feedback is trained."""
        return self._trains_feedback

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self._trains_feedback = value
        self.recurrent_synapse.requires_grad_(value)

    def sums(self, x: Tensor) -> Any:
        """The input of the neurons for spikes `x` (N, ..., T) of the previous block, without their feedback."""
        z, synapse = self._biased(self.input_synapse(x)), self.recurrent_synapse
        if not isinstance(z, tuple):
            return _with_bias(z, synapse)
        return tuple(_with_bias(part, own) for part, own in zip(z, (synapse.real, synapse.imag), strict=True))

    @property
    def fed_back(self) -> _feedback.Weight | tuple[_feedback.Weight, ...]:
        """R in the form that the neurons take."""
        weight = self.recurrent_synapse.hooked_weight
        return tuple(part.flatten(1) for part in weight) if isinstance(weight, tuple) else weight.flatten(1)

    def forward(self, x: Tensor) -> Output:
        """Spikes (N, out, T) of this block for spikes `x` of the previous block; with ``count_log`` also their rate."""
        return self._feed_back(self.sums(x), self.fed_back, self.recurrent_synapse)


class AbstractKWTA(FeedbackBlock):
    """Neurons of which about `num_winners` fire at a time: each excites itself and inhibits all others.

    With N neurons, K winners and a = self_excitation, s[t] = f(W x[t] + b + R s[t-1]) where::

        R = (1 + a) I - 1,    b = threshold (N - 2 K) / N / 64

    both quantised as weights are.  Resonators receive R and b in the part that brings them to their threshold.

    Parameters
    ----------
    neuron_params, delay_shift, count_log
        As in `SpikingBlock`.
    in_neurons, out_neurons, weight_scale, weight_norm, pre_hook_fx
        As in `synapse.Dense`; `pre_hook_fx` is the neuron's 8-bit quantiser if not
        given, and None by keyword is no quantiser.
    num_winners : int
        1 to `out_neurons`.
    self_excitation : float
        0 to 1, kept there while it is trained.
    requires_grad : bool
        If True, train the self-excitation.
    input_bias : bool
        As in `SynapticBlock`: ``synapse.bias``, in addition to b.

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
        input_bias: bool = False,
    ) -> None:
        synapse = dense_synapse(in_neurons, out_neurons, weight_scale, weight_norm, pre_hook_fx)
        super().__init__(neuron_params, synapse, False, delay_shift, count_log, input_bias)
        if not 1 <= _validate.integer(num_winners, "num_winners", -(1 << 62)) <= out_neurons:
            raise ValueError(f"num_winners must be 1 to {out_neurons}, the number of neurons, got {num_winners}")
        trained = _validate.flag(requires_grad, "requires_grad")
        if not 0 <= _validate.number(self_excitation, "self_excitation") <= 1:
            raise ValueError(f"self_excitation must be 0 to 1, got {self_excitation}")
        self.num_winners = num_winners
        self.self_excitation = torch.nn.Parameter(torch.tensor([float(self_excitation)]), requires_grad=trained)

    def _complete(self) -> None:
        super()._complete()
        assert self.synapse_params is not None
        self.synapse = self._feeding(self.synapse_params)
        del self.synapse_params

    @property
    def requires_grad(self) -> bool:
        """Tell whether the self-excitation is trained."""
        return self.self_excitation.requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.self_excitation.requires_grad_(value)

    def clamp(self) -> None:
        """Bring the self-excitation back to 0..1."""
        self.self_excitation.data.clamp_(0, 1)

    def _beyond(self) -> dict[str, Tensor]:
        """By name, where what is not a parameter of a synapse is beyond its range, by more than a step of weights."""
        beyond = (self.self_excitation.detach() - 0.5).abs() > 0.5 + 2 / self.neuron.w_scale
        return {"self_excitation": beyond, "offset": clipped(self.neuron.quantize_8bit, self._wanted_offset())}

    @property
    def feedback(self) -> Tensor:
        """R, (out, out), as it is applied."""
        self.clamp()
        size = self.num_neurons
        wanted = (1 + self.self_excitation) * torch.eye(size) - torch.ones(size, size)
        applied: Tensor = self.neuron.quantize_8bit(wanted)
        return applied

    @property
    def _uniform(self) -> _feedback.Uniform:
        """`feedback` as the two numbers it has."""
        self.clamp()
        others = self.neuron.quantize_8bit(torch.tensor([-1.0]))
        return _feedback.Uniform(self.neuron.quantize_8bit((1 + self.self_excitation) - 1), others.item())

    @property
    def offset(self) -> Tensor:
        """b, (1,), as it is applied."""
        applied: Tensor = self.neuron.quantize_8bit(self._wanted_offset())
        return applied

    def _wanted_offset(self) -> Tensor:
        fraction = (self.num_neurons - 2 * self.num_winners) / self.num_neurons
        return torch.tensor([self.neuron.threshold * fraction / self.neuron.w_scale])

    def sums(self, x: Tensor) -> Any:
        """The input of the neurons for spikes `x` (N, ..., T) of the previous block, without their feedback."""
        return self._with_constant(self._biased(self.synapse(x)), self.offset)

    @property
    def fed_back(self) -> _feedback.Weight | tuple[_feedback.Weight, ...]:
        """R in the form that the neurons take."""
        r = self._uniform
        if not self.neuron.complex:
            return r
        silent = _feedback.Uniform(torch.zeros(1), 0.0)
        weights = [silent, silent]
        weights[self.neuron.fires_on] = r
        return tuple(weights)

    def forward(self, x: Tensor) -> Output:
        """Spikes (N, out, T) of this block for spikes `x` of the previous block; with ``count_log`` also their rate."""
        return self._feed_back(self.sums(x), self.fed_back)
