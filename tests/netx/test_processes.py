"""This package's own neuron processes, of any family, also of one that it does not know."""

from __future__ import annotations

from dataclasses import replace

import lavadl_kernels.neurons as kernels
import numpy as np
import pytest

from lavadl_ref import exchange
from lavadl_ref.exchange.describe import Dense, Network, Neuron
from lavadl_ref.netx.plan.network import plan
from lavadl_ref.netx.plan.stock import TABLE, exact_name
from tests.support import netx_families as families
from tests.support.lava import USABLE, WHY
from tests.support.one_process import nothing_left  # noqa: F401 - a fixture

if not USABLE:
    pytest.skip(WHY, allow_module_level=True)

from lavadl_ref.netx import processes
from lavadl_ref.netx.processes import ExactNeuron, neurons
from lavadl_ref.netx.run import inprocess

SUM = Neuron("SDNN", {"activation": None, "threshold": None, "sigma_output": True})


@pytest.mark.parametrize("family", families.FAMILIES)
def test_the_exact_neurons_of_a_family_are_a_class_of_its_name(family):
    cls = getattr(processes, families.OWN[family])
    assert cls is getattr(neurons, families.OWN[family])
    assert issubclass(cls, ExactNeuron)
    made = ExactNeuron(layer=families.dense(family))
    assert type(made) is cls
    assert kernels.FAMILIES[family].states == cls.STATES
    assert all(getattr(made, name).shape == (3,) for name in (*cls.INPUTS, *cls.FEEDBACK, *cls.STATES, "bias", "s_out"))
    inputs = ("a_real_in", "a_imag_in") if family in families.COMPLEX else ("a_in",)
    assert inputs == cls.INPUTS


def test_sigma_delta_neurons_of_input_and_output_layers_have_classes_of_their_own():
    assert type(ExactNeuron(layer=families.entry("SDNN"))) is processes.ExactDelta
    summed = Dense(shape=(2,), neuron=SUM, weight=np.ones((2, 3), int))
    assert type(ExactNeuron(layer=summed)) is processes.ExactSigma
    assert processes.ExactSigma.STATES == ("sigma",)


def test_exact_neurons_refuse_a_layer_that_has_others():
    with pytest.raises(ValueError, match="layer must have neurons of ExactALIF, got those of ExactLIF"):
        processes.ExactALIF(layer=families.dense("CUBA"))
    with pytest.raises(ValueError, match="layer must have neurons, got a dense layer without"):
        ExactNeuron(layer=Dense(shape=(2,), weight=np.ones((2, 3), int)))
    with pytest.raises(AttributeError, match="has no attribute 'ExactLUF'"):
        _ = processes.ExactLUF


def test_a_family_from_outside_runs_without_a_row_of_its_own(monkeypatch):
    """It has CUBA's step under another name; Lava's LIF, which runs CUBA, must give the same."""
    record = replace(kernels.FAMILIES["CUBA"], name="MY_LIF")
    monkeypatch.setitem(kernels.FAMILIES, "MY_LIF", record)
    row = replace(exchange.FAMILIES["CUBA"], type="MY_LIF", aliases=())
    monkeypatch.setitem(exchange.FAMILIES, "MY_LIF", row)
    assert "MY_LIF" not in TABLE
    assert exact_name(record) == "ExactMYLIF"
    given = families.dense("CUBA", 3, 4)
    foreign = replace(given, neuron=Neuron("MY_LIF", given.neuron.parameters))
    (planned,) = plan(Network((foreign,)))
    assert planned.processes == "Dense + ExactMYLIF (own)"
    x = (np.random.default_rng(0).random((4, 30)) < 0.5).astype(np.int64)
    expected, found = (inprocess.run(Network((layer,)), x, 30) for layer in (given, foreign))
    assert expected.output.any()
    assert (found.output == expected.output).all()
    assert found.states[0].keys() == expected.states[0].keys()
    assert all((found.states[0][name] == values).all() for name, values in expected.states[0].items())
