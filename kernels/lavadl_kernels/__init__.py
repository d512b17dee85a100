"""Numba kernels of Loihi neuron dynamics: NumPy and Numba only.

Every neuron family is one module with the same parts in the same order: the recurrence in
its docstring, `step` on scalars, `forward` and `backward` on time-major arrays.
"""

from lavadl_kernels._jit import get_num_threads, set_num_threads

__all__ = ["get_num_threads", "set_num_threads"]
