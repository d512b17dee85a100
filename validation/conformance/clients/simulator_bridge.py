"""Layers of another simulator as slayer's: weights copied in, membrane handed over, a faster synapse derived."""

import lava.lib.dl.slayer as slayer
import torch
import torch.nn.functional as F

PARAMS = {
    "threshold": 1.0, "current_decay": 1.0, "voltage_decay": 0.25, "tau_grad": 1, "scale_grad": 1, "scale": 64,
    "norm": None, "dropout": None, "shared_param": True, "persistent_state": True, "requires_grad": False,
    "graded_spike": False,
}  # fmt: skip


class LinearDense(slayer.synapse.Dense):
    """The same sums through one matrix product."""

    def forward(self, x):
        weight = self.weight if self._pre_hook_fx is None else self._pre_hook_fx(self.weight)
        return F.linear(x.transpose(1, 2), weight[:, :, 0, 0, 0], self.bias).transpose(1, 2)


def dense(linear):
    block = slayer.block.cuba.Dense(PARAMS, linear.in_features, linear.out_features, delay_shift=False)
    block.synapse.weight.data[:, :, 0, 0, 0] = linear.weight.data.clone()
    return block


def convolution(conv):
    options = {key: getattr(conv, key) for key in ("kernel_size", "stride", "padding", "dilation", "groups")}
    block = slayer.block.cuba.Conv(PARAMS, conv.in_channels, conv.out_channels, delay_shift=False, **options)
    block.synapse.weight.data[:, :, :, :, 0] = conv.weight.data.clone()
    return block


def pooled(kernel):
    return slayer.block.cuba.Pool({**PARAMS, "threshold": 1.5}, kernel, kernel, 0, delay_shift=False)


def run(seed):
    torch.manual_seed(seed)
    conv, linear = torch.nn.Conv2d(1, 4, 3, padding=1, bias=False), torch.nn.Linear(36, 5, bias=False)
    conv.weight.data *= 3
    linear.weight.data = 8 * linear.weight.data + 0.2
    net = [convolution(conv), pooled(2), slayer.block.cuba.Flatten(), dense(linear)]
    x = (torch.rand(2, 1, 6, 6, 15) < 0.4).float()
    found = {}
    with torch.no_grad():
        y = x
        for index, block in enumerate(net):
            y = block(y)
            found[f"block_{index}"] = y
        for block in (net[0], net[3]):
            found[f"state_{block.synapse.out_channels}"] = block.neuron.voltage_state.clone()

        faster = LinearDense(linear.in_features, linear.out_features)
        faster.weight.data = net[3].synapse.weight.data.clone()
        faster.pre_hook_fx = net[3].neuron.quantize_8bit
        found["in_out"] = torch.tensor([faster.in_channels, faster.out_channels])
        found["faster"] = faster(found["block_2"])

        neuron = slayer.neuron.cuba.Neuron(**PARAMS)
        neuron.current_state, neuron.voltage_state = torch.zeros(2, 5), torch.full((2, 5), 0.5)
        found["spikes"] = neuron(found["faster"])
        found["voltage"] = neuron.voltage_state.reshape(2, 5)
        found["weights"] = net[3].neuron.quantize_8bit(faster.weight, descale=True).flatten(1)
    return found


if __name__ == "__main__":
    for name, value in run(1).items():
        print(name, tuple(value.shape), float(value.sum()))
