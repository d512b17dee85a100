"""The networks of the equivalence matrix: blocks of slayer, brought to life."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from lavadl_ref.slayer import block as blocks
from lavadl_ref.slayer.neuron.norm import MeanOnlyBatchNorm
from tests.support.matrix import BLOCKS, FAMILIES, Case
from validation.equivalence._options import Option

STEPS = 14
#: Height and width of frames where fewer neurons show as much.
EXTENTS = {"Input": 3, "ConvT": 3, "Unpool": 2, "Flatten": 3, "Average": 3, "TimeDecimation": 3}
SCALES = (1, 2, 4, 8, 0.5, 0.25, 0.125, 16)  #: factors of the drawn weights, until neurons fire now and then
LAST = ("Affine", "Output", "Average", "TimeDecimation")  #: blocks with nothing behind them
FLAT_IN_A_FILE = ("Dense", "Recurrent", "KWTA")


class Difference(AssertionError):
    """Two paths differ, or a network shows nothing."""


class Built:
    """Trained blocks: the one of the cell, the one beside it, and what they receive.

    `blocks` are in evaluation mode, with weights large enough that neurons fire now and then.
    """

    def __init__(self, case: Case, option: Option, other: str) -> None:
        self.case, self.option = case, option
        self.blocks: list[Any] = []
        name, spatial = case.block, case.form == "spatial"
        neurons = BLOCKS[name].neurons
        feeds = Case(other if case.block in LAST else case.family, case.block, case.form)
        extent = EXTENTS.get(case.block) if spatial else None
        self.xs = [feeds.input(seed, STEPS) for seed in range(3)]
        if extent is not None:
            self.xs = [x[:, :, :extent, :extent] for x in self.xs]
        self._ys = self.xs
        if name in FLAT_IN_A_FILE and spatial:
            self._add(lambda: blocks.cuba.Input(delay_shift=False))
        if name in LAST and (neurons or option.mixed or option.cut):
            self._add(lambda: self._same_size(other, {}), beside=True)
        if not neurons:
            self._add(lambda: self._same_size(case.family, self._arguments("Dense")))
        self.position = len(self.blocks)  #: of the block of the cell
        self._add(self._own)
        self.cut = self.position if name in LAST else self.position + 1  #: where the second part begins
        if name in LAST and not neurons:
            self.cut -= 1  # what averages has no part of its own
        if name not in LAST:
            if option.cut and self._ys[0].ndim > 3:
                self._add(blocks.cuba.Flatten, beside=True)
                self.cut += 1
            self._add(lambda: self._dense(other), beside=True)

    @property
    def x(self) -> torch.Tensor:
        """The input of the network, (B, \\*shape, T)."""
        return self.xs[0]

    def __str__(self) -> str:
        return f"{self.case}, {self.option.title}"

    def _own(self) -> Any:
        arguments, _ = BLOCKS[self.case.block].inputs[self.case.form]
        cls = getattr(self.case.module, self.case.block)
        if not BLOCKS[self.case.block].neurons:
            return cls(*arguments)
        return cls(self._params(), *arguments, **self._arguments(self.case.block))

    def _params(self) -> dict[str, Any]:
        added = dict(self.option.params)
        if self.case.block == "Input" and self.option.biased:
            del added["norm"]
        return {**self.case.params, **added}

    def _arguments(self, block: str) -> dict[str, Any]:
        arguments = dict(self.option.arguments)
        if self.option.shift:
            arguments["delay_shift"] = self.case.family == "sigma_delta"
        return arguments

    def _same_size(self, family: str, arguments: dict[str, Any]) -> Any:
        """A block that sends what has the size of its input; with the cell's options where it is of its family."""
        own = not BLOCKS[self.case.block].neurons and family == self.case.family
        params = self._params() if own else self._plain(family)
        shape, module = tuple(self._ys[0].shape[1:-1]), getattr(blocks, family)
        if len(shape) == 1:
            return module.Dense(params, shape[0], shape[0], **arguments)
        return module.Conv(params, shape[0], shape[0], 3, 1, 1, **arguments)

    def _dense(self, family: str) -> Any:
        """A block behind that of the cell."""
        shape = tuple(self._ys[0].shape[1:-1])
        params = self._plain(family)
        return getattr(blocks, family).Dense(params, shape[0] if len(shape) == 1 else shape[::-1], 6)

    def _plain(self, family: str) -> dict[str, Any]:
        params = {**FAMILIES[family], "persistent_state": self.option.persistent}
        return {**params, "norm": MeanOnlyBatchNorm} if self.option.biased else params

    def _add(self, make: Callable[[], Any], beside: bool = False) -> None:
        """Append the block that `make` gives, its weights scaled until it sends something now and then."""
        for scale in SCALES:
            torch.manual_seed(1 + len(self.blocks))
            block = make()
            self._train(block, scale, plain=beside)
            with torch.no_grad():
                ys = [fresh(block)(x) for x in self._ys]
            if alive(block, ys[0]) and (beside or self._has_exponent(block)):
                self.blocks.append(fresh(block))
                self._ys = ys
                return
        raise Difference(f"{type(block).__name__} {len(self.blocks)} of {self.case} sends nothing, or always")

    def _train(self, block: Any, scale: float, plain: bool) -> None:
        """The traces of training: statistics of norms, delays, biases."""
        synapses = [p for name, p in block.named_parameters() if "synapse" in name and name[-8:] != "weight_v"]
        norms = [m for m in block.modules() if isinstance(m, MeanOnlyBatchNorm)]
        with torch.no_grad():
            for weight in synapses:
                weight.mul_(scale)
            for x in self._ys[1:] * (4 if norms else 1):
                fresh(block)(x)
        if self.option.then is not None and not plain and getattr(block, "neuron", None) is not None:
            self.option.then(block)
        block.eval()

    def _has_exponent(self, block: Any) -> bool:
        """Tell whether the weight exponents that its norms give have the sign that is asked for."""
        exponents = [int(m.weight_exp) for m in block.modules() if hasattr(m, "weight_exp")]
        sign = 0 if self.case.block == "Input" else self.option.exponent  # it has no weights to scale
        return not sign or all(np.sign(e) == sign for e in exponents)


def fresh(block: Any) -> Any:
    """The block without state of a run before."""
    if hasattr(block, "reset"):
        block.reset()
    return block


def alive(block: Any, y: torch.Tensor) -> bool:
    """Tell whether some, but not all, of what a block sends differs from 0; of what is read out, whether it changes."""
    if getattr(block, "neuron", None) is None or type(block).__name__ in LAST:
        return len(y.unique()) > 1
    share = (y != 0).float().mean().item()
    return 0.01 < share < 0.99


class Chunked:
    """A block with persistent state that takes its input in several calls."""

    def __init__(self, block: Any) -> None:
        self._block = block

    def __getattr__(self, name: str) -> Any:
        return getattr(self._block, name)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self._block(part) for part in x.split([1, 9, 2, x.shape[-1] - 12], -1)], -1)
