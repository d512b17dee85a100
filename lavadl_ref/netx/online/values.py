"""Values between torch and Lava: parameters as the bits of float32, spikes and messages as integers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lavadl_ref.exchange import describe
from lavadl_ref.online import Learner
from lavadl_ref.slayer.block import plain, synaptic

#: The unit of a signal whose float32 values go as their bits: what enters an Input block, and what is read out.
BITS = 0
#: Integers per unit of graded messages that enter a network.
MESSAGES = 4096


def unit_of(layer: Any, incoming: int) -> int:
    """Integers per unit of what leaves a layer of a learner, `BITS` for values, from that of what enters it."""
    block = layer.block
    if isinstance(block, plain.Flatten):
        return incoming
    neuron = getattr(block, "neuron", None)
    if neuron is None or layer.reads_out:
        return BITS
    return int(neuron.s_scale) if neuron.graded_spike else 1


def unit_at_input(layer: Any, x: Tensor) -> int:
    """Integers per unit of what enters the first layer: `x` (any shape) decides between spikes and messages."""
    if isinstance(layer.block, synaptic.AbstractInput):
        return BITS
    return 1 if bool((x == x.round()).all()) else MESSAGES


def to_integers(x: Tensor, unit: int, name: str) -> NDArray[np.int32]:
    """A signal as int32 of its shape.

    Parameters
    ----------
    x : Tensor
        float32 of any shape.
    unit : int
        Integers per unit; `BITS` for the bits themselves.
    name : str
        For the error.

    Raises
    ------
    ValueError
        If a value is no multiple of 1 / unit, or beyond 32 bits.
    """
    values = np.ascontiguousarray(x.detach().numpy())
    if unit == BITS:
        return values.view(np.int32)
    scaled = values.astype(np.float64) * unit
    wrong = ~((scaled == np.rint(scaled)) & (np.abs(scaled) < 2**31))
    if wrong.any():
        raise ValueError(f"{name} must be multiples of 1/{unit} within 32 bits, got {values[wrong][0]}")
    return scaled.astype(np.int32)


def to_signal(x: NDArray[np.int32], unit: int) -> Tensor:
    """The float32 signal that `to_integers` gave as `x`, any shape, exactly."""
    if unit == BITS:
        return torch.from_numpy(np.ascontiguousarray(x, np.int32).view(np.float32))
    return torch.from_numpy((x / np.float64(unit)).astype(np.float32))


def bits(block: torch.nn.Module) -> NDArray[np.int32]:
    """All parameters of a block as the Var ``parameters`` of its process holds them.

    Parameters
    ----------
    block : slayer block
        With P numbers in its parameters.

    Returns
    -------
    ndarray
        (P,) int32, the bits of the float32 parameters in the order of ``block.parameters()``.

    Examples
    --------
    >>> block = torch.nn.Linear(1, 1, bias=False)
    >>> block.weight.data[:] = 1.0
    >>> hex(bits(block)[0])
    '0x3f800000'
    """
    flat = [parameter.detach().reshape(-1) for parameter in block.parameters()]
    return (torch.cat(flat) if flat else torch.zeros(0)).numpy().view(np.int32).copy()


def set_bits(block: torch.nn.Module, values: NDArray[np.int32]) -> None:
    """Set all parameters of a block to what `bits` returned.

    Parameters
    ----------
    block : slayer block
        With P numbers in its parameters.
    values : ndarray
        (P,) int32.

    Raises
    ------
    ValueError
        If their number or dtype is another.
    """
    parameters = list(block.parameters())
    size = sum(parameter.numel() for parameter in parameters)
    if values.shape != (size,) or values.dtype != np.int32:
        raise ValueError(f"values must be ({size},) int32, got {values.shape} {values.dtype}")
    flat = torch.from_numpy(values.copy().view(np.float32))
    with torch.no_grad():
        for parameter, part in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
            parameter.copy_(part.view_as(parameter))


def blocks_of(learner: Learner) -> list[Any]:
    """The blocks of a learner's network."""
    return [layer.block for layer in learner._layers]


def weights(learner: Learner) -> list[dict[str, NDArray[np.float32]]]:
    """Copies of the trained numbers of a learner's network.

    Parameters
    ----------
    learner : Learner

    Returns
    -------
    list of dict
        For each block its parameters by name, float32 ndarrays of their shapes.
    """
    return [
        {name: parameter.detach().numpy().copy() for name, parameter in block.named_parameters()}
        for block in blocks_of(learner)
    ]


def set_weights(learner: Learner, values: Sequence[dict[str, Any]]) -> None:
    """Set parameters of a learner's network; the next run begins with them.

    Parameters
    ----------
    learner : Learner
    values : sequence of dict
        For each block parameters by name, as `weights` returns them; names that are left out stay.

    Raises
    ------
    ValueError
        If there is not one dict for each block, or a name or a shape is not of the block.  Nothing is set then.
    """
    blocks = blocks_of(learner)
    if len(values) != len(blocks):
        raise ValueError(f"values must be one dict for each of {len(blocks)} blocks, got {len(values)}")
    pairs = []
    for number, (block, given) in enumerate(zip(blocks, values, strict=True)):
        parameters = dict(block.named_parameters())
        for name, value in given.items():
            new = torch.as_tensor(np.asarray(value, np.float32))
            if name not in parameters or parameters[name].shape != new.shape:
                known = ", ".join(f"{key} {tuple(p.shape)}" for key, p in parameters.items()) or "none"
                raise ValueError(
                    f"values of block {number} must be of its parameters, {known}, got {name} {tuple(new.shape)}"
                )
            pairs.append((parameters[name], new))
    with torch.no_grad():
        for parameter, new in pairs:
            parameter.copy_(new)


def integers(learner: Learner) -> list[dict[str, NDArray[np.int64]]]:
    """The integers by which a learner's network computes, as a ``.net`` file holds them.

    Parameters
    ----------
    learner : Learner
        That has seen an input.

    Returns
    -------
    list of dict
        For each block by name ``weight``, ``bias`` and what else its layer has (`exchange.Layer`), int64 ndarrays of
        the shapes that the file has.

    Raises
    ------
    RuntimeError
        If no input has passed yet, so that shapes are not known.
    """
    found = []
    for block in blocks_of(learner):
        layer: describe.Layer = block.describe()
        fields = {name: getattr(layer, name) for name in layer.__dataclass_fields__}
        found.append({name: value for name, value in fields.items() if isinstance(value, np.ndarray)})
    return found
