"""Values that leave the fixed-point range: the error names what is to blame, and the way out."""

import pytest
import torch

from lavadl_ref.slayer import neuron
from lavadl_ref.slayer.block import cuba
from tests.support import matrix

RECURRENT = [case for case in matrix.cases(states=False) if case.block == "Recurrent"]
SYNAPTIC = [case for case in matrix.cases(states=False) if case.block != "Input"]


@pytest.mark.parametrize("value", ["inf", "-inf", "nan"])
@pytest.mark.parametrize("case", SYNAPTIC, ids=str)
def test_an_input_that_is_not_finite_is_told_as_it_is(case, value):
    x = case.input()
    x.view(-1)[0] = float(value)
    with pytest.raises(ValueError, match=rf"^input of the {case.block} block must be finite, got {value} in 1 of "):
        case.build()(x)


@pytest.mark.parametrize("case", SYNAPTIC, ids=str)
def test_a_weight_that_is_not_finite_is_named(case):
    if case.block in ("Pool", "Unpool", "Affine", "Output"):
        return
    block = case.build()
    name = next(name for name, _ in block.named_parameters() if "synapse" in name)
    block.get_parameter(name).data.fill_(torch.nan)
    with pytest.raises(ValueError, match=rf"^{name} of the {case.block} block must be finite, got nan in "):
        block(case.input())


def _runaway(scale=1e3, **options):
    params = {"threshold": 0.5, "current_decay": 0.5, "voltage_decay": 0.5, "graded_spike": True}
    block = cuba.Recurrent({**params, **options}, 4, 3, pre_hook_fx=None)
    for part in (block.input_synapse, block.recurrent_synapse):
        part.pre_hook_fx = None
    block.input_synapse.weight.data.fill_(1.0)
    block.recurrent_synapse.weight.data.fill_(scale)
    return block


def test_feedback_that_runs_away_is_blamed_and_not_the_input():
    x = torch.ones(1, 4, 40)
    with pytest.raises(ValueError, match=r"^feedback must .* ran away within 40 steps of an input of at most 4:"):
        _runaway()(x)
    _runaway(0.0)(x)


def test_an_input_beyond_the_range_is_blamed_with_feedback_too():
    with pytest.raises(ValueError, match=r"^neuron input must be finite and below .* got 4\.0\d*e\+20$"):
        _runaway(0.0)(torch.full((1, 4, 40), 1e20))


def test_chunks_are_the_way_out_of_long_streams():
    """An integrator without decay, whose bound shrinks with the number of steps."""
    params = {"threshold": -1, "current_decay": 0.0, "voltage_decay": 1.0}
    level = 2.0**24
    x = torch.full((1, 1, 20000), level)
    x[..., 1::2] *= -1  # the sums stay small; their bound does not know that
    with pytest.raises(ValueError, match=r"over 20000 steps, got .*in chunks, to neurons with persistent_state=True"):
        neuron.cuba.Neuron(**params).dynamics(x)
    chunked = neuron.cuba.Neuron(**params, persistent_state=True)
    for chunk in x.split(1000, dim=-1):
        current, _ = chunked.dynamics(chunk)
    assert current[0, 0, -1] == 0
