"""Numba kernels of Loihi neuron dynamics: NumPy and Numba only.

This module is the facade.  Each family of neurons is a module of it; the family's definition is its `step`, scalars in
and scalars out, which outside compiled code runs on Python's unbounded integers::

    >>> from lavadl_kernels import cuba
    >>> u, v, spike, voltage = cuba.step(0, 0, 8192, 0, 1024, 128, 6400, 0, loihi=True)
    >>> u, v, spike, voltage
    (8192, 0, True, 8192)

`FAMILIES` holds the record of each family, `Family`, by its name in a ``.net`` file; `fixed_point` has widths and
rounding; `get_num_threads` and `set_num_threads` say on how many threads kernels run.

Below, `neurons` holds one file a family, `engine` runs any family over time, `ops` has what lies between two layers
(synapses, delays, layouts), `runtime` compiles and runs kernels.
"""

from lavadl_kernels import fixed_point, neurons
from lavadl_kernels.neurons import *  # noqa: F403
from lavadl_kernels.runtime.jit import get_num_threads, set_num_threads

__all__ = ["fixed_point", "get_num_threads", "set_num_threads"]
__all__ += neurons.__all__
