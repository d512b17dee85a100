"""Blocks put together from the abstract ones, as slayer's own are."""

import io

import h5py
import lava.lib.dl.slayer as slayer
import torch
import torch.nn.functional as F

base = slayer.block.base


class CubaDense(slayer.block.cuba.AbstractCuba, base.AbstractDense):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.synapse = slayer.synapse.Dense(**self.synapse_params)
        if "pre_hook_fx" not in kwargs:
            self.synapse.pre_hook_fx = self.neuron.quantize_8bit
        del self.synapse_params


class AlifConv(slayer.block.alif.AbstractALIF, base.AbstractConv):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.synapse = slayer.synapse.Conv(**self.synapse_params)
        if "pre_hook_fx" not in kwargs:
            self.synapse.pre_hook_fx = self.neuron.quantize_8bit
        del self.synapse_params


class ResonantDense(slayer.block.rf_iz.AbstractRFIz, base.AbstractDense):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.synapse = slayer.synapse.complex.Dense(**self.synapse_params)
        if "pre_hook_fx" not in kwargs:
            self.synapse.pre_hook_fx = self.neuron.quantize_8bit
        del self.synapse_params


class SignDense(slayer.synapse.layer.Dense):
    """Weights of one magnitude: their signs times the mean."""

    def forward(self, input):
        weight = self.weight.abs().mean() * torch.sign(self.weight.detach())
        if self._pre_hook_fx is not None:
            weight = self._pre_hook_fx(weight)
        shape = input.shape
        summed = F.conv3d(
            input.reshape(shape[0], -1, 1, 1, shape[-1]), weight, self.bias, self.stride, self.padding, self.dilation,
            self.groups,
        )  # fmt: skip
        return summed.reshape(shape[0], -1, shape[-1])


class SignBlock(slayer.block.sigma_delta.AbstractSDRelu, base.AbstractDense):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.synapse = SignDense(**self.synapse_params)
        if "pre_hook_fx" not in kwargs:
            self.synapse.pre_hook_fx = self.neuron.quantize_8bit
        del self.synapse_params


class Recurrent(slayer.block.cuba.AbstractCuba, base.AbstractRecurrent):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.input_synapse = slayer.synapse.Dense(**self.synapse_params)
        self.recurrent_synapse = slayer.synapse.Dense(**self.recurrent_params)
        self.input_synapse.pre_hook_fx = self.neuron.quantize_8bit
        self.recurrent_synapse.pre_hook_fx = self.neuron.quantize_8bit
        del self.synapse_params
        del self.recurrent_params


CUBA = {"threshold": 0.5, "current_decay": 0.25, "voltage_decay": 0.1, "requires_grad": False}
ALIF = {**CUBA, "threshold_step": 0.25, "threshold_decay": 0.1, "refractory_decay": 0.2}
RESONATOR = {"threshold": 0.4, "period": 8, "decay": 0.1}
DELTA = {"threshold": 0.1, "activation": F.relu}


def numbers(block):
    """The numbers that a block exports, by their name in the file."""
    found = {}
    with h5py.File(io.BytesIO(), "w") as file:
        block.export_hdf5(file)

        def take(name, entry):
            if isinstance(entry, h5py.Dataset) and entry.dtype.kind in "iuf":
                found[name] = torch.tensor(entry[()], dtype=torch.float64)

        file.visititems(take)
    return found


def run(seed):
    torch.manual_seed(seed)
    spikes, frames = (torch.rand(4, 12, 30) < 0.3).float(), (torch.rand(4, 2, 6, 6, 20) < 0.3).float()
    blocks = {
        "cuba": (CubaDense(CUBA, 12, 8, weight_scale=2, delay=False), spikes),
        "alif": (AlifConv(ALIF, 2, 4, 3, padding=1, weight_scale=2), frames),
        "rf_iz": (ResonantDense(RESONATOR, 12, 8, weight_scale=2), spikes),
        "sign": (SignBlock(DELTA, 12, 8), spikes),
        "recurrent": (Recurrent(dict(CUBA), 12, 8, weight_scale=2), spikes),
    }
    found = {}
    for name, (block, x) in blocks.items():
        optimizer = torch.optim.SGD(block.parameters(), lr=1e-2)
        y = block(x)
        loss = (y.mean(-1) - 0.2).pow(2).sum()
        loss.backward()
        if name != "recurrent":  # how credit flows through the feedback decides where its training leads
            for key, parameter in block.synapse.named_parameters():
                found[f"{name}/{key}/gradient"] = parameter.grad.flatten(1)
            optimizer.step()
        found |= {f"{name}/output": y.detach(), f"{name}/loss": loss.detach()}
        found |= {f"{name}/shape": torch.tensor(block.shape)}
        found |= {f"{name}/{key}": value for key, value in numbers(block).items()}
    return found


if __name__ == "__main__":
    for name, value in run(1).items():
        print(name, tuple(value.shape), float(value.sum()))
