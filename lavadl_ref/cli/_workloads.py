"""Small jobs that together run the kernels of common uses: `warm` compiles whatever they call.

They go through the public interface and name no kernel, so that a kernel that joins or changes is compiled too.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, get_args

import torch
from torch import Tensor

from lavadl_ref import bootstrap, online, slayer
from lavadl_ref.slayer._bridge import paths
from lavadl_ref.slayer.block import describe
from lavadl_ref.slayer.neuron import norm
from lavadl_ref.verify import trained, verify

#: As many samples, units and steps as every kernel needs that is worth it from some size on.
SAMPLES, UNITS, STEPS = 8, 64, 32

#: Arguments that neurons need, by their names.
_VALUES: dict[str, Any] = {
    "threshold": 0.5,
    "current_decay": 0.3,
    "voltage_decay": 0.1,
    "period": 6,
    "decay": 0.1,
    "threshold_step": 0.25,
    "threshold_decay": 0.2,
    "refractory_decay": 0.3,
    "activation": torch.nn.functional.relu,
}
#: The same, one for each channel.
_RANGES: dict[str, Any] = {
    "current_decay": (0.1, 0.9),
    "voltage_decay": (0.05, 0.5),
    "period": (4.5, 12.0),
    "decay": (0.03, 0.3),
    "threshold_decay": (0.1, 0.6),
    "refractory_decay": (0.2, 0.7),
}

Job = Callable[[], None]


def jobs() -> dict[str, Job]:
    """All jobs by their names, which begin with a subject: a family of neurons, ``synapses`` or ``bootstrap``."""
    found: dict[str, Job] = {}
    for name in slayer.block.__all__:
        blocks = getattr(slayer.block, name)
        if hasattr(blocks, "family"):
            for job in (_training, _per_channel, _feedback, _normed, _space, _deployed, _online):
                found[f"{name}: {str(job.__doc__).partition(':')[0]}"] = partial(job, blocks)
    found["synapses: delays and filters"] = _signals
    for name in get_args(paths.Backend):
        found[f"synapses: {name}"] = partial(_backend, name)
    for name in bootstrap.block.__all__:
        blocks = getattr(bootstrap.block, name)
        if hasattr(blocks, "family"):
            found[f"bootstrap: {name}"] = partial(_bootstrap, blocks)
    return found


def _neuron(blocks: Any, **options: Any) -> dict[str, Any]:
    takes = inspect.signature(blocks.family.neuron_class).parameters
    return {**{name: value for name, value in _VALUES.items() if name in takes}, "requires_grad": True, **options}


def _spikes(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return (torch.rand((SAMPLES, *shape, STEPS), generator=generator) < 0.3).float()


def _step(net: Any, x: Tensor) -> None:
    """A step of training, and a run without gradients."""
    # the gradient to a first layer's input is not asked for; a small input may go another way
    for given in (x, x.clone().requires_grad_(), x[:1]):
        y = net.train()(given)
        if y.requires_grad:
            torch.autograd.backward(y.sum())
    with torch.no_grad():
        net.eval()(x)


def _made(blocks: Any, name: str, *arguments: Any, **options: Any) -> Iterator[Any]:
    """The block, if the family has it."""
    with suppress(ValueError, AttributeError):
        yield getattr(blocks, name)(*arguments, **options)


def _training(blocks: Any) -> None:
    """training: dense layers with weight norm and delays and without, shared parameters."""
    for trains in (True, False):
        neuron = _neuron(blocks, requires_grad=trains)
        normed = blocks.Dense(neuron, UNITS, UNITS, weight_norm=True, delay=True)
        _step(torch.nn.Sequential(normed, blocks.Dense(neuron, UNITS, 5)), _spikes(UNITS))


def _per_channel(blocks: Any) -> None:
    """parameters per channel: and what is kept from one input to the next."""
    neuron = _neuron(blocks)
    own = {name: value for name, value in _RANGES.items() if name in neuron}
    for options in ({"persistent_state": True}, {**own, "shared_param": False}):
        _step(blocks.Dense({**neuron, **options}, UNITS, 5, delay=True), _spikes(UNITS))


def _feedback(blocks: Any) -> None:
    """feedback: recurrent layers, and winners that take all."""
    neuron = _neuron(blocks)
    for net in (
        *_made(blocks, "Recurrent", neuron, UNITS, UNITS, delay=True),
        *_made(blocks, "KWTA", neuron, UNITS, UNITS, 2, 0.5),
    ):
        _step(net, _spikes(UNITS))


def _normed(blocks: Any) -> None:
    """norms: of the activity of a batch, in dense layers and convolutions."""
    for kind in (norm.MeanOnlyBatchNorm, norm.WgtScaleBatchNorm):
        neuron = _neuron(blocks, norm=kind)
        _step(blocks.Dense(neuron, UNITS, 5, weight_norm=True, delay=True), _spikes(UNITS))
        _step(blocks.Conv(neuron, 2, 4, 3, weight_norm=True), _spikes(2, 6, 6))


def _space(blocks: Any) -> None:
    """height and width: inputs, convolutions, windows, and readouts."""
    neuron = _neuron(blocks)
    for net in (
        torch.nn.Sequential(blocks.Input(neuron), blocks.Conv(neuron, 2, 4, 3, delay=True), blocks.Pool(neuron, 2)),
        torch.nn.Sequential(blocks.ConvT(neuron, 2, 4, 3), blocks.Unpool(neuron, 2)),
        torch.nn.Sequential(blocks.Flatten(), blocks.Affine(neuron, 72, 5)),
        torch.nn.Sequential(blocks.Flatten(), *_made(blocks, "Output", neuron, 72, 5)),
    ):
        _step(net, _spikes(2, 6, 6))


def _deployed(blocks: Any) -> None:
    """the reference: an exported network on its samples, and on one stream of them."""
    neuron = _neuron(blocks)
    net = [blocks.Dense(neuron, UNITS, UNITS, delay=True).eval(), blocks.Dense(neuron, UNITS, 5).eval()]
    trained(net, _spikes(UNITS))
    network = describe.network(net)
    verify(network, steps=STEPS, lava=False)
    verify(network, steps=STEPS, lava=False, reset_interval=10)
    trained([blocks.Conv(neuron, 2, 4, 3).eval(), blocks.Pool(neuron, 2).eval()], _spikes(2, 6, 6))


def _online(blocks: Any) -> None:
    """learning step by step: at every step and window by window, decays trained and frozen."""
    for trains in (True, False):
        neuron = _neuron(blocks, requires_grad=trains)
        for every in (1, None):
            net = torch.nn.ModuleList([blocks.Dense(neuron, UNITS, UNITS, delay=True), blocks.Affine(neuron, UNITS, 5)])
            optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
            learner = online.Learner(net, torch.nn.functional.cross_entropy, optimizer, every=every)
            learner.learn(_spikes(UNITS), torch.zeros(SAMPLES, dtype=torch.int64))


def _signals() -> None:
    """Delays, filters and losses on their own."""
    x, target = _spikes(UNITS), _spikes(UNITS)
    filtered = slayer.utils.filter.FIR(time_constant=5, length=10)
    _step(torch.nn.Sequential(slayer.axon.Delay(UNITS), slayer.axon.Delay(1), filtered), x)
    for error in (slayer.loss.SpikeTime(), slayer.loss.SpikeTime(filter_order=2)):
        given = x.clone().requires_grad_()
        torch.autograd.backward(error(given, target))
    for loss in (slayer.loss.SpikeRate(true_rate=0.2, false_rate=0.03), slayer.loss.SpikeMax()):
        given = x.clone().requires_grad_()
        torch.autograd.backward(loss(given, torch.zeros(SAMPLES, dtype=torch.int64)))


def _backend(name: Any) -> None:
    """Layers wide enough for every kernel that small ones are not worth, their sums computed by one backend."""
    neuron = _neuron(slayer.block.cuba)
    with suppress(NotImplementedError, RuntimeError), slayer.synapse.path(name):
        for blocks, x in (
            (slayer.block.cuba.Dense(neuron, 256, 128, weight_norm=True), _spikes(256)),
            (slayer.block.cuba.Dense(neuron, 256, 128), _spikes(256)),
            (slayer.block.cuba.Conv(neuron, 32, 64, 3, weight_norm=True), _spikes(32, 6, 6)),
        ):
            _step(blocks, x * (torch.rand(x.shape, generator=torch.Generator().manual_seed(1)) < 0.1))


def _bootstrap(blocks: Any) -> None:
    """A network as spiking neurons, sampled, fitted, and as rates."""
    neuron = {**_neuron(blocks), "tau_grad": 1, "scale_grad": 1}
    net = [
        blocks.Input(neuron, weight=3, bias=0),
        blocks.Dense(neuron, UNITS, UNITS, weight_norm=True, weight_scale=2),
        blocks.Affine(neuron, UNITS, 5, weight_norm=True, weight_scale=2),
    ]
    modes = [bootstrap.Mode.SNN]
    if not net[0].rates.reason:
        modes += [bootstrap.Mode.SAMPLE, bootstrap.Mode.FIT, bootstrap.Mode.ANN]
    for mode in modes:
        rates = mode in (bootstrap.Mode.FIT, bootstrap.Mode.ANN)
        generator = torch.Generator().manual_seed(0)
        y = torch.rand((SAMPLES, UNITS, 1), generator=generator)
        y = y if rates else y.expand(-1, -1, STEPS).contiguous()
        for block in net:
            y = block(y, mode=mode)
        torch.autograd.backward(y.sum())
