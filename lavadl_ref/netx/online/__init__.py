"""Learning on Lava: a network in memory as Lava processes that learn while they run.

`run` runs inference and learning of a `lavadl_ref.online.Learner` with the rule ``"local"`` on Lava's runtime or in
this process, and leaves the learner as `Learner.learn` would have left it for the same samples, in the same bits:
weights, the state of the optimiser, that of the neurons, traces.  Afterwards the network is used, exported, verified or
trained on like any other, and the next run goes on from there.

DOCUMENTATION
"""

from lavadl_ref.netx import lava_support

lava_support.enable()  # raises an error with the command to type where Lava is missing

from lavadl_ref.netx.online.job import Job, Records, run, run_all  # noqa: E402
from lavadl_ref.netx.online.process import LearningBlock  # noqa: E402
from lavadl_ref.netx.online.values import bits, integers, set_bits, set_weights, weights  # noqa: E402

__all__ = [
    "Job", "LearningBlock", "Records", "bits", "integers", "run", "run_all", "set_bits", "set_weights", "weights"
]  # fmt: skip
