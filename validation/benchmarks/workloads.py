"""The networks that are measured, built alike from this package's slayer or from lava-dl's.

A workload is made by ``make(slayer, quick)``: it holds a network, its input and what a training step does.
"""

from __future__ import annotations

import importlib
import itertools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils import parametrizations

CLASSES = 10
INPUTS = 34 * 34 * 2  #: of N-MNIST: two polarities of each pixel


@dataclass
class Workload:
    """A network and its training step."""

    name: str
    net: torch.nn.Module
    x: Tensor
    error: Callable[[Any], Tensor]  #: the loss of what the network returns
    optimizer: torch.optim.Optimizer

    def train(self) -> None:
        """One step: forward, loss, backward and the optimizer's."""
        self.net.train()
        self.optimizer.zero_grad()
        self.error(self.net(self.x)).backward()
        self.optimizer.step()

    def infer(self, samples: int | None = None) -> None:
        """The output for the first `samples` samples, for all if None."""
        self.net.eval()
        with torch.no_grad():
            self.net(self.x[:samples])


def spikes(shape: tuple[int, ...], density: float) -> Tensor:
    """Random spikes, the same each time."""
    return (torch.rand(shape, generator=torch.Generator().manual_seed(0)) < density).float()


def made(name: str, net: torch.nn.Module, x: Tensor, error: Callable[[Any], Tensor], fused: bool = True) -> Workload:
    """A workload whose parameters are all there: delays and shapes appear at the first pass."""
    with torch.no_grad():
        net(x[:1])
    return Workload(name, net, x, error, torch.optim.Adam(net.parameters(), lr=1e-3, fused=fused))


#: the published N-MNIST recipe
NMNIST: dict[str, Any] = {
    "threshold": 1.25,
    "current_decay": 0.25,
    "voltage_decay": 0.03,
    "tau_grad": 0.03,
    "scale_grad": 3,
    "requires_grad": True,
}


def width(quick: bool) -> int:
    """The width of the N-MNIST network."""
    return 16 if quick else 512


def nmnist_net(slayer: ModuleType, quick: bool, whole: bool = True) -> torch.nn.Sequential:
    """2312-512-512-10 with weight norm; with delays, dropout and trained decays where it is the `whole` recipe."""
    torch.manual_seed(0)
    params: dict[str, Any] = {**NMNIST, "requires_grad": whole}
    options: dict[str, Any] = {"weight_norm": True, "delay_shift": whole}
    if whole:
        params["dropout"] = slayer.neuron.Dropout(p=0.05)
    dense, hidden = slayer.block.cuba.Dense, width(quick)
    return torch.nn.Sequential(
        dense(params, INPUTS, hidden, delay=whole, **options),
        dense(params, hidden, hidden, delay=whole, **options),
        dense(params, hidden, CLASSES, **options),
    )


def nmnist(slayer: ModuleType, quick: bool, density: float = 0.05, whole: bool = True) -> Workload:
    """2312-512-512-10 with weight norm, random input; with what `nmnist_net` adds where it is the `whole` recipe."""
    batch, steps = (1, 8) if quick else (32, 300)
    net = nmnist_net(slayer, quick, whole)
    error = slayer.loss.SpikeRate(true_rate=0.2, false_rate=0.03, reduction="sum")
    labels = torch.arange(batch) % CLASSES
    x = spikes((batch, INPUTS, steps), density)
    name = f"N-MNIST-like 2312-{width(quick)}-{width(quick)}-10, T {steps}, {density:.0%} input"
    return made(name, net, x, lambda out: error(out, labels))


def nmnist_sparse(slayer: ModuleType, quick: bool) -> Workload:
    """As `nmnist` with 1 % of the inputs spiking."""
    return nmnist(slayer, quick, 0.01)


def oxford(slayer: ModuleType, quick: bool) -> Workload:
    """200-256-200, one sample, from spike trains to spike trains; both random, as dense as the tutorial's."""
    width, steps = (16, 20) if quick else (256, 2000)
    params = {"threshold": 0.1, "current_decay": 1, "voltage_decay": 0.1, "requires_grad": True}
    torch.manual_seed(0)
    dense = slayer.block.cuba.Dense
    net = torch.nn.Sequential(dense(params, 200, width), dense(params, width, 200))
    error = slayer.loss.SpikeTime(time_constant=2, length=100, filter_order=2)
    x, target = spikes((1, 200, steps), 0.0047), spikes((1, 200, steps), 0.026)
    return made(f"Oxford 200-{width}-200, T {steps}", net, x, lambda out: error(out, target))


def moving(shape: tuple[int, ...], speed: int, generator: torch.Generator, grain: int = 7) -> Tensor:
    """Smooth random pictures (N, C, H, W, T) from 0 to 1 that move along W by `speed` pixels a step.

    `grain` is about the size of what they show, in pixels.
    """
    batch, channels, height, width, steps = shape
    wide = torch.rand(batch, channels, height, width + speed * (steps - 1), generator=generator)
    for _ in range(2):
        wide = functional.avg_pool2d(wide, grain, 1, grain // 2, count_include_pad=False)
    low, high = wide.amin((2, 3), keepdim=True), wide.amax((2, 3), keepdim=True)
    wide = (wide - low) / (high - low)
    return torch.stack([wide[..., speed * t : speed * t + width] for t in range(steps)], -1)


class _PilotNet(torch.nn.Module):
    """Four convolutions and four dense layers; returns its output and the cost of its events.

    Weights are a quarter larger than the tutorial's before it trains, with which messages die out on the way: the
    last three layers had nothing to compute.
    """

    MAX_RATE = 0.01

    def __init__(self, slayer: ModuleType, family: str, params: dict[str, Any]) -> None:
        super().__init__()
        block = getattr(slayer.block, family)
        space = {**params, "norm": slayer.neuron.norm.MeanOnlyBatchNorm}
        dense = {**space, "dropout": slayer.neuron.Dropout(p=0.2)}
        options: dict[str, Any] = {"weight_scale": 2.5, "weight_norm": True}
        readout = block.Output(dense, 10, 1, **options) if family == "sigma_delta" else None
        self.blocks = torch.nn.ModuleList(
            [
                block.Input(params, weight=1, bias=0),
                block.Conv(space, 3, 24, 3, padding=0, stride=2, **options),
                block.Conv(space, 24, 36, 3, padding=0, stride=2, **options),
                block.Conv(space, 36, 64, 3, padding=(1, 0), stride=(2, 1), **options),
                block.Conv(space, 64, 64, 3, padding=0, stride=1, **options),
                block.Flatten(),
                block.Dense(dense, 64 * 40, 100, **options),
                block.Dense(dense, 100, 50, **options),
                block.Dense(dense, 50, 10, **options),
                readout or block.Affine(dense, 10, 1, dynamics=False, **options),
            ]
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        cost = x.new_zeros(())
        for block in self.blocks:
            x = block(x)
            if getattr(block, "neuron", None) is not None:
                cost = cost + functional.relu(x.abs().mean() - self.MAX_RATE) ** 2
        return x, cost


def _pilotnet(slayer: ModuleType, quick: bool, family: str, params: dict[str, Any]) -> Workload:
    batch, steps = (1, 2) if quick else (4, 16)
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    x = moving((batch, 3, 33, 100, steps), 1, generator)
    angle = torch.rand(batch, 1, generator=generator)

    def error(answer: tuple[Tensor, Tensor]) -> Tensor:
        out, cost = answer
        return functional.mse_loss(out.flatten(1).mean(-1, keepdim=True), angle) + 0.01 * cost

    what = {"sigma_delta": "sigma-delta", "cuba": "CUBA"}[family]
    return made(f"PilotNet {what}, 3x33x100, T {steps}", _PilotNet(slayer, family, params), x, error)


def pilotnet(slayer: ModuleType, quick: bool) -> Workload:
    """The tutorial's sigma-delta PilotNet on a moving picture."""
    params = {"threshold": 0.1, "tau_grad": 0.5, "scale_grad": 1, "requires_grad": True, "shared_param": True}
    return _pilotnet(slayer, quick, "sigma_delta", {**params, "activation": functional.relu})


def pilotnet_cuba(slayer: ModuleType, quick: bool) -> Workload:
    """The same network of CUBA neurons."""
    params = {"threshold": 0.1, "current_decay": 0.5, "voltage_decay": 0.1, "tau_grad": 0.5, "requires_grad": True}
    return _pilotnet(slayer, quick, "cuba", params)


class _Rated(torch.nn.Module):
    """The bootstrap tutorial's network, in one mode."""

    def __init__(self, bootstrap: Any, width: int, mode: str, weight_norm: bool) -> None:
        super().__init__()
        params = {"threshold": 1.25, "current_decay": 1, "voltage_decay": 0.03, "tau_grad": 1, "scale_grad": 1}
        options: dict[str, Any] = {"weight_norm": weight_norm, "weight_scale": 2}
        cuba = bootstrap.block.cuba
        self.mode = bootstrap.Mode[mode]
        self.blocks = torch.nn.ModuleList(
            [
                cuba.Input(params, weight=1, bias=0),
                cuba.Dense(params, 784, width, **options),
                cuba.Dense(params, width, width, **options),
                cuba.Affine(params, width, CLASSES, **options),
            ]
        )
        self.sample = bootstrap.Mode.SAMPLE

    def forward(self, x: Tensor, mode: Any = None) -> Tensor:
        for block in self.blocks:
            x = block(x, mode=mode or self.mode)
        return x


def _bootstrap(slayer: ModuleType, quick: bool, mode: str, **options: bool) -> Workload:
    """784-512-512-10 on still pictures, with the rate curves of a few sampled batches."""
    batch, width, steps = (2, 32, 4) if quick else (32, 512, 16)
    bootstrap = importlib.import_module(f"{slayer.__name__.rpartition('.')[0]}.bootstrap")
    torch.manual_seed(0)
    net = _Rated(bootstrap, width, mode, options.get("weight_norm", True))
    pictures = torch.rand(batch, 784, 1, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(batch) % CLASSES
    x = pictures.expand(-1, -1, steps).contiguous()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # lava-dl's, at bins without a sample
        for _ in range(3):
            net(x, net.sample)
        for block in list(net.blocks)[:3]:
            block.fit()
    name = f"bootstrap 784-{width}-{width}-10 CUBA, T {steps}, {mode} mode"
    entering = x if mode == "SNN" else pictures
    error = functional.cross_entropy
    return made(name, net, entering, lambda out: error(out.mean(-1), labels), options.get("fused", True))


def bootstrap_snn(slayer: ModuleType, quick: bool) -> Workload:
    """The bootstrap tutorial's network spiking."""
    return _bootstrap(slayer, quick, "SNN")


def bootstrap_ann(slayer: ModuleType, quick: bool) -> Workload:
    """The bootstrap tutorial's network in rates, of pictures of one step."""
    return _bootstrap(slayer, quick, "ANN")


def ann_and_plain(slayer: ModuleType, quick: bool, weight_norm: bool, fused: bool) -> tuple[Workload, Workload]:
    """The network of `bootstrap_ann`, and one of torch's linear maps and ReLUs with its shapes."""
    own = _bootstrap(slayer, quick, "ANN", weight_norm=weight_norm, fused=fused)
    batch, width = (2, 32) if quick else (32, 512)
    torch.manual_seed(0)
    layers: list[torch.nn.Module] = []
    for inputs, outputs in itertools.pairwise((784, width, width, CLASSES)):
        linear: torch.nn.Module = torch.nn.Linear(inputs, outputs)
        layers += [parametrizations.weight_norm(linear) if weight_norm else linear, torch.nn.ReLU()]
    labels = torch.arange(batch) % CLASSES
    x = own.x.flatten(1)
    error = functional.cross_entropy
    plain = made("plain", torch.nn.Sequential(*layers[:-1]), x, lambda out: error(out, labels), fused)
    what = f"{'with' if weight_norm else 'without'} weight norm, {'fused' if fused else 'default'} Adam"
    own.name = f"bootstrap 784-{width}-{width}-10, ANN mode, {what}"
    return own, plain


_FEEDBACK: dict[str, Any] = {"threshold": 1.0, "current_decay": 0.25, "voltage_decay": 0.03, "requires_grad": True}
RATE = 0.05  #: that neurons with feedback are trained to, so that they go on firing


def _from_rate(out: Tensor) -> Tensor:
    return ((out.sum(-1) / out.shape[-1] - RATE) ** 2).mean()


def recurrent(slayer: ModuleType, quick: bool) -> Workload:
    """512 neurons with trained feedback; lava-dl's leave out the way back through the membrane."""
    batch, width, steps = (2, 32, 5) if quick else (32, 512, 100)
    torch.manual_seed(0)
    net = slayer.block.cuba.Recurrent(dict(_FEEDBACK), width, width)
    x = spikes((batch, width, steps), 0.05)
    return made(f"cuba.Recurrent {width}, T {steps}, 5% input", net, x, _from_rate)


def kwta(slayer: ModuleType, quick: bool) -> Workload:
    """512 neurons that inhibit each other."""
    batch, width, steps = (2, 32, 5) if quick else (32, 512, 100)
    torch.manual_seed(0)
    net = slayer.block.cuba.KWTA(dict(_FEEDBACK), width, width, width // 10, delay_shift=False)
    x = spikes((batch, width, steps), 0.05)
    return made(f"cuba.KWTA {width}, T {steps}, 5% input", net, x, _from_rate)


@dataclass
class _Delays(Workload):
    """Delays alone: the step is forward and backward, to the delays and to the input."""

    def train(self) -> None:
        """Forward and backward."""
        self.optimizer.zero_grad()
        self.x.grad = None
        self.error(self.net(self.x)).backward()


def delay(slayer: ModuleType, quick: bool) -> Workload:
    """Learnable delays of pictures' channels."""
    shape = (2, 4, 8, 8, 10) if quick else (4, 32, 32, 32, 20)
    torch.manual_seed(0)
    x = spikes(shape, 0.1).requires_grad_()
    net = slayer.axon.Delay(max_delay=8)
    net(x[:1])
    optimizer = torch.optim.Adam(net.parameters())
    return _Delays(f"axon.Delay of {'x'.join(map(str, shape))}", net, x, lambda out: out.mean(), optimizer)
