"""Dynamics of neurons as functions of tensors: states over time, and what a spike leaves of a state.

All values are in units of 1: inputs (N, C, ..., T), (C, T) or (T,) of a floating dtype, states (N, C, ...) or
of one element, which is then that of all neurons.  Decays are 0 to 4096, sine and cosine -4096 to 4096, truncated
to integers, one element or one per channel.  ``w_scale`` is the number of integers per unit of a state, 4096 for
the neurons of `lavadl_ref.slayer.neuron`.  Gradients flow to inputs and decays, never to states: to carry a state
over is up to the caller, with the ``persistent_*`` functions.
"""

from lavadl_ref.slayer.neuron.dynamics import adaptive_phase_th as adaptive_phase_th
from lavadl_ref.slayer.neuron.dynamics import adaptive_resonator as adaptive_resonator
from lavadl_ref.slayer.neuron.dynamics import adaptive_threshold as adaptive_threshold
from lavadl_ref.slayer.neuron.dynamics import leaky_integrator as leaky_integrator
from lavadl_ref.slayer.neuron.dynamics import resonator as resonator

__all__ = ["adaptive_phase_th", "adaptive_resonator", "adaptive_threshold", "leaky_integrator", "resonator"]
