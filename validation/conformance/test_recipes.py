"""Two of lava-dl's tutorials, trained here as there: XOR as a regression, and the Oxford spike trains.

What both reach is printed: ``pytest -s`` shows it.
"""

from __future__ import annotations

import functools
import time

import pytest
import torch

from lavadl_ref import slayer as ours
from tests.support import upstream

#: Training is chaotic. From one seed and with equal gradients, a sum that rounds differently in its last bit makes
#: another spike after some ninety epochs of the Oxford recipe, and best losses that differ by more than one percent.
CHAOS = 1.02


def report(recipe, name, losses, seconds):
    print(
        f"\n{recipe}, {name}: loss {losses[0]:.6g} -> {losses[-1]:.6g} (min {min(losses):.6g}) "
        f"in {len(losses)} epochs, {seconds:.1f} s"
    )


def fit(net, error, optimizer, epochs):
    """The loss of each epoch, before its step, and the seconds all took."""
    losses, start = [], time.perf_counter()
    for _ in range(epochs):
        loss = error(net)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses, time.perf_counter() - start


@functools.lru_cache
def xor(root):
    """Losses of 500 epochs and the answers after them: four samples held for ten steps, judged at the last."""
    x = torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]])[..., None].repeat(1, 1, 10)
    wanted = torch.tensor([0.0, 1, 1, 0])
    params = {"threshold": 0.1, "current_decay": 0.9, "voltage_decay": 0.9}
    cuba = root.block.cuba
    torch.manual_seed(666)
    net = torch.nn.Sequential(
        cuba.Input(params),
        cuba.Dense(params, 2, 32),
        cuba.Dense(params, 32, 32),
        cuba.Affine(params, 32, 1, dynamics=False),
    )
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
    losses, seconds = fit(net, lambda net: ((net(x)[:, 0, -1] - wanted) ** 2).mean(), optimizer, 500)
    accuracy = (net(x)[:, 0, -1].round().abs() == wanted).float().mean().item()
    return losses, accuracy, seconds


def test_the_xor_regression_is_learnt():
    losses, accuracy, seconds = xor(ours)
    report("XOR", "lavadl_ref", losses, seconds)
    assert losses[-1] <= 0.0013
    assert accuracy == 1


@pytest.mark.upstream
def test_the_xor_regression_equals_lava_dls():
    theirs = upstream.slayer()
    expected, accuracy, seconds = xor(theirs)
    report("XOR", "lava-dl", expected, seconds)
    # what the tutorial reports
    assert (round(expected[-1], 5), round(min(expected), 5), accuracy) == (0.00122, 0.00049, 1)
    losses, _, _ = xor(ours)
    assert losses[:100] == expected[:100]
    assert losses[-1] <= expected[-1]
    assert min(losses) <= min(expected)


def oxford(root, events, target, weights, requires_grad, epochs):
    """Losses of `epochs` epochs from `weights`, and the seconds they took."""
    params = {"threshold": 0.1, "current_decay": 1, "voltage_decay": 0.1, "requires_grad": requires_grad}
    dense = root.block.cuba.Dense
    net = torch.nn.Sequential(dense(params, 200, 256), dense(params, 256, 200))
    with torch.no_grad():
        for block, weight in zip(net, weights, strict=True):
            block.synapse.weight.copy_(weight)
    error = root.loss.SpikeTime(time_constant=2, length=100, filter_order=2)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, weight_decay=1e-5)
    return fit(net, lambda net: error(net(events), target), optimizer, epochs)


@pytest.fixture
def trains(data):
    """Input and target spikes, each (1, 200, 2000), and the weights to start from."""
    tensors = []
    for name in ("input.bs1", "output.bs1"):
        path = data / "oxford" / name
        if not path.is_file():
            pytest.skip(f"{path} is not there")
        event = ours.io.read_1d_spikes(path)
        if name == "output.bs1":
            event.t = event.t.astype(int)  # as the tutorial does
        tensors.append(event.fill_tensor(torch.zeros(1, 1, 200, 2000)).reshape(1, 200, 2000))
    torch.manual_seed(0)
    weights = [torch.nn.init.kaiming_uniform_(torch.empty(o, i), a=5**0.5) for o, i in ((256, 200), (200, 256))]
    return *tensors, [weight[..., None, None, None] for weight in weights]


@pytest.mark.upstream
def test_oxford_without_decays_is_the_same_training(trains):
    runs = [oxford(root, *trains, requires_grad=False, epochs=10)[0] for root in (ours, upstream.slayer())]
    assert runs[0] == pytest.approx(runs[1], rel=1e-6)
    assert runs[0][-1] < 0.4 * runs[0][0]


@pytest.mark.upstream
@pytest.mark.timeout(1500)
def test_oxford_is_learnt_as_by_lava_dl(trains):
    # With Adam's steps of 1e-3 decays move by less than 1/4096 in the 200 epochs of the tutorial, whatever their
    # gradient: the runs are one until rounding parts them, after some ninety epochs, and two samples of one
    # distribution after that. Of what shows here, 70 epochs show as much as 200, which take lava-dl minutes.
    best = {}
    for name, root in (("lavadl_ref", ours), ("lava-dl", upstream.slayer())):
        losses, seconds = oxford(root, *trains, requires_grad=True, epochs=70)
        report("Oxford", name, losses, seconds)
        assert losses[50] < 0.3 * losses[0]
        best[name] = min(losses)
    assert best["lavadl_ref"] <= CHAOS * best["lava-dl"]
