"""Functions that the tutorials on steering share: the network, its data, and a picture of its answers."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np
import torch
from _common import Options, save
from torch import Tensor

from lavadl_ref import datasets, plot, slayer

DATA = "pictures and data.txt of a recorded drive"
MAX_RATE = 0.01  #: mean magnitude of the messages per neuron and step up to which a layer costs nothing


class PilotNet(torch.nn.Module):
    """An input layer, four convolutions, three dense layers, and a layer that is read out.

    Parameters
    ----------
    block : module
        The blocks of a family: ``slayer.block.cuba`` or ``slayer.block.sigma_delta``.
    input_neuron, neuron : mapping
        Parameters of the neurons of the input layer, and of all other layers.
    readout : Block
        The last layer, from 10 neurons to one value.
    small : bool
        True for an eighth of the channels.
    **options
        An option of every block: ``delay_shift``.
    """

    def __init__(
        self,
        block: ModuleType,
        input_neuron: Mapping[str, Any],
        neuron: Mapping[str, Any],
        readout: torch.nn.Module,
        small: bool,
        **options: Any,
    ) -> None:
        super().__init__()
        space = {**neuron, "norm": slayer.neuron.norm.MeanOnlyBatchNorm}
        dense = {**space, "dropout": slayer.neuron.Dropout(p=0.2)}
        synapse = {"weight_scale": 2, "weight_norm": True, **options}
        one, two, three = (3, 4, 8) if small else (24, 36, 64)
        self.blocks = torch.nn.ModuleList(
            [
                block.Input(input_neuron, **options),
                block.Conv(space, 3, one, 3, stride=2, **synapse),
                block.Conv(space, one, two, 3, stride=2, **synapse),
                block.Conv(space, two, three, 3, padding=(1, 0), stride=(2, 1), **synapse),
                block.Conv(space, three, three, 3, **synapse),
                block.Flatten(),
                block.Dense(dense, three * 40, 100, **synapse),
                block.Dense(dense, 100, 50, **synapse),
                block.Dense(dense, 50, 10, **synapse),
                readout,
            ]
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The value that is read out, (N, 1, T), and the cost of the messages that were sent, a scalar."""
        cost = x.new_zeros(())
        for block in self.blocks:
            x = block(x)
            if block is not self.blocks[-1] and not isinstance(block, slayer.block.cuba.Flatten):
                cost = cost + torch.nn.functional.relu(x.abs().mean() - MAX_RATE) ** 2
        return x, cost


def drives(asked: Options, train: bool, sequence: int = 16, count: int = 256) -> Any:
    """Sequences of frames with the angles of the steering wheel.

    They are the user's data, or made: `count` drawn roads for training, and a quarter of that number for testing.
    """
    if asked.data is not None:
        return datasets.PilotNet(asked.data, train, sequence)
    if asked.small:
        count //= 64
    return datasets.Road(train, count if train else count // 4, sequence, asked.seed)


def quantised(frames: Tensor) -> Tensor:
    """Frames rounded to multiples of 1/32, so that they are integers for the input layer, which rounds in this way."""
    return (frames * 32).round() / 32


def integers(frames: Tensor) -> Any:
    """Quantised frames as integers in the unit of an input layer, 1/64."""
    return (frames * 64).numpy().astype(int)


def angles(asked: Options, frames: Tensor, curves: Mapping[str, Any]) -> None:
    """Draw a frame (3, H, W), and curves of angles over the frames, by name."""
    drawn, axes = plot.figure(2, size=(5.5, 3.2))
    axes[0, 0].imshow(frames.permute(1, 2, 0).numpy())
    for (name, values), style in zip(curves.items(), ("k:", "-", "--"), strict=False):
        axes[0, 1].plot(np.asarray(values), style, label=name)
    axes[0, 1].set(xlabel="frame", ylabel="angle [rad]")
    axes[0, 1].legend()
    save(asked, drawn, "angles")
