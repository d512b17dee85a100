"""`slayer.summary`: a table of layers that leaves the network as it is."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from lavadl_ref import slayer
from lavadl_ref.slayer import block as blocks
from lavadl_ref.slayer.neuron.norm import MeanOnlyBatchNorm
from tests.support import matrix
from tests.support.matrix import BLOCKS


def network(family="cuba", **options):
    torch.manual_seed(2)
    module, params = getattr(blocks, family), {**matrix.FAMILIES[family], **options}
    return torch.nn.Sequential(
        torch.nn.Sequential(module.Conv(params, 2, 4, 3, weight_norm=True, delay=True), module.Pool(params, 2)),
        module.Flatten(),
        module.Dense(params, 16, 6, count_log=False),
    )


def test_the_rows_of_a_summary_count_what_a_layer_has():
    found = slayer.summary(network(), (2, 6, 6))
    assert [(row.name, row.kind, row.family, row.shape) for row in found.rows] == [
        ("0.0", "Conv", "CUBA", (4, 4, 4)),
        ("0.1", "Pool", "CUBA", (4, 2, 2)),
        ("1", "Flatten", None, (16,)),
        ("2", "Dense", "CUBA", (6,)),
    ]
    # a convolution of 3x3 over 2 channels to 4x4x4 neurons, windows of 2x2, and 16 to 6 neurons
    assert [row.synapses for row in found.rows] == [64 * 18, 64, None, 96]
    assert [row.neurons for row in found.rows] == [64, 16, None, 6]
    assert [row.delay_bits for row in found.rows] == [6, None, None, None]
    # of the convolution weights, their lengths and delays; decays of neurons are not trained
    assert [row.parameters for row in found.rows] == [72 + 4 + 4, 0, 0, 96]
    assert (found.parameters, found.synapses, found.neurons) == (176, 1152 + 64 + 96, 86)
    lines = str(found).splitlines()
    assert [line.split()[0] for line in lines[2:]] == ["0.0", "0.1", "1", "2", "all"]
    assert "1,152" in lines[2]


def test_a_summary_is_that_of_a_network_that_has_seen_input():
    net = network()
    before = slayer.summary(net, (2, 6, 6))
    with torch.no_grad():
        net(torch.ones(3, 2, 6, 6, 5))
    assert slayer.summary(net, (2, 6, 6)) == before


@pytest.mark.parametrize("training", [False, True])
def test_a_summary_changes_nothing_of_the_network(training):
    net = network(norm=MeanOnlyBatchNorm, persistent_state=True, dropout=slayer.neuron.Dropout(0.3)).train(training)
    twice = network(norm=MeanOnlyBatchNorm, persistent_state=True, dropout=slayer.neuron.Dropout(0.3)).train(training)
    told = []
    net[2].register_forward_hook(lambda *arguments: told.append(arguments))
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in net.modules()]
    torch.manual_seed(8)
    state = {name: value.clone() for name, value in net.state_dict().items()}
    rng = torch.get_rng_state()
    slayer.summary(net, (2, 6, 6), steps=3)
    assert torch.equal(torch.get_rng_state(), rng)
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    assert net.state_dict().keys() == state.keys()
    assert all(module.training is training for module in net.modules())
    assert told == []
    assert [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in net.modules()] == hooks
    # what is drawn at the first input is drawn as without the summary
    x = torch.ones(2, 2, 6, 6, 7)
    torch.manual_seed(8)
    y = net(x)
    torch.manual_seed(8)
    assert torch.equal(y, twice(x))


#: Of each kind of synapse and message one family.
CASES = [case for case in matrix.cases(states=False) if case.family in ("cuba", "rf", "sigma_delta")]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_block_has_a_row_with_its_neurons(case):
    block = case.build()
    (row,) = slayer.summary(block, BLOCKS[case.block].inputs[case.form][1]).rows
    with torch.no_grad():
        y = block(case.input())
    assert (row.kind, row.shape, row.family) == (case.block, tuple(y.shape[1:-1]), block.neuron.family)
    assert row.neurons == np.prod(row.shape)
    if case.block != "Input" and not (
        case.form == "spatial" and case.block in ("Recurrent", "KWTA", "Affine", "Output")
    ):
        assert row.synapses is not None


def test_other_modules_have_rows_too():
    class Own(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.dense = slayer.block.cuba.Dense(matrix.FAMILIES["cuba"], 3, 2)
            self.scale = torch.nn.Hardtanh()
            self.idle = torch.nn.Linear(5, 4)

        def forward(self, x):
            return self.scale(self.dense(x))

    rows = {row.name: row for row in slayer.summary(Own(), (3,)).rows}
    assert list(rows) == ["dense", "scale", "idle"]
    assert (rows["idle"].shape, rows["idle"].parameters, rows["scale"].synapses) == (None, 24, None)
    assert pickle.loads(pickle.dumps(rows)) == rows


def test_what_cannot_be_summed_up_is_refused():
    with pytest.raises(TypeError, match="net must be a torch module, got NoneType"):
        slayer.summary(None, (2,))
    with pytest.raises(TypeError, match="shape must be a sequence of integers, got int"):
        slayer.summary(network(), 3)
    with pytest.raises(ValueError, match="shape must be at least 1, got 0"):
        slayer.summary(network(), (0, 6, 6))
    with pytest.raises(ValueError, match=r"net must take an input of the shape \(1, 3, 6, 6, 1\), got "):
        slayer.summary(network(), (3, 6, 6))
