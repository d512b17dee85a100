"""A gated unit on slayer's parts: the base neuron, the abstract recurrent block, two synapses, a loop over time."""

import lava.lib.dl.slayer as slayer
import torch
from lava.lib.dl.slayer.block.base import AbstractRecurrent
from lava.lib.dl.slayer.neuron.base import Neuron
from lava.lib.dl.slayer.synapse.layer import Dense
from lava.lib.dl.slayer.utils import quantize


class GatedNeuron(Neuron):
    def __init__(self, threshold, scale=1 << 6, norm=None, dropout=None, persistent_state=False, requires_grad=False):
        super().__init__(
            threshold=threshold, w_scale=scale, s_scale=scale * (1 << 6), norm=norm, dropout=dropout,
            persistent_state=persistent_state, shared_param=True, requires_grad=requires_grad,
        )  # fmt: skip
        self.shape = None

    @property
    def device_params(self):
        return {"type": "GATED", "vThMant": self.v_th_mant}


class Gated(AbstractRecurrent):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.neuron = GatedNeuron(**{k: v for k, v in self.neuron_params.items() if k != "persistent_state"})
        self.synapse_params["out_neurons"] = 2 * self.synapse_params["out_neurons"]
        self.recurrent_params["out_neurons"] = 2 * self.recurrent_params["out_neurons"]
        self.input_synapse = Dense(**self.synapse_params)
        self.recurrent_synapse = Dense(**self.recurrent_params)
        self.input_synapse.pre_hook_fx = self.neuron.quantize_8bit
        self.recurrent_synapse.pre_hook_fx = self.neuron.quantize_8bit
        del self.synapse_params, self.recurrent_params, self.neuron_params

    def forward(self, x):
        driven = self.input_synapse(x)
        hidden = spike = torch.zeros(driven.shape[0], driven.shape[1] // 2)
        spikes = []
        for t in range(x.shape[-1]):
            fed = self.recurrent_synapse(spike.unsqueeze(-1)).squeeze(-1)
            gate, candidate = torch.chunk(driven[..., t] + fed, 2, 1)
            gate = torch.nn.functional.hardsigmoid(gate)
            hidden = quantize(gate * hidden + (1 - gate) * torch.nn.functional.hardtanh(candidate), step=1 / 64)
            spike = torch.relu(torch.sign(hidden - self.neuron.threshold)).detach() + hidden - hidden.detach()
            hidden = hidden * (1 - spike.detach())
            spikes.append(spike)
        if self.neuron.shape is None:
            self.neuron.shape = driven.shape[1:-1]
        return torch.stack(spikes, -1)


def run(seed):
    torch.manual_seed(seed)
    gated = Gated({"threshold": 0.2}, 10, 6, weight_scale=3)
    readout = slayer.block.cuba.Affine({"threshold": 1, "current_decay": 0.5, "voltage_decay": 0.2}, 6, 2)
    x = (torch.rand(3, 10, 20) < 0.4).float()
    y = gated(x)
    voltage = readout(y)
    loss = voltage[..., -1].pow(2).mean()
    loss.backward()
    return {
        "spikes": y.detach(),
        "voltage": voltage.detach(),
        "loss": loss.detach(),
        "threshold": torch.tensor(float(gated.neuron.threshold)),
        "mantissa": torch.tensor(gated.neuron.v_th_mant),
        "exponent": torch.tensor(float(gated.neuron.weight_exponent)),
        "scales": torch.tensor([gated.neuron.w_scale, gated.neuron.s_scale]),
        "gradient": readout.synapse.weight.grad.flatten(1),
        "shapes": torch.tensor([*gated.input_synapse.shape, *gated.recurrent_synapse.shape]),
    }


if __name__ == "__main__":
    for name, value in run(1).items():
        print(name, tuple(value.shape), float(value.sum()))
