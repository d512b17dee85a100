"""The states of neurons after each step, as the integers of a deployed run: what `slayer.record` records.

Training keeps the values that are compared with a threshold.  A deployed network keeps what a spike leaves of them.
Here the input that neurons of slayer had is run once more through the kernel of deployed neurons, without widths.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from lavadl_kernels.engine import deployed
from lavadl_kernels.neurons import Family
from numpy.typing import NDArray
from torch import Tensor

from lavadl_ref.slayer._bridge import feedback as _feedback
from lavadl_ref.slayer._bridge.autograd import Layout, stacked, started
from lavadl_ref.slayer.neuron import sigma_delta, spiking
from lavadl_ref.slayer.neuron.norm import MeanOnlyBatchNorm

Integers = NDArray[np.int64]
#: Integers (N, C, ..., T) by the name of the state.
States = dict[str, Integers]


def parts_of(z: Any) -> tuple[Tensor, ...]:
    """The input of neurons as a tuple: one tensor, or real and imaginary part."""
    return tuple(z) if isinstance(z, (tuple, list)) else (z,)


class SpikingStates:
    """The states of one call of a spiking neuron; made before the call, whose states and norms it looks at.

    Parameters
    ----------
    neuron : spiking.Neuron
    z : Tensor or (Tensor, Tensor)
        The input, (N, C, ..., T) in units of 1.
    feedback : weight or tuple of weights, optional
        As `spiking.Neuron.recurrent` takes it.
    last : Tensor, optional
        (N, C, ...) spikes of the step before the first.
    """

    def __init__(self, neuron: spiking.Neuron, z: Any, feedback: Any = None, last: Tensor | None = None) -> None:
        self.neuron = neuron
        family = neuron.kernel
        if not neuron.fires and family.without_adaptation is not None:
            family = family.without_adaptation
        self.family = family
        with torch.no_grad():
            parts, _ = neuron._parts(z)
            self.parts = tuple(part.detach() for part in parts)
            self.layout = Layout.channels_last(parts[0].shape)
            self.start = started(neuron._starts(family), self.layout)
            self.feedback = None if feedback is None else tuple(map(_double, parts_of(feedback)))
            self.last = last
            # a norm of a block that trains looks at its input, and must do so once
            self.norms = copy.deepcopy(neuron._norms())
            self.offset: Integers | None = None
            within: Any = neuron  # of families whose norm stands between two states
            if family.bias_at_state and (feedback is not None or within._norm_is_bias):
                self.offset = within._normed_bias(parts[0])
            self.rows = [neuron._integer_decay(name)[1] for name in family.decays]

    def after(self, spikes: Tensor | None = None) -> States:
        """The states after each step; `spikes` (N, C, ..., T) are those that neurons with feedback sent."""
        with torch.no_grad():
            parts = self.parts
            if self.feedback is not None:
                assert spikes is not None
                parts = self._with_feedback(spikes.detach())
            behind_state = self.family.bias_at_state
            if not behind_state:
                if self.feedback is not None:
                    parts = tuple(x if n is None else x + n.offset(x) for x, n in zip(parts, self.norms, strict=True))
                else:
                    parts = tuple(x if n is None else n(x) for x, n in zip(parts, self.norms, strict=True))
            found = self._run(parts, self.rows, self.offset)
            if behind_state and self.norms[0] is not None and self.offset is None:
                return self._behind(found)
            return found

    def _behind(self, found: States) -> States:
        """The states where a norm between two of them gave real numbers: what follows is run from these."""
        neuron, family = self.neuron, self.family
        before = family.states[: family.states.index(family.bias_at)]
        values = torch.from_numpy(found[before[-1]]).double() / neuron.s_scale
        normed = self.norms[0](values.float())
        rows = list(self.rows)
        for index in range(len(before)):  # states that keep nothing hand on what they receive
            rows[index] = np.array([neuron.p_scale])
        self.start[: len(before)] = 0
        later = self._run((normed,), rows, None)
        return {name: found[name] if name in before else later[name] for name in family.states}

    def _with_feedback(self, spikes: Tensor) -> tuple[Tensor, ...]:
        """The input with what was fed back, in float64: truncated later, as one sum."""
        first = torch.zeros_like(spikes[..., :1]) if self.last is None else self.last[..., None]
        before = torch.cat([first, spikes[..., :-1]], dim=-1).double()
        assert self.feedback is not None
        return tuple(
            part.double() + _feedback.sent(_flat(weight), before.flatten(1, -2)).reshape(part.shape)
            for part, weight in zip(self.parts, self.feedback, strict=True)
        )

    def _run(self, parts: tuple[Tensor, ...], rows: list[Integers], offset: Integers | None) -> States:
        neuron, family = self.neuron, self.family
        rows = [*rows, *([np.zeros(1, np.int64) if offset is None else offset] if family.bias_at_state else [])]
        decay = stacked(rows, self.layout, whole=True)
        parameters: Any = family.parameters
        made = parameters(decay if decay.ndim == 2 else decay[:, None], *map(neuron._scaled_constant, family.constants))
        return run(family, made, self.start.copy(), parts, neuron.s_scale, self.layout, neuron.graded_spike)


def run(
    family: Family,
    parameters: Any,
    start: Integers,
    parts: tuple[Tensor, ...],
    scale: int,
    layout: Layout,
    graded: bool,
) -> States:
    """Run neurons of a family as deployed, without widths.

    Parameters
    ----------
    family : Family
        With the states that are returned.
    parameters : NamedTuple
        Its own.
    start : ndarray
        (K, M) int64, the states before the first step; overwritten.
    parts : tuple of Tensor
        The inputs, (N, C, ..., T) in units of 1.
    scale : int
        Integers per unit of the input.
    layout : Layout
        Of the lanes.
    graded : bool
        Whether a message has a size.
    """
    steps = layout.shape[-1]
    total = tuple(_lanes(part, scale, layout) for part in parts)
    shape = len(family.states), steps, layout.neurons
    # the types are those of a reference run without widths, so that its compiled kernel serves
    message = np.empty(shape[1:], np.int64 if graded or family.sends_messages else np.uint8)
    record = np.empty(shape, np.int64)
    none, zeros = np.zeros((0, 0), np.int64), np.zeros((len(parts), 1), np.int64)
    synapses = deployed.Synapses(total, zeros, np.zeros(len(parts), np.int64), tuple(none for _ in parts))
    filled = deployed.Filled(message, record, np.empty(layout.neurons, np.int64))
    profile = deployed.Profile(0, False, graded or family.sends_messages, 32)
    deployed.run(parameters, synapses, start, np.zeros_like(start), np.zeros(steps, np.bool_), profile, filled)
    return {name: layout.logical(row).numpy() for name, row in zip(family.states, record, strict=True)}


def _lanes(x: Tensor, scale: int, layout: Layout) -> Integers:
    """`x` (N, C, ..., T) as integers of 1 / scale, truncated toward zero, (T, M)."""
    lanes = (x.double() * scale).trunc().permute(layout.order).reshape(layout.shape[-1], -1)
    return np.ascontiguousarray(lanes.to(torch.int64).numpy())


def _double(weight: Any) -> Any:
    """Feedback in float64, in which sums of graded spikes are exact."""
    return _feedback.scaled(weight, lambda part: part.detach().double() if isinstance(part, Tensor) else part)


def _flat(weight: Any) -> Any:
    return weight.flatten(1) if isinstance(weight, Tensor) else weight


class ChangeStates:
    """The states of one call of a sigma-delta neuron, or of the `delta` or `sigma` of one.

    Parameters
    ----------
    neuron : sigma_delta.Neuron
    x : Tensor
        The input, (N, C, ..., T) in units of 1.
    sums, sends : bool
        Whether it is summed, and whether changes are sent of it.
    sigma : module, optional
        Another `dendrite.Sigma` than the neuron's.
    """

    def __init__(
        self, neuron: sigma_delta.Neuron, x: Tensor, sums: bool = True, sends: bool = True, sigma: Any = None
    ) -> None:
        self.neuron, self.x, self.sums, self.sends = neuron, x.detach(), sums, sends
        self.unit = neuron.w_scale * neuron.s_scale  #: integers of a state per unit of 1
        self.layout = Layout.channels_last(x.shape)
        record = neuron.kernel
        own: Family | None = record
        if not sums:
            own = record.as_input
        elif sigma is not None:
            own = record.as_output
        assert own is not None
        self.family = own
        with torch.no_grad():
            held: list[Tensor | None] = []
            if sums:
                held += (neuron.sigma if sigma is None else sigma)._started(x)
            if sigma is None:
                held += neuron.delta._started(x)
                neuron.delta._draw(x)
            self.start = started(tuple(0 if h is None else (h.double() * self.unit).long() for h in held), self.layout)
            self.copied = copy.deepcopy(neuron) if self._in_parts else None

    @property
    def _in_parts(self) -> bool:
        """Tell whether sum and activation are not in integers: the activation or the norm is another."""
        neuron = self.neuron
        if self.family is not neuron.kernel:
            return False
        norm = neuron.norm
        integers = norm is None or (type(norm) is MeanOnlyBatchNorm and not norm.training)
        return not integers or neuron.activation not in (sigma_delta.identity, *sigma_delta._RELU)

    def after(self) -> States:
        """The states after each step."""
        with torch.no_grad():
            if self.copied is not None:
                found = self._by_parts(self.copied)
            else:
                found = self._run(self.family, (self.x,), self.start)
        return found if self.sends else {name: found[name] for name in found if name in ("sigma", "activation")}

    def _by_parts(self, neuron: sigma_delta.Neuron) -> States:
        """The sum in integers, its activation as the neuron computes it, and the states of what is sent."""
        outer, inner = neuron.kernel.as_output, neuron.kernel.as_input
        assert outer is not None
        assert inner is not None
        found = self._run(outer, (self.x,), self.start[:1])
        activation = neuron.dynamics(self.x)[1]
        return found | self._run(inner, (activation,), self.start[1:])

    def _run(self, family: Family, parts: tuple[Tensor, ...], start: Integers) -> States:
        neuron = self.neuron
        given: Mapping[str, Any] = {
            "threshold": self._per_lane(neuron._mantissas()) * (self.unit // neuron.w_scale),
            "bias": self._bias() if family is neuron.kernel else np.zeros(self.layout.neurons, np.int64),
            "relu": neuron.activation is not sigma_delta.identity,
            "cum_error": neuron.cum_error,
            "exponent": 0,
        }
        parameters: Any = family.parameters
        made = parameters(**{name: given[name] for name in parameters._fields})
        return run(family, made, start.copy(), parts, self.unit, self.layout, True)

    def _bias(self) -> Integers:
        neuron = self.neuron
        values = neuron.quantised_bias.double() if neuron.bias_is_set else torch.zeros(1, dtype=torch.float64)
        if neuron.norm is not None:
            values = values + neuron.norm.offset(self.x).reshape(-1).double()
        return self._per_lane((values * self.unit).trunc().long().numpy())

    def _per_lane(self, values: Integers) -> Integers:
        if values.size == 1:
            return np.full(self.layout.neurons, values.item(), np.int64)
        lanes: Integers = self.layout.per_lane(values)
        return lanes
