"""Recurrent neurons, s[t] = f(z[t] + R s[t-1]): in a compiled kernel, and as two plain loops over time.

The ``Recurrent`` blocks of `slayer.block` contain this; the functions here take neuron and synapse separately.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

Signal = Tensor | tuple[Tensor, Tensor]


class _Neuron(Protocol):
    """The parts of a spiking neuron of `slayer.neuron` that a recurrent connection needs."""

    training: bool
    drop: Any
    _states: Any

    @property
    def complex(self) -> bool: ...

    def __call__(self, input: Any) -> Tensor: ...

    def recurrent(self, z: Any, weights: Any) -> Tensor: ...

    def dropped(self, spikes: Tensor) -> Tensor: ...

    def _norms(self) -> Any: ...


def custom_recurrent(z: Signal, neuron: _Neuron, recurrent_synapse: Any) -> Tensor:
    """Spikes of recurrent neurons, which receive each other's spikes of the last step through a synapse.

    Parameters
    ----------
    z : Tensor or (Tensor, Tensor)
        Synaptic input in units of 1, float32 (N, O, T) or (N, O, 1, 1, T). A pair holds the real and the imaginary
        part, for neurons with a complex input.
    neuron : slayer.neuron
        Any spiking neuron. A persistent one starts from the states of its last call, any other one from rest. No
        spike comes before the first step.
    recurrent_synapse : synapse.Dense or synapse.complex.Dense
        The synapse with the weights R, from O neurons to O neurons.

    Returns
    -------
    Tensor
        Spikes float32 of the shape of `z`. A dropout of the neuron acts on the spikes that are returned, not on those
        that are fed back. Gradients flow through feedback and states.

    Raises
    ------
    ValueError
        The weights of the synapse do not fit `z`.
    """
    return CustomRecurrent.apply(z, neuron, recurrent_synapse.hooked_weight)


class CustomRecurrent:
    """`custom_recurrent` with the weights themselves, called as ``CustomRecurrent.apply``."""

    @staticmethod
    def apply(z: Signal, neuron: _Neuron, recurrent_mat: Any) -> Tensor:
        """Spikes of recurrent neurons, which receive each other's spikes of the last step through a matrix.

        Parameters
        ----------
        z : Tensor or (Tensor, Tensor)
            float32 (N, O, T) or (N, O, 1, 1, T), as for `custom_recurrent`.
        neuron : slayer.neuron
            As for `custom_recurrent`.
        recurrent_mat : Tensor or (Tensor, Tensor)
            R, float32 (O, O), which is not quantised. A pair holds the real and the imaginary part, for neurons with
            a complex input.

        Returns
        -------
        Tensor
            As for `custom_recurrent`.

        Raises
        ------
        ValueError
            `recurrent_mat` does not fit `z`.
        """
        return neuron.dropped(neuron.recurrent(z, recurrent_mat))


def custom_recurrent_ground_truth_1(z: Signal, neuron: _Neuron, recurrent_synapse: Any) -> Tensor:
    """The result of `custom_recurrent`, computed in a plain loop over time with the synapse itself.

    `z` (N, O, T) and the other arguments are those of `custom_recurrent`. Each step runs the neuron again over all
    steps so far, so that autograd differentiates through the states. Time and memory grow with the square of T.

    Raises
    ------
    ValueError
        In training, if the neuron has a norm or dropout. They depend on a whole run, and the loop runs parts of it.
    """
    return _unrolled(z, neuron, recurrent_synapse)


def custom_recurrent_ground_truth_2(z: Signal, neuron: _Neuron, recurrent_synapse: Any) -> Tensor:
    """The result of `custom_recurrent_ground_truth_1`, with matrix products in place of the synapse.

    `z` (N, O, T) and the other arguments are those of `custom_recurrent`.
    """
    matrices = [weight.flatten(1) for weight in _as_tuple(recurrent_synapse.hooked_weight)]

    def feedback(spikes: Tensor) -> Any:
        sums = tuple((matrix @ spikes.flatten(1, -2)).reshape(spikes.shape) for matrix in matrices)
        return sums if neuron.complex else sums[0]

    return _unrolled(z, neuron, feedback)


def _unrolled(z: Signal, neuron: _Neuron, feedback: Callable[[Tensor], Any]) -> Tensor:
    if neuron.training and (neuron.drop is not None or any(norm is not None for norm in neuron._norms())):
        raise ValueError(
            "neuron of a ground truth must have neither norm nor dropout, or be in evaluation mode, "
            "got one with them in training mode"
        )
    parts = _as_tuple(z)
    start = {name: getattr(neuron, name) for name in neuron._states}
    spikes: list[Tensor] = []
    for t in range(parts[0].shape[-1]):
        so_far = [part[..., : t + 1] for part in parts]
        if spikes:
            received = feedback(torch.stack(spikes, dim=-1))
            so_far = [x + F.pad(y, (1, 0)) for x, y in zip(so_far, _as_tuple(received), strict=True)]
        for name, state in start.items():
            setattr(neuron, name, state)
        spikes.append(neuron(tuple(so_far) if neuron.complex else so_far[0])[..., -1])
    return torch.stack(spikes, dim=-1)


def _as_tuple(value: Any) -> tuple[Tensor, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)
