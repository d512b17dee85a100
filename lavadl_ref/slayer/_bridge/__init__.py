"""The bridge between torch and the kernels: autograd functions, memory layout, threads."""
