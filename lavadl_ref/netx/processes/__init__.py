"""Lava processes of this package: what Lava's own cannot do exactly.

Lava imports every file of this folder whenever it compiles a network, so it holds nothing
but processes and their models.
"""

from lavadl_ref.netx import lava_support

lava_support.enable()  # says what to type where Lava is missing

from lavadl_ref.netx.processes.neurons import (  # noqa: E402
    ExactADRF,
    ExactADRFIZ,
    ExactALIF,
    ExactDelta,
    ExactLIF,
    ExactNeuron,
    ExactRF,
    ExactRFIZ,
    ExactSigma,
    ExactSigmaDelta,
)
from lavadl_ref.netx.processes.process import AddBias, DelayLine, ExactSparse, GroupSum, Recorder  # noqa: E402
