"""Checks of kernels against their oracles, for random cases with the compiler and small ones without it."""
