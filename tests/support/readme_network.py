"""The network that Lava-DL's README shows, its input, and one that is trained."""

from __future__ import annotations

import h5py
import pytest
import torch

from lavadl_ref import slayer

STEPS = 24

LABEL = torch.arange(4)

SURROGATE = {"tau_grad": 0.05, "scale_grad": 2}

SDNN = {"threshold": 0.1, "activation": torch.nn.functional.relu, "tau_grad": 0.1, "requires_grad": True}

RF = {"threshold": 0.1, "period": 6, "decay": 0.05, **SURROGATE}

CUBA = {"threshold": 0.1, "current_decay": 0.5, "voltage_decay": 0.1, **SURROGATE}

ALIF = {**CUBA, "threshold_step": 0.05, "threshold_decay": 0.1, "refractory_decay": 0.2}


class Network(torch.nn.Module):
    """Sigma-delta, resonating, adaptive and recurrent blocks in a row."""

    def __init__(self, delay=True, **options):
        super().__init__()
        sdnn_params, rf_params, alif_params, cuba_params = ({**p, **options} for p in (SDNN, RF, ALIF, CUBA))
        block = slayer.block
        self.blocks = torch.nn.ModuleList(
            [
                block.sigma_delta.Input(sdnn_params),
                block.sigma_delta.Conv(sdnn_params, 3, 24, 3),
                block.sigma_delta.Conv(sdnn_params, 24, 36, 3),
                block.rf_iz.Conv(rf_params, 36, 64, 3, delay=delay),
                block.rf_iz.Conv(rf_params, 64, 64, 3, delay=delay),
                block.rf_iz.Flatten(),
                block.alif.Dense(alif_params, 64 * 40, 100, delay=delay),
                block.cuba.Recurrent(cuba_params, 100, 50),
                block.cuba.KWTA(cuba_params, 50, 50, num_winners=5),
            ]
        )

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return x

    def export_hdf5(self, path):
        with h5py.File(path, "w") as file:
            for i, block in enumerate(self.blocks):
                block.export_hdf5(file.create_group(f"layer/{i}"))


def bars():
    """(4, 3, 13, 16, STEPS): a bright bar that moves down, up, right or left, in noise."""
    row, column, t = torch.arange(13)[:, None, None], torch.arange(16)[:, None], torch.arange(STEPS) / STEPS
    distances = [row - 13 * t, row - 12 + 13 * t, column - 16 * t, column - 15 + 16 * t]
    bars = torch.stack([torch.exp(-((d.expand(13, 16, STEPS) / 2) ** 2)) for d in distances])
    colours = torch.tensor([3.0, 1.5, 0.75])[:, None, None, None]
    noise = torch.rand(4, 3, 13, 16, STEPS, generator=torch.Generator().manual_seed(0))
    return colours * bars[:, None] + 0.05 * noise


def network(**options):
    """A network whose weights and delays are the same at each call."""
    torch.manual_seed(0)
    net = Network(**options)
    net(bars()[:1])
    for block in net.blocks:
        if hasattr(block, "reset"):
            block.reset()
    return net


@pytest.fixture(scope="module")
def training():
    """The trained network, and its statistics."""
    net, x, stats = network(), bars(), slayer.utils.LearningStats()
    assistant = slayer.utils.Assistant(
        net,
        slayer.loss.SpikeMax(),
        torch.optim.Adam(net.parameters(), lr=3e-3),
        stats,
        classifier=slayer.classifier.Rate.predict,
    )
    for _ in range(36):
        assistant.train(x, LABEL)
        stats.update()
    return net, stats
