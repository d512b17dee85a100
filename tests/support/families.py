"""The families of neurons, one row each: what tests have to know of a family beside the record of its kernel.

Whether a family is complex, adaptive or fires at equality is said by the record alone.  The unrolled twin of a family
is `tests.support.oracle.unrolled`'s function ``<name>_step``.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from lavadl_kernels.neurons import FAMILIES as RECORDS

from tests.support import oracle as naive


@dataclass(frozen=True)
class Family:
    """A row, and what follows from it."""

    type: str  #: its name in a ``.net`` file
    name: str  #: of its modules in `lavadl_ref.slayer` and `lavadl_kernels.neurons`
    naive: Callable  #: inputs, decays, threshold(, step), states by name -> lists traces and spike; carried states
    states: tuple[str, ...]  #: the oracle's names of them
    stock: str | None  #: Lava's process with the same integers; None where it has none
    own: str  #: the process of this package
    adaptation: str = ""  #: what adapts, in the name of its function in `lavadl_ref.slayer.neuron.dynamics`
    runs_in_lava_dl: bool = True  #: whether lava-dl's neuron has a forward pass that does not raise

    @property
    def record(self) -> Any:
        """The record of the family in the kernels."""
        return RECORDS[self.type]

    @property
    def kernel(self) -> ModuleType:
        return importlib.import_module(f"lavadl_kernels.neurons.{self.name}")

    @property
    def complex(self) -> bool:
        return self.record.complex

    @property
    def adaptive(self) -> bool:
        return self.record.adaptive

    @property
    def at_equality(self) -> bool:
        """Tell whether a neuron spikes at its threshold."""
        return self.record.spikes_at_equality or self.record.by_phase

    @property
    def by_phase(self) -> bool:
        """Tell whether a spike also needs a phase: the rate of such a neuron does not follow from its input."""
        return self.record.by_phase

    @property
    def size(self) -> int:
        """The trace that a graded spike carries."""
        return self.record.states.index(self.record.carried)

    @property
    def biased(self) -> bool:
        """Tell whether the last row of the decays is the voltage's bias."""
        return self.record.bias_at == "voltage"

    @property
    def parts(self) -> int:
        """Inputs of a step."""
        return len(self.record.inputs)

    @property
    def rows(self) -> int:
        """Rows of the decays, the bias included."""
        return len(self.record.decays) + self.biased

    def pick(self, leaky: Mapping, rotating: Mapping, adapting: Mapping) -> dict:
        """The parameters of such a neuron, of those of a leaky integrator, a resonator and an adaptation."""
        return {**(rotating if self.complex else leaky), **(adapting if self.adaptive else {})}


def _cuba(a, current_decay, voltage_decay, bias, threshold, **options):
    us, ws, vs, spikes = naive.cuba(a, current_decay, voltage_decay, threshold, bias, **options)
    return (us, ws, spikes), (us[-1], vs[-1])


_LEAKY, _COMPLEX, _ADAPTATION = ("u", "v"), ("re", "im"), ("th", "r")
_CHANGES = ("sigma", "act", "res", "err")
_ADAPTIVE = (*_COMPLEX, *_ADAPTATION)
_ROWS = (
    Family("CUBA", "cuba", _cuba, _LEAKY, "LIF", "ExactLIF"),
    Family("ALIF", "alif", naive.alif, (*_LEAKY, *_ADAPTATION), "ATRLIF", "ExactALIF", "threshold"),
    Family("RF_PHASE", "rf", naive.rf, _COMPLEX, "RF", "ExactRF"),
    Family("RF_IZHIKEVICH", "rf_iz", naive.rf_iz, _COMPLEX, "RF_IZ", "ExactRFIZ"),
    Family("ADRF_PHASE", "adrf", naive.adrf, _ADAPTIVE, None, "ExactADRF", "phase"),
    Family("ADRF_IZHIKEVICH", "adrf_iz", naive.adrf_iz, _ADAPTIVE, None, "ExactADRFIZ", "resonator", False),
    Family("SDNN", "sigma_delta", naive.sigma_delta, _CHANGES, "SigmaDelta", "ExactSigmaDelta"),
)
#: Every family by the name of its modules.
FAMILIES = {family.name: family for family in _ROWS}
BY_TYPE = {family.type: family for family in FAMILIES.values()}
BY_ADAPTATION = {family.adaptation: family for family in FAMILIES.values() if family.adaptation}
#: Those whose messages are spikes.
SPIKING = {name: family for name, family in FAMILIES.items() if family.type != "SDNN"}

NAMES = tuple(FAMILIES)
COMPLEX = tuple(name for name, family in FAMILIES.items() if family.complex)
ADAPTIVE = tuple(name for name, family in FAMILIES.items() if family.adaptive)
RATED = tuple(name for name, family in FAMILIES.items() if not family.by_phase)  #: that a rate stands for
