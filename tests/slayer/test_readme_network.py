"""The network that Lava-DL's README shows, as it stands there: it trains, is exported, and is rebuilt from the file."""

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


def test_every_layer_is_alive():
    net, x = network(), bars()
    shapes = []
    for block in net.blocks:
        x = block(x)
        shapes.append(tuple(x.shape[1:-1]))
        assert 0.005 < (x != 0).float().mean() < 0.9, block
    assert shapes[3:6] == [(64, 7, 10), (64, 5, 8), (64 * 40,)]
    assert shapes[-1] == (50,)


def test_gradients_reach_every_parameter():
    net = network()
    slayer.loss.SpikeMax()(net(bars()), LABEL).backward()
    gradients = {name: p.grad for name, p in net.named_parameters() if p.requires_grad and p.grad is not None}
    trained = {
        name for name, _ in net.named_parameters() if name.rpartition(".")[2] in ("weight", "delay", "threshold")
    }
    assert trained <= set(gradients)
    for name, gradient in gradients.items():
        assert torch.isfinite(gradient).all(), name
        # far from where float32 loses digits
        assert gradient.abs().max() > 1e-10, name


def test_the_loss_falls(training):
    _, stats = training
    losses = stats.training.loss_log
    assert losses[0] > 3
    assert sum(losses[-5:]) / 5 < losses[0] / 4
    assert stats.training.max_accuracy >= 0.75


def test_the_exported_network_is_rebuilt_with_equal_output(training, tmp_path):
    net, _ = training
    net.eval()
    net.export_hdf5(tmp_path / "network.net")
    rebuilt = slayer.auto.SequentialNetwork(tmp_path / "network.net").eval()
    assert [type(block).__name__ for block in rebuilt.blocks[:-1]] == [
        type(block).__name__ for block in net.blocks[:-1]
    ]
    with torch.no_grad():
        expected = net(bars())
        assert expected.sum() > 0
        assert torch.equal(rebuilt(bars()), expected)


@pytest.mark.parametrize("delay", [False, True])
def test_a_persistent_network_in_chunks_gives_the_whole(delay, tmp_path):
    whole = network(delay=delay).eval()
    net = network(delay=delay, persistent_state=True).eval()
    net.export_hdf5(tmp_path / "network.net")
    rebuilt = slayer.auto.SequentialNetwork(tmp_path / "network.net", persistent_state=True).eval()
    x = bars()
    with torch.no_grad():
        expected = whole(x)
        assert expected.sum() > 0
        for subject in (net, rebuilt):
            chunks = [subject(part) for part in x.split([1, 9, STEPS - 10], dim=-1)]
            assert torch.equal(torch.cat(chunks, dim=-1), expected)


def test_a_persistent_network_trains():
    net = network(persistent_state=True)
    assistant = slayer.utils.Assistant(
        net, slayer.loss.SpikeMax(), torch.optim.Adam(net.parameters(), lr=3e-3), slayer.utils.LearningStats()
    )
    before = [p.detach().clone() for p in net.parameters()]
    for _ in range(2):
        assistant.train(bars(), LABEL)
    changed = [not torch.equal(p, old) for p, old in zip(net.parameters(), before, strict=True)]
    assert sum(changed) >= len([b for b in net.blocks if hasattr(b, "neuron")])
