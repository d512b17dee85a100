"""Compilation, cache on disk, threads, buffer pool and SIMD operations of kernels."""
