"""Export of parameters that no file holds: one warning with layers and counts, or an error."""

import re
import warnings

import h5py
import pytest
import torch

from lavadl_ref import bootstrap, exchange, slayer
from lavadl_ref.slayer import neuron
from lavadl_ref.slayer.block import cuba, describe
from lavadl_ref.slayer.object_detection.models import yolo_kp
from tests.support import matrix

CASES = matrix.cases(states=False)


def _built(case):
    block = case.build(**({"delay": True} if matrix.BLOCKS[case.block].delays else {}))
    block(case.input())
    return block


def _parameters(block):
    return [name for name, _ in block.named_parameters()]


def _limited(block):
    """Names of what a quantiser or a range limits."""
    return {
        f"{path}{'.' * bool(path)}{name}"
        for path, part in block.named_modules()
        for name in getattr(part, "_beyond", dict)()
    } & set(_parameters(block))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_ordinary_blocks_do_not_warn(case):
    block = _built(case)
    bound = {"synapse.weight": 254 / 64, "delay.delay": 62.9}
    for name, parameter in block.named_parameters():
        if name in bound:
            parameter.data.fill_(bound[name])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        block.describe()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_each_parameter_beyond_its_range_is_counted(case, tmp_path):
    names = _limited(_built(case))
    # what no quantiser touches is exact, or an error of the format
    unlimited = {"neuron.bias", "neuron.delta.threshold"}
    assert set(_parameters(_built(case))) - names <= unlimited
    for name in names:
        block = _built(case)
        parameter = block.get_parameter(name)
        parameter.data.view(-1)[0] = 9000
        with h5py.File(tmp_path / "layer", "w") as file:
            group = file.create_group("layer/3")
            with pytest.warns(slayer.SaturationWarning) as told:
                block.export_hdf5(group)
        assert len(told) == 1
        assert f"/layer/3 ({case.block}): " in str(told[0].message)
        # where an angle leaves the circle, sine and cosine do
        assert re.search(rf"{name} [1-9]\d* of {parameter.numel()}\b", str(told[0].message))
        assert told[0].filename == __file__


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_is_not_finite_is_refused(case, value, tmp_path):
    for name in _parameters(_built(case)):
        block = _built(case)
        block.get_parameter(name).data.view(-1)[0] = value
        with h5py.File(tmp_path / "layer", "w") as file:
            group = file.create_group("layer/3")
            with pytest.raises(ValueError, match=rf"^/layer/3 \({case.block}\): {name} has 1 of \d+ values that are"):
                block.export_hdf5(group)
            assert not group.keys()


def _network():
    params = {"threshold": 0.5, "current_decay": 0.3, "voltage_decay": 0.1, "norm": neuron.norm.WgtScaleBatchNorm}
    blocks = [cuba.Dense(params, 12, 5), cuba.Flatten(), cuba.Dense(params, 5, 3, delay=True)]
    x = torch.ones(2, 12, 9)
    for block in blocks:
        x = block(x)
    return blocks


def test_a_saturated_network_gives_one_warning():
    blocks = _network()
    blocks[0].synapse.weight.data.view(-1)[:7] = 100
    blocks[2].delay.delay.data[1:] = 100
    blocks[2].neuron.norm.running_mean[0] = 58.7
    blocks[2].neuron.norm.running_var[0] = 1e6
    with pytest.warns(slayer.SaturationWarning) as told:
        network = describe.network(blocks)
    assert len(told) == 1
    assert (
        "layer 0 (Dense): synapse.weight 7 of 60; layer 2 (Dense): neuron.norm.running_mean 1 of 3; "
        "layer 2 (Dense): neuron.norm.running_var 1 of 1; layer 2 (Dense): delay.delay 2 of 3"
    ) in str(told[0].message)
    assert network.layers[0].weight.max() == 254


def test_masked_weights_do_not_count():
    block = cuba.Dense({"threshold": 1, "current_decay": 1, "voltage_decay": 1}, 4, 3, mask=torch.zeros(3, 4))
    block.synapse.weight.data.fill_(100)
    block.describe()


def test_a_quantiser_of_ones_own_is_seen_through():
    params = {"threshold": 1, "current_decay": 1, "voltage_decay": 1}
    block = cuba.Dense(params, 4, 3, pre_hook_fx=lambda w: slayer.utils.quantize_hook_fx(torch.tanh(w) * 3))
    block.synapse.weight.data.fill_(100)
    block.describe()
    block.synapse.pre_hook_fx = lambda w: slayer.utils.quantize_hook_fx(3 * w)
    with pytest.warns(slayer.SaturationWarning, match=r"Dense block: synapse.weight 12 of 12"):
        block.describe()


def test_a_weight_that_its_norm_makes_infinite_is_refused():
    block = cuba.Dense({"threshold": 1, "current_decay": 1, "voltage_decay": 1}, 4, 3, weight_norm=True)
    block.synapse.weight_v.data.zero_()
    with pytest.raises(ValueError, match="weight is not finite and cannot be exported"):
        block.describe()


def test_a_saturated_bootstrap_block_is_reported():
    block = bootstrap.block.cuba.Dense({"threshold": 1, "current_decay": 1, "voltage_decay": 1}, 4, 3)
    block.synapse.weight.data.view(-1)[0] = -100
    with pytest.warns(slayer.SaturationWarning, match=r"Dense block: synapse.weight 1 of 12"):
        block.describe()


def test_a_saturated_detector_is_reported(tmp_path):
    net = yolo_kp.Network(num_classes=2)
    net.init_model((32, 64, 3))
    net.export_hdf5(tmp_path / "net.net")
    net.heads[0].weight.data.view(-1)[0] = 100
    with h5py.File(tmp_path / "layer", "w") as file, pytest.warns(slayer.SaturationWarning, match=r"weight 1 of \d+"):
        net.export_hdf5_head(file.create_group("layer/0"))
    net.blocks[1].synapse.weight_g.data.view(-1)[0] = 1e4
    with pytest.warns(slayer.SaturationWarning) as told:
        net.export_hdf5(tmp_path / "net.net")
    assert len(told) == 1
    assert "layer 2 (Conv): synapse.weight 144 of 4608; layer 10 (Readout): weight 1 of" in str(told[0].message)
    assert exchange.read(tmp_path / "net.net").layers[2].weight.max() == 254
    net.heads[0].weight.data.view(-1)[0] = float("nan")
    with pytest.raises(ValueError, match="weight has 1 of"):
        net.export_hdf5(tmp_path / "net.net")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_forward_takes_no_decay_or_delay_that_is_not_finite(case):
    for name in _parameters(_built(case)):
        # a readout has no threshold
        unused = case.block == "Affine" and ("threshold" in name or "refractory" in name)
        if ("_decay" in name or name == "delay.delay") and not unused:
            block = _built(case)
            block.get_parameter(name).data.view(-1)[0] = float("inf")
            with pytest.raises(
                ValueError, match=rf"{name.rpartition('.')[2]}( of the .* block)? must be finite, (got|found)"
            ):
                block(case.input())
