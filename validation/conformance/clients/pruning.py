"""Pruning of every synapse with torch's own tools, a few steps of training, and the export of what is left."""

import io

import h5py
import lava.lib.dl.slayer as slayer
import torch
from torch.nn.utils import prune

CUBA = {"threshold": 0.4, "current_decay": 0.3, "voltage_decay": 0.1}
RESONATOR = {"threshold": 0.4, "period": 8, "decay": 0.1}


def networks():
    block = slayer.block
    return {
        "frames": torch.nn.Sequential(
            block.cuba.Conv(CUBA, 2, 4, kernel_size=3, stride=2, weight_scale=2),
            block.cuba.Flatten(),
            block.cuba.Dense(CUBA, 4 * 3 * 3, 10, weight_scale=2),
        ),
        "resonators": torch.nn.Sequential(block.rf_iz.Dense(RESONATOR, 12, 8, weight_scale=2)),
        "recurrent": torch.nn.Sequential(block.cuba.Recurrent(dict(CUBA), 12, 8, weight_scale=2)),
    }


def layers(net):
    """Everything with a weight of its own, real and imaginary parts, inputs and feedback."""
    return {name: module for name, module in net.named_modules() if isinstance(module, torch.nn.Conv3d)}


def init(module):
    if isinstance(module, torch.nn.Conv3d):
        torch.nn.init.normal_(module.weight, 0.1, 0.5)


def weights(net):
    """The weights that the blocks export, by layer."""
    found = {}
    with h5py.File(io.BytesIO(), "w") as file:
        for index, block in enumerate(net):
            block.export_hdf5(file.create_group(str(index)))

        def take(name, item):
            if "weight" in name and isinstance(item, h5py.Dataset):
                found[name] = torch.tensor(item[()])

        file.visititems(take)
    return found


def run(seed):
    torch.manual_seed(seed)
    spikes, frames = (torch.rand(4, 12, 20) < 0.3).float(), (torch.rand(4, 2, 7, 7, 20) < 0.3).float()
    found = {}
    for name, net in networks().items():
        net.apply(init)
        found[f"{name}/synapses"] = torch.tensor(len(layers(net)))
        for key, module in layers(net).items():
            prune.l1_unstructured(module, name="weight", amount=0.5)
            found[f"{name}/{key}/mask"] = module.weight_mask.flatten(1)
            if key.endswith("recurrent_synapse"):  # pruned once: slayer reads this weight past the hooks
                prune.remove(module, "weight")
        optimizer = torch.optim.SGD(net.parameters(), lr=1e-2)
        for step in range(3):
            output = net(frames if name == "frames" else spikes)
            loss = (output.mean(-1) - 0.2).pow(2).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step == 0:
                found |= {f"{name}/output": output.detach(), f"{name}/loss": loss.detach()}
        for key, module in layers(net).items():
            if not key.endswith("recurrent_synapse"):
                prune.remove(module, "weight")
                found[f"{name}/{key}/stays"] = (module.weight.flatten(1)[found[f"{name}/{key}/mask"] == 0] == 0).all()
        exported = weights(net)
        if name == "recurrent":  # how credit flows through the feedback decides where its training leads
            found |= {f"{name}/{key}/shape": torch.tensor(value.shape) for key, value in exported.items()}
        else:
            found |= {f"{name}/{key}/exported": value for key, value in exported.items()}

    dense = slayer.block.cuba.Dense(CUBA, 12, 8, weight_scale=2)
    plain = dense(spikes)
    torch.nn.utils.weight_norm(dense.synapse, name="weight")
    found["norm"], found["norm_names"] = dense(spikes).detach(), torch.tensor(len(list(dense.synapse.parameters())))
    torch.nn.utils.remove_weight_norm(dense.synapse, name="weight")
    found["unchanged"] = (dense(spikes) == plain).all()
    normed = slayer.block.cuba.Dense(CUBA, 12, 8, weight_scale=2, weight_norm=True)
    before = normed(spikes).detach()
    torch.nn.utils.remove_weight_norm(normed.synapse)
    found["removed"] = (normed(spikes) == before).all()
    return found


if __name__ == "__main__":
    for name, value in run(1).items():
        print(name, tuple(value.shape), float(value.float().sum()))
