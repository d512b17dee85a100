"""The families that `engine.train` runs, beside what they are tested against.

The unrolled twin of a family is `tests.support.oracle.unrolled`'s function ``<name>_step``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

from lavadl_kernels.neurons import adrf, adrf_iz, alif, cuba, rf, rf_iz

from tests.support import oracle as naive


@dataclass(frozen=True)
class Family:
    """The facts about a family that its kernel module does not tell."""

    kernel: ModuleType
    naive: Callable  #: inputs, decays, threshold(, step), states by name -> lists traces and spike; carried states
    states: tuple[str, ...]  #: the oracle's names of them
    size: int  #: the trace that a graded spike carries
    biased: bool = False  #: whether the last row of the decays is the voltage's bias
    at_equality: bool = True  #: whether a neuron spikes at its threshold

    @property
    def name(self):
        return self.kernel.__name__.rpartition(".")[2]

    @property
    def complex(self):
        return "sin_decay" in self.kernel.FAMILY.decays

    @property
    def adaptive(self):
        return "threshold" in self.kernel.FAMILY.states

    @property
    def parts(self):
        """Inputs of a step."""
        return 2 if self.complex else 1

    @property
    def rows(self):
        """Rows of the decays, the bias included."""
        return len(self.kernel.FAMILY.decays) + self.biased


def _cuba(a, current_decay, voltage_decay, bias, threshold, **options):
    us, ws, vs, spikes = naive.cuba(a, current_decay, voltage_decay, threshold, bias, **options)
    return (us, ws, spikes), (us[-1], vs[-1])


ADAPTATION = ("th", "r")
FAMILIES = {
    family.name: family
    for family in (
        Family(cuba, _cuba, ("u", "v"), 1, biased=True, at_equality=False),
        Family(alif, naive.alif, ("u", "v", *ADAPTATION), 1),
        Family(rf, naive.rf, ("re", "im"), 0),
        Family(rf_iz, naive.rf_iz, ("re", "im"), 1),
        Family(adrf, naive.adrf, ("re", "im", *ADAPTATION), 0),
        Family(adrf_iz, naive.adrf_iz, ("re", "im", *ADAPTATION), 1),
    )
}
