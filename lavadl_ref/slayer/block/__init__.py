"""Blocks: modules that combine synapse, neuron and axon, and that can export themselves."""

from lavadl_ref.slayer.block import adrf, adrf_iz, alif, base, cuba, export, rf, rf_iz, sigma_delta

__all__ = ["adrf", "adrf_iz", "alif", "base", "cuba", "export", "rf", "rf_iz", "sigma_delta"]
