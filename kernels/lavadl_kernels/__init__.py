"""Numba kernels of Loihi neuron dynamics: NumPy and Numba only."""
