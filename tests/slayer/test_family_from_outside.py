"""A family that is no part of the project trains, is exported and is rebuilt, by its rows alone.

The family is a leaky integrate-and-fire neuron without a current, in integers of 1/4096::

    w[t] = leak(v[t-1], voltage_decay) + a[t],  s[t] = w[t] > threshold,  v[t] = 0 if s[t] else w[t]

What its author writes is here, in this order: the kernel's step and its two functions over lanes, the record, the row
of the file format, the neuron class, the row of the blocks.
"""

from __future__ import annotations

import doctest
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from lavadl_kernels import neurons as kernels
from lavadl_kernels.engine._optional_rows import lane_value, maybe_row, param_row, store
from lavadl_kernels.fixed_point import as_type_of, fixed, leak, memory, real, saturate24, wrap32
from lavadl_kernels.neurons._surrogate import surrogate
from lavadl_kernels.runtime.jit import scalar

from lavadl_ref import exchange, slayer
from lavadl_ref.slayer import auto
from lavadl_ref.slayer.block import _family as families
from lavadl_ref.slayer.neuron import spiking
from tests.support.oracle import unrolled

NAME = "VOLTAGE_ONLY"

# -- the kernel ---------------------------------------------------------------------------------------------


@scalar
def step(v, a, voltage_decay, threshold, loihi):
    """One step of one neuron: the voltage after it, the spike, and the voltage before its reset."""
    voltage = leak(v, voltage_decay) + a
    if loihi:
        voltage = saturate24(voltage)
    spike = voltage > threshold
    return (as_type_of(0, voltage) if spike else voltage), spike, voltage


def advance(neuron, state, decay, x, spike, trace, t, lo, graded):
    """`step` over the lanes of a chunk."""
    n = spike.size
    lanes(state[0, :n], param_row(decay, 0, n), neuron.threshold, x[0], spike, maybe_row(trace, 0, t, lo, n), graded)


@scalar
def lanes(v, decay, threshold, x, spike, row, graded):
    """The lanes of one time step."""
    level = as_type_of(threshold, v)
    for i in range(x.size):
        v[i], fired, voltage = step(v[i], fixed(x[i], v[i]), lane_value(decay, i), level, False)
        store(row, i, real(voltage))
        size = real(voltage) if graded else np.float32(1)
        spike[i] = size if fired else np.float32(0)


def advance_adjoint(
    neuron, share, trace, spike, t, grad_spike, grad_trace, gt, glo, adjoint, grad_x, grad_decay, tau, scale, graded
):
    """The adjoint of `advance`."""
    n = grad_spike.size
    back(
        param_row(share, 0, n), trace[0, t, :n], trace[0, t - 1, :n], spike[t - 1, :n], grad_spike,
        np.float32(neuron.threshold / 4096), adjoint[0, :n], grad_x[0], grad_decay[0, :n], tau, scale, graded,
    )  # fmt: skip


@scalar
def back(fraction, voltage, before, fired, grad_spike, level, adjoint, grad_x, grad_decay, tau, scale, graded):
    """The lanes of one time step, backwards."""
    for i in range(grad_x.size):
        slope = surrogate(voltage[i] - level, tau, scale, graded)
        adjoint[i] = (np.float32(1) - lane_value(fraction, i)) * adjoint[i] + grad_spike[i] * slope
        grad_x[i] = adjoint[i]
        grad_decay[i] -= adjoint[i] * (np.float32(0) if fired[i] != 0 else before[i])


def deploy(neuron, state, i, a, b, loihi):
    """`step` of one lane as it is deployed."""
    decay, threshold = neuron.decay[0, i], neuron.threshold
    free, narrow = step(state[0, i], a, decay, threshold, False), step(state[0, i], wrap32(a), decay, threshold, True)
    state[0, i] = narrow[0] if loihi else free[0]
    return (narrow[1] if loihi else free[1]), (narrow[2] if loihi else free[2]), free[2] != narrow[2]


class VoltageOnly(NamedTuple):
    """Parameters of a layer, integers of 1/4096."""

    decay: np.ndarray[Any, Any]
    threshold: int

    def gain(self, steps):
        """The factor by which the voltage can exceed the inputs."""
        return float(memory(self.decay[0], steps))

    def state_bound(self, state, steps):
        """Without input the voltage comes to nothing more."""
        return 0


# -- its rows -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def family():
    """The family's block row, for as long as the tests here run."""
    record = kernels.register(
        kernels.Family(
            NAME,
            VoltageOnly,
            step,
            deploy,
            ("voltage",),
            ("voltage_decay",),
            advance=advance,
            advance_adjoint=advance_adjoint,
            carried="voltage",
            resets=("voltage",),
        )
    )
    exchange.FAMILIES[NAME] = exchange.Family(
        NAME,
        (
            exchange.Field("vDecay", "voltage_decay", 0, 4096, per_channel=True),
            exchange.Field("vThMant", "threshold", 0, 2**24),
            exchange.Field("gradedSpike", "graded_spike", kind="bool", required=False, default=False),
        ),
    )

    class Neuron(spiking.Neuron):
        """Leaky integrate-and-fire neuron without a current."""

        kernel = record

        def __init__(self, threshold, voltage_decay, **options):
            super().__init__(threshold, **options)
            self._register_decay("voltage_decay", voltage_decay)

    yield families.Family(__name__, Neuron, slayer.synapse)
    for table in (kernels.FAMILIES, exchange.FAMILIES, families.FAMILIES):
        del table[NAME]


PARAMS = {"threshold": 0.5, "voltage_decay": 0.2, "requires_grad": True}


def spikes_in(shape, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(shape, generator=generator) < 0.4).float()


@pytest.mark.parametrize("graded", [False, True])
@pytest.mark.parametrize("own", [False, True], ids=["shared", "per channel"])
def test_spikes_of_an_outside_family_are_those_of_its_step(family, graded, own):
    decays = np.array([0.1, 0.2, 0.7]) if own else 0.2
    neuron = family.neuron_class(0.5, decays, graded_spike=graded, shared_param=not own)
    x = torch.randint(-40, 80, (2, 3, 20), generator=torch.Generator().manual_seed(0)) / 64
    y = neuron(x)
    integers = np.broadcast_to(neuron.cx_voltage_decay, 3)
    for n in range(2):
        for c in range(3):
            v = 0
            for t in range(20):
                v, fired, value = step(v, int(x[n, c, t] * 4096), int(integers[c]), neuron.v_th_mant * 64, False)
                assert y[n, c, t].item() == ((value / 4096 if graded else 1) if fired else 0)
    assert y.any()


@pytest.mark.parametrize("graded", [False, True])
def test_gradients_of_an_outside_family_are_those_of_the_unrolled_recurrence(family, graded):
    torch.manual_seed(0)
    block = family.block("Dense")({**PARAMS, "graded_spike": graded}, 6, 4, weight_scale=3, delay_shift=False)
    block.synapse.weight.data = block.synapse.hooked_weight.detach()
    neuron, x = block.neuron, spikes_in((2, 6, 12)).requires_grad_()
    y = block(x)
    cotangent = torch.randn(y.shape)
    (y * cotangent).sum().backward()

    given = x.detach().double().requires_grad_()
    weight = block.synapse.weight.detach().flatten(1).double().requires_grad_()
    decay = neuron.applied_decay("voltage_decay").detach().double().requires_grad_()

    def unrolled_step(inputs, states):
        voltage = unrolled.truncate(states[0] * (1 - decay / 4096)) + inputs[0]
        spike = unrolled._Spike.apply(voltage, neuron.threshold, *neuron._surrogate, False)
        return spike, (voltage,), (voltage - (voltage * (voltage > neuron.threshold)).detach(),)

    z = torch.einsum("oi,nit->tno", weight, given)
    spikes, _, _ = unrolled.unroll(unrolled_step, (z,), (torch.zeros(2, 4, dtype=torch.float64),))
    assert torch.equal(spikes.permute(1, 2, 0).float(), y)
    assert y.any()
    (spikes.permute(1, 2, 0) * cotangent.double()).sum().backward()
    for actual, expected in (
        (x.grad, given.grad),
        (block.synapse.weight.grad.flatten(1), weight.grad),
        (neuron.voltage_decay.grad, decay.grad),
    ):
        largest = expected.abs().max().item()
        assert largest > 0
        torch.testing.assert_close(actual.double(), expected, rtol=1e-4, atol=1e-5 * largest)


def test_a_network_of_an_outside_family_is_rebuilt_from_its_description(family):
    torch.manual_seed(0)
    dense, recurrent, affine = (family.block(name) for name in ("Dense", "Recurrent", "Affine"))
    blocks = [dense(PARAMS, 6, 5, weight_scale=3), recurrent(PARAMS, 5, 4, weight_scale=3), affine(PARAMS, 4, 2)]
    x = y = spikes_in((2, 6, 12))
    optimizer = torch.optim.SGD([p for block in blocks for p in block.parameters()], lr=0.1)
    for _ in range(2):
        y = x
        for block in blocks:
            y = block(y)
        optimizer.zero_grad()
        y.square().sum().backward()
        optimizer.step()
    for block in blocks:
        block.eval()
    y = x
    with torch.no_grad():
        for block in blocks:
            y = block(y)
    network = exchange.Network(tuple(block.describe() for block in blocks))
    exchange.check(network)
    assert [layer.neuron.type for layer in network.layers] == [NAME] * 3
    assert exchange.never_fires(network.layers[-1].neuron)
    again = auto.SequentialNetwork(network).eval()
    assert type(again.blocks[0]) is family.block("Dense")
    with torch.no_grad():
        assert torch.equal(again(x), y)
    assert y.any()


def test_the_docstring_of_an_outside_family_has_its_parameters(family):
    text = family.neuron_class.__doc__
    (example,) = doctest.DocTestFinder(recurse=False).find(family.neuron_class, globs={})
    assert "voltage_decay : float, (float, float) or ndarray" in text
    assert example.examples[-1].want == "torch.Size([4, 2, 10])\n"


@pytest.mark.parametrize(
    ("table", "row"),
    [
        (kernels.FAMILIES, "a record in lavadl_kernels.neurons"),
        (exchange.FAMILIES, "a row in lavadl_ref.exchange.FAMILIES"),
        (families.FAMILIES, "a neuron class in slayer.neuron and a block family in slayer.block"),
    ],
)
def test_the_error_for_a_family_names_the_row_that_it_lacks(family, monkeypatch, table, row):
    neuron = exchange.Neuron(NAME, {"voltage_decay": 5, "threshold": 9, "graded_spike": False})
    layer = exchange.Dense(shape=(2,), weight=np.zeros((2, 3), np.int64), neuron=neuron)
    monkeypatch.delitem(families.FAMILIES, NAME)
    if table is not families.FAMILIES:
        monkeypatch.delitem(table, NAME)
    with pytest.raises(KeyError, match=f"family '{NAME}' must have {row}, got none"):
        families.family_of(NAME)
    if table is families.FAMILIES:
        with pytest.raises(NotImplementedError, match=rf"layer 0 \(dense\) .*'{NAME}' must have {row}, got none"):
            auto.SequentialNetwork(exchange.Network((layer,)))


def test_a_second_block_family_of_one_name_is_refused(family):
    with pytest.raises(ValueError, match=f"family '{NAME}' must have one block family in slayer.block, got a second"):
        families.Family("another.module", family.neuron_class, slayer.synapse)
