"""Blocks of every family against lava-dl: equal outputs, and its checkpoints load.

Where lava-dl's block runs: its resonators have no working Input, Affine, Recurrent and KWTA, one of them
no forward pass.  The tests of the blocks say what is right there.
"""

import pytest
import torch

from lavadl_ref import slayer as ours
from tests.support import matrix, upstream
from tests.support.families import SPIKING
from tests.support.matrix import BLOCKS, Case
from validation.conformance._blocks import CASES, FEEDBACK, RUNNING, build, ran

pytestmark = [
    pytest.mark.upstream,
    # what lava-dl itself uses: a deprecated weight norm, and logarithms of what never fired
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
theirs = upstream.slayer()

# Classes that are missing, or raise when they are made.
UNMADE = {("sigma_delta", "TimeDecimation")} | {(family, "Affine") for family in matrix.FAMILIES if family != "cuba"}
UNMADE |= {(name, "ConvT") for name, family in SPIKING.items() if not family.runs_in_lava_dl}


THRESHOLDS = {"sigma_delta": [0.125, 0.5]}


def loaded(case, block, **changes):
    """Our block with the state of lava-dl's `block`, in evaluation."""
    again = build(case, ours, seed=2, **changes)
    again.load_state_dict(block.state_dict(), strict=True)
    return again.eval()


def levels(cases):
    """Each with a low threshold and a high one."""
    return [
        pytest.param(case, level, id=f"{case}-{level}")
        for case in cases
        for level in (THRESHOLDS.get(case.family, [0.5, 1.25]) if BLOCKS[case.block].neurons else [None])
    ]


# -- outputs ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("case", "threshold"), levels(RUNNING))
@torch.no_grad()
def test_blocks_have_the_output_of_lava_dl(case, threshold):
    changes = {} if threshold is None else {"threshold": threshold}
    expected = build(case, theirs, **changes).eval()
    actual = loaded(case, expected, **changes)
    y = expected(case.input())
    assert len(y.unique()) > 1
    assert torch.equal(actual(case.input()), y)
    assert case.block == "TimeDecimation" or tuple(actual.shape) == tuple(expected.shape)


@pytest.mark.parametrize("case", [c for c in RUNNING if BLOCKS[c.block].delays and c.block != "Recurrent"], ids=str)
@torch.no_grad()
def test_blocks_have_the_delays_of_lava_dl(case):
    expected = ran(case, build(case, theirs, delay=True))
    actual = loaded(case, expected, delay=True)
    assert len(actual.delay.delay.floor().unique()) > 1
    y = expected(case.input())
    assert y.any()
    assert torch.equal(actual(case.input()), y)


@pytest.mark.parametrize("norm", ["MeanOnlyBatchNorm", "WgtScaleBatchNorm"])
@pytest.mark.parametrize("case", [c for c in RUNNING if c.block in ("Dense", "Conv", "ConvT")], ids=str)
@torch.no_grad()
def test_blocks_have_the_norms_of_lava_dl(case, norm):
    expected = ran(case, build(case, theirs, norm=norm))
    actual = loaded(case, expected, norm=norm)
    y = expected(case.input())
    assert y.any()
    assert torch.equal(actual(case.input()), y)


@pytest.mark.parametrize("threshold", [0.5, 0.9, 1.25, 4.0, 30.0])
@pytest.mark.parametrize("winners", [1, 4])
@pytest.mark.parametrize("family", ["cuba", "alif"])
@torch.no_grad()
def test_kwta_has_the_winners_of_lava_dl(family, winners, threshold):
    blocks = []
    for root in (ours, theirs):
        torch.manual_seed(1)
        params = {**matrix.FAMILIES[family], "threshold": threshold}
        block = getattr(root.block, family).KWTA(params, 12, 5, winners, 0.7, weight_scale=6 * threshold)
        blocks.append(block.eval())
    x = Case(family, "KWTA", "dense").input()
    actual, expected = (block(x) for block in blocks)
    assert expected.any()
    assert torch.equal(actual, expected)


# -- checkpoints --------------------------------------------------------------------------------


def options_of(case):
    """As much as the block takes of what has parameters and buffers."""
    options = {}
    if BLOCKS[case.block].neurons and case.block != "Input":
        options["norm"] = "MeanOnlyBatchNorm"
        options["weight_norm"] = case.block not in ("Pool", "Unpool")
    if BLOCKS[case.block].delays:
        options["delay"] = True
    if case.block in ("Dense", "Affine") and case.form == "dense":
        options["mask"] = torch.ones(5, 12)
    return options


def restored(case, block, folder, **options):
    """Our block, which never ran, with what torch saved of lava-dl's: nothing missing and nothing left."""
    torch.save(block.state_dict(), folder / "theirs.pt")
    state = torch.load(folder / "theirs.pt", weights_only=True)
    again = build(case, ours, seed=2, **options).eval()
    again.load_state_dict(state, strict=True)
    held = again.state_dict()
    assert all(name in NOT_HELD or name in held for name in state)
    for name, value in held.items():
        # theirs has one element until it ran, for what has one for each channel
        expected = state[name].flatten().to(value.dtype).expand(value.numel())
        undrawn = name == "delay.delay" and not again.delay.init
        assert undrawn or torch.equal(value.flatten(), expected), name
    return again


NOT_HELD = {"spike_state", "neuron.norm.running_mean"}  #: the state of the last batch; a norm that is not used


@pytest.mark.parametrize("case", [c for c in CASES if (c.family, c.block) not in UNMADE], ids=str)
def test_a_block_loads_a_checkpoint_of_lava_dl(case, tmp_path):
    block = build(case, theirs, **options_of(case))
    if case in RUNNING:
        ran(case, block)
    again = restored(case, block, tmp_path, **options_of(case))
    if case in RUNNING and case.block not in FEEDBACK:
        with torch.no_grad():
            assert torch.equal(again(case.input()), block(case.input()))


# lava-dl's Affine does not draw its decays; of frames it takes the width for the channels
OWN = [c for c in RUNNING if c.form == "dense" and BLOCKS[c.block].neurons and c.block not in ("Affine", "Output")]


@pytest.mark.parametrize("case", OWN, ids=str)
@torch.no_grad()
def test_a_block_loads_a_checkpoint_with_parameters_per_channel(case, tmp_path):
    options = {**options_of(case), "shared_param": False}
    block = ran(case, build(case, theirs, **options))
    again = restored(case, block, tmp_path, **options)
    own = ["delta.threshold"] if case.family == "sigma_delta" else again.neuron.kernel.decays
    y = block(case.input())
    assert all(again.neuron.get_parameter(name).numel() == y.shape[1] for name in own)
    if case.block not in FEEDBACK:
        assert torch.equal(again(case.input()), y)
