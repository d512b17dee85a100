"""Synaptic operations of a network, counted with forward hooks and what its convolutions say of themselves."""

import lava.lib.dl.slayer as slayer
import torch
import torch.nn.functional as F

PARAMS = {"threshold": 0.4, "current_decay": 0.3, "voltage_decay": 0.1}


def network():
    block = slayer.block.cuba
    return torch.nn.Sequential(
        block.Conv(PARAMS, 2, 4, kernel_size=3, stride=2, padding=1, weight_scale=2),
        block.Conv(PARAMS, 4, 4, kernel_size=(3, 1), padding=(1, 0), dilation=(1, 1), groups=2, weight_scale=2),
        block.ConvT(PARAMS, 4, 2, kernel_size=2, stride=2, weight_scale=2),
        block.Flatten(),
        block.Dense(PARAMS, 2 * 8 * 8, 10, weight_scale=2),
        block.Dense(PARAMS, 10, 5, weight_scale=2),
    )


class Counter:
    """Adds up, for each synapse, the events that came in and the additions that they cause."""

    def __init__(self, net):
        self.events, self.operations, self.parameters = {}, {}, {}
        self.handles = []
        for name, module in net.named_modules():
            if isinstance(module, (torch.nn.Conv3d, torch.nn.ConvTranspose3d)):
                self.handles.append(module.register_forward_hook(self.hook(name)))

    def hook(self, name):
        def count(module, inputs, output):
            x = (inputs[0].detach() != 0).float()
            if x.dim() == 3:
                x = x.reshape(x.shape[0], -1, 1, 1, x.shape[-1])
            ones = torch.ones_like(module.weight)
            kind = F.conv_transpose3d if isinstance(module, torch.nn.ConvTranspose3d) else F.conv3d
            options = {key: getattr(module, key) for key in ("stride", "padding", "dilation", "groups")}
            self.events[name] = x.sum()
            self.operations[name] = kind(x, ones, None, **options).sum()
            values = [*module.kernel_size, *module.stride, *module.padding, *module.dilation, module.groups]
            self.parameters[name] = torch.tensor(
                [*values, *module.weight.shape, module.in_channels, module.out_channels]
            )

        return count

    def remove(self):
        for handle in self.handles:
            handle.remove()


def run(seed):
    torch.manual_seed(seed)
    net = network()
    counter = Counter(net)
    x = (torch.rand(2, 2, 8, 8, 24) < 0.2).float()
    output = net(x)
    counter.remove()
    net(x)
    found = {"output": output.detach(), "counted": torch.tensor(len(counter.events))}
    for what in ("events", "operations", "parameters"):
        found |= {f"{what}/{name}": value for name, value in getattr(counter, what).items()}
    found["bias"] = torch.tensor([module.bias is None for module in net.modules() if hasattr(module, "bias")])
    return found


if __name__ == "__main__":
    for name, value in run(1).items():
        print(name, value.tolist() if value.dim() < 2 else tuple(value.shape))
