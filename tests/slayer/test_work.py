"""`slayer.measure_work`: the counts of a live network are those of an audit of its file."""

from __future__ import annotations

import pytest
import torch

from lavadl_ref import exchange, slayer
from lavadl_ref.audit import audit
from lavadl_ref.deployed import deployment
from lavadl_ref.slayer import block as blocks
from lavadl_ref.slayer.block import describe
from tests.support import matrix


def network(family, opening="Conv", ending="Recurrent", **options):
    """Blocks that follow one another, with delays, and an input of one sample."""
    torch.manual_seed(4)
    module, params = getattr(blocks, family), {**matrix.FAMILIES[family], **options}
    first = [module.Input(params, weight=1.5)] if opening == "Input" else []
    last = {
        "Recurrent": lambda: module.Recurrent(params, 6, 5, weight_scale=4),
        "Affine": lambda: module.Affine(params, 6, 3),
        "sums": lambda: module.Affine(params, 6, 3, dynamics=False),
        "Average": lambda: module.Average(3),
        "Output": lambda: module.Output(params, 6, 3),
    }[ending]
    net = torch.nn.Sequential(
        *first,
        module.Conv(params, 2, 4, 3, weight_scale=3, delay=True),
        module.Pool(params, 2),
        module.Flatten(),
        module.Dense(params, 16, 6, weight_scale=4, delay=True),
        last(),
    )
    x = torch.randint(-2, 5, (1, 2, 6, 6, 20)).float() if first else (torch.rand(1, 2, 6, 6, 20) < 0.4).float()
    with torch.no_grad():
        net(x)
    for block in net:
        if getattr(block, "delay", None) is not None:
            block.delay.delay.data = torch.arange(block.delay.delay.numel()) % 3 + 0.5
    return net, x


CASES = [
    *(
        (family, opening, ending)
        for family in matrix.SPIKING
        for opening in ("Conv", "Input")
        for ending in ("Recurrent",)
    ),
    *(("cuba", "Conv", ending) for ending in ("Affine", "sums", "Average")),
    *(("sigma_delta", opening, "Output") for opening in ("Conv", "Input")),
]


@pytest.mark.parametrize(("family", "opening", "ending"), CASES)
def test_counts_of_a_live_network_are_those_of_the_audit(family, opening, ending):
    net, x = network(family, opening, ending)
    with slayer.measure_work(net) as work:
        net(x)
    described = describe.network(net)
    given = net[0]._scaled(x) if opening == "Input" else x
    inputs = (given[0] * 2 ** deployment.input_bits(described.layers)).to(torch.int64).numpy()
    found = audit(described, inputs)
    assert found.exceeded == ()
    audited = [(layer.kind, layer.shape, layer.work) for layer in found.layers if layer.work is not None]
    assert [(layer.kind, layer.shape, layer.work) for layer in work.layers] == audited
    assert (work.outside, work.totals) == (found.outside, found.totals)
    assert work.totals.events > 1


def test_counts_are_means_over_samples_calls_and_steps():
    net, x = network("cuba")
    y = torch.rand_like(x).round()
    works = []
    for given in (x, y):
        with slayer.measure_work(net) as work:
            net(given)
        works.append(work)
    with slayer.measure_work(net) as batch:
        net(torch.cat([x, y]))
    with slayer.measure_work(net) as calls:
        for given in (x, y):  # block by block too
            for block in net:
                given = block(given)
    assert batch.layers == calls.layers
    assert batch.totals.operations == pytest.approx(sum(work.totals.operations for work in works) / 2)
    assert batch.totals.events == pytest.approx(sum(work.totals.events for work in works) / 2)


def test_counts_in_training_have_what_dropout_left():
    net, x = network("cuba", dropout=slayer.neuron.Dropout(0.5))
    found = []
    for training in (True, False):
        net.train(training)
        with slayer.measure_work(net) as work:
            y = net(x)
        found.append(work.layers[0].work.events)
    assert 0 < found[0] < 0.8 * found[1]
    assert not y.requires_grad or y.grad_fn is not None
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in net.modules())


def test_energy_is_the_sum_of_counts_times_constants():
    net, x = network("cuba")
    with slayer.measure_work(net) as work:
        net(x)
    model = slayer.EnergyModel(operation=3.0, event=5.0, update=7.0, source="made up")
    layers = [layer.work for layer in work.layers]
    expected = sum(3 * layer.operations + 5 * layer.events + 7 * layer.neurons for layer in layers)
    assert work.energy(model) == pytest.approx(expected)
    assert "Davies" in slayer.LOIHI1.source
    with pytest.raises(TypeError, match=r"model must be an EnergyModel, such as slayer\.LOIHI1, got float"):
        work.energy(23.6e-12)
    with pytest.raises(ValueError, match="event must be at least 0, got -1"):
        slayer.EnergyModel(operation=1, event=-1, update=1, source="")


def test_work_that_cannot_be_counted_is_refused():
    with pytest.raises(TypeError, match="net must be a torch module, got int"):
        slayer.measure_work(3)
    with pytest.raises(ValueError, match="net must hold a block of slayer, got Linear without one"):
        slayer.measure_work(torch.nn.Linear(1, 1))


def test_the_table_of_the_work_names_blocks_and_ends_with_the_sum():
    net, x = network("cuba")
    with slayer.measure_work(net) as work:
        net(x)
    lines = str(work).splitlines()
    assert lines[0].split()[:3] == ["block", "type", "shape"]
    assert [line.split()[0] for line in lines[2:]] == ["-", "0", "1", "3", "4", "all"]
    work.clear()
    assert (work.layers, work.outside) == ((), None)
    assert exchange.Network(describe.network(net).layers).start_steps[0] == 1
