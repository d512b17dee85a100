"""The neurons that Lava-DL's netx loads: one row for each family, which is all that the audit knows of a family.

The widths come from Lava's process models: LIF keeps its bias as a mantissa of 16 bits; SigmaDelta shifts thresholds
and biases left by 12 bits into its states of 32 bits; all others shift thresholds by 6 bits into 32.
"""

from __future__ import annotations

from dataclasses import dataclass

from lavadl_kernels import neurons

from lavadl_ref.exchange import Neuron


@dataclass(frozen=True)
class LavaNeuron:
    """Widths of a Lava process of neurons, as far as they differ between processes."""

    bias_bits: int = 32  #: of the bias of a ``.net`` file
    threshold_shift: int = 6  #: bits by which the threshold of a ``.net`` file is shifted left into a state of 32 bits

    @property
    def bias_limit(self) -> int:
        """The magnitude that no bias reaches: biases are within [-bias_limit, bias_limit)."""
        return 1 << (self.bias_bits - 1)


#: Families that netx loads as they are.
LOADED = {
    "CUBA": LavaNeuron(bias_bits=16),
    "RF_PHASE": LavaNeuron(),
    "RF_IZHIKEVICH": LavaNeuron(),
    "SDNN": LavaNeuron(bias_bits=32 - 12, threshold_shift=12),
}


def lava_neuron(neuron: Neuron | None) -> LavaNeuron:
    """The widths of the process for `neuron`: those that most processes share where its family has no row."""
    return LavaNeuron() if neuron is None else LOADED.get(neuron.type, LavaNeuron())


def loaded_as(neuron: Neuron) -> str | None:
    """The family as which netx loads `neuron`: its own, or the one without adaptation; None where it knows neither.

    netx tells resonators by a part of their family's name, and so takes one with an adaptive threshold for one without.
    """
    if neuron.type in LOADED:
        return neuron.type
    record = neurons.family(neuron.type)
    plain = record.without_adaptation if record.complex else None
    return plain.name if plain is not None and plain.name in LOADED else None
