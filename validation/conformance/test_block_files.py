"""Files of blocks of every family: lava-dl's come back as ours with equal output, and it reads ours where it can."""

import h5py
import numpy as np
import pytest
import torch

from lavadl_ref import exchange
from lavadl_ref import slayer as ours
from lavadl_ref.netx import lava_support
from tests.support import matrix, upstream
from tests.support.matrix import BLOCKS, COMPLEX, Case
from validation.conformance._blocks import RUNNING, build, ran

pytestmark = [
    pytest.mark.upstream,
    # what lava-dl itself uses
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
theirs = upstream.slayer()

UNFILED = {"KWTA", "Average", "TimeDecimation"}


def filed(case):
    """Tell whether lava-dl exports it: complex layers if they are dense, and dense ones if their input is flat."""
    if case.block == "Dense":
        return case.form == "dense"
    return case.block == "Flatten" or (case.block not in UNFILED and case.family not in COMPLEX)


def assert_rebuilt(case, block, folder):
    y = block(case.input())
    assert len(y.unique()) > 1
    with h5py.File(folder / "theirs.net", "w") as file:
        block.export_hdf5(file.create_group("layer/0"))
    rebuilt = ours.auto.SequentialNetwork(folder / "theirs.net").eval()
    assert torch.equal(rebuilt(case.input()), y)


@pytest.mark.parametrize("case", [c for c in RUNNING if filed(c)], ids=str)
@torch.no_grad()
def test_a_file_of_lava_dl_is_rebuilt(case, tmp_path):
    if case.block == "Recurrent":
        block = build(case, theirs).eval()  # what it does next depends on what it has seen
    else:
        block = ran(case, build(case, theirs, **({"delay": True} if BLOCKS[case.block].delays else {})))
    assert_rebuilt(case, block, tmp_path)


BIASED = [c for c in RUNNING if filed(c) and c.block in ("Dense", "Conv", "ConvT") and c.family not in COMPLEX]


@pytest.mark.parametrize("case", BIASED, ids=str)
@torch.no_grad()
def test_a_file_of_lava_dl_with_a_bias_is_rebuilt(case, tmp_path):
    assert_rebuilt(case, ran(case, build(case, theirs, norm="MeanOnlyBatchNorm", delay=True)), tmp_path)


@torch.no_grad()
def test_our_file_is_rebuilt_by_lava_dl(tmp_path):
    """Of what it rebuilds: dense CUBA layers without bias."""
    params = matrix.FAMILIES["cuba"]
    net = [ours.block.cuba.Dense(params, 12, 8, 3, delay=True), ours.block.cuba.Dense(params, 8, 5, 4)]
    y = x = Case("cuba", "Dense", "dense").input()
    for block in net:
        y = block(y)
    assert y.any()
    exchange.write(tmp_path / "ours.net", exchange.Network(tuple(block.describe() for block in net)))
    assert torch.equal(theirs.auto.SequentialNetwork(str(tmp_path / "ours.net")).eval()(x), y)


def netx(path, **options):
    """lava-dl's own processes for a file; only made, not run."""
    if not lava_support.available()[0]:
        pytest.skip(lava_support.available()[1])
    lava_support.enable()
    from lava.lib.dl.netx import hdf5

    return hdf5.Network(net_config=str(path), **options).layers


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("family", ["cuba", "rf", "rf_iz", "sigma_delta"])
def test_our_file_becomes_processes_of_lava_dl(family, tmp_path):
    """The families and layers that its netx takes: it has the same weights and parameters."""
    module, params = getattr(ours.block, family), matrix.FAMILIES[family]
    net, x = [module.Dense(params, 80, 8, 3), module.Dense(params, 8, 5, 4)], torch.ones(1, 80, 4)
    options = {}
    if family not in COMPLEX:
        net = [module.Conv(params, 2, 4, 3, weight_scale=3), module.Flatten(), *net]
        x, options = torch.ones(1, 2, 6, 7, 4), {"input_shape": (7, 6, 2)}
    for block in net:
        x = block(x)
    layers = [block.describe() for block in net]
    exchange.write(tmp_path / "ours.net", exchange.Network(tuple(layers)))
    made = netx(tmp_path / "ours.net", **options)
    described = [layer for layer in layers if layer.neuron is not None]
    assert len(made) == len(described)
    for process, layer in zip(made, described, strict=True):
        for name, value in parameters_of(process.neuron, family).items():
            assert layer.neuron[name] == value, name
        if family in COMPLEX:
            weights = [(process.real_synapse, layer.weight), (process.imag_synapse, layer.weight_imag)]
        else:
            weights = [(process.synapse, layer.weight)]
        for synapse, weight in weights:
            if isinstance(layer, exchange.Conv):  # Lava's is (out, x, y, in), and turned
                np.testing.assert_array_equal(synapse.weight.init, weight.transpose(0, 3, 2, 1)[:, ::-1, ::-1])
            else:
                scale = 2.0 ** synapse.proc_params["weight_exp"]
                np.testing.assert_array_equal(synapse.weights.init * scale, weight)


def parameters_of(neuron, family):
    """The parameters that netx gave a process, by the names of a description."""
    if family == "cuba":
        # Lava's LIF takes one more off the current
        return {
            "current_decay": neuron.du.init + 1,
            "voltage_decay": neuron.dv.init,
            "threshold": neuron.vth.init,
        }
    if family == "sigma_delta":
        return {"threshold": neuron.vth.init >> 12}
    rotation = {"sin_decay": neuron.sin_decay.init, "cos_decay": neuron.cos_decay.init}
    return {**rotation, "threshold": neuron.vth.init >> 6}
