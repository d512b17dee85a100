"""Blocks of both packages, made from one list."""

from __future__ import annotations

import torch

from tests.support import matrix
from tests.support.families import COMPLEX, SPIKING
from tests.support.matrix import BLOCKS

WINDOWS = {"Conv", "ConvT", "Pool", "Unpool"}
PLAIN = {"Flatten", "Average", "TimeDecimation"}
FEEDBACK = {"Recurrent", "KWTA"}
#: Blocks of lava-dl that run: its resonators have no working Input, Affine, Recurrent and KWTA, one of them no forward.
RUNS = {
    **{name: {"Dense"} | WINDOWS | PLAIN if SPIKING[name].runs_in_lava_dl else PLAIN for name in COMPLEX},
    "cuba": {"Input", "Affine", "Dense"} | WINDOWS | FEEDBACK | PLAIN,
    "alif": {"Input", "Dense"} | WINDOWS | FEEDBACK | PLAIN,
    "sigma_delta": {"Input", "Dense", "Output", "Flatten", "Average"} | WINDOWS,
}
CASES = matrix.cases(states=False) + matrix.cases(neurons=False)


def takes(case):
    """Tell whether lava-dl takes the form of input: nothing flat in Flatten, no frames in feedback or readouts."""
    if case.block == "Flatten":
        return case.form == "spatial"
    return case.form == "dense" or case.block not in {*FEEDBACK, "Affine", "Output"}


RUNNING = [case for case in CASES if case.block in RUNS[case.family] and takes(case)]


def build(case, root, seed=1, **changes):
    """The block of either package; changes to the neuron's arguments, or a norm by name."""
    torch.manual_seed(seed)
    module, arguments = getattr(root.block, case.family), BLOCKS[case.block].inputs[case.form][0]
    options = {name: changes.pop(name) for name in ("delay", "weight_norm", "mask") if name in changes}
    if not BLOCKS[case.block].neurons:
        return getattr(module, case.block)(*arguments)
    params = {**matrix.FAMILIES[case.family], **changes}
    if isinstance(params.get("norm"), str):
        params["norm"] = getattr(root.neuron.norm, params["norm"])
    return getattr(module, case.block)(params, *arguments, **options)


@torch.no_grad()
def ran(case, block, batches=2):
    """`block` after a few batches, so that its norms and delays have values; then in evaluation."""
    for seed in range(batches):
        block(case.input(10 + seed))
    if getattr(block, "delay", None) is not None:
        block.delay.delay.data *= 6
    return block.eval()
