"""The base of the networks: heads, the pass through blocks, export, and loading of trained parameters."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lavadl_ref import _extras, exchange
from lavadl_ref.exchange import atomic
from lavadl_ref.slayer import dendrite, synapse, utils
from lavadl_ref.slayer.block import _saturation, describe
from lavadl_ref.slayer.loss import SparsityEnforcer
from lavadl_ref.slayer.object_detection.yolo_base import YOLOBase

if TYPE_CHECKING:
    import h5py


def _of_channels(*values: float) -> Tensor:
    return torch.tensor(values).reshape(1, 3, 1, 1, 1)


def quantize_8bit(x: Tensor, scale: int = 64, descale: bool = False) -> Tensor:
    """Weights `x` of any shape and floating dtype, quantised to even multiples of 1/64 in [-256/64, 254/64].

    `scale` and `descale` are those of `lavadl_ref.slayer.utils.quantize_hook_fx`.

    >>> quantize_8bit(torch.tensor([0.1, 9.0])) * 64
    tensor([  6., 254.])
    """
    return utils.quantize_hook_fx(x, scale=scale, num_bits=8, descale=descale)


def quantize_5bit(x: Tensor, scale: int = 64, descale: bool = False) -> Tensor:
    """Weights `x` of any shape and floating dtype, quantised to even multiples of 1/64 in [-32/64, 30/64].

    `scale` and `descale` are those of `lavadl_ref.slayer.utils.quantize_hook_fx`.

    >>> quantize_5bit(torch.tensor([0.1, 9.0])) * 64
    tensor([ 6., 30.])
    """
    return utils.quantize_hook_fx(x, scale=scale, num_bits=5, descale=descale)


#: Arguments of all blocks.
BLOCK: dict[str, Any] = {"weight_norm": True, "delay_shift": False, "pre_hook_fx": quantize_8bit}


def _is_in_head(key: str) -> bool:
    """Tell whether a parameter depends on the number of classes.

    Only the weight of a head does. Heads have no weight norm, so its key ends in ``.weight``; the keys of all other
    weights end in the names of the parts of a weight norm.
    """
    return key.endswith(".weight")


def head(in_features: int, out_features: int) -> list[torch.nn.Module]:
    """A head, which reads out a network: a 1x1 convolution of its messages, then the sum over time."""
    return [
        synapse.Conv(in_features, out_features, 1, weight_norm=False, pre_hook_fx=quantize_8bit),
        dendrite.Sigma(),
    ]


@dataclass(frozen=True)
class Readout:
    """The two modules of a `head` as one layer."""

    synapse: synapse.Conv
    sigma: dendrite.Sigma

    @classmethod
    def of(cls, modules: torch.nn.ModuleList) -> Readout:
        """The head that forms the last two of `modules`."""
        return cls(modules[-2], modules[-1])  # type: ignore[arg-type]

    def __call__(self, x: Tensor) -> Tensor:
        """The sums (N, out, H, W, T) float32 of the messages `x` (N, in, H, W, T)."""
        sums: Tensor = self.sigma(self.synapse(x))
        return sums

    def describe(self) -> exchange.Conv:
        """The head as a layer of a ``.net`` file.

        Raises
        ------
        RuntimeError
            The network has not run yet, so that the shape is not known.
        """
        _saturation.look_at(self.synapse)
        if self.sigma.shape is None:
            raise RuntimeError(
                "the shape of the head must be known, got a head without any input so far: call init_model first"
            )
        return exchange.Conv(
            shape=tuple(int(extent) for extent in self.sigma.shape),
            neuron=exchange.Neuron("SDNN", {"activation": None, "threshold": None, "sigma_output": True}),
            stride=self.synapse.stride[:2],
            padding=self.synapse.padding[:2],
            dilation=self.synapse.dilation[:2],
            groups=self.synapse.groups,
            **describe.weight(self.synapse),
        )


class Detector(YOLOBase):
    """A YOLO network of blocks.

    Attributes
    ----------
    normalize_mean, normalize_std : Tensor
        (1, 3, 1, 1, 1) float32, mean and standard deviation of red, green and blue. These are the values of the
        pictures of ImageNet. Networks that take frames normalise them with `normalized`.
    """

    normalize_mean: Tensor = _of_channels(0.485, 0.456, 0.406)
    normalize_std: Tensor = _of_channels(0.229, 0.224, 0.225)

    def normalized(self, frames: Tensor) -> Tensor:
        """Frames (N, 3, H, W, T) with values in [0, 1], minus the mean and divided by the standard deviation.

        `frames` has a floating dtype; the result has its shape and dtype.
        """
        return (frames - self.normalize_mean.to(frames)) / self.normalize_std.to(frames)

    @staticmethod
    def _passed(
        x: Tensor, blocks: Iterable[torch.nn.Module], rates: list[float], monitor: SparsityEnforcer | None
    ) -> Tensor:
        """The output of the last of `blocks` for the input `x`.

        The event rate of each block is appended to `rates`, and its output to `monitor`.
        """
        for block in blocks:
            x = block(x)
            rates.append(utils.event_rate(x))
            if monitor is not None:
                monitor.append(x)
        return x

    def _result(self, heads: Sequence[Tensor], rates: list[float]) -> tuple[Any, Tensor]:
        raw = [self.yolo_raw(head) for head in heads]
        output: Any = raw
        if not self.training:
            output = torch.cat([self.yolo(x, anchors) for x, anchors in zip(raw, self.anchors, strict=True)], dim=1)
        return output, torch.tensor(rates).reshape(1, -1)

    def _exported(self, blocks: Sequence[Any], path: str | os.PathLike[str]) -> None:
        exchange.write(path, describe.network(blocks))

    def _trained_blocks(self) -> list[torch.nn.Module]:
        """All blocks whose synapses are trained, in the order of the network."""
        return [
            module
            for module in self.modules()
            if isinstance(getattr(module, "synapse", None), synapse.GenericLayer)
            and any(p.requires_grad for p in module.synapse.parameters())  # type: ignore[union-attr]
        ]

    def grad_flow(self, path: str | os.PathLike[str]) -> list[float]:
        """The gradient norm of each block's weight, divided by its number of elements; a plot is saved.

        Parameters
        ----------
        path : path
            The beginning of the plot's name: it is saved as ``<path>gradFlow.png``.
        """
        _extras.require("plot", "a plot of gradients")
        from matplotlib.figure import Figure

        norms: list[float] = [block.synapse.grad_norm for block in self._trained_blocks()]  # type: ignore[union-attr, misc]
        figure = Figure()
        axes = figure.add_subplot()
        axes.plot(norms, "o-")
        axes.set_yscale("log" if any(norms) else "linear")
        axes.set_xlabel("block")
        axes.set_ylabel("norm of the gradient per weight")
        picture = io.BytesIO()
        figure.savefig(picture, format="png")
        atomic.write_bytes(f"{os.fspath(path)}gradFlow.png", picture.getvalue())
        return norms

    def load_model(self, model_file: str | os.PathLike[str]) -> None:
        """Load the parameters that ``torch.save(net.state_dict(), model_file)`` wrote, here or in Lava-DL.

        Only tensors are read from the file. If its network was trained for another number of classes, the weights of
        the heads stay as they are, and a warning says so.

        Raises
        ------
        ValueError
            The file belongs to another network; the message names the missing and the surplus parameters.
        """
        saved = torch.load(Path(model_file), map_location="cpu", weights_only=True)
        own = self.state_dict()
        missing, unknown = sorted(own.keys() - saved.keys()), sorted(saved.keys() - own.keys())
        if missing or unknown:
            raise ValueError(
                f"{model_file} must hold the parameters of this network, got a file that lacks {missing or 'nothing'} "
                f"and has in addition {unknown or 'nothing'}"
            )
        other = [key for key in own if _is_in_head(key) and own[key].shape != saved[key].shape]
        if other:
            warnings.warn(
                f"{model_file} was trained for another number of classes or anchors: {', '.join(other)} are not loaded",
                stacklevel=2,
            )
        self.load_state_dict({**saved, **{key: own[key] for key in other}})


class SequentialDetector(Detector):
    """A detector whose blocks form a chain that ends in one head."""

    blocks: torch.nn.ModuleList
    heads: torch.nn.ModuleList

    @property
    def layers(self) -> list[Any]:
        """All blocks and the head, in order. `lavadl_ref.verify.trained` compares these with a file."""
        return [*self.blocks, Readout.of(self.heads)]

    def export_hdf5_head(self, handle: h5py.Group) -> None:
        """Write the head into an open group of a ``.net`` file.

        Raises
        ------
        RuntimeError
            The network has not run yet, so that the shape is not known.
        """
        _saturation.write(handle, Readout.of(self.heads))

    def export_hdf5(self, filename: str | os.PathLike[str]) -> None:
        """Write the network as a ``.net`` file.

        Raises
        ------
        RuntimeError
            The network has not run yet, so that shapes are not known.
        """
        self._exported(self.layers, filename)
