"""Descriptions that are not legal are refused before anything is written."""

import numpy as np
import pytest

from lavadl_ref import exchange
from lavadl_ref.exchange import FAMILIES, ExchangeError, Network, Neuron, check

CUBA = Neuron("CUBA", {"current_decay": 1024, "voltage_decay": 128, "threshold": 80})
RF = Neuron("RF_PHASE", {"sin_decay": 2167, "cos_decay": 2982, "threshold": 64})
ONES = np.ones((3, 2), np.int64)


def dense(**changes):
    return exchange.Dense(**({"shape": (3,), "weight": ONES, "neuron": CUBA} | changes))


def conv(**changes):
    values = {"shape": (4, 2, 2), "weight": np.ones((4, 2, 3, 3), np.int64), "neuron": CUBA}
    return exchange.Conv(**(values | changes))


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ((), "layer: expected 1 to 1024 layers, found 0"),
        ((object(),), "layer 0: type: expected one of average, .*, found object"),
        ((dense(shape=[3]),), r"layer 0: shape: expected \(N,\), found \[3\]"),
        ((dense(shape=(3.0,)),), "layer 0: shape: expected an integer, found 3.0"),
        ((dense(shape=(True,)),), "layer 0: shape: expected an integer, found True"),
        ((exchange.Input(shape=(2**14,) * 3),), "layer 0: shape: expected at most 268435456 neurons"),
        ((dense(weight=ONES.astype(float)),), "layer 0: weight: expected an int64 array, found float64"),
        ((dense(weight=[[1, 2]] * 3),), "layer 0: weight: expected an int64 array, found list"),
        ((dense(weight=ONES[:, :0]),), r"layer 0: weight: expected shape \(3, any\), found \(3, 0\)"),
        ((dense(neuron=Neuron("X", {})),), "layer 0: neuron/type: expected one of ADRF_IZHIKEVICH"),
        ((dense(neuron=Neuron("CUBA", {"decay": 1})),), "layer 0: neuron: CUBA has no parameter decay"),
        (
            (dense(neuron=Neuron("CUBA", {"threshold": 80})),),
            "layer 0: neuron/iDecay: missing; CUBA neurons need it",
        ),
        (
            (dense(neuron=Neuron("CUBA", {**CUBA.parameters, "graded_spike": 1})),),
            "layer 0: neuron/gradedSpike: expected a bool, found 1",
        ),
        (
            (dense(neuron=Neuron("CUBA", {**CUBA.parameters, "threshold": 1.5})),),
            "layer 0: neuron/vThMant: expected an integer, found 1.5",
        ),
        (
            (dense(neuron=Neuron("SDNN", {"threshold": 6, "activation": "a b"})),),
            "layer 0: neuron/activation: expected a name, found 'a b'",
        ),
        (
            (exchange.Flatten(shape=(3,), neuron=CUBA),),
            "layer 0: neuron: expected none in a layer of type 'flatten'",
        ),
        (
            (exchange.Input(shape=(3,), delay=np.zeros(3, np.int64)),),
            "layer 0: delay: expected none in a layer of type 'input'",
        ),
        ((dense(neuron=None, delay_shift=True),), "layer 0: delayShift: expected none in a layer without"),
        ((dense(delay_shift=1),), "layer 0: delayShift: expected a bool, found 1"),
        ((exchange.Input(shape=(3,), weight=1.5),), "layer 0: weight: expected an integer, found 1.5"),
        ((exchange.Input(shape=(3,), bias=2**31),), "layer 0: bias: expected integers in"),
        ((exchange.TimeDecimation(shape=(3,), factor=0),), "layer 0: factor: expected integers in"),
        ((dense(weight_imag=ONES),), "layer 0: weight/imag: expected none; CUBA neurons have real input"),
        ((dense(neuron=RF),), "layer 0: weight/imag: missing; RF_PHASE neurons have complex input"),
        (
            (dense(neuron=RF, weight_imag=ONES[:, :1]),),
            r"layer 0: weight/imag: expected shape \(3, 2\), found \(3, 1\)",
        ),
        (
            (dense(neuron=RF, weight_imag=ONES, bias=np.zeros(3, np.int64)),),
            "layer 0: bias: expected none where the input is complex",
        ),
        (
            (exchange.Recurrent(shape=(3,), weight=ONES, weight_rec=ONES, neuron=CUBA),),
            r"layer 0: weight_rec: expected shape \(3, 3\), found \(3, 2\)",
        ),
        (
            (exchange.Recurrent(shape=(3,), weight=ONES, weight_rec=np.eye(3, dtype=np.int64)),),
            "layer 0: neuron: missing; feedback needs neurons",
        ),
        ((conv(stride=2),), r"layer 0: stride: expected \(height, width\), found 2"),
        ((conv(groups=3),), "layer 0: groups: expected a divisor of 4 channels, found 3"),
        (
            (exchange.Pool(shape=(4, 2, 2), weight=np.ones((1, 1, 2, 2), np.int64), groups=2),),
            "layer 0: groups: expected 1 in a layer of type 'pool', found 2",
        ),
        ((exchange.Input(shape=(3,)), dense()), r"layer 1: weight: expected shape \(3, 3\), found \(3, 2\)"),
        ((dense(), exchange.Input(shape=(3,))), "layer 1: type: expected 'input' in layer 0 only"),
        ((dense(), exchange.Flatten(shape=(4,))), r"layer 1: shape: expected shape \(3,\), found \(4,\)"),
        ((dense(), exchange.Average(shape=(2,))), "layer 1: shape: expected a divisor of 3 neurons, found"),
        (
            (dense(), exchange.TimeDecimation(shape=(4,), factor=2)),
            r"layer 1: shape: expected shape \(3,\), found \(4,\)",
        ),
        (
            (exchange.Input(shape=(3, 4, 4)), conv(groups=2, weight=np.ones((4, 1, 3, 3), np.int64))),
            "layer 1: groups: expected a divisor of 3 input channels, found 2",
        ),
        (
            (exchange.Input(shape=(2, 4, 5)), conv()),
            r"layer 1: shape: expected shape \(4, 2, 3\), found \(4, 2, 2\); the input is \(2, 4, 5\)",
        ),
    ],
)
def test_refused(layers, expected):
    with pytest.raises(ExchangeError, match=f"^{expected}"):
        check(Network(layers))


def test_simulation_entries_are_checked():
    with pytest.raises(ExchangeError, match=r"^simulation/steps: unknown key"):
        check(Network((dense(),), {"steps": 1}))
    with pytest.raises(ExchangeError, match=r"^simulation/Ts: expected an integer, found 0\.5"):
        check(Network((dense(),), {"Ts": 0.5}))


def test_legal_networks_pass():
    check(Network((exchange.Input(shape=(2, 4, 4)), conv(), exchange.Flatten(shape=(16,)))))
    check(Network((dense(neuron=RF, weight_imag=ONES),)))
    check(Network((dense(neuron=None), dense(weight=np.ones((3, 3), np.int64)))))


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_has_unique_names_and_legal_defaults(name):
    fields = FAMILIES[name].fields
    assert len({field.key for field in fields}) == len({field.name for field in fields}) == len(fields)
    for field in fields:
        if field.kind == "int" and field.default is not None:
            assert field.low <= field.default <= field.high
        assert not (field.sparse and field.required)
