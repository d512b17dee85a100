"""Scripts as written for Lava-DL, each in an interpreter of its own after ``drop_in.install()``."""

import os
import textwrap
from pathlib import Path

import pytest

from lavadl_ref.netx import lava_support
from tests.support.scripts import python

ROOT = Path(__file__).resolve().parents[1]

TRAIN = """
    import os
    import h5py
    import torch
    import lava.lib.dl.slayer as slayer

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            neuron_params = {
                'threshold': 0.5, 'current_decay': 0.25, 'voltage_decay': 0.03,
                'tau_grad': 0.1, 'scale_grad': 3, 'requires_grad': True,
            }
            drop_params = {**neuron_params, 'dropout': slayer.neuron.Dropout(p=0.05)}
            self.blocks = torch.nn.ModuleList([
                slayer.block.cuba.Dense(drop_params, 12, 24, weight_norm=True, delay=True),
                slayer.block.cuba.Dense(neuron_params, 24, 2, weight_norm=True),
            ])

        def forward(self, spike):
            count = []
            for block in self.blocks:
                spike = block(spike)
                count.append(torch.mean(spike).item())
            return spike, torch.FloatTensor(count).reshape((1, -1))

        def grad_flow(self, path):
            def grad_norm(block):
                weight = block.synapse.weight_g if block.synapse.weight_norm_enabled else block.synapse.weight
                return torch.norm(weight.grad).item()
            return [grad_norm(block) for block in self.blocks if hasattr(block, 'synapse')]

        def export_hdf5(self, filename):
            h = h5py.File(filename, 'w')
            layer = h.create_group('layer')
            for i, block in enumerate(self.blocks):
                block.export_hdf5(layer.create_group(f'{i}'))

    torch.manual_seed(4)
    label = torch.arange(16) % 2
    input = (torch.rand(16, 12, 20) < 0.4 * (torch.arange(12)[None, :, None] // 6 == label[:, None, None])).float()
    net = Network()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    error = slayer.loss.SpikeRate(true_rate=0.4, false_rate=0.05, reduction='sum')
    stats = slayer.utils.LearningStats()
    assistant = slayer.utils.Assistant(
        net, error, optimizer, stats, classifier=slayer.classifier.Rate.predict, count_log=True
    )
    for epoch in range(10):
        output, count = assistant.train(input, label)
        print(f'\\r[Epoch {epoch:2d}] {stats}', end='')
        output, count = assistant.test(input, label)
        if stats.testing.best_accuracy:
            torch.save(net.state_dict(), 'network.pt')
        stats.update()
        stats.save('./')
        assert len(net.grad_flow('./')) == 2
    loss = stats.training.loss_log
    assert loss[-1] < 0.5 * loss[0], loss
    assert stats.testing.max_accuracy > 0.8, stats.testing.max_accuracy
    assert os.path.exists('accuracy.txt') and os.path.exists('loss.txt')

    fresh = Network()
    fresh.load_state_dict(torch.load('network.pt', weights_only=True))
    net.load_state_dict(torch.load('network.pt', weights_only=True))
    net.eval(), fresh.eval()
    assert torch.equal(fresh(input)[0], net(input)[0]) and net(input)[0].sum() > 0
    net.export_hdf5('network.net')
"""

REGRESS = """
    import torch
    from lava.lib.dl import slayer

    torch.manual_seed(1)
    params = {'threshold': 0.1, 'current_decay': 0.9, 'voltage_decay': 0.9, 'requires_grad': False, 'scale_grad': 1.5}
    net = torch.nn.Sequential(
        slayer.block.cuba.Input(params),
        slayer.block.cuba.Dense(params, 2, 16),
        slayer.block.cuba.Affine(params, 16, 1, dynamics=False),
    )
    x = torch.tensor([[0., 0.], [0., 1.], [1., 0.], [1., 1.]])[..., None].repeat(1, 1, 10)
    target = torch.tensor([0., 1., 1., 2.])
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
    losses = []
    for _ in range(40):
        loss = torch.nn.functional.mse_loss(net(x).mean(-1).flatten(), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0], losses

    # a sequence in two calls, its state set to rest as scripts do
    neuron = slayer.neuron.alif.Neuron(
        threshold=0.5, threshold_step=0.25, current_decay=0.2, voltage_decay=0.1, threshold_decay=0.1,
        refractory_decay=0.3, persistent_state=True,
    )
    current = torch.rand(1, 3, 30)
    whole = neuron(current)
    for state in (neuron.current_state, neuron.voltage_state, neuron.threshold_state, neuron.refractory_state):
        state *= 0
    neuron.threshold_state += neuron.threshold
    parts = [neuron(current[..., :11]), neuron(current[..., 11:])]
    assert torch.equal(torch.cat(parts, -1), whole) and whole.sum() > 0
    neuron.voltage_state += float('nan')
    try:
        neuron(current)
    except ValueError as error:
        assert 'voltage_state must be finite' in str(error), error
    else:
        raise AssertionError
"""

LOAD = """
    from lava.lib.dl.netx.hdf5 import Network
    from lava.lib.dl import netx

    net = netx.hdf5.Network(net_config='network.net')
    assert type(net) is Network and len(net) == 2
    assert net.inp.shape == (12,) and net.out.shape == net.layers[-1].shape == (2,)
    print(net)
"""


def run(code, folder):
    """Run a script in `folder`; every warning is an error."""
    script = folder / "script.py"
    script.write_text("from lavadl_ref import drop_in\ndrop_in.install()\n" + textwrap.dedent(code))
    path = os.pathsep.join([str(ROOT), str(ROOT / "kernels")])
    return python("-W", "error", script.name, cwd=folder, env={**os.environ, "PYTHONPATH": path})


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("script")
    return folder, run(TRAIN, folder)


def test_a_script_may_train_save_load_and_export(trained):
    assert "[Epoch  9] Train loss" in trained[1]


def test_a_script_may_set_states_of_a_regression(tmp_path):
    """Input block, readout without dynamics, states set by hand."""
    run(REGRESS, tmp_path)


@pytest.mark.skipif(not lava_support.available()[0], reason="lava-nc is not installed")
def test_the_exported_file_is_read_by_netx(trained):
    assert "Dense" in run(LOAD, trained[0])


EARLY = """
    import sys
    import warnings
    import numpy as np
    from lavadl_ref.exchange import Dense, Network, Neuron, write

    def save(name, bias):
        decays = {'current_decay': np.array([1024] * 3), 'voltage_decay': np.array([256] * 3)}
        neuron = Neuron('CUBA', {'threshold': 64, **decays})
        weight = np.full((3, 3), 8)
        layers = [Dense(shape=(3,), weight=weight, bias=bias, neuron=neuron) for bias in (None, bias)]
        write(name, Network(tuple(layers)))

    save('early.net', np.array([0, 2, 0]))
    save('plain.net', None)

    from lavadl_ref import netx as direct

    def said(network, **options):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter('always')
            net = network(net_config=options.pop('net_config', 'early.net'), **options)
        assert net.time_base == options.get('time_base', 'slayer')
        return [w for w in caught if 'time_base' in str(w.message)]

    assert not said(direct.hdf5.Network)
    from lava.lib.dl import netx
    assert netx.hdf5.Network is direct.hdf5.Network
    assert not said(netx.hdf5.Network, time_base='slayer') and not said(netx.hdf5.Network, time_base='lava')
    assert not said(netx.hdf5.Network, net_config='plain.net')
    first, *more = said(netx.hdf5.Network)
    assert not more and first.filename.endswith(sys.argv[0]), (more, first.filename)
    assert first.category.__name__ == 'TimeBaseWarning' and 'layer 1 rests' in str(first.message), first
    assert 'time_base="lava" for the values of Lava-DL' in str(first.message), first
    assert not said(netx.hdf5.Network)
"""


@pytest.mark.skipif(not lava_support.available()[0], reason="lava-nc is not installed")
def test_a_network_that_starts_otherwise_than_lava_dls_says_so_once(tmp_path):
    run(EARLY, tmp_path)


LOCAL = """
    import torch
    import lava.lib.dl.slayer as slayer
    from lava.lib.dl.decolle.loss import DECOLLELoss
    from lava.lib.dl.decolle.utils import DECOLLEAssistant

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            neuron_params = {
                'threshold': 0.5, 'current_decay': 0.25, 'voltage_decay': 0.1, 'tau_grad': 0.3, 'scale_grad': 3,
                'requires_grad': False, 'persistent_state': True,
            }
            self.blocks = torch.nn.ModuleList([
                slayer.block.cuba.Dense(neuron_params, 12, 32),
                slayer.block.cuba.Dense(neuron_params, 32, 24),
            ])
            self.readout_layers = torch.nn.ModuleList([
                torch.nn.Linear(block.synapse.out_channels, 3, bias=False) for block in self.blocks
            ])
            for readout in self.readout_layers:
                for parameter in readout.parameters():
                    parameter.requires_grad = False

        def forward(self, spike):
            spikes, readouts, voltages, count = [], [], [], []
            for block, linear in zip(self.blocks, self.readout_layers):
                z = block.synapse(spike.detach())
                current, voltage = block.neuron.dynamics(z)
                spike = block.neuron.spike(voltage)
                spikes.append(spike)
                voltages.append(voltage)
                readouts.append(linear(spike.permute(0, 2, 1)).permute(0, 2, 1))
                count.append(torch.mean(spike).item())
            return spikes, readouts, voltages, torch.FloatTensor(count).reshape((1, -1))

        def init_state(self, input, burn_in=5):
            with torch.no_grad():
                for block in self.blocks:
                    block.neuron.current_state[:] = 0
                    block.neuron.voltage_state[:] = 0
                self.forward(input[..., :burn_in])
            return input[..., burn_in:]

    def rows(seed, samples):
        # a group of four inputs is busy 8 steps before the next: which comes first tells the class
        generator = torch.Generator().manual_seed(seed)
        label = torch.arange(samples) % 3
        start = (torch.arange(12) // 4 + label[:, None]) % 3 * 8
        time = torch.arange(30)
        rate = torch.where((time >= start[..., None]) & (time < start[..., None] + 14), 0.5, 0.05)
        return (torch.rand(rate.shape, generator=generator) < rate).float(), label

    torch.set_num_threads(1)  # a step is short: where the processors are busy, threads wait for each other
    accuracies = {}
    for mode, epochs, lr in (('online', 4, 0.004), ('batch', 20, 0.04)):
        torch.manual_seed(3)
        net = Network()
        optimizer = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], lr=lr)
        stats = slayer.utils.LearningStats()
        assistant = DECOLLEAssistant(
            net, DECOLLELoss(torch.nn.CrossEntropyLoss, reg=0.01), optimizer, stats,
            classifier=slayer.classifier.Rate.predict, count_log=True, training_mode=mode,
        )
        input, label = rows(0, 60)
        held_out, truth = rows(1, 60)
        untrained = assistant.test(held_out, truth)[0]
        assert (untrained.mean(-1).argmax(1) == truth).float().mean() < 0.6
        stats.testing.reset()
        for epoch in range(epochs):
            output, count = assistant.train(input, label)
            output, count = assistant.valid(held_out, truth)
            output, count = assistant.test(held_out, torch.eye(3)[truth])
            header = ['Event rate: ' + ', '.join(f'{c.item():.4f}' for c in count.flatten())]
            stats.print(epoch, header=header)
            stats.update()
        assert output.shape == (60, 3, 25)
        torch.testing.assert_close(stats.testing.loss_log, stats.validation.loss_log, rtol=1e-5, atol=0)
        assert stats.training.loss_log[-1] < stats.training.loss_log[0]
        accuracies[mode] = stats.testing.accuracy_log[-1]
    print(accuracies)
    assert min(accuracies.values()) > 0.8, accuracies
"""


def test_a_script_of_the_decolle_plugin_learns(tmp_path):
    run(LOCAL, tmp_path)
