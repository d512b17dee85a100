"""The arithmetic of the kernels over all states of their domains."""
