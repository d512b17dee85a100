"""Networks that a user's own blocks, and neurons of another scale, export run on Lava as they ran in slayer."""

import numpy as np
import pytest
import torch

from lavadl_ref import exchange, slayer
from lavadl_ref.verify import trained, verify
from tests.support.lava import USABLE, WHY

if not USABLE:
    pytest.skip(WHY, allow_module_level=True)


class Dense(slayer.block.cuba.AbstractCuba, slayer.block.base.AbstractDense):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.synapse = slayer.synapse.Dense(**self.synapse_params)
        self.synapse.pre_hook_fx = self.neuron.quantize_8bit
        del self.synapse_params


class Recurrent(slayer.block.alif.AbstractALIF, slayer.block.base.AbstractRecurrent):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.input_synapse = slayer.synapse.Dense(**self.synapse_params)
        self.recurrent_synapse = slayer.synapse.Dense(**self.recurrent_params)
        for synapse in (self.input_synapse, self.recurrent_synapse):
            synapse.pre_hook_fx = self.neuron.quantize_8bit
        del self.synapse_params, self.recurrent_params


ALIF = {
    "threshold": 0.5, "threshold_step": 0.25, "current_decay": 0.3, "voltage_decay": 0.1,
    "threshold_decay": 0.2, "refractory_decay": 0.3,
}  # fmt: skip


@pytest.mark.lava
@pytest.mark.parametrize("scale", [64, 4096])
def test_own_blocks_run_on_lava_as_in_slayer(scale):
    torch.manual_seed(0)
    # the weights of a finer scale are as much smaller
    cuba = {"threshold": 32 / scale, "current_decay": 0.25, "voltage_decay": 0.1, "scale": scale}
    net = torch.nn.Sequential(Dense(cuba, 12, 8, weight_scale=256 / scale, delay=True), Recurrent(ALIF, 8, 5, 3)).eval()
    x = (torch.rand(2, 12, 40) < 0.3).float()
    assert net(x).any()
    report = trained(net, x)
    assert report.exact, report
    network = exchange.Network(tuple(block.describe() for block in net))
    report = verify(network, x[0].numpy().astype(np.int64), in_process=True)
    assert report.exact, report
    assert all("lava" in layer.paths for layer in report.layers)
    assert report.layers[-1].paths["lava"].compared
