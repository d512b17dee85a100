"""Neurons that feed back to each other, s[t] = f(z[t] + R s[t-1]): in compiled code, and as two plain loops.

`slayer.block`'s ``Recurrent`` does this and more; these functions take the parts one by one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from lavadl_ref.slayer.neuron.spiking import Neuron, Signal


def custom_recurrent(z: Signal, neuron: Neuron, recurrent_synapse: Any) -> Tensor:
    """Spikes of neurons that hear each other's last spikes through a synapse.

    Parameters
    ----------
    z : Tensor or (Tensor, Tensor)
        float32 (N, O, T) or (N, O, 1, 1, T), synaptic input in units of 1; real and imaginary part for
        neurons of complex input.
    neuron : slayer.neuron
        Any that spikes. If persistent it starts from the states of its last call, otherwise at rest; no
        spike precedes the first step.
    recurrent_synapse : synapse.Dense or synapse.complex.Dense
        R, O to O.

    Returns
    -------
    Tensor
        Spikes of the shape of `z`; a dropout of the neuron acts on what is returned, not on what is fed back.
        Gradients flow back through feedback and states.

    Raises
    ------
    ValueError
        The weights of the synapse do not fit `z`.
    """
    return CustomRecurrent.apply(z, neuron, recurrent_synapse.hooked_weight)


class CustomRecurrent:
    """`custom_recurrent` with the weights themselves, called as ``CustomRecurrent.apply``."""

    @staticmethod
    def apply(z: Signal, neuron: Neuron, recurrent_mat: Any) -> Tensor:
        """Spikes of neurons that hear each other's last spikes through a matrix.

        Parameters
        ----------
        z, neuron
            As those of `custom_recurrent`.
        recurrent_mat : Tensor or (Tensor, Tensor)
            R, (O, O), used as it is, without a quantiser; real and imaginary part for neurons of complex input.

        Returns
        -------
        Tensor
            As of `custom_recurrent`.

        Raises
        ------
        ValueError
            `recurrent_mat` does not fit `z`.
        """
        return neuron.dropped(neuron.recurrent(z, recurrent_mat))


def custom_recurrent_ground_truth_1(z: Signal, neuron: Neuron, recurrent_synapse: Any) -> Tensor:
    """As `custom_recurrent`, in a loop over time that runs the synapse and the neuron.

    Each step runs the neuron again over all steps so far, which autograd can follow through the states; time
    and memory grow with the square of T.

    Raises
    ------
    ValueError
        In training, if the neuron has a norm or dropout: they look at a whole run, not at its beginning.
    """
    return _unrolled(z, neuron, recurrent_synapse)


def custom_recurrent_ground_truth_2(z: Signal, neuron: Neuron, recurrent_synapse: Any) -> Tensor:
    """As `custom_recurrent_ground_truth_1`, with matrix products in place of the synapse."""
    matrices = [weight.flatten(1) for weight in _as_tuple(recurrent_synapse.hooked_weight)]

    def feedback(spikes: Tensor) -> Any:
        sums = tuple((matrix @ spikes.flatten(1, -2)).reshape(spikes.shape) for matrix in matrices)
        return sums if neuron.complex else sums[0]

    return _unrolled(z, neuron, feedback)


def _unrolled(z: Signal, neuron: Neuron, feedback: Callable[[Tensor], Any]) -> Tensor:
    if neuron.training and (neuron.drop is not None or any(norm is not None for norm in neuron._norms())):
        raise ValueError("a ground truth needs a neuron without norm and dropout, or one in evaluation mode")
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
