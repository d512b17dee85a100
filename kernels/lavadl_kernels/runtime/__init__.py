"""The runtime of the kernels: compilation, the cache on disk, threads, the buffer pool and SIMD operations."""
