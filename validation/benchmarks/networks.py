"""Training steps and inference of networks next to lava-dl's."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from functools import partial
from types import ModuleType

import lavadl_ref.slayer
from tests.support import upstream
from validation.benchmarks import workloads
from validation.benchmarks.measure import compare
from validation.benchmarks.results import Part, Row, Settings, ratio_columns, ratio_row
from validation.benchmarks.workloads import Workload

Make = Callable[[ModuleType, bool], Workload]

#: Whether inference is measured, too: of all samples, and of one.
WORKLOADS: dict[Make, bool] = {
    workloads.nmnist: True,
    workloads.nmnist_sparse: True,
    workloads.oxford: True,
    workloads.pilotnet: True,
    workloads.pilotnet_cuba: True,
    workloads.bootstrap_snn: True,
    workloads.bootstrap_ann: True,
    workloads.recurrent: False,
    workloads.kwta: False,
    workloads.delay: False,
}


def rows(settings: Settings) -> Iterator[Row]:
    """All networks, one after the other; ImportError where lava-dl is not installed."""
    theirs = upstream.load()
    warnings.filterwarnings("ignore", category=FutureWarning)  # lava-dl's use of torch's old weight norm
    for make, inference in WORKLOADS.items():
        own, other = make(lavadl_ref.slayer, settings.quick), make(theirs, settings.quick)
        batch = own.x.shape[0]
        yield ratio_row(compare(f"{own.name}: training step, batch {batch}", own.train, other.train, settings.rounds))
        for samples in sorted({batch, 1}, reverse=True) if inference else ():
            name = f"{own.name}: inference, batch {samples}"
            found = compare(name, partial(own.infer, samples), partial(other.infer, samples), settings.rounds)
            yield ratio_row(found)


PART = Part(
    "networks",
    "Networks",
    "A training step consists of forward, loss, backward and Adam's step (torch's fused Adam on both sides). "
    "Inputs are random: spikes of the given density, a moving picture for PilotNet, a still one for bootstrap. "
    "The networks are those of Lava-DL's tutorials. lava-dl's recurrent block omits the gradient through the "
    "membrane; this package's block computes it. KWTA is measured without the shift, because lava-dl's cannot "
    "run with it.",
    ratio_columns("lava-dl"),
    rows,
)
