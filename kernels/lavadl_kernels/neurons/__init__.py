"""Neuron families: the update of one time step, its adjoint, and the record of each family, `FAMILIES`."""

from lavadl_kernels.neurons import adrf, adrf_iz, alif, cuba, rf, rf_iz, sigma_delta
from lavadl_kernels.neurons._family import FAMILIES, Family, family, register

__all__ = [
    "FAMILIES",
    "Family",
    "adrf",
    "adrf_iz",
    "alif",
    "cuba",
    "family",
    "register",
    "rf",
    "rf_iz",
    "sigma_delta",
]
