"""The two rows of a family agree, and a layer is deployed by them alone."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
from lavadl_kernels.neurons import FAMILIES, Family, cuba

from lavadl_ref import deployment, exchange, reference
from lavadl_ref.deployed.families import check_family, family_of
from lavadl_ref.exchange import Dense, Field, Network, Neuron


class Leaky(NamedTuple):
    decay: np.ndarray
    threshold: int


ROW = exchange.Family(
    "LIF",
    (Field("vDecay", "voltage_decay", per_channel=True), Field("vThMant", "threshold", high=2**24)),
)
RECORD = Family("LIF", Leaky, cuba.step, ("voltage",), ("voltage_decay",), carried="voltage")
LAYER = Dense(
    shape=(2,),
    neuron=Neuron("LIF", {"voltage_decay": np.array([128, 256]), "threshold": 80}),
    weight=np.arange(6).reshape(2, 3),
    bias=np.array([3, -4]),
)


@pytest.mark.parametrize("name", exchange.FAMILIES)
def test_the_rows_of_a_family_agree(name):
    check_family(exchange.FAMILIES[name], family_of(name))


def test_every_family_has_both_rows():
    assert set(exchange.FAMILIES) == set(FAMILIES)


@pytest.mark.parametrize(
    ("row", "record", "said"),
    [
        (replace(ROW, fields=ROW.fields[:1]), RECORD, "parameters that the kernels take .*threshold.*got"),
        (replace(ROW, fields=(*ROW.fields, Field("x", "x"))), RECORD, "required parameters .*, got .*'x'"),
        (replace(ROW, complex_input=True), RECORD, "complex_input .*, False, got True"),
        (replace(ROW, bias_at_input=False), RECORD, "bias_at_input .*, True, got False"),
        (ROW, replace(RECORD, bias_at="voltage"), "bias_at_input .*, False, got True"),
        (ROW, replace(RECORD, decays=("current_decay",)), "parameters that the kernels take .*current_decay"),
        (replace(ROW, type="IF"), RECORD, "type of family 'IF' .*, LIF, got IF"),
    ],
)
def test_rows_that_contradict_each_other_are_refused(row, record, said):
    with pytest.raises(ValueError, match=said):
        check_family(row, record)


def test_a_family_without_a_record_is_named_before_anything_runs(monkeypatch):
    monkeypatch.setitem(exchange.FAMILIES, "LIF", ROW)
    with pytest.raises(KeyError, match=r"family 'LIF' must have a record in lavadl_kernels\.neurons"):
        reference.Network(Network((LAYER,)))


def test_a_family_without_a_row_in_the_file_is_named(monkeypatch):
    monkeypatch.setitem(FAMILIES, "LIF", RECORD)
    with pytest.raises(KeyError, match=r"family 'LIF' must have a row in lavadl_ref\.exchange"):
        deployment.deploy(LAYER, 0)


def test_a_family_from_outside_is_deployed_by_its_rows(monkeypatch):
    monkeypatch.setitem(exchange.FAMILIES, "LIF", ROW)
    monkeypatch.setitem(FAMILIES, "LIF", RECORD)
    made = deployment.deploy(LAYER, 0, batch=2)
    assert made.states == ("voltage",)
    assert isinstance(made.neuron, Leaky)
    assert made.neuron.decay.tolist() == [[128, 256, 128, 256]]
    assert made.neuron.threshold == 80 * 64
    assert made.bias.tolist() == [[3, -4, 3, -4]]
    assert made.up.tolist() == [6]
    assert made.rest.tolist() == [[0] * 4]
    assert deployment.states_of(LAYER) == ("voltage",)
    assert not deployment.fires_at_rest(LAYER)


def test_the_names_of_a_family_are_unique(monkeypatch):
    monkeypatch.setattr("lavadl_ref.exchange.families.FAMILIES", dict(exchange.FAMILIES))
    with pytest.raises(ValueError, match="names of families must be unique, got a second 'LOIHI'"):
        exchange.register(replace(ROW, type="LOIHI"))
    with pytest.raises(ValueError, match="got a second 'CUBA'"):
        exchange.register(replace(ROW, aliases=("CUBA",)))
    assert exchange.register(ROW) is ROW
    assert exchange.family("LIF") is ROW


def test_derived_tables_are_those_of_the_records():
    assert {
        "ALIF",
        *(name for name in exchange.FAMILIES if name.endswith("_IZHIKEVICH")),
    } == deployment.FIRES_AT_EQUALITY
    assert reference.RECORDABLE == (
        "spikes", "current", "voltage", "threshold", "refractory", "real", "imag",
        "sigma", "activation", "residue", "error",
    )  # fmt: skip
