"""The network that Lava-DL's README shows, as it stands there: it trains, is exported, and is rebuilt from the file."""

import pytest
import torch

from lavadl_ref import slayer
from tests.support import readme_network
from tests.support.readme_network import LABEL, STEPS, bars, network

training = readme_network.training  # a fixture


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
