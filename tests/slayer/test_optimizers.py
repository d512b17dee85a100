"""Torch's fused optimizer takes the parameters of every kind of block, and makes the step that the plain one makes."""

import copy

import pytest
import torch

from lavadl_ref.slayer.block import alif, cuba, rf, sigma_delta

CUBA = {"threshold": 0.5, "current_decay": 0.3, "voltage_decay": 0.1, "requires_grad": True}
ALIF = {**CUBA, "threshold_step": 0.1, "threshold_decay": 0.1, "refractory_decay": 0.2}
RF = {"threshold": 0.5, "period": 12, "decay": 0.1, "requires_grad": True}
SDNN = {"threshold": 0.1, "activation": torch.nn.functional.relu, "requires_grad": True}
BLOCKS = {
    "CUBA": lambda: cuba.Dense(CUBA, 12, 9, weight_norm=True, delay=True),
    "CUBA per channel": lambda: cuba.Dense({**CUBA, "shared_param": False}, 12, 9, delay=True),
    "recurrent": lambda: cuba.Recurrent(CUBA, 12, 9),
    "ALIF": lambda: alif.Dense(ALIF, 12, 9),
    "RF": lambda: rf.Dense(RF, 12, 9),
    "sigma-delta": lambda: sigma_delta.Dense(SDNN, 12, 9),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_the_fused_adam_gives_the_steps_of_the_plain_one(name):
    torch.manual_seed(0)
    x = (torch.rand(3, 12, 20) < 0.3).float()
    block = BLOCKS[name]()
    block(x)  # per-channel parameters are drawn
    before = {key: value.detach().clone() for key, value in block.named_parameters()}
    both = [block, copy.deepcopy(block)]
    for net, fused in zip(both, (False, True), strict=True):
        optimizer = torch.optim.Adam(net.parameters(), lr=1e-2, weight_decay=1e-5, fused=fused)
        net(x).square().sum().backward()
        optimizer.step()
    for (key, plain), (_, fused) in zip(both[0].named_parameters(), both[1].named_parameters(), strict=True):
        torch.testing.assert_close(fused, plain, rtol=1e-6, atol=1e-7, msg=key)
    assert any(not torch.equal(now, before[key]) for key, now in both[1].named_parameters())
