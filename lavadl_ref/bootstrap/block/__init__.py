"""Blocks that run as spiking neurons or as rates, one module per neuron family."""

from lavadl_ref.bootstrap.block import adrf, adrf_iz, alif, base, cuba, rf, rf_iz, sigma_delta

__all__ = ["adrf", "adrf_iz", "alif", "base", "cuba", "rf", "rf_iz", "sigma_delta"]
