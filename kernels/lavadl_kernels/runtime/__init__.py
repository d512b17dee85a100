"""Compilation, caching, threads, memory and vector instructions of kernels."""
