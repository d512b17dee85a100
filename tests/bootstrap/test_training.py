"""Networks trained by the scheduler: as Lava-DL documents it, by crossover, resumed, exported and compared."""

import copy

import pytest
import torch

from lavadl_ref import bootstrap, exchange, slayer, verify
from lavadl_ref.bootstrap import Mode
from tests.support.families import ADAPTIVE, COMPLEX, RATED
from tests.support.matrix import FAMILIES

STEPS = 16
CLASSES = 4
NEURONS = {
    **{family: {**FAMILIES[family], "tau_grad": 1, "scale_grad": 1} for family in FAMILIES},
    "cuba": {"threshold": 1.25, "current_decay": 1, "voltage_decay": 0.03, "tau_grad": 1, "scale_grad": 1},
    "rf_iz": {"threshold": 0.5, "period": 16, "decay": 0.3, "tau_grad": 1, "scale_grad": 1},
    "rf": {"threshold": 0.125, "period": 6, "decay": 0.03},
    "adrf": {**FAMILIES["adrf"], "threshold": 0.125, "decay": 0.03},
}
for family in set(RATED) & set(COMPLEX) & set(ADAPTIVE):
    NEURONS[family] = {**FAMILIES[family], "period": 12, "decay": 0.3}


class Network(torch.nn.Module):
    """In the way of Lava-DL's documentation: a picture in ANN mode, else the picture over time."""

    def __init__(self, family="cuba", dynamics=True):
        super().__init__()
        block, params = getattr(bootstrap.block, family), NEURONS[family]
        gain = 3 if "period" in params else 1
        self.blocks = torch.nn.ModuleList(
            [
                block.Input(params, weight=gain, bias=0),
                block.Dense(params, 16, 24, weight_norm=True, weight_scale=2),
                block.Dense(params, 24, 24, weight_norm=True, weight_scale=2),
                block.Affine(params, 24, CLASSES, weight_norm=True, weight_scale=2, dynamics=dynamics),
            ]
        )

    def forward(self, x, mode):
        if mode.base_mode == bootstrap.Mode.ANN:
            x = x.reshape(len(x), 16, 1)
        else:
            x = slayer.utils.time.replicate(x, STEPS).reshape(len(x), 16, STEPS)
        for block, m in zip(self.blocks, mode, strict=False):
            x = block(x, mode=m)
        return x

    def export_hdf5(self, filename):
        exchange.write(filename, exchange.Network(tuple(block.describe() for block in self.blocks)))


def pictures(seed, count=32):
    """Bars on a 4 x 4 grid in one of four places, and their labels."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(CLASSES, (count,), generator=generator)
    x = 0.3 * torch.rand(count, 1, 4, 4, generator=generator)
    x[torch.arange(count), 0, labels] += 0.7
    return x, labels


def step(network, optimizer, mode, seed):
    x, labels = pictures(seed)
    loss = torch.nn.functional.cross_entropy(network(x, mode).mean(-1), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def trained(network, scheduler, epochs, iterations=12, first=0, optimizer=None):
    optimizer = optimizer or torch.optim.Adam(network.parameters(), lr=0.01)
    network.train()
    return [
        [step(network, optimizer, scheduler.mode(e, i, network.training), 1000 * e + i) for i in range(iterations)]
        for e in range(first, epochs)
    ]


def accuracy(network, mode):
    network.eval()
    x, labels = pictures(-1, 200)
    with torch.no_grad():
        return (network(x, bootstrap.routine.LayerMode(0, mode)).mean(-1).argmax(1) == labels).float().mean().item()


@pytest.mark.parametrize("family", RATED)
def test_a_network_learns_as_rates_what_it_then_does_with_spikes(family):
    torch.manual_seed(0)
    network = Network(family)
    losses = trained(network, bootstrap.routine.Scheduler(4, 2), 7)
    assert losses[-1][-1] < 0.5 * losses[0][0]
    rates, spikes = accuracy(network, Mode.ANN), accuracy(network, Mode.SNN)
    assert rates > 0.9
    assert spikes > 0.9


@pytest.mark.parametrize("family", ["cuba", "sigma_delta"])
def test_a_network_learns_on_through_its_crossover(family):
    """With layers that are spiking for good the network goes on learning, and ends as all spiking."""
    torch.manual_seed(0)
    network, scheduler = Network(family), bootstrap.routine.Scheduler(4, 2, crossover_epochs=[1, 2, 3, 4])
    losses = trained(network, scheduler, 6)
    assert scheduler.crossover == 4
    assert losses[-1][-1] < 0.5 * losses[0][0]
    last = scheduler.mode(5, 3)
    x, _ = pictures(7)
    assert last.base_mode is Mode.ANN
    network.eval()
    assert torch.equal(network(x, last), network(x, bootstrap.routine.LayerMode(0, Mode.SNN)))


def test_a_hybrid_network_is_between_both():
    torch.manual_seed(0)
    network = Network()
    trained(network, bootstrap.routine.Scheduler(4, 2), 3)
    network.eval()
    x, _ = pictures(7)
    out = [network(x, bootstrap.routine.LayerMode(crossover, Mode.ANN)).mean(-1).flatten() for crossover in range(5)]
    spiking = network(x, bootstrap.routine.LayerMode(0, Mode.SNN)).mean(-1).flatten()
    assert torch.equal(out[4], spiking)
    assert all(torch.corrcoef(torch.stack([each, spiking]))[0, 1] > 0.9 for each in out)


def test_training_goes_on_from_a_checkpoint_with_the_same_result():
    torch.manual_seed(0)
    network, scheduler = Network(), bootstrap.routine.Scheduler(3, 2, crossover_epochs=[1, 5])
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    trained(network, scheduler, 3, 5, optimizer=optimizer)
    checkpoint = copy.deepcopy([each.state_dict() for each in (network, scheduler, optimizer)])
    torch.manual_seed(1)
    expected = trained(network, scheduler, 6, 5, 3, optimizer)

    resumed, again = Network(), bootstrap.routine.Scheduler(3, 2, crossover_epochs=[1, 5])
    other = torch.optim.Adam(resumed.parameters(), lr=0.01)
    for each, state in zip((resumed, again, other), checkpoint, strict=True):
        each.load_state_dict(state)
    torch.manual_seed(1)
    assert trained(resumed, again, 6, 5, 3, other) == expected


@pytest.mark.parametrize("dynamics", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_trained_network_equals_its_export(family, dynamics, tmp_path):
    torch.manual_seed(0)
    network = Network(family, dynamics)
    if family in RATED:
        trained(network, bootstrap.routine.Scheduler(2, 10), 1, 6)
    network.eval()
    x = pictures(3, 4)[0].reshape(4, 16, 1).expand(4, 16, STEPS)
    if family not in RATED:
        x = x * torch.rand(4, 16, STEPS)  # still pictures do not make them fire
    sent = network.blocks[0](x, mode=Mode.SNN).detach()
    # a current of the input's 1/32 times the gain's 1/32 is not among what a file's input layer takes
    report = verify.trained(network.blocks[1:], sent)
    assert report.divergences == []
    assert report.exact
    assert [bool(layer.paths) for layer in report.layers] == [True] * 3
    assert sum(layer.spikes for layer in report.layers[:2]) > 0
    network.export_hdf5(tmp_path / "network.net")
    report = verify.verify(tmp_path / "network.net", steps=STEPS, lava=False)
    assert report.divergences == []
    assert report.exact
    assert report.layers[0].paths["slayer"].compared == 16 * STEPS


@pytest.mark.lava
def test_a_bootstrapped_network_runs_on_lava(tmp_path):
    pytest.importorskip("lava")
    torch.manual_seed(0)
    network = Network()
    trained(network, bootstrap.routine.Scheduler(2, 10), 1, 6)
    network.eval()
    network(pictures(3)[0], bootstrap.routine.LayerMode(0, Mode.SNN))
    network.export_hdf5(tmp_path / "network.net")
    report = verify.verify(tmp_path / "network.net", steps=STEPS, in_process=True)
    assert report.divergences == []
    assert set(report.layers[1].paths) == {"slayer", "lava"}
    assert report.exact


def test_convolutions_train_and_compare():
    torch.manual_seed(0)
    block, params = bootstrap.block.cuba, NEURONS["cuba"]
    blocks = torch.nn.ModuleList(
        [
            block.Input(params, weight=1, bias=0),
            block.Conv(params, 1, 6, 3, padding=1, weight_scale=2, weight_norm=True),
            block.Pool(params, 2),
            block.Flatten(),
            block.Dense(params, 24, 8, weight_scale=2),
            block.Average(CLASSES),
        ]
    )
    scheduler = bootstrap.routine.Scheduler(2)
    optimizer = torch.optim.Adam(blocks.parameters(), lr=0.01)

    def run(x, mode):
        x = x[..., None] if mode.base_mode is Mode.ANN else x[..., None].expand(*x.shape, STEPS)
        for each, m in zip(blocks, mode, strict=False):
            x = each(x, mode=m)
        return x

    losses = []
    for i in range(60):
        x, labels = pictures(i)
        loss = torch.nn.functional.cross_entropy(5 * run(x, scheduler.mode(0, i)).mean(-1), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
    blocks.eval()
    sent = blocks[0](pictures(3, 4)[0][..., None].expand(4, 1, 4, 4, STEPS), mode=Mode.SNN).detach()
    report = verify.trained(blocks[1:], sent)
    assert report.exact
    assert report.layers[0].spikes > 0
