"""A network that is trained, exported, and rebuilt from its file to classify."""

import os
import tempfile

import h5py
import lava.lib.dl.slayer as slayer
import torch

PARAMS = {"threshold": 0.5, "current_decay": 0.25, "voltage_decay": 0.1}


def run(seed):
    torch.manual_seed(seed)
    net = torch.nn.Sequential(
        slayer.block.cuba.Flatten(),
        slayer.block.cuba.Dense(PARAMS, 2 * 4 * 4, 16, weight_scale=2),
        slayer.block.cuba.Dense(PARAMS, 16, 4, weight_scale=2, delay=True),
    )
    frames = (torch.rand(5, 2, 4, 4, 25) < 0.3).float()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    loss = slayer.loss.SpikeRate(true_rate=0.4, false_rate=0.05)(net(frames), torch.arange(5) % 4)
    loss.backward()
    optimizer.step()
    expected = net(frames).detach()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "network.net")
        with h5py.File(path, "w") as file:
            layer = file.create_group("layer")
            for index, block in enumerate(net):
                block.export_hdf5(layer.create_group(f"{index}"))
        again = slayer.auto.SequentialNetwork(path)
        output = again(frames)
        output = output[0] if isinstance(output, tuple) else output
    event = slayer.io.tensor_to_event(output[0].detach().reshape(1, 4, -1).numpy())
    return {
        "loss": loss.detach(),
        "output": output.detach(),
        "as_trained": (output == expected).all(),
        "events": torch.tensor(len(event.t)),
        "times": torch.tensor(event.t).long().sort().values,
        "predicted": slayer.classifier.Rate.predict(output),
        "confidence": slayer.classifier.Rate.confidence(output.detach()),
    }


if __name__ == "__main__":
    for name, value in run(1).items():
        print(name, value.tolist())
