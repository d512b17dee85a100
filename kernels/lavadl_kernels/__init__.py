"""Numba kernels of Loihi neuron dynamics: NumPy and Numba only.

`neurons` holds one file a neuron family, `engine` runs any family over time, `ops` has what lies between two
layers (synapses, delays, layouts), `runtime` compiles and runs kernels.  `fixed_point` has widths and rounding.
"""

from lavadl_kernels.runtime.jit import get_num_threads, set_num_threads

__all__ = ["get_num_threads", "set_num_threads"]
