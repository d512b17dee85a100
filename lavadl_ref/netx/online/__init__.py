"""Learning on Lava: a network in memory as Lava processes that learn while they run.

`run` runs inference and learning of a `lavadl_ref.online.Learner` with the rule ``"local"`` on Lava's runtime or in
this process, and leaves the learner as `Learner.learn` would have left it for the same samples, in the same bits:
weights, the state of the optimiser, that of the neurons, traces.  Afterwards the network is used, exported, verified or
trained on like any other, and the next run goes on from there.

**On Lava.**  `run` lets a network learn while it runs as processes of Lava, on Lava's runtime or, with
``in_process=True``, in this process.  Each block is a `LearningBlock`: a process with spikes and the label of a step as
its input, int32, that holds the float32 parameters of its block, the state of the optimiser for these, the traces, and
the block's fixed random matrix; it hands its spikes on in the same step.  Nothing else passes between blocks, which is
why the rule must be ``"local"``: no gradient and no error has to travel.  Spikes are 1, graded spikes and sigma-delta
messages whole numbers of 1/4096 (1/s_scale of the neuron); the values that enter an Input block or are read out of the
last one go as the bits of their float32.  All of it is exact in both directions, and what is not representable is an
error.  With ``reset``, N samples of T steps follow one another, each from rest and with an update at its end; without,
they are one signal that goes on from where the learner's last has ended.  Dropout in training is refused, since each
process would draw on its own.

Between runs, `weights` and `set_weights` read and set the float32 parameters, and `integers` tells what the layers
compute with.  The Var ``parameters`` of a process does the same within a run, for networks of Lava processes that are
put together by hand.  After an error, a timeout or a signal the learner is as it was before, and no process, file or
shared memory is left, as for `lavadl_ref.netx.runtime`.

What of it a Loihi 2 could hold is in ``docs/online.md``.
"""

from lavadl_ref.netx import lava_support

lava_support.enable()  # raises an error with the command to type where Lava is missing

from lavadl_ref.netx.online.job import Job, Records, run, run_all  # noqa: E402
from lavadl_ref.netx.online.process import LearningBlock  # noqa: E402
from lavadl_ref.netx.online.values import bits, integers, set_bits, set_weights, weights  # noqa: E402

__all__ = [
    "Job", "LearningBlock", "Records", "bits", "integers", "run", "run_all", "set_bits", "set_weights", "weights"
]  # fmt: skip
