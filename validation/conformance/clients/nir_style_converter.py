"""A graph of affine maps and leaky neurons as slayer's modules, as converters between formats do it."""

import lava.lib.dl.slayer as slayer
import torch

SCALE = 4096


def grid(values, step=1 / 64):
    return torch.round(values / step) * step


def graph():
    """Nodes as another library would hand them over, their weights on a grid."""
    return [
        {"type": "affine", "weight": grid(torch.randn(6, 5) * 0.6), "bias": grid(torch.randn(6) * 0.1, 1 / SCALE)},
        {"type": "cuba", "threshold": 0.9, "current_decay": 0.3, "voltage_decay": 0.05},
        {"type": "linear", "weight": grid(torch.randn(4, 6) * 0.8)},
        {"type": "if", "threshold": 1.1},
    ]


def convert(node):
    if node["type"] in ("affine", "linear"):
        weight = node["weight"]
        module = slayer.synapse.Dense(
            in_neurons=weight.shape[1], out_neurons=weight.shape[0], weight_scale=1, weight_norm=False, pre_hook_fx=None
        )
        module.weight.data = weight.reshape(module.weight.shape)
        if "bias" in node:
            module.bias = torch.nn.Parameter(data=node["bias"], requires_grad=True)
        return module
    decays = {"current_decay": node.get("current_decay", 1.0), "voltage_decay": node.get("voltage_decay", 0.0)}
    return slayer.neuron.cuba.Neuron(threshold=node["threshold"], scale=SCALE, **decays)


def block():
    """A block that hands its input on to neurons of 4096, a bias to each."""
    params = {
        "threshold": 0.5, "current_decay": 1.0, "voltage_decay": 0.1, "shared_param": True, "scale": SCALE,
        "persistent_state": True,
    }  # fmt: skip
    made = slayer.block.cuba.Dense(
        neuron_params=params, in_neurons=7, out_neurons=7, weight_scale=1, weight_norm=False, pre_hook_fx=None
    )
    made.synapse.weight.data = torch.eye(7).reshape(made.synapse.weight.shape)
    made.synapse.bias = torch.nn.Parameter(grid(torch.linspace(-0.1, 0.2, 7), 1 / SCALE))
    return made


def run(seed):
    torch.manual_seed(seed)
    nodes = graph()
    modules = [convert(node) for node in nodes]
    spikes = (torch.rand(3, 5, 60) < 0.3).float()
    found, x = {"parameters": torch.tensor(len(list(modules[0].parameters())))}, spikes
    for index, module in enumerate(modules):
        x = module(x)
        found[f"node_{index}"] = x.detach()
    found["threshold"] = torch.tensor(modules[1].threshold)
    found["scale"] = torch.tensor(modules[1].scale)
    x.sum().backward()
    found["bias_is_trained"] = torch.tensor(modules[0].bias.grad is not None)

    one = block()
    current = grid(torch.rand(2, 7, 25) * 0.4, 1 / SCALE)
    with torch.no_grad():
        found["first"], found["second"] = one(current), one(current)
    found["current_state"], found["voltage_state"] = one.neuron.current_state.clone(), one.neuron.voltage_state.clone()
    return found


if __name__ == "__main__":
    for name, value in run(1).items():
        print(name, tuple(value.shape), float(value.sum()))
