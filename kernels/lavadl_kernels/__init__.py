"""Numba kernels of Loihi neuron dynamics: NumPy and Numba only.

This module is the public interface. Each family of neurons is one of its modules. The definition of a family is its
function `step`, which takes and returns scalars; outside compiled code it runs on Python's unbounded integers::

    >>> from lavadl_kernels import cuba
    >>> u, v, spike, voltage = cuba.step(0, 0, 8192, 0, 1024, 128, 6400, 0, loihi=True)
    >>> u, v, spike, voltage
    (8192, 0, True, 8192)

`FAMILIES` contains the record of each family, `Family`, under its name in a ``.net`` file; `fixed_point` defines widths
and rounding; `get_num_threads` and `set_num_threads` read and set the number of threads on which kernels run.

Among the subpackages, `neurons` has one file per family, `engine` runs any family over time, `ops` has the operations
between two layers (synapses, delays, layouts), and `runtime` compiles and runs kernels.
"""

from lavadl_kernels import fixed_point, neurons
from lavadl_kernels.neurons import *  # noqa: F403
from lavadl_kernels.runtime.jit import get_num_threads, set_num_threads

__all__ = ["fixed_point", "get_num_threads", "set_num_threads"]
__all__ += neurons.__all__
