"""States set to rest by hand between sequences, as scripts do that know nothing of a method for it."""

import lava.lib.dl.slayer as slayer
import torch

CUBA = {"threshold": 0.4, "current_decay": 0.1, "voltage_decay": 0.03}
ALIF = {**CUBA, "threshold_step": 0.2, "threshold_decay": 0.05, "refractory_decay": 0.1}
RESONATOR = {"threshold": 0.4, "period": 8, "decay": 0.02}


def reset(net):
    for module in net.modules():
        if hasattr(module, "current_state"):
            module.current_state.zero_()
        if hasattr(module, "voltage_state"):
            module.voltage_state[:] = 0
        if hasattr(module, "real_state"):
            module.real_state[:] = 0
            module.imag_state *= 0
        if hasattr(module, "threshold_state"):
            module.threshold_state.fill_(module.threshold)
            module.refractory_state.zero_()


def network(persistent):
    block, options = slayer.block, {"persistent_state": persistent}
    return torch.nn.Sequential(
        block.cuba.Dense({**CUBA, **options}, 12, 10, weight_scale=2, delay_shift=False),
        block.alif.Dense({**ALIF, **options}, 10, 8, weight_scale=2, delay_shift=False),
        block.rf_iz.Dense({**RESONATOR, **options}, 8, 6, weight_scale=2, delay_shift=False),
    )


def run(seed):
    torch.manual_seed(seed)
    found, x = {}, (torch.rand(3, 12, 20) < 0.3).float()
    for persistent in (False, True):
        net, key = network(persistent), "persistent" if persistent else "fresh"
        reset(net)
        rest = [net[0].neuron.current_state, net[0].neuron.voltage_state, net[2].neuron.real_state]
        found[f"{key}/at_rest"] = torch.tensor([bool((state == 0).all()) for state in rest])
        found[f"{key}/equal"] = torch.tensor(torch.equal(rest[0], torch.zeros_like(rest[0])))
        with torch.no_grad():
            found[f"{key}/first"], found[f"{key}/second"] = net(x), net(x)
            reset(net)
            found[f"{key}/again"] = net(x)
        found[f"{key}/as_the_first"] = (found[f"{key}/again"] == found[f"{key}/first"]).all()
        found[f"{key}/goes_on"] = (found[f"{key}/second"] != found[f"{key}/first"]).any()
        reset(net)
        for index, name in ((0, "voltage_state"), (1, "threshold_state"), (2, "imag_state")):
            state = getattr(net[index].neuron, name).detach()
            found[f"{key}/{name}"] = torch.zeros(3, *net[index].shape) + state
    return found


if __name__ == "__main__":
    for name, value in run(1).items():
        print(name, tuple(value.shape), float(value.float().sum()))
