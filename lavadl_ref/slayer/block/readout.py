"""The output block of a sigma-delta network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from lavadl_ref.slayer import dendrite
from lavadl_ref.slayer.block._block import Output as Result
from lavadl_ref.slayer.block._block import SynapticBlock
from lavadl_ref.slayer.block.synaptic import dense_synapse
from lavadl_ref.slayer.synapse.layer import Size
from lavadl_ref.slayer.utils import _validate


class AbstractOutput(SynapticBlock):
    """Sum weighted messages over time, without bias or activation, and return the sums instead of messages.

    Parameters
    ----------
    neuron_params : mapping
        Arguments of the neuron, of which only the scale and the persistence of the state are used.
    in_neurons, out_neurons, weight_scale, weight_norm
        As in `synapse.Dense`.
    count_log : bool
        If True, also return an event rate.
    """

    synapse_name = "Dense"

    def __init__(
        self,
        neuron_params: Mapping[str, Any],
        in_neurons: Size,
        out_neurons: int,
        weight_scale: float = 1,
        weight_norm: bool = False,
        count_log: bool = False,
    ) -> None:
        synapse = dense_synapse(in_neurons, out_neurons, weight_scale, weight_norm, None)
        given = _validate.mapping(neuron_params, "neuron_params")
        if given is None:
            raise TypeError("neuron_params of an Output block must be a dictionary of arguments, got None")
        super().__init__({**given, "norm": None, "dropout": None}, synapse, False, False, count_log)

    def _complete(self) -> None:
        super()._complete()
        self.sigma = dendrite.Sigma(self.neuron.persistent_state)

    def reset(self) -> None:
        super().reset()
        self.sigma.reset()

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any, **kwargs: Any) -> None:
        # Lava-DL keeps, and saves, a norm that it does not use
        for key in [key for key in state_dict if key.startswith(prefix + "neuron.norm.")]:
            del state_dict[key]
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def forward(self, x: Tensor) -> Result:
        """Sums (N, out, T) of the messages `x`."""
        z = self.sigma(self.synapse(x))
        self.shape = z.shape[1:-1]
        return self._counted(z)
