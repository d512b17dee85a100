"""Blocks as layers that learn step by step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lavadl_ref.online import _cell, _source
from lavadl_ref.online._gathered import Gathered
from lavadl_ref.online._line import Line
from lavadl_ref.online._source import Source, Weighted
from lavadl_ref.slayer import axon
from lavadl_ref.slayer._bridge.autograd import Layout
from lavadl_ref.slayer.block import _block, plain, readout, recurrent, synaptic
from lavadl_ref.slayer.neuron import Dropout, sigma_delta, spiking


class Stretch(NamedTuple):
    """The gradient to a signal over consecutive steps."""

    start: int  #: the first step
    gradient: Tensor  #: (N, C, ..., T)

    @property
    def stop(self) -> int:
        """The step behind the last."""
        return self.start + int(self.gradient.shape[-1])


class Layer:
    """A block without neurons: what passes it is rearranged, or averaged within a step.

    Parameters
    ----------
    block : slayer block
    """

    learns = False  #: whether anything of it is trained
    reads_out = False  #: whether what leaves it are values and not spikes or messages

    def __init__(self, block: Any) -> None:
        self.block = block

    @property
    def gathered(self) -> list[Gathered]:
        """The gradients to what is trained."""
        return []

    def forward(self, x: Tensor, training: bool) -> tuple[Tensor, Tensor]:
        """The outputs of its neurons and of the block, (N, C, ..., T), for the steps `x` that follow."""
        with torch.no_grad():
            y = self.block(x)
        y = y[0] if isinstance(y, tuple) else y
        self._shape = x.shape
        return y, y

    @property
    def lag(self) -> int:
        """The most steps that what leaves the block is behind what leaves its neurons."""
        return 0

    @property
    def sent_shape(self) -> torch.Size:
        """The axes of what leaves its neurons between batch and time."""
        raise NotImplementedError

    def sent(self, g: Stretch) -> Stretch | None:
        """The gradient to what leaves its neurons from that to what leaves the block; None where that was nothing."""
        return g

    def learn(self, g: Stretch, wanted: bool) -> Stretch | None:
        """Gather the gradients to what is trained from that to what leaves the neurons.

        Returns the gradient to the input at the same steps where it is `wanted`.
        """
        x = torch.zeros(*self._shape[:-1], g.gradient.shape[-1], requires_grad=True)
        with torch.enable_grad():
            y = self.block(x)
        (found,) = torch.autograd.grad(y[0] if isinstance(y, tuple) else y, x, g.gradient)
        return Stretch(g.start, found)

    def charge(self, cost: Tensor) -> None:
        """Add the gradient of a penalty to what leaves the neurons, for the steps that follow."""

    def close(self, start: int) -> None:
        """Forget what a gradient to what leaves the neurons from the step `start` on does not reach back to."""

    def gather_norms(self) -> None:
        """Let norms take in what they have seen since the last update."""

    def reset(self) -> None:
        """Forget all that a sample leaves behind."""

    def state(self) -> dict[str, Any]:
        """All that `restore` takes."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""


#: Attributes of a layer that are saved as they are.
HELD = ("neurons", "last", "keep", "steps", "_begin", "_paid")


class NeuronLayer(Layer):
    """A block with neurons, or an Input block.

    Parameters
    ----------
    block : slayer block
    cell : Cell
        Its neurons.
    inputs : list of Weighted
        What its input is weighted by.
    constants : list of Weighted
        What is added at each step.
    feedback : list of Weighted, optional
        What its own spikes are weighted by, of a block that feeds back.
    """

    def __init__(
        self,
        block: Any,
        cell: _cell.Cell,
        inputs: list[Weighted],
        constants: list[Weighted],
        feedback: list[Weighted] | None = None,
    ) -> None:
        super().__init__(block)
        self.cell = cell
        self.feeds_back = feedback is not None
        self.input, self.ones = Source(cell.filter, inputs), Source(cell.filter, constants)
        self.own = Source(cell.filter, feedback or [])
        self.sources = [self.input, self.ones, self.own]
        self.reads_out = isinstance(block, (synaptic.AbstractAffine, readout.AbstractOutput))
        delay = block.delay
        if delay is not None and not isinstance(delay, axon.Delay):
            raise TypeError(f"the delay of a block that learns must be an axon.Delay, got {type(delay).__name__}")
        self.delay: axon.Delay | None = delay
        #: the gradient to the delays, which come through a function that needs the parameter itself
        self._to_delay = Gathered(lambda: block.delay.delay)
        self.learns = bool(self.gathered)
        self.reset()

    @property
    def gathered(self) -> list[Gathered]:
        delay = [self._to_delay] if self.delay is not None and self.delay.delay.requires_grad else []
        return [weight.gathered for source in self.sources for weight in source.weights] + self.cell.gathered + delay

    def reset(self) -> None:
        self.cell.reset()
        for source in self.sources:
            source.reset()
        self.neurons: list[dict[str, Any]] | None = None
        self.last: Tensor | None = None
        self.keep: Tensor | None = None
        self.spikes = Line()
        self.costs = Line()  #: gradients of a penalty to the spikes, where there is one
        self.steps = 0
        self._begin = 0  #: the step before which traces are
        self._paid = 0  #: the step before which the gradient of a penalty was added
        self._in: Any = None
        self._out: Any = None

    # -- forward ------------------------------------------------------------------------------

    def forward(self, x: Tensor, training: bool) -> tuple[Tensor, Tensor]:
        block, steps = self.block, x.shape[-1]
        if self.steps and x.shape[:-1] != self._in[:-1]:
            raise ValueError(
                f"input of the {type(block).__name__} block must go on with the shape {(*self._in[:-1], 'T')} of the "
                f"signal so far, got {tuple(x.shape)}: call reset() before another signal"
            )
        self._in = x.shape
        with torch.no_grad():
            data, z = self._weighted(x)
            feedback = block.fed_back if self.feeds_back else None
            with _cell.persisting(block, self.neurons) as after:
                spikes = self.cell.run(z, feedback, self.last)
            self.neurons = after
            self.input.append(data)
            if self.ones.weights:
                self.ones.append(torch.ones(1, 1, steps))
            if self.feeds_back:
                first = torch.zeros_like(spikes[..., :1]) if self.last is None else self.last[..., None]
                self.own.append(torch.cat([first, spikes[..., :-1]], dim=-1))
                self.last = spikes[..., -1].clone()
            sent = self._dropped(spikes, training)
            self._out = sent.shape
            block.shape = sent.shape[1:-1]
            return sent, self._later(sent)

    def _weighted(self, x: Tensor) -> tuple[Tensor, Any]:
        """The input as it is weighted, and the weighted sums."""
        return x, self.block.sums(x)

    def _dropped(self, spikes: Tensor, training: bool) -> Tensor:
        drop = getattr(self.block.neuron, "drop", None)
        if drop is None or self.reads_out:
            return spikes
        if type(drop) is not Dropout:
            raise TypeError(
                "dropout of a network that learns step by step must be a slayer.neuron.Dropout, which draws once a "
                f"sample, got {type(drop).__name__}"
            )
        if self.steps == 0:
            self.keep = drop.drawn(tuple(spikes.shape)) if training else None
        return spikes if self.keep is None else spikes * self.keep

    def _delays(self) -> tuple[int, int]:
        """The least and the longest number of steps between the neurons and what leaves the block."""
        shift = int(self.block.delay_shift)
        if self.delay is None:
            return shift, shift
        steps = self.delay.steps(self._out[1])
        return shift + int(steps.min()), shift + int(steps.max())

    def _later(self, sent: Tensor) -> Tensor:
        """The output of the block: that of its neurons, shifted and delayed."""
        self.spikes.append(sent)
        before, self.steps = self.steps, self.steps + sent.shape[-1]
        _, longest = self._delays()
        if not longest:
            return sent
        line = self.spikes.between(max(0, before - longest), self.steps)
        return self._delayed(line)[..., line.shape[-1] - sent.shape[-1] :]

    def _delayed(self, line: Tensor) -> Tensor:
        shift = int(self.block.delay_shift)
        if self.delay is None:
            return axon.delay(line, shift)
        return self.delay._delayed(line, shift)

    # -- backward -----------------------------------------------------------------------------

    @property
    def lag(self) -> int:
        return self._delays()[1]

    @property
    def sent_shape(self) -> torch.Size:
        return torch.Size(self._out[1:-1])

    def sent(self, g: Stretch) -> Stretch | None:
        least, longest = self._delays()
        if self.delay is None:  # a shift alone
            start = max(0, g.start - longest)
            rest = Stretch(start, g.gradient[..., start - (g.start - longest) :])
            return rest if rest.gradient.shape[-1] else None
        begin, start, stop = g.start - longest - 1, max(0, g.start - longest), g.stop - least
        if stop <= start:
            return None
        # the gradient to a delay looks at one step more than what leaves the block in these steps
        line = self.spikes.between(begin, g.stop).detach().requires_grad_()
        wanted = [line, self.delay.delay] if self.delay.delay.requires_grad else [line]
        with torch.enable_grad():
            y = self._delayed(line)[..., longest + 1 :]
        found = torch.autograd.grad(y, wanted, g.gradient)
        for gradient in found[1:]:
            self._to_delay.add(gradient)
        return Stretch(start, found[0][..., start - begin : stop - begin])

    def learn(self, g: Stretch, wanted: bool) -> Stretch | None:
        start = max(0, g.start - self.cell.lead)
        # where an update has changed delays, windows overlap or leave a gap
        self.close(g.start)
        if start < self._begin:
            late = self._begin - start
            rest = Stretch(g.start + late, g.gradient[..., late:])
            return self.learn(rest, wanted) if rest.gradient.shape[-1] else None
        gradient = self._charged(g)
        if self.keep is not None:
            gradient = gradient * self.keep
        if start < g.start:
            gradient = torch.cat([torch.zeros_like(gradient[..., :1]), gradient], dim=-1)
        slopes = self.cell.slopes(start, g.stop, gradient)
        self._gather(start, g.stop, slopes.own)
        if not wanted:
            return None
        parts = self.cell.filter.at_once(slopes.at_once)
        scaled = [None if part is None else part * self.cell.factor(p) for p, part in enumerate(parts)]
        found = self._to_input(start, scaled)
        return Stretch(g.start, found[..., g.start - start :])

    def _charged(self, g: Stretch) -> Tensor:
        """The gradient with that of the penalty, once at each step: where delays differ, windows overlap."""
        begin = max(g.start, self._paid)
        if self.costs.values is None or begin >= g.stop:
            return g.gradient
        self._paid = g.stop
        found = g.gradient.clone()
        found[..., begin - g.start :] += self.costs.between(begin, g.stop)
        return found

    def _gather(self, start: int, stop: int, slopes: list[Any]) -> None:
        if not any(source.weights for source in self.sources):
            return
        at_input: tuple[Tensor | None, ...] = ()
        if stop - start > 1 or not self.cell.filter.states:
            some = next(slope for slope in slopes if slope is not None)
            layout = Layout.channels_last(some.shape)
            lanes = [None if slope is None else layout.lanes(slope) for slope in slopes]
            back = self.cell.filter.adjoint(lanes, layout)
            at_input = tuple(None if part is None else layout.logical(part) for part in back)
        for source in self.sources:
            source.learn(start, stop, slopes, at_input, self.cell.factor)

    def _to_input(self, start: int, parts: list[Any]) -> Tensor:
        """The gradient to the input of the block, from the step `start` on, from those to its weighted sums."""
        synapse = self.block.input_synapse if hasattr(self.block, "input_synapse") else self.block.synapse
        length = next(part.shape[-1] for part in parts if part is not None)
        shape = torch.Size((*self._in[:-1], length))
        return _source.input_gradient(synapse, parts + [None] * (1 + synapse.complex - len(parts)), shape)

    def charge(self, cost: Tensor) -> None:
        self.costs.append(cost)

    def close(self, start: int) -> None:
        begin = max(0, start - self.cell.lead)
        # the gradient to a delay looks at one step more
        self.spikes.forget(min(start, self.steps - self.lag) - 1)
        self.costs.forget(start)
        for source in self.sources:
            source.close(begin, self._out[1])
        if begin > self._begin:
            self._begin = begin
            self.cell.close(begin)

    def gather_norms(self) -> None:
        self.cell.gather_norms()

    def state(self) -> dict[str, Any]:
        return {
            "cell": self.cell.state(),
            "sources": [source.state() for source in self.sources],
            "spikes": self.spikes.state(),
            "costs": self.costs.state(),
            "shapes": [None if shape is None else tuple(shape) for shape in (self._in, self._out)],
            **{name: getattr(self, name) for name in HELD},
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.cell.restore(state["cell"])
        for source, held in zip(self.sources, state["sources"], strict=True):
            source.restore(held)
        self.spikes.restore(state["spikes"])
        self.costs.restore(state["costs"])
        self._in, self._out = [None if shape is None else torch.Size(shape) for shape in state["shapes"]]
        for name in HELD:
            setattr(self, name, state[name])


class InputLayer(NeuronLayer):
    """An Input block: its gain and offset weigh every input alike."""

    def __init__(self, block: Any, cell: _cell.Cell) -> None:
        self.given = Line()  #: the input before its quantiser
        inputs = [] if block.weight is None else [_source.factor(0, lambda: block.pre_hook_fx(block.weight))]
        biases = [] if block.bias is None else [_source.constant(0, lambda: block.pre_hook_fx(block.bias))]
        super().__init__(block, cell, inputs, biases)

    def _weighted(self, x: Tensor) -> tuple[Tensor, Any]:
        self.given.append(x)
        z = self.block._scaled(x)
        if self.cell.filter.complex:
            z = z, torch.zeros_like(z)
        return self.block._hooked_input(x)[0], z

    def _to_input(self, start: int, parts: list[Any]) -> Tensor:
        some = next(part for part in parts if part is not None)
        if parts[0] is None:  # resonators of which the imaginary part is compared: the real one turns into it later
            return torch.zeros_like(some)
        block, hook = self.block, self.block.pre_hook_fx
        gain = 1.0 if block.weight is None else hook(block.weight).detach()
        x = self.given.between(start, start + some.shape[-1]).clone().requires_grad_()
        with torch.enable_grad():
            y = block._hooked_input(x)[0]
        (found,) = torch.autograd.grad(y, x, parts[0] * gain)
        return found

    def close(self, start: int) -> None:
        super().close(start)
        self.given.forget(self._begin)

    def reset(self) -> None:
        super().reset()
        self.given = Line()

    def state(self) -> dict[str, Any]:
        return {**super().state(), "given": self.given.state()}

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        self.given.restore(state["given"])


def _cell_of(block: Any) -> _cell.Cell:
    """The neurons of a block."""
    neuron = block.neuron
    read = isinstance(block, synaptic.AbstractAffine)
    if isinstance(block, readout.AbstractOutput):
        return _cell.Summed(block.sigma)
    if neuron is None or (read and not block.dynamics):
        cell = _cell.Cell()
        cell.part = int(read and neuron.complex)
        return cell
    if isinstance(neuron, sigma_delta.Neuron):
        return _cell.Changes(neuron) if isinstance(block, synaptic.AbstractInput) else _cell.SigmaDelta(neuron, read)
    if isinstance(neuron, spiking.Neuron):
        return _cell.Spiking(neuron, read)
    raise TypeError(f"neurons that learn step by step must be of slayer.neuron, got {type(neuron).__name__}")


def _synaptic(block: Any) -> Layer:
    block._link()
    synapse = block.synapse
    return NeuronLayer(block, _cell_of(block), _source.of_synapse(synapse), _source.biases_of(synapse))


def _bias_of(block: Any) -> list[Weighted]:
    """The bias of a block that feeds back, of a complex input in the part that fires its neurons."""
    return [] if block.bias is None else [_source.constant(block.neuron.fires_on, lambda: block.bias)]


def _recurrent(block: Any) -> Layer:
    synapse, own = block.input_synapse, block.recurrent_synapse
    constants = [*_source.biases_of(synapse), *_source.biases_of(own), *_bias_of(block)]
    return NeuronLayer(block, _cell_of(block), _source.of_synapse(synapse), constants, _source.of_synapse(own))


def _kwta(block: Any) -> Layer:
    constants = [*_source.biases_of(block.synapse), *_bias_of(block)]
    own = _source.factor(block.neuron.fires_on, lambda: block._uniform.own)
    return NeuronLayer(block, _cell_of(block), _source.of_synapse(block.synapse), constants, [own])


#: For each kind of block the function that makes its layer, and the classes whose methods it stands for: a block of the
#: user's with methods of its own is refused.
KINDS: list[tuple[type, Callable[[Any], Layer]]] = [
    (plain.Flatten, Layer),
    (plain.Average, Layer),
    (synaptic.AbstractInput, lambda block: InputLayer(block, _cell_of(block))),
    (recurrent.AbstractRecurrent, _recurrent),
    (recurrent.AbstractKWTA, _kwta),
    (readout.AbstractOutput, _synaptic),
    (_block.SynapticBlock, _synaptic),
]

#: Methods by which a block computes; a class of the user's that has its own computes something else.
METHODS = ("forward", "sent", "sums", "_shifted", "_fire")


def layer_of(block: Any) -> Layer:
    """A block of slayer as a layer that learns step by step.

    Raises
    ------
    TypeError
        If there is no rule for its kind, or if it computes in a way of its own.
    """
    for kind, make in KINDS:
        if isinstance(block, kind):
            for name in METHODS:
                owner = next((cls for cls in type(block).__mro__ if name in vars(cls)), None)
                if owner is not None and not owner.__module__.startswith("lavadl_ref.slayer."):
                    raise TypeError(
                        f"a block that learns step by step must compute as the blocks of slayer do, got "
                        f"{type(block).__name__} with a method {name} of its own"
                    )
            return make(block)
    raise TypeError(
        f"blocks that learn step by step must be {', '.join(sorted(_names()))} of slayer.block, "
        f"got {type(block).__name__}"
    )


def _names() -> set[str]:
    return {"Input", "Affine", "Dense", "Conv", "ConvT", "Pool", "Unpool", "Recurrent", "KWTA", "Output"} | {
        kind.__name__ for kind, make in KINDS if make is Layer
    }
